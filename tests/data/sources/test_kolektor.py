import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from defectlib.data.sources.kolektor import KolektorSDD2, divide
from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.source import open_source, rows
from defectlib.errors import UserError, UserErrors
from defectlib.plots import paper
from tests.data.sources import miniature
from tests.data.sources.mini_kolektor import DEFECTIVE, is_mask, write_kolektor


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_kolektor(tmp_path / "KolektorSDD2")


def test_the_manifest_adds_up_to_what_the_publishers_state():
    manifest = read_manifest("kolektor")
    (product,) = manifest.products.values()
    row = paper.table1().loc[manifest.row]
    assert product.defective == product.classes["defect"] == manifest.defective == 246 + 110 == row["annotated images"]
    assert product.good == 2085 + 894
    assert product.good + product.defective == manifest.images == 3335
    assert len(product.classes) == row["defect types"]


def test_every_listed_image_is_a_row_with_the_mask_of_its_name(root: Path):
    source = open_source("kolektor", root)
    source.check()
    listed = [line for line in miniature.listed("kolektor") if line.endswith(".png")]
    pairs = dict(zip(source.table["image"], source.table["mask"], strict=True))
    assert pairs == {str(root / line): str(root / mask_of(line)) for line in listed if not is_mask(line)}
    assert set(source.table["label"]) == {""}
    assert source.table["split"].value_counts().to_dict() == {"train": 15, "test": 4}
    assert source.classes == {"surface": ("defect",)}


def mask_of(line: str) -> str:
    number, rest = line[: line.index("/") + 6], line[line.index("/") + 6 :]
    return f"{number}_GT{rest}"


def test_the_mask_alone_tells_what_is_good(root: Path):
    source = KolektorSDD2(root)
    marked = {row.key for row in rows(source) if source.mask(row).any()}
    assert marked == {f"train_{number}" for number in DEFECTIVE}
    (row,) = rows(source, key="train_11214")
    sample = source.sample(row)
    assert sample.present == ("defect",)
    assert np.array_equal(sample.mask, miniature.white_box("") // 255)
    assert np.array_equal(sample.image, miniature.photograph("train/11214.png"))


def test_the_pair_that_stands_twice_is_one_group(root: Path):
    table = KolektorSDD2(root).table
    assert table["key"].is_unique
    assert table.loc[table["group"] == "train_10301", "key"].to_list() == ["train_10301", "train_10301 (copy)"]
    assert (table["group"] == table["key"]).sum() == len(table) - 1


def test_pickles_are_never_loaded(root: Path, tmp_path: Path):
    trace = tmp_path / "loaded"
    for path in root.glob("split_weakly_*.pyb"):
        path.write_bytes(f"cbuiltins\nopen\n(S'{trace}'\nS'w'\ntR.".encode())  # as a pickle, it makes the file
    source = KolektorSDD2(root)
    source.check()
    assert len(source.table) == 19
    assert not trace.exists()


@given(
    numbers=st.sets(st.integers(0, 99999), max_size=8),
    copies=st.sets(st.integers(0, 99999), max_size=3),
)
def test_names_are_divided_into_images_and_their_masks(numbers: set[int], copies: set[int]):
    keys = {f"{number:05}" for number in numbers} | {f"{number:05} (copy)" for number in copies}
    names = {key: key.replace(" (copy)", "") + "_GT" + (" (copy)" if "copy" in key else "") for key in keys}
    files = {stem: Path(stem) for stem in (*names, *names.values())}
    assert divide(files) == ({key: Path(key) for key in keys}, {key: Path(names[key]) for key in keys})


def test_each_fault_of_the_layout_is_told_in_one_line(root: Path):
    (root / "train/10000_GT.png").unlink()
    (root / "test/20003.png").unlink()
    (root / "test/20002_GT.png").rename(root / "test/20002_gt.png")
    (root / "train/list.txt").write_text("")
    (root / "tests").mkdir()
    source = KolektorSDD2(root)
    with pytest.raises(UserErrors, match=re.escape(f"{root}: faults in the layout (6):")) as error:
        source.check()
    for line in (
        f"{root}/train/10000.png: has no mask; get the file anew",
        f"{root}/test/20003_GT.png: has no image; add '20003' or remove the mask",
        f"{root}/test/20002.png: has no mask; get the file anew",
        f"{root}/test/20002_gt.png: has no mask; get the file anew",
        f"{root}/train/list.txt: is not one of .png; convert it or move it",
        f"{root}/tests: unknown folder 'tests': did you mean 'test'? known are test, train",
    ):
        assert f"\n  {line}" in str(error.value)
    assert not {"train_10000", "test_20002"} & set(source.table["key"])


def test_half_of_the_dataset_is_no_fault(root: Path):
    (root / "test").rename(root.parent / "elsewhere")
    source = KolektorSDD2(root)
    source.check()
    assert set(source.table["split"]) == {"train"}


def test_a_mask_that_marks_nothing_for_certain_is_refused(root: Path):
    path = root / "train/11214_GT.png"
    Image.fromarray(miniature.white_box("") // 255).save(path)
    source = KolektorSDD2(root)
    (row,) = rows(source, key="train_11214")
    with pytest.raises(UserError, match=re.escape(f"{path}: its highest value is 1, so nothing is marked")):
        source.sample(row)


def test_a_missing_folder_says_how_to_get_the_data(tmp_path: Path):
    where = re.escape("follow the link at https://www.vicos.si/resources/kolektorsdd2/")
    with pytest.raises(UserError, match=f"^{tmp_path}: holds no image where KolektorSDD2 has them; {where}"):
        KolektorSDD2(tmp_path)
