import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from defectlib.data.sources.aebad import CONDITIONS, AeBAD
from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.source import GOOD, open_source, rows
from defectlib.errors import UserError, UserErrors
from defectlib.plots import paper
from tests.data.sources import miniature
from tests.data.sources.mini_aebad import is_mask, write_aebad


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_aebad(tmp_path / "AeBAD")


def test_the_manifest_adds_up_to_what_others_count():
    manifest = read_manifest("aebad")
    (product,) = manifest.products.values()
    assert sum(product.classes.values()) == product.defective == 1149
    assert product.good + product.defective == 521 + 1639
    row = paper.table1().loc[manifest.row]
    assert len(product.classes) == row["defect types"]
    assert str(row["annotated images"]) in manifest.differs
    assert f"{product.defective:,}" in manifest.differs


def test_every_listed_image_is_a_row_with_the_mask_of_its_name(root: Path):
    source = open_source("aebad", root)
    source.check()
    listed = miniature.listed("aebad")
    assert set(source.table["image"]) == {str(root / line) for line in listed if not is_mask(line)}
    masked = {str(root / line) for line in listed if is_mask(line)}
    assert {row.mask for row in rows(source) if row.label != GOOD} == masked
    assert all(row.mask == row.image.replace("/test/", "/ground_truth/") for row in rows(source) if row.mask)
    assert not source.table.duplicated(["product", "key"]).any()


def test_the_condition_is_in_the_key_and_the_folder_is_the_type(root: Path):
    source = AeBAD(root)
    keys = [row.key for row in rows(source, label="groove")]
    assert sorted(key.split("_")[2] for key in keys) == sorted(CONDITIONS)
    (row,) = rows(source, key="test_groove_background_IMG_8396")
    sample = source.sample(row)
    assert sample.present == ("groove",)
    assert np.array_equal(sample.mask, miniature.white_box("") // 255 * 4)
    assert source.classes == {"AeBAD_S": ("ablation", "breakdown", "fracture", "groove")}


def test_a_jpeg_called_png_is_read_as_what_it_is(root: Path):
    source = AeBAD(root)
    (row,) = rows(source, key="test_good_same_IMG_8414")
    with Image.open(row.image) as image:
        assert image.format == "JPEG"
        assert np.array_equal(source.sample(row).image, np.array(image))
    assert not source.mask(row).any()


def test_one_shot_under_two_conditions_is_one_group(root: Path):
    table = AeBAD(root).table
    keys = ["train_good_background_IMG_7138", "train_good_illumination_IMG_7138"]
    assert table.loc[table["group"] == "IMG_7138", "key"].to_list() == keys
    assert table["group"].nunique() == len(table) - 1


def test_the_videos_are_left_alone(root: Path):
    (root / "AeBAD_V/train/good/video1_train/0001.png").write_bytes(b"")
    source = AeBAD(root)
    source.check()
    assert set(source.table["product"]) == {"AeBAD_S"}


def test_each_fault_of_the_layout_is_told_in_one_line(root: Path):
    part = root / "AeBAD_S"
    (part / "ground_truth/groove/background/IMG_8396.png").unlink()
    (part / "test/fracture/view/IMG_8411.png").unlink()
    (part / "test/ablation/same").rename(part / "test/ablation/sane")
    (part / "test/brakedown").mkdir()
    (part / "train/groove").mkdir()
    (part / "ground_truth/good").mkdir()
    (root / "AeBAD-S").mkdir()
    source = AeBAD(root)
    with pytest.raises(UserErrors, match=re.escape(f"{root}: faults in the layout (8):")) as error:
        source.check()
    alone = "these masks have no images; get those anew or remove the folder"
    for line in (
        f"{part}/test/groove/background/IMG_8396.png: has no mask; get the file anew",
        f"{part}/ground_truth/fracture/view/IMG_8411.png: has no image; add 'IMG_8411' or remove the mask",
        f"{part}/test/ablation/sane: unknown condition 'sane': did you mean 'same'?",
        f"{part}/ground_truth/ablation/same: {alone}",
        f"{part}/test/brakedown: unknown defect type 'brakedown': did you mean 'breakdown'?",
        f"{part}/train/groove: unknown defect type 'groove': ",
        f"{part}/ground_truth/good: {alone}",
        f"{root}/AeBAD-S: unknown part 'AeBAD-S': did you mean 'AeBAD_S'?",
    ):
        assert f"\n  {line}" in str(error.value)
    assert "test_groove_background_IMG_8396" not in set(source.table["key"])


def test_a_missing_folder_says_how_to_get_the_data(tmp_path: Path):
    where = re.escape("follow a download link at https://github.com/zhangzilongc/MMR")
    with pytest.raises(UserError, match=f"^{tmp_path}: holds no image where AeBAD-S has them; {where}"):
        AeBAD(tmp_path)
