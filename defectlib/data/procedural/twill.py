"""Twill cloth seen close: each thread passes over two and under two, one step further in every row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defectlib.data.procedural.rendering import (
    Canvas,
    Colour,
    even_noise,
    grain,
    lattice,
    noise,
    smoothstep,
    turned,
)
from defectlib.data.procedural.scenes import Defect, DefectType, Product, draw_defect
from defectlib.data.procedural.shapes import spot, stroke

DYES: dict[str, tuple[Colour, Colour]] = {
    "denim blue": ((0.25, 0.36, 0.58), (0.62, 0.68, 0.76)),
    "khaki": ((0.52, 0.45, 0.30), (0.76, 0.69, 0.52)),
    "wine red": ((0.50, 0.16, 0.22), (0.74, 0.46, 0.46)),
    "sage green": ((0.33, 0.44, 0.33), (0.64, 0.72, 0.58)),
}
"""Warp and weft colours by name; the lighter weft makes the ribs."""

TYPES = (
    DefectType("snag", (0.34, 0.62), (0.056, 0.066), ("short thin", "thin", "long thin"), "snag"),
    DefectType("stain", (0.30, 0.50), (0.22, 0.34), ("small", "broad", "large"), "oil stain"),
    DefectType("hole", (0.18, 0.28), (0.15, 0.23), ("small", "ragged", "large"), "hole"),
    DefectType("knot", (0.090, 0.120), (0.090, 0.120), ("tiny", "tiny", "small"), "knot"),
    DefectType("mispick", (0.34, 0.60), (0.17, 0.25), ("short", "straight", "long"), "mispick"),
)


@dataclass(frozen=True)
class Look:
    """Weave, dye and light of one piece of cloth; lengths in sides of the image, angles in radians."""

    angle: float
    pitch: float
    shift_x: float
    shift_y: float
    dye: str
    tone: float
    azimuth: float
    salt: int

    @property
    def words(self) -> str:
        """The cloth's colour."""
        return self.dye

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """The whole image: its centre and half extents."""
        return 0.5, 0.5, 0.5, 0.5


@dataclass(frozen=True, eq=False)
class _Weave:
    """Cells of the weave at every point, (h, w) each: indices of warp and weft, and positions in [-1, 1]."""

    column: np.ndarray
    row: np.ndarray
    u: np.ndarray
    v: np.ndarray


def compose(rng: np.random.Generator) -> Look:
    """Draw a piece of cloth, turned by at most 8 degrees, its threads at least five pixels wide at 64 px."""
    angle, pitch = np.deg2rad(rng.uniform(-8.0, 8.0)), rng.uniform(0.078, 0.088)
    shift_x, shift_y = rng.uniform(0.0, 4.0, 2)
    dye = list(DYES)[rng.integers(len(DYES))]
    tone, azimuth = rng.uniform(0.90, 1.10), np.deg2rad(rng.uniform(-140.0, -40.0))
    numbers = (float(v) for v in (angle, pitch, shift_x, shift_y))
    return Look(*numbers, dye, float(tone), float(azimuth), int(rng.integers(2**40)))


def propose(rng: np.random.Generator, kind: DefectType, look: Look) -> Defect:
    """Draw a defect anywhere on the cloth; a mispick runs along the weft, a snag is bent."""
    x, y = (float(v) for v in rng.uniform(0.06, 0.94, 2))
    angle, bend = float(rng.uniform(-np.pi, np.pi)), 0.0
    if kind.name == "snag":
        bend = float(rng.uniform(0.05, 0.11)) * (1.0 if rng.random() < 0.5 else -1.0)
    elif kind.name == "mispick":
        angle = look.angle
    return draw_defect(rng, kind, x, y, angle, bend)


def fits(look: Look, defect: Defect) -> bool:
    """Whether a defect lies within the image."""
    points = defect.spine()
    margin = 0.5 * defect.width + 0.015
    return bool(points.min() > margin and points.max() < 1.0 - margin)


def paint(canvas: Canvas, look: Look, defects: list[tuple[int, Defect]]) -> None:
    """Paint the cloth with its mispicks, then the other defects one after another, then light and grain."""
    weave = _weave(canvas, look)
    missing = np.zeros(canvas.x.shape, bool)
    for class_id, defect in defects:
        if defect.kind == "mispick":
            inside = _mispick(weave, look, defect)
            missing |= inside
            canvas.mark(inside, class_id)
    _cloth(canvas, look, weave, missing)
    for class_id, defect in defects:
        if defect.kind != "mispick":
            _PAINTERS[defect.kind](canvas.window(defect.x, defect.y, defect.reach), look, class_id, defect)
    folds = 0.07 * even_noise(canvas, 0.45, look.salt + 3)
    lit = (canvas.x - 0.5) * np.cos(look.azimuth) + (canvas.y - 0.5) * np.sin(look.azimuth)
    canvas.scale(1.0 + folds + 0.14 * lit)
    grain(canvas, 0.015, look.salt + 4)


def _weave(canvas: Canvas, look: Look) -> _Weave:
    u, v = turned(canvas.x, canvas.y, (0.5, 0.5), look.angle)
    # Threads are never quite straight.
    u = u / look.pitch + 0.10 * even_noise(canvas, 0.16, look.salt) + look.shift_x
    v = v / look.pitch + 0.10 * even_noise(canvas, 0.16, look.salt + 1) + look.shift_y
    column, row = np.floor(u), np.floor(v)
    return _Weave(column.astype(np.int64), row.astype(np.int64), 2.0 * (u - column) - 1.0, 2.0 * (v - row) - 1.0)


def _cloth(canvas: Canvas, look: Look, weave: _Weave, missing: np.ndarray) -> None:
    """Every cell shows the thread that is on top: bright along its back, dark where it dives under."""
    phase = (weave.column + weave.row) % 4
    warp_over = (phase < 2) | missing
    # A float spans two cells; its own position runs from -1 to 1 over both.
    warp_end = 0.5 * (weave.v + np.where(phase == 1, -1.0, 1.0)) * -1.0
    weft_end = 0.5 * (weave.u + np.where(phase == 3, 1.0, -1.0))
    across = np.where(warp_over, weave.u, weave.v)
    end = np.where(missing, 0.0, np.where(warp_over, warp_end, weft_end))
    a2, e2 = across * across, end * end
    relief = (1.0 - 0.30 * a2 - 0.48 * a2 * a2) * (1.0 - 0.12 * e2 - 0.48 * e2 * e2 * e2)
    # Yarn is twisted: fine slanting lines, seen from 128 px on.
    along = np.where(warp_over, weave.v, weave.u)
    relief = relief * (1.0 + 0.05 * np.cos(2.0 * np.pi * (1.5 * along + 0.8 * across)))
    # Where the weft is gone nothing supports the warp, and it lies deeper, in shadow.
    relief = np.where(missing, 0.66 * relief, relief)
    thread = lattice(np.where(warp_over, weave.column, weave.row), warp_over.astype(np.int64), look.salt + 2)
    warp, weft = (np.array(colour).reshape(3, 1, 1) for colour in DYES[look.dye])
    colour = np.where(warp_over, warp, weft)
    canvas.rgb[...] = colour * (look.tone * (0.92 + 0.14 * thread) * relief * 1.12)


def _mispick(weave: _Weave, look: Look, defect: Defect) -> np.ndarray:
    """Cells (boolean (h, w)) where the weft is missing, so that warp threads lie bare side by side."""
    dx, dy = (defect.x - 0.5) / look.pitch, (defect.y - 0.5) / look.pitch
    c, s = float(np.cos(look.angle)), float(np.sin(look.angle))
    column, row = c * dx + s * dy + look.shift_x, c * dy - s * dx + look.shift_y
    inside = np.abs(weave.column + 0.5 - column) < 0.5 * defect.length / look.pitch
    return inside & (np.abs(weave.row + 0.5 - row) < 0.5 * defect.width / look.pitch)


def _snag(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """A pulled thread that lies over the cloth: pale, twisted, with its shadow beside it."""
    along, across = stroke(canvas, defect)
    inside = (np.abs(along) < 1.0) & (np.abs(across) < 1.0)
    lit = 1.0 if np.cos(defect.angle - look.azimuth + 0.5 * np.pi) > 0.0 else -1.0
    away = -lit * across
    twist = 0.10 * np.cos(60.0 * along * defect.length / 0.5 + 3.0 * across)
    canvas.blend(inside * 0.92, (0.10, 0.08, 0.07))
    canvas.blend((inside & (away < 0.55)) * (0.86 + twist), (0.98, 0.95, 0.86))
    canvas.mark(inside, class_id)


def _stain(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """Soaked-in oil: brown and dark, darkest at the rim; the weave shows through."""
    radius, _, _ = spot(canvas, defect, 0.16)
    inside = radius < 1.0
    mottle = noise(canvas.x * 11.0, canvas.y * 11.0, defect.salt)
    alpha = 0.66 + 0.08 * mottle + 0.16 * smoothstep(0.72, 0.95, radius)
    canvas.blend(inside * alpha, (0.20, 0.12, 0.03))
    canvas.mark(inside, class_id)


def _hole(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """Torn cloth: a black gap, and around it the pale frayed ends of cut threads."""
    radius, u, v = spot(canvas, defect, 0.12)
    inside = radius < 1.0
    ends = noise(16.0 * np.arctan2(v, u) / np.pi, 2.0 * radius, defect.salt)
    canvas.blend(inside.astype(np.float64), (0.95, 0.92, 0.85))
    canvas.blend(smoothstep(0.82, 0.74, radius - 0.17 * ends), (0.05, 0.05, 0.06))
    canvas.mark(inside, class_id)


def _knot(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """A small nub of yarn: a pale ball in its own dark shadow."""
    radius, u, v = spot(canvas, defect, 0.04)
    inside = radius < 1.0
    lx, ly = float(np.cos(look.azimuth)), float(np.sin(look.azimuth))
    ball = np.sqrt((u - 0.10 * lx) ** 2 + (v - 0.10 * ly) ** 2)
    canvas.blend(inside * 0.92, (0.07, 0.06, 0.06))
    yarn = 1.0 - 0.16 * ball * ball + 0.08 * np.cos(7.0 * (u + 0.6 * v))
    canvas.blend(smoothstep(0.90, 0.76, ball), yarn * np.array([0.99, 0.96, 0.88]).reshape(3, 1, 1))
    canvas.mark(inside, class_id)


_PAINTERS = {"snag": _snag, "stain": _stain, "hole": _hole, "knot": _knot}

TWILL = Product(
    name="twill",
    kind="texture",
    types=TYPES,
    description="Twill cloth seen close, with faults of weave and fabric.",
    title="a piece of twill",
    compose=compose,
    propose=propose,
    fits=fits,
    paint=paint,
)
