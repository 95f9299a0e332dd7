"""What is warned of, and what is not: the complaint of the release's users rebuilt, and data that lack nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from defectlib.data.loading import folder_data, load
from defectlib.data.sample import Sample
from defectlib.data.split import Split
from defectlib.defectgen.crops import crop_shares
from defectlib.errors import UserError
from defectlib.experiments import advice
from defectlib.profiles import load_profile
from defectlib.settings import Synthesis
from tests.data.miniatures import message, write_folder
from tests.defectgen.complaint import complaint, part, write_complaint


@pytest.fixture
def synthesis(tmp_path) -> Synthesis:
    """How the cpu profile makes pairs of a folder: crops of 64 px, u = 200."""
    profile = load_profile("cpu", precision="fp32", device="cpu")
    profile = profile.model_copy(update={"own": profile.own.model_copy(update={"crop": 64})})
    root = write_folder(tmp_path / "parts")
    Split(("a", "b", "c"), ("e", "f"), "by hand").write(root / "splits" / "default.json")
    return profile.own_synthesis(folder_data(root))


def sample(classes: tuple[str, ...], *painted: tuple[int, tuple[slice, slice]]) -> Sample:
    mask = np.zeros((120, 160), np.uint8)
    for k, where in painted:
        mask[where] = k
    return Sample("key", np.zeros((120, 160, 3), np.uint8), mask, classes, "part")


def at(y: int, x: int, height: int = 10, width: int = 10) -> tuple[slice, slice]:
    return slice(y, y + height), slice(x, x + width)


#: Six images of one type, here and there.
PLACES = ((5, 5), (90, 130), (40, 80), (100, 10), (10, 140), (60, 30))


# Before -------------------------------------------------------------------------------------------------------------


def test_data_that_lack_nothing_are_not_warned_of(synthesis):
    assert advice.before([sample(("pit",), (1, at(*place))) for place in PLACES], synthesis) == []


def test_the_complaint_is_one_place(synthesis):
    lines = advice.before(complaint(10), synthesis)
    assert len(lines) == 1
    assert re.fullmatch(
        r"type 'spot': lies at one place in all of its 10 training images \(they differ by 0\.\d % of the side\), so "
        r"pairs know it before one background alone; add images that show it elsewhere",
        lines[0].replace("%", " %"),
    )


def test_the_same_parts_with_the_spot_elsewhere_are_not_warned_of(synthesis):
    assert advice.before([part(i, place=(60 + 90 * (i % 5), 80 + 60 * (i % 6))) for i in range(10)], synthesis) == []


def test_a_type_in_few_images_is_named_and_the_others_are_not(synthesis):
    images = [sample(("pit", "burr"), (1, at(*place))) for place in PLACES]
    images[0] = sample(("pit", "burr"), (1, at(*PLACES[0])), (2, at(30, 40)))
    assert advice.before(images, synthesis) == [
        "type 'burr': 1 training image to learn it from, fewer than 5; add images that show it, or leave it out of "
        "classes.json and the masks"
    ]
    assert advice.before([sample(("pit", "burr"), (1, at(*place))) for place in PLACES], synthesis)[0].startswith(
        "type 'burr': 0 training images to learn it from"
    )


@pytest.mark.parametrize(("side", "warned"), [(3, True), (4, False)])
def test_few_pixels(synthesis, side, warned):
    lines = advice.before([sample(("pit",), (1, at(*place, side, side))) for place in PLACES], synthesis)
    assert lines == warned * [
        "type 'pit': covers 9 px of an image (median), fewer than 12, too few to be drawn; bring images at a higher "
        "resolution, or leave it out of classes.json and the masks"
    ]


@pytest.mark.parametrize(("length", "warned"), [(65, True), (64, False)])
def test_a_defect_that_no_crop_holds(synthesis, length, warned):
    places = [(y, x % 60) for y, x in PLACES]
    lines = advice.before([sample(("crack",), (1, at(*place, 5, length))) for place in places], synthesis)
    assert lines == warned * [
        "type 'crack': reaches over 65 px (median), and training crops of 64 px cut it; if pairs must show it whole, "
        "give --crop 96, at 2.2 times the cost"
    ]


@pytest.mark.parametrize(
    ("defects", "fits"),
    [
        ([(9, 20), (9, 60), (9, 300)], (1, 64)),  # half of the types fit
        ([(9, 20), (9, 90), (9, 300)], (1, 96)),
        ([(9, 100), (9, 120), (9, 300)], (1, 128)),
        ([(9, 20), (9, 200), (9, 300)], (2, 128)),
        ([(5, 20), (9, 200), (9, 300)], (1, 128)),  # the first would be 2 px wide
        ([(30, 600), (30, 700), (30, 900)], (8, 96)),
    ],
)
def test_scale_and_crop_are_chosen_so_that_half_of_the_types_fit(defects, fits):
    classes = tuple(f"type {k}" for k in range(1, 4))
    images = [Sample("a", np.zeros((1000, 1000, 3), np.uint8), np.zeros((1000, 1000), np.uint8), classes, "p")]
    for k, (height, width) in enumerate(defects, start=1):
        images[0].mask[100 * k : 100 * k + height, 10 : 10 + width] = k
    assert advice.fitting(images) == fits


def test_two_defects_far_apart_are_not_one_long_one(synthesis):
    images = [sample(("pit",), (1, at(y, x)), (1, at(y, 150 - x))) for y, x in PLACES]
    assert not [line for line in advice.before(images, synthesis) if "reaches over" in line]


# After --------------------------------------------------------------------------------------------------------------

NEW = (0.5, 0.5)


def pairs(shown: int, of: int = 100) -> list[Sample]:
    return [sample(("pit",), *([(1, at(5, 5))] if i < shown else [])) for i in range(of)]


def shares(shown: float) -> pd.DataFrame:
    return pd.DataFrame({"shown": [shown]}, index=["pit"])


def test_a_type_that_the_pairs_leave_out(synthesis):
    assert advice.after(pairs(0), shares(0.3), NEW, synthesis) == [
        "type 'pit': 0 pairs of 100 with it, where 30% of the training crops show it (less than half as often: "
        "binomial test, p = 9e-08); raise --steps (now 1200), or add images that show it"
    ]


def test_the_limit_is_that_of_the_binomial_test(synthesis):
    warned = [shown for shown in range(31) if advice.after(pairs(shown), shares(0.3), NEW, synthesis)]
    refused = [shown for shown in range(31) if binomtest(shown, 100, 0.15, alternative="less").pvalue < 0.01]
    assert warned == refused == list(range(7))


def test_few_pairs_prove_nothing_and_a_type_that_crops_never_show_is_not_missed(synthesis):
    assert advice.after(pairs(0, of=4), shares(0.3), NEW, synthesis) == []
    assert advice.after(pairs(0), shares(0.0), NEW, synthesis) == []


def test_copies(synthesis):
    (line,) = advice.after(pairs(50), shares(0.5), (0.98, 1e-20), synthesis)
    assert line == (
        "pairs repeat places of the training images: with a chance of 98% a pair is nearer to one than a crop of a "
        "held-out image is, 50 % if it is new (Mann-Whitney test, p = 1e-20); raise own.switch_step (now 200) in a "
        "profile of your own (--profile FILE.yaml), or add images"
    )
    small_alone = synthesis.model_copy(update={"switch_step": 1000})
    (line,) = advice.after(pairs(50), shares(0.5), (0.98, 1e-20), small_alone)
    assert "; take a small net with a lower receptive_field in a profile" in line


@pytest.mark.parametrize("nearness", [(0.89, 1e-9), (0.98, 0.02), NEW])
def test_nearness_that_is_small_or_by_chance_is_not_warned_of(synthesis, nearness):
    assert advice.after(pairs(50), shares(0.5), nearness, synthesis) == []


# The complaint, taken up --------------------------------------------------------------------------------------------


def test_training_crops_show_the_small_defect_whole():
    measured = {by: crop_shares(complaint(10), 64, by, count=600).loc["spot"] for by in ("pixel", "defect")}
    assert measured["pixel"]["anywhere"] < 0.1  # of crops placed anywhere
    assert measured["pixel"]["shown"] > 0.7
    assert measured["pixel"]["whole"] < 0.25
    assert measured["defect"]["whole"] > 0.7


def test_shots_of_one_part_are_one_group_and_the_user_is_told_what_to_do(tmp_path):
    root = write_complaint(tmp_path / "covers", [replace(part(0), key=f"part_{i:02}") for i in range(16)])
    assert message(folder_data, root) == (
        "class 'spot' has 16 images in 1 group(s), but the split needs one group to train on and another to evaluate; "
        "add images, or leave the class out of classes.json and the masks; images that look alike count as one group, "
        'which left 1 of 16: where they show different parts, divide them yourself, {"train": [KEY, ...], "eval": '
        f"[KEY, ...]}} in {root / 'splits' / 'default.json'}"
    )
    keys = [f"part_{i:02}" for i in range(16)]
    Split(tuple(keys[:10]), tuple(keys[10:]), "by hand").write(root / "splits" / "default.json")
    assert folder_data(root).split == "splits/default.json"


def test_parts_before_one_fixed_camera_are_divided_and_the_user_is_warned(tmp_path, capsys, monkeypatch):
    """All of them are alike; two shots of one part are nearer still, and stay together."""
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    parts = [part(i, alike=True) for i in range(16)]
    again = [replace(shot, key=f"{shot.key}_again", image=shot.image ^ 1) for shot in parts[:4]]
    dataset = load(folder_data(write_complaint(tmp_path / "covers", [*parts, *again])))
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "warning: the images are all alike, as before one fixed camera, so those count as one part that differ" in said
    )
    sides = (dataset.train, dataset.eval)
    train, held = ({sample.key.removesuffix("_again") for sample in side} for side in sides)
    assert len(train) >= 8
    assert len(held) >= 5
    assert not train & held


def test_a_type_with_too_few_groups_is_refused_without_talk_of_likeness(tmp_path):
    root = write_complaint(tmp_path / "covers", [replace(part(i), key=f"p{i}") for i in range(1)])
    with pytest.raises(UserError) as refused:
        folder_data(root)
    assert "look alike" not in str(refused.value)
