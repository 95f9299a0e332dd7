"""The dataset layout: what is written is read back, what does not belong is refused."""

import json
import os
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from defectlib.data import folder, verify
from defectlib.data.sample import Sample
from defectlib.errors import UserError
from tests.data.miniatures import CLASSES, PRESENT, labels, message, picture, write_folder

# Round trip ---------------------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
# Upper and lower case are one on some file systems, so keys are drawn from one of them.
keys = st.text(st.characters(codec="utf-8", categories=["Ll", "Lo", "Nd"], include_characters=" ._-,'\""), max_size=12)
names = words.filter(lambda name: name.strip() and name.isprintable())


@st.composite
def datasets(draw):
    classes = tuple(draw(st.lists(names, min_size=1, max_size=4, unique=True)))
    product = draw(names)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    samples = []
    for key in draw(
        st.lists(keys.filter(lambda key: folder.key_fault(key) is None), min_size=1, max_size=4, unique=True)
    ):
        size = draw(st.integers(1, 7)), draw(st.integers(1, 7))
        image = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        mask = generator.integers(0, len(classes) + 1, size, dtype=np.uint8)
        samples.append(Sample(key, image, mask, classes, product, draw(words)))
    return samples


@settings(max_examples=30, deadline=None)
@given(datasets())
def test_what_is_written_is_read_back(samples):
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "set"
        folder.write_dataset(root, iter(samples), provenance={"seed": 3})
        index = folder.index(root)
        assert list(index["key"]) == sorted(sample.key for sample in samples)
        classes = folder.read_classes(root)
        again = {row.key: folder.read_sample(row, classes) for row in index.itertuples()}
        for sample in samples:
            read = again[sample.key]
            assert np.array_equal(read.image, sample.image)
            assert np.array_equal(read.mask, sample.mask)
            assert (read.classes, read.product, read.caption) == (sample.classes, sample.product, sample.caption)
        assert json.loads((root / "provenance.json").read_text())["seed"] == 3
        assert [path.name for path in Path(place).iterdir()] == ["set"]


# Writing ------------------------------------------------------------------------------------------------------------


def sample(key="a", classes=CLASSES, product="part"):
    return Sample(key, picture(key), labels((1,)), classes, product)


def test_a_folder_that_holds_something_is_not_overwritten(root):
    before = sorted(root.rglob("*"))
    assert message(folder.write_dataset, root, [sample()]).startswith(f"{root}: is there already and not empty")
    assert sorted(root.rglob("*")) == before


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "new").mkdir()
    folder.write_dataset(tmp_path / "new", [sample()])
    assert list(folder.index(tmp_path / "new")["key"]) == ["a"]


def test_a_run_that_fails_leaves_nothing(tmp_path):
    def cut_off():
        yield sample("a")
        raise UserError("the disk of the generator is gone")

    assert message(folder.write_dataset, tmp_path / "new", cut_off()) == "the disk of the generator is gone"
    assert list(tmp_path.iterdir()) == []


def test_one_sample_is_held_at_a_time(tmp_path):
    def stream():
        for number in range(3):
            yield sample(f"k{number}")
            # The pair before this one is on disk by the time the next one is asked for.
            assert len(list(tmp_path.glob(".new.*/masks/*.png"))) == number + 1

    folder.write_dataset(tmp_path / "new", stream())


@pytest.mark.parametrize(
    ("samples", "fault"),
    [
        ([], "no samples"),
        ([sample("a"), sample("a")], "two samples have the key 'a'"),
        ([sample("a"), sample("b", product="other")], "b: classes or product differ from those of a"),
        ([sample("a"), sample("b", classes=("x", "y"))], "b: classes or product differ"),
        ([sample("x/../a")], "path separator"),
        ([sample(".a")], "starts with '.'"),
    ],
)
def test_samples_that_make_no_dataset(tmp_path, samples, fault):
    with pytest.raises(ValueError, match=fault):
        folder.write_dataset(tmp_path / "new", samples)
    assert list(tmp_path.iterdir()) == []


# The index ----------------------------------------------------------------------------------------------------------


def test_index_has_the_documented_columns_and_opens_no_image(root):
    for path in (root / "images").iterdir():
        path.write_bytes(b"no image at all")
    (root / "groups.json").write_text('{"a": "part 1"}')
    (root / "captions.csv").write_text('key,caption\na,"a scratch, left"\n')
    (root / "provenance.json").write_text('{"product": "capsule"}')
    index = folder.index(root)
    assert list(index.columns) == ["key", "image", "mask", "group", "caption", "product"]
    assert list(index["key"]) == sorted(PRESENT)
    first, second = index.iloc[0], index.iloc[1]
    assert first.to_dict() == {
        "key": "a",
        "image": str(root / "images" / "a.png"),
        "mask": str(root / "masks" / "a.png"),
        "group": "part 1",
        "caption": "a scratch, left",
        "product": "capsule",
    }
    assert (second["group"], second["caption"]) == ("b", "")


def test_product_is_the_folder_name_where_nothing_else_says(root):
    assert set(folder.index(root)["product"]) == {"parts"}


def test_every_suffix_is_found_in_either_case(tmp_path):
    root = write_folder(tmp_path / "set", {})
    suffixes = [*folder.IMAGE_SUFFIXES, *(suffix.upper() for suffix in folder.IMAGE_SUFFIXES)]
    for number, suffix in enumerate(suffixes):
        Image.fromarray(picture("x")).save(root / "images" / f"k{number}{suffix}")
        Image.fromarray(labels(())).save(root / "masks" / f"k{number}.png")
    (root / "images" / ".DS_Store").write_bytes(b"")
    rows = list(folder.index(root).itertuples())
    assert len(rows) == len(suffixes)
    assert all(folder.read_sample(row, CLASSES).image.shape == (16, 12, 3) for row in rows)


def faults(root):
    with pytest.raises(UserError) as refused:
        folder.index(root)
    return refused.value.faults


def test_images_and_masks_are_joined_one_to_one(root):
    (root / "masks" / "a.png").unlink()
    (root / "images" / "b.png").unlink()
    Image.fromarray(picture("c")).save(root / "images" / "c.jpg")
    where = root / "masks" / "a.png"
    assert set(faults(root)) == {
        f"{root}/images/a.png: has no mask; add {where} (all zero if there is no defect)",
        f"{root}/masks/b.png: has no image; add one named 'b' to images/ or remove the mask",
        f"{root}/images/c.jpg: key 'c' is there more than once (c.jpg, c.png); keep one",
    }


def test_no_subfolders(tmp_path):
    assert [line.split(":")[0] for line in faults(tmp_path)] == [f"{tmp_path}/images", f"{tmp_path}/masks"]


def test_no_folder_at_all(tmp_path):
    assert message(folder.index, tmp_path / "nowhere").startswith(f"{tmp_path}/nowhere: no such folder; name one")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("images/a.txt", "is not one of .png, .jpg"),
        ("masks/a.jpg", "is not one of .png; convert it or move it"),
        ("images/a.json", "is not one of .png, .jpg"),
        ("images/a (conflicted copy 2024-01-31).png", "its key names a sync client's conflict copy"),
        ("masks/a.sync-conflict-20240131-101500-ABCDEFG.png", "its key names a sync client's conflict copy"),
        ("images/a\\b.png", "its key holds a path separator"),
        ("images/a\nb.png", "unprintable character"),
    ],
)
def test_files_that_do_not_belong(root, name, fault):
    (root / name).write_bytes(b"")
    (line,) = faults(root)
    assert fault in line
    assert "\n" not in line


def test_subfolders_and_special_files(root):
    (root / "images" / "more.png").mkdir()
    os.mkfifo(root / "images" / "pipe.png")
    assert [line.split(": ")[1] for line in faults(root)] == 2 * [
        "is a folder or a special file; plain files stand side by side here"
    ]


def test_mask_of_another_size(root):
    Image.fromarray(labels((1,), (8, 9))).save(root / "masks" / "a.png")
    row = next(folder.index(root).itertuples())
    assert message(folder.read_sample, row, CLASSES) == (
        f"{root}/masks/a.png: is 9 x 8 pixels but its image is 12 x 16; draw the mask at the image's size"
    )


def test_an_index_costs_microseconds_per_file(tmp_path):
    """18,000 files are to be listed in 5 s, on a busy machine too; here 2,000, within their share of it."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for number in range(1_000):
            (tmp_path / name / f"{number:05d}.png").touch()
    started = time.process_time()
    assert len(folder.index(tmp_path)) == 1_000
    assert time.process_time() - started < 5 * 2_000 / 18_000


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=6))
def test_no_key_leads_out_of_its_folder(key):
    if folder.key_fault(key) is None:
        assert Path("images", f"{key}.png").parts == ("images", f"{key}.png")
        assert not re.search(r"[\x00-\x1f]", key)
    else:
        assert not key or key.startswith((".", "~$")) or "/" in key or "\\" in key or not key.isprintable()


LITTER = (
    ".DS_Store", "._a.png", "__MACOSX/._a.png", "Icon\r", ".Trash-1000/a.png",  # file managers and archivers
    "Thumbs.db", "ehthumbs.db", "Desktop.ini", "a.png:Zone.Identifier", "$RECYCLE.BIN/a.png",
    ".picasa.ini", "Picasa.ini", "a.xmp", "a.png.xmp", "IMG_1.AAE", ".thumbnails/a.png",  # photo programs
    "a.png~", ".a.png.swp", "~$a.png", "a.tmp", ".ipynb_checkpoints/a-checkpoint.png",  # editors
    "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", "#recycle/a.png", ".@__thumb/a.png",  # network disks
    ".syncthing.a.png.tmp", ".stfolder/x", ".gitkeep", ".dvc/config",  # clients that sync and keep versions
)  # fmt: skip


def litter(folder):
    for name in LITTER:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_what_other_programs_leave_behind_is_passed_over(root):
    for name in ("images", "masks", "splits"):
        litter(root / name)
    (root / "splits" / "._default.json").write_bytes(b"x")
    report = verify.check(root)
    assert (report.images, report.warnings) == (8, ())
