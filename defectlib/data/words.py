"""English for captions: articles, plurals, numbers and lists."""

from __future__ import annotations

from collections.abc import Sequence

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
#: Last words of class names, of public datasets and ours, that say how something is ...
_QUALITIES = {"bent", "broken", "combined", "dirty", "large", "messy", "misplaced", "missing", "rough", "small"}
#: ... or name what is not counted by "a" and "two".
_SUBSTANCES = {"contamination", "fiber", "glue", "liquid", "oil", "rust", "tarnish"}
_FEATURES = {"color", "friction", "teeth", "texture"}
#: Class names that are a verdict on the image and name no kind of defect.
_VERDICTS = {"bad", "defect", "defective", "ko"}


def noun(class_name: str) -> str:
    """A class name as a noun that can be counted: ``oil_stain`` is an oil stain, ``bent`` a bent area."""
    words = class_name.replace("_", " ").strip()
    if words.lower() in _VERDICTS:
        return "defect"
    return f"{words} area" if words.split(" ")[-1].lower() in _QUALITIES | _SUBSTANCES | _FEATURES else words


def with_article(words: str) -> str:
    """``words`` after the indefinite article."""
    return f"{'an' if words[:1].lower() in tuple('aeiou') else 'a'} {words}"


def plural(noun: str) -> str:
    """The plural of a regular noun, by its last letters."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def number(count: int) -> str:
    """A count, in words up to ten."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def listed(parts: Sequence[str]) -> str:
    """``parts`` in one phrase; a comma stands before the last "and" where a part holds an "and" of its own."""
    *first, last = parts
    comma = "," if any(" and " in part for part in parts) else ""
    return f"{', '.join(first)}{comma} and {last}" if first else last
