"""Data checked whole, every file of it: each fault names the file, what is wrong with it and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from defectlib.data import folder
from defectlib.data.folder import Listing
from defectlib.data.pixels import MAX_CLASSES, mask_doubts, read_image, read_mask, size_fault, threaded
from defectlib.data.sources.source import GOOD, Row, Source, rows
from defectlib.data.split import Split, class_pixels
from defectlib.data.twins import near_duplicates, thumbnail
from defectlib.errors import UserError, UserErrors

Item = TypeVar("Item")
_LISTED_PAIRS = 20


@dataclass(frozen=True)
class Report:
    """What a dataset holds and what is wrong with it.

    Attributes:
        root: The folder.
        faults: What must be mended before the data can be used, one line each.
        warnings: What should be looked at, one line each.
        images: Number of images.
        defect_images: Images with at least one defect pixel.
        several_types: Images with more than one defect type.
        per_class: Columns ``class``, ``images`` (that show it) and ``pixels`` (that it covers), by id from 1; for a
            dataset of several products, ``product`` stands before them.
    """

    root: Path
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    images: int
    defect_images: int
    several_types: int
    per_class: pd.DataFrame

    def __str__(self) -> str:
        counts = f"{self.images} images, {self.defect_images} with a defect, {self.several_types} with several types"
        lines = [f"{self.root}: {counts}", self.per_class.to_string(index=False)]
        lines += [f"warning: {line}" for line in self.warnings]
        lines += [f"fault: {line}" for line in self.faults]
        return "\n".join([*lines, f"{len(self.faults)} faults, {len(self.warnings)} warnings"])

    def checked(self) -> Report:
        """The report itself, if there are no faults.

        Raises:
            UserErrors: There are; all are listed.
        """
        if self.faults:
            raise UserErrors(f"{self.root}: the dataset has faults ({len(self.faults)}):", self.faults)
        return self


def check(root: Path) -> Report:
    """The report on a dataset folder without faults.

    Raises:
        UserErrors: There are faults; all are listed.
    """
    return verify(root).checked()


def verify(root: Path) -> Report:
    """Look at every file of a dataset folder, decoding each image and mask once, on all cores.

    Near-duplicates across a split are warnings: only a person can tell one part from two that look alike.

    Raises:
        UserError: There is no such folder.
    """
    listing = folder.scan(Path(root))
    faults = list(listing.faults)
    classes = _classes(listing.root, faults)
    splits = _splits(listing, faults)
    keys = sorted(listing.images.keys() | listing.masks.keys())
    defect_types = len(classes) if classes else MAX_CLASSES
    looks = list(threaded(lambda key: _look(listing, key, defect_types, bool(splits)), keys, "checking"))
    thumbnails = {key: look.thumbnail for key, look in zip(keys, looks, strict=True) if look.thumbnail is not None}
    per_class = _per_class(classes, looks)
    warnings = _mask_warnings(looks)
    if all(look.pixels is not None for look in looks):
        warnings += _unused(listing.root, per_class)
    advice = "if they show one part, put them in one group in groups.json"
    for path, split in splits.items():
        sides = {"trains": split.train, "evaluates": split.eval}
        warnings += [*split.left_out(listing.images, path), *_twin_warnings(path, sides, thumbnails, advice)]
    return Report(
        root=listing.root,
        faults=(*faults, *(fault for look in looks for fault in look.faults)),
        warnings=tuple(warnings),
        images=sum(1 for paths in listing.images.values() if paths),
        **_counts(looks),
        per_class=per_class,
    )


def verify_source(source: Source) -> Report:
    """Look at every file of a published dataset, decoding each image and mask once, on all cores.

    Near-duplicates across the publishers' own split are warnings, and so is what the dataset is known to have wrong.
    """
    listed = rows(source)
    divided = source.table.groupby("product")["split"].nunique() > 1
    looks = list(threaded(lambda row: _look_at(source, row, bool(divided[row.product])), listed, "checking"))
    per_class, warnings = [], list(source.notes)
    for product, classes in source.classes.items():
        shown = [(row, look) for row, look in zip(listed, looks, strict=True) if row.product == product]
        per_class.append(_per_class(classes, [look for _, look in shown]).assign(product=product))
        sides: dict[str, list[str]] = {}
        for row, _ in shown:
            sides.setdefault(f"is in {row.split}", []).append(row.key)
        thumbnails = {row.key: look.thumbnail for row, look in shown if look.thumbnail is not None}
        warnings += _twin_warnings(source.root / product, sides, thumbnails, "count them as one")
    return Report(
        root=source.root,
        faults=(*source.faults, *(fault for look in looks for fault in look.faults)),
        warnings=tuple(warnings),
        images=len(listed),
        **_counts(looks),
        per_class=pd.concat(per_class)[["product", "class", "images", "pixels"]] if per_class else pd.DataFrame(),
    )


def _classes(root: Path, faults: list[str]) -> tuple[str, ...]:
    try:
        return folder.read_classes(root)
    except UserError as error:
        faults.append(str(error))
        return ()


def _splits(listing: Listing, faults: list[str]) -> dict[Path, Split]:
    """Every split manifest that can be read."""
    splits = {}
    for path in sorted((listing.root / "splits").glob("[!.]*.json")):
        try:
            splits[path] = split = Split.read(path)
            if split.made_from is None:  # else it is made again where it does not fit
                faults += split.faults({key: listing.groups[key] for key in listing.images}, path)
        except UserError as error:
            faults.append(str(error))
    return splits


# One pair -----------------------------------------------------------------------------------------------------------


@dataclass
class _Look:
    """What decoding the files of one key showed."""

    faults: list[str] = field(default_factory=list)
    pixels: np.ndarray | None = None  # of each class, int64 (K,)
    thumbnail: np.ndarray | None = None  # uint8 (32, 32)
    doubts: dict[str, Path] = field(default_factory=dict)  # what looks damaged, and in which mask


def _look(listing: Listing, key: str, defect_types: int, with_thumbnail: bool) -> _Look:
    look = _Look()
    images = list(_decoded(listing.images.get(key, []), read_image, look))
    masks = list(_decoded(listing.masks.get(key, []), lambda path: read_mask(path, defect_types), look))
    if images and masks and (fault := size_fault(listing.masks[key][0], images[0], masks[0])):
        look.faults.append(fault)
    if masks:
        look.pixels = class_pixels(masks[0], defect_types)
        look.doubts = dict.fromkeys(mask_doubts(masks[0]), listing.masks[key][0])
    if images and with_thumbnail:
        look.thumbnail = thumbnail(images[0])
    return look


def _look_at(source: Source, row: Row, with_thumbnail: bool) -> _Look:
    look, defect_types = _Look(), len(source.classes[row.product])
    images = list(_decoded([Path(row.image)], read_image, look))
    masks = list(_decoded([row] if row.mask else [], source.read_mask, look))
    if images and masks and (fault := source.size_fault(row, images[0], masks[0])):
        look.faults.append(fault)
    if masks or row.label == GOOD:
        look.pixels = class_pixels(masks[0], defect_types) if masks else np.zeros(defect_types, np.int64)
    if images and with_thumbnail:
        look.thumbnail = thumbnail(images[0])
    return look


def _decoded(items: Iterable[Item], read: Callable[[Item], np.ndarray], look: _Look) -> Iterator[np.ndarray]:
    for item in items:
        try:
            yield read(item)
        except UserError as error:
            look.faults.append(str(error))


# All pairs ----------------------------------------------------------------------------------------------------------


def _counts(looks: Sequence[_Look]) -> dict[str, int]:
    types = np.array([int((look.pixels > 0).sum()) for look in looks if look.pixels is not None], np.int64)
    return {"defect_images": int((types > 0).sum()), "several_types": int((types > 1).sum())}


def _per_class(classes: tuple[str, ...], looks: Sequence[_Look]) -> pd.DataFrame:
    images, pixels = np.zeros((2, len(classes)), np.int64)
    for look in looks:
        if look.pixels is not None:
            images += look.pixels[: len(classes)] > 0
            pixels += look.pixels[: len(classes)]
    return pd.DataFrame({"class": list(classes), "images": images, "pixels": pixels})


def _mask_warnings(looks: Sequence[_Look]) -> list[str]:
    """One line for each way in which masks look damaged."""
    masks: dict[str, list[Path]] = {}
    for look in looks:
        for doubt, path in look.doubts.items():
            masks.setdefault(doubt, []).append(path)
    more = {doubt: f" (and {len(paths) - 1} more masks)" if len(paths) > 1 else "" for doubt, paths in masks.items()}
    return [f"{paths[0]}: {doubt}{more[doubt]}" for doubt, paths in masks.items()]


def _unused(root: Path, per_class: pd.DataFrame) -> list[str]:
    """A line that names the types that no mask shows."""
    unused = [f"'{row[1]}' ({row.Index + 1})" for row in per_class.itertuples() if not row.images]
    advice = "if the masks count otherwise, mend them; else add images that show it, or remove the name"
    return [f"{root / 'classes.json'}: no mask shows {', '.join(unused)}; {advice}"] if unused else []


def _twin_warnings(
    path: Path, sides: dict[str, Sequence[str]], thumbnails: dict[str, np.ndarray], advice: str
) -> list[str]:
    """One line for every pair of images that look the same and stand on two of the ``sides`` (a verb, and keys)."""
    names = [side for side in sides if any(key in thumbnails for key in sides[side])]
    pairs = []
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            keys = [[key for key in sides[side] if key in thumbnails] for side in (first, second)]
            stacks = (np.stack([thumbnails[key] for key in side]) for side in keys)
            found = near_duplicates(*stacks)
            pairs += [(levels, f"'{keys[0][i]}' {first} and '{keys[1][j]}' {second}") for levels, i, j in found]
    lines = [
        f"{path}: {both}, but they look the same (differ by {levels:.1f} gray levels of 255); {advice}"
        for levels, both in sorted(pairs)[:_LISTED_PAIRS]
    ]
    more = len(pairs) - _LISTED_PAIRS
    return lines + ([f"{path}: {more} more pairs like these stand on both sides"] if more > 0 else [])
