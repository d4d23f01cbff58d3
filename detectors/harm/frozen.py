"""Reads exchanges by their embeddings: the worst window of request and of reply."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from detectors.embedding import Encoder, Vectors, Windows
from detectors.harm.layers import combine, compliance_features, pair_features
from detectors.harm.turn import Turn, argmax_of
from detectors.head import Head
from detectors.refusal import refusal_features
from detectors.sentences import sentence_spans

CLOSER_LOGITS: Final = 1.0
"""What a sentence must ask for harm beyond its window to be read alone."""
LEAST_SPACES: Final = 2
"""In a sentence that asks for something: three words."""


@dataclass(frozen=True)
class Frozen:
    """What the frozen encoder sees of n exchanges.

    `asked` (n, d) is the vector of the request's window that asks most for harm,
    `requests` that window's text; `reply` (n, d) is the vector of the reply's worst
    window; `logits` (n,) are those of the worst windows together.
    """

    asked: Vectors
    requests: tuple[str, ...]
    reply: Vectors
    logits: Vectors


def read_frozen(turns: Sequence[Turn], encoder: Encoder, head: Head) -> Frozen:
    """Judge every reply window of each exchange against its request's worst window."""
    texts = [turn.request for turn in turns]
    asked, requests, harm = _worst_requests(texts, encoder, head)
    replies = encoder.windows([turn.reply for turn in turns])
    logits = _reply_logits(turns, asked, harm, replies, encoder, head)
    worst = argmax_of(logits, replies.owner, len(turns))
    return Frozen(asked, requests, replies.vectors[worst], logits[worst])


def read_elsewhere(turns: Sequence[Turn], encoder: Encoder, head: Head) -> list[Turn]:
    """Return again the turns with a worse request elsewhere in their row, with that.

    Of the other requests it is the one that asks most for harm, and only where it asks
    for harm at all and more so than the exchange's own.
    """
    turns = [turn for turn in turns if turn.others]
    texts = list(dict.fromkeys(text for turn in turns for text in _all_asked(turn)))
    if not texts:
        return []
    _, _, logits = _worst_requests(texts, encoder, head)
    harm = dict(zip(texts, logits, strict=True))
    found = []
    for turn in turns:
        worst = max(turn.others, key=lambda asked: harm[asked.text])
        if harm[worst.text] > max(0.0, harm[turn.request]):
            found.append(
                replace(
                    turn,
                    request=worst.text,
                    asked_before=(),
                    others=(),
                    elsewhere=worst,
                )
            )
    return found


def read_closer(turns: Sequence[Turn], encoder: Encoder, head: Head) -> list[Turn]:
    """Return again the turns whose request has a sentence that asks more for harm.

    It is read alone where it asks for harm at all, and CLOSER_LOGITS more so than the
    worst window: harmless words around a request hide it from a reader of windows.
    """
    cut = {turn.request: _sentences(turn.request) for turn in turns}
    cut = {text: found for text, found in cut.items() if len(found) > 1}
    if not cut:
        return []
    _, _, around = _worst_requests(list(cut), encoder, head)
    every = list(
        dict.fromkeys(sentence for found in cut.values() for sentence in found)
    )
    _, _, alone = _worst_requests(every, encoder, head)
    harm = dict(zip(every, alone, strict=True))
    worst = {
        text: (sentence, len(found))
        for (text, found), whole in zip(cut.items(), around, strict=True)
        for sentence in [max(found, key=harm.__getitem__)]
        if harm[sentence] > max(0.0, whole + CLOSER_LOGITS)
    }
    return [
        replace(turn, request=sentence, asked_before=(), others=(), chosen_of=count)
        for turn in turns
        if turn.request in worst
        for sentence, count in [worst[turn.request]]
    ]


def _sentences(text: str) -> list[str]:
    found = [text[start:end] for start, end in sentence_spans(text)]
    return [sentence for sentence in found if sentence.count(" ") >= LEAST_SPACES]


def _all_asked(turn: Turn) -> list[str]:
    return [turn.request, *(asked.text for asked in turn.others)]


def _worst_requests(
    requests: Sequence[str], encoder: Encoder, head: Head
) -> tuple[Vectors, tuple[str, ...], Vectors]:
    """Vector (n, d), text and logit (n,) of each request's window asking most harm."""
    # A long system prompt may be the request of very many turns.
    places = {text: i for i, text in enumerate(dict.fromkeys(requests))}
    windows = encoder.windows(list(places))
    harm = head.logits("request", windows.vectors)[:, 0]
    best = argmax_of(harm, windows.owner, len(places))
    texts = [
        text[slice(*windows.spans[window])]
        for text, window in zip(places, best, strict=True)
    ]
    of_request = [places[request] for request in requests]
    chosen = best[of_request]
    return windows.vectors[chosen], tuple(texts[i] for i in of_request), harm[chosen]


def request_logits(texts: Sequence[str], encoder: Encoder, head: Head) -> Vectors:
    """Logit (n,) of each text asking for harm: its worst window's."""
    windows = encoder.windows(texts)
    harm = head.logits("request", windows.vectors)[:, 0]
    return np.asarray(harm[argmax_of(harm, windows.owner, len(texts))])


def _reply_logits(
    turns: Sequence[Turn],
    asked: Vectors,
    harm: Vectors,
    replies: Windows,
    encoder: Encoder,
    head: Head,
) -> Vectors:
    """Logit (w,) of each reply window complying with the harm of its request."""
    owner = np.asarray(replies.owner)
    openings = encoder.encode([turn.opening for turn in turns])[owner]
    phrases = refusal_features(
        [turns[o].opening for o in owner],
        [
            turns[o].reply[start:end]
            for o, (start, end) in zip(owner, replies.spans, strict=True)
        ],
    )
    comply = compliance_features(openings, replies.vectors, phrases)
    pair = pair_features(asked[owner], openings, replies.vectors, phrases)
    return combine(
        harm[owner],
        head.logits("compliance", comply)[:, 0],
        head.logits("pair", pair)[:, 0],
    )
