"""A sheet of brushed metal that fills the image, with the bright band that brushing makes of a lamp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defectlib.data.procedural.rendering import Canvas, Colour, even_noise, grain, noise, smoothstep, turned
from defectlib.data.procedural.scenes import Defect, DefectType, Product, draw_defect
from defectlib.data.procedural.shapes import spot, stroke

METALS: dict[str, Colour] = {
    "silver-grey": (0.66, 0.67, 0.68),
    "blue-grey": (0.54, 0.59, 0.66),
    "brass-coloured": (0.74, 0.63, 0.40),
}
GOLD: Colour = (0.80, 0.47, 0.08)
BLUE: Colour = (0.20, 0.17, 0.58)

TYPES = (
    DefectType("scratch", (0.30, 0.65), (0.038, 0.046), ("short thin", "thin", "long thin"), "scratch"),
    DefectType("tarnish", (0.34, 0.54), (0.24, 0.36), ("small", "broad", "large"), "patch of tarnish"),
    DefectType("dent", (0.18, 0.27), (0.15, 0.22), ("small", "round", "large"), "dent"),
    DefectType("pit", (0.080, 0.112), (0.080, 0.112), ("tiny", "tiny", "small"), "pit"),
)


@dataclass(frozen=True)
class Look:
    """Direction of the brushing, metal and light of one sheet; lengths in sides, angles in radians."""

    angle: float
    metal: str
    tone: float
    contrast: float
    band: float
    spread: float
    azimuth: float
    salt: int

    @property
    def words(self) -> str:
        """The metal's colour."""
        return self.metal

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """The whole image: its centre and half extents."""
        return 0.5, 0.5, 0.5, 0.5


def compose(rng: np.random.Generator) -> Look:
    """Draw a sheet, brushed within 12 degrees of the horizontal."""
    angle = float(np.deg2rad(rng.uniform(-12.0, 12.0)))
    metal = list(METALS)[rng.integers(len(METALS))]
    tone, contrast = float(rng.uniform(0.82, 0.98)), float(rng.uniform(0.8, 1.2))
    band, spread = float(rng.uniform(-0.35, 0.35)), float(rng.uniform(0.22, 0.36))
    azimuth = float(np.deg2rad(rng.uniform(-130.0, -70.0)))
    return Look(angle, metal, tone, contrast, band, spread, azimuth, int(rng.integers(2**40)))


def propose(rng: np.random.Generator, kind: DefectType, look: Look) -> Defect:
    """Draw a defect anywhere on the sheet; scratches cross the brushing, or they would be lost in it."""
    x, y = (float(v) for v in rng.uniform(0.06, 0.94, 2))
    if kind.name == "scratch":
        angle = look.angle + float(rng.uniform(0.45, np.pi - 0.45))
        return draw_defect(rng, kind, x, y, angle, float(rng.uniform(-0.06, 0.06)))
    return draw_defect(rng, kind, x, y, float(rng.uniform(-np.pi, np.pi)))


def fits(look: Look, defect: Defect) -> bool:
    """Whether a defect lies within the image."""
    points = defect.spine()
    margin = 0.5 * defect.width + 0.015
    return bool(points.min() > margin and points.max() < 1.0 - margin)


def paint(canvas: Canvas, look: Look, defects: list[tuple[int, Defect]]) -> None:
    """Paint the sheet, then the defects one after another, then the grain."""
    _sheet(canvas, look)
    for class_id, defect in defects:
        _PAINTERS[defect.kind](canvas.window(defect.x, defect.y, defect.reach), look, class_id, defect)
    grain(canvas, 0.006, look.salt + 9)


def _sheet(canvas: Canvas, look: Look) -> None:
    u, v = turned(canvas.x, canvas.y, (0.5, 0.5), look.angle)
    # Long fine lines in two widths: the hairlines are the look of the metal, the broad ones its unevenness.
    hair = 0.085 * noise(u * 1.6, v * 105.0, look.salt) + 0.045 * noise(u * 1.1, v * 37.0, look.salt + 1)
    # A brushed sheet mirrors a lamp as a band across the lines.
    far = (u - look.band) / look.spread
    lamp = 0.30 / (1.0 + far * far) + 0.04 * even_noise(canvas, 1.0 / 3.0, look.salt + 2)
    light = look.tone * (0.80 + lamp) * (1.0 + look.contrast * hair)
    canvas.rgb[...] = np.array(METALS[look.metal]).reshape(3, 1, 1) * light


def _scratch(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """A furrow across the brushing: bright metal beside a dark lip on the side towards the light."""
    along, across = stroke(canvas, defect)
    inside = (np.abs(along) < 1.0) & (np.abs(across) < 1.0)
    grooves = 0.14 * noise(along * 7.0, 3.5 * across, defect.salt)
    lit = 1.0 if np.cos(defect.angle - look.azimuth + 0.5 * np.pi) > 0.0 else -1.0
    canvas.blend(inside * (0.85 + grooves), (0.99, 0.99, 0.98))
    canvas.blend((inside & (lit * across > 0.20)) * 0.88, (0.12, 0.11, 0.11))
    canvas.mark(inside, class_id)


def _tarnish(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """Heat tint: blue where it was hottest, gold towards the rim; the brushing shows through."""
    radius, _, _ = spot(canvas, defect, 0.16)
    inside = radius < 1.0
    hot = smoothstep(0.78, 0.60, radius + 0.10 * noise(canvas.x * 14.0, canvas.y * 14.0, defect.salt))
    gold, blue = (np.array(colour).reshape(3, 1, 1) for colour in (GOLD, BLUE))
    sheen = canvas.rgb.mean(axis=0) / 0.62
    alpha = 0.74 + 0.10 * smoothstep(0.85, 1.0, radius)
    canvas.blend(inside * alpha, (gold + hot * (blue - gold)) * sheen)
    canvas.mark(inside, class_id)


def _dent(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """A pressed-in bowl: its wall towards the light is dark, the one away from it bright."""
    radius, u, v = spot(canvas, defect, 0.05)
    inside = radius < 1.0
    slope = u * np.cos(look.azimuth) + v * np.sin(look.azimuth)
    gain = 0.70 - 0.42 * slope - 0.14 * smoothstep(0.75, 1.0, radius)
    canvas.scale(1.0 + inside * (np.clip(gain, 0.15, 1.0) - 1.0))
    glint = smoothstep(0.25, 0.85, -slope) * smoothstep(0.35, 0.75, radius)
    canvas.blend(inside * 0.85 * glint, (1.0, 1.0, 0.98))
    canvas.mark(inside, class_id)


def _pit(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """A corroded hole: black, a little uneven, with a rusty edge."""
    radius, _, _ = spot(canvas, defect, 0.07)
    inside = radius < 1.0
    canvas.blend(inside * 0.95, (0.36, 0.15, 0.06))
    canvas.blend(smoothstep(0.84, 0.70, radius), (0.05, 0.04, 0.04))
    canvas.mark(inside, class_id)


_PAINTERS = {"scratch": _scratch, "tarnish": _tarnish, "dent": _dent, "pit": _pit}

BRUSHED_PLATE = Product(
    name="brushed_plate",
    kind="texture",
    types=TYPES,
    description="A sheet of brushed metal that fills the image, with faults of its surface.",
    title="a brushed metal plate",
    compose=compose,
    propose=propose,
    fits=fits,
    paint=paint,
)
