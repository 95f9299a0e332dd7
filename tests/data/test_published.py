"""A product of a published dataset as the data of a training: planned without it, read once it is here."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from defectlib import config
from defectlib.data.convert import convert
from defectlib.data.loading import load
from defectlib.data.published import read_published
from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.source import open_source
from defectlib.data.split import Split
from defectlib.profiles import load_profile
from defectlib.studies import plans
from tests.data.miniatures import message
from tests.data.sources.miniature import photograph
from tests.test_cli import run


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data home with seven images of every type of MVTec's hazelnut, one of them there twice."""
    root = tmp_path / "mvtec_ad" / "hazelnut"
    (root / "train" / "good").mkdir(parents=True)
    for kind in read_manifest("mvtec_ad").products["hazelnut"].classes:
        for part in ("test", "ground_truth"):
            (root / part / kind).mkdir(parents=True)
        for i in range(7):
            name = kind if i in (0, 6) else f"{kind} {i}"  # the first and the last look the same
            Image.fromarray(photograph(name, (40, 30))).save(root / "test" / kind / f"{i:03}.png")
            mask = np.zeros((30, 40), np.uint8)
            mask[4:20, 5:15] = 255
            Image.fromarray(mask).save(root / "ground_truth" / kind / f"{i:03}_mask.png")
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path))
    read_published.cache_clear()
    return tmp_path


def test_a_plan_needs_no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path / "nowhere"))
    stages = plans.plan("04_switch_step", {"profile": "smoke", "product": "mvtec_ad/hazelnut"})
    data = stages[0].inputs()["synthetic"].large.data
    assert data == config.PublishedData(
        dataset="mvtec_ad", product="hazelnut", classes=("crack", "cut", "hole", "print"), size=32, shots=1
    )
    assert "no such folder" in message(load, data)


def test_the_first_shots_of_each_type_train_and_twins_stay_on_one_side(home):
    data = load_profile("cpu").data("mvtec_ad/hazelnut")
    dataset = load(data)
    kinds = read_manifest("mvtec_ad").products["hazelnut"].classes
    assert {sample.key for sample in dataset.train} == {f"test_{kind}_{i:03}" for kind in kinds for i in range(5)}
    assert {sample.key for sample in dataset.eval} == {f"test_{kind}_005" for kind in kinds}  # 006 looks like 000
    assert {sample.image.shape for sample in (*dataset.train, *dataset.eval)} == {(64, 64, 3)}
    assert dataset.classes == tuple(kinds)
    assert set(dataset.groups) == {sample.key for sample in (*dataset.train, *dataset.eval)}


def test_masks_keep_their_place_when_squashed(home):
    source = open_source("mvtec_ad", home / "mvtec_ad")
    sample = load(load_profile("cpu").data("mvtec_ad/hazelnut")).train[0]
    rows, columns = np.nonzero(sample.mask)
    assert np.allclose([rows.min() / 64, rows.max() / 64], [4 / 30, 19 / 30], atol=0.04)
    assert np.allclose([columns.min() / 64, columns.max() / 64], [5 / 40, 14 / 40], atol=0.04)
    assert set(np.unique(sample.mask)) == {0, source.classes["hazelnut"].index(sample.present[0]) + 1}


def test_converted_with_the_authors_split(home, tmp_path):
    source = open_source("mvtec_ad", home / "mvtec_ad")
    convert(source, "hazelnut", tmp_path / "out", size=64)
    split = Split.read(tmp_path / "out" / "splits" / "shots-5.json")
    dataset = load(load_profile("cpu").data("mvtec_ad/hazelnut"))
    assert set(split.train) == {sample.key for sample in dataset.train}
    assert set(split.eval) == {sample.key for sample in dataset.eval}


def test_converted_without_a_split_where_a_type_is_too_rare(home, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    source = open_source("mvtec_ad", home / "mvtec_ad")
    assert convert(source, "hazelnut", tmp_path / "out", shots=6) == 28
    assert not (tmp_path / "out" / "splits").exists()
    assert "no split of 6 images of each type was made: class 'crack' has 7 images" in capsys.readouterr().err


def test_too_few_images_of_a_type(home):
    data = load_profile("cpu", shots=6).data("mvtec_ad/hazelnut")
    assert "class 'crack' has 7 images in 6 group(s), but the split needs 6 of different groups" in message(load, data)


def test_names_that_nobody_knows():
    profile = load_profile("cpu")
    assert "unknown product of mvtec_ad 'hazelnt': did you mean 'hazelnut'?" in message(
        profile.data, "mvtec_ad/hazelnt"
    )
    assert "unknown dataset 'mvtec': did you mean 'mvtec_ad'?" in message(profile.data, "mvtec/hazelnut")


def test_the_command_line_trains_on_it(home, monkeypatch, capsys):
    monkeypatch.setenv("DEFECTLIB_STORE", str(home / "store"))
    command = ("train-segmenter", "--model", "UNet", "--product", "mvtec_ad/hazelnut", "--profile", "smoke")
    status, out, err = run(monkeypatch, capsys, *command)
    assert status == 0, err
    assert "on 20 held-out images" in out
    summary = next((home / "store" / "evaluation").rglob("summary.json"))
    assert json.loads(summary.read_text())["images"] == 20
    counts = np.load(summary.with_name("counts.npy"), allow_pickle=False)
    assert (counts.sum(axis=(1, 2)) == 30 * 40).all()  # compared at the size of the published masks


def test_only_published_data_are_squashed():
    segmenter = load_profile("smoke").evaluation(load_profile("smoke").data("softgel"), "UNet").segmenter
    said = "setting 'native' is for published datasets: no others are squashed"
    assert message(config.Evaluation, segmenter=segmenter, native=True) == said
