"""One product of a published dataset, ready for a training: its labelled images, divided, at one size."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from defectlib import runtime, settings
from defectlib.data.pixels import threaded
from defectlib.data.sample import Sample
from defectlib.data.sources.source import GOOD, SYNTHETIC, UNLABELLED, Row, Source, open_source, rows
from defectlib.data.split import Split, first_shots
from defectlib.data.twins import merge_twins, thumbnail
from defectlib.errors import UserError, unknown

#: The publishers' side that trains; every other side evaluates.
_TRAINS = "train"


@lru_cache(maxsize=2)
def read_published(data: settings.PublishedData) -> tuple[tuple[Sample, ...], tuple[Sample, ...], dict[str, str]]:
    """Training and held-out samples of ``data``, defective ones alone, and the group of every sample by key.

    The division is the publishers' where they put defective images on two sides; else the first ``shots`` images of
    each defect type train and all others are held out (the authors' protocol). Images that look alike are one group.

    Raises:
        UserError: The dataset is not here, has faults or other files than ``data`` says, or a type has too few images
            for the split.
    """
    source, chosen = _opened(data)
    whole = list(threaded(lambda row: _seen(source, row, data.size), chosen, "reading"))
    warn_of_thin([thin for _, thin, _ in whole], data.size)
    samples = {sample.key: sample for sample, _, _ in whole if sample.present}
    table = pd.DataFrame(chosen, columns=Row._fields)
    table = merge_twins(table, np.stack([picture for *_, picture in whole]))
    groups = dict(zip(table["key"], table["group"], strict=True))
    table = table[table["key"].isin(samples.keys())]
    table = table.assign(classes=[samples[key].present for key in table["key"]])
    split = publishers_split(chosen) or first_shots(table, data.classes, data.shots)
    train, held = ([samples[key] for key in side if key in samples] for side in (split.train, split.eval))
    return tuple(train), tuple(held), {sample.key: groups[sample.key] for sample in (*train, *held)}


def native_masks(data: settings.PublishedData, samples: Iterable[Sample]) -> Iterator[np.ndarray]:
    """The masks of some of ``data``'s samples, uint8 (H, W), at the size at which they were published.

    Raises:
        UserError: A file has changed since the samples were read.
    """
    source, chosen = _opened(data)
    by_key = {row.key: row for row in chosen}
    return (source.mask(by_key[sample.key]) for sample in samples)


@cache
def files_here(dataset: str, root: Path, product: str) -> str | None:
    """What :class:`settings.PublishedData` holds of the files in ``root``, looked at once; None if none can be used."""
    try:
        source = _listed(dataset, root)
        return _files(source, labelled_rows(source, product))
    except UserError:  # is told when the data are read
        return None


_listed = lru_cache(maxsize=2)(open_source)  # a dataset may have a hundred products


def _files(source: Source, chosen: list[Row]) -> str:
    rows = []
    for row in chosen:
        stats = [Path(path).stat() for path in source.files(row)]
        rows.append([row._replace(image="", mask=""), [(stat.st_size, stat.st_mtime_ns) for stat in stats]])
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _opened(data: settings.PublishedData) -> tuple[Source, list[Row]]:
    """The dataset as it lies here now, and the rows that ``data`` is read from."""
    source = open_source(data.dataset, runtime.data_home() / data.dataset)
    chosen = labelled_rows(source, data.product)
    if _files(source, chosen) != data.files:
        raise UserError(
            f"{source.root}: the files of {data.product} are not those that were here when this was planned; start the "
            "command, or the notebook, anew"
        )
    return source, chosen


def _seen(source: Source, row: Row, size: int) -> tuple[Sample, tuple[str, ...], np.ndarray]:
    sample = source.sample(row)
    return *resize(sample, size), thumbnail(sample.image)


def labelled_rows(source: Source, product: str, *, good: bool = False) -> list[Row]:
    """The rows of a product with an annotation, real ones alone; with ``good``, also those free of defects.

    Raises:
        UserError: The product is not there, the layout has faults, or there is no such row.
    """
    if product not in source.classes:
        raise unknown("product", product, source.classes)
    source.check()
    kept = (GOOD,) if good else ()
    left_out = {GOOD, UNLABELLED}.difference(kept)
    chosen = [row for row in rows(source, product=product) if row.split != SYNTHETIC and row.label not in left_out]
    if not any(row.mask for row in chosen):
        raise UserError(f"{source.root}: {product} has no image with an annotated defect; choose another product")
    return chosen


def publishers_split(chosen: list[Row]) -> Split | None:
    """The publishers' own split, if it puts defective images on both sides."""
    sides = {row.split for row in chosen if row.label != GOOD}
    if _TRAINS not in sides or len(sides) < 2:
        return None
    keys = [tuple(row.key for row in chosen if (row.split == _TRAINS) == trains) for trains in (True, False)]
    return Split(*keys, rule="as the publishers divide them")


def resize(sample: Sample, size: int) -> tuple[Sample, tuple[str, ...]]:
    """``sample`` at ``size`` x ``size`` pixels; its proportions are not kept (the release's image_datasets.py).

    Returns:
        The sample, with every defect type that it has, and those of them that are too thin for this size.
    """
    image = Image.fromarray(sample.image).resize((size, size), Image.Resampling.LANCZOS)
    mask, thin = resize_mask(sample.mask, size)
    return replace(sample, image=np.array(image), mask=mask), tuple(sample.classes[k - 1] for k in thin)


def resize_mask(mask: np.ndarray, size: int) -> tuple[np.ndarray, list[int]]:
    """An index mask, uint8 (H, W), at ``size`` x ``size`` pixels, with every defect type that it has.

    Each pixel takes the value at its middle, as in the release. A type that this misses, a thin scratch or a speck,
    gets the pixels that it covers at least half as much as the one that it covers most, but never the last pixel of
    another type.

    Returns:
        The mask, and the types that have no middle.
    """
    small = np.array(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))
    thin = np.setdiff1d(mask, [0, *np.unique(small)]).tolist()
    for k in thin:
        pixels = (2 * np.argwhere(mask == k) + 1) * size // (2 * np.array(mask.shape))
        covered = np.zeros((size, size))
        np.add.at(covered, tuple(pixels.T), 1)
        covered -= ndimage.distance_transform_edt(covered == 0)  # beside the type: how far off
        free = np.ones(small.size, bool)
        free[np.unique(small, return_index=True)[1]] = False  # a pixel of each type that is there
        free = free.reshape(small.shape)
        most = covered[free].max()
        small[free & (covered >= min(most, most / 2))] = k
    return small, thin


def warn_of_thin(thin: Sequence[tuple[str, ...]], size: int) -> None:
    """Say how many images show types that are too thin for ``size``; ``thin`` has those of every image."""
    if count := sum(map(bool, thin)):
        types = Counter(name for names in thin for name in names)
        runtime.say(
            f"warning: {count} of {len(thin)} images show defects too thin or small for {size} px, which are drawn a "
            f"pixel wide ({', '.join(f'{name}: {images}' for name, images in types.items())})"
        )
