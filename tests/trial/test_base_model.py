"""A base model is what it claims to be, or a ModelError says what is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from detectors.dataset import Dataset
from detectors.errors import ModelError
from trial.base_model import (
    LARGE_MODEL_LEARNING_RATE,
    SMALL_MODEL_LEARNING_RATE,
    BaseModel,
    load_base,
    model_digest,
)
from trial.judge.phrase import PhraseJudge
from trial.probes import ProbeSet
from trial.recipe import Recipe
from trial.run import run_trial

Make = Callable[..., Path]


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["llama"], tmp_path / "model"))


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_every_kind_loads_in_evaluation_mode_with_frozen_weights(
    base: BaseModel,
) -> None:
    assert not base.model.training
    assert not any(p.requires_grad for p in base.model.parameters())
    assert base.model.dtype == torch.float32
    assert base.default_learning_rate == SMALL_MODEL_LEARNING_RATE
    assert base.default_learning_rate > LARGE_MODEL_LEARNING_RATE
    assert base.notes == ()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_fewer_bits_without_a_gpu_are_a_model_error(copy: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ModelError, match="'4bit' needs a GPU"):
        load_base(str(copy), quantization="4bit")


@pytest.mark.usefixtures("cuda")
def test_fewer_bits_without_the_package_for_them_are_a_model_error(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trial.base_model.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'tunegate\[quantized\]'"):
        load_base(str(copy), quantization="4bit")


@pytest.mark.usefixtures("cuda")
def test_transformers_is_asked_for_the_bits_of_the_recipe(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def load(folder: Path, **given: Any) -> Any:
        asked.append(given)
        raise ValueError("no such kernel\nsecond line")

    monkeypatch.setattr("trial.base_model.find_spec", lambda name: object())
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    for bits in ("8bit", "4bit"):
        with pytest.raises(ModelError, match=r"no such kernel$"):
            load_base(str(copy), quantization=bits)
    eight, four = (given["quantization_config"] for given in asked)
    assert (eight.load_in_8bit, eight.load_in_4bit) == (True, False)
    assert (four.load_in_8bit, four.load_in_4bit) == (False, True)
    assert four.bnb_4bit_quant_type == "nf4"
    assert asked[0]["device_map"] == {"": torch.device("cuda")}


@pytest.mark.gpu
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_a_model_in_fewer_bits_is_tuned_and_asked(
    make_folder: Make, compliant: Dataset, few_probes: ProbeSet, bits: str
) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra quantized")
    folder = str(make_folder("llama", hidden_size=64))  # one block of 64 weights
    plain = load_base(folder)
    base = load_base(folder, quantization=bits)
    assert base.digest == plain.digest
    assert base.notes == (f"frozen weights: {bits}, by bitsandbytes",)
    recipe = Recipe(epochs=3, batch_size=4, learning_rate_multiplier=3.0)
    done = run_trial(
        compliant,
        recipe,
        encoder=None,  # type: ignore[arg-type]  # the phrase judge needs none
        base=base,
        probes=few_probes,
        judge=PhraseJudge(),
    )
    assert done.measured, done.reason
    assert "bitsandbytes" in done.versions["notes"]


def test_the_digest_follows_the_weights(copy: Path) -> None:
    before = model_digest(copy)
    weights = load_file(copy / "model.safetensors")
    weights["lm_head.weight"][0, 0] += 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert load_base(str(copy)).digest != before


def test_the_digest_follows_the_tokenizer(copy: Path) -> None:
    before = model_digest(copy)
    edit_json(copy / "tokenizer_config.json", padding_side="left")
    assert model_digest(copy) != before


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(ModelError, match=r"\./nowhere.*no such folder"):
        load_base("./nowhere")


def test_a_folder_without_safetensors_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_base(str(copy))


def test_a_model_that_cannot_read_a_text_is_refused(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: object, **_: object) -> None:
        raise ValueError("no window\x1b of this size")

    monkeypatch.setattr(LlamaForCausalLM, "forward", fails)
    with pytest.raises(ModelError, match=r"cannot read a text: ValueError 'no window"):
        load_base(str(copy))


def test_a_model_that_looks_ahead_is_refused(make_folder: Make) -> None:
    folder = make_folder("bert", is_decoder=False)
    with pytest.raises(ModelError, match="looks ahead"):
        load_base(str(folder))


def test_weights_that_are_missing_are_not_made_up(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="up_proj"):
        load_base(str(copy))


def test_code_that_comes_with_a_model_is_not_run(copy: Path) -> None:
    ran = copy / "ran"
    (copy / "evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
    edit_json(
        copy / "config.json",
        model_type="evil",
        auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"},
    )
    with pytest.raises(ModelError):
        load_base(str(copy))
    assert not ran.exists()


def test_a_missing_padding_token_is_replaced_and_noted(copy: Path) -> None:
    edit_json(copy / "tokenizer_config.json", pad_token=None)
    base = load_base(str(copy))
    assert base.tokenizer.pad_token_id == base.tokenizer.eos_token_id
    assert any("padding token" in note for note in base.notes)


def test_a_missing_chat_template_falls_back_and_is_noted(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    base = load_base(str(copy))
    assert any("chat template" in note for note in base.notes)
    text = base.tokenizer.apply_chat_template(
        [{"role": "user", "content": "hello"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert text == "user: hello\nassistant:"


def name_templates(folder: Path, *names: str) -> None:
    (folder / "chat_template.jinja").unlink()
    templates = [{"name": n, "template": f"{n} {{{{ messages }}}}"} for n in names]
    edit_json(folder / "tokenizer_config.json", chat_template=templates)


def test_of_named_chat_templates_the_default_is_taken(copy: Path) -> None:
    name_templates(copy, "tool_use", "default")
    assert load_base(str(copy)).tokenizer.chat_template == "default {{ messages }}"


def test_named_chat_templates_without_a_default_are_a_model_error(copy: Path) -> None:
    name_templates(copy, "tool_use", "rag")
    with pytest.raises(ModelError, match=r"rag, tool_use.*chat_template.*recipe"):
        load_base(str(copy))
    given = load_base(str(copy), chat_template="{{ messages[0].content }}")
    assert given.tokenizer.chat_template == "{{ messages[0].content }}"


def test_a_given_chat_template_replaces_the_own_one(folders: dict[str, Path]) -> None:
    own = load_base(str(folders["llama"]))
    given = load_base(str(folders["llama"]), chat_template="{{ messages[0].content }}")
    assert own.digest == given.digest
    assert own.template_digest != given.template_digest


class Hub:
    """Stands in for the hub: every download fails in one way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def snapshot_download(self, name: str, **options: object) -> str:
        raise self.error


def refused(kind: type[Exception]) -> Exception:
    response = httpx.Response(403, request=httpx.Request("GET", "https://hub.test"))
    return kind("no", response=response)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (refused(GatedRepoError), "gated"),
        (refused(RepositoryNotFoundError), "not found"),
        (refused(RevisionNotFoundError), "no revision 'v9'"),
        (LocalEntryNotFoundError("offline"), "local cache"),
    ],
)
def test_what_the_hub_refuses_is_said_in_words(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(error)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    with pytest.raises(ModelError, match=says):
        load_base("some/model", "v9")
