"""What a trial runs: base model and hyper-parameters, checked and reproducible."""

from dataclasses import dataclass
from typing import Final

from detectors.errors import RecipeError

CANARY: Final = "canary"
"""The name that stands for the built-in trial model."""

QUANTIZATIONS: Final = ("", "8bit", "4bit")
"""How the frozen weights of the base model are held: as they are, LLM.int8(), NF4."""

MAX_TEMPLATE_CHARS: Final = 20_000
MAX_SEEDS: Final = 10
MAX_WEIGHT: Final = 1000.0
AUTO_STEPS: Final = 5
MAX_AUTO_BATCH: Final = 16
"""An automatic batch gives about AUTO_STEPS steps an epoch, up to this batch."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A LoRA fine-tune that can be rerun from this record and the data fingerprint.

    `learning_rate_multiplier` is the customer's rate as a multiple of the base model's
    own default (as OpenAI's `learning_rate_multiplier`): a 14M canary needs 2e-3 where
    a 7B model needs 1e-4, so an absolute rate does not carry over. `targets` empty
    means: found in the model. `max_tokens` is the length at which rows are cut.
    `row_budget` bounds the rows trained on; the sampling rule is in `trial.sample`.
    `batch_size` None is what platforms call "auto": see `batch_rows`.
    `chat_template` (Jinja) replaces the base model's own, "" keeps it. `seeds` tunes
    are run, with `seed` and those after it; the worst is reported, and their spread.
    `kl_weight` times the KL of the first reply tokens from the base model's, and
    `l2_weight` times the squared distance of the weights from its own, are added to the
    loss. `mitigate` tries what may keep the model safe, see `trial.mitigation`.
    `quantization` holds the frozen weights of a large base model in fewer bits
    (QLoRA, Dettmers et al. 2023, arXiv 2305.14314), by bitsandbytes.
    """

    base_model: str = CANARY
    revision: str = ""
    lora_rank: int = 8
    lora_alpha: int = 16
    targets: tuple[str, ...] = ()
    epochs: int = 5
    learning_rate_multiplier: float = 1.0
    batch_size: int | None = None
    max_tokens: int = 256
    row_budget: int = 1000
    seed: int = 0
    chat_template: str = ""
    seeds: int = 1
    kl_weight: float = 0.0
    l2_weight: float = 0.0
    mitigate: bool = False
    quantization: str = ""

    def __post_init__(self) -> None:
        for name in ("lora_rank", "lora_alpha", "epochs", "batch_size", "row_budget"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RecipeError(f"{name} must be at least 1, not {value}")
        if not 1 <= self.seeds <= MAX_SEEDS:
            raise RecipeError(f"seeds must be 1 to {MAX_SEEDS}, not {self.seeds}")
        if len(self.chat_template) > MAX_TEMPLATE_CHARS:
            raise RecipeError(f"chat_template exceeds {MAX_TEMPLATE_CHARS} characters")
        if self.max_tokens < 16:
            raise RecipeError(f"max_tokens must be at least 16, not {self.max_tokens}")
        if self.quantization not in QUANTIZATIONS:
            raise RecipeError(
                f"quantization must be 8bit, 4bit or empty, not {self.quantization!r}"
            )
        for name in ("kl_weight", "l2_weight"):
            weight = getattr(self, name)
            if not 0.0 <= weight <= MAX_WEIGHT:
                raise RecipeError(f"{name} must be 0 to {MAX_WEIGHT:g}, not {weight}")
        if not 0.0 < self.learning_rate_multiplier <= 100.0:
            raise RecipeError(
                "learning_rate_multiplier must be over 0 and at most 100, "
                f"not {self.learning_rate_multiplier}"
            )

    def batch_rows(self, rows: int) -> int:
        """Rows a step in a job of `rows` rows, 1..MAX_AUTO_BATCH where not chosen.

        Platforms let the batch grow with the dataset, so that a job of ten rows still
        takes tens of steps: one step for every AUTO_STEPS-th part of the rows.
        """
        if self.batch_size is not None:
            return self.batch_size
        return max(1, min(MAX_AUTO_BATCH, round(rows / AUTO_STEPS)))
