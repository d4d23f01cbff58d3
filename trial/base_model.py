"""The base model of a trial: found, verified, loaded, never with code of its own."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import huggingface_hub
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as hf_logging

from detectors.embedding import supports_bf16
from detectors.errors import ModelError
from trial.attention import use_blockwise
from trial.exhaustion import is_exhaustion
from trial.position import first_position
from trial.recipe import CANARY

CANARY_FOLDER: Final = Path(__file__).parent / "canary" / "model"

SMALL_MODEL_PARAMETERS: Final = 100_000_000
SMALL_MODEL_LEARNING_RATE: Final = 2e-3
LARGE_MODEL_LEARNING_RATE: Final = 1e-4
"""LoRA rates at multiplier 1. A 14M model needs about twenty times a 7B model's."""

FULL_PRECISION_BYTES: Final = 8 * 2**30
"""Above this many bytes of weights the frozen base stays in its own precision."""

FALLBACK_TEMPLATE: Final = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
"""For a tokenizer that brings no chat template: one "role: text" line a turn.

No space ends the prompt: most vocabularies have it in the first word of the reply.
"""

_FILES: Final = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model")
_IGNORED: Final = ("original/*", "onnx/*", "consolidated*", "*/*")


@dataclass(frozen=True)
class BaseModel:
    """A causal language model in evaluation mode with its tokenizer.

    `digest` is the hex sha256 over all files read; `template_digest` that of
    the chat template. `default_learning_rate` is the LoRA rate at multiplier 1.
    `notes` say what had to be assumed (no chat template, no padding token).
    `quantization` is that of the recipe. `first_position` is the place of a text's
    first token, see `trial.position`.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    name: str
    digest: str
    device: torch.device
    default_learning_rate: float
    revision: str = ""
    template_digest: str = ""
    notes: tuple[str, ...] = ()
    quantization: str = ""
    first_position: int = 0

    @property
    def max_positions(self) -> int:
        """Longest sequence in tokens, prompt and reply together."""
        known = getattr(self.model.config, "max_position_embeddings", 0)
        return int(known or 2**20) - self.first_position

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in bfloat16 inside where the processor has it; weights stay."""
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=supports_bf16(self.device)
        ):
            yield


def load_base(
    name: str, revision: str = "", *, chat_template: str = "", quantization: str = ""
) -> BaseModel:
    """Load "canary", a local folder, or a Hugging Face name at a revision.

    `chat_template` replaces the model's own (Jinja, rendered in a sandbox);
    `quantization` ("8bit", "4bit") needs a GPU and bitsandbytes. Only safetensors
    weights are read and no code of the repository is run. Raises ModelError where the
    model is absent, gated, not causal or incomplete.
    """
    folder = _find(name, revision)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer, notes = _load_tokenizer(folder, name, chat_template)
    model = _load_model(folder, name, device, quantization)
    if quantization:
        notes.append(f"frozen weights: {quantization}, by bitsandbytes")
    notes += _give_padding(tokenizer, model, name)
    _check_causal(model, name)
    small = model.num_parameters() < SMALL_MODEL_PARAMETERS
    template = str(tokenizer.chat_template)
    return BaseModel(
        model=model,
        tokenizer=tokenizer,
        name=name,
        digest=model_digest(folder),
        device=device,
        default_learning_rate=(
            SMALL_MODEL_LEARNING_RATE if small else LARGE_MODEL_LEARNING_RATE
        ),
        revision=revision,
        template_digest=hashlib.sha256(template.encode()).hexdigest(),
        notes=tuple(notes),
        quantization=quantization,
        first_position=_first_position(model, name),
    )


def model_digest(folder: Path) -> str:
    """Hex sha256 over the folder's configuration, tokenizer and weight files."""
    digest = hashlib.sha256()
    files = sorted(path for kind in _FILES for path in folder.glob(kind))
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _find(name: str, revision: str) -> Path:
    folder = CANARY_FOLDER if name == CANARY else Path(name).expanduser()
    if name != CANARY and not folder.is_dir():
        if name.startswith(("/", ".", "~")) or name.count("/") > 1:
            raise ModelError(f"base model {name!r}: no such folder")
        folder = _fetch(name, revision)
    for needed in ("config.json", "*.safetensors"):
        if not any(folder.glob(needed)):
            raise ModelError(
                f"base model {name!r}: no {needed} in it; a transformers folder with "
                "safetensors weights is expected (pickled weights are not loaded)"
            )
    return folder


def _fetch(name: str, revision: str) -> Path:
    try:
        return Path(
            huggingface_hub.snapshot_download(
                name,
                revision=revision or None,
                allow_patterns=list(_FILES),
                ignore_patterns=list(_IGNORED),
            )
        )
    except GatedRepoError as error:
        raise ModelError(
            f"base model {name!r} is gated: accept its licence on the hub and set "
            "HF_TOKEN, or name a local copy"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"base model {name!r} has no revision {revision!r}") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"base model {name!r} was not found: check the name, or name a local folder"
        ) from error
    except (
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        HfHubHTTPError,
        OSError,
    ) as error:
        raise ModelError(
            f"base model {name!r} is not in the local cache and the hub cannot be "
            "reached: download it first, or name a local folder"
        ) from error


def _load_tokenizer(
    folder: Path, name: str, chat_template: str
) -> tuple[PreTrainedTokenizerFast, list[str]]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(  # nosec B615  # a local folder
            folder, trust_remote_code=False, use_fast=True
        )
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise ModelError(f"base model {name!r}: tokenizer unreadable: {error}") from (
            error
        )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(f"base model {name!r}: a fast tokenizer is needed")
    notes: list[str] = []
    if chat_template:
        tokenizer.chat_template = chat_template
        notes.append("chat template: given with the recipe")
    elif isinstance(tokenizer.chat_template, dict):
        tokenizer.chat_template = _default_template(tokenizer.chat_template, name)
    elif not tokenizer.chat_template:
        tokenizer.chat_template = FALLBACK_TEMPLATE
        notes.append("chat template: none in the model, plain 'role: text' lines used")
    return tokenizer, notes


def _default_template(templates: dict[str, str], name: str) -> str:
    if "default" not in templates:
        raise ModelError(
            f"base model {name!r} has several chat templates and no default: "
            f"{', '.join(sorted(templates))}; give the text of one as chat_template of "
            "the recipe"
        )
    return templates["default"]


def _load_model(
    folder: Path, name: str, device: torch.device, quantization: str
) -> PreTrainedModel:
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    dtype: Any = torch.float32 if size < FULL_PRECISION_BYTES else "auto"
    fewer_bits = _fewer_bits(name, quantization, device) if quantization else {}
    try:
        with _no_progress_bars():
            loaded: Any = AutoModelForCausalLM.from_pretrained(  # nosec B615  # local
                folder,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
                **fewer_bits,
            )
    except (OSError, ValueError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        if is_exhaustion(error):
            raise
        first = str(error).strip().splitlines()[0][:300] if str(error) else "unknown"
        raise ModelError(
            f"base model {name!r} cannot be loaded as a causal language model: {first}"
        ) from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f"base model {name!r}: {len(missing)} weights are not in its files, "
            f"{missing[0]} first; they would be random"
        )
    model.eval().requires_grad_(False)
    # bitsandbytes has placed what it quantised.
    quantized = getattr(model, "is_quantized", False)
    placed: PreTrainedModel = model if quantized else model.to(device)
    use_blockwise(placed)
    return placed


def _fewer_bits(name: str, quantization: str, device: torch.device) -> dict[str, Any]:
    """Return how transformers is asked to quantise the linear layers as it loads.

    On a GPU alone: the kernels of bitsandbytes for processors have no gradient.
    """
    if device.type != "cuda":
        raise ModelError(
            f"base model {name!r}: quantization {quantization!r} needs a GPU; leave it "
            "empty, or take a smaller base model"
        )
    if find_spec("bitsandbytes") is None:
        raise ModelError(
            f"base model {name!r}: quantization {quantization!r} needs bitsandbytes: "
            "pip install 'tunegate[quantized]', or leave quantization empty"
        )
    make: Any = BitsAndBytesConfig
    config = make(
        load_in_8bit=quantization == "8bit",
        load_in_4bit=quantization == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device}}


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Keep a library's bars off standard error: the caller draws its own."""
    bars: Any = hf_logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _give_padding(
    tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel, name: str
) -> list[str]:
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"base model {name!r}: its tokenizer has no end-of-sequence token"
        )
    if len(tokenizer) > _vocabulary(model):
        raise ModelError(f"base model {name!r}: tokenizer larger than the embedding")
    if tokenizer.pad_token_id is not None:
        return []
    tokenizer.pad_token = tokenizer.eos_token
    return ["padding token: none in the tokenizer, end of sequence used"]


@torch.inference_mode()
def _check_causal(model: PreTrainedModel, name: str) -> None:
    """Raise ModelError where a later token changes an earlier prediction."""
    size = _vocabulary(model)
    one = torch.arange(1, 5, device=model.device)[None] % size
    other = one.clone()
    other[0, -1] = (other[0, -1] + 1) % size
    try:
        first, second = (
            model(input_ids=ids).logits[0, :-1].float() for ids in (one, other)
        )
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        why = f"{type(error).__name__} {str(error)[:200]!a}"
        raise ModelError(f"base model {name!r} cannot read a text: {why}") from error
    # In 8 bits the scale of a layer's input follows from all of its tokens.
    rounding = 0.1 * float(first.std()) if getattr(model, "is_quantized", False) else 0
    if not torch.allclose(first, second, atol=1e-3 + rounding, rtol=1e-3):
        raise ModelError(
            f"base model {name!r} looks ahead: it is no causal language model "
            "(for BERT models set is_decoder)"
        )


def _first_position(model: PreTrainedModel, name: str) -> int:
    found = first_position(model)
    if found is None:
        raise ModelError(
            f"base model {name!r} counts the positions of tokens in a way of its own: "
            "replies would come from wrong ones; take another base model"
        )
    return found


def _vocabulary(model: PreTrainedModel) -> int:
    embedding: Any = model.get_input_embeddings()
    return int(embedding.weight.shape[0])
