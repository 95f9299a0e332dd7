"""More and more synthetic pairs: what is compared with what, intervals in closed form, and what is said of them."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from defectlib import metrics
from defectlib.data.loading import load, load_train
from defectlib.errors import UserError
from defectlib.experiments import boost, plans
from defectlib.experiments.boost import Ratios, pair_count, pool, real_images
from defectlib.plots import tables
from defectlib.profiles import load_profile
from defectlib.settings import Evaluation
from defectlib.store import Store
from tests.experiments.test_boost import image_counts


@pytest.fixture(scope="module")
def run(smoke, store) -> Ratios:
    """A real run of one product and model: 5 real images, and 0, 1 or 5 synthetic pairs."""
    few = smoke.model_copy(update={"products": ("softgel",), "boosted": ("UNet",), "ratios": (100, 20)})
    made = Ratios(few, store=store)
    made.build()
    return made


def of_counts(profile, tmp_path, hits) -> Ratios:
    """Evaluations whose images' hits are ``hits(model, pairs, seed)``, lists of arguments of ``image_counts``."""

    def evaluate(settings: Evaluation, inputs, out):
        trained = settings.segmenter
        pairs = 0 if trained.synthetic is None else trained.pairs or trained.synthetic.count
        np.save(out / "counts.npy", np.stack([image_counts(*one) for one in hits(trained.model, pairs, trained.seed)]))

    study = Ratios(profile, store=Store(tmp_path / "store", shipped=None))
    empty = dict.fromkeys(("denoiser", "synthetic", "segmenter"), lambda settings, inputs, out: None)
    for stage in study.stages():
        study.store.build(stage, empty | {"evaluation": evaluate})
    return study


def small(smoke, **changes):
    """The smoke profile with one product, on which five pairs are 100 %."""
    return smoke.model_copy(update={"products": ("softgel",), "boosted": ("UNet",), "ratios": (0, 20, 100)} | changes)


# What is trained on what --------------------------------------------------------------------------------------------


def test_smaller_sets_are_the_first_pairs_of_one_set_and_nothing_is_sampled_twice(run):
    sides = {ratio: run.evaluations("softgel", "UNet", ratio) for ratio in run.ratios}
    assert list(sides) == [0, 20, 100]
    sets = {stage.segmenter.synthetic for ratio in (20, 100) for stage in sides[ratio]}
    assert sets == {pool(run.profile, run.profile.data("softgel"))}
    (synthetic,) = sets
    cards = [json.loads((run.path(side[0].segmenter) / "model.json").read_text()) for side in sides.values()]
    assert [(card["real"], card["synthetic"]) for card in cards] == [(5, 0), (5, 1), (5, 5)]
    # As the first of all pairs, the smallest set is what would be sampled alone, up to rounding in another batch.
    (pair,) = run.read_pairs(synthetic.model_copy(update={"count": 1}))
    first = run.read_pairs(synthetic)[0]
    assert np.abs(pair.image.astype(int) - first.image).max() <= 1
    assert np.mean(pair.mask != first.mask) < 0.01


def test_real_images_alone_are_what_every_other_study_trains_on(smoke):
    study = Ratios(smoke)
    (stage,) = study.evaluations("softgel", "DL", 0)
    assert stage == smoke.evaluation(smoke.data("softgel"), "DL", None, 0)
    (whole,) = study.evaluations("softgel", "DL", 100)
    assert whole == smoke.evaluation(smoke.data("softgel"), "DL", pool(smoke, smoke.data("softgel")), 0)
    assert len(set(study.stages())) == len(study.stages()) == 2 * 2 * 2
    different = {"synthetic", "pairs"}
    assert whole.segmenter.model_dump(exclude=different) == stage.segmenter.model_dump(exclude=different)


def test_ratios_are_of_the_real_images(smoke):
    data = smoke.data("softgel")
    assert real_images(data) == len(load_train(data)) == 5
    cpu = load_profile("cpu").data("softgel")
    assert [pair_count(cpu, ratio) for ratio in (0, 20, 50, 100, 200, 300)] == [0, 5, 12, 25, 50, 75]
    assert pair_count(data, 1) == 1  # not none
    assert pool(smoke.model_copy(update={"ratios": (0, 300)}), data).count == 15
    assert pool(smoke.model_copy(update={"ratios": (0, 20)}), data).count == 5


def test_a_profile_of_ones_own_says_what_becomes_of_record(tmp_path):
    file = tmp_path / "record.yaml"
    file.write_text(
        "base: smoke\nseeds: [0, 1, 2]\nproducts: [softgel, twill]\nratios: [0, 20, 100]\n"
        "controls: {switch_steps: [0, 400], rivals: [CycleGAN]}\n"
    )
    study = plans.boost(str(file))
    assert study.ratios.record_name == "ratios_embedded_32px"
    assert study.controls.record_name == "controls_softgel_32px"
    assert len(study.ratios.stages()) == 2 * 2 * 3 * 3
    assert {stage.segmenter.seed for stage in study.stages()} == {0, 1, 2}
    published = plans.boost(products=["mvtec_ad/hazelnut"])
    assert published.ratios.record_name == "ratios_mvtec_ad_32px"


def test_wrong_ratios_and_products_are_told(smoke):
    with pytest.raises(UserError, match="setting 'ratios': name one above 0 % too; all are compared with real images"):
        plans.boost(ratios=[0])
    with pytest.raises(UserError, match=r"setting 'ratios.1' of Profile: .* greater than or equal to 0, got -5"):
        plans.boost(ratios=[100, -5])
    with pytest.raises(UserError, match="unknown product 'sofgel': did you mean 'softgel'"):
        Ratios(smoke.model_copy(update={"products": ("sofgel",)})).stages()


# Intervals ----------------------------------------------------------------------------------------------------------


def test_with_three_seeds_the_interval_is_student_s_over_paired_seeds(smoke, tmp_path, nothing_runs):
    chance = np.random.default_rng(0).integers(0, 10, (3, 16, 2))
    profile = small(smoke, boosted=("UNet", "DL"), seeds=(0, 1, 2))

    def hits(model, pairs, seed):
        moved = chance[seed, pairs + 8 * (model == "DL")]
        return [(70 + moved[0], 1 + moved[1] % 9)] * 6

    study = of_counts(profile, tmp_path, hits)
    mious = {
        (model, ratio): boost.mious(study, study.evaluations("softgel", model, ratio))
        for model in ("UNet", "DL")
        for ratio in (0, 20, 100)
    }
    table = study.table
    for (model, ratio), values in mious.items():
        row = table.loc["softgel", model, ratio]
        assert row["miou"] == pytest.approx(values.mean())
        assert row["reference"] == pytest.approx(mious[model, 0].mean())
        if ratio:
            expected = stats.ttest_rel(values, mious[model, 0]).confidence_interval(0.95)
            assert (row["difference_low"], row["difference_high"]) == pytest.approx((expected.low, expected.high))
            assert row["difference"] == pytest.approx((values - mious[model, 0]).mean())
            assert row["relative"] == pytest.approx(values.mean() / mious[model, 0].mean() - 1)
            assert row["over"] == "3 seeds"
        else:
            assert math.isnan(row["difference"])
    for ratio in (20, 100):
        gains = [mious[model, ratio] - mious[model, 0] for model in ("DL", "UNet")]
        expected = stats.ttest_rel(*gains).confidence_interval(0.95)
        row = table.loc["softgel", "DL", ratio]
        assert (row["extra_low"], row["extra_high"]) == pytest.approx((expected.low, expected.high))
        assert row["extra"] == pytest.approx((gains[0] - gains[1]).mean())
    assert table.xs("UNet", level="model")["extra"].isna().all()


def test_with_one_seed_the_interval_is_the_paired_bootstrap_over_images(smoke, tmp_path, nothing_runs):
    study = of_counts(
        small(smoke), tmp_path, lambda model, pairs, seed: [(60 + 5 * i + pairs, 2 + i) for i in range(6)]
    )
    row = study.table.loc["softgel", "UNet", 100]
    alone, both = (
        np.load(study.path(study.evaluations("softgel", "UNet", ratio)[0]) / "counts.npy") for ratio in (0, 100)
    )
    present = metrics.present_classes(both)

    def difference(totals):
        return metrics.miou(totals[0][None], present) - metrics.miou(totals[1][None], present)

    expected = metrics.paired_bootstrap([both[None], alone[None]], None, difference, both.sum(axis=2) > 0)
    assert [row[f"difference{end}"] for end in ("", "_low", "_high")] == pytest.approx(expected)
    assert 0 < row["difference_low"] < row["difference"] < row["difference_high"]
    assert row["over"] == "6 held-out images, 1 seed"


def test_with_two_seeds_images_are_drawn_for_both(smoke, tmp_path, nothing_runs):
    def hits(model, pairs, seed):
        return [(60 + 5 * i + pairs * (1 + seed), 2 + i) for i in range(6)]

    row = of_counts(small(smoke, seeds=(0, 1)), tmp_path, hits).table.loc["softgel", "UNet", 100]
    assert row["over"] == "6 held-out images, 2 seeds"
    assert 0 < row["difference_low"] < row["difference"] < row["difference_high"]


def test_the_distance_to_the_best_amount_is_paired_too(smoke, tmp_path, nothing_runs):
    best = {0: 4, 1: 6, 5: 5}  # hits by pairs: 20 % is best
    profile = small(smoke, seeds=(0, 1, 2))
    study = of_counts(profile, tmp_path, lambda model, pairs, seed: [(80 + seed, best[pairs])] * 6)
    rows = study.table.loc["softgel", "UNet"]
    mious = {ratio: boost.mious(study, study.evaluations("softgel", "UNet", ratio)) for ratio in (0, 20, 100)}
    assert rows.loc[20, "to_best"] == 0
    for ratio in (0, 100):
        expected = stats.ttest_rel(mious[ratio], mious[20]).confidence_interval(0.95)
        assert rows.loc[ratio, "to_best_high"] == pytest.approx(expected.high)
        assert rows.loc[ratio, "to_best_high"] < 0


def test_evaluations_of_other_images_are_not_compared(smoke, tmp_path, nothing_runs):
    def hits(model, pairs, seed):
        return [(80, 5)] * (6 if pairs else 5) + [(90, 10)] * (0 if pairs else 1)

    study = of_counts(small(smoke), tmp_path, hits)
    one = study.evaluations("softgel", "UNet", 100)
    file = study.path(one[0]) / "counts.npy"
    changed = np.load(file)
    changed[0, 0, 0] += 1
    np.save(file, changed)
    with pytest.raises(ValueError, match="evaluations differ in their ground truth"):
        boost.contrast(study, [one], [study.evaluations("softgel", "UNet", 0)])


def test_classes_change_relative_to_what_is_found_without_pairs(smoke, tmp_path, nothing_runs):
    found = {0: 4, 1: 5, 5: 0}
    study = of_counts(small(smoke), tmp_path, lambda model, pairs, seed: [(90, found[pairs])] * 6)
    classes = study.classes
    name = load(smoke.data("softgel")).classes[0]
    assert classes.loc[("softgel", "UNet", 20, name)].tolist() == pytest.approx([0.5, 0.1, 0.25])
    assert classes.loc[("softgel", "UNet", 100, name)].tolist() == pytest.approx([0, -0.4, -1])
    assert classes.xs(0, level="ratio")[["difference", "relative"]].isna().all(axis=None)
    absent = classes.drop(index=name, level="class")
    assert absent["iou"].isna().all()
    nothing = of_counts(small(smoke), tmp_path / "no", lambda model, pairs, seed: [(90, pairs)] * 6).classes
    row = nothing.loc[("softgel", "UNet", 100, name)]
    assert row["difference"] == pytest.approx(0.5)
    assert math.isnan(row["relative"])


# A real run ---------------------------------------------------------------------------------------------------------


def test_a_real_run_agrees_with_its_artifacts(run, nothing_runs):
    run.build()
    table = run.table
    for ratio in run.ratios:
        (stage,) = run.evaluations("softgel", "UNet", ratio)
        summary = json.loads((run.path(stage) / "summary.json").read_text())
        assert table.loc[("softgel", "UNet", ratio), "miou"] == pytest.approx(summary["miou"], abs=1e-6)
        recorded = {name: value for name, value in summary["iou"].items() if name != "background"}
        found = run.classes.loc["softgel", "UNet", ratio]["iou"]
        assert found.to_dict() == pytest.approx(
            {name: math.nan if value is None else value for name, value in recorded.items()}, abs=1e-6, nan_ok=True
        )
    assert table["pairs"].tolist() == [0, 1, 5]
    rates = run.defects()
    assert list(rates.index.names) == ["product", "model", "measure"]
    assert len(rates) == 4


def test_numbers_of_record_come_back_as_they_were(run, tmp_path):
    records = run.records()
    assert list(records) == [f"ratios_embedded_32px{end}" for end in ("", "_classes", "_defects")]
    for name, (frame, made) in records.items():
        tables.write_record(name, frame, made, tmp_path)
        kept = tables.record(name, tmp_path)
        pd.testing.assert_frame_equal(kept, frame, check_dtype=False)
        about = kept.attrs["provenance"]
        assert (about["profile"], about["seeds"], about["steps"], about["products"]) == ("smoke", [0], 3, ["softgel"])
        assert (about["ratios"], about["device"], about["dtype"]) == ([0, 20, 100], "cpu", "fp32")
    kept = tables.record("ratios_embedded_32px", tmp_path)
    for shown in (boost.in_columns, boost.in_table_4):
        pd.testing.assert_frame_equal(shown(kept), shown(run.table))
    assert boost.in_columns(None) is boost.in_table_4(None) is boost.in_rates(None) is None


# What is said -------------------------------------------------------------------------------------------------------


def made_up(gains: dict[tuple[str, str, int], float], half: float = 0.01, extra: float = math.nan) -> pd.DataFrame:
    """A table with mIoU 0.5 without pairs and intervals of one width."""
    rows = {}
    for (product, model, ratio), gain in gains.items():
        best = max(g for (p, m, _), g in gains.items() if (p, m) == (product, model))
        gained = {"difference": gain, "difference_low": gain - half, "difference_high": gain + half}
        rows[product, model, ratio] = {
            "pairs": ratio // 4,
            "miou": 0.5 + gain,
            "reference": 0.5,
            **(gained if ratio else dict.fromkeys(gained, math.nan)),
            "relative": gain / 0.5 if ratio else math.nan,
            "to_best": gain - best,
            "to_best_low": gain - best - half,
            "to_best_high": gain - best + half,
            "extra": extra,
            "extra_low": extra - half,
            "extra_high": extra + half,
            "over": "3 seeds",
            "background_only": 0.2,
            "seeds": 3,
        }
    index = pd.MultiIndex.from_tuples(rows, names=["product", "model", "ratio"])
    return pd.DataFrame(list(rows.values()), index=index)


@pytest.mark.parametrize(
    ("change", "effect"),
    [
        ({}, "gain"),
        ({"difference_low": -0.04, "difference_high": -0.02}, "loss"),
        ({"difference_low": -0.01}, "n.s."),
        ({"difference_low": math.nan, "difference_high": math.nan}, "n.s."),
        ({"seeds": 2}, "needs seeds"),
        ({"nothing_found": 1}, "not learned"),
        ({"background_only": 0.6}, "not learned"),
        ({"difference": math.nan}, ""),
    ],
)
def test_one_word_says_how_an_interval_lies(change, effect):
    row = {"miou": 0.53, "reference": 0.5, "background_only": 0.2, "seeds": 3, "nothing_found": 0}
    row |= {"difference": 0.03, "difference_low": 0.02, "difference_high": 0.04}
    assert boost.effect(row | change) == effect


def test_every_amount_is_held_against_the_best_and_every_model_against_the_first():
    gains = {0: 0.0, 20: 0.05, 50: 0.045, 100: 0.02}
    first = made_up({("a", "DL", r): gain for r, gain in gains.items()})
    other = made_up({("a", "M-B0", r): 0.02 for r in (0, 20)}, extra=0.02)
    shown = boost.in_columns(pd.concat([first, other]))
    assert shown.loc[("a", "DL"), "from the best"].tolist() == ["loss", "best", "n.s.", "loss"]
    assert shown.loc[("a", "DL"), "effect"].tolist() == ["", "gain", "gain", "gain"]
    assert shown["beyond the first"].tolist() == [""] * 4 + ["gain"] * 2
    few = boost.in_columns(first.assign(seeds=1))
    assert set(few["from the best"]) == {"needs seeds"}


def test_table_4_takes_the_model_that_is_best_without_pairs():
    table = pd.concat(
        [
            made_up({("a", "DL", 0): 0.0, ("a", "DL", 100): 0.1}),
            made_up({("a", "M-B0", 0): 0.0, ("a", "M-B0", 100): 0.3}).assign(reference=0.45).assign(miou=[0.45, 0.8]),
        ]
    )
    rows = boost.best_baselines(table)
    assert rows.loc["a", ["model", "ratio", "reference", "miou"]].tolist() == ["DL", 100, 0.5, pytest.approx(0.6)]
    shown = boost.in_table_4(table)
    assert shown.loc["a"].tolist() == [
        "DL",
        "50.00",
        "60.00",
        "+10.0\N{NO-BREAK SPACE}[+9.0,\N{NO-BREAK SPACE}+11.0]",
        "gain",
        "25 (100 %)",
    ]
    near = made_up({("a", "DL", r): 0.0 for r in (0, 20, 200)})
    assert boost.best_baselines(near).loc["a", "ratio"] == 20


def test_the_rule_names_the_metric_and_both_intervals():
    assert boost.PAIRED_RULE.startswith("mIoU is the mean of the classes' IoU")
    assert "background included; of several seeds, the mean. Differences are paired" in boost.PAIRED_RULE
    assert "With 3 seeds or more the interval is Student's" in boost.PAIRED_RULE
