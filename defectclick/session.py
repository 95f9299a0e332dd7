"""One image being labelled: defects made of clicks and brush strokes, an index mask, and a way back over every edit.

A defect has a class, clicks of its own and a layer, so that several defects of one class in one image do not disturb
each other: a method of interactive segmentation sees one of them at a time. Where layers overlap, the mask shows what
was marked last. What the brush has set, clicks leave alone. An edit costs what the boxes of the defects that it touches
cost, whatever the size of the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from defectclick.clicks import Click, Clicker
from defectclick.layers import EMPTY, Box, Layer, bounds, overlap, stroke_mask, union, within
from defectlib.errors import UserError

Kind = Literal["click", "paint", "erase", "clear"]
#: Of all numbers of an edit: far beyond every image, and whatever is computed from it is still a number.
FARTHEST = 10**9
Patches = list[tuple[Layer, Box, np.ndarray]]  # layers, where they differ, and what is not there now


@dataclass(frozen=True)
class Edit:
    """Something that the annotator has done to the mask: a click, a stroke, or everything taken away."""

    kind: Kind
    class_id: int = 0  # of the defect that was clicked or painted; 0 for what concerns all
    defect: int = 0  # its number, from 0 in the order in which the image's defects were begun; 0 for what concerns all
    points: tuple[tuple[float, float], ...] = ()  # (row, column) of the click or along the stroke; middles are whole
    positive: bool = True  # of a click: it lies on the defect
    radius: float = 0.0  # of a stroke, pixels
    seconds: float = 0.0  # when, counted from when the image was shown

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"an edit is one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if not (np.abs([self.radius, self.seconds, *np.ravel(self.points)]) <= FARTHEST).all() or self.radius < 0:
            raise ValueError(f"points, radius and seconds must be numbers up to {FARTHEST:,}, the radius from 0")
        if (len(self.points) != 1) if self.kind == "click" else (self.kind != "clear" and not self.points):
            raise ValueError("a click has one point, a stroke at least one")


@dataclass(frozen=True)
class Defect:
    """A defect of the image: its class, from 1, and its clicks in the order in which they were made."""

    class_id: int
    clicks: tuple[Click, ...] = ()


@dataclass
class _Step:
    """An edit that was made, with what takes it back: patches as they are not at present."""

    edit: Edit
    other: tuple[tuple[Defect, ...], int | None]  # defects and number of the current one
    patches: Patches


class Session:
    """The state of one image.

    Args:
        image: uint8 (H, W, 3).
        defect_types: Number K of classes.
        clicker: Turns the clicks of one defect into its mask.

    Attributes:
        defects: All that were begun, in that order; some may have no pixel left.
        current: Number of the defect that the next click belongs to; None where it begins one.
        index: uint8 (H, W), the mask: 0 is background, k is class k. Read it, do not write it.
        pixels: int (256,), how many pixels of the mask have each value.
        changed: Box of the mask that holds all that the latest edit, undone or not, has changed.
        class_id: Class of what the next click or stroke begins, from 1.
    """

    def __init__(self, image: np.ndarray, defect_types: int, clicker: Clicker) -> None:
        self.image, self.defect_types, self.clicker = image, defect_types, clicker
        self.index = np.zeros(image.shape[:2], np.uint8)
        self.pixels = np.bincount([0], [self.index.size], minlength=256).astype(int)
        self.changed = EMPTY
        self.class_id = 1
        self.defects: tuple[Defect, ...] = ()
        self.current: int | None = None
        # Of each defect and pixel the number of the edit that marked it last, 0 where it is not marked.
        self._layers: list[Layer] = []
        self._brushed = Layer(np.zeros((0, 0), bool))
        self._begun: tuple[Edit, ...] = ()  # edits before those that can be taken back
        self._done: list[_Step] = []
        self._undone: list[_Step] = []

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Everything done to the mask and not taken back."""
        return (*self._begun, *(step.edit for step in self._done))

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an edit to make again."""
        return bool(self._undone)

    def choose(self, class_id: int) -> None:
        """Go on with the latest defect of a class; where there is none, the next click begins it."""
        if not 1 <= class_id <= self.defect_types:
            raise ValueError(f"class {class_id} is not one of 1..{self.defect_types}")
        numbers = [number for number, defect in enumerate(self.defects) if defect.class_id == class_id]
        self.class_id, self.current = class_id, numbers[-1] if numbers else None

    def begin(self, class_id: int) -> None:
        """Let the next click or stroke begin a new defect of a class."""
        self.choose(class_id)
        self.current = None

    # Editing ----------------------------------------------------------------------------------------------------------

    def click(self, row: int, column: int, positive: bool = True, seconds: float = 0.0) -> None:
        """A click on the current defect, or a negative one on what a mask took for a defect.

        A negative click belongs to the defect that is seen under it, if there is one.

        Raises:
            UserError: It is negative, and there is nothing yet to take away from.
            ValueError: It lies outside the image.
        """
        number = self.current
        if not positive:
            marked = [layer.at(row, column) for layer in self._layers[: len(self.defects)]]
            number = int(np.argmax(marked)) if any(marked) else number
            if number is None:
                raise UserError("There is no mask here to take away from: click on the defect first")
        self.apply(Edit("click", *self._of(number), ((row, column),), positive, seconds=seconds))

    def brush(
        self, points: Iterable[tuple[float, float]], radius: float, erase: bool = False, seconds: float = 0.0
    ) -> None:
        """A stroke that marks the current defect, or takes away whatever is under it.

        Args:
            points: (row, column) along the stroke.
            radius: Pixels whose middle is that near are set; the pixel that holds a point always is.
            erase: Nothing is a defect here.
            seconds: Since the image was shown.
        """
        line = tuple((float(row), float(column)) for row, column in points)
        kind, of = ("erase", (0, 0)) if erase else ("paint", self._of(self.current))
        self.apply(Edit(kind, *of, line, radius=radius, seconds=seconds))

    def clear(self, seconds: float = 0.0) -> None:
        """Take all defects away."""
        self.apply(Edit("clear", seconds=seconds))

    def apply(self, edit: Edit) -> None:
        """Make an edit, also one that was recorded, of this image or of another of its size.

        Raises:
            ValueError: It names a class or a defect that there cannot be, or lies outside the image.
        """
        if edit.kind in ("click", "paint"):
            known = edit.defect < len(self.defects)
            if not 0 <= edit.defect <= len(self.defects) or not 1 <= edit.class_id <= self.defect_types:
                raise ValueError(f"defect {edit.defect} of class {edit.class_id} cannot be the next")
            if known and self.defects[edit.defect].class_id != edit.class_id:
                raise ValueError(f"defect {edit.defect} is not of class {edit.class_id}")
        if edit.kind == "click":
            row, column = edit.points[0]
            if row % 1 or column % 1 or not (0 <= row < self.index.shape[0] and 0 <= column < self.index.shape[1]):
                raise ValueError(f"a click at ({row}, {column}) is no pixel of the image, {self.index.shape}")
        before = self.defects, self.current
        acts = {"click": self._click, "paint": self._paint, "erase": self._erase, "clear": self._clear}
        try:
            patches = acts[edit.kind](edit)
        except BaseException:
            self.defects, self.current = before
            raise
        self._done.append(_Step(edit, before, patches))
        self._undone.clear()
        self._recompose(patches)

    def undo(self) -> bool:
        """Take the latest edit back, exactly; whether there was one."""
        return self._turn(self._done, self._undone)

    def redo(self) -> bool:
        """Make the edit that was taken back last again, exactly; whether there was one."""
        return self._turn(self._undone, self._done)

    # Keeping ----------------------------------------------------------------------------------------------------------

    def layers(self) -> list[Layer]:
        """What :meth:`restore` needs beside edits and defects: bool, what the brush has set; uint16 of each defect."""
        return [self._brushed, *self._layers[: len(self.defects)]]

    def restore(self, edits: Sequence[Edit], defects: Sequence[Defect], layers: Sequence[Layer]) -> None:
        """Go on from a state that was kept, where nothing was done yet; its edits cannot be taken back any more.

        Raises:
            ValueError: A defect has a class that there is not.
        """
        if any(not 1 <= defect.class_id <= self.defect_types for defect in defects):
            raise ValueError("a defect has a class that there is not")
        self.defects, self.current = tuple(defects), len(defects) - 1 if defects else None
        self.class_id = defects[-1].class_id if defects else 1
        self._brushed, *self._layers = layers
        self._begun = tuple(edits)
        for layer in self._layers:
            self._compose(layer.box)

    # Inside -----------------------------------------------------------------------------------------------------------

    def _of(self, number: int | None) -> tuple[int, int]:
        """Class and number of a defect; None: of the one that is begun next."""
        return (self.class_id, len(self.defects)) if number is None else (self.defects[number].class_id, number)

    def _click(self, edit: Edit) -> Patches:
        layer, brushed = self._layer_of(edit), self._brushed
        row, column = (int(place) for place in edit.points[0])
        clicks = (*self.defects[edit.defect].clicks, Click(row, column, edit.positive))
        previous = np.zeros(self.index.shape, bool)
        previous[layer.box] = layer.values > 0
        mask = self.clicker.segment(self.image, clicks, previous)
        if mask.dtype != bool or mask.shape != self.index.shape:
            raise ValueError(f"{self.clicker.name} gave a mask of {mask.dtype} {mask.shape}")
        self._stand(edit.defect, Defect(edit.class_id, clicks))
        # A click into what the brush has set, or into what hides this defect, is meant for just that piece.
        patches = []
        if brushed.at(row, column):
            patches = _changed(brushed, brushed.box, brushed.values & ~brushed.piece(row, column))
        box = union([layer.box, bounds(mask)])
        mask, old, kept = mask[box], layer.read(box), brushed.read(box)
        hidden = Layer(mask & self._hidden(old, box), box[0].start, box[1].start)
        meant = Layer(hidden.piece(row, column), hidden.box[0].start, hidden.box[1].start).read(box)
        marked = np.where(mask & ((old == 0) | meant), np.uint16(self._number()), old) * mask
        return patches + _changed(layer, box, np.where(kept, old, marked))

    def _paint(self, edit: Edit) -> Patches:
        layer, stroke = self._layer_of(edit), stroke_mask(edit.points, edit.radius, self.index.shape)
        self._stand(edit.defect, self.defects[edit.defect])
        marked = np.where(stroke.values, np.uint16(self._number()), layer.read(stroke.box))
        return _changed(layer, stroke.box, marked) + self._brush(stroke)

    def _erase(self, edit: Edit) -> Patches:
        stroke = stroke_mask(edit.points, edit.radius, self.index.shape)
        patches = self._brush(stroke)
        for layer in self._layers:
            patches += _changed(layer, stroke.box, layer.read(stroke.box) * ~stroke.values)
        return patches

    def _brush(self, stroke: Layer) -> Patches:
        return _changed(self._brushed, stroke.box, self._brushed.read(stroke.box) | stroke.values)

    def _clear(self, _: Edit) -> Patches:
        patches = []
        for layer in (self._brushed, *self._layers):
            patches += _changed(layer, layer.box, np.zeros_like(layer.values))
        # Numbers go on, so that a record of edits names every defect by one number; what is gone has no clicks.
        self.defects, self.current = tuple(Defect(defect.class_id) for defect in self.defects), None
        return patches

    def _layer_of(self, edit: Edit) -> Layer:
        if edit.defect == len(self.defects):
            self._stand(edit.defect, Defect(edit.class_id))
        if edit.defect == len(self._layers):
            self._layers.append(Layer(np.zeros((0, 0), np.uint16)))
        return self._layers[edit.defect]

    def _stand(self, number: int, defect: Defect) -> None:
        """Make ``defect`` the one of this number, and the current one."""
        self.defects = (*self.defects[:number], defect, *self.defects[number + 1 :])
        self.class_id, self.current = defect.class_id, number

    def _number(self) -> int:
        """Of the edit being made, from 1."""
        return min(len(self._begun) + len(self._done) + 1, np.iinfo(np.uint16).max)

    def _hidden(self, own: np.ndarray, box: Box) -> np.ndarray:
        """Where another defect is seen in place of the one whose layer holds ``own`` in ``box``."""
        hidden = np.zeros_like(own, bool)
        for layer in self._layers:
            common = overlap(box, layer.box)
            part = within(common, box)
            hidden[part] |= layer.read(common) > own[part]
        return hidden

    def _turn(self, source: list[_Step], target: list[_Step]) -> bool:
        if not source:
            return False
        step = source.pop()
        step.other, (self.defects, self.current) = (self.defects, self.current), step.other
        if self.current is not None:
            self.class_id = self.defects[self.current].class_id
        patches = []
        for layer, box, values in step.patches:
            patches.append((layer, box, layer.read(box)))
            layer.write(box, values)
        step.patches = patches
        target.append(step)
        self._recompose(patches)
        return True

    def _recompose(self, patches: Patches) -> None:
        boxes = [box for layer, box, _ in patches if layer is not self._brushed]
        for box in boxes:
            self._compose(box)
        self.changed = union(boxes)

    def _compose(self, box: Box) -> None:
        index = self.index[box]
        self.pixels -= np.bincount(index.ravel(), minlength=256)
        index[...] = 0
        latest = np.zeros(index.shape, np.uint16)
        for defect, layer in zip(self.defects, self._layers, strict=False):
            common = overlap(box, layer.box)
            values, part = layer.read(common), within(common, box)
            wins = values > latest[part]
            index[part][wins] = defect.class_id
            latest[part][wins] = values[wins]
        self.pixels += np.bincount(index.ravel(), minlength=256)


def _changed(layer: Layer, box: Box, new: np.ndarray) -> Patches:
    """Write ``new`` into a box of ``layer`` and keep what was there, as far as they differ."""
    old = layer.read(box)
    part = bounds(old != new)
    if part == EMPTY:
        return []
    place = tuple(slice(p.start + b.start, p.stop + b.start) for p, b in zip(part, box, strict=True))
    layer.write(place, new[part])
    return [(layer, place, old[part].copy())]
