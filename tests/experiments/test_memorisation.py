"""What nets memorise, on tiny ones: what the table says follows from the pairs; the verdicts follow from the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from defectlib.data.loading import load_eval
from defectlib.experiments import plans
from defectlib.experiments.memorisation import (
    FEW,
    NUMBERS,
    PICTURES,
    WHOLE,
    Cell,
    Memorisation,
    from_text,
    hypothesis,
    in_columns,
    is_copy,
    to_text,
    wilson,
)
from defectlib.plots import tables
from defectlib.profiles import load_profile
from defectlib.settings import DenoiserTraining, LargeNet, Synthesis, T


@pytest.fixture(scope="module")
def study(smoke, store) -> Memorisation:
    made = Memorisation(smoke, store=store)
    made.build()
    return made


def test_a_cell_is_one_net_alone_and_all_are_trained_alike(study):
    nets = []
    for cell in study.cells:
        settings = study.synthetic(cell)
        assert isinstance(settings, Synthesis)
        assert settings.large == settings.small
        large = isinstance(settings.large.net, LargeNet)
        assert large is (cell.field is None)
        assert settings.switch_step == (0 if large else T)
        assert settings.data.shots == cell.shots
        nets.append(settings.large)
    alike = {net.model_copy(update={"data": nets[0].data, "net": nets[0].net}) for net in nets}
    assert len(alike) == 1
    assert isinstance(alike.pop(), DenoiserTraining)


def test_a_notebook_makes_the_cells_that_the_profile_names_and_all_when_asked():
    short, whole = (plans.memorisation(profile="cpu", whole=whole) for whole in (False, True))
    assert short.cells == (Cell(1, 9),)
    assert whole.cells == tuple(Cell(shots, field) for shots in (1, 5, 20, 80) for field in (9, 25, None))
    assert set(short.stages()) < set(whole.stages())
    assert [len(whole.training(cell)) for cell in whole.cells[::3]] == [5, 25, 100, 400]


def test_the_table_follows_from_the_pairs(study):
    assert list(study.table.index) == [(5, "9 px"), (5, WHOLE), (10, "9 px"), (10, WHOLE)]
    for cell, (_, row) in zip(study.cells, study.table.iterrows(), strict=True):
        settings = study.synthetic(cell)
        theirs = [sample.image / 255.0 for sample in study.training(cell)]
        distances = []
        for some in (study.read_pairs(settings), load_eval(settings.data)):
            each = [sorted(np.sqrt(np.mean((s.image / 255.0 - x) ** 2)) for x in theirs)[:2] for s in some]
            distances.append(np.array(each))
        ours, real = distances
        assert row["distance"] == pytest.approx(ours[:, 0].mean() / real[:, 0].mean(), rel=1e-6)
        assert row["copies"] == np.mean(3 * ours[:, 0] < ours[:, 1])
        assert row["held_out_copies"] == np.mean(3 * real[:, 0] < real[:, 1])
        assert row["distance_low"] < row["distance"] < row["distance_high"]
        assert row["epochs"] == 16 / len(theirs)
        weights = load_file(next((study.path(settings.large) / "net").glob("*.safetensors")))
        assert row["parameters"] == sum(array.size for array in weights.values())


def test_pairs_stand_above_the_training_images_nearest_to_them(study):
    shown = study.pictures()
    assert list(shown) == list(study.table.index)
    for cell, (pairs, nearest) in zip(study.cells, shown.values(), strict=True):
        training = np.stack([sample.image for sample in study.training(cell)]).astype(float)
        for pair, found in zip(pairs, nearest, strict=True):
            distances = ((training - pair) ** 2).mean(axis=(1, 2, 3))
            assert (training[distances.argmin()] == found).all()


def test_densities_are_three_parts_of_one_figure(study):
    few, net, many = study.densities().values()
    assert few["points"] == net["points"]
    assert (len(few["points"]), len(many["points"])) == (FEW, 4096)
    table = study.density_table()
    assert list(table.index) == [("best denoiser", 6), ("trained net", 6), ("trained net", 4096)]
    assert table.iloc[0]["mass near them, %"] == 100 * few["near"]


def test_records_are_written_and_read_back(study, tmp_path):
    for name, (frame, provenance) in study.records().items():
        tables.write_record(name, frame, provenance, tmp_path)
    numbers = study.of_record(tables.record(NUMBERS, tmp_path))
    pd.testing.assert_frame_equal(numbers, study.table, check_dtype=False)
    assert numbers.attrs["provenance"]["training_seconds"] >= 0
    kept = study.of_record(tables.record(PICTURES, tmp_path))
    for name, rows in study.pictures().items():
        assert (from_text(kept.loc[name, "png"]) == rows).all()
    other = Memorisation(study.profile, product="brushed_plate", store=study.store)
    assert other.of_record(tables.record(NUMBERS, tmp_path)) is None
    assert other.of_record(None) is None


def test_pictures_survive_as_text():
    rows = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), dtype=np.uint8)
    assert (from_text(to_text(rows)) == rows).all()


def test_a_copy_is_three_times_nearer():
    assert is_copy(np.array([[1.0, 3.1], [1.0, 3.0], [0.0, 0.1], [0.0, 0.0]])).tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"), [(0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (81, 263, 0.2553, 0.3662)]
)
def test_wilsons_interval(successes, trials, low, high):
    """The last is an example of Newcombe 1998 (method 3)."""
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


def row(copies: float, distance: float) -> dict[str, float]:
    ends = {f"copies{end}": copies + by for end, by in (("", 0), ("_low", -0.05), ("_high", 0.05))}
    return ends | {f"distance{end}": distance + by for end, by in (("", 0), ("_low", -0.1), ("_high", 0.1))}


def made(rows: dict[tuple[int, str], dict]) -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples(rows, names=["images", "field"])
    return pd.DataFrame(list(rows.values()), index=index)


def test_the_hypothesis_is_held_against_the_intervals_of_both_ends():
    table = made(
        {
            (5, "9 px"): row(0.1, 1.2),
            (5, WHOLE): row(0.9, 0.2),
            (20, "9 px"): row(0.3, 1.2),
            (20, WHOLE): row(0.1, 1.0),
        }
    )
    shown = hypothesis(table)
    assert shown[["fewer", "farther"]].T.to_dict("list") == {
        "9 px, 5 to 20 images": ["no", "n.s."],
        f"{WHOLE}, 5 to 20 images": ["yes", "yes"],
        f"20 images, {WHOLE} to 9 px": ["no", "n.s."],
    }
    assert shown["copies (%)"].iloc[0] == "10 [5, 15] → 30 [25, 35]"
    assert shown["distance to training"].iloc[2] == "1.00 [0.90, 1.10] → 1.20 [1.10, 1.30]"


def test_one_cell_alone_says_nothing():
    assert hypothesis(made({(5, "9 px"): row(0.1, 1.2)})).empty


def test_printed_columns_keep_where_they_are_from():
    table = made({(5, "9 px"): row(0.1, 1.2)}).assign(
        held_out_copies=0.0, patch_nearness=0.5, held_out_patch_nearness=0.5, epochs=12.4
    )
    table.attrs["provenance"] = {"machine": "here"}
    shown = in_columns(table)
    assert shown.attrs == table.attrs
    assert shown.loc[(5, "9 px"), ["copies (%)", "epochs"]].tolist() == [10, "12"]
    assert in_columns(None) is None


def test_the_profile_says_what_a_cell_costs():
    budget = load_profile("cpu").memorisation
    assert (budget.size, budget.net["steps"], budget.net["batch"]) == (32, 2500, 8)
