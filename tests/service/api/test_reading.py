import pytest

from service.api.bodies import RecipeIn, ScreeningIn
from service.api.errors_http import Problem
from service.api.reading import parse_field

DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"epochs": 1, "epochs": 2}', "recipe: not valid JSON: a key stands twice"),
        ('{"epochs": 1', "recipe: not valid JSON: Expecting ',' delimiter: line 1"),
        ("[" * 100_000, "recipe: not valid JSON: nested too deeply"),
        ("[]", "recipe: Input should be"),
        ('{"seed": -1}', "recipe.seed: Input should be"),
        ('{"rank": 8}', "recipe.rank: unknown key; allowed: base_model, revision, "),
    ],
)
def test_a_field_that_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_field("recipe", text, RecipeIn)
    assert (caught.value.status_code, caught.value.code) == (422, "invalid_request")
    assert caught.value.detail.startswith(said)
    if "allowed" in said:
        assert caught.value.detail.endswith(list(RecipeIn.model_fields)[-1])


@pytest.mark.parametrize(
    "wrong",
    [
        '"run_trial": 0',
        '"run_trial": "no"',
        '"recipe": {"mitigate": 1}',
        '"recipe": {"l2_weight": false}',
        '"recipe": {"epochs": true}',
        '"recipe": {"epochs": "3"}',
        '"recipe": {"epochs": 3.5}',
        '"recipe": {"batch_size": true}',
    ],
)
def test_a_value_of_another_type_than_documented_is_refused(wrong: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_field("form", f'{{"sha256": "{DIGEST}", {wrong}}}', ScreeningIn)
    assert (caught.value.status_code, caught.value.code) == (422, "invalid_request")
    assert len(caught.value.errors) in (1, 2)
    field = f"form.{wrong.split(chr(34))[1]}"
    assert all(each["field"].startswith(field) for each in caught.value.errors)


def test_a_whole_number_is_an_integer_however_it_is_written() -> None:
    recipe = '{"epochs": 3.0, "batch_size": 2.0, "l2_weight": 1, "targets": ["q"]}'
    asked = parse_field("recipe", recipe, RecipeIn)
    assert (asked.epochs, asked.batch_size) == (3, 2)
    assert (asked.l2_weight, asked.targets) == (1.0, ("q",))
