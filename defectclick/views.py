"""What Defect-Click trains on: views of scenes of many domains at many scales, under any light (paper §3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from defectclick.clicks import Click
from defectclick.crops import Box, around, cut, cut_mask, prepare, whole
from defectclick.focal import LARGEST, SMALLEST
from defectclick.imagined import imagined, patched
from defectlib.data import loading, procedural
from defectlib.data.sample import Sample
from defectlib.errors import UserError, unknown
from defectlib.settings import ClickerTraining

WHOLE = 0.3  # share of the views that are all of the image, or as much of it as a first view may be
ONE_LEVEL = 0.7  # least side of a view where there is one level only, in sides of the image
PART = 0.7  # least side of a view, in longer sides of the defect: a click may be on a part of a large one
ONE_OF_SEVERAL = 0.5  # share of the targets that are a single defect, where an image has several of a type
IMAGINED = 0.5  # share of the views whose defect no product has
_LEAST_PIXELS = 3
_TRIES = 8
_SPREAD = 0.4


# Scenes -------------------------------------------------------------------------------------------------------------


def domains(settings: ClickerTraining) -> list[Sequence[Sample]]:
    """The samples with defects of each domain that ``settings`` name: the products' scenes, then other data read.

    Raises:
        UserError: A product is unknown, or other data cannot be used or show no defect.
    """
    for product in settings.products:
        if product not in procedural.PRODUCTS:
            raise unknown("product", product, procedural.PRODUCTS)
    number = len(settings.products)
    painted = [
        Scenes(product, len(range(i, settings.scenes, number)), settings.sizes)
        for i, product in enumerate(settings.products)
    ]
    read: list[Sequence[Sample]] = []
    for data in settings.data:
        samples = loading.load_train(data)
        read.append([sample for sample in samples if sample.mask.any()])
        if not read[-1]:
            raise UserError(f"{samples[0].product}: no training image shows a defect; add some")
    return [domain for domain in painted if len(domain)] + read


class Scenes(Sequence[Sample]):
    """The first ``count`` scenes of a product on which nothing is evaluated, each painted when it is first asked for.

    All defect types in turn are painted at one of ``sizes``, pixels a side, then all at the next.
    """

    def __init__(self, product: str, count: int, sizes: Sequence[int]) -> None:
        self.product, self.sizes = product, sizes
        self._kept: list[Sample | None] = [None] * count

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Sample:
        if self._kept[index] is None:
            turn = index // len(procedural.PRODUCTS[self.product].types)
            size = self.sizes[turn % len(self.sizes)]
            self._kept[index] = procedural.sample(self.product, "oracle", index, size=size)
        return self._kept[index]


# Views --------------------------------------------------------------------------------------------------------------


@dataclass
class View:
    """A part of an image, the defect that is to be found there, and the clicks so far."""

    image: np.ndarray  # uint8 (H, W, 3)
    target: np.ndarray  # bool (H, W)
    box: Box  # the part
    look: Look  # what light does to it
    side: int  # of crops, in pixels
    clicks: list[Click] = field(default_factory=list)  # in pixels of the image
    previous: np.ndarray = field(init=False)  # bool (side, side), the mask before the latest click, over ``box``

    def __post_init__(self) -> None:
        self.previous = np.zeros((self.side, self.side), bool)
        self.crop = self.look.on(cut(self.image, self.box, self.side))
        self.truth = cut_mask(self.target, self.box, self.side)

    def input(self) -> np.ndarray:
        """For the segmenter, float32 (11, side, side)."""
        return prepare(self.crop, self.previous, self.clicks, self.box)

    def focus(self, shares: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
        """For the refiner, of the part that ``shares`` of the box say: input, and truth bool (side, side)."""
        box = self.box.at(shares)
        in_crop = Box(0.0, 0.0, self.side, self.side).at(shares)
        crop = self.look.on(cut(self.image, box, self.side))
        previous = cut_mask(self.previous, in_crop, self.side)
        truth = cut_mask(self.target, box, self.side)
        return prepare(crop, previous, self.clicks, box), truth

    def click(self, spot: tuple[int, int], positive: bool) -> None:
        """Add a click on a pixel of the crop."""
        (height, width), (row, column) = self.box.sides, spot
        row = min(int(self.box.top + (row + 0.5) / self.side * height), self.image.shape[0] - 1)
        column = min(int(self.box.left + (column + 0.5) / self.side * width), self.image.shape[1] - 1)
        self.clicks.append(Click(row, column, positive))


def draw_view(sample: Sample, settings: ClickerTraining, draw: np.random.Generator) -> View:
    """One view of one sample: turned, under some light, from some distance, with a defect in it."""
    image, target = _turned(sample.image, draw_target(sample.mask, draw), draw)
    image, look = patched(image, draw), Look.drawn(draw)
    if settings.imagined and draw.random() < IMAGINED:
        image, target = imagined(image, draw)
    for _ in range(_TRIES):
        view = View(image, target, draw_box(target, settings, draw), look, settings.crop)
        if view.truth.any():
            return view
    return View(image, target, around(target), look, settings.crop)  # too small to be seen from any further


def draw_target(mask: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """All defects of one type that a ``mask`` (H, W) shows, or a single one of them; bool (H, W)."""
    kinds = np.unique(mask[mask > 0])
    target = mask == kinds[draw.integers(len(kinds))]
    labels, count = ndimage.label(target, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    pieces = 1 + np.flatnonzero(sizes >= _LEAST_PIXELS)
    one = draw.random() < ONE_OF_SEVERAL
    return labels == draw.choice(pieces) if one and len(pieces) > 1 else target


def draw_box(target: np.ndarray, settings: ClickerTraining, draw: np.random.Generator) -> Box:
    """A square part of the image that holds a pixel of ``target``, bool (H, W); smaller where the image ends."""
    outer, places = whole(target), np.flatnonzero(target)
    row, column = divmod(int(draw.choice(places)), target.shape[1])
    largest = min(max(outer.sides), LARGEST * settings.crop)
    smallest = min(max(PART * max(around(target).sides), SMALLEST * settings.crop), largest)
    if not settings.multi_level:
        smallest = ONE_LEVEL * largest
    side = largest if draw.random() < WHOLE else float(np.exp(draw.uniform(np.log(smallest), np.log(largest))))
    top, bottom = _span(row, side, outer.bottom, draw)
    left, right = _span(column, side, outer.right, draw)
    return Box(top, left, bottom, right)


def _span(place: int, side: float, length: float, draw: np.random.Generator) -> tuple[float, float]:
    side = min(side, length)
    start = place + 0.5 + side * (draw.uniform(-_SPREAD, _SPREAD) - 0.5)
    start = min(max(start, 0.0), length - side)
    return start, start + side


def _turned(image: np.ndarray, target: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Both, mirrored along neither, one or both axes and with these exchanged or not."""
    for axis in (0, 1):
        if draw.random() < 0.5:
            image, target = np.flip(image, axis), np.flip(target, axis)
    if draw.random() < 0.5:
        image, target = image.swapaxes(0, 1), target.T
    return image, target


# Light --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What differs between one camera and light and another: a defect is one under any of them."""

    order: tuple[int, int, int]  # of the channels; the same one three times makes a grey image
    table: np.ndarray  # uint8 (3, 256), the new value of every old one, by channel
    grain: float  # standard deviation of noise, in grey levels
    seed: int  # of the noise

    @classmethod
    def drawn(cls, draw: np.random.Generator) -> Look:
        """Any look."""
        order = tuple(int(i) for i in draw.permutation(3)) if draw.random() < 0.5 else (0, 1, 2)
        order = (order[0],) * 3 if draw.random() < 0.15 else order
        values = np.linspace(0, 1, 256)
        if draw.random() < 0.1:
            values = 1 - values
        common, own = np.exp(draw.normal(0, 0.2)), np.exp(draw.normal(0, 0.08, (3, 1)))
        contrast, shift = np.exp(draw.normal(0, 0.15)), draw.normal(0, 0.05)
        curves = (values[None] ** (common * own) - 0.5) * contrast + 0.5 + shift
        table = (np.clip(curves, 0, 1) * 255).round().astype(np.uint8)
        return cls(order, table, max(0.0, draw.normal(0, 4)), int(draw.integers(2**32)))

    def on(self, crop: np.ndarray) -> np.ndarray:
        """A uint8 (S, S, 3) in this light."""
        lit = np.stack([self.table[i][crop[..., channel]] for i, channel in enumerate(self.order)], axis=-1)
        noise = np.random.Generator(np.random.PCG64(self.seed)).standard_normal(lit.shape, np.float32)
        return np.clip(lit + self.grain * noise, 0, 255).astype(np.uint8)
