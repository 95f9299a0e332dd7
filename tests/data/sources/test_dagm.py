"""DAGM 2007: images with and without an ellipse, and the list that must agree with the label files."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectlib.data.sources.dagm import DAGM2007
from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.source import GOOD, rows
from defectlib.errors import UserError
from defectlib.plots.paper import table1
from tests.data.sources.mini_dagm import paint, write_dagm, write_list
from tests.data.sources.miniature import listed, photograph


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_dagm(tmp_path_factory.mktemp("dagm"))


@pytest.fixture
def root(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "dagm")


def test_the_miniature_is_read_whole(root):
    dagm = DAGM2007(root)
    dagm.check()
    images = [line for line in listed("dagm") if line.endswith(".PNG") and "/Label/" not in line]
    assert sorted(dagm.table["image"]) == sorted(str(root / line) for line in images)
    masks = [line for line in listed("dagm") if line.endswith("_label.PNG")]
    assert sorted(filter(None, dagm.table["mask"])) == sorted(str(root / line) for line in masks)
    assert set(dagm.table["split"]) == {"train", "test"}
    assert dagm.classes == {f"Class{number}": ("defect",) for number in range(1, 11)}


def test_a_mask_is_the_ellipse_and_a_good_image_has_none(root):
    dagm = DAGM2007(root)
    (defective,) = rows(dagm, product="Class4", key="train_1139")
    assert defective.label == "defect"
    assert np.array_equal(dagm.mask(defective), paint("") // 255)
    assert np.array_equal(dagm.sample(defective).mask, paint("") // 255)
    (good,) = rows(dagm, product="Class4", key="test_0001")
    assert good.label == GOOD
    sample = dagm.sample(good)
    assert not sample.mask.any()
    assert np.array_equal(sample.image, photograph("Class4/Test/0001.PNG"))


def test_a_doubled_class_folder_is_the_same_class(root):
    single = DAGM2007(root).table
    shutil.move(root / "Class3", root / "inner")
    (root / "Class3").mkdir()
    shutil.move(root / "inner", root / "Class3" / "Class3")
    doubled = DAGM2007(root)
    doubled.check()
    columns = ["product", "split", "key", "label", "group"]
    assert doubled.table[columns].equals(single[columns])
    assert str(root / "Class3/Class3/Train/0617.PNG") in set(doubled.table["image"])


def test_a_class_that_is_there_doubled_and_not_doubled_is_a_fault(root):
    shutil.copytree(root / "Class3", root / "copy")
    shutil.move(root / "copy", root / "Class3" / "Class3")
    assert DAGM2007(root).faults == [f"{root / 'Class3'}: holds Class3 once more and other folders; keep one of them"]


def test_a_lost_label_file_does_not_make_its_image_good(root):
    (root / "Class1/Train/Label/0595_label.PNG").unlink()
    dagm = DAGM2007(root)
    assert dagm.faults == [f"{root / 'Class1/Train/0595.PNG'}: has no mask; get the file anew"]
    assert not rows(dagm, product="Class1", key="train_0595")


def test_a_label_file_of_a_good_image_is_a_fault(root):
    source, stray = (root / f"Class1/Train/Label/{number}_label.PNG" for number in ("0595", "0577"))
    shutil.copy(source, stray)
    dagm = DAGM2007(root)
    assert dagm.faults == [f"{stray}: marks an image that Labels.txt calls good; get both anew"]
    assert not rows(dagm, product="Class1", key="train_0577")


def test_a_label_file_without_image_is_a_fault(root):
    (root / "Class1/Train/0595.PNG").unlink()
    assert DAGM2007(root).faults == [
        f"{root / 'Class1/Train/Label/Labels.txt'}: lists '0595', which is not in the folder above; "
        "get the archive anew",
        f"{root / 'Class1/Train/Label/0595_label.PNG'}: has no image; add '0595' or remove the mask",
    ]


def test_an_image_that_the_list_does_not_know_is_a_fault(root):
    image = root / "Class1/Train/0900.PNG"
    shutil.copy(root / "Class1/Train/0577.PNG", image)
    assert DAGM2007(root).faults == [f"{image}: is not listed in Labels.txt; remove it or get the archive anew"]


def test_a_list_that_is_missing_is_a_fault_and_nothing_of_its_folder_is_used(root):
    path = root / "Class1/Train/Label/Labels.txt"
    path.unlink()
    dagm = DAGM2007(root)
    assert dagm.faults == [f"{path}: no such file; it says which images are defective: get it anew"]
    assert {row.split for row in rows(dagm, product="Class1")} == {"test"}


@pytest.mark.parametrize(
    "line",
    [
        "595 1 0595.PNG 1 0595_label.PNG",  # by spaces
        "595\t2\t0595.PNG\t1\t0595_label.PNG",
        "595\t1\t../0595.PNG\t1\t0595_label.PNG",
        "595\t1\t0577.PNG\t1\t0595_label.PNG",  # an image for the second time
        "1",
    ],
)
def test_a_line_that_is_no_entry_is_named(root, line):
    path = root / "Class1/Train/Label/Labels.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], line]))
    assert DAGM2007(root).faults == [
        f"{path}: line 4 is not a new image's number, 0 or 1, name, 0 or 1, and label or 0, by tabs; get it anew"
    ]


def test_a_list_that_is_no_text_is_a_fault(root):
    path = root / "Class1/Train/Label/Labels.txt"
    path.write_bytes(b"\xff\xfe1")
    (fault,) = DAGM2007(root).faults
    assert fault.startswith(f"{path}: cannot be read as text (")


def test_a_mark_at_the_front_of_the_list_is_passed_over(root):
    path = root / "Class1/Train/Label/Labels.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    DAGM2007(root).check()


def test_the_older_archives_are_told_apart(root):
    (root / "Class1_def").mkdir()
    (fault,) = DAGM2007(root).faults
    assert fault.startswith(f"{root / 'Class1_def'}: unknown product 'Class1_def': did you mean 'Class1'? known are ")
    (root / "Class1_def").rmdir()
    shutil.move(root / "Class2/Test", root / "Class2/test")
    (fault,) = DAGM2007(root).faults
    assert fault == f"{root / 'Class2/test'}: unknown split 'test': did you mean 'Test'? known are Test, Train"


def test_classes_that_are_absent_are_no_fault(root):
    for number in range(2, 11):
        shutil.rmtree(root / f"Class{number}")
    dagm = DAGM2007(root)
    dagm.check()
    assert dagm.classes == {"Class1": ("defect",)}


@settings(max_examples=30, deadline=None)
@given(flags=st.dictionaries(st.integers(1, 9999), st.booleans(), min_size=1, max_size=12))
def test_the_list_is_read_as_it_is_written(tmp_path_factory, flags):
    folder = tmp_path_factory.mktemp("dagm") / "Class1/Train"
    (folder / "Label").mkdir(parents=True)
    for number, defective in flags.items():
        (folder / f"{number:04}.PNG").touch()
        if defective:
            (folder / f"Label/{number:04}_label.PNG").touch()
    write_list(folder)
    dagm = DAGM2007(folder.parents[1])
    dagm.check()
    labels = dict(zip(dagm.table["key"], dagm.table["label"], strict=True))
    assert labels == {f"train_{number:04}": "defect" if flag else GOOD for number, flag in flags.items()}


def test_no_class_at_all(tmp_path):
    with pytest.raises(UserError, match="holds no image where DAGM 2007 has them; get the ten classes from"):
        DAGM2007(tmp_path)


def test_the_paper_counts_the_development_classes():
    manifest = read_manifest("dagm")
    products = manifest.products
    assert sum(product.defective for product in products.values()) == manifest.defective == 2100
    assert sum(product.defective + product.good for product in products.values()) == manifest.images == 16100
    assert all(sum(product.classes.values()) == product.defective for product in products.values())
    row, development = table1().loc[manifest.row], [products[f"Class{number}"] for number in range(1, 7)]
    assert row["annotated images"] == sum(product.defective for product in development) == 900
    assert row["defect types"] == len(development)
    assert manifest.annotation == "weak"
