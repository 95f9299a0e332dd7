"""A flat washer of turned steel on a dark mat, with the two opposite fans of light that turning makes of a lamp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defectlib.data.procedural.rendering import Canvas, Colour, backdrop, grain, noise, smoothstep, turned
from defectlib.data.procedural.scenes import Defect, DefectType, Product, draw_defect
from defectlib.data.procedural.shapes import spot, stroke

STEELS: dict[str, Colour] = {
    "bright steel": (0.80, 0.81, 0.83),
    "grey steel": (0.67, 0.69, 0.71),
    "yellow-zinc steel": (0.78, 0.74, 0.56),
}
MATS: tuple[Colour, ...] = ((0.20, 0.25, 0.33), (0.20, 0.28, 0.25), (0.24, 0.23, 0.24))
RUST: tuple[Colour, Colour] = ((0.72, 0.31, 0.07), (0.34, 0.13, 0.05))
CHAMFER = 0.026
"""Width of the bevel at both edges, in sides of the image."""

TYPES = (
    DefectType("scratch", (0.22, 0.38), (0.038, 0.046), ("short thin", "thin", "long thin"), "scratch"),
    DefectType("rust", (0.22, 0.36), (0.16, 0.21), ("small", "broad", "large"), "patch of rust"),
    DefectType("pit", (0.080, 0.110), (0.080, 0.110), ("tiny", "tiny", "small"), "pit"),
    DefectType("burr", (0.12, 0.18), (0.10, 0.13), ("small", "sharp", "large"), "burr"),
)


@dataclass(frozen=True)
class Look:
    """Pose, metal and light of one washer; lengths in sides of the image, angles in radians."""

    x: float
    y: float
    outer: float
    bore: float
    tilt: float
    squash: float
    steel: str
    mat: Colour
    azimuth: float
    gloss: float
    salt: int

    @property
    def words(self) -> str:
        """What it is made of."""
        return self.steel

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """Centre and half extents of the washer in the image."""
        return self.x, self.y, self.outer, self.outer

    @property
    def light(self) -> tuple[float, float]:
        """Unit vector towards the light in the plane of the image."""
        return float(np.cos(self.azimuth)), float(np.sin(self.azimuth))


def compose(rng: np.random.Generator) -> Look:
    """Draw a washer, seen from within 20 degrees of straight above, lit from the upper left."""
    x, y = (float(v) for v in rng.uniform(0.465, 0.535, 2))
    outer = float(rng.uniform(0.365, 0.400))
    bore = outer * float(rng.uniform(0.38, 0.46))
    tilt, squash = float(rng.uniform(0.0, np.pi)), float(rng.uniform(0.94, 1.0))
    steel = list(STEELS)[rng.integers(len(STEELS))]
    level = float(rng.uniform(0.85, 1.25))
    mat = tuple(level * channel for channel in MATS[rng.integers(len(MATS))])
    azimuth, gloss = float(np.deg2rad(rng.uniform(-150.0, -100.0))), float(rng.uniform(0.8, 1.1))
    return Look(x, y, outer, bore, tilt, squash, steel, mat, azimuth, gloss, int(rng.integers(2**40)))


def propose(rng: np.random.Generator, kind: DefectType, look: Look) -> Defect:
    """Draw a defect of a type on the face; a burr sits on the outer edge and sticks out of it."""
    around = float(rng.uniform(-np.pi, np.pi))
    radius = float(rng.uniform(look.bore, look.outer))
    angle, bend = float(rng.uniform(-np.pi, np.pi)), 0.0
    if kind.name == "scratch":
        angle, bend = around + 0.5 * np.pi + float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.03, 0.03))
    elif kind.name == "rust":
        angle = around + 0.5 * np.pi
    elif kind.name == "burr":
        angle, radius = around + 0.5 * np.pi, look.outer
    u, v = radius * np.cos(around - look.tilt), radius * np.sin(around - look.tilt) * look.squash
    c, s = np.cos(look.tilt), np.sin(look.tilt)
    return draw_defect(rng, kind, float(look.x + c * u - s * v), float(look.y + s * u + c * v), angle, bend)


def fits(look: Look, defect: Defect) -> bool:
    """Whether a defect lies on the flat face; rust may run over the edges, where it is cut off."""
    if defect.kind == "burr":
        return True
    points = defect.spine()
    radius = np.sqrt(sum(axis * axis for axis in flattened(points[:, 0], points[:, 1], look)))
    margin = 0.5 * defect.width + (-0.02 if defect.kind == "rust" else CHAMFER)
    return bool(radius.min() > look.bore + margin and radius.max() < look.outer - margin)


def flattened(x: np.ndarray, y: np.ndarray, look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates about the washer's centre in which it is a true circle, in the image's directions."""
    u, v = turned(x, y, (look.x, look.y), look.tilt)
    v = v / look.squash
    c, s = float(np.cos(look.tilt)), float(np.sin(look.tilt))
    return c * u - s * v, s * u + c * v


def paint(canvas: Canvas, look: Look, defects: list[tuple[int, Defect]]) -> None:
    """Paint mat, shadow and washer, then the defects one after another, then the grain."""
    backdrop(canvas, look.mat, look.azimuth, 0.30, look.salt)
    _shadow(canvas, look)
    _ring(canvas, look)
    for class_id, defect in defects:
        _PAINTERS[defect.kind](canvas.window(defect.x, defect.y, defect.reach), look, class_id, defect)
    grain(canvas, 0.010, look.salt + 1)


def _shadow(canvas: Canvas, look: Look) -> None:
    lx, ly = look.light
    dx, dy = flattened(canvas.x + 0.028 * lx, canvas.y + 0.028 * ly, look)
    radius = np.sqrt(dx * dx + dy * dy)
    middle, half = 0.5 * (look.outer + look.bore), 0.5 * (look.outer - look.bore)
    canvas.scale(1.0 - 0.72 * smoothstep(0.030, -0.025, np.abs(radius - middle) - half))


def _ring(canvas: Canvas, look: Look) -> None:
    dx, dy = flattened(canvas.x, canvas.y, look)
    radius = np.sqrt(dx * dx + dy * dy)
    inside = (radius < look.outer) & (radius > look.bore)
    lx, ly = look.light
    towards = (dx * lx + dy * ly) / np.maximum(radius, 1e-9)
    lines = 0.050 * noise(radius * 95.0, 0.0 * radius, look.salt) + 0.035 * noise(
        radius * 34.0, 0.0 * radius, look.salt
    )
    # A turned face mirrors the lamp where its rings lie square to the light: two fans, and a weak cross.
    t2 = towards * towards
    fans = look.gloss * (0.42 * t2 * t2 * t2 + 0.13 * (1.0 - t2) ** 8)
    face = (0.54 + fans) * (1.0 + lines)
    bevel = 0.72 + 0.62 * towards
    face = np.where(look.outer - radius < CHAMFER, bevel, face)
    face = np.where(radius - look.bore < CHAMFER, 0.72 - 0.62 * towards, face)
    canvas.blend(inside.astype(np.float64), np.array(STEELS[look.steel]).reshape(3, 1, 1) * face)


def _on_ring(canvas: Canvas, look: Look) -> np.ndarray:
    dx, dy = flattened(canvas.x, canvas.y, look)
    square = dx * dx + dy * dy
    return (square < look.outer**2) & (square > look.bore**2)


def _scratch(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """A furrow: bright metal beside a dark lip on the side towards the light."""
    along, across = stroke(canvas, defect)
    inside = (np.abs(along) < 1.0) & (np.abs(across) < 1.0) & _on_ring(canvas, look)
    grooves = 0.12 * noise(along * 7.0, 3.5 * across, defect.salt)
    lit = 1.0 if np.cos(defect.angle - look.azimuth + 0.5 * np.pi) > 0.0 else -1.0
    canvas.blend(inside * (0.87 + grooves), (1.0, 1.0, 0.99))
    canvas.blend((inside & (lit * across > 0.10)) * 0.92, (0.08, 0.07, 0.08))
    canvas.mark(inside, class_id)


def _rust(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """Red rust: grainy, from orange to dark brown, opaque."""
    radius, _, _ = spot(canvas, defect, 0.18)
    radius = radius + 0.06 * noise(canvas.x * 30.0, canvas.y * 30.0, defect.salt)
    inside = (radius < 1.0) & _on_ring(canvas, look)
    mix = 0.5 + 0.35 * noise(canvas.x * 22.0, canvas.y * 22.0, defect.salt + 1)
    mix = mix + 0.25 * noise(canvas.x * 60.0, canvas.y * 60.0, defect.salt + 2)
    bright, dark = (np.array(colour).reshape(3, 1, 1) for colour in RUST)
    canvas.blend(inside * 0.93, bright + np.clip(mix, 0.0, 1.0) * (dark - bright))
    canvas.mark(inside, class_id)


def _pit(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """A small crater: black, with a glint on the wall away from the light."""
    radius, u, v = spot(canvas, defect, 0.06)
    inside = radius < 1.0
    lx, ly = look.light
    canvas.blend(inside * 0.97, (0.05, 0.04, 0.05))
    wall = smoothstep(0.35, 0.50, radius) * smoothstep(0.86, 0.74, radius)
    glint = wall * smoothstep(0.10, 0.45, -(u * lx + v * ly))
    canvas.blend(inside * 0.70 * glint, (0.92, 0.92, 0.92))
    canvas.mark(inside, class_id)


def _burr(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """A lip of torn metal that sticks out over the mat: lit like a bump, with a dark crease on the face."""
    radius, u, v = spot(canvas, defect, 0.14)
    inside = radius < 1.0
    lx, ly = look.light
    rough = noise(canvas.x * 34.0, canvas.y * 34.0, defect.salt)
    shade = 0.86 + 0.34 * (u * lx + v * ly) + 0.08 * rough
    canvas.blend(inside.astype(np.float64), np.array(STEELS[look.steel]).reshape(3, 1, 1) * shade)
    crease = smoothstep(0.66, 0.80, radius) * _on_ring(canvas, look)
    canvas.blend(inside * 0.94 * crease, (0.06, 0.05, 0.06))
    canvas.mark(inside, class_id)


_PAINTERS = {"scratch": _scratch, "rust": _rust, "pit": _pit, "burr": _burr}

WASHER = Product(
    name="washer",
    kind="object",
    types=TYPES,
    description="A flat washer of turned steel on a dark mat, with faults of its surface and edge.",
    title="a washer",
    compose=compose,
    propose=propose,
    fits=fits,
    paint=paint,
)
