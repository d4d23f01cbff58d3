"""A chat template says the same on every day, and whatever it raises is one error."""

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.trial.test_chat import spaced
from trial.template import FAILURES, ChatTemplate, TemplateUnfit

DATED = (
    "  {% if not date_string is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{% for m in messages %}{{ date_string + ', ' + strftime_now('%A') + ': ' }}"
    "{{ m['content'] }}{% endfor %}"
)
TURNS = ({"role": "user", "content": "cake"},)


def rendered(template: str) -> str:
    renderer = spaced(template, trim_offsets=False)
    return ChatTemplate(renderer.tokenizer).render(TURNS, prompt=False)


def test_a_template_that_says_the_date_says_the_same_on_every_day() -> None:
    assert rendered(DATED) == "26 Jul 2024, Friday: cake"


def test_a_template_that_says_no_date_is_rendered_as_it_is() -> None:
    template = "  {% if true %}x{% endif %}\n {{ messages[0]['content'] }}"
    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    expected = plain.from_string(template).render(messages=TURNS)
    assert rendered(template) == expected == "x cake"


@pytest.mark.parametrize(
    "template",
    ["{{ raise_exception('a\x00b') }}", "{{ 'a' * 10 ** 15 }}", "{{ {}['a'].b }}"],
)
def test_whatever_a_template_raises_is_one_error_of_one_line(template: str) -> None:
    with pytest.raises(TemplateUnfit) as caught:
        rendered(template)
    assert str(caught.value).isprintable()
    assert isinstance(caught.value.__cause__, FAILURES)


def test_loops_nested_too_deeply_for_the_compiler_are_that_error() -> None:
    nested = "{% for a in messages %}" * 30 + "{% endfor %}" * 30
    with pytest.raises(TemplateUnfit):
        rendered(nested)


def test_a_model_that_reasons_is_asked_for_its_answer_alone() -> None:
    asked = "<user>{{ messages[0]['content'] }}<assistant>\n"
    r1 = asked + "{% if add_generation_prompt %}<think>\n{% endif %}"
    qwen = asked + (
        "{% if add_generation_prompt and enable_thinking is defined and "
        "not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    )
    for template, expected in ((r1, ""), (qwen, "<think>\n\n</think>\n\n")):
        chat = ChatTemplate(spaced(template, trim_offsets=False).tokenizer)
        prompt = chat.render(TURNS, prompt=True)
        assert prompt == f"<user>cake<assistant>\n{expected}"


def test_the_templates_own_variables_can_be_given() -> None:
    chat = ChatTemplate(spaced("{{ role }}", trim_offsets=False).tokenizer)
    assert chat.render(TURNS, prompt=True, options={"role": "guard"}) == "guard"
