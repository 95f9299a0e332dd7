"""Your own defects, run for real on a tiny folder: what is trained on, what is written, what is refused."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from defectlib.data import folder, loading, procedural, verify
from defectlib.data.loading import load
from defectlib.data.sample import Sample
from defectlib.data.split import Split
from defectlib.defectgen import training as denoiser_training
from defectlib.errors import UserError
from defectlib.experiments.boost import BOTH, REAL, verdict
from defectlib.experiments.example import PRODUCT, example_folder
from defectlib.experiments.export import copy_dataset
from defectlib.experiments.own import HALF, PASTED, OwnDefects, own_defects, per_class
from defectlib.profiles import load_profile
from defectlib.segmentation import training as segmenter_training
from defectlib.settings import EmbeddedData
from defectlib.store import Store, settings_of
from tests.filesystems import read_only

SIDE, IMAGES, GROUPS = 48, 16, 8


def write_washers(root: Path) -> Path:
    """Sixteen images; i and i + 8 show one part. Image i shows type i mod 4 first, so each type has two parts."""
    samples = [procedural.sample("washer", "train", i, size=SIDE) for i in range(IMAGES)]
    folder.write_dataset(root, samples)
    groups = {sample.key: f"part {i % GROUPS}" for i, sample in enumerate(samples)}
    (root / "groups.json").write_text(json.dumps(groups))
    return root


@pytest.fixture
def washers(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    return write_washers(tmp_path / "washers")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[OwnDefects, dict[str, set[str]], Path]:
    """A study that was run to its end, the keys that its trainings were given, and what it exported."""
    seen: dict[str, set[str]] = {"denoiser": set(), "segmenter": set()}
    place = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEFECTLIB_STORE", str(place / "store"))
        train, fit = denoiser_training.train, segmenter_training.fit

        def watched_train(settings, samples, unfinished, base):
            seen["denoiser"] |= {sample.key for sample in samples} if base else set()  # the base has its own images
            return train(settings, samples, unfinished, base)

        def watched_fit(settings, real, synthetic, classes, unfinished):
            seen["segmenter"] |= {sample.key for sample in real}
            return fit(settings, real, synthetic, classes, unfinished)

        patch.setattr(denoiser_training, "train", watched_train)
        patch.setattr(segmenter_training, "fit", watched_fit)
        study = own_defects(load_profile("smoke"), write_washers(place / "washers"), count=3, model="UNet")
        study.build()
        study.export(place / "pairs")
    return study, seen, place / "pairs"


def test_only_training_images_train(built):
    study, seen, _ = built
    dataset = load(study.data)
    train, held = ({sample.key for sample in side} for side in (dataset.train, dataset.eval))
    assert len(train) + len(held) == IMAGES
    assert seen == {"denoiser": train, "segmenter": train}
    assert {dataset.groups[key] for key in train}.isdisjoint(dataset.groups[key] for key in held)
    assert {sample.key for sample in loading.load_train(study.data)}.isdisjoint(held)


def test_the_split_stands_in_the_store_and_the_folder_is_left_as_it_was(built):
    study, _, _ = built
    assert Path(study.data.split).is_relative_to(study.store.root / "splits")
    assert not (study.data.root / "splits").exists()
    assert Split.read(study.data.root / study.data.split).train == tuple(s.key for s in load(study.data).train)


def test_a_built_study_has_nothing_left_to_do(built, nothing_runs, capsys):
    study, _, _ = built
    study.build()
    assert capsys.readouterr().err == ""


def test_the_export_is_a_dataset_folder(built):
    study, _, out = built
    report = verify.check(out)
    assert (report.images, report.faults) == (3, ())
    pairs = folder.read_dataset(out)
    assert pairs[0].classes == procedural.PRODUCTS["washer"].classes
    side = study.profile.own.crop
    assert {pair.image.shape for pair in pairs} == {(side, side, 3)}
    for pair, made in zip(pairs, study.pairs(), strict=True):
        assert np.array_equal(pair.image, made.image)
        assert np.array_equal(pair.mask, made.mask)
    assert json.loads((out / "provenance.json").read_text())["source"] == "Defect-Gen"
    assert not list(out.parent.glob(".*"))


def test_the_report_says_what_came_out_and_what_it_rests_on(built):
    study, _, out = built
    report = json.loads((out / "report.json").read_text())
    dataset = load(study.data)
    assert report["verdict"] == verdict(report) == verdict(study.result)
    assert report["model"] == "UNet"
    assert (report["train_images"], report["images"]) == (len(dataset.train), len(dataset.eval))
    assert report["groups"] == len({dataset.groups[sample.key] for sample in dataset.eval}) > 1
    assert report["difference"] == pytest.approx(report["synthetic"] - report["real"])
    assert report["difference_low"] <= report["difference_high"]
    assert set(report["class_iou"]) == {REAL, BOTH}
    for side, key in ((REAL, "real"), (BOTH, "synthetic")):
        assert list(report["class_iou"][side]) == ["background", *dataset.classes]
        assert np.mean(list(report["class_iou"][side].values())) == pytest.approx(report[key])
    shown = [set(pair.present) for pair in study.pairs()]
    assert report["types_in_synthetic"] == {name: sum(name in names for names in shown) for name in dataset.classes}
    assert report["warnings"] == study.warnings()
    assert report["warnings"][: len(study.doubts())] == study.doubts()
    assert report["training_crops"] == study.crops.to_dict("index")
    assert list(report["training_crops"]) == list(dataset.classes)
    assert report["nearness"] == study.nearness[0]
    assert list(report["trained_on"]) == [HALF, REAL, BOTH, PASTED]
    assert report["trained_on"][BOTH]["difference"] == pytest.approx(report["difference"])
    real, half = report["trained_on"][REAL], report["trained_on"][HALF]
    assert real["difference"] == pytest.approx(real["miou"] - half["miou"])
    assert report["trained_on"][PASTED]["reference"] == real["miou"] == pytest.approx(report["real"])
    assert settings_of(report["provenance"]) == study.comparison.with_synthetic[0]


def test_a_class_without_held_out_images_is_null_in_the_report(washers, tmp_path):
    """The folder's own manifest decides, and it may hold out no image of some type; JSON has no NaN."""
    index = folder.index(washers)
    groups = {f"part {number}" for number in (0, 1, 2, 4, 5, 6)}
    held = [s.key for s in folder.read_dataset(washers) if "burr" not in s.present]
    held = [key for key, group in zip(index["key"], index["group"], strict=True) if key in held and group in groups]
    train = [key for key, group in zip(index["key"], index["group"], strict=True) if group in ("part 3", "part 7")]
    Split(tuple(train), tuple(held), "by hand").write(washers / "splits" / "default.json")
    study = own_defects(load_profile("smoke"), washers, model="UNet")

    def evaluate(settings, inputs, out):
        np.save(out / "counts.npy", np.stack([np.diag([9, 3, 2, 1, 0])] * len(held)))

    def sample(settings, inputs, out):
        images = load(study.data).train
        folder.write_dataset(
            out / settings.dataset, [replace(s, image=s.image[:32, :32], mask=s.mask[:32, :32]) for s in images]
        )

    trained = {"denoiser": print, "segmenter": print}
    runners = {"evaluation": evaluate, "synthetic": sample, "pasted_pairs": sample, **trained}
    for stage in study.stages():
        study.store.build(stage, runners)
    assert math.isnan(study.report()["class_iou"][REAL]["burr"])
    shown = per_class(study.report())
    assert list(shown.columns) == [REAL, BOTH, "pairs that show it"]
    assert list(shown.index) == ["background", *load(study.data).classes]
    assert shown["pairs that show it"].to_dict() == {"background": "", **study.report()["types_in_synthetic"]}
    assert shown[REAL]["background"] == 100 * study.report()["class_iou"][REAL]["background"]
    study.export(tmp_path / "pairs")
    report = json.loads((tmp_path / "pairs" / "report.json").read_text())
    assert report["class_iou"][REAL] == {"background": 1, "scratch": 1, "rust": 1, "pit": 1, "burr": None}


# What is refused, and what is left alone ----------------------------------------------------------------------------


def test_a_target_that_holds_something_is_refused_and_stays(built, tmp_path):
    study, _, _ = built
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(UserError, match="is there already and not empty; name another folder or remove it"):
        study.export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(UserError, match=r"nowhere: no such folder; make it first"):
        study.export(tmp_path / "nowhere" / "pairs")


def test_the_generator_learns_from_crops_that_hold_whole_defects_and_whole_images_are_named_as_before(built, smoke):
    synthetic = built[0].synthetic
    assert (synthetic.large.crop_by, synthetic.small.crop_by) == ("defect", "defect")
    assert "crop_by" in synthetic.large.identity()
    whole = smoke.large_training(smoke.data("softgel"))
    assert "crop_by" not in whole.identity()


def test_the_baseline_is_trained_from_three_seeds_unless_told_otherwise(washers):
    for seeds, expected in ((None, [0, 1, 2]), ((0,), [0])):
        comparison = own_defects(load_profile("cpu"), washers, seeds=seeds).comparison
        for side in (comparison.without, comparison.with_synthetic):
            assert [stage.segmenter.seed for stage in side] == expected


def test_types_in_few_images_are_told_before_anything_is_trained(washers, capsys, nothing_runs):
    study = own_defects(load_profile("smoke"), washers)
    counts = {
        name: sum(name in s.present for s in load(study.data).train) for name in ("scratch", "rust", "pit", "burr")
    }
    told = [line.split(":")[0] for line in study.doubts() if "to learn it from" in line]
    assert told == [f"type '{name}'" for name, count in counts.items() if count < 5]
    assert told


def test_pairs_that_are_training_crops_and_show_one_type_alone_are_warned_of(washers, tmp_path):
    """Forty copies of places of training images, none of which shows a type but the first."""
    study = own_defects(load_profile("smoke"), washers, count=40)
    train = load(study.data).train
    cut = [train[i % len(train)] for i in range(40)]
    copies = [
        replace(s, key=f"copy_{i}", image=s.image[6:38, 6:38], mask=(s.mask[6:38, 6:38] == 1).astype(np.uint8))
        for i, s in enumerate(cut)
    ]

    def copy(settings, inputs, out):
        folder.write_dataset(out / settings.dataset, copies)

    study.store.build(study.synthetic, {"synthetic": copy, "denoiser": print})
    warned = study.warnings()[len(study.doubts()) :]
    assert [line.split(":")[0] for line in warned] == [
        *(f"type '{name}'" for name in ("rust", "pit", "burr")),
        "pairs repeat places of the training images",
    ]


def test_an_empty_target_is_filled(built, tmp_path):
    (tmp_path / "pairs").mkdir()
    copy_dataset(built[2], tmp_path / "pairs", {"note.txt": "beside"})
    assert verify.check(tmp_path / "pairs").images == 3
    assert (tmp_path / "pairs" / "note.txt").read_text() == "beside"


def test_a_copy_that_fails_leaves_nothing(built, tmp_path):
    with pytest.raises(OSError, match="beside"):
        copy_dataset(built[2], tmp_path / "pairs", {"beside/note.txt": "no such folder"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shots", [None, 1])
def test_a_folder_that_cannot_be_written_to_has_its_split_in_the_store(washers, shots):
    with read_only(washers):
        study = own_defects(load_profile("smoke"), washers, shots=shots)
        again = own_defects(load_profile("smoke"), washers, shots=shots)
    assert not (washers / "splits").exists()
    manifest = Path(study.data.split)
    assert manifest.is_relative_to(Store().root / "splits")
    assert manifest.name == ("default.json" if shots is None else "shots-1.json")
    assert study.data == again.data
    assert len(load(study.data).train) == len(Split.read(manifest).train)


def test_a_split_in_a_folder_that_cannot_be_written_to_is_kept_to(washers):
    made = own_defects(load_profile("smoke"), washers).data
    (washers / "splits").mkdir()
    (washers / "splits" / "default.json").write_bytes(Path(made.split).read_bytes())
    given = own_defects(load_profile("smoke"), washers).data
    assert (given.split, given.digest) == ("splits/default.json", made.digest)
    with read_only(washers):
        assert own_defects(load_profile("smoke"), washers).data == given
        elsewhere = own_defects(load_profile("smoke"), washers, shots=1).data
    assert Path(elsewhere.split).is_relative_to(Store().root / "splits")
    assert [path.name for path in (washers / "splits").iterdir()] == ["default.json"]


def test_a_folder_that_is_no_dataset_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    (tmp_path / "letters").mkdir()
    with pytest.raises(UserError, match="letters: the dataset has faults"):
        own_defects(load_profile("smoke"), tmp_path / "letters")
    assert [path.name for path in tmp_path.rglob("*")] == ["letters"]


def test_the_example_is_made_once_and_is_of_images_that_nothing_else_uses(smoke, tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    root = example_folder(smoke)
    made = (root / "provenance.json").stat().st_mtime_ns
    assert example_folder(smoke) == root
    assert (root / "provenance.json").stat().st_mtime_ns == made
    keys = {sample.key for sample in folder.read_dataset(root)}
    others = load(EmbeddedData(product=PRODUCT, size=32, shots=2, eval_count=20))
    assert keys.isdisjoint(sample.key for sample in (*others.train, *others.eval))
    assert own_defects(smoke).data.root == root


def test_memory_does_not_grow_with_the_number_of_photographs(tmp_path, monkeypatch):
    """Ninety photographs are 690 MB, decoded; a process that may take 450 MB more than it has trains on them."""
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    root = tmp_path / "sheets"
    image, mask = np.full((1200, 1600, 3), 120, np.uint8), np.zeros((1200, 1600), np.uint8)
    image[100:120, 200:240], mask[100:120, 200:240] = 30, 1
    folder.write_dataset(root, [Sample("sheet_00", image, mask, ("spot",), "sheet")])
    keys = [f"sheet_{i:02}" for i in range(90)]
    for key, kind in product(keys[1:], ("images", "masks")):
        shutil.copy(root / kind / "sheet_00.png", root / kind / f"{key}.png")
    Split(tuple(keys[:8]), tuple(keys[8:]), "by hand").write(root / "splits" / "default.json")
    script = """
import resource, sys, torch
from pathlib import Path
from defectlib.profiles import load_profile
from defectlib.experiments.own import own_defects
from defectlib.defectgen import synthesis
from defectlib.segmentation import training
torch.set_num_threads(1)
profile = load_profile("smoke")
profile = profile.model_copy(update={"own": profile.own.model_copy(update={"crop": 128})})
study = own_defects(profile, sys.argv[1])
taken = next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (1024 * taken + 450 * 2**20,) * 2)
study.warnings()
study.path(study.comparison.with_synthetic[0].segmenter)
"""
    done = subprocess.run([sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
