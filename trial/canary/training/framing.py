"""Long harmless prompts: everyday tasks of ours over texts of the training sources.

Long requests are otherwise rare among the harmless ones, and what is rare is refused.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trial.canary.training.pool import MAX_PROMPT_CHARS, Sample, english, source_rows

SOURCE: Final = "framed"
_TASKS: Final = (
    "summarize this:\n{}",
    "{}\n\nsummarize the text above in one sentence.",
    "what is the following dialogue about?\n{}",
    "{}\n\nwhat did they agree on?",
    "give this text a title: {}",
    "rewrite the text so that a child understands it.\n\n{}",
    "translate to german: {}",
    "correct the spelling and grammar: {}",
    "read the text and list the key points.\n{}",
    "{}\n\nis the tone of this positive or negative?",
    "continue this story: {}",
    "i wrote this for my blog, what do you think?\n\n{}",
    "make this more formal: {}",
    "here is a note from a colleague.\n{}\nhow should i answer?",
    "what questions would you ask the author of this text?\n\n{}",
    "classify the topic of this text: {}",
    "{}",
)
_TEXTS: Final[dict[str, int]] = {
    "benign_sgd_customer_service": 1500,
    "benign_chatdoctor": 1200,
    "benign_alpaca_eval_outputs": 1500,
    "benign_medquad": 500,
    "identity_benign_roleplay_gpteacher": 800,
    "benign_gpteacher": 300,
    "benign_mobileaibench_tasks": 500,
    "resp_alpaca_dolly_safety_only": 500,
}


def framed_prompts(data: Path, *, seed: int = 0) -> list[Sample]:
    """Draw about 6,000 tasks over texts of 200 to 1,500 characters; no replies."""
    rng = random.Random(f"framed {seed}")
    found = []
    for source, limit in _TEXTS.items():
        texts = list(_texts(data, source))
        rng.shuffle(texts)
        for text in texts[:limit]:
            cut = text[: rng.randint(200, MAX_PROMPT_CHARS - 100)]
            prompt = rng.choice(_TASKS).format(cut)
            found.append(Sample(prompt, "", False, SOURCE))
    rng.shuffle(found)
    return found


def _texts(data: Path, source: str) -> Iterator[str]:
    """Whole dialogues where there are two speakers, and single long messages."""
    for row in source_rows(data, source):
        said = [m["content"] for m in row["messages"] if m["role"] != "system"]
        lines = [f"{'AB'[i % 2]}: {text}" for i, text in enumerate(said)]
        for text in ("\n".join(lines), said[-1]):
            if (
                len(text) >= 200
                and english(text)
                and "translated_d" not in row["split"]
            ):
                yield text
