"""What re-annotation changed (paper §3.2): public masks against finer ones, image by image. Loads no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from defectlib.data import procedural
from defectlib.data.agreement import Agreement, Annotation, Key, agreement, agreement_table, join
from defectlib.data.coarse import coarse
from defectlib.data.loading import load
from defectlib.data.pixels import threaded
from defectlib.data.sample import Sample
from defectlib.data.sources.source import Row, Source, open_source
from defectlib.errors import UserError
from defectlib.experiments.counting import SHOWN_SIZE
from defectlib.profiles import Profile
from defectlib.runtime import data_home


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two annotations of the same images.

    Attributes:
        before: Name of the first annotation.
        after: Name of the second.
        table: See :func:`defectlib.data.agreement.agreement_table`.
        left_out: What could not be compared, in sentences.
        read: The image with the first annotation and with the second, by its key.
    """

    before: str
    after: str
    table: pd.DataFrame
    left_out: tuple[str, ...]
    read: Callable[[Key], tuple[Sample, Sample]]

    def summary(self) -> pd.DataFrame:
        """One row per product, and one for all: medians over images in % and pixels, and counts of images and types."""
        products = dict(iter(self.table.groupby(level="product")))
        named = products | ({"all": self.table} if len(products) > 1 else {})
        return pd.DataFrame(map(_summary, named.values()), index=pd.Index(named, name="product"))

    def examples(self, number: int, product: str | None = None) -> list[tuple[Sample, Sample]]:
        """Both annotations of ``number`` images (of ``product``), evenly spread over the ranks of their IoU.

        The first is the image on which they agree least, the last the one on which they agree most; both samples of
        an image number the types alike.
        """
        rows = self.table if product is None else self.table.xs(product, level="product", drop_level=False)
        ranked = list(rows.sort_values("iou", kind="stable").index)
        ranks = np.unique(np.linspace(0, len(ranked) - 1, number).round().astype(int))
        return [_numbered_alike(*self.read(ranked[rank])) for rank in ranks]


def compare_embedded(profile: Profile) -> Comparison:
    """The exact masks of the embedded dataset against coarse ones that are derived from them.

    Training and held-out images of ``profile`` that show a defect; examples are rendered large enough to look at.
    """
    samples = [sample for product in procedural.PRODUCTS for sample in _defective(profile, product)]
    table = agreement_table(((s.product, s.key), agreement(_coarse(s), Annotation(s.mask, s.classes))) for s in samples)
    return Comparison("coarse (derived)", "exact", table, (), _rendered)


def compare_published(home: Path | None = None) -> Comparison | None:
    """DS-MVTec against MVTec AD, where both lie in the data folder ``home`` (None: the configured one); else None.

    Raises:
        UserError: A dataset is damaged, or the two share no image.
    """
    roots = [(home or data_home()) / name for name in ("mvtec_ad", "defect_spectrum")]
    if not all(root.is_dir() for root in roots):
        return None
    return compare_sources(*(open_source(root.name, root) for root in roots))


def compare_sources(mvtec: Source, spectrum: Source) -> Comparison:
    """The masks of ``mvtec`` against those that ``spectrum`` has of the same images.

    Images are joined on product, type folder and number of the MVTec file, which Defect Spectrum keeps. Defect-free
    images have nothing to compare. What stands on one side only, or differs in size, is counted in ``left_out``.

    Raises:
        UserErrors: A layout has faults; all are listed.
        UserError: A mask is damaged, or the two share no image.
    """
    for source in (mvtec, spectrum):
        source.check()
    products = mvtec.manifest.products
    joined = join(_annotated(mvtec, products), _annotated(spectrum, products))
    if not joined.pairs:
        raise UserError(f"{spectrum.root}: annotates no image of {mvtec.root}; put the same products in both")

    def compare(key: Key) -> tuple[Key, Agreement | None]:
        before, after = (_annotation(s, r) for s, r in zip((mvtec, spectrum), joined.pairs[key], strict=True))
        return key, agreement(before, after) if before.mask.shape == after.mask.shape else None

    def read(key: Key) -> tuple[Sample, Sample]:
        before, after = joined.pairs[key]
        return mvtec.sample(before), spectrum.sample(after)

    compared = list(threaded(compare, list(joined.pairs), "comparing"))
    same_size = [(key, row) for key, row in compared if row is not None]
    if not same_size:
        raise UserError(
            f"{spectrum.root}: no mask has the size of its image in {mvtec.root}; get the originals of both"
        )
    left_out = (
        *_counted(f"annotated in {mvtec.manifest.title} alone", joined.only_before),
        *_counted(f"annotated in {spectrum.manifest.title} alone", joined.only_after),
        *_counted("left out because the two masks differ in size", [key for key, row in compared if row is None]),
    )
    return Comparison("MVTec AD", "DS-MVTec", agreement_table(same_size), left_out, read)


# Parts --------------------------------------------------------------------------------------------------------------


def _summary(rows: pd.DataFrame) -> dict[str, int | float]:
    median = rows[["iou", "area_change", "distance", "distance95"]].median()
    return {
        "images": len(rows),
        "IoU (%)": 100 * median["iou"],
        "area change (%)": 100 * median["area_change"],
        "boundary distance (px)": median["distance"],
        "its 95th percentile (px)": median["distance95"],
        "images with added types": int(rows["added"].map(bool).sum()),
        "images that became multi-type": int(rows["became_multi_type"].sum()),
    }


def _defective(profile: Profile, product: str) -> list[Sample]:
    dataset = load(profile.data(product))
    return [sample for sample in (*dataset.train, *dataset.eval) if sample.present]


def _coarse(sample: Sample) -> Annotation:
    return Annotation(coarse(sample.mask), sample.classes)


def _rendered(key: Key) -> tuple[Sample, Sample]:
    product, name = key
    split, index = name.removeprefix(f"{product}_").split("_")
    exact = procedural.sample(product, split, int(index), size=SHOWN_SIZE)
    return _with_mask(exact, coarse(exact.mask), exact.classes), exact


def _annotated(source: Source, products: Iterable[str]) -> dict[Key, Row]:
    """The rows with a mask whose image lies in ``PRODUCT/SIDE/TYPE/NUMBER``, by product and ``TYPE/NUMBER``."""
    rows = {}
    for row in source.table[source.table["mask"] != ""].itertuples(index=False, name="Row"):
        image = Path(row.image)
        product, _, kind = image.parts[-4:-1]
        if product.lower() in products:
            rows[product.lower(), f"{kind}/{image.stem}"] = row
    return rows


def _annotation(source: Source, row: Row) -> Annotation:
    return Annotation(source.mask(row), source.classes[row.product])


def _numbered_alike(before: Sample, after: Sample) -> tuple[Sample, Sample]:
    """Both samples with the types of the second, then those that the first alone has."""
    classes = (*after.classes, *(name for name in before.classes if name not in after.classes))
    number = np.array([0, *(classes.index(name) + 1 for name in before.classes)], np.uint8)
    return _with_mask(before, number[before.mask], classes), _with_mask(after, after.mask, classes)


def _with_mask(sample: Sample, mask: np.ndarray, classes: tuple[str, ...]) -> Sample:
    return Sample(sample.key, sample.image, mask, classes, sample.product, sample.caption, source=sample.source)


def _counted(what: str, keys: Sequence[Key]) -> list[str]:
    """One sentence with the number of ``keys`` and where they lie, or none."""
    folders = Counter(f"{product}/{key.split('/')[0]}" for product, key in keys)
    where = ", ".join(f"{folder} ({count})" for folder, count in folders.items())
    images = "1 image is" if len(keys) == 1 else f"{len(keys)} images are"
    return [f"{images} {what}: {where}."] if keys else []
