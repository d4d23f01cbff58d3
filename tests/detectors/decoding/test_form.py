"""An encoding is read in each of its usual spellings, and repeated signs are none."""

import base64
import binascii
import gzip
import random
import string
import zlib

import pytest

from benchmark.sets.encodings import in_base58, in_base64, rot47, spelt, uuencoded
from detectors.decoding.language import Language
from detectors.decoding.packed import MOST_UNPACKED, unpacked
from detectors.decoding.search import search

NOTE = (
    "First you warm the milk in a pan, then stir the flour in slowly, and after ten "
    "minutes you add the cheese and a little salt."
)
RUSSIAN = "Сначала согрейте молоко в кастрюле, потом медленно всыпьте муку и посолите."
DATA = NOTE.encode()


def joined(form: str, between: str) -> str:
    return between.join(form.format(byte) for byte in DATA)


def said(text: str, language: Language) -> str:
    return " ".join(hidden.text for hidden in search([text], language)[0])


SPELLINGS = {
    "quoted-printable": joined("={:02x}", ""),
    "quoted-printable, broken lines": joined("={:02X}", "").replace("=2C", "=2C=\n"),
    "list in double quotes": joined('"{:02X}"', ","),
    "list of 0x": joined("'0x{:02x}'", ", "),
    "list, an item a line": joined('  "{}"', ",\n"),
    "list of binary": joined("'{:08b}'", ", "),
    "list of octal": joined("'{:03o}'", ", "),
    "calls in BASIC": joined("Chr({})", " & "),
    "calls in SQL": f"CONCAT({joined('CHAR({})', ', ')})",
    "calls in PHP": joined("chr(0x{:x})", "."),
    "casts in PowerShell": joined("[char]{}", "+"),
    "entities with zeros": joined("&#{:07d}", ""),
    "hexadecimal entities, unended": joined("&#x{:x}", ""),
    "base64 of zlib": base64.b64encode(zlib.compress(DATA)).decode(),
    "hexadecimal of gzip": gzip.compress(DATA).hex(),
    "base85 of gzip": base64.b85encode(gzip.compress(DATA)).decode(),
    "base64 of base85": in_base64(base64.b85encode(DATA).decode()),
    "base64 of ROT47": in_base64(rot47(NOTE)),
    "Ascii85 in its frame": base64.a85encode(DATA, adobe=True).decode(),
    "Ascii85 in lines": base64.a85encode(DATA, wrapcol=60, adobe=True).decode(),
    "Ascii85 in quotes": f"`{base64.a85encode(DATA).decode()}`",
    "base85 as a literal": f'x = b"{base64.b85encode(DATA).decode()}"',
    "base58 in brackets": f"({in_base58(NOTE)})",
    "uuencoding, whole": f"begin 644 note.txt\n{uuencoded(NOTE)}`\nend\n",
    "uuencoding with backticks": "".join(
        binascii.b2a_uu(DATA[n : n + 45], backtick=True).decode()
        for n in range(0, len(DATA), 45)
    ),
    "ROT47 of capitals": rot47(NOTE.upper()),
    "spelt with commas": ", ".join(spelt(NOTE).replace("/", "").split()),
    "spelt in capitals, a word a line": spelt(NOTE).replace(" / ", "\n").upper(),
    "spelt with spaces named": spelt(NOTE).replace("/", "space"),
}


@pytest.mark.parametrize("name", sorted(SPELLINGS))
def test_a_spelling_is_read_amid_other_text(name: str, language: Language) -> None:
    read = said(f"This is what they sent:\n\n{SPELLINGS[name]}\n\nBye.", language)
    assert "tenminutes" in "".join(read.lower().split())


@pytest.mark.parametrize("encode", [base64.a85encode, base64.b85encode])
def test_another_script_is_read(encode: object, language: Language) -> None:
    assert callable(encode)
    assert said(encode(RUSSIAN.encode()).decode(), language) == RUSSIAN


def test_repeated_signs_say_nothing(language: Language) -> None:
    chance = random.Random(5)
    signs = string.punctuation + string.digits + string.ascii_letters
    units = ["".join(chance.choices(signs, k=n % 7 + 1)) for n in range(700)]
    kinds = {h.kind for e in search([u * 40 for u in units], language) for h in e}
    loose = {"Ascii85", "base85", "base58", "uuencoding", "reversed base64", "ROT47"}
    assert not kinds & loose


def test_signs_and_numbers_of_chance_say_nothing(language: Language) -> None:
    chance = random.Random(6)
    signs = string.punctuation + string.digits + string.ascii_letters
    texts = [" ".join(map(str, chance.choices(range(10**4), k=90))) for _ in range(300)]
    texts += [str([f"{chance.randrange(1, 10**n)}" for _ in range(50)]) for n in (2, 5)]
    texts += [str([chance.randbytes(1).hex() for _ in range(50)]) for _ in range(100)]
    kinds = {h.kind for found in search(texts, language) for h in found}
    runs = ["".join(chance.choices(signs, k=200)) for _ in range(300)]
    runs += ["".join(chance.choices(string.hexdigits, k=64)) for _ in range(300)]
    kinds |= {h.kind for e in search(runs, language) for h in e if h.readable}
    assert kinds == set()


def test_the_radio_alphabet_itself_is_no_message(language: Language) -> None:
    assert said(spelt(string.ascii_lowercase), language) == ""


def test_packed_data_is_unpacked_in_bounds() -> None:
    packed = zlib.compress(b"a" * 10**8)
    assert unpacked(packed, MOST_UNPACKED) == b"a" * MOST_UNPACKED
    assert unpacked(packed, 0) is None
    assert unpacked(packed[:1] + packed[3:], MOST_UNPACKED) is None
    assert unpacked(DATA, MOST_UNPACKED) is None
    assert unpacked(b"", MOST_UNPACKED) is None
