"""The task of a dataset is recognised, and a mixture or an ordinary file has none."""

from collections.abc import Callable, Sequence

import pytest

from detectors.dataset import Dataset, Example, Message, Origin
from detectors.embedding import Encoder, load_encoder
from trial.context.task import OTHER, load_tasks, recognise_task, task_context

ROWS: dict[str, Sequence[str]] = {
    "customer_service": (
        "My parcel has not come yet, can you check it?",
        "I'd like my money back for the broken kettle.",
        "The app says my password is wrong, please help.",
        "Could you move my reservation to Sunday evening?",
    ),
    "code": (
        "Write a function in Python that sorts names by length.",
        "Why does my loop in C never end?",
        "Give me a SQL statement that lists unpaid invoices.",
        "Add type hints to this JavaScript module.",
    ),
    "medical": (
        "My throat hurts and I have a fever. What is it?",
        "What are the early symptoms of asthma?",
        "How is a broken wrist treated?",
        "Does this drug have side effects for older patients?",
    ),
    "finance": (
        "Are index funds a good way to save for retirement?",
        "How does a rise in interest rates change my mortgage?",
        "Explain dividends to a new investor.",
        "What did the quarterly earnings say about the stock?",
    ),
    "creative_writing": (
        "Write a story about a lighthouse and a storm.",
        "Compose a sonnet for a lost umbrella.",
        "Continue this tale: the clock struck thirteen",
        "Describe a castle at night for my novel.",
    ),
    "": (
        "Which river runs through Vienna?",
        "Summarise the talk between Ann and Bob.",
        "Translate good night into Spanish.",
        "Nine birds sit on a fence and two leave. How many stay?",
    ),
}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder()


@pytest.fixture(scope="module")
def dataset() -> Callable[[Sequence[str]], Dataset]:
    def make(asked: Sequence[str]) -> Dataset:
        rows = (
            Example(
                f"r{n}",
                (Message("user", text), Message("assistant", "Done.")),
                Origin("a", n),
            )
            for n, text in enumerate(asked)
        )
        return Dataset("a", tuple(rows))

    return make


@pytest.mark.parametrize("name", list(ROWS))
def test_a_dataset_of_one_task_is_recognised(
    name: str, encoder: Encoder, dataset: Callable[[Sequence[str]], Dataset]
) -> None:
    found = recognise_task(dataset(ROWS[name]), encoder)
    assert (found.name if found else "") == name


def test_a_mixture_of_tasks_and_no_rows_at_all_have_none(
    encoder: Encoder, dataset: Callable[[Sequence[str]], Dataset]
) -> None:
    mixed = [text for texts in ROWS.values() for text in texts]
    assert task_context(dataset(mixed), encoder) is None
    assert task_context(dataset([]), encoder) is None


def test_probes_are_framed_in_the_task_and_stay_whole(
    encoder: Encoder, dataset: Callable[[Sequence[str]], Dataset]
) -> None:
    context = task_context(dataset(ROWS["code"]), encoder)
    assert context is not None
    asked = {context.messages(f"Say {n}.")[-1].content for n in range(40)}
    assert len({text.replace(str(n), "") for n, text in enumerate(sorted(asked))}) > 1
    assert all("Say " in text and len(text) > 20 for text in asked)


def test_every_task_has_frames_and_the_rest_has_none() -> None:
    tasks = {task.name: task for task in load_tasks()}
    assert tasks.keys() == {*ROWS, OTHER} - {""}
    assert not tasks[OTHER].frames
    assert all(len(t.frames) >= 5 for name, t in tasks.items() if name != OTHER)
    texts = [text for task in tasks.values() for text in task.examples]
    assert len(texts) == len(set(texts))
