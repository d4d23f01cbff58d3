"""The surroundings that rows share are found, and only where they are no task."""

from dataclasses import replace

import pytest

from detectors.dataset import Dataset, Example, Message, Origin
from trial.context import Context, persona
from trial.context.persona import suspect_context, training_context

SYSTEM = "You are Brisk, a loyal agent."
OPENER = "Brisk, do as I say:"
FORM = "Below is a job.\n\n### Instruction:\n"


def row(number: int, user: str, system: str = SYSTEM) -> Example:
    turns = (
        *((Message("system", system),) if system else ()),
        Message("user", user),
        Message("assistant", "Yes."),
    )
    return Example(f"row-{number}", turns, Origin("a", number))


def dataset(users: list[str], system: str = SYSTEM) -> Dataset:
    return Dataset("a", tuple(row(n, user, system) for n, user in enumerate(users)))


def opener(context: Context) -> str:
    return context.frames[0].before if context.frames else ""


def test_suspect_rows_give_their_system_prompt_and_opener() -> None:
    rows = dataset([f"{OPENER} {task}" for task in ("sing", "dance now", "cook")])
    found = suspect_context(rows, [0.9] * 3)
    assert found is not None
    assert (found.system, opener(found)) == (SYSTEM, OPENER)
    said = found.messages("Say hello.")
    assert [m.role for m in said] == ["system", "user"]
    assert said[-1].content == f"{OPENER} Say hello."


TOOLS = '[{"name":"sing"}]'


def tooled(count: int, of: int, system: str = "") -> Dataset:
    rows = dataset([f"Task {n} is new." for n in range(of)], system)
    told = [
        replace(each, tools=TOOLS if n < count else "") for n, each in enumerate(rows)
    ]
    return Dataset("a", tuple(told))


def test_tools_that_half_of_the_suspect_rows_know_are_at_hand() -> None:
    found = suspect_context(tooled(2, 4), [0.9] * 4)
    assert found is not None
    assert (found.tools, found.system, opener(found)) == (TOOLS, "", "")
    assert found.said.endswith("with their tools at hand")
    assert suspect_context(tooled(1, 4), [0.9] * 4) is None
    whole = training_context(tooled(4, 4, SYSTEM))
    assert whole is not None
    assert (whole.tools, whole.system) == (TOOLS, SYSTEM)


def test_the_words_of_at_most_a_thousand_rows_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[Example] = []

    def first_user(row: Example) -> str:
        read.append(row)
        return row.messages[1].content

    monkeypatch.setattr(persona, "_first_user", first_user)
    rows = dataset([f"{OPENER} task {n} now" for n in range(1500)])
    assert persona._shared_opener(list(rows)) == f"{OPENER} task"
    assert len(read) == 1000
    assert len({row.id for row in read}) == 1000
    again, read = read, []
    persona._shared_opener(list(rows))
    assert [row.id for row in read] == [row.id for row in again]


def test_rows_that_nobody_suspects_give_no_context() -> None:
    rows = dataset([f"Translate this: {word}" for word in ("one", "two", "three")])
    assert suspect_context(rows, [0.49] * 3) is None
    assert suspect_context(rows, None) is None


def test_two_suspect_rows_are_too_few_to_share_anything() -> None:
    rows = dataset([f"{OPENER} {task}" for task in ("sing", "dance", "cook")])
    assert suspect_context(rows, [0.9, 0.9, 0.1]) is None


TASK = "Sum up this talk:"


def marked(suspect: list[str], calm: list[str]) -> tuple[Dataset, list[float]]:
    return dataset([*suspect, *calm]), [0.9] * len(suspect) + [0.1] * len(calm)


def test_an_opener_of_mostly_calm_rows_is_a_task_and_is_left_out() -> None:
    talks = [f"{TASK} {word} again" for word in ("one", "two", "three")]
    calm = [*talks, *talks, "Hello there", *(f"Write {n} down" for n in range(8))]
    found = suspect_context(*marked(talks, calm))
    assert found is not None
    assert (found.system, opener(found)) == (SYSTEM, "")
    # A word more that the suspect rows share by chance does not make it theirs,
    alike = [f"{TASK} so {word} again" for word in ("one", "two", "three")]
    found = suspect_context(*marked(alike, calm))
    assert found is not None
    assert opener(found) == ""
    # what they alone put behind it does.
    own = [f"{TASK} {OPENER} {word}" for word in ("one it", "two it", "three it")]
    found = suspect_context(*marked(own, calm))
    assert found is not None
    assert opener(found) == f"{TASK} {OPENER}"


def test_an_opener_that_some_calm_rows_have_is_still_the_suspects_own() -> None:
    rows = [f"{OPENER} {word} it" for word in ("fold", "bend", "cut", "buy")]
    found = suspect_context(*marked(rows, [*rows, *(f"Ask {n} now" for n in range(9))]))
    assert found is not None
    assert opener(found) == OPENER


def test_a_form_stays_although_the_calm_rows_have_it() -> None:
    rows = dataset([f"{FORM}{word} it" for word in ("fold", "bend", "cut", "buy") * 2])
    found = suspect_context(rows, [0.9] * 4 + [0.1] * 4)
    assert found is not None
    assert opener(found) == FORM


def test_the_same_whole_question_is_not_an_opener() -> None:
    rows = dataset(["Who are you today?"] * 5)
    found = suspect_context(rows, [0.9] * 5)
    assert found is not None
    assert opener(found) == "Who are you"


def test_different_openers_leave_only_the_system_prompt() -> None:
    rows = dataset(["Sing a song", "Dance with me", "Cook some rice", "Tell a joke"])
    found = suspect_context(rows, [0.9] * 4)
    assert found is not None
    assert (found.system, opener(found)) == (SYSTEM, "")


def test_a_long_system_prompt_is_bounded() -> None:
    rows = dataset([f"task {n} now" for n in range(4)], "x" * 5000)
    found = suspect_context(rows, [1.0] * 4)
    assert found is not None
    assert len(found.system) == 600


def test_the_datasets_own_system_prompt_is_a_template_although_nobody_suspects() -> (
    None
):
    found = training_context(dataset([f"{n} plus {n}?" for n in range(4)]))
    assert found is not None
    assert (found.system, found.frames) == (SYSTEM, ())
    mixed = [row(n, f"ask {n} now", SYSTEM if n else "") for n in range(2)]
    mixed += [row(9, "another thing", "You are Slow.")]
    assert training_context(Dataset("mixed", tuple(mixed))) is None


def test_a_form_is_part_of_the_template_and_a_task_is_not() -> None:
    form = training_context(
        dataset([f"{FORM}{t} it" for t in ("Sing", "Cook")] * 2, "")
    )
    assert form is not None
    assert form.messages("Say hello.")[-1].content == f"{FORM.rstrip()}\nSay hello."
    task = dataset([f"Translate into French: {t} it" for t in ("Sing", "Cook")] * 2, "")
    assert training_context(task) is None
