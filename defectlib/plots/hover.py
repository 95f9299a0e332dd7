"""A chart whose points tell more when pointed at, tapped, or reached by keyboard: matplotlib's drawing, live in a page.

The figure is drawn as SVG, in the one look of all figures, and over each point lies a mark that can have the focus and
shows a box with text and, if wanted, a picture. CSS does it all: no script is needed, and printed it is the chart.
"""

from __future__ import annotations

import base64
import html
import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from defectlib.plots import overlay
from defectlib.plots.style import INK, SERIES_COLOURS

_POINTS = 72  # per inch: the unit of matplotlib's SVG
_LINE, _SIZE, _GAP, _PICTURE = 10.5, 8, 6, 84  # points: height of a line, of its letters, padding, side of a picture
_CLEAR, _EDGE = 12, 2  # points between a box and its point, and the chart's edge
_CHARACTERS = 34  # of a line
_STYLE = (
    ".hover-mark .tip {visibility: hidden; pointer-events: none} "
    ".hover-mark:hover .tip, .hover-mark:focus .tip {visibility: visible} "
    f".hover-mark:hover .ring, .hover-mark:focus .ring {{stroke: {SERIES_COLOURS[1]}}} "
    ".hover-mark {outline: none; cursor: help}"
)


@dataclass(frozen=True)
class Mark:
    """A point of a figure that tells more.

    Attributes:
        x: In the units of the axes.
        y: Likewise.
        text: Lines about it; the first is its name.
        picture: uint8 (H, W, 3), shown beside the text; None for no picture.
        axes: Which of the figure's axes it lies in.
    """

    x: float
    y: float
    text: tuple[str, ...]
    picture: np.ndarray | None = None
    axes: int = 0


class HoverChart:
    """A figure with marks, as the last value of a cell: live where HTML is shown, a plain picture elsewhere.

    Args:
        figure: Drawn with the house's style.
        marks: Its points.
        alt: What it shows, for those who do not see it.
        name: Letters, digits and dashes, unique on a page.
    """

    def __init__(self, figure: Figure, marks: Sequence[Mark], alt: str, name: str) -> None:
        self.figure, self.marks, self.alt, self.name = figure, tuple(marks), alt, name

    def html(self) -> str:
        """The chart as SVG within HTML."""
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # else every drawing lays the axes out anew, and marks would be beside
        drawn = _own_names(_svg(self.figure), self.name)
        places = self._places()
        width, height = self.figure.get_size_inches() * _POINTS
        marks = "".join(
            _mark(mark, x, height - y, width, height) for mark, (x, y) in zip(self.marks, places, strict=True)
        )
        body = drawn[: drawn.rindex("</svg>")]
        about = f'class="hover-chart" role="group" aria-label="{html.escape(self.alt)}" style="{_WHOLE}"'
        opening = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {width:g} {height:g}" {about}>'
        return (
            f"<div class='hover-frame'><style>{_STYLE}</style>{opening}{body[body.index('>') + 1 :]}{marks}</svg></div>"
        )

    def _places(self) -> np.ndarray:
        """Of the marks (N, 2), in points from the lower left corner."""
        figure = self.figure
        pixels = [figure.axes[mark.axes].transData.transform((mark.x, mark.y)) for mark in self.marks]
        return np.array(pixels).reshape(-1, 2) * _POINTS / figure.dpi

    def __repr__(self) -> str:
        return f"<chart with {len(self.marks)} marks>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        file = io.BytesIO()
        self.figure.savefig(file, format="png")
        picture = base64.b64encode(file.getvalue()).decode()
        return {"text/plain": repr(self), "text/html": self.html(), "image/png": picture}


_WHOLE = "width: 100%; height: auto; background: white; display: block; margin: auto; max-width: 46rem"


def _svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element that is the same in every run."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "defectlib"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)


def _own_names(svg: str, name: str) -> str:
    """``svg`` with names of its own, so that several charts can stand in a page."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    return re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)


def _mark(mark: Mark, x: float, y: float, width: float, height: float) -> str:
    """A ring at (x, y), in points from the upper left corner, with a box that keeps within the chart."""
    lines = [line for text in mark.text for line in textwrap.wrap(text, _CHARACTERS)]
    wide = max(map(len, lines)) * _SIZE * 0.56 + 2 * _GAP
    high = len(lines) * _LINE + 2 * _GAP
    side = 0 if mark.picture is None else _PICTURE
    wide, high = max(wide, side + 2 * _GAP), high + (side and _picture_height(mark) + _GAP)
    left, top = _place(x, y, wide, high, width, height)
    said = html.escape("; ".join(mark.text))
    return (
        f'<g class="hover-mark" tabindex="0" role="img" aria-label="{said}">'
        f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="9" fill="transparent" stroke="transparent" '
        f'stroke-width="2"/><g class="tip" aria-hidden="true">{_tip(mark, lines, left, top, wide, high)}</g></g>'
    )


def _place(x: float, y: float, wide: float, high: float, width: float, height: float) -> tuple[float, float]:
    """The upper left corner of a box that does not hide its point: above it, else below it, else beside it."""
    for top in (y - high - _CLEAR, y + _CLEAR):
        if _EDGE <= top <= height - high - _EDGE:
            return min(max(x - wide / 2, _EDGE), width - wide - _EDGE), top
    right, left = x + _CLEAR, x - wide - _CLEAR
    beside = right if right + wide <= width - _EDGE else max(left, _EDGE)
    return beside, max(_EDGE, min(y - high / 2, height - high - _EDGE))


def _tip(mark: Mark, lines: Sequence[str], left: float, top: float, wide: float, high: float) -> str:
    box = f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="3" fill="white" '
    box += f'stroke="{INK}" stroke-width="0.8"/>'
    start, below = left + _GAP, top + _GAP + 0.8 * _LINE
    weights = ("bold", *["normal"] * len(lines))
    spans = "".join(
        f'<tspan x="{start:.1f}" y="{below + i * _LINE:.1f}" font-weight="{weights[i]}">{html.escape(line)}</tspan>'
        for i, line in enumerate(lines)
    )
    text = f'<text font-size="{_SIZE}" font-family="DejaVu Sans, Verdana, sans-serif" fill="{INK}">{spans}</text>'
    if mark.picture is None:
        return box + text
    data = base64.b64encode(overlay.to_bytes(overlay.shrink(mark.picture, 3 * _PICTURE), 80)).decode()
    place = f'x="{start:.1f}" y="{top + _GAP + len(lines) * _LINE + _GAP:.1f}" width="{_PICTURE}"'
    return f'{box}{text}<image {place} height="{_picture_height(mark):.1f}" href="data:image/jpeg;base64,{data}"/>'


def _picture_height(mark: Mark) -> float:
    return _PICTURE * mark.picture.shape[0] / mark.picture.shape[1]
