"""The claims' verdicts, the rule behind them, and every way in which numbers are compared."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from defectlib import detection, metrics, runtime
from defectlib.config import EmbeddedData, T
from defectlib.data.loading import load, load_eval
from defectlib.defectgen.released import released_timesteps
from defectlib.defectgen.timesteps import two_stage_timesteps
from defectlib.report import paper, tables
from defectlib.store import Store
from defectlib.studies import claims, plans, published
from defectlib.studies.baselines import Baselines
from defectlib.studies.claims import DIRECTION, NEEDS, NOT, REPRODUCED, UNDECIDED, Effect, contrast
from defectlib.studies.ratios import real_images

CLAIMS = claims.load()
GAIN, LOSS, NONE, UNKNOWN = Effect(2, 1, 3), Effect(-2, -3, -1), Effect(0.5, -1, 2), Effect(2)

# Verdicts -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_built(monkeypatch, tmp_path, nothing_runs):
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    return {name: study and replace(study, store=Store(tmp_path / "store", shipped=None))
            for name, study in plans.scoreboard("smoke").chapters.items()}  # fmt: skip


@pytest.mark.parametrize("referenced", [True, False])
def test_verdicts_of_all_claims_before_anything_is_run(nothing_built, referenced, tmp_path, monkeypatch):
    if not referenced:
        monkeypatch.setattr(tables, "REFERENCE", tmp_path)
    rows = claims.judge(nothing_built)
    found = {verdict: sorted(group.index) for verdict, group in rows.groupby("verdict")}
    assert found.pop(REPRODUCED) == [
        "most-types", "printed-cotton", "printed-mean-vision", "printed-robust", "printed-winners", "second-largest",
        "timesteps", "training-images", "two-stages",
    ]  # fmt: skip
    of_reference = ["boost-100-here", "boost-here", "fabric-here", "fpr-here", "robust-here"] if referenced else []
    counted = ["other-rows", "printed-mean-mvtec", "release-hand-over", "types-listed"]
    assert found.pop(NOT) == sorted(counted + of_reference)
    assert found.pop(NEEDS) == sorted(name for name, claim in CLAIMS.items() if claim["kind"] == "paper")
    assert set(found) == {UNDECIDED}
    assert (rows[tables.RUN] != "").equals(rows["found"].notna())


def test_every_claim_is_whole():
    for name, claim in CLAIMS.items():
        assert set(claim) == {*claims.DEFAULTS, "part", "chapter", "says", "section", "kind"}, name
        assert claim["kind"] in ("paper", "method", "other")
        assert len(claim["says"]) > 20
        for part in claim["compare"]:
            inspect.signature(claims.HOW[part.get("how", "difference")]).bind(
                None, **{k: v for k, v in part.items() if k != "how"}
            )
        study = plans.STUDIES[claim["chapter"]] and plans.STUDIES[claim["chapter"]](profile="smoke")
        assert not claim["run"] or claim["run"] in claims.TABLES or hasattr(type(study), claim["run"].split(".")[0]), (
            name
        )
        if claim["paper"] and not math.isnan(claim["number"]):
            assert f"{claim['number']:g}" in claim["paper"].replace(",", ""), name


def two_nets_call(u: int) -> list[int]:
    large, small = two_stage_timesteps(u, T)
    return large + small if min(large, default=T) >= u > max(small, default=-1) else []


def wrong_means(dataset: str) -> int:
    means = paper.table3_means().xs(dataset, level="dataset")
    return int(((means.loc["printed"] - means.loc["recomputed"]).abs() >= 0.0051).sum())


def unlike_stated() -> int:
    stated = published.stated().drop(index="Defect Spectrum").rename(columns={"defective images": "annotated images"})
    known = [stated[column].dropna() for column in ("annotated images", "defect types")]
    assert sum(map(len, known)) == 12
    return sum(int((paper.table1().loc[rows.index, rows.name] != rows).sum()) for rows in known)


def rank(column: str) -> float:
    return paper.table1()[column].rank(ascending=False)["Defect Spectrum"]


TABLE_3, COTTON = paper.table3(), paper.table3("Cotton-Fabric").iloc[0]
TRANSFORMERS = ["V-T", "M-B0", "M2F"]


@pytest.mark.parametrize(
    ("name", "count"),
    {
        "types-listed": lambda: published.stated().at["Defect Spectrum", "defect types"],
        "second-largest": lambda: rank("annotated images"),
        "most-types": lambda: rank("defect types"),
        "other-rows": unlike_stated,
        "training-images": lambda: real_images(EmbeddedData(product="softgel")),
        "timesteps": lambda: T,
        "two-stages": lambda: min(len(two_nets_call(u)) for u in (0, 400, T)),
        "release-hand-over": lambda: released_timesteps(400, T)[0][0],
        "printed-mean-mvtec": lambda: wrong_means("MVTec"),
        "printed-mean-vision": lambda: wrong_means("VISION"),
        "printed-winners": lambda: TABLE_3.idxmax(axis=1).value_counts().iloc[1:].sum(),
        "printed-robust": lambda: TABLE_3.mean()["DL"] - TABLE_3.mean().drop("DL").max(),
        "printed-cotton": lambda: COTTON[TRANSFORMERS].min() - COTTON.drop(TRANSFORMERS).max(),
    }.items(),
)
def test_what_the_file_counts_is_counted_again(name, count):
    assert CLAIMS[name]["found"] == pytest.approx(count(), abs=0.005)


def test_every_counted_claim_is_counted_again():
    (mark,) = test_what_the_file_counts_is_counted_again.pytestmark
    assert {name for name, _ in mark.args[1]} == {n for n, claim in CLAIMS.items() if not math.isnan(claim["found"])}


@pytest.mark.parametrize(
    ("effects", "kind", "number", "seeds", "expected"),
    [
        ([GAIN], "method", None, 3, REPRODUCED),
        ([GAIN], "other", None, 3, DIRECTION),
        ([LOSS], "method", None, 3, NOT),
        ([LOSS], "other", None, 3, NOT),
        ([NONE], "method", None, 3, UNDECIDED),
        ([Effect(1, 0, 2)], "method", None, 3, UNDECIDED),
        # The paper's number within the interval, at its end, beyond it.
        ([GAIN], "paper", 2.5, 3, REPRODUCED),
        ([GAIN], "paper", 3, 3, REPRODUCED),
        ([GAIN], "paper", 3.01, 3, DIRECTION),
        ([LOSS], "paper", 2, 3, NOT),
        # Every part must hold, and one that fails is enough.
        ([GAIN, GAIN], "method", None, 3, REPRODUCED),
        ([GAIN, NONE], "method", None, 3, UNDECIDED),
        ([GAIN, LOSS], "method", None, 3, NOT),
        # Fewer than three seeds, or no interval.
        ([GAIN], "method", None, 2, UNDECIDED),
        ([UNKNOWN], "method", None, 3, UNDECIDED),
        ([UNKNOWN, LOSS], "method", None, 3, UNDECIDED),
    ],
)
def test_verdict_on_one_source(effects, kind, number, seeds, expected):
    claim = claims.DEFAULTS | {"kind": kind, "number": math.nan if number is None else number}
    assert claims.verdict(claim, effects, seeds) == expected


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], NEEDS),
        ([REPRODUCED, UNDECIDED], REPRODUCED),
        ([NOT, UNDECIDED], NOT),
        ([REPRODUCED, NOT], UNDECIDED),
        ([REPRODUCED, DIRECTION], DIRECTION),
        ([UNDECIDED], UNDECIDED),
    ],
)
def test_verdict_on_reference_and_run_together(verdicts, expected):
    assert claims.decide({"kind": "paper"}, verdicts) == claims.decide({"kind": "paper"}, verdicts[::-1]) == expected
    assert verdicts or claims.decide({"kind": "method"}, []) == UNDECIDED


# Intervals ----------------------------------------------------------------------------------------------------------

A, B = [0.61, 0.64, 0.66], [0.52, 0.60, 0.49]


def cells(*values) -> np.ndarray:
    return claims.estimates(pd.DataFrame({"x": values}), "x")


def test_intervals_are_students_and_welchs():
    assert contrast(cells(A))[1:] == pytest.approx(stats.t.interval(0.95, 2, np.mean(A), stats.sem(A)))
    expected = stats.ttest_ind(A, B, equal_var=False).confidence_interval(0.95)
    assert contrast(cells(A), cells(B))[1:] == pytest.approx(tuple(expected))
    assert contrast(cells(B), cells(A), sign=-1)[1:] == pytest.approx(tuple(expected))
    spread = pd.DataFrame({"miou": [np.mean(A)], "spread": [np.std(A, ddof=1)], "seeds": [3]})
    assert contrast(claims.estimates(spread, "miou")) == pytest.approx(contrast(cells(A)))


def test_an_interval_that_is_given_comes_back_and_averages_by_the_root_of_their_number():
    rows = pd.DataFrame({"x": [1.0] * 4, "x_low": [0.8] * 4, "x_high": [1.4] * 4})
    assert contrast(claims.estimates(rows[:1], "x")) == pytest.approx((1.0, 0.8, 1.4))
    assert contrast(claims.estimates(rows, "x")) == pytest.approx((1.0, 0.9, 1.2))
    assert contrast(claims.estimates(rows, "x", against=2), sign=-1) == pytest.approx((1.0, 0.8, 1.1))
    low, high = contrast(claims.estimates(rows[:1], "x"), tries=7)[1:]
    assert (high - 1) / 0.4 == (1 - low) / 0.2 == pytest.approx(stats.norm.ppf(1 - 0.025 / 7) / stats.norm.ppf(0.975))
    assert math.isnan(contrast(cells(0.5), cells(A)).low)


# Comparisons, each on a small table as its study makes it ------------------------------------------------------------

UP, MORE, FALL = [0.020, 0.025, 0.024], [0.031, 0.036, 0.034], [-0.02, -0.026, -0.022]


def judged(name: str, rows: dict, index: list[str], about: dict | None = None) -> tuple[str, str] | None:
    """What a table has to say on a claim: (text, verdict)."""
    table = pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=index))
    table.attrs["provenance"] = {"seeds": [0, 1, 2]} | (about or {})
    return claims.compare(CLAIMS[name], table)


def ends(column: str, values) -> dict[str, float]:
    return dict(zip((column, f"{column}_low", f"{column}_high"), contrast(cells(values)), strict=True))


def boost(name: str, gains: dict, **changes):
    """From the seeds' gains by product, model and ratio; beside each, what it lacks to the best ratio."""
    rows = {}
    for (product, model), by_ratio in gains.items():
        by_ratio = {0: [0.0] * 3} | by_ratio
        best = max(by_ratio, key=lambda ratio: np.mean(by_ratio[ratio]))
        for ratio, gain in by_ratio.items():
            lacks = {"to_best": 0.0} if ratio == best else ends("to_best", np.subtract(gain, by_ratio[best]))
            rows[product, model, ratio] = lacks | {"miou": 0.5, "seeds": 3} | changes
            rows[product, model, ratio] |= ends("difference", gain) if ratio else {"difference": math.nan}
    return judged(name, rows, ["product", "model", "ratio"])


OWN = "defect_spectrum/mvtec_cable"
SMALL, LARGE = {20: [0.1, 0.101, 0.102], 300: [0.0, 0.002, 0.001]}, {20: [0.0, 0.001, 0.002], 300: [0.1, 0.101, 0.103]}


@pytest.mark.parametrize(
    ("name", "gains", "expected"),
    [
        ("table4-mvtec", {(OWN, "DL"): {100: [0.035, 0.040, 0.043]}, ("softgel", "DL"): {100: FALL}}, REPRODUCED),
        ("table4-mvtec", {(OWN, "DL"): {100: UP}}, DIRECTION),
        ("table4-mvtec", {(OWN, "DL"): {100: FALL}, (OWN, "M2F"): {100: UP}}, NOT),
        ("table4-mvtec", {(OWN, "DL"): {100: [-0.03, 0.02, 0.04]}}, UNDECIDED),
        ("table4-mvtec", {("softgel", "DL"): {100: UP}}, None),
        ("table4-vision", {(OWN, "DL"): {100: UP}}, None),
        (
            "boost-100-here",
            {("softgel", "DL"): {100: UP}, ("twill", "DL"): {100: MORE}, (OWN, "DL"): {100: FALL}},
            DIRECTION,
        ),
        ("boost-20-here", {("softgel", "DL"): {100: UP}}, None),
        ("boost-here", {("softgel", "DL"): {100: UP}, ("twill", "DL"): {100: MORE}}, DIRECTION),
        ("eccv-gain", {(OWN, "DL"): {20: UP, 100: MORE}}, DIRECTION),
        ("boost-differs-here", {("softgel", "DL"): SMALL, ("twill", "DL"): LARGE}, DIRECTION),
        ("boost-differs-here", {("softgel", "DL"): SMALL, ("twill", "DL"): SMALL}, UNDECIDED),
        ("boost-differs-here", {("softgel", "DL"): SMALL}, None),
    ],
)
def test_gains_from_synthetic_pairs(name, gains, expected):
    found = boost(name, gains)
    assert expected == (found and found[1])
    assert boost(name, gains, seeds=2) is None or boost(name, gains, seeds=2)[1] == UNDECIDED


def test_numbers_are_those_of_the_table():
    gains = {("softgel", "DL"): {100: UP}, ("twill", "DL"): {100: MORE}}
    value, low, high = (100 * end for end in contrast(np.concatenate([cells(UP), cells(MORE)])))
    assert boost("boost-100-here", gains)[0] == f"{value:+.1f} [{low:+.1f}, {high:+.1f}] points, n = 3"
    (best,) = claims.greatest(pd.DataFrame([ends("difference", UP), ends("difference", MORE)]).assign(seeds=3))
    assert best == pytest.approx(contrast(cells(MORE), tries=2))


def compared(name, column, values, index, **about):
    return judged(
        name,
        {key if isinstance(key, tuple) else (key,): ends(column, v) | {"seeds": 3} for key, v in values.items()},
        index,
        about,
    )


def baselines(name, values, spread=0.005):
    rows = {cell: {"miou": miou, "spread": spread, "seeds": 3} for cell, miou in values.items()}
    return judged(name, rows, ["product", "model"])


def sets(name, **changes):
    """Distances of every pair at u = 0, 400 and 1000."""
    near, middle, far = ([base + step for step in (0.0, 0.01, 0.005, 0.008)] for base in (0.02, 0.05, 0.15))
    rows = {(0,): near, (400,): middle, (1000,): far}
    fits = {(0,): [0.9, 0.95, 0.92, 0.96], (1000,): [0.5, 0.6, 0.55, 0.6]}
    rest = {"training_nearest_mean": 0.1, "held_out_nearest_mean": 0.11}
    table = {
        u: {"nearest_distance": d, "judged_agreement_of_pairs": fits.get(u)} | rest | changes for u, d in rows.items()
    }
    return judged(name, table, ["set"])


def memorisation(name, images=25, whole=0.4, **about):
    rows = {(5, "whole image"): 0.2, (images, "9 px"): 1.5, (images, "whole image"): whole, (400, "whole image"): 1.1}
    table = {
        cell: {
            f"{column}{end}": value + by
            for column, value in (("distance", distance), ("copies", 0.5))
            for end, by in (("", 0), ("_low", -0.1), ("_high", 0.1))
        }
        | {"held_out_copies": 0.02}
        for cell, distance in rows.items()
    }
    return judged(name, table, ["images", "field"], about)


def timed(name, factor, accelerator="", models=8):
    times = paper.table2()["time (ms)"][:models]
    rows = {(model,): {"eager": factor(ms)} for model, ms in times.items()}
    return judged(name, rows, ["model"], {"accelerator": accelerator, "rounds": 6})


CROSSED = {("softgel", "DL"): 0.7, ("softgel", "HR"): 0.6, ("twill", "DL"): 0.5, ("twill", "HR"): 0.6}
DL_WINS = CROSSED | {("twill", "DL"): 0.7}
ARMS = {"real images": [0.0] * 3, "Defect-Gen, u = 400": UP, "Defect-Gen, u = 800": MORE, "SinGAN": FALL}
RATES = {("softgel", model, "false-positive rate"): [-0.3, -0.31, -0.29] for model in ("DL", "M-B0")}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: baselines("no-winner-here", CROSSED), DIRECTION),
        (lambda: baselines("no-winner-here", DL_WINS), NOT),
        (lambda: baselines("no-winner-here", DL_WINS | {("twill", "HR"): 0.701}), UNDECIDED),
        (lambda: baselines("no-winner-here", CROSSED, spread=math.nan), UNDECIDED),
        (lambda: baselines("no-winner-here", CROSSED | {("twill", "HR"): math.nan}), None),
        (lambda: baselines("robust-here", DL_WINS), DIRECTION),
        (lambda: baselines("robust-here", CROSSED | {("twill", "HR"): 0.9}), NOT),
        (lambda: baselines("robust-here", DL_WINS | {("twill", "DL"): math.nan}), None),
        (lambda: baselines("fabric-here", {("twill", "V-T"): 0.6, ("twill", "DL"): 0.5}), DIRECTION),
        (lambda: baselines("fabric-here", {("twill", "DL"): 0.5, ("softgel", "V-T"): 0.9}), None),
        (lambda: compared("boost-others-here", "difference", ARMS, ["arm"]), DIRECTION),
        (lambda: compared("boost-others-here", "difference", {k: ARMS[k] for k in list(ARMS)[:3]}, ["arm"]), None),
        (lambda: compared("fpr-here", "difference", RATES, ["product", "model", "measure"]), DIRECTION),
        (lambda: compared("recall-here", "difference", RATES, ["product", "model", "measure"]), None),
        (lambda: compared("click-better", "more", {"GrabCut": [1.0, 1.1, 1.2], "SAM": FALL}, ["method"]), REPRODUCED),
        (lambda: compared("click-better", "more", {"GrabCut": [1.0, 1.1, 1.2], "flood fill": FALL}, ["method"]), NOT),
        (lambda: memorisation("memorises"), REPRODUCED),
        (lambda: memorisation("memorises", whole=1.4), NOT),
        (lambda: memorisation("memorises", seeds=[0]), UNDECIDED),
        (lambda: memorisation("memorises", images=100), None),
        (lambda: memorisation("patches-vary"), REPRODUCED),
        (lambda: memorisation("more-images"), REPRODUCED),
        (lambda: sets("large-alone"), REPRODUCED),
        (lambda: sets("large-alone", training_nearest_mean=0.01), NOT),
        (lambda: sets("small-alone"), REPRODUCED),
        (lambda: sets("both-nets"), REPRODUCED),
        (lambda: sets("trade-off"), REPRODUCED),
        (lambda: sets("trade-off", judged_agreement_of_pairs=None), UNDECIDED),  # diversity alone is no trade
        (lambda: timed("order-here", lambda ms: 3 * ms), DIRECTION),
        (lambda: timed("order-here", lambda ms: 1 / ms), NOT),
        (lambda: timed("order-here", lambda ms: ms, models=4), None),
        (lambda: timed("table2", lambda ms: ms), None),
        (lambda: timed("table2", lambda ms: ms, "NVIDIA GeForce RTX 3090"), REPRODUCED),
        (lambda: judged("several-types", {(0,): {"several_types": 552}}, ["i"]), REPRODUCED),
        (lambda: judged("several-types", {(0,): {"several_types": 551}}, ["i"]), NOT),
        (lambda: judged("table3", {(0,): {"apart": 2.0}}, ["i"]), UNDECIDED),
    ],
)  # fmt: skip
def test_comparisons(found, expected):
    assert expected == (found() and found()[1])


# A run --------------------------------------------------------------------------------------------------------------

SKILL = {"UNet": 0.6, "DL": 0.8}  # share of the defects' pixels that a model sees


@pytest.fixture(scope="module")
def trained(smoke, tmp_path_factory) -> Baselines:
    """Evaluations of predictions that miss a known share of every defect, a little more or less by seed."""
    changes = {"products": ("softgel", "twill"), "models": tuple(SKILL), "seeds": (0, 1, 2), "eval_count": 20}
    study = Baselines(smoke.model_copy(update=changes), store=Store(tmp_path_factory.mktemp("store"), shipped=None))
    for stage in study.stages():
        study.store.build(stage, {"segmenter": lambda settings, inputs, out: None, "evaluation": evaluate})
    return study


def evaluate(settings, inputs, out):
    trained = settings.segmenter
    masks = [sample.mask for sample in load_eval(trained.data)]
    classes = len(load(trained.data).classes) + 1
    seen = runtime.numpy_generator(trained.seed, trained.model, trained.data.product)
    preds = [np.where(seen.random(mask.shape) < SKILL[trained.model], mask, 0) for mask in masks]
    np.save(out / "counts.npy", metrics.image_counts(masks, preds, classes))
    np.save(out / "defects.npy", np.stack([detection.tally(*pair, classes) for pair in zip(masks, preds, strict=True)]))


def test_a_run_is_judged_like_reference_results_made_from_it(trained, tmp_path, monkeypatch, nothing_runs):
    (name, (frame, about)), *_ = trained.records().items()
    tables.write_record(name, frame, about, tmp_path)
    monkeypatch.setattr(tables, "REFERENCE", tmp_path)
    row = claims.judge({"14_baselines": trained}).loc["robust-here"]
    lead = trained.table["miou"].unstack("model").mean()
    assert row[tables.RUN] == row[tables.RECORD]
    assert row[tables.RUN].startswith(f"{100 * (lead['DL'] - lead['UNet']):+.1f} [")
    assert row["verdict"] == DIRECTION
    tables.write_record("baselines_128px", frame.assign(seeds=1, miou=0.5), about, tmp_path)  # fewer seeds: not taken
    assert claims.judge({"14_baselines": trained}).loc["robust-here"].equals(row)
    one_seed = replace(trained, profile=trained.profile.model_copy(update={"seeds": (0,)}))
    monkeypatch.setattr(tables, "REFERENCE", tmp_path / "none")
    row = claims.judge({"14_baselines": one_seed}).loc["robust-here"]
    assert (row["verdict"], row[tables.RUN][-7:]) == (UNDECIDED, ", n = 1")


# Pages --------------------------------------------------------------------------------------------------------------


def test_a_table_of_claims_has_three_columns_and_tells_reference_from_run(nothing_built):
    rows = claims.judge(nothing_built).loc[["types-listed", "robust-here", "table3"]]
    table = claims.table(rows, "tab-x")
    counted, measured, missing = table.frame.itertuples(index=False)
    assert table.frame.columns.tolist() == ["claim", "here", "verdict"]
    assert counted.claim == "It has 125 types of defects (§3.2, Table 1)"
    assert counted.here == "pairs of product and type in the label files of the release: 98"
    assert measured.here.startswith("its mean less the best other mean: of record \N{MINUS SIGN}1.6 [")
    assert (missing.here.split(": ")[-1], missing.verdict) == ("not run", "**○\N{NO-BREAK SPACE}needs data**")
    assert ":class: claims\n" in table.markdown()
    assert table.csv().splitlines()[0] == "claim,says,section,paper,measure,of record,this run,verdict"


def test_every_chapter_with_claims_ends_with_their_table():
    for path in sorted((runtime.REPOSITORY / "notebooks").glob("[0-9]*.ipynb")):
        sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
        shown = f'claims.judge({{"{path.stem}": ' in sources[-1]
        assert shown == any(claim["chapter"] == path.stem for claim in CLAIMS.values()), path
