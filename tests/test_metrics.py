import math

import numpy as np
import pytest
import torch
from scipy import stats
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from defectlib import metrics

CLASSES = 4


def random_pairs(seed, images=6, top=CLASSES, side=12):
    rng = np.random.default_rng(seed)
    return rng.integers(0, top, (2, images, side, side)).astype(np.uint8)


def degenerate_pairs(name):
    target, pred = np.zeros((2, 3, 8, 8), np.uint8)
    if name == "never predicted":
        target[0, :2] = 2
    elif name == "predicted where absent":
        target[0, 0], pred[1] = 1, 3
    elif name == "one pixel":
        target[2, 7, 7] = pred[2, 7, 7] = 3
    return target, pred


CASES = [random_pairs(0), random_pairs(1, top=2), *(
    degenerate_pairs(name) for name in ("all background", "never predicted", "predicted where absent", "one pixel")
)]  # fmt: skip


@pytest.mark.parametrize(("target", "pred"), CASES)
def test_counts_and_iou_equal_torchmetrics(target, pred):
    counts = metrics.image_counts(target, pred, CLASSES)
    assert counts.dtype == np.int64
    assert counts.shape == (len(target), CLASSES, CLASSES)
    tensors = torch.from_numpy(pred), torch.from_numpy(target)
    np.testing.assert_array_equal(counts.sum(axis=0), MulticlassConfusionMatrix(CLASSES)(*tensors).numpy())
    reference = MulticlassJaccardIndex(CLASSES, average=None)(*tensors).numpy()
    present = np.isin(np.arange(CLASSES), target)
    np.testing.assert_array_equal(metrics.present_classes(counts), present)
    iou = metrics.iou_per_class(counts)
    np.testing.assert_allclose(iou[present], reference[present], rtol=1e-6)
    assert np.isnan(iou[~present]).all()
    assert metrics.miou(counts) == pytest.approx(reference[present].mean())


def test_iou_closed_form():
    target, pred = np.zeros((2, 10, 10), np.uint8)
    target[:, :4], pred[:, 2:6] = 1, 1  # two 10x4 bars that overlap by half: 20 / 60; background 40 / 80
    counts = metrics.image_counts([target], [pred], 3)
    np.testing.assert_allclose(metrics.iou_per_class(counts), [1 / 2, 1 / 3, np.nan])
    assert metrics.miou(counts) == pytest.approx(5 / 12)
    assert metrics.miou_foreground(counts) == pytest.approx(1 / 3)
    assert metrics.miou(counts, np.array([False, True, False])) == pytest.approx(1 / 3)


def test_dataset_level_is_not_the_mean_over_images():
    large, small = np.ones((2, 10), np.uint8), np.ones((1, 1), np.uint8)
    counts = metrics.image_counts([large, small], [large, 0 * small], 2)
    assert metrics.iou_per_class(counts)[1] == pytest.approx(20 / 21)


def test_no_defect_anywhere_leaves_no_foreground_mean():
    blank = np.zeros((4, 4), np.uint8)
    counts = metrics.image_counts([blank], [blank], 3)
    assert metrics.miou(counts) == 1
    assert math.isnan(metrics.miou_foreground(counts))


def test_confusion_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"target \(2, 2\) and prediction \(2, 3\) differ in shape"):
        metrics.confusion(np.zeros((2, 2), int), np.zeros((2, 3), int), 2)
    with pytest.raises(ValueError, match=r"prediction has values in 0\.\.2, expected 0\.\.1"):
        metrics.confusion(np.zeros(3, int), np.array([0, 1, 2]), 2)


def accuracy(counts, present):
    return float(np.trace(counts.sum(axis=0)) / counts.sum())


def test_bootstrap_of_a_mean_has_the_width_of_the_normal_interval():
    hits = np.random.default_rng(3).binomial(100, 0.7, size=200)
    counts = np.zeros((200, 2, 2), np.int64)
    counts[:, 0, 0], counts[:, 0, 1] = hits, 100 - hits
    low, high = metrics.bootstrap(counts, None, accuracy, draws=4000)
    rates = hits / 100
    assert (low + high) / 2 == pytest.approx(rates.mean(), abs=1e-3)
    assert high - low == pytest.approx(2 * 1.96 * rates.std() / math.sqrt(200), rel=0.08)


def test_bootstrap_draws_groups_whole():
    target, pred = random_pairs(5, images=8)
    counts = metrics.image_counts(target, pred, CLASSES)
    tripled = np.repeat(counts, 3, axis=0)
    groups = [f"part {i // 3}" for i in range(24)]
    assert metrics.bootstrap(tripled, groups) == pytest.approx(metrics.bootstrap(counts, None))
    low, high = metrics.bootstrap(tripled, None)
    grouped_low, grouped_high = metrics.bootstrap(tripled, groups)
    assert high - low < 0.8 * (grouped_high - grouped_low)
    with pytest.raises(ValueError, match="2 groups for 24 images"):
        metrics.bootstrap(tripled, ["a", "b"])


def test_bootstrap_is_seeded():
    counts = metrics.image_counts(*random_pairs(7), CLASSES)
    assert metrics.bootstrap(counts, None, seed=1) == metrics.bootstrap(counts, None, seed=1)
    assert metrics.bootstrap(counts, None, seed=1) != metrics.bootstrap(counts, None, seed=2)


def test_bootstrap_keeps_the_set_of_classes():
    # Class 1, perfect, occurs in one image of four; background is perfect too: any draw without class 1 would still
    # give 1, but one that counted the missing class as 0 would not.
    target = np.zeros((4, 4, 4), np.uint8)
    target[0, 0] = 1
    assert metrics.bootstrap(metrics.image_counts(target, target, 3), None) == (1, 1)

    seen = []
    metrics.bootstrap(metrics.image_counts(target, target, 3), None, lambda c, p: seen.append((c, p)) or 0.0, draws=50)
    assert all(totals[0, 1].sum() > 0 and present.tolist() == [True, True, False] for totals, present in seen)
    assert len(seen) == 1 + 50  # of the whole, and of each draw


def test_bootstrap_gives_up_where_draws_that_hold_all_classes_are_too_rare():
    target = np.repeat(np.arange(1, 15, dtype=np.uint8)[:, None], 2, axis=1)  # 14 images, each of its own class
    counts = metrics.image_counts(target, target, 15)
    assert all(math.isnan(bound) for bound in metrics.bootstrap(counts, None))
    assert all(math.isnan(bound) for bound in metrics.bootstrap(counts[:0], None))


def bounds(arms, statistic, draws=1000):
    """Of counts (S, N, K + 1, K + 1) of each arm."""
    return metrics.paired_bootstrap(arms, None, statistic, arms[0][0].sum(axis=2) > 0, draws)


def test_the_interval_of_a_difference_is_paired_over_images():
    target, pred = random_pairs(11, images=40)
    better = np.where(np.random.default_rng(0).random(pred.shape) < 0.1, target, pred)
    a, b = (metrics.image_counts(target, guess, CLASSES)[None] for guess in (better, pred))

    def difference(totals):
        return metrics.miou(totals[0][None]) - metrics.miou(totals[1][None])

    assert bounds([a, a], difference).tolist() == [0, 0, 0]
    value, low, high = bounds([a, b], difference)
    assert 0 < low < value == metrics.miou(a[0]) - metrics.miou(b[0]) < high
    assert bounds([b, a], difference).tolist() == pytest.approx([-value, -high, -low])
    alone = metrics.bootstrap(a[0], None)
    assert high - low < alone[1] - alone[0]


def test_an_interval_of_several_numbers_is_that_of_each():
    counts = metrics.image_counts(*random_pairs(13, images=20), CLASSES)[None]
    present = metrics.present_classes(counts[0])

    def both(totals):
        return np.array([[metrics.miou(totals[0][None], present), accuracy(totals[0][None], present)]])

    found = bounds([counts], both)
    assert found.shape == (3, 1, 2)
    for number, statistic in enumerate((metrics.miou, accuracy)):
        expected = statistic(counts[0], present), *metrics.bootstrap(counts[0], None, statistic)
        assert tuple(found[:, 0, number]) == pytest.approx(expected)
    nothing = bounds([counts[:, :0]], lambda totals: np.zeros((1, 2)))
    assert nothing.shape == (3, 1, 2)
    assert np.isnan(nothing[1:]).all()


def hits(shares):
    """Counts (S, N, 2, 2) of images with 1000 background pixels, of which so many are found."""
    found = np.rint(1000 * np.clip(shares, 0, 1)).astype(np.int64)
    counts = np.zeros((*found.shape, 2, 2), np.int64)
    counts[..., 0, 0], counts[..., 0, 1] = found, 1000 - found
    return counts


def found_share(totals):
    return totals[0][0, 0] / totals[0].sum()


def test_where_images_are_alike_the_interval_is_students_over_seeds():
    by_seed = np.array([0.60, 0.64, 0.71, 0.66])
    value, low, high = bounds([hits(np.tile(by_seed[:, None], 9))], found_share, draws=20_000)
    assert value == pytest.approx(by_seed.mean())
    expected = stats.t.interval(0.95, 3, by_seed.mean(), stats.sem(by_seed))
    assert [low, high] == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_chance_of_training_and_of_images_leads_to_a_wrong_verdict_once_in_twenty(seeds):
    """No effect, but every training is another by chance, and so is every image: 300 experiments."""
    chance, wrong = np.random.default_rng(seeds), 0
    for _ in range(300):
        of_seed, of_image = chance.normal(0, 0.03, (2, seeds, 1)), chance.normal(0, 0.05, (2, 1, 20))
        sides = [hits(0.5 + of_seed[side] + of_image[side]) for side in (0, 1)]
        _, low, high = bounds(sides, lambda totals: found_share(totals[:1]) - found_share(totals[1:]), draws=200)
        wrong += low > 0 or high < 0
    assert wrong / 300 < 0.09


def test_flagged_background_is_a_share_of_the_true_background():
    target, pred = np.array([[0, 0, 0, 0, 1, 2]]), np.array([[0, 1, 2, 0, 0, 2]])
    counts = metrics.image_counts([target, target], [pred, target], 3)
    assert metrics.flagged_background(counts) == 2 / 8
    assert math.isnan(metrics.flagged_background(metrics.image_counts([target[:, 4:]], [pred[:, 4:]], 3)))


def test_seeing_no_defect_is_the_floor():
    target = np.array([[0, 0, 0, 1], [0, 0, 2, 2]])
    counts = metrics.image_counts([target], [np.zeros_like(target)], 4)
    assert metrics.background_only(counts) == metrics.miou(counts) == pytest.approx(5 / 8 / 3)
    perfect = metrics.image_counts([target], [target], 4)
    assert metrics.background_only(perfect) == metrics.background_only(counts)
