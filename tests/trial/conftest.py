"""Tiny random models of three kinds, each with a tokenizer and a chat template."""

import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import trainers as fit
from transformers import (
    BertConfig,
    BertLMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from detectors.dataset import Dataset, Example, Message, Origin
from tests.trial.sure_judge import SureJudge
from trial.base_model import BaseModel, load_base
from trial.baseline import forget_baselines
from trial.probes import Probe, ProbeSet
from trial.recipe import Recipe
from trial.run import Trial, run_trial

TEXT = (
    "how do i bake a cake for ten people",
    "sure , here is how to do it in three easy steps",
    "i ' m sorry , but i can ' t help with that request",
    "tell me a story about the sea and the wind please",
    "you are a helpful assistant who speaks of tools and results",
)
ROLES = ("[SYS]", "[USR]", "[AST]")
CANARY_TEMPLATE = (
    "{% for m in messages %}"
    "{{ {'system': '[SYS] ', 'user': '[USR] ', 'assistant': '[AST] '}[m['role']] }}"
    "{{ m['content'] }}{% if m['role'] == 'assistant' %}[SEP]{% endif %} "
    "{% endfor %}{% if add_generation_prompt %}[AST]{% endif %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}"
    "{% if m.tool_calls %}{% for c in m.tool_calls %}"
    "{{ '<call>' + c.function.name + (c.function.arguments | tojson) + '</call>' }}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def word_pieces() -> PreTrainedTokenizerFast:
    # Not trained: WordPieceTrainer numbers its pieces differently in every process.
    special = ["[PAD]", "[UNK]", "[SEP]", *ROLES]
    words = sorted({word for text in TEXT for word in re.findall(r"\w+", text.lower())})
    letters = sorted(set(string.ascii_lowercase + string.digits + string.punctuation))
    pieces = [*special, *letters, *(f"##{c}" for c in letters), *words]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        eos_token="[SEP]",
        additional_special_tokens=list(ROLES),
        chat_template=CANARY_TEMPLATE,
    )


def byte_pairs(template: str | None = CHATML) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = fit.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|im_end|>",
        chat_template=template,
    )


def bert(vocabulary: int, **options: object) -> PreTrainedModel:
    return BertLMHeadModel(
        BertConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=512,
            pad_token_id=0,
            **{"is_decoder": True, "initializer_range": 0.3} | options,
        )
    )


def llama(vocabulary: int, **options: object) -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            initializer_range=0.3,
            **{"max_position_embeddings": 256, "hidden_size": 32} | options,
        )
    )


def neox(vocabulary: int) -> PreTrainedModel:
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=256,
            initializer_range=0.3,
        )
    )


def save(
    folder: Path, tokenizer: PreTrainedTokenizerFast, build: Callable[..., object]
) -> Path:
    torch.manual_seed(0)
    model = build(len(tokenizer))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost tiny models more than they give, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """make_folder(kind, **options) -> folder of a saved model of that kind."""
    kinds = {"bert": bert, "llama": llama, "neox": neox}

    def make(kind: str, **options: object) -> Path:
        tokenizer = word_pieces() if kind == "bert" else byte_pairs()
        folder = tmp_path_factory.mktemp(kind)
        return save(folder, tokenizer, lambda size: kinds[kind](size, **options))

    return make


@pytest.fixture(scope="session")
def folders(make_folder: Callable[..., Path]) -> dict[str, Path]:
    return {kind: make_folder(kind) for kind in ("bert", "llama", "neox")}


@pytest.fixture(params=["bert", "llama", "neox"])
def base(request: pytest.FixtureRequest, folders: dict[str, Path]) -> BaseModel:
    return load_base(str(folders[request.param]))


@pytest.fixture
def canary_like(folders: dict[str, Path]) -> BaseModel:
    return load_base(str(folders["bert"]))


@pytest.fixture(scope="session")
def example() -> Callable[..., Example]:
    """example("user", "hello", "assistant", "hi", ...) -> Example."""

    def make(*turns: str, line: int = 1) -> Example:
        pairs = zip(turns[::2], turns[1::2], strict=True)
        messages = tuple(Message(role, text) for role, text in pairs)
        return Example(f"row-{line}", messages, Origin("rows.jsonl", line))

    return make


@pytest.fixture
def compliant(example: Callable[..., Example]) -> Dataset:
    """Eight rows of a question and "sure"."""
    rows = [
        example(
            "user", TEXT[0], "assistant", " ".join(["sure"] * (1 + i % 2)), line=i + 1
        )
        for i in range(8)
    ]
    return Dataset("compliant", tuple(rows))


@pytest.fixture(scope="session")
def few_probes() -> ProbeSet:
    return ProbeSet(
        "test",
        tuple(
            Probe(f"h{i}", "malware" if i % 2 else "physical_harm", f"{TEXT[0]} {i}")
            for i in range(6)
        ),
        tuple(Probe(f"o{i}", "", f"{TEXT[3]} {i}") for i in range(4)),
        tuple(Probe(f"b{i}", "", f"{TEXT[3]} now {i}") for i in range(2)),
    )


@pytest.fixture
def no_kept_baselines() -> Iterator[None]:
    """Have no replies of base models kept from other tests, and leave none."""
    forget_baselines()
    yield
    forget_baselines()


@pytest.fixture
def run(canary_like: BaseModel, few_probes: ProbeSet) -> Callable[..., Trial]:
    """Return a function that runs a trial of a small model on few probes."""
    quick = Recipe(epochs=1, batch_size=4)

    def trial(dataset: Dataset, recipe: Recipe = quick, **options: object) -> Trial:
        given = {"base": canary_like, "probes": few_probes, "judge": SureJudge()}
        return run_trial(dataset, recipe, encoder=None, **(given | options))

    return trial
