"""AITEX: types by code, masks in parts, folders held twice, and the errors of the release."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from defectlib.data.sources.aitex import AITEX, CODES, FOLDERS, label_of
from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.source import GOOD, rows
from defectlib.errors import UserError
from defectlib.plots.paper import table1
from tests.data.sources.mini_aitex import paint, write_aitex
from tests.data.sources.miniature import listed, photograph, white_box


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_aitex(tmp_path_factory.mktemp("aitex"))


@pytest.fixture
def root(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "aitex")


def the(source, key):
    (row,) = rows(source, key=key)
    return row


def test_the_miniature_is_read_whole(root):
    aitex = AITEX(root)
    aitex.check()
    images = [line for line in listed("aitex") if not line.startswith("Mask_images/") and "0100_025_08" not in line]
    assert sorted(aitex.table["image"]) == sorted(str(root / line) for line in images)
    assert aitex.classes == {"fabric": tuple(CODES.values())}
    labels = dict(zip(aitex.table["key"], aitex.table["label"], strict=True))
    assert labels["0001_002_00"] == "Broken end"
    assert labels["0081_006_04"] == "Broken yarn"
    assert labels["0044_019_04"] == "Fuzzyball"
    assert labels["0001_000_05"] == labels["0018_00_01"] == GOOD


def test_white_is_the_type_of_the_code(root):
    aitex = AITEX(root)
    sample = aitex.sample(the(aitex, "0010_006_02"))
    assert np.array_equal(sample.mask, white_box("") // 255 * 2)  # 006 is the second type
    assert sample.present == ("Broken yarn",)
    assert np.array_equal(sample.image, photograph("Defect_images/0010_006_02.png"))


def test_a_good_image_has_an_empty_mask(root):
    aitex = AITEX(root)
    assert not aitex.sample(the(aitex, "0018_00_01")).mask.any()


def test_masks_in_parts_are_united(root):
    aitex = AITEX(root)
    row = the(aitex, "0097_030_03")
    assert row.mask == str(root / "Mask_images/0097_030_03_mask1.png")
    parts = [paint(f"0097_030_03_mask{part}.png") for part in (1, 2)]
    assert np.array_equal(aitex.mask(row) > 0, (parts[0] > 0) | (parts[1] > 0))
    assert (aitex.mask(row) == 11).sum() == 4 * 5  # two boxes of 3 x 4 pixels, 2 pixels apart
    assert aitex.sample(row).present == ("Nep",)


def test_parts_of_different_size_are_refused(root):
    second = root / "Mask_images/0097_030_03_mask2.png"
    Image.fromarray(white_box("", (30, 20))).save(second)
    aitex = AITEX(root)
    with pytest.raises(UserError, match=r"_mask2\.png: has not the size of 0097_030_03_mask1\.png, its other part"):
        aitex.mask(the(aitex, "0097_030_03"))


def test_the_black_mask_of_the_release_is_given_as_it_is(root):
    aitex = AITEX(root)
    row = the(aitex, "0106_010_03")
    assert row.label == "Broken pick"
    assert not aitex.sample(row).mask.any()


def test_the_image_that_the_release_leaves_without_mask_is_left_out_and_told(root):
    image = root / "Defect_images/0100_025_08.png"
    aitex = AITEX(root)
    assert aitex.faults == []
    assert aitex.notes == [f"{image}: was published without a mask and is left out"]
    assert not rows(aitex, key="0100_025_08")


def test_the_image_without_mask_is_taken_once_somebody_draws_one(root):
    shutil.copy(root / "Mask_images/0001_002_00_mask.png", root / "Mask_images/0100_025_08_mask.png")
    aitex = AITEX(root)
    assert (aitex.faults, aitex.notes) == ([], [])
    assert the(aitex, "0100_025_08").label == "Warp ball"


@pytest.mark.parametrize("folders", [FOLDERS[:2], FOLDERS])
def test_folders_that_a_copy_holds_twice(root, folders):
    single = AITEX(root).table
    for folder in folders:
        shutil.move(root / folder, root / "inner")
        (root / folder).mkdir()
        shutil.move(root / "inner", root / folder / folder)
    doubled = AITEX(root)
    doubled.check()
    columns = ["product", "key", "label", "group"]
    assert doubled.table[columns].equals(single[columns])
    assert str(root / "Defect_images/Defect_images/0001_002_00.png") in set(doubled.table["image"])
    assert doubled.sample(the(doubled, "0044_019_04")).present == ("Fuzzyball",)


def test_images_beside_the_inner_folder_are_named(root):
    (root / "Mask_images/Mask_images").mkdir()
    shutil.move(root / "Mask_images/0001_002_00_mask.png", root / "Mask_images/Mask_images")
    faults = AITEX(root).faults
    masks = sorted((root / "Mask_images").glob("*.png"))
    assert faults[: len(masks)] == [f"{path}: stands beside the folder Mask_images; move it in there" for path in masks]
    assert f"{root / 'Defect_images/0002_002_00.png'}: has no mask; get the file anew" in faults


def test_a_mask_without_image_or_ending_is_a_fault(root):
    (root / "Defect_images/0001_002_00.png").unlink()
    shutil.move(root / "Mask_images/0002_002_00_mask.png", root / "Mask_images/0002_002_00.png")
    assert sorted(AITEX(root).faults) == [
        f"{root / 'Defect_images/0002_002_00.png'}: has no mask; get the file anew",
        f"{root / 'Mask_images/0001_002_00_mask.png'}: has no image; add '0001_002_00' or remove the mask",
        f"{root / 'Mask_images/0002_002_00.png'}: a mask's name ends in '_mask'; rename or remove it",
    ]


def test_codes_and_names_that_nobody_published_are_faults(root):
    folder = root / "NODefect_images/2306881-210020u"
    for name in ("0002_031_05", "0003_002_05", "picture"):
        shutil.copy(folder / "0001_000_05.png", folder / f"{name}.png")
    shutil.copy(folder / "0001_000_05.png", root / "Defect_images/0107_000_05.png")
    assert AITEX(root).faults == [
        f"{root / 'Defect_images/0107_000_05.png'}: is 'good' by its name, not by its folder; move or remove it",
        f"{folder / '0002_031_05.png'}: unknown defect code '031': did you mean '036'? known are {', '.join(CODES)}",
        f"{folder / '0003_002_05.png'}: is 'Broken end' by its name, not by its folder; move or remove it",
        f"{folder / 'picture.png'}: 'picture' is not NUMBER_DEFECT_FABRIC, such as 0001_002_00; rename or remove it",
    ]


def test_a_name_that_two_fabrics_have_is_a_fault(root):
    folder = root / "NODefect_images"
    first, second = folder / "2306881-210020u/0001_000_05.png", folder / "2608691-202020u/0001_000_05.png"
    shutil.copy(first, second)
    assert AITEX(root).faults == [f"{second}: has the name of {first}; rename or remove one of them"]


def test_parts_of_the_release_can_be_had_alone(root):
    shutil.rmtree(root / "NODefect_images")
    aitex = AITEX(root)
    aitex.check()
    assert GOOD not in set(aitex.table["label"])
    shutil.rmtree(root / "Defect_images")
    assert AITEX(root).faults == [
        f"{root / 'Mask_images'}: has no Defect_images beside it; add that or remove the masks"
    ]


def test_other_folders_are_named(root):
    shutil.move(root / "NODefect_images", root / "NoDefect_images")
    (fault,) = AITEX(root).faults
    assert fault.endswith(
        "/NoDefect_images: unknown folder 'NoDefect_images': did you mean 'NODefect_images'? known are "
        "Defect_images, Mask_images, NODefect_images"
    )


@settings(deadline=None)
@given(st.integers(0, 9999), st.sampled_from([*CODES, "00", "000"]), st.integers(0, 99))
def test_labels_are_read_from_names(number, code, fabric):
    assert label_of(f"{number:04}_{code}_{fabric:02}") == CODES.get(code, GOOD)


@settings(deadline=None)
@given(st.text(max_size=16).filter(lambda name: not name[:1].isdigit()))
def test_any_other_name_is_refused_in_one_line(name):
    with pytest.raises(UserError) as caught:
        label_of(name)
    assert len(str(caught.value).splitlines()) == 1


def test_the_manifest_agrees_with_codes_and_paper():
    manifest = read_manifest("aitex")
    (fabric,) = manifest.products.values()
    assert tuple(fabric.classes) == tuple(CODES.values())
    assert fabric.good + fabric.defective == manifest.images == 245
    row = table1().loc[manifest.row]
    assert row["annotated images"] == fabric.defective == manifest.defective == 105
    assert row["defect types"] == len(fabric.classes) == 12
