"""Text, JSON and YAML that a user hands over, read without trusting them: bounded, and refused in one line.

A file is read if it is a plain one of at most :data:`MOST_BYTES`: a pipe would make us wait and a device never end.
JSON is that of the standard, so NaN and names given twice are refused. YAML has plain values alone; anchors may be
used, but not to make a short text stand for millions of values.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from defectlib.errors import UserError

MOST_BYTES = 256 * 2**20
#: Values that one YAML text may stand for; the longest profile has about 300.
MOST_VALUES = 20_000


def read_text(path: Path, what: str, advice: str) -> str:
    """The content of a file in UTF-8, without the byte-order mark that Excel and Notepad put before it.

    Args:
        path: The file.
        what: It should be, such as JSON.
        advice: What to do where it is not.

    Raises:
        UserError: It is no plain file, absurdly large, or not UTF-8.
    """
    return _told(path, what, advice, lambda: _text(path))


def read_json(path: Path, advice: str = "mend or remove it") -> Any:
    """The content of a JSON file in which no object has a name twice.

    Raises:
        UserError: It cannot be read as that.
    """
    return _told(path, "JSON", advice, lambda: parse_json(_text(path)))


def read_yaml(path: Path, advice: str = "mend it") -> Any:
    """The content of a YAML file; None where it is empty.

    Raises:
        UserError: It cannot be read as that.
    """
    return _told(path, "YAML", advice, lambda: parse_yaml(_text(path)))


def parse_yaml(text: str) -> Any:
    """The value that a YAML text stands for.

    Raises:
        ValueError: It is not YAML of plain values, has a name twice, or stands for too many values.
    """
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        if node is not None and _size(node, {}) > MOST_VALUES:
            raise ValueError(f"stands for more than {MOST_VALUES:,} values")
        return yaml.safe_load(text)
    # A date with a thirteenth month and an empty `!!int` are errors of their own kinds.
    except (yaml.YAMLError, RecursionError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(_reason(error)) from error


def _told(path: Path, what: str, advice: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as {what} ({_reason(error)}); {advice}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise ValueError("no plain file")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ValueError(f"{size:,} bytes, more than {MOST_BYTES:,}")
    return path.read_bytes().decode("utf-8-sig")  # with line ends as they are: in a table they can be part of a text


# JSON ---------------------------------------------------------------------------------------------------------------


def parse_json(text: str) -> Any:
    """The value that a JSON text stands for.

    Raises:
        ValueError: It is not JSON, or an object has a name twice.
        RecursionError: It is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse_constant)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError(f"'{repeated(name for name, _ in pairs)}' is given twice")
    return values


def repeated(names: Iterable[str]) -> str:
    """The name that occurs most often."""
    return Counter(names).most_common(1)[0][0]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


# YAML ---------------------------------------------------------------------------------------------------------------


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, what is repeated by an alias counted as often as it is named."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # until it is known, for a node that holds itself
        if isinstance(node, yaml.MappingNode):
            _refuse_twice(node)
            known[id(node)] = 1 + sum(_size(part, known) for pair in node.value for part in pair)
        else:
            known[id(node)] = 1 + sum(_size(part, known) for part in node.value)
    return known[id(node)]


def _refuse_twice(node: yaml.MappingNode) -> None:
    names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    if len(set(names)) < len(names):
        raise ValueError(f"'{repeated(names)}' is given twice in line {node.start_mark.line + 1} or below")
