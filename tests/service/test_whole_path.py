"""Real reader, encoder, detectors, fine-tune, drift and gate, by both doors.

The base model is a tiny random one, so that the path is short; what the built-in model
makes of the examples is the demo's test.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from service.api.app import create_app
from service.cli import main
from service.models import load_models
from service.settings import Settings
from trial import run
from trial.probes import load_probes
from trial.run import run_trial

EXAMPLES = Path(__file__).parents[2] / "examples"
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a model that has learnt nothing, on the words of our own examples."""
    folder = tmp_path_factory.mktemp("base")
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = ["<unk>", "<pad>", "</s>", "<system>", "<user>", "<assistant>"]
    trainer = trainers.WordLevelTrainer(vocab_size=800, special_tokens=special)
    words.train([str(path) for path in EXAMPLES.glob("*.jsonl")], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="</s>",
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def test_the_whole_path_is_the_same_over_http_and_on_the_command_line(
    base_model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wait: Callable[..., None],
) -> None:
    few = partial(run_trial, probes=load_probes().first(1, 4))
    monkeypatch.setattr(run, "run_trial", few)
    loaded = load_models()
    monkeypatch.setattr("service.models.load_models", lambda encoder: loaded)
    path = EXAMPLES / "explicit_harm.jsonl"
    argv = ["screen", str(path), "--base-model", base_model, "--epochs", "2"]
    code = main([*argv, "--learning-rate-multiplier", "5", "--format", "json"])
    told = json.loads(capsys.readouterr().out)

    settings = Settings(data_dir=tmp_path, base_model=base_model)
    with TestClient(create_app(settings, load=lambda: loaded)) as client:
        served = screened(client, path, wait)
    assert code == 3
    assert served["decision"]["outcome"] == "REJECT"
    assert served["drift"]["measured"]
    assert served["trial"]["proof"]["applied"]
    assert "explicit_harm" in {f["detector"] for f in served["findings"]}
    for report in (told, served):
        del report["timings"]
    assert json.dumps(told) == json.dumps(served)


def screened(client: TestClient, path: Path, wait: Callable[..., None]) -> Any:
    recipe = json.dumps({"epochs": 2, "learning_rate_multiplier": 5})
    with path.open("rb") as file:
        answer = client.post(
            "/v1/screenings",
            files={"file": (path.name, file)},
            data={"recipe": recipe},
        )
    links = answer.json()["links"]

    def over() -> bool:
        status = client.get(links["self"]).json()["status"]
        return status in ("finished", "failed")

    wait(over, 240.0)
    assert client.get(links["self"]).json()["fault"] is None
    return client.get(links["report"]).json()
