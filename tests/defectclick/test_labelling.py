"""A folder of images labelled into a dataset that is whole after every image."""

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
from defectclick.records import read_record, replay, replay_to
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
    labelling = Labelling(images, tmp_path / "out", CLASSES, FloodFill())
    yield labelling
    labelling.close()


def label(labelling, key):
    """Label both defects of an image and save it."""
    work = labelling.open(key)
    work.session.click(9, 9)
    work.session.choose(2)
    work.session.click(21, 10)
    work.session.brush([(21, 2), (21, 4)], 1)
    labelling.save(work)
    return work


def test_images_are_found_in_folders_of_their_own_in_the_order_of_their_paths(begun, images):
    assert {key: path.relative_to(images).as_posix() for key, path in begun.sources.items()} == {
        "b": "b.png", "c": "c.BMP", "line 2_a": "line 2/a.png",
    }  # fmt: skip
    assert begun.first() == 0
    assert begun.labelled == set()


def test_after_every_image_the_folder_is_a_dataset_without_faults(begun):
    for number, key in enumerate(begun.sources, 1):
        work = label(begun, key)
        report = verify(begun.out)
        assert report.faults == ()
        assert report.images == number
        assert work.saved
    assert read_classes(begun.out) == CLASSES
    samples = read_dataset(begun.out)
    assert [sample.key for sample in samples] == sorted(begun.sources)
    for sample in samples:
        assert sample.present == CLASSES
        assert (sample.mask[6:14, 5:15] == 1).all()
        assert (sample.mask[20:23, 4:28] == 2).all()
    assert begun.first() == 0, "all are labelled: the first is shown"


def test_the_image_is_copied_byte_by_byte_and_the_source_left_alone(begun, images):
    label(begun, "c")
    assert (begun.out / "images" / "c.BMP").read_bytes() == (images / "c.BMP").read_bytes()
    assert sorted(path.name for path in images.iterdir()) == ["b.png", "c.BMP", "line 2", "notes.txt"]


def test_an_image_without_a_defect_is_saved_as_such(begun):
    begun.save(begun.open("b"))
    report = verify(begun.out)
    assert report.faults == ()
    assert (report.images, report.defect_images) == (1, 0)


def test_what_is_saved_opens_again_as_it_was_left_and_can_be_gone_on_with(begun):
    first = label(begun, "b")
    again = begun.open("b")
    assert again.saved
    assert np.array_equal(again.session.index, first.session.index)
    assert again.session.defects == first.session.defects
    assert [edit.kind for edit in again.session.edits] == ["click", "click", "paint"]
    assert again.seconds >= first.before
    again.session.brush([(9, 9)], 8, erase=True)
    begun.save(again)
    mask = read_dataset(begun.out)[0].mask
    assert not (mask == 1).any()
    assert (mask == 2).any()
    again.session.undo()
    assert np.array_equal(again.session.index, first.session.index)


def test_the_next_tool_goes_on_with_the_first_image_that_is_not_labelled(begun, images):
    label(begun, "b")
    begun.close()
    later = Labelling(images, begun.out, (), FloodFill())
    assert later.classes == CLASSES
    assert later.first() == 1
    assert later.labelled == {"b"}
    later.close()


def test_what_is_not_saved_is_kept_beside_the_dataset(begun, images):
    work = begun.open("c")
    work.session.click(9, 9)
    begun.keep(work)
    begun.close()
    assert not (begun.out / "images").exists(), "only what is labelled is in the dataset"
    later = Labelling(images, begun.out, CLASSES, FloodFill())
    again = later.open("c")
    assert not again.saved
    assert np.array_equal(again.session.index, work.session.index)
    later.save(again)
    assert verify(later.out).faults == ()
    assert not list((later.out / "clicks" / "drafts").iterdir())
    later.close()


def test_changes_to_a_saved_image_wait_for_the_next_save(begun):
    saved = label(begun, "b")
    work = begun.open("b")
    work.session.clear()
    begun.keep(work)
    assert np.array_equal(read_dataset(begun.out)[0].mask, saved.session.index)
    assert not begun.open("b").session.index.any()
    assert not begun.open("b").saved


@pytest.mark.parametrize("missing", ["masks/b.png", "images/b.png"])
def test_what_a_power_cut_left_out_is_made_good(begun, images, missing):
    label(begun, "b")
    content = (begun.out / missing).read_bytes()
    (begun.out / missing).unlink()
    (begun.out / "clicks" / "staging" / "half.png").write_bytes(b"half")
    begun.close()
    Labelling(images, begun.out, (), FloodFill()).close()
    assert (begun.out / missing).read_bytes() == content
    assert verify(begun.out).faults == ()
    assert not list((begun.out / "clicks" / "staging").iterdir())


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
    assert len(hidden(begun.out)) == 2
    Labelling(images, begun.out, (), FloodFill()).close()
    assert hidden(begun.out) == [".gitignore"]


def hidden(folder):
    return [path.name for path in folder.rglob(".*") if path.name != ".lock"]


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
        Labelling(images, begun.out, (), FloodFill())
    assert snapshot(begun.out) == before
    assert verify(begun.out).faults == ()
    undo(images, begun.out)
    Labelling(images, begun.out, (), FloodFill()).close()


def test_a_mask_that_cannot_be_made_good_does_not_keep_the_folder_shut(begun, images):
    label(begun, "b")
    (begun.out / "masks" / "b.png").unlink()
    (begun.out / "clicks" / "b.json").write_text("{")
    begun.close()
    later = Labelling(images, begun.out, (), FloodFill())
    assert later.labelled == set()
    label(later, "c")
    later.close()


def test_linked_folders_of_images_are_followed_and_circles_end(images, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (images / "b.png").rename(tmp_path / "elsewhere" / "b.png")
    (images / "a link").symlink_to(tmp_path / "elsewhere")
    (images / "a link" / "back").symlink_to(images)
    labelling = Labelling(images, tmp_path / "out", CLASSES, FloodFill())
    labelling.close()
    assert sorted(labelling.sources) == ["a link_b", "c", "line 2_a"]


def test_two_processes_cannot_label_into_one_folder(begun, images):
    code = f"""
from pathlib import Path
from defectclick import labelling
from defectclick.classical import FloodFill
labelling.PATIENCE = 0.2
labelling.Labelling(Path({str(images)!r}), Path({str(begun.out)!r}), (), FloodFill())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"{begun.out}: is being labelled by another tool; close that, or name another" in run.stderr


def test_a_cell_that_is_run_again_takes_over_and_the_old_tool_says_so(begun, images):
    work = begun.open("b")
    later = Labelling(images, begun.out, (), FloodFill())
    with pytest.raises(UserError, match="a newer tool labels into this folder; go on there"):
        begun.save(work)
    label(later, "b")
    later.close()


def test_classes_may_be_added_at_the_end_and_nothing_else(begun, images):
    label(begun, "b")
    begun.close()
    later = Labelling(images, begun.out, (*CLASSES, "dent"), FloodFill())
    assert read_classes(begun.out) == (*CLASSES, "dent")
    again = later.open("b")
    again.session.begin(3)
    again.session.click(2, 2)
    later.save(again)
    assert verify(begun.out).faults == ()
    assert read_dataset(begun.out)[0].mask[2, 2] == 3
    later.close()
    with pytest.raises(UserError, match=r"classes: stain, scratch do not go on from .*classes.json .*at the end"):
        check(images, begun.out, ("stain", "scratch"))


@pytest.mark.parametrize("classes", [(), ("a", "a"), ("a", " "), tuple(map(str, range(256)))])
def test_classes_that_are_none_are_refused(images, tmp_path, classes):
    with pytest.raises(UserError, match="classes: name the defect types, each once, such as scratch,stain"):
        Labelling(images, tmp_path / "out", classes, FloodFill())
    assert not (tmp_path / "out").exists()


def test_a_folder_without_an_image_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.gif").write_text("")
    with pytest.raises(UserError, match=r"photos: holds no image \(\.png"):
        check(tmp_path / "photos", tmp_path / "out", CLASSES)
    with pytest.raises(UserError, match="nothing: no such folder"):
        check(tmp_path / "nothing", tmp_path / "out", CLASSES)


def test_images_with_one_key_are_all_named(images, tmp_path):
    Image.fromarray(painted()).save(images / "b.jpg")
    Image.fromarray(painted()).save(images / "line 2_a.png")
    with pytest.raises(UserErrors) as caught:
        check(images, tmp_path / "out", CLASSES)
    assert len(caught.value.faults) == 2
    assert "would be called 'b' in the dataset" in str(caught.value)


def test_a_name_that_no_terminal_can_print_is_refused(images, tmp_path):
    Image.fromarray(painted()).save(images / "bell\a.png")
    with pytest.raises(UserErrors, match="unprintable character; rename it"):
        check(images, tmp_path / "out", CLASSES)


def test_a_folder_that_somebody_else_filled_is_left_alone(images, tmp_path):
    (tmp_path / "out" / "images").mkdir(parents=True)
    with pytest.raises(UserError, match="out: is not empty and was not begun by this tool; name another folder"):
        check(images, tmp_path / "out", CLASSES)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: is a file; name a folder"):
        check(images, tmp_path / "file", CLASSES)


def test_images_within_the_folder_to_write_are_refused_but_not_the_other_way_round(images):
    with pytest.raises(UserError, match="lies in the folder to write"):
        check(images / "line 2", images, CLASSES)
    inside = Labelling(images, images / "labelled", CLASSES, FloodFill())
    label(inside, "b")
    inside.close()
    assert check(images, images / "labelled", ()) == "1 of 3 images labelled; passed over as no images: 1 .txt"


def test_an_image_that_is_torn_is_named_and_stops_no_other(images, tmp_path):
    Image.fromarray(painted()).save(images / "torn.jpg")
    (images / "torn.jpg").write_bytes((images / "torn.jpg").read_bytes()[:-99])
    labelling = Labelling(images, tmp_path / "out", CLASSES, FloodFill())
    with pytest.raises(UserError, match=r"torn.jpg: damaged"):
        labelling.open("torn")
    label(labelling, "b")
    labelling.close()
    assert verify(labelling.out).faults == ()


def test_images_that_cannot_be_used_are_all_listed_before_anything_is_written(images, tmp_path):
    Image.new("I;16", (SIDE, SIDE)).save(images / "deep.png")
    Image.new("RGBA", (SIDE, SIDE)).save(images / "glass.png")
    Image.new("CMYK", (SIDE, SIDE)).save(images / "print.jpg")
    (images / "torn.png").write_bytes((images / "b.png").read_bytes()[:99])
    for name in (f"{'n' * 241}.png", "B.png", "\u00e9.png", "e\u0301.png", "a (conflicted copy 2024-01-31).png"):
        Image.fromarray(painted()).save(images / name)
    with pytest.raises(UserErrors) as caught:
        Labelling(images, tmp_path / "out", CLASSES, FloodFill())
    told = "\n".join(sorted(caught.value.faults))
    for fault in (
        "deep.png: has more than 8 bits", "glass.png: has an alpha channel", "print.jpg: is a CMYK image",
        "torn.png: damaged", "longer than 240 bytes", "like 'B' but for case or how an accent", "conflict copy",
        "\u00e9.png: would be called '\u00e9', like 'e\u0301' but",
    ):  # fmt: skip
        assert fault in told
    assert len(caught.value.faults) == 8
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
    labelling = Labelling(tmp_path / "photos", tmp_path / "out", CLASSES, FloodFill())
    work = label(labelling, Path(name).stem)
    labelling.close()
    assert verify(labelling.out).faults == ()
    (sample,) = read_dataset(labelling.out)
    assert np.array_equal(sample.image, work.session.image)
    assert sample.image.shape == ((26, SIDE, 3) if "turned" in name else (SIDE, SIDE, 3))
    Labelling(tmp_path / "photos", tmp_path / "out", (), FloodFill()).close()
    assert len(list((labelling.out / "images").iterdir())) == 1


def test_an_image_that_is_too_large_for_pillow_is_refused(begun, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match="has more than 100 pixels"):
        begun.open("b")


def test_a_mask_that_was_changed_elsewhere_is_not_written_over(begun):
    label(begun, "b")
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(begun.out / "masks" / "b.png")
    with pytest.raises(UserError, match=r"b.png: differs from what was done .* so it was changed elsewhere; remove"):
        begun.open("b")
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(begun.out / "masks" / "c.png")
    with pytest.raises(UserError, match=r"c.png: was not made with this tool"):
        begun.open("c")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("edits"),
        lambda record: record.update(shape=[9, 9]),
        lambda record: record["arrays"].__setitem__(0, "????"),
        lambda record: record["arrays"][1].__setitem__(3, 99),
        lambda record: record["edits"][0].update(points=[]),
        lambda record: record["edits"][0].update(colour="red"),
        lambda record: record["defects"].pop(),
        lambda record: record.update(seconds="long"),
    ],
)
def test_a_record_that_is_none_is_told_in_one_line(begun, change):
    label(begun, "b")
    path = begun.out / "clicks" / "b.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(UserError) as caught:
        begun.open("b")
    assert str(caught.value).startswith(f"{path}: ")
    assert "remove it to label the image anew" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_of_other_classes_or_of_another_image_does_not_fit(begun, images):
    label(begun, "b")
    path = begun.out / "clicks" / "b.json"
    text = path.read_text()
    path.write_text(text.replace('"scratch"', '"rust"'))
    with pytest.raises(UserError, match=r"b.json: is about the classes rust, stain; classes.json names others"):
        begun.open("b")
    path.write_text(text)
    Image.fromarray(painted()[:20]).save(begun.out / "images" / "b.png")
    with pytest.raises(UserError, match=r"b.json: does not fit its image"):
        begun.open("b")


def test_a_record_says_what_was_done_where_and_when(begun):
    work = label(begun, "b")
    record = read_record(begun.out / "clicks" / "b.json")
    assert record.edits == work.session.edits
    assert record.defects == work.session.defects
    assert (record.source, record.clicker, record.classes) == ("b.png", "flood fill", CLASSES)
    assert record.seconds >= 0
    assert record.shape == (SIDE, SIDE)
    plain = json.loads((begun.out / "clicks" / "b.json").read_text())
    assert plain["edits"][1] == {
        "kind": "click", "class_id": 2, "defect": 1, "points": [[21, 10]], "positive": True,
        "seconds": plain["edits"][1]["seconds"],
    }  # fmt: skip


def test_clicks_replayed_give_the_same_masks(begun, tmp_path):
    for key in begun.sources:
        label(begun, key)
    for saved, made in replay(begun.out, FloodFill()):
        assert made.mask.any()
        assert np.array_equal(saved.mask, made.mask)
    assert replay_to(begun.out, tmp_path / "anew", FloodFill()) == (3, 3)
    assert verify(tmp_path / "anew").faults == ()
    assert replay_to(begun.out, tmp_path / "other", FloodFill(tolerance=90)) == (0, 3)


def test_a_replay_without_records_says_what_is_missing(begun, tmp_path):
    label(begun, "b")
    (begun.out / "clicks" / "b.json").unlink()
    with pytest.raises(UserError, match=r"b.json: no such file; only what was labelled by clicks can be replayed"):
        replay_to(begun.out, tmp_path / "anew", FloodFill())
    assert not (tmp_path / "anew").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(images, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(UserError, match="out: cannot be written"):
        Labelling(images, tmp_path / "out", CLASSES, FloodFill())


def test_a_tool_waits_a_while_for_the_last_one_to_let_go():
    assert module.PATIENCE >= 5, "a kernel needs some seconds to notice that its server was killed"
