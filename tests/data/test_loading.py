"""From settings to samples: embedded data by count, folders by digest."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from defectlib import settings
from defectlib.data import loading, procedural, verify
from defectlib.data.split import Split
from tests.data.miniatures import CLASSES, PRESENT, labels, message, picture, write_folder

# Embedded -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("product", procedural.PRODUCTS)
def test_embedded_data_are_shots_of_each_type_and_held_out_images(product):
    data = settings.EmbeddedData(product=product, size=32, shots=2, eval_count=3)
    dataset = loading.load(data)
    classes = procedural.PRODUCTS[product].classes
    assert (dataset.product, dataset.classes) == (product, classes)
    assert (len(dataset.train), len(dataset.eval)) == (2 * len(classes), 3)
    for name in classes:
        assert sum(name in sample.present for sample in dataset.train) >= 2
    keys = [sample.key for sample in (*dataset.train, *dataset.eval)]
    assert dataset.groups == {key: key for key in keys}
    assert len(dataset.groups) == len(keys)
    pixels = {sample.image.tobytes() for sample in (*dataset.train, *dataset.eval)}
    assert len(pixels) == len(keys)


def test_embedded_data_follow_from_the_settings():
    data = settings.EmbeddedData(product="washer", size=32, shots=1, eval_count=2, seed=5)
    for number, sample in enumerate(loading.load_eval(data)):
        again = procedural.sample("washer", "eval", number, size=32, seed=5)
        assert np.array_equal(sample.image, again.image)
        assert np.array_equal(sample.mask, again.mask)
    assert loading.load_eval(data) is loading.load_eval(data.model_copy())
    other = data.model_copy(update={"seed": 6})
    assert not np.array_equal(loading.load_eval(other)[0].image, loading.load_eval(data)[0].image)


@pytest.mark.parametrize("load", [loading.load, loading.load_train, loading.load_eval])
def test_an_unknown_product_is_corrected(load):
    told = message(load, settings.EmbeddedData(product="softgell"))
    assert told.startswith("unknown product 'softgell': did you mean 'softgel'? known are ")


# Folders ------------------------------------------------------------------------------------------------------------


def test_a_folder_is_divided_once_and_read(root):
    data = loading.folder_data(root)
    assert (data.root, data.split) == (root, "splits/default.json")
    split = Split.read(root / "splits" / "default.json")
    assert (split.rule, split.seed) == ("60% of each defect type's images train, divided by group", 0)
    dataset = loading.load(data)
    assert tuple(sample.key for sample in dataset.train) == split.train
    assert tuple(sample.key for sample in dataset.eval) == split.eval
    assert (dataset.classes, dataset.product) == (CLASSES, "parts")
    for sample in (*dataset.train, *dataset.eval):
        assert np.array_equal(sample.image, picture(sample.key))
        assert np.array_equal(sample.mask, labels(PRESENT[sample.key]))
    assert loading.folder_data(root) == data


def test_groups_reach_the_dataset_and_stay_on_one_side(root):
    (root / "groups.json").write_text(json.dumps({"a": "part 1", "e": "part 1"}))
    dataset = loading.load(loading.folder_data(root))
    assert dataset.groups == {key: key for key in PRESENT} | {"a": "part 1", "e": "part 1"}
    assert not {dataset.groups[s.key] for s in dataset.train} & {dataset.groups[s.key] for s in dataset.eval}


def test_shots_give_the_authors_protocol(root):
    data = loading.folder_data(root, shots=1)
    assert data.split == "splits/shots-1.json"
    assert [sample.key for sample in loading.load_train(data)] == ["a", "b"]
    assert [sample.key for sample in loading.load_eval(data)] == list("cdefgh")


def test_another_seed_has_a_manifest_of_its_own(root):
    loading.folder_data(root)
    assert loading.folder_data(root, seed=3).split == "splits/seed-3.json"
    assert Split.read(root / "splits" / "seed-3.json").seed == 3


def test_a_split_that_is_there_is_used(root):
    split = Split(("h", "a"), ("b", "c"), "by hand")
    split.write(root / "splits" / "default.json")
    assert [sample.key for sample in loading.load_train(loading.folder_data(root))] == ["h", "a"]
    assert Split.read(root / "splits" / "default.json") == split


def test_manifests_may_be_kept_elsewhere(root, tmp_path):
    data = loading.folder_data(root, split_dir=tmp_path / "kept")
    assert data.split == f"{tmp_path}/kept/default.json"
    assert not (root / "splits").exists()
    assert len(loading.load(data).groups) == 8
    Split(("a", "x"), ("a",), "by hand").write(tmp_path / "kept" / "default.json")
    told = message(loading.folder_data, root, split_dir=tmp_path / "kept")
    assert told.splitlines()[0] == f"{tmp_path}/kept/default.json: faults in the split (2):"


def test_a_split_in_the_folder_goes_before_one_kept_elsewhere(root, tmp_path):
    assert loading.folder_data(root, split_dir=tmp_path).digest == loading.folder_data(root).digest
    assert loading.folder_data(root, split_dir=tmp_path).split == "splits/default.json"


def add(root, present):
    for key, types in present.items():
        Image.fromarray(picture(key)).save(root / "images" / f"{key}.png")
        Image.fromarray(labels(types)).save(root / "masks" / f"{key}.png")


def replace_all(root):
    for part in ("images", "masks"):
        shutil.rmtree(root / part)
    write_folder(root, {f"other {key}": types for key, types in PRESENT.items()})


CHANGES = {
    "images added": lambda root: add(root, {"x": (1,), "y": (2,), "z": (1, 2)}),
    "an image removed": lambda root: [(root / part / "c.png").unlink() for part in ("images", "masks")],
    "groups given": lambda root: (root / "groups.json").write_text('{"a": "part", "e": "part"}'),
    "a mask changed": lambda root: Image.fromarray(labels((2,))).save(root / "masks" / "a.png"),
    "another dataset at the same path": replace_all,
}


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("shots", [None, 1])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_split_that_was_made_is_made_again_when_the_folder_changes(root, tmp_path, change, shots, elsewhere):
    split_dir = tmp_path / "kept" if elsewhere else None
    loading.folder_data(root, shots=shots, split_dir=split_dir)
    change(root)
    again = loading.folder_data(root, shots=shots, split_dir=split_dir)
    shutil.copytree(root, tmp_path / "new", ignore=shutil.ignore_patterns("splits"))
    assert again.digest == loading.folder_data(tmp_path / "new", shots=shots).digest


def test_a_split_that_somebody_wrote_is_kept_and_what_it_leaves_out_is_told(root, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    manifest = root / "splits" / "default.json"
    loading.folder_data(root)
    values = json.loads(manifest.read_text())
    values["train"], values["eval"] = ["a", "b", "c", "h"], ["e", "f"]
    manifest.write_text(json.dumps(values))  # made by the program, changed by hand
    add(root, {"x": (1,), "y": (2,)})
    capsys.readouterr()
    data = loading.folder_data(root, split_dir=tmp_path / "kept")
    assert [sample.key for sample in loading.load_train(data)] == values["train"]
    line = f"{manifest}: 4 images are on neither side (d, g, x, ...); add them, or remove the file"
    assert f"warning: {line}" in capsys.readouterr().err
    (warning,) = verify.check(root).warnings
    assert warning.startswith(line)


def test_a_moved_folder_is_the_same_data(root, tmp_path):
    data = loading.folder_data(root)
    shutil.move(root, tmp_path / "elsewhere")
    moved = loading.folder_data(tmp_path / "elsewhere")
    assert moved.identity() == data.identity()
    assert moved != data


@pytest.mark.parametrize("load", [loading.load, loading.load_train, loading.load_eval])
def test_a_changed_file_is_noticed_on_either_side(root, load):
    data = loading.folder_data(root)
    key = Split.read(root / data.split).eval[0]
    Image.fromarray(labels(())).save(root / "masks" / f"{key}.png")
    told = message(load, data)
    assert told.startswith(f"{root}: images, masks, classes, groups or the split changed since")


def test_faults_are_listed_before_anything_is_divided(root):
    (root / "masks" / "a.png").unlink()
    (root / "images" / "b.png").write_bytes(b"")
    told = message(loading.folder_data, root)
    assert told.splitlines()[0] == f"{root}: the dataset has faults (2):"
    assert not (root / "splits").exists()


def test_a_class_with_too_few_images_is_named(root):
    assert message(loading.folder_data, root, shots=4).startswith(
        "class 'scratch' has 4 images, but the split needs 4 of different groups to train on and one of another"
    )
    assert not (root / "splits").exists()


def test_a_folder_that_cannot_be_written_to(root):
    (root / "splits").write_text("a file where the folder should be")
    told = message(loading.folder_data, root)
    assert "the split cannot be written (" in told
    assert "\n" not in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_no_traceback(root):
    root.chmod(0o500)
    assert "the split cannot be written (Permission denied)" in message(loading.folder_data, root)


def test_magnetic_tile_is_taken_up_without_writing_into_it(magnetic_tile, tmp_path):
    before = sorted(path.name for path in magnetic_tile.iterdir())
    data = loading.folder_data(magnetic_tile, split_dir=tmp_path)
    train, held = loading.load_train(data), loading.load_eval(data)
    assert len(train) + len(held) == 555
    groups = json.loads((magnetic_tile / "groups.json").read_text())
    assert not {groups[sample.key] for sample in train} & {groups[sample.key] for sample in held}
    assert sorted(path.name for path in magnetic_tile.iterdir()) == before
