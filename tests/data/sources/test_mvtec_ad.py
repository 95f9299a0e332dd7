import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from defectlib import runtime
from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.mvtec_ad import MVTecAD
from defectlib.data.sources.source import GOOD, open_source, rows
from defectlib.errors import UserError, UserErrors
from defectlib.plots import paper
from tests.data.sources import miniature
from tests.data.sources.mini_mvtec_ad import is_mask, write_mvtec_ad

# Images by product, and by type name over all products, as another project counted them in the published archive.
PRODUCTS = {
    "hazelnut": 501, "screw": 480, "pill": 434, "carpet": 397, "zipper": 391, "cable": 374, "leather": 369,
    "capsule": 351, "tile": 347, "grid": 342, "metal_nut": 335, "wood": 326, "transistor": 313, "bottle": 292,
    "toothbrush": 102,
}  # fmt: skip
TYPES = {
    "bent": 37, "color": 93, "combined": 55, "contamination": 42, "crack": 84, "cut": 53, "faulty_imprint": 41,
    "glue": 30, "hole": 45, "metal_contamination": 28, "poke": 39, "rough": 32, "scratch": 91, "thread": 30,
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_mvtec_ad(tmp_path / "mvtec")


def faults(root: Path) -> str:
    source = MVTecAD(root)
    with pytest.raises(UserErrors, match=re.escape(f"{root}: faults in the layout ({len(source.faults)}):")) as error:
        source.check()
    return str(error.value)


def test_the_manifest_adds_up_to_what_the_publishers_and_other_counts_state():
    manifest = read_manifest("mvtec_ad")
    products = manifest.products.values()
    assert sum(len(product.classes) for product in products) == 73
    assert sum(product.defective for product in products) == manifest.defective == 1258
    assert sum(product.good + product.defective for product in products) == manifest.images == 5354
    assert all(sum(product.classes.values()) == product.defective for product in products)
    assert {name: p.good + p.defective for name, p in manifest.products.items()} == PRODUCTS
    by_type = Counter()
    for product in products:
        by_type.update(product.classes)
    assert {name: by_type[name] for name in TYPES} == TYPES


def test_the_papers_row_is_the_manifests_but_for_the_combined_folders():
    manifest = read_manifest("mvtec_ad")
    row = paper.table1().loc[manifest.row]
    classes = [name for product in manifest.products.values() for name in product.classes]
    assert row["annotated images"] == manifest.defective
    assert row["defect types"] == len(classes) - classes.count("combined")


def test_every_listed_image_is_a_row(root: Path):
    source = open_source("mvtec_ad", root)
    source.check()
    listed = miniature.listed("mvtec_ad")
    images = {str(root / line) for line in listed if line.endswith(".png") and not is_mask(line)}
    assert set(source.table["image"]) == images
    assert set(source.table["mask"]) - {""} == {str(root / line) for line in listed if is_mask(line)}
    assert source.table["product"].nunique() == 15
    assert not source.table.duplicated(["product", "key"]).any()
    assert (source.table["group"] == source.table["key"]).all()


def test_a_folder_is_a_type_and_its_id_the_manifests(root: Path):
    source = MVTecAD(root)
    assert source.classes["cable"][2] == "combined"
    (row, _) = rows(source, product="cable", label="combined")
    assert (row.split, row.key) == ("test", "test_combined_000")
    sample = source.sample(row)
    assert sample.present == ("combined",)
    assert np.array_equal(sample.mask, miniature.white_box("") // 255 * 3)
    assert np.array_equal(sample.image, miniature.photograph("cable/test/combined/000.png"))


def test_good_images_have_an_empty_mask_and_no_file(root: Path):
    source = MVTecAD(root)
    good = rows(source, product="metal_nut", label=GOOD)
    assert [row.key for row in good] == ["test_good_000", "train_good_000", "train_good_001"]
    assert all(row.mask == "" and not source.sample(row).mask.any() for row in good)


def test_products_that_are_not_there_are_no_fault(tmp_path: Path):
    whole = write_mvtec_ad(tmp_path / "whole")
    part = tmp_path / "part"
    part.mkdir()
    (whole / "screw").rename(part / "screw")
    source = MVTecAD(part)
    source.check()
    assert list(source.classes) == ["screw"]


def test_each_fault_of_the_layout_is_told_in_one_line(root: Path):
    (root / "bottle/ground_truth/broken_small/000_mask.png").unlink()
    (root / "cable/test/bent_wire/000.png").unlink()
    (root / "pill/ground_truth/crack/000_mask.png").rename(root / "pill/ground_truth/crack/000.png")
    (root / "screw/test/thread_topp").mkdir()
    (root / "screww").mkdir()
    (root / "wood/train/defective").mkdir()
    (root / "tile/ground_truth/scratch").mkdir()
    text = faults(root)
    for line in (
        f"{root}/bottle/test/broken_small/000.png: has no mask; get the file anew",
        f"{root}/cable/ground_truth/bent_wire/000_mask.png: has no image; add '000' or remove the mask",
        f"{root}/pill/ground_truth/crack/000.png: a mask's name ends in '_mask'; rename or remove it",
        f"{root}/screw/test/thread_topp: unknown defect type 'thread_topp': did you mean 'thread_top'?",
        f"{root}/screww: unknown product 'screww': did you mean 'screw'?",
        f"{root}/wood/train/defective: unknown defect type 'defective': known are good",
        f"{root}/tile/ground_truth/scratch: these masks have no images; get those anew or remove the folder",
    ):
        assert f"\n  {line}" in text


def test_what_cannot_be_used_is_no_row(root: Path):
    (root / "bottle/ground_truth/broken_small/000_mask.png").unlink()
    assert rows(MVTecAD(root), product="bottle", label="broken_small") == []


def test_a_missing_folder_says_how_to_get_the_data(tmp_path: Path):
    get = re.escape("fill in the form at https://www.mvtec.com/company/research/datasets/mvtec-ad")
    with pytest.raises(UserError, match=f"^{tmp_path}/nothing: no such folder; {get}"):
        MVTecAD(tmp_path / "nothing")
    with pytest.raises(UserError, match=f"^{tmp_path}: holds no image where MVTec AD has them; {get}"):
        MVTecAD(tmp_path)


def test_real_toothbrushes():
    place = runtime.REPOSITORY.parent / "shared" / "data" / "mvtec"
    if not (place / "toothbrush" / "test").is_dir():
        pytest.skip(f"MVTec AD is not at {place}")
    source = MVTecAD(place)
    source.check()
    defective = rows(source, product="toothbrush", label="defective")
    assert len(defective) == read_manifest("mvtec_ad").products["toothbrush"].classes["defective"] == 30
    for row in defective[:3]:
        sample = source.sample(row)
        with Image.open(row.mask) as image:
            assert (sample.mask > 0).sum() == image.histogram()[255] > 0
        assert sample.mask.max() == 1
        assert sample.image.shape == (1024, 1024, 3)
    assert not source.sample(rows(source, split="train")[0]).mask.any()
