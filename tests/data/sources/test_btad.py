import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from defectlib.data.sources.btad import BeanTech
from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.source import GOOD, open_source, rows
from defectlib.errors import UserError, UserErrors
from defectlib.plots import paper
from tests.data.sources import miniature
from tests.data.sources.mini_btad import BLACK, is_mask, write_btad


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_btad(tmp_path / "BTech_Dataset_transformed")


def test_the_manifest_adds_up_to_what_others_count():
    manifest = read_manifest("btad")
    products = manifest.products.values()
    assert sum(product.good for product in products) == 1799 + 741 - 290 == 2250
    assert sum(product.defective for product in products) == 290 == paper.table1().loc[manifest.row]["annotated images"]
    assert len(products) == paper.table1().loc[manifest.row]["defect types"]
    # Masks that mark something, as counted by another project, and those that are black.
    marked = {"01": 49, "02": 199, "03": 31}
    black = {name: sum(path.startswith(name) for path in BLACK) for name in marked}
    assert {name: p.classes["ko"] - black[name] for name, p in manifest.products.items()} == marked


def test_every_listed_image_is_a_row_with_the_mask_of_its_name(root: Path):
    source = open_source("btad", root)
    source.check()
    listed = miniature.listed("btad")
    assert set(source.table["image"]) == {str(root / line) for line in listed if not is_mask(line)}
    assert set(source.table["mask"]) - {""} == {str(root / line) for line in listed if is_mask(line)}
    assert set(source.table["label"]) == {GOOD, "ko"}
    assert source.classes == {"01": ("ko",), "02": ("ko",), "03": ("ko",)}
    assert not source.table.duplicated(["product", "key"]).any()
    for row in rows(source, label="ko"):
        assert Path(row.mask).stem == Path(row.image).stem
        assert Path(row.mask).suffix == (".bmp" if row.product == "03" else ".png")


def test_ko_is_the_one_type_and_ok_images_have_no_mask_file(root: Path):
    source = BeanTech(root)
    (row,) = rows(source, product="01", key="test_ko_0026")
    sample = source.sample(row)
    assert np.array_equal(sample.mask, miniature.white_box("") // 255)
    assert np.array_equal(sample.image, miniature.photograph("01/test/ko/0026.bmp"))
    (good,) = rows(source, product="01", key="test_ok_0000")
    assert (good.label, good.mask) == (GOOD, "")
    assert not source.sample(good).mask.any()


def test_black_masks_of_ko_images_are_given_as_they_are(root: Path):
    source = BeanTech(root)
    empty = {row.mask for row in rows(source, label="ko") if not source.mask(row).any()}
    assert empty == {str(root / line) for line in BLACK}


def test_masks_of_a_bitmap_may_have_one_bit_a_pixel(root: Path):
    path = root / "03/ground_truth/ko/0012.bmp"
    Image.fromarray(miniature.white_box("") > 0).save(path)
    (row,) = rows(source := BeanTech(root), product="03", key="test_ko_0012")
    assert source.mask(row).sum() == 12


@given(image=st.sampled_from((".bmp", ".png", ".BMP", ".PNG")), mask=st.sampled_from((".bmp", ".png", ".PNG")))
def test_suffixes_of_image_and_mask_are_free(image: str, mask: str, tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("btad")
    for folder, name in (("train/ok", "0000.bmp"), ("test/ko", f"0007{image}"), ("ground_truth/ko", f"0007{mask}")):
        (root / "01" / folder).mkdir(parents=True)
        pixels = miniature.white_box("") if "ground" in folder else miniature.photograph(name)
        Image.fromarray(pixels).save(root / "01" / folder / name)
    source = BeanTech(root)
    source.check()
    (row,) = rows(source, label="ko")
    assert source.sample(row).mask.sum() == 12


def test_each_fault_of_the_layout_is_told_in_one_line(root: Path):
    (root / "01/ground_truth/ko/0000.png").unlink()
    (root / "02/test/ko/0101.png").unlink()
    Image.fromarray(miniature.photograph("twice")).save(root / "03/test/ok/0000.png")
    (root / "03/test/ng").mkdir()
    (root / "03/ground_truth/ok").mkdir()
    (root / "02/train/ko").mkdir()
    (root / "04").mkdir()
    source = BeanTech(root)
    with pytest.raises(UserErrors, match=re.escape(f"{root}: faults in the layout (7):")) as error:
        source.check()
    for line in (
        f"{root}/01/test/ko/0000.bmp: has no mask; get the file anew",
        f"{root}/02/ground_truth/ko/0101.png: has no image; add '0101' or remove the mask",
        f"{root}/03/test/ok/0000.bmp: key '0000' is there more than once (0000.bmp, 0000.png); keep one",
        f"{root}/03/test/ng: unknown folder 'ng': known are ko, ok",
        f"{root}/03/ground_truth/ok: these masks have no images; get those anew or remove the folder",
        f"{root}/02/train/ko: unknown folder 'ko': did you mean 'ok'? known are ok",
        f"{root}/04: unknown product '04': did you mean '03'? known are 01, 02, 03",
    ):
        assert f"\n  {line}" in str(error.value)


def test_the_folder_above_the_products_is_told(root: Path):
    line = f"{root}: unknown product 'BTech_Dataset_transformed': known are 01, 02, 03"
    assert BeanTech(root.parent).faults == [line]


def test_a_missing_folder_says_how_to_get_the_data(tmp_path: Path):
    with pytest.raises(UserError, match=r"no such folder; get https://avires\.dimi\.uniud\.it/papers/btad/btad\.zip"):
        BeanTech(tmp_path / "nothing")
