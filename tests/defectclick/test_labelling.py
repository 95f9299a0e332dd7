"""A folder of images labelled into a dataset that is whole after every image; faults of files: tests/bad_input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from defectclick import labelling as module
from defectclick.classical import FloodFill
from defectclick.labelling import Labelling, check
from defectclick.records import read_record, replay_to
from defectlib.data.folder import read_classes, read_dataset
from defectlib.data.verify import verify
from defectlib.errors import UserError, UserErrors
from tests.bad_input.case import snapshot

SIDE = 32
CLASSES = ("scratch", "stain")


def painted(seed=0):
    image = np.full((SIDE, SIDE, 3), 120, np.uint8)
    image += np.random.default_rng(seed).integers(0, 3, image.shape, dtype=np.uint8)
    image[6:14, 5:15] = 30
    image[20:23, 4:28] = 220
    return image


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "photos"
    (folder / "line 2").mkdir(parents=True)
    Image.fromarray(painted(0)).save(folder / "b.png")
    Image.fromarray(painted(1)).save(folder / "line 2" / "a.png")
    Image.fromarray(painted(2)[..., 0]).save(folder / "c.BMP")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def begun(images, tmp_path):
    labelling = opened(images, tmp_path / "out")
    yield labelling
    labelling.close()


def opened(images, out, classes=CLASSES):
    return Labelling(images, out, classes, FloodFill())


def label(labelling, key):
    """Label both defects of an image and save it."""
    work = labelling.open(key)
    work.session.click(9, 9)
    work.session.choose(2)
    work.session.click(21, 10)
    work.session.brush([(21, 2), (21, 4)], 1)
    labelling.save(work)
    return work


def test_after_every_image_the_folder_is_a_dataset_without_faults(begun, images):
    assert list(begun.sources) == ["b", "c", "line 2_a"]
    assert begun.source_of("line 2_a") == "line 2/a.png"
    for number, key in enumerate(begun.sources):
        assert (begun.first(), len(begun.labelled)) == (number, number)
        assert label(begun, key).saved
        report = verify(begun.out)
        assert (report.faults, report.images) == ((), number + 1)
    assert begun.first() == 0, "all are labelled: the first is shown"
    assert read_classes(begun.out) == CLASSES
    for sample in read_dataset(begun.out):
        assert (sample.mask[6:14, 5:15] == 1).all()
        assert (sample.mask[20:23, 4:28] == 2).all()
    assert (begun.out / "images" / "c.BMP").read_bytes() == (images / "c.BMP").read_bytes()
    assert sorted(path.name for path in images.iterdir()) == ["b.png", "c.BMP", "line 2", "notes.txt"]


def test_an_image_without_a_defect_is_saved_as_such(begun):
    begun.save(begun.open("b"))
    report = verify(begun.out)
    assert (report.faults, report.images, report.defect_images) == ((), 1, 0)


def test_what_is_saved_opens_again_as_it_was_left_and_changes_wait_for_the_next_save(begun):
    first = label(begun, "b")
    again = begun.open("b")
    assert again.saved
    assert np.array_equal(again.session.index, first.session.index)
    assert again.session.defects == first.session.defects
    assert again.seconds >= first.before
    again.session.brush([(9, 9)], 8, erase=True)
    begun.keep(again)
    assert np.array_equal(read_dataset(begun.out)[0].mask, first.session.index)
    assert not begun.open("b").saved
    begun.save(again)
    assert read_dataset(begun.out)[0].present == ("stain",)
    again.session.undo()
    assert np.array_equal(again.session.index, first.session.index)


def test_what_is_not_saved_is_kept_beside_the_dataset_and_the_next_tool_goes_on(begun, images):
    label(begun, "b")
    work = begun.open("c")
    work.session.click(9, 9)
    begun.keep(work)
    begun.close()
    assert [sample.key for sample in read_dataset(begun.out)] == ["b"], "only what is labelled is in the dataset"
    later = opened(images, begun.out, ())
    assert (later.classes, later.first(), later.labelled) == (CLASSES, 1, {"b"})
    again = later.open("c")
    assert not again.saved
    assert np.array_equal(again.session.index, work.session.index)
    later.save(again)
    later.close()
    assert verify(later.out).faults == ()
    assert not list((later.out / "clicks" / "drafts").iterdir())


# What goes wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["masks/b.png", "images/b.png"])
def test_what_a_power_cut_left_out_is_made_good(begun, images, missing):
    label(begun, "b")
    content = (begun.out / missing).read_bytes()
    (begun.out / missing).unlink()
    (begun.out / "clicks" / "staging" / "half.png").write_bytes(b"half")
    begun.close()
    opened(images, begun.out).close()
    assert (begun.out / missing).read_bytes() == content
    assert verify(begun.out).faults == ()
    assert not list((begun.out / "clicks" / "staging").iterdir())


def test_a_mask_that_cannot_be_made_good_does_not_keep_the_folder_shut(begun, images):
    label(begun, "b")
    (begun.out / "masks" / "b.png").unlink()
    (begun.out / "clicks" / "b.json").write_text("{")
    begun.close()
    later = opened(images, begun.out)
    assert later.labelled == set()
    label(later, "c")
    later.close()


def test_a_save_that_is_cut_off_leaves_the_old_mask_and_the_draft(begun, monkeypatch):
    old = label(begun, "b").session.index.copy()
    work = begun.open("b")
    work.session.clear()
    begun.keep(work)

    def cut(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(begun, "_publish", cut)
    with pytest.raises(OSError, match="No space left"):
        begun.save(work)
    assert np.array_equal(read_dataset(begun.out)[0].mask, old)
    assert verify(begun.out).faults == ()
    monkeypatch.undo()
    again = begun.open("b")
    assert not again.saved
    assert not again.session.index.any()
    begun.save(again)
    assert not read_dataset(begun.out)[0].mask.any()


@pytest.mark.parametrize("act", ["keep", "save"])
def test_what_a_killed_process_left_half_written_is_cleared_at_the_next_start(begun, images, act):
    def hidden():
        return [path.name for path in begun.out.rglob(".*") if path.name != ".lock"]

    begun.close()
    code = f"""
import os, signal
from pathlib import Path
from defectclick.classical import FloodFill
from defectclick.labelling import Labelling
labelling = Labelling(Path({str(images)!r}), Path({str(begun.out)!r}), (), FloodFill())
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
labelling.{act}(labelling.open("b"))
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    (begun.out / ".gitignore").touch()
    assert len(hidden()) == 2
    opened(images, begun.out, ()).close()
    assert hidden() == [".gitignore"]


@pytest.mark.parametrize("size", [SIDE, SIDE // 2, 0])
def test_what_was_labelled_is_saved_whatever_became_of_the_photograph(begun, images, size):
    work = begun.open("b")
    work.session.click(9, 9)
    (images / "b.png").unlink()
    if size:
        Image.fromarray(255 - painted(5)[:size, :size]).save(images / "b.png")
    begun.save(work)
    assert verify(begun.out).faults == ()
    (sample,) = read_dataset(begun.out)
    assert np.array_equal(sample.image, painted(0))
    assert np.array_equal(sample.mask, work.session.index)
    assert begun.open("b").saved


def test_a_draft_is_not_taken_for_that_of_another_photograph(begun, images):
    work = begun.open("b")
    work.session.click(9, 9)
    begun.keep(work)
    Image.fromarray(255 - painted(5)).save(images / "b.png")
    with pytest.raises(UserError, match=r"b.png: is another photograph than the one that was labelled; put that back"):
        begun.open("b")
    Image.fromarray(painted(0)).save(images / "b.png")
    assert np.array_equal(begun.open("b").session.index, work.session.index)


CHANGES = {
    "renamed by case": (
        lambda images, out: (images / "b.png").rename(images / "B.png"),
        lambda images, out: (images / "B.png").rename(images / "b.png"),
        "B.png: would be called 'B', like 'b' but for case",
    ),
    "replaced by another format": (
        lambda images, out: Image.open(images / "b.png").save(images / "b.jpg") or (images / "b.png").unlink(),
        lambda images, out: (images / "b.jpg").rename(images / "other.jpg"),
        r"b.jpg: has the key of b.png, which was labelled before \(.*clicks/b.json\); rename it",
    ),
    "a class renamed": (
        lambda images, out: (out / "classes.json").write_text('{"1": "rust", "2": "stain"}'),
        lambda images, out: (out / "classes.json").write_text('{"1": "scratch", "2": "stain"}'),
        "classes.json: names rust, stain, but .*clicks/b.json is about scratch, stain; name the types as there",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_would_spoil_the_dataset_is_refused_before_anything_is_written(begun, images, case):
    change, undo, told = CHANGES[case]
    label(begun, "b")
    begun.close()
    change(images, begun.out)
    before = snapshot(begun.out)
    with pytest.raises(UserError, match=told):
        opened(images, begun.out, ())
    assert snapshot(begun.out) == before
    undo(images, begun.out)
    opened(images, begun.out, ()).close()


def test_a_mask_that_was_changed_elsewhere_is_not_written_over(begun):
    label(begun, "b")
    for key in ("b", "c"):
        Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(begun.out / "masks" / f"{key}.png")
    with pytest.raises(UserError, match=r"b.png: differs from what was done .* so it was changed elsewhere; remove"):
        begun.open("b")
    with pytest.raises(UserError, match=r"c.png: was not made with this tool"):
        begun.open("c")


def test_two_tools_cannot_label_into_one_folder(begun, images):
    code = f"""
from pathlib import Path
from defectclick import labelling
from defectclick.classical import FloodFill
labelling.PATIENCE = 0.2
labelling.Labelling(Path({str(images)!r}), Path({str(begun.out)!r}), (), FloodFill())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"{begun.out}: is being labelled by another tool; close that, or name another" in run.stderr
    assert module.PATIENCE >= 5, "a kernel needs some seconds to notice that its server was killed"
    work, later = begun.open("b"), opened(images, begun.out)  # a cell that is run again takes over
    with pytest.raises(UserError, match="a newer tool labels into this folder; go on there"):
        begun.save(work)
    label(later, "b")
    later.close()


def test_classes_may_be_added_at_the_end_and_nothing_else(begun, images):
    label(begun, "b")
    begun.close()
    later = opened(images, begun.out, (*CLASSES, "dent"))
    assert read_classes(begun.out) == (*CLASSES, "dent")
    again = later.open("b")
    again.session.begin(3)
    again.session.click(2, 2)
    later.save(again)
    later.close()
    assert verify(begun.out).faults == ()
    assert read_dataset(begun.out)[0].mask[2, 2] == 3
    with pytest.raises(UserError, match=r"classes: stain, scratch do not go on from .*classes.json .*at the end"):
        check(images, begun.out, ("stain", "scratch"))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(images, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(UserError, match="out: cannot be written"):
        opened(images, tmp_path / "out")


# Folders of images --------------------------------------------------------------------------------------------------


def test_linked_folders_are_followed_circles_end_and_the_folder_to_write_may_lie_within(images, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (images / "b.png").rename(tmp_path / "elsewhere" / "b.png")
    (images / "a link").symlink_to(tmp_path / "elsewhere")
    (images / "a link" / "back").symlink_to(images)
    labelling = opened(images, images / "labelled")
    label(labelling, "c")
    labelling.close()
    assert sorted(labelling.sources) == ["a link_b", "c", "line 2_a"]
    assert check(images, images / "labelled", ()) == "1 of 3 images labelled; passed over as no images: 1 .txt"
    with pytest.raises(UserError, match="lies in the folder to write"):
        check(images / "line 2", images, CLASSES)


def test_images_that_cannot_be_used_are_all_listed_before_anything_is_written(images, tmp_path):
    Image.new("I;16", (SIDE, SIDE)).save(images / "deep.png")
    Image.new("RGBA", (SIDE, SIDE)).save(images / "glass.png")
    Image.new("CMYK", (SIDE, SIDE)).save(images / "print.jpg")
    (images / "torn.png").write_bytes((images / "b.png").read_bytes()[:99])
    names = ["B.png", "\u00e9.png", "e\u0301.png", "a (conflicted copy 2024-01-31).png", "line 2_a.png", "bell\a.png"]
    for name in (f"{'n' * 241}.png", *names):
        Image.fromarray(painted()).save(images / name)
    with pytest.raises(UserErrors) as caught:
        opened(images, tmp_path / "out")
    told = "\n".join(sorted(caught.value.faults))
    for fault in (
        "deep.png: has more than 8 bits", "glass.png: has an alpha channel", "print.jpg: is a CMYK image",
        "torn.png: damaged", "longer than 240 bytes", "like 'B' but for case or how an accent", "conflict copy",
        "\u00e9.png: would be called '\u00e9', like 'e\u0301' but", "would be called 'line 2_a' in the dataset",
        "unprintable character; rename it",
    ):  # fmt: skip
        assert fault in told
    assert len(caught.value.faults) == 10
    assert not (tmp_path / "out").exists()


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(painted()[:, :26]).save(path, exif=exif)


PHOTOGRAPHS = {
    "turned.jpg": turned,
    "turned.tif": turned,
    "two.jpg": lambda path: Image.fromarray(painted()).save(
        path, "MPO", save_all=True, append_images=[Image.fromarray(painted(1))]
    ),
    "opaque.png": lambda path: Image.fromarray(painted()).convert("RGBA").save(path),
    "gray.png": lambda path: Image.fromarray(painted()[..., 0]).convert("P").save(path),
    f"{'n' * 240}.png": lambda path: Image.fromarray(painted()).save(path),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_as_cameras_write_them_are_brought_into_shape(tmp_path, name):
    (tmp_path / "photos").mkdir()
    PHOTOGRAPHS[name](tmp_path / "photos" / name)
    labelling = opened(tmp_path / "photos", tmp_path / "out")
    work = label(labelling, Path(name).stem)
    labelling.close()
    assert verify(labelling.out).faults == ()
    (sample,) = read_dataset(labelling.out)
    assert np.array_equal(sample.image, work.session.image)
    assert sample.image.shape == ((26, SIDE, 3) if "turned" in name else (SIDE, SIDE, 3))
    opened(tmp_path / "photos", tmp_path / "out", ()).close()
    assert len(list((labelling.out / "images").iterdir())) == 1


# Records ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record.pop("edits"), "is no record of clicks"),
        (lambda record: record["arrays"][1].__setitem__(3, 99), "is no record of clicks"),
        (lambda record: record.update(shape=[9, 9]), "is no record of clicks|does not fit its image"),
        (
            lambda record: record.update(classes=["rust", "stain"]),
            "is about the classes rust, stain",
        ),
    ],
)
def test_a_record_that_is_none_or_does_not_fit_is_told_in_one_line(begun, change, told):
    label(begun, "b")
    path = begun.out / "clicks" / "b.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=told) as caught:
        begun.open("b")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_record_says_what_was_done_where_and_when(begun):
    work = label(begun, "b")
    record = read_record(begun.out / "clicks" / "b.json")
    assert (record.edits, record.defects) == (work.session.edits, work.session.defects)
    assert (record.source, record.clicker, record.classes) == ("b.png", "flood fill", CLASSES)
    assert record.seconds >= 0
    assert record.shape == (SIDE, SIDE)
    edit = json.loads((begun.out / "clicks" / "b.json").read_text())["edits"][1]
    assert edit | {"seconds": 0} == {
        "kind": "click", "class_id": 2, "defect": 1, "points": [[21, 10]], "positive": True, "seconds": 0
    }  # fmt: skip


def test_clicks_replayed_give_the_same_masks(begun, tmp_path):
    for key in begun.sources:
        label(begun, key)
    assert replay_to(begun.out, tmp_path / "anew", FloodFill()) == (3, 3)
    assert verify(tmp_path / "anew").faults == ()
    for saved, made in zip(read_dataset(begun.out), read_dataset(tmp_path / "anew"), strict=True):
        assert np.array_equal(saved.mask, made.mask)
    assert replay_to(begun.out, tmp_path / "other", FloodFill(tolerance=90)) == (0, 3)
