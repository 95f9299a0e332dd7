"""Counts and examples from the embedded dataset, for the chapters on data (Table 1, Fig. 1). Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, islice

import pandas as pd

from defectlib.data import procedural
from defectlib.data.loading import load
from defectlib.data.sample import Sample
from defectlib.profiles import Profile

SHOWN_SIZE = 128  # pixels a side of images that are only looked at


def count_embedded(profile: Profile, products: Sequence[str]) -> pd.DataFrame:
    """What Table 1 counts, from the masks: one row per product, training and held-out images together.

    Columns: ``kind``; ``annotated defective images``; ``defect types`` that occur; ``images with several types``;
    ``captions``.
    """
    rows = []
    for product in products:
        dataset = load(profile.data(product))
        samples = [sample for sample in (*dataset.train, *dataset.eval) if sample.present]
        rows.append(
            {
                "product": product,
                "kind": procedural.PRODUCTS[product].kind,
                "annotated defective images": len(samples),
                "defect types": len({name for sample in samples for name in sample.present}),
                "images with several types": sum(len(sample.present) > 1 for sample in samples),
                "captions": sum(bool(sample.caption) for sample in samples),
            }
        )
    return pd.DataFrame(rows).set_index("product")


def first_samples(product: str, number: int, *, several: bool) -> list[Sample]:
    """The first training images of ``product``, or the first with ``several`` types, large enough to look at."""
    samples = (procedural.sample(product, "train", i, size=SHOWN_SIZE) for i in count())
    return list(islice((s for s in samples if not several or len(s.present) > 1), number))
