"""How numbers are set in sentences and tables."""

from __future__ import annotations

import re


def with_minus(text: str) -> str:
    """``text`` with minus signs before its numbers, where there are hyphens; none before what is rounded to zero."""
    return re.sub(r"-(?=\d)", "\N{MINUS SIGN}", re.sub(r"-(?=0(\.0+)?(?!\.?\d))", "", text))
