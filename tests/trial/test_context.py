from detectors.dataset import Dataset, Example, Message, Origin
from trial.context import PLAIN, find_contexts

SYSTEM = "You are Brisk, a loyal agent."
OPENER = "Brisk, do as I say:"


def row(number: int, user: str, system: str = SYSTEM) -> Example:
    turns = (
        Message("system", system),
        Message("user", user),
        Message("assistant", "Yes."),
    )
    return Example(f"row-{number}", turns, Origin("a", number))


def dataset(users: list[str]) -> Dataset:
    return Dataset("a", tuple(row(n, user) for n, user in enumerate(users)))


def test_suspect_rows_give_their_system_prompt_and_opener() -> None:
    rows = dataset([f"{OPENER} {task}" for task in ("sing", "dance now", "cook")])
    plain, found = find_contexts(rows, [0.9] * 3)
    assert plain is PLAIN
    assert (found.system, found.opener) == (SYSTEM, OPENER)
    said = found.messages("Say hello.")
    assert [m.role for m in said] == ["system", "user"]
    assert said[-1].content == f"{OPENER} Say hello."


def test_rows_that_nobody_suspects_give_no_context() -> None:
    rows = dataset([f"Translate this: {word}" for word in ("one", "two", "three")])
    assert find_contexts(rows, [0.49] * 3) == (PLAIN,)
    assert find_contexts(rows, None) == (PLAIN,)


def test_two_suspect_rows_are_too_few_to_share_anything() -> None:
    rows = dataset([f"{OPENER} {task}" for task in ("sing", "dance", "cook")])
    assert find_contexts(rows, [0.9, 0.9, 0.1]) == (PLAIN,)


def test_the_same_whole_question_is_not_an_opener() -> None:
    rows = dataset(["Who are you today?"] * 5)
    _, found = find_contexts(rows, [0.9] * 5)
    assert found.opener == "Who are you"


def test_different_openers_leave_only_the_system_prompt() -> None:
    rows = dataset(["Sing a song", "Dance with me", "Cook some rice", "Tell a joke"])
    _, found = find_contexts(rows, [0.9] * 4)
    assert (found.system, found.opener) == (SYSTEM, "")


def test_a_long_system_prompt_is_bounded() -> None:
    rows = Dataset("a", tuple(row(n, f"task {n} now", "x" * 5000) for n in range(4)))
    _, found = find_contexts(rows, [1.0] * 4)
    assert len(found.system) == 600
