"""Counts of the embedded dataset are those of its masks."""

from __future__ import annotations

import numpy as np

from defectlib.data import procedural
from defectlib.experiments.counting import SHOWN_SIZE, count_embedded, first_samples


def test_every_product_is_counted_from_its_masks(smoke):
    table = count_embedded(smoke, ["softgel", "twill"])
    assert list(table.index) == ["softgel", "twill"]
    for product in table.index:
        types = procedural.PRODUCTS[product].classes
        drawn = [("train", i) for i in range(smoke.shots * len(types))] + [("eval", i) for i in range(smoke.eval_count)]
        masks = [procedural.sample(product, split, i, size=smoke.size).mask for split, i in drawn]
        shown = [set(np.unique(mask)) - {0} for mask in masks]
        assert table.loc[product].to_dict() == {
            "kind": procedural.PRODUCTS[product].kind,
            "annotated defective images": sum(bool(ids) for ids in shown),
            "defect types": len(set().union(*shown)),
            "images with several types": sum(len(ids) > 1 for ids in shown),
            "captions": sum(bool(ids) for ids in shown),
        }


def test_examples_are_the_first_of_their_kind():
    one, several = (first_samples("washer", 3, several=several) for several in (False, True))
    assert [sample.key for sample in one] == [f"washer_train_{i:05d}" for i in range(3)]
    assert all(len(sample.present) > 1 for sample in several)
    assert {sample.image.shape for sample in one + several} == {(SHOWN_SIZE, SHOWN_SIZE, 3)}
    first = next(i for i in range(100) if len(procedural.sample("washer", "train", i, size=SHOWN_SIZE).present) > 1)
    assert several[0].key == f"washer_train_{first:05d}"
