"""One JSON text, parsed so that hostile input costs no stack and hides nothing.

Stricter than Python's own parser, because two parsers that disagree about a row let an
attacker show one row to the screening and train on another: a key that stands twice,
NaN and Infinity, numbers that overflow, lone surrogates and NUL are all refused.
"""

import json
import math
import re
from collections.abc import Iterator

from detectors.reading.fault import RowFault, shown
from detectors.reading.limits import Limits

_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
"""A whole string, closed or not (so that the scan stays linear), or one bracket."""
_SUSPECT_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_json(data: bytes, limits: Limits) -> object:
    """Parse one row of bytes; RowFault where it is not exactly one sound JSON value."""
    return parse_json_text(decode(data), limits)


def parse_json_text(text: str, limits: Limits, field: str = "") -> object:
    """Parse one JSON text; `field` says where in the row it stood."""
    if len(text) > limits.max_row_chars:
        raise too_long(limits, field)
    if "\0" in text:
        raise _nul(field)
    check_nesting(text, limits.max_nesting, field)
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        found = f"at character {error.pos + 1}: {error.msg}"
        raise RowFault("bad_json", field, "one valid JSON value", found) from None
    except ValueError as error:
        found = shown(str(error))
        raise RowFault("bad_json", field, "one valid JSON value", found) from None
    if _SUSPECT_ESCAPE.search(text):
        check_strings(value, field)
    return value


def decode(data: bytes) -> str:
    """Decode UTF-8; RowFault naming the first bad byte."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        raise RowFault("invalid_utf8", "", "UTF-8 text", found) from None


def check_nesting(text: str, max_nesting: int, field: str = "") -> None:
    """RowFault where brackets outside strings nest deeper; costs no stack."""
    if text.count("[") + text.count("{") <= max_nesting:
        return
    depth = 0
    for match in _BRACKET.finditer(text):
        mark = match[0]
        if mark in "[{":
            depth += 1
            if depth > max_nesting:
                raise too_deep(max_nesting, field)
        elif mark in "]}":
            depth -= 1


def check_strings(value: object, field: str = "") -> None:
    """RowFault where a string of a parsed value cannot be UTF-8 or holds NUL."""
    for text in strings(value):
        if "\0" in text:
            raise _nul(field)
        if _SURROGATE.search(text):
            expected = "whole Unicode characters"
            raise RowFault("lone_surrogate", field, expected, shown(text))


def strings(value: object) -> Iterator[str]:
    """Every key and string of a parsed JSON value, without recursion."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            stack.extend(item)


def canonical_json(value: object, field: str) -> str:
    """Return JSON with sorted keys; a null in an object counts as absent.

    Letters stay as they are, so that detectors read what was written.
    RowFault naming `field` where a table brought in bytes, dates or NaN.
    """
    plain = _without_nulls(value)
    try:
        return json.dumps(
            plain,
            ensure_ascii=False,
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
        )
    except (TypeError, ValueError) as error:
        found = shown(str(error))
        raise RowFault("wrong_type", field, "values JSON knows", found) from None


def unescaped(text: str, value: object) -> str:
    """Return JSON text of the parsed `value` with its letters written as they are."""
    return json.dumps(value, ensure_ascii=False) if "\\u" in text else text


def too_long(limits: Limits, field: str = "") -> RowFault:
    """Return the fault of a row over `max_row_chars`."""
    expected = f"at most {limits.max_row_chars} characters a row"
    return RowFault("row_too_long", field, expected)


def too_deep(max_nesting: int, field: str = "") -> RowFault:
    """Return the fault of a row over `max_nesting`."""
    return RowFault("too_deep", field, f"at most {max_nesting} levels of nesting")


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise RowFault("duplicate_key", "", "each key once", shown(key))
            seen.add(key)
    return found


def _no_constant(name: str) -> object:
    raise RowFault("bad_json", "", "numbers that JSON knows", name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise RowFault("bad_json", "", "numbers that fit a float", shown(text))
    return number


def _nul(field: str) -> RowFault:
    return RowFault("nul_character", field, "text without NUL characters", "NUL")
