"""Counts of a batch against torchmetrics, image by image."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_confusion_matrix

from defectlib.segmentation.confusion import image_confusions

CLASSES = 5


def reference(target, preds, classes):
    """int64 (N, classes, classes) by torchmetrics."""
    images = [multiclass_confusion_matrix(p, t, classes) for p, t in zip(preds, target, strict=True)]
    return torch.stack(images)


def ids(*shape, seed=0, top=CLASSES, dtype=torch.uint8):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, top, shape)).to(dtype)


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    classes=st.integers(2, 20),
    drawn=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    dtypes=st.tuples(*[st.sampled_from([torch.uint8, torch.int32, torch.int64])] * 2),
)
def test_equals_torchmetrics_on_random_input(seed, shape, classes, drawn, dtypes):
    target, preds = (
        ids(*shape, seed=seed + i, top=min(top, classes), dtype=dtype)
        for i, (top, dtype) in enumerate(zip(drawn, dtypes, strict=True))
    )
    before = target.clone(), preds.clone()
    counts = image_confusions(target, preds, classes)
    assert counts.dtype == torch.int64
    assert torch.equal(counts, reference(target, preds, classes))
    assert torch.equal(target, before[0])
    assert torch.equal(preds, before[1])


DEGENERATE = {
    "one class only": (torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)),
    "last class only": (torch.full((2, 4, 4), CLASSES - 1), torch.full((2, 4, 4), CLASSES - 1)),
    "predicted where absent": (torch.zeros(2, 4, 4), torch.full((2, 4, 4), 3)),
    "never predicted": (torch.full((2, 4, 4), 3), torch.zeros(2, 4, 4)),
    "one pixel": (torch.full((1, 1, 1), 2), torch.full((1, 1, 1), 4)),
    "all wrong": (ids(3, 6, 5), (ids(3, 6, 5) + 1) % CLASSES),
    "one row": (ids(2, 1, 30), ids(2, 1, 30, seed=1)),
}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64], ids=str)
@pytest.mark.parametrize("name", DEGENERATE)
def test_equals_torchmetrics_on_degenerate_input(name, dtype):
    target, preds = (tensor.to(dtype) for tensor in DEGENERATE[name])
    assert torch.equal(image_confusions(target, preds, CLASSES), reference(target, preds, CLASSES))


def test_an_image_s_counts_do_not_depend_on_its_batch():
    target, preds = ids(6, 9, 7), ids(6, 9, 7, seed=1)
    together = image_confusions(target, preds, CLASSES)
    alone = [image_confusions(target[i : i + 1], preds[i : i + 1], CLASSES)[0] for i in range(6)]
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("count", [668, 669])  # of 49 cells each: 2**15 - 1 would be the last of the narrow type
def test_no_cell_of_a_large_batch_runs_over(count):
    last = torch.full((count, 1, 2), CLASSES - 1, dtype=torch.uint8)
    counts = image_confusions(last, last, CLASSES)
    assert counts.shape == (count, CLASSES, CLASSES)
    assert (counts[:, -1, -1] == 2).all()
    assert int(counts.sum()) == 2 * count


@pytest.mark.parametrize("shape", [(0, 8, 8), (2, 0, 8)])
def test_no_pixels_give_no_counts(shape):
    counts = image_confusions(torch.zeros(shape, dtype=torch.uint8), torch.zeros(shape, dtype=torch.uint8), CLASSES)
    assert counts.shape == (shape[0], CLASSES, CLASSES)
    assert counts.dtype == torch.int64
    assert not counts.any()


def test_all_ids_that_a_byte_holds_can_be_classes():
    target = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    counts = image_confusions(target, target.flip(1, 2), 256)
    assert torch.equal(counts[0], torch.eye(256, dtype=torch.int64).flip(1))


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 2, 3), (2, 3, 3)])
@pytest.mark.parametrize(
    ("wrong", "dtype"),
    [(v, torch.int64) for v in (CLASSES, -1, -2, 255, 2**32, -(2**40))] + [(CLASSES, torch.uint8), (255, torch.uint8)],
)
def test_what_is_no_class_is_refused(wrong, dtype, place):
    right, bad = ids(3, 4, 4, dtype=dtype), ids(3, 4, 4, dtype=dtype)
    bad[place] = wrong
    span = rf"has values in {int(bad.min())}\.\.{int(bad.max())}, expected 0\.\.4"
    with pytest.raises(ValueError, match=f"target {span}"):
        image_confusions(bad, right, CLASSES)
    with pytest.raises(ValueError, match=f"prediction {span}"):
        image_confusions(right, bad, CLASSES)
    with pytest.raises(ValueError, match=f"target {span}"):
        image_confusions(bad, bad, CLASSES)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"target \(2, 4, 4\) and prediction \(2, 4, 5\) differ in shape"):
        image_confusions(ids(2, 4, 4), ids(2, 4, 5), CLASSES)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_counts_are_made_where_the_predictions_are():
    target, preds = ids(4, 64, 64), ids(4, 64, 64, seed=1)
    counts = image_confusions(target.cuda(), preds.cuda(), CLASSES)
    assert counts.is_cuda
    assert torch.equal(counts.cpu(), image_confusions(target, preds, CLASSES))
