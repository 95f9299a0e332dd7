"""A product of a published dataset as the data of a training: planned without it, read once it is here."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from defectlib import settings
from defectlib.data import folder, published
from defectlib.data.convert import convert
from defectlib.data.loading import load, load_eval, load_train
from defectlib.data.published import native_masks, read_published, resize_mask
from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.source import open_source
from defectlib.data.split import Split
from defectlib.experiments import plans
from defectlib.profiles import load_profile
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
    new_process()
    return tmp_path


def new_process():
    """Forget what a process keeps of the files."""
    for kept in (read_published, load_train, load_eval, published.files_here, published._listed):
        kept.cache_clear()


def write_scratches(root: Path, count: int) -> None:
    """Images of 256 px, each with a scratch of one pixel that vanishes when sampled at 64 px."""
    for part in ("train", "test/ko", "ground_truth/ko"):
        (root / "01" / part).mkdir(parents=True)
    for i in range(count):
        mask = np.zeros((256, 256), np.uint8)
        mask[40 + 4 * i, 30:200] = 255
        Image.fromarray(photograph(f"{i}", (256, 256))).save(root / "01" / "test" / "ko" / f"{i:04}.bmp")
        Image.fromarray(mask).save(root / "01" / "ground_truth" / "ko" / f"{i:04}.png")


def test_a_plan_needs_no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path / "nowhere"))
    stages = plans.plan("04_switch_step", {"profile": "smoke", "product": "mvtec_ad/hazelnut"})
    data = stages[0].inputs()["synthetic"].large.data
    assert data == settings.PublishedData(
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


# Made smaller --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_mask_made_smaller_keeps_every_type(seed):
    generator = np.random.default_rng(seed)
    mask = np.zeros(generator.integers(40, 400, 2), np.uint8)
    for number in range(1, 9):  # dots and thin lines, some on top of one another
        top, left = generator.integers(0, mask.shape) if number % 3 else (8, 8)
        height, width = generator.permutation([generator.integers(1, 4), generator.choice([1, 90])])
        mask[top : top + height, left : left + width] = number
    small, thin = resize_mask(mask, 32)
    assert set(np.unique(small)) == set(np.unique(mask))
    nearest = np.array(Image.fromarray(mask).resize((32, 32), Image.Resampling.NEAREST))
    assert set(thin) == set(np.unique(mask)) - set(np.unique(nearest)) - {0}
    assert np.isin(small[small != nearest], thin).all()


def test_a_thin_scratch_keeps_its_place_and_length():
    mask = np.zeros((256, 512), np.uint8)
    mask[101, 40:440] = 1
    small, thin = resize_mask(mask, 64)
    expected = np.zeros((64, 64), np.uint8)
    expected[25, 5:55] = 1
    assert np.array_equal(small, expected)
    assert thin == [1]


def test_images_whose_defects_are_too_thin_are_told_and_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path))
    new_process()
    write_scratches(tmp_path / "btad", 7)
    told = "warning: 7 of 7 images show defects too thin or small for 64 px, which are drawn a pixel wide (ko: 7)"
    out = tmp_path / "out"
    status, _, err = run(
        monkeypatch, capsys, "data", "convert", "btad", "--product", "01", "--size", "64", "--out", str(out)
    )
    assert (status, told in err) == (0, True), err
    samples = folder.read_dataset(out)
    assert len(samples) == 7
    assert all(sample.present and "without a defect" not in sample.caption for sample in samples)
    dataset = load(load_profile("cpu").data("btad/01"))
    assert [len(dataset.train), len(dataset.eval)] == [5, 2]
    assert all(sample.present for sample in (*dataset.train, *dataset.eval))
    assert told in capsys.readouterr().err


# Files that change ---------------------------------------------------------------------------------------------------


def add_one(root):
    for path in sorted((root / "hazelnut").glob("*/crack/000*")):
        shutil.copy(path, path.with_name(path.name.replace("000", "007")))


def rewrite(root, pattern):
    path = next((root / "hazelnut").glob(pattern))
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(0, 0))


CHANGES = {
    "an image added": add_one,
    "an image written anew": lambda root: rewrite(root, "test/crack/000.png"),
    "a mask written anew": lambda root: rewrite(root, "ground_truth/crack/000_mask.png"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_other_files_are_other_data(home, change):
    data = load_profile("cpu").data("mvtec_ad/hazelnut")
    samples = load(data).eval
    change(home / "mvtec_ad")
    assert "the files of hazelnut are not those that were here" in message(native_masks, data, samples)
    new_process()
    assert "the files of hazelnut are not those that were here" in message(load, data)
    again = load_profile("cpu").data("mvtec_ad/hazelnut")
    assert again.identity() != data.identity()
    assert load(again).train


def test_a_result_of_other_files_is_not_served(home, monkeypatch, capsys):
    monkeypatch.setenv("DEFECTLIB_STORE", str(home / "store"))
    command = ("train-segmenter", "--model", "UNet", "--product", "mvtec_ad/hazelnut", "--profile", "smoke")
    first = run(monkeypatch, capsys, *command)
    for path in (home / "mvtec_ad").glob("*/test/*/001.png"):
        path.unlink()
    for path in (home / "mvtec_ad").glob("*/ground_truth/*/001_mask.png"):
        path.unlink()
    new_process()
    second = run(monkeypatch, capsys, *command)
    assert "on 20 held-out images" in first[1]
    assert "on 16 held-out images" in second[1]


def test_too_few_images_of_a_type(home):
    data = load_profile("cpu", shots=6).data("mvtec_ad/hazelnut")
    assert "class 'crack' has 7 images in 6 group(s), but the split needs 6 of different groups" in message(load, data)


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
    assert message(settings.Evaluation, segmenter=segmenter, native=True) == said
