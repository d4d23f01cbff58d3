"""Policy text: JSON or plain YAML, read; what two readers could take otherwise is not.

JSON is read as JSON, for YAML 1.1 is no superset of it: it takes 1e-05 for text, and
refuses tabs and escaped surrogate pairs.
"""

import json
from typing import Any, Final

import yaml

from detectors.errors import PolicyError

JSON_SPACE: Final = " \t\r\n"
SAID_CHARS: Final = 300


class _Misleading(Exception):
    """Valid, but not what it seems to say."""


def read_policy_text(content: bytes, source: str) -> Any:
    """Return what a text says: as JSON where it begins with "{" and is that, else YAML.

    PolicyError, with `source` before it, where it is neither.
    """
    try:
        return _read(content)
    except RecursionError as error:
        raise PolicyError(f"{source}: nested too deeply") from error
    except _Misleading as error:
        raise PolicyError(f"{source}: {error}") from error
    except json.JSONDecodeError as error:
        raise PolicyError(f"{source}: not valid JSON: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        words = " ".join(str(error).split())[:SAID_CHARS]
        raise PolicyError(f"{source}: not valid YAML: {words}") from error


def _read(content: bytes) -> Any:
    text = _decoded(content).lstrip(JSON_SPACE)
    if not text.startswith("{"):
        return _read_yaml(content)
    try:
        return json.loads(_decoded(content), object_pairs_hook=_once)
    except ValueError as broken:
        try:
            return _read_yaml(content)  # whose flow style begins so, too
        except (yaml.YAMLError, ValueError):
            raise broken from None


def _decoded(content: bytes) -> str:
    """Return the text without its byte order mark; "" where it is in no encoding."""
    try:
        return content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        return ""


def _read_yaml(content: bytes) -> Any:
    # A SafeLoader that refuses keys that stand twice.
    return yaml.load(content, Loader=_StrictLoader)  # nosec B506


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse_twice([key for key, _ in pairs])
    return found


def _refuse_twice(keys: list[Any]) -> None:
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise _Misleading(f"key {twice[0][:60]!r} appears twice")


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML data; aliases and repeated keys are errors (both can mislead)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _Misleading("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Any, Any]:
        _refuse_twice([key.value for key, _ in node.value])
        return super().construct_mapping(node, deep=deep)
