"""Typed look-ups into a parsed row; each names the field it did not find."""

from detectors.reading.fault import RowFault, shown

Object = dict[str, object]


def as_object(value: object, field: str) -> Object:
    """Return a JSON object without its null members, which count as absent."""
    if not isinstance(value, dict):
        raise wrong_type(field, "an object", value)
    return {key: item for key, item in value.items() if item is not None}


def as_list(value: object, field: str, expected: str = "a list") -> list[object]:
    """Return a JSON list that is not empty; `expected` words what may stand there."""
    if not isinstance(value, list):
        raise wrong_type(field, expected, value)
    if not value:
        raise RowFault("empty_list", field, "at least one item", "an empty list")
    return value


def as_text(value: object, field: str) -> str:
    """Return a string, which may be empty."""
    if not isinstance(value, str):
        raise wrong_type(field, "a string", value)
    return value


def required(row: Object, key: str, field: str = "") -> object:
    """Return the value of a key that must be there; `field` names the object."""
    if key not in row:
        raise RowFault("missing_field", within(field, key), f'a field "{key}"')
    return row[key]


def within(field: str, key: str) -> str:
    """Return the path of a key inside `field`."""
    return f"{field}.{key}" if field else key


def wrong_type(field: str, expected: str, value: object) -> RowFault:
    """Return the fault of a value that is not of the expected type."""
    code = "missing_field" if value is None else "wrong_type"
    return RowFault(code, field, expected, shown(value))
