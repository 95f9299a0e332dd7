"""A two-coloured softgel capsule on a matt table, lit from above on the left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defectlib.data.procedural.rendering import Canvas, Colour, backdrop, grain, noise, smoothstep, turned
from defectlib.data.procedural.scenes import Defect, DefectType, Product, draw_defect
from defectlib.data.procedural.shapes import spot, stroke

DARK_HALVES: dict[str, Colour] = {
    "amber": (0.88, 0.54, 0.10),
    "cherry": (0.74, 0.12, 0.15),
    "orange": (0.95, 0.40, 0.10),
    "green": (0.16, 0.55, 0.30),
}
PALE_HALVES: dict[str, Colour] = {"cream": (0.96, 0.86, 0.66), "white": (0.93, 0.93, 0.90)}
INK: Colour = (0.17, 0.16, 0.50)

TYPES = (
    DefectType("scratch", (0.24, 0.46), (0.038, 0.046), ("short thin", "thin", "long thin"), "scratch"),
    DefectType("stain", (0.20, 0.33), (0.15, 0.21), ("small", "broad", "large"), "ink stain"),
    DefectType("dent", (0.15, 0.21), (0.13, 0.17), ("small", "round", "large"), "dent"),
    DefectType("bubble", (0.084, 0.112), (0.084, 0.112), ("tiny", "tiny", "small"), "bubble"),
    DefectType("chip", (0.16, 0.24), (0.15, 0.20), ("small", "ragged", "large"), "chip"),
)


@dataclass(frozen=True)
class Look:
    """Pose, colours and light of one capsule; lengths in sides of the image, angles in radians."""

    x: float
    y: float
    angle: float
    half: float
    radius: float
    seam: float
    dark: str
    pale: str
    tint: Colour
    table: Colour
    azimuth: float
    height: float
    gloss: float
    salt: int

    @property
    def words(self) -> str:
        """The two colours, the left one first."""
        return f"{self.dark} and {self.pale}"

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """Centre and half extents of the capsule in the image."""
        across, down = abs(float(np.cos(self.angle))), abs(float(np.sin(self.angle)))
        return self.x, self.y, self.half * across + self.radius, self.half * down + self.radius

    @property
    def light(self) -> tuple[float, float, float]:
        """Unit vector to the light: right, down, towards the viewer."""
        flat = float(np.sqrt(1.0 - self.height**2))
        return flat * float(np.cos(self.azimuth)), flat * float(np.sin(self.azimuth)), self.height


def compose(rng: np.random.Generator) -> Look:
    """Draw a capsule: turned by at most 24 degrees, its dark half on the left, light from the upper left."""
    x, y = rng.uniform(0.46, 0.54), rng.uniform(0.46, 0.54)
    angle = np.deg2rad(rng.uniform(-24.0, 24.0))
    radius = rng.uniform(0.185, 0.215)
    half = rng.uniform(0.375, 0.42) - radius
    dark = list(DARK_HALVES)[rng.integers(len(DARK_HALVES))]
    pale = list(PALE_HALVES)[rng.integers(len(PALE_HALVES))]
    tint = tuple(float(v) for v in rng.uniform(0.94, 1.04, 3))
    tone, warmth = rng.uniform(0.60, 0.80), rng.uniform(-0.03, 0.04)
    table = (float(tone + warmth), float(tone), float(tone - warmth + 0.015))
    azimuth = np.deg2rad(rng.uniform(-122.0, -92.0))
    seam, height, gloss = rng.uniform(-0.03, 0.03), rng.uniform(0.62, 0.78), rng.uniform(0.55, 0.85)
    numbers = (float(v) for v in (x, y, angle, half, radius, seam))
    light = (float(v) for v in (azimuth, height, gloss))
    return Look(*numbers, dark, pale, tint, table, *light, int(rng.integers(2**40)))


def propose(rng: np.random.Generator, kind: DefectType, look: Look) -> Defect:
    """Draw a defect of a type on the capsule; a chip sits on its outline, the others within."""
    reach = look.half + 0.5 * look.radius
    u, v = rng.uniform(-reach, reach), rng.uniform(-0.6, 0.6) * look.radius
    angle = rng.uniform(-np.pi, np.pi)
    bend = 0.0
    if kind.name == "scratch":
        angle, bend = look.angle + rng.uniform(-0.9, 0.9), rng.uniform(-0.03, 0.03)
    elif kind.name == "stain":
        angle = look.angle + rng.uniform(-0.5, 0.5)
    elif kind.name == "chip":
        side = 1.0 if rng.random() < 0.5 else -1.0
        u, v = rng.uniform(-look.half, look.half), side * (look.radius - 0.035)
        angle = look.angle
    c, s = np.cos(look.angle), np.sin(look.angle)
    x, y = look.x + c * u - s * v, look.y + s * u + c * v
    return draw_defect(rng, kind, float(x), float(y), float(angle), float(bend))


def fits(look: Look, defect: Defect) -> bool:
    """Whether a defect lies well within the capsule; chips are cut off at the outline instead."""
    if defect.kind == "chip":
        return True
    points = defect.spine()
    depth = -outline(points[:, 0], points[:, 1], look)
    margin = {"stain": -0.02, "bubble": 0.035, "dent": 0.008}.get(defect.kind, 0.012)
    return bool(depth.min() > 0.5 * defect.width + margin)


def outline(x: np.ndarray, y: np.ndarray, look: Look) -> np.ndarray:
    """Signed distance from the capsule's outline, negative inside."""
    u, v = turned(x, y, (look.x, look.y), look.angle)
    end = u - np.clip(u, -look.half, look.half)
    return np.sqrt(end * end + v * v) - look.radius


def paint(canvas: Canvas, look: Look, defects: list[tuple[int, Defect]]) -> None:
    """Paint table, shadow and capsule, then the defects one after another, then the grain."""
    backdrop(canvas, look.table, look.azimuth, 0.16, look.salt)
    _shadow(canvas, look)
    _, _, across, down = look.frame
    _body(canvas.window(look.x, look.y, across + 0.01, down + 0.01), look)
    for class_id, defect in defects:
        _PAINTERS[defect.kind](canvas.window(defect.x, defect.y, defect.reach), look, class_id, defect)
    grain(canvas, 0.012, look.salt + 1)


def _shadow(canvas: Canvas, look: Look) -> None:
    lx, ly, _ = look.light
    depth = outline(canvas.x + 0.07 * lx, canvas.y + 0.07 * ly, look)
    soft = smoothstep(0.085, -0.05, depth)
    canvas.scale(1.0 - 0.50 * soft)


def _body(canvas: Canvas, look: Look) -> None:
    lx, ly, lz = look.light
    u, v = turned(canvas.x, canvas.y, (look.x, look.y), look.angle)
    end = u - np.clip(u, -look.half, look.half)
    c, s = float(np.cos(look.angle)), float(np.sin(look.angle))
    nx, ny = (c * end - s * v) / look.radius, (s * end + c * v) / look.radius
    flat = nx * nx + ny * ny
    inside = flat < 1.0
    nz = np.sqrt(np.clip(1.0 - flat, 0.0, 1.0))
    facing = nx * lx + ny * ly + nz * lz
    # Gelatin lets light through: the side away from the lamp glows instead of turning black.
    glow = np.clip(-(nx * lx + ny * ly), 0.0, 1.0) ** 2
    shade = 0.40 + 0.62 * np.clip(facing, 0.0, 1.0) + 0.22 * glow - 0.20 * (1.0 - nz) ** 3
    canvas.blend(inside.astype(np.float64), _shell(u, look) * shade)
    # A lamp and the window's weaker reflection, both halfway between light and viewer.
    half = np.sqrt(2.0 + 2.0 * lz)
    mirror = np.clip((nx * lx + ny * ly + nz * (lz + 1.0)) / half, 0.0, 1.0)
    shine = look.gloss * smoothstep(0.955, 0.992, mirror) + 0.16 * smoothstep(0.80, 1.0, mirror)
    canvas.blend(inside * np.clip(shine, 0.0, 0.9), (1.0, 1.0, 0.98))


def _shell(u: np.ndarray, look: Look) -> np.ndarray:
    """Colour of the shell before light, (3, h, w): two halves and the fine overlap between them."""
    tint = np.array(look.tint)
    dark, pale = np.array(DARK_HALVES[look.dark]) * tint, np.array(PALE_HALVES[look.pale]) * tint
    right = smoothstep(-0.004, 0.004, u - look.seam)
    colour = dark.reshape(3, 1, 1) + right * (pale - dark).reshape(3, 1, 1)
    overlap = (np.abs(u - look.seam - 0.012) < 0.008).astype(np.float64)
    return colour * (1.0 - 0.22 * overlap)


def _scratch(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """Scraped shell: a bright furrow with a dark lip on the side towards the light."""
    along, across = stroke(canvas, defect)
    inside = (np.abs(along) < 1.0) & (np.abs(across) < 1.0) & (outline(canvas.x, canvas.y, look) < -0.004)
    lx, ly, _ = look.light
    lit = 1.0 if -np.sin(defect.angle) * lx + np.cos(defect.angle) * ly > 0.0 else -1.0
    grooves = 0.14 * noise(along * 7.0, 3.5 * across, defect.salt)
    canvas.blend(inside * (0.85 + grooves), (0.99, 0.98, 0.96))
    canvas.blend((inside & (lit * across > 0.30)) * 0.85, (0.16, 0.10, 0.09))
    canvas.mark(inside, class_id)


def _stain(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """Printing ink that ran: blue, mottled, darker where it dried at the rim."""
    radius, _, _ = spot(canvas, defect, 0.16)
    inside = (radius < 1.0) & (outline(canvas.x, canvas.y, look) < -0.004)
    mottle = noise(canvas.x * 16.0, canvas.y * 16.0, defect.salt)
    alpha = 0.76 + 0.13 * mottle + 0.14 * smoothstep(0.70, 0.95, radius)
    canvas.blend(inside * np.clip(alpha, 0.0, 0.97), INK)
    canvas.mark(inside, class_id)


def _dent(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """A pressed-in bowl: its wall towards the light is dark, the one away from it bright."""
    radius, u, v = spot(canvas, defect, 0.05)
    inside = radius < 1.0
    lx, ly, _ = look.light
    norm = float(np.sqrt(lx * lx + ly * ly))
    slope = (u * lx + v * ly) / norm
    gain = 0.64 - 0.42 * slope - 0.12 * smoothstep(0.75, 1.0, radius)
    canvas.scale(1.0 + inside * (np.clip(gain, 0.18, 1.0) - 1.0))
    glint = smoothstep(0.30, 0.90, -slope) * smoothstep(0.35, 0.75, radius)
    canvas.blend(inside * 0.80 * glint, (1.0, 0.98, 0.94))
    canvas.mark(inside, class_id)


def _bubble(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """Trapped air: a dark rim around a bright core."""
    radius, u, v = spot(canvas, defect, 0.0)
    inside = radius < 1.0
    lx, ly, _ = look.light
    core = np.sqrt((u - 0.16 * lx) ** 2 + (v - 0.16 * ly) ** 2)
    canvas.blend(inside * 0.88, (0.09, 0.05, 0.04))
    canvas.blend(smoothstep(0.66, 0.46, core) * 0.95, (0.99, 0.99, 0.96))
    canvas.mark(inside, class_id)


def _chip(canvas: Canvas, look: Look, class_id: int, defect: Defect) -> None:
    """Shell broken away at the outline: a dark hollow behind a pale, ragged fracture."""
    radius, u, v = spot(canvas, defect, 0.12)
    rough = noise(canvas.x * 30.0, canvas.y * 30.0, defect.salt)
    radius = radius + 0.09 * rough
    inside = (radius < 1.0) & (outline(canvas.x, canvas.y, look) < 0.0)
    lx, ly, _ = look.light
    slope = (u * lx + v * ly) / float(np.sqrt(lx * lx + ly * ly))
    hollow = (0.11 + 0.05 * rough) * np.array([1.05, 0.92, 0.82]).reshape(3, 1, 1)
    canvas.blend(inside.astype(np.float64), hollow)
    # The wall away from the light is lit; a dark crack around it keeps the edge visible on the pale half too.
    wall = smoothstep(0.56, 0.66, radius) * smoothstep(0.93, 0.87, radius) * smoothstep(-0.25, 0.25, -slope)
    canvas.blend(inside * 0.95 * wall, (0.98, 0.94, 0.84))
    canvas.mark(inside, class_id)


_PAINTERS = {"scratch": _scratch, "stain": _stain, "dent": _dent, "bubble": _bubble, "chip": _chip}

SOFTGEL = Product(
    name="softgel",
    kind="object",
    types=TYPES,
    description="A two-coloured gelatin capsule on a matt table, with faults of its shell.",
    title="a softgel capsule",
    compose=compose,
    propose=propose,
    fits=fits,
    paint=paint,
)
