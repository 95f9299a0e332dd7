"""A dataset folder checked whole: every fault at once, each naming the file, what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from defectlib.data import folder
from defectlib.data.folder import Listing
from defectlib.data.pixels import MAX_CLASSES, read_image, read_mask, size_fault, threaded
from defectlib.data.split import Split, class_pixels
from defectlib.errors import UserError, UserErrors

# Two images are near-duplicates when a 64-bit average hash differs in at most this many bits ...
HASH_BITS = 6
# ... and 32 x 32 gray thumbnails differ by at most this many gray levels of 255 on average.
GRAY_LEVELS = 2.0
_LISTED_PAIRS = 20


@dataclass(frozen=True)
class Report:
    """What a dataset folder holds and what is wrong with it.

    Attributes:
        root: The folder.
        faults: What must be mended before the folder can be used, one line each.
        warnings: What should be looked at, one line each.
        images: Number of images.
        defect_images: Images with at least one defect pixel.
        several_types: Images with more than one defect type.
        per_class: Columns ``class``, ``images`` (that show it) and ``pixels`` (that it covers), by id from 1.
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


def check(root: Path) -> Report:
    """The report on a folder without faults.

    Raises:
        UserErrors: There are faults; all are listed.
    """
    report = verify(root)
    if report.faults:
        raise UserErrors(f"{root}: the dataset has faults ({len(report.faults)}):", report.faults)
    return report


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
    faults += [fault for look in looks for fault in look.faults]
    pixels = np.array([look.pixels for look in looks if look.pixels is not None]).reshape(-1, defect_types)
    shown = pixels > 0
    thumbnails = {key: look.thumbnail for key, look in zip(keys, looks, strict=True) if look.thumbnail is not None}
    warnings = [line for path, split in splits.items() for line in _twin_warnings(path, split, thumbnails)]
    return Report(
        root=listing.root,
        faults=tuple(faults),
        warnings=tuple(warnings),
        images=sum(1 for paths in listing.images.values() if paths),
        defect_images=int(shown.any(axis=1).sum()),
        several_types=int((shown.sum(axis=1) > 1).sum()),
        per_class=_per_class(classes, shown.sum(axis=0), pixels.sum(axis=0)),
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
    for path in sorted((listing.root / "splits").glob("*.json")):
        try:
            splits[path] = Split.read(path, listing.root)
            faults += splits[path].faults({key: listing.groups[key] for key in listing.images}, path)
        except UserError as error:
            faults.append(str(error))
    return splits


def _per_class(classes: tuple[str, ...], images: np.ndarray, pixels: np.ndarray) -> pd.DataFrame:
    count = len(classes)
    return pd.DataFrame({"class": list(classes), "images": images[:count], "pixels": pixels[:count]})


# One pair -----------------------------------------------------------------------------------------------------------


@dataclass
class _Look:
    """What decoding the files of one key showed."""

    faults: list[str] = field(default_factory=list)
    pixels: np.ndarray | None = None  # of each class, int64 (K,)
    thumbnail: np.ndarray | None = None  # uint8 (32, 32)


def _look(listing: Listing, key: str, defect_types: int, with_thumbnail: bool) -> _Look:
    look = _Look()
    images = list(_decoded(listing.images.get(key, []), read_image, look))
    masks = list(_decoded(listing.masks.get(key, []), lambda path: read_mask(path, defect_types), look))
    if images and masks and (fault := size_fault(listing.masks[key][0], images[0], masks[0])):
        look.faults.append(fault)
    if masks:
        look.pixels = class_pixels(masks[0], defect_types)
    if images and with_thumbnail:
        look.thumbnail = thumbnail(images[0])
    return look


def _decoded(paths: list[Path], read: Callable[[Path], np.ndarray], look: _Look) -> Iterator[np.ndarray]:
    for path in paths:
        try:
            yield read(path)
        except UserError as error:
            look.faults.append(str(error))


# Near-duplicates ----------------------------------------------------------------------------------------------------


def thumbnail(image: np.ndarray) -> np.ndarray:
    """A 32 x 32 gray version, uint8, of an image, uint8 (H, W, 3)."""
    return np.asarray(Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.BOX))


def average_hash(thumbnails: np.ndarray) -> np.ndarray:
    """uint64 (N,): which cells of an 8 x 8 grid over uint8 thumbnails (N, 32, 32) are lighter than their mean."""
    cells = thumbnails.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(-1, 64)
    return np.packbits(cells > cells.mean(axis=1, keepdims=True), axis=1).view(np.uint64).ravel()


def near_duplicates(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[float, int, int]]:
    """Pairs (mean absolute difference in gray levels, i, j) of alike thumbnails, uint8 (N, 32, 32) and (M, 32, 32)."""
    hashes = average_hash(second)
    for i, (thumbnail, own) in enumerate(zip(first, average_hash(first), strict=True)):
        candidates = np.flatnonzero(np.bitwise_count(hashes ^ own) <= HASH_BITS)
        differences = np.abs(second[candidates].astype(np.int16) - thumbnail).mean(axis=(1, 2))
        for j in np.flatnonzero(differences <= GRAY_LEVELS):
            yield float(differences[j]), i, int(candidates[j])


def merge_twins(index: pd.DataFrame) -> pd.DataFrame:
    """``index`` (see :func:`folder.index`) with groups that hold images alike to one another's made one group.

    A split must err on the safe side: two parts that look the same do no harm on one side, one part on both does.
    """
    images = [Path(path) for path in index["image"]]
    thumbnails = np.stack(list(threaded(lambda path: thumbnail(read_image(path)), images, "comparing")))
    groups = index["group"].to_numpy(dtype=object).copy()
    for _, i, j in near_duplicates(thumbnails, thumbnails):
        if groups[i] != groups[j]:
            groups[groups == groups[j]] = groups[i]
    return index.assign(group=pd.Series(groups, index.index))


def _twin_warnings(path: Path, split: Split, thumbnails: dict[str, np.ndarray]) -> list[str]:
    train, held = ([key for key in side if key in thumbnails] for side in (split.train, split.eval))
    if not train or not held:
        return []
    stacks = (np.stack([thumbnails[key] for key in side]) for side in (train, held))
    pairs = sorted(near_duplicates(*stacks))
    lines = [
        f"{path}: '{train[i]}' trains and '{held[j]}' evaluates, but they look the same (differ by {levels:.1f} gray"
        " levels of 255); if they show one part, put them in one group in groups.json"
        for levels, i, j in pairs[:_LISTED_PAIRS]
    ]
    more = len(pairs) - _LISTED_PAIRS
    return lines + ([f"{path}: {more} more pairs like these stand on both sides"] if more > 0 else [])
