"""What Table 1 of the paper counts, counted from the masks on disk instead of typed (paper §3.2, Table 1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from defectlib.data.pixels import threaded
from defectlib.data.sources.source import SYNTHETIC, UNLABELLED, Row, Source, rows
from defectlib.data.split import class_pixels


@dataclass(frozen=True)
class Counts:
    """Images of one dataset, or of one product of it, by what is annotated in them.

    Attributes:
        images: All images, synthetic ones left out.
        defective: Those with an annotated defect: at least one pixel of a mask.
        types: Defect types that occur in the masks; types of different products are different.
        pixel_labels: Defective images with an exact mask; 0 where the masks are weak regions around the defect.
        several_types: Images that show more than one type.
        captions: Defective images with a caption.
        synthetic: Synthetic images with at least one defect pixel.
        unlabelled: Images about which the publishers say nothing.
    """

    images: int
    defective: int
    types: int
    pixel_labels: int
    several_types: int
    captions: int
    synthetic: int
    unlabelled: int


def survey(source: Source) -> pd.DataFrame:
    """The table of ``source`` with the defect types that each mask shows; every mask is decoded once, on all cores.

    Returns:
        ``source.table`` with a column more: ``classes``, a tuple of the names of the types present, in id order.

    Raises:
        UserError: A mask is damaged or not what the layout promises.
    """
    present = list(threaded(lambda row: _present(source, row), rows(source), "counting"))
    return source.table.assign(classes=pd.Series(present, source.table.index, object))


def _present(source: Source, row: Row) -> tuple[str, ...]:
    if not row.mask:
        return ()
    classes = source.classes[row.product]
    pixels = class_pixels(source.mask(row), len(classes))
    return tuple(classes[k] for k in np.flatnonzero(pixels))


def count(surveyed: pd.DataFrame, annotation: str) -> Counts:
    """The counts over the rows of a :func:`survey`; ``annotation`` is the manifest's."""
    number = surveyed["classes"].map(len)
    synthetic = surveyed["split"] == SYNTHETIC
    real = surveyed[~synthetic]
    defective = real[number[~synthetic] > 0]
    types = {(row.product, name) for row in defective.itertuples() for name in row.classes}
    return Counts(
        images=len(real),
        defective=len(defective),
        types=len(types),
        pixel_labels=len(defective) if annotation == "exact" else 0,
        several_types=int((number[defective.index] > 1).sum()),
        captions=int((defective["caption"] != "").sum()),
        synthetic=int((number[synthetic] > 0).sum()),
        unlabelled=int((real["label"] == UNLABELLED).sum()),
    )


def by_product(surveyed: pd.DataFrame, annotation: str) -> pd.DataFrame:
    """:func:`count` of every product, indexed by its name, with the columns of :class:`Counts`."""
    counts = {product: asdict(count(part, annotation)) for product, part in surveyed.groupby("product")}
    columns = [field.name for field in fields(Counts)]
    return pd.DataFrame.from_dict(counts, orient="index", columns=columns).rename_axis("product")
