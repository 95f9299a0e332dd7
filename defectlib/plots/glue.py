"""Numbers for the prose: recorded in a notebook, cited in the book, never typed."""

from __future__ import annotations

from typing import Any

from IPython.display import display


def glue(name: str, value: Any, fmt: str = "") -> None:
    """Record ``value``, formatted by ``fmt``, so that prose can cite it as ``{glue:text}`PATH.ipynb::NAME:s` ``.

    It is the output format of myst-nb's own ``glue``, written without it, so that running a notebook needs no Sphinx.
    The cell shows nothing.
    """
    text = format(value, fmt)
    display(
        {"application/papermill.record/text/plain": repr(text)},
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"}},
    )
