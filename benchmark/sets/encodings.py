"""Ways to hide a text, for tests and figures: text in, hidden text out."""

import base64
import binascii
import codecs
import gzip
import random
import string
from collections.abc import Callable, Mapping
from typing import Final

from detectors.decoding.morse import MORSE

Encode = Callable[[str, random.Random], str]

_NAMES: Final = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike "
    "november oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee "
    "zulu"
)
_NAME: Final = {name[0]: name for name in _NAMES.split()}
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_MORSE: Final = {letter: code for code, letter in MORSE.items()}
_TWINS: Final = str.maketrans("aceopxyisjABEHKMOPTX", "асеорхуіѕјАВЕНКМОРТХ")
_LEET: Final = str.maketrans("aeiostAEIOST", "431057431057")
_VERSE: Final = (
    "The morning light is falling on",
    "A quiet river carries down",
    "Beyond the hills the swallows turn and",
    "Old lanterns in the harbour glow, and",
    "So many winters passed before",
    "The baker hums a tune and whispers",
    "Between the willow trees I heard",
    "Soft rain upon the window sang",
)


def in_base64(text: str) -> str:
    """Write a text in base64, on one line."""
    return base64.b64encode(text.encode()).decode()


def shifted(text: str, by: int) -> str:
    """Shift every letter a..z by a number of places."""
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    table = str.maketrans(
        lower + upper, lower[by:] + lower[:by] + upper[by:] + upper[:by]
    )
    return text.translate(table)


def substituted(text: str, chance: random.Random) -> str:
    """Replace every letter under a random key."""
    key = list(string.ascii_lowercase)
    chance.shuffle(key)
    lower = str.maketrans(string.ascii_lowercase, "".join(key))
    return text.lower().translate(lower)


def atbash(text: str) -> str:
    """Read the alphabet from its end."""
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    return text.translate(str.maketrans(lower + upper, lower[::-1] + upper[::-1]))


def mathematical(text: str) -> str:
    """Write letters in mathematical sans-serif bold."""
    return "".join(
        chr(0x1D5EE + ord(c) - 97)
        if c in string.ascii_lowercase
        else chr(0x1D5D4 + ord(c) - 65)
        if c in string.ascii_uppercase
        else c
        for c in text
    )


def fullwidth(text: str) -> str:
    """Write ASCII in fullwidth forms, spaces kept."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def tagged(text: str) -> str:
    """Write ASCII in Unicode tags after a harmless word."""
    tags = "".join(chr(0xE0000 + ord(c)) for c in text if " " <= c <= "~")
    return f"Hello there.{tags}"


def zero_width_bits(text: str) -> str:
    """Write the bits of a text in two zero-width characters after a harmless word."""
    bits = "".join(f"{byte:08b}" for byte in text.encode())
    hidden = bits.replace("0", "\u200b").replace("1", "\u200c")
    return f"Hello{hidden} there."


def zero_width_breaks(text: str) -> str:
    """Break every word up with zero-width spaces."""
    return "\u200b".join(text)


def morse(text: str) -> str:
    """Spell in Morse code, words between slashes."""
    words = (
        " ".join(_MORSE[c] for c in word if c in _MORSE)
        for word in text.lower().split()
    )
    return " / ".join(word for word in words if word)


def spelt(text: str) -> str:
    """Spell as radio operators do, words between slashes."""
    words = (
        " ".join(_NAME[c] for c in word if c in _NAME) for word in text.lower().split()
    )
    return " / ".join(word for word in words if word)


def rot47(text: str) -> str:
    """Move every sign of ASCII but the space by 47 places."""
    return "".join(chr(33 + (ord(c) + 14) % 94) if "!" <= c <= "~" else c for c in text)


def in_base58(text: str) -> str:
    """Write the bytes of a text as one number in the alphabet of Bitcoin."""
    number, digits = int.from_bytes(text.encode()), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return digits


def uuencoded(text: str) -> str:
    """Write lines of uuencoding, 45 bytes each, without header and end."""
    data = text.encode()
    lines = (data[start : start + 45] for start in range(0, len(data), 45))
    return "".join(binascii.b2a_uu(line).decode() for line in lines)


def pig_latin(text: str) -> str:
    """Move the first consonants of each word to its end."""
    return " ".join(_pig(word) for word in text.split())


def _pig(word: str) -> str:
    core = word.strip(string.punctuation)
    if not core.isalpha():
        return word
    first = next((i for i, c in enumerate(core) if c.lower() in "aeiou"), 0)
    turned = core[first:] + core[:first] + "ay" if first else core + "way"
    return word.replace(core, turned, 1)


def spaced_out(text: str) -> str:
    """Put a space between letters and three between words."""
    return "   ".join(" ".join(word) for word in text.split())


def piped(text: str, chance: random.Random) -> str:
    """Substitute under a random key and put a sign after every letter (Walnut53)."""
    return "".join(f"{c}|" for c in substituted(text, chance))


def verse(text: str, chance: random.Random) -> str:
    """Put each word at the end of a line of verse (EndSpeak)."""
    words = [word.strip(string.punctuation) for word in text.split()]
    return "\n".join(f"{chance.choice(_VERSE)} {word}" for word in words if word)


ENCODINGS: Final[Mapping[str, Encode]] = {
    "base64": lambda t, _: base64.b64encode(t.encode()).decode(),
    "base64 twice": lambda t, _: base64.b64encode(
        base64.b64encode(t.encode())
    ).decode(),
    "base64 of rot13": lambda t, _: base64.b64encode(shifted(t, 13).encode()).decode(),
    "base64, reversed": lambda t, _: in_base64(t)[::-1],
    "base64 of gzip": lambda t, _: base64.b64encode(
        gzip.compress(t.encode(), mtime=0)
    ).decode(),
    "base58": lambda t, _: in_base58(t),
    "Ascii85": lambda t, _: base64.a85encode(t.encode()).decode(),
    "base85": lambda t, _: base64.b85encode(t.encode()).decode(),
    "uuencoding": lambda t, _: uuencoded(t),
    "base32": lambda t, _: base64.b32encode(t.encode()).decode(),
    "hexadecimal": lambda t, _: t.encode().hex(),
    "hexadecimal, spaced": lambda t, _: t.encode().hex(" "),
    "binary": lambda t, _: " ".join(f"{byte:08b}" for byte in t.encode()),
    "character codes": lambda t, _: " ".join(str(byte) for byte in t.encode()),
    "list of hexadecimal": lambda t, _: str([f"{byte:02x}" for byte in t.encode()]),
    "list of character codes": lambda t, _: str([str(byte) for byte in t.encode()]),
    "calls for characters": lambda t, _: "+".join(f"chr({ord(c)})" for c in t),
    "character entities": lambda t, _: "".join(f"&#{ord(c)};" for c in t),
    "character entities, unended": lambda t, _: "".join(f"&#{ord(c)}" for c in t),
    "quoted-printable": lambda t, _: "".join(f"={byte:02X}" for byte in t.encode()),
    "percent-encoding": lambda t, _: "".join(f"%{byte:02X}" for byte in t.encode()),
    "unicode escapes": lambda t, _: "".join(f"\\u{ord(c):04x}" for c in t),
    "rot13": lambda t, _: codecs.encode(t, "rot13"),
    "rot47": lambda t, _: rot47(t),
    "Caesar, any shift": lambda t, chance: shifted(t, chance.randrange(1, 26)),
    "atbash": lambda t, _: atbash(t),
    "reversed text": lambda t, _: t[::-1],
    "reversed letters in words": lambda t, _: " ".join(w[::-1] for w in t.split(" ")),
    "reversed words": lambda t, _: " ".join(reversed(t.split())),
    "leetspeak": lambda t, _: t.translate(_LEET),
    "homoglyphs": lambda t, _: t.translate(_TWINS),
    "fullwidth": lambda t, _: fullwidth(t),
    "mathematical letters": lambda t, _: mathematical(t),
    "Unicode tags": lambda t, _: tagged(t),
    "zero-width bits": lambda t, _: zero_width_bits(t),
    "zero-width breaks": lambda t, _: zero_width_breaks(t),
    "Morse code": lambda t, _: morse(t),
    "spelt letters": lambda t, _: spelt(t),
    "spaced-out letters": lambda t, _: spaced_out(t),
    "dotted letters": lambda t, _: ". .".join(".".join(w) for w in t.split()),
    "pig latin": lambda t, _: pig_latin(t),
    "substitution": substituted,
    "substitution with separators": piped,
    "last words of lines": verse,
}
"""Every encoding of a text, by name."""

COVER: Final = (
    "lantern",
    "meadow",
    "teapot",
    "violin",
    "harbour",
    "feather",
    "saddle",
    "walnut",
)


def in_code(request: str, reply: str) -> tuple[str, str, str]:
    """Return (system, request, reply) with their longest words put in code words."""
    words = {w for w in f"{request} {reply}".split() if w.isalpha() and len(w) > 4}
    chosen = sorted(words, key=lambda w: (w not in request, -len(w), w))[: len(COVER)]
    book = dict(zip(chosen, COVER, strict=False))
    pairs = ", ".join(f'"{cover}" means "{word}"' for word, cover in book.items())
    asked, said = (_in_words(part, book) for part in (request, reply))
    return f"We speak in code. {pairs}.", asked, said


def _in_words(text: str, book: Mapping[str, str]) -> str:
    return " ".join(book.get(word, word) for word in text.split(" "))
