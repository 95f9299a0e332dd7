"""Did it help? Comparisons from counts made by hand, the sentence about them, and one real tiny run."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest

from defectlib import detection, metrics
from defectlib.data.loading import load
from defectlib.experiments.boost import Comparison, class_iou, compare, compare_defects, counts, defects, verdict
from defectlib.experiments.study import Study
from defectlib.store import Store


@dataclass(frozen=True)
class OneCell(Study):
    """A UNet on softgel, with as many synthetic pairs as the profile says, and without."""

    @cached_property
    def comparison(self) -> Comparison:
        data = self.profile.data("softgel")
        sides = (None, self.profile.synthesis(data, count=self.profile.synthetic))
        seeds, evaluate = self.profile.seeds, self.profile.evaluation
        return Comparison(data, *(tuple(evaluate(data, "UNet", side, seed) for seed in seeds) for side in sides))

    def stages(self):
        return self.comparison.stages()


def image_counts(hits_0: int, hits_1: int) -> np.ndarray:
    """One image of 90 background and 10 defect pixels of class 1; the rest of each is taken for the other."""
    matrix = np.zeros((6, 6), np.int64)
    matrix[:2, :2] = [[hits_0, 90 - hits_0], [10 - hits_1, hits_1]]
    return matrix


def build_counts(boost: OneCell, by_side, defects_by_side=None) -> None:
    """Evaluations whose counts, and tallies of defects if given, are ``by_side(has synthetic data, seed)``."""

    def evaluate(settings, inputs, out):
        side = settings.segmenter.synthetic is not None, settings.segmenter.seed
        np.save(out / "counts.npy", by_side(*side))
        if defects_by_side is not None:
            np.save(out / "defects.npy", defects_by_side(*side))

    def leave_empty(settings, inputs, out):
        pass

    runners = dict.fromkeys(("denoiser", "synthetic", "segmenter"), leave_empty) | {"evaluation": evaluate}
    for stage in boost.stages():
        boost.store.build(stage, runners)


@pytest.fixture
def boost(smoke, tmp_path) -> OneCell:
    """Two seeds of one baseline on the six held-out images of a product with five defect types."""
    two_seeds = smoke.model_copy(update={"seeds": (0, 1)})
    store = Store(tmp_path / "store", shipped=None)
    return OneCell(two_seeds, store=store)


def test_miou_is_the_mean_over_seeds_and_equal_gains_leave_nothing_to_chance(boost, nothing_runs):
    found = {(False, 0): (80, 5), (False, 1): (80, 5), (True, 0): (90, 6), (True, 1): (90, 6)}
    build_counts(boost, lambda synthetic, seed: np.stack([image_counts(*found[synthetic, seed])] * 6))
    row = compare(boost, boost.comparison)
    real, both = (80 / (90 + 5) + 5 / (10 + 10)) / 2, (90 / (90 + 4) + 6 / 10) / 2
    for name, value in {"real": real, "synthetic": both, "difference": both - real}.items():
        assert [row[f"{name}{end}"] for end in ("", "_low", "_high")] == pytest.approx([value] * 3)
    assert (row["images"], row["groups"], row["seeds"], row["nothing_found"]) == (6, 6, 2, 0)


def _hurt_and_helped(synthetic, seed):
    """The first training loses by synthetic pairs, the second gains, the third loses; each by more than images tell."""
    return np.stack([image_counts(80 + i, 4 + synthetic * (-2, 4, -1)[seed]) for i in range(6)])


def _blind(synthetic, seed):
    """One of three trainings without pairs predicts background and nothing else."""
    return np.stack([image_counts(*((90, 0) if (synthetic, seed) == (False, 1) else (80 + i, 4))) for i in range(6)])


@pytest.mark.parametrize(
    ("seeds", "by_side", "said"),
    [
        ((0,), _hurt_and_helped, "One training: no verdict"),
        ((1,), _hurt_and_helped, "One training: no verdict"),
        ((0, 1, 2), _hurt_and_helped, "No effect can be told from none"),
        ((0, 1, 2), _blind, "No verdict: 1 of 6 trainings finds nothing but background"),
    ],
)
def test_the_chance_of_one_training_gives_no_verdict(smoke, tmp_path, nothing_runs, seeds, by_side, said):
    study = OneCell(smoke.model_copy(update={"seeds": seeds}), store=Store(tmp_path / "store", shipped=None))
    build_counts(study, by_side)
    assert verdict(compare(study, study.comparison)).startswith(said)


def test_the_interval_is_paired_over_images(boost, nothing_runs):
    # Images differ much, and the gain is the same on each: the difference is surer than either side.
    def by_side(synthetic, seed):
        return np.stack([image_counts(60 + 5 * i + 4 * synthetic, 2 + i + synthetic) for i in range(6)])

    build_counts(boost, by_side)
    row = compare(boost, boost.comparison)
    widths = {name: row[f"{name}_high"] - row[f"{name}_low"] for name in ("real", "synthetic", "difference")}
    assert 0 < widths["difference"] < min(widths["real"], widths["synthetic"]) / 2
    assert 0 < row["difference_low"] < row["difference"] < row["difference_high"]


def test_class_iou_names_every_class_and_has_none_where_there_is_no_truth(boost, nothing_runs):
    build_counts(boost, lambda synthetic, seed: np.stack([image_counts(80, 5)] * 6))
    cell = boost.comparison
    classes = load(cell.data).classes
    iou = class_iou(boost, cell.without, classes)
    assert list(iou) == ["background", *classes]
    assert list(iou.values())[:2] == pytest.approx([80 / 95, 5 / 20])
    assert all(math.isnan(value) for value in list(iou.values())[2:])


def test_defects_are_compared_over_seeds_by_type_and_by_image(boost, nothing_runs):
    # Six images with one defect of type 1 each, but the last, which has none; (found, named, images with an alarm).
    known = {(False, 0): (3, 2, 4), (False, 1): (2, 2, 3), (True, 0): (5, 4, 1), (True, 1): (4, 4, 2)}

    def tallies(*side):
        found, named, alarmed = known[side]
        made = np.zeros((6, 6, 3), np.int64)
        made[:, 0, 0], made[:5, 1, 0] = 1, 1
        made[:found, 1, 1], made[:named, 1, 2] = 1, 1
        made[-alarmed:, 0, 1:] = 1, 2
        return made

    build_counts(boost, lambda synthetic, seed: np.stack([image_counts(80 + 2 * synthetic, 5)] * 6), tallies)
    table = compare_defects(boost, boost.comparison).set_index(["measure", "of"])
    kind = load(boost.comparison.data).classes[0]
    expected = {
        (detection.RECALL, "all defects"): (5, 5 / 10, 9 / 10),
        (detection.RECALL, kind): (5, 5 / 10, 9 / 10),
        (detection.NAMED, "all defects"): (5, 4 / 10, 8 / 10),
        (detection.FPR, "all images"): (6, 7 / 12, 3 / 12),
        (detection.FPR, "defect-free images"): (1, 1, 1),
        (detection.ALARMS, "all images"): (6, 14 / 12, 6 / 12),
        (detection.FPR, "background pixels"): (6 * 90, 10 / 90, 8 / 90),
    }
    for key, (cases, real, both) in expected.items():
        row = table.loc[key]
        assert row["cases"] == cases
        assert row[["real", "synthetic", "difference"]].tolist() == pytest.approx([real, both, both - real])
        for name in ("real", "synthetic", "difference"):
            assert row[f"{name}_low"] <= row[name] + 1e-9
            assert row[name] - 1e-9 <= row[f"{name}_high"]
    assert len(table) == 2 * (1 + 5) + 3 + 1
    assert table.loc[[(detection.RECALL, name) for name in load(boost.comparison.data).classes[1:]]][
        ["real", "synthetic", "difference"]
    ].isna().all(axis=None)  # fmt: skip


#: Models that see more than nothing.
ABOVE = {"real": 0.5, "synthetic": 0.53, "background_only": 0.2, "seeds": 3, "nothing_found": 0}


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (0.011, 0.052, "Synthetic data helped: mIoU +3.1 points (95 % interval +1.1 to +5.2 points over 40 held-out"),
        (-0.052, -0.011, "Synthetic data hurt: mIoU -3.1 points (95 % interval -5.2 to -1.1 points over 40 held-out"),
        (-0.01, 0.07, "No effect can be told from none: mIoU +3.1 points (95 % interval -1.0 to +7.0 points over 40"),
        (0.0, 0.07, "No effect can be told from none: mIoU +3.1 points (95 % interval +0.0 to +7.0 points over 40"),
    ],
)
def test_the_verdict_is_a_plain_sentence(low, high, sentence):
    difference = -0.031 if high < 0 else 0.031
    said = verdict({**ABOVE, "difference": difference, "difference_low": low, "difference_high": high, "groups": 40})
    assert said.startswith(sentence)
    assert said.endswith("held-out groups and 3 seeds).")


def test_a_baseline_that_sees_nothing_cannot_tell():
    row = {"difference": 0.02, "difference_low": 0.01, "difference_high": 0.03, "groups": 40}
    said = verdict({**ABOVE, **row, "real": 0.15, "synthetic": 0.17, "background_only": 0.17})
    assert said.startswith("Undecided: neither baseline beats seeing no defect at all (mIoU 17.0 %); train it longer")


@pytest.mark.parametrize(("groups", "low"), [(1, 0.031), (3, float("nan"))])
def test_without_an_interval_nothing_is_claimed(groups, low):
    said = verdict({**ABOVE, "difference": 0.031, "difference_low": low, "difference_high": low, "groups": groups})
    assert said == f"Too few held-out groups ({groups}) for an interval: mIoU +3.1 points."


def test_a_real_run_of_one_cell(smoke, store, request):
    study = OneCell(smoke, store=store)
    study.build()
    request.getfixturevalue("nothing_runs")
    study.build()
    cell = study.comparison
    row, rates = compare(study, cell), compare_defects(study, cell).set_index(["measure", "of"])
    for name, (stage,) in (("real", cell.without), ("synthetic", cell.with_synthetic)):
        summary = json.loads((study.path(stage) / "summary.json").read_text())
        assert row[name] == pytest.approx(summary["miou"], abs=1e-6)
        held = counts(study, (stage,))
        truth = np.stack([np.bincount(sample.mask.ravel(), minlength=6) for sample in load(cell.data).eval])
        assert np.array_equal(held.sum(axis=2), truth)
        assert row[name] == pytest.approx(metrics.miou(held))
        seen = defects(study, (stage,))
        assert seen.shape == (len(truth), 6, 3)
        assert np.array_equal(seen[:, 1:, 0] > 0, truth[:, 1:] > 0)
        recall = rates.loc[(detection.RECALL, "all defects")]
        assert recall["cases"] == seen[:, 1:, 0].sum()
        assert recall[name] == pytest.approx(summary["detection"]["rates"][0]["value"], abs=1e-6)
        per_class = class_iou(study, (stage,), load(cell.data).classes)
        assert np.nanmean(list(per_class.values())) == pytest.approx(row[name])


def test_both_sides_differ_in_the_synthetic_pairs_alone(boost, smoke):
    cell = boost.comparison
    for without, both in zip(cell.without, cell.with_synthetic, strict=True):
        assert both.segmenter.synthetic.count == smoke.synthetic
        assert both.segmenter.synthetic.large.data == cell.data
        assert both.segmenter.model_copy(update={"synthetic": None}) == without.segmenter
