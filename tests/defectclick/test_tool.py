"""The widget's side in the kernel: what messages do and what they are answered with. The other side: a browser."""

from __future__ import annotations

import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from defectclick.classical import FloodFill
from defectclick.tool import Tool
from defectlib.data.folder import read_dataset
from defectlib.data.verify import verify
from defectlib.plots.style import DEFECT_COLOURS
from tests.defectclick.test_labelling import CLASSES, SIDE, images, painted  # noqa: F401 (a fixture)
from tests.test_cli import run


class Ears:
    """Sends what a browser would send, and keeps what it would hear."""

    def __init__(self, tool):
        self.tool, self.serial, self.mask = tool, 0, None
        tool.send = self.hear

    def say(self, do, **values):
        self.serial, self.heard = self.serial + 1, []
        key = self.tool._keys[self.tool.place]
        self.tool._handle_custom_msg({"do": do, "serial": self.serial, "key": key, **values}, [])
        return self.heard[-1][0]

    def hear(self, state, buffers):
        self.heard.append((json.loads(json.dumps(state)), buffers))
        if buffers:
            if state["with_image"]:
                self.mask = np.zeros((state["height"], state["width"]), np.uint8)
            top, left, bottom, right = state["box"]
            part = np.frombuffer(zlib.decompress(buffers[0]), np.uint8)
            self.mask[top:bottom, left:right] = part.reshape(bottom - top, right - left)


@pytest.fixture
def tool(images, tmp_path):  # noqa: F811
    tool = Tool(images, tmp_path / "out", CLASSES, method="flood fill")
    yield tool
    tool.close()


@pytest.fixture
def ears(tool):
    ears = Ears(tool)
    ears.say("show")
    return ears


def click(ears, row, column, class_id=1, positive=True):
    return ears.say("click", row=row, column=column, class_id=class_id, positive=positive)


def test_a_page_that_opens_is_told_all_and_given_the_image(ears):
    state = ears.say("show")
    assert {name: state[name] for name in ("key", "place", "count", "labelled", "status", "serial", "error")} == {
        "key": "b", "place": 0, "count": 3, "labelled": 0, "status": "new", "serial": 2, "error": "",
    }  # fmt: skip
    assert (state["classes"], tuple(state["colours"])) == (list(CLASSES), DEFECT_COLOURS)
    assert state["with_image"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(ears.heard[0][1][1]))), painted(0))
    assert not ears.mask.any()


def test_a_click_is_answered_with_the_changed_part_of_the_mask_and_nothing_more(ears, tool):
    state = click(ears, 9, 9)
    assert (ears.mask[6:14, 5:15] == 1).all()
    assert ears.mask.sum() == 80
    assert state["pixels"] == [80, 0]
    assert state["status"] == "unsaved"
    assert state["undo"]
    assert not state["with_image"]
    assert state["box"] == [6, 5, 14, 15]
    assert len(ears.heard) == 1
    assert len(ears.heard[0][1]) == 1
    assert state["marks"] == [{"row": 9, "column": 9, "positive": True, "class_id": 1, "of": 0}]
    assert np.array_equal(ears.mask, tool.work.session.index)


def test_undo_redo_clear_and_strokes(ears):
    click(ears, 9, 9)
    assert ears.say("undo")["redo"]
    assert not ears.mask.any()
    assert not ears.say("redo")["redo"]
    assert ears.mask.any()
    ears.say("stroke", points=[[28, 3], [28, 9]], radius=1, erase=False, class_id=2)
    assert (ears.mask[27:30, 3:10] == 2).all()
    ears.say("stroke", points=[[28, 3], [28, 9]], radius=3, erase=True, class_id=2)
    assert not (ears.mask == 2).any()
    ears.say("clear")
    assert not ears.mask.any()


def test_save_and_next_writes_the_dataset_and_goes_on(ears, tool):
    click(ears, 9, 9)
    state = ears.say("save", next=True)
    assert (state["key"], state["labelled"], state["with_image"]) == ("c", 1, True)
    assert verify(tool.labelling.out).faults == ()
    assert (read_dataset(tool.labelling.out)[0].mask == 1).sum() == 80
    assert ears.say("go", place=0)["status"] == "saved"
    assert ears.mask.any()
    assert ears.say("save", next=False)["status"] == "saved"
    assert ears.say("undo")["status"] == "saved", "there is nothing to undo"
    assert click(ears, 21, 10, class_id=2)["status"] == "unsaved"
    assert set(np.unique(ears.mask)) == {0, 1, 2}
    assert ears.say("undo")["status"] == "unsaved", "the draft says so too"


def test_going_on_from_the_last_image_returns_to_what_was_left_out(ears):
    ears.say("go", place=2)
    assert ears.say("save", next=True)["place"] == 0
    ears.say("save", next=True)
    state = ears.say("save", next=True)
    assert (state["place"], state["labelled"]) == (1, 3), "all are labelled: it stays"


def test_what_is_drawn_and_not_saved_is_there_again_after_the_tool_was_killed(ears, tool, images):  # noqa: F811
    click(ears, 9, 9)
    ears.say("go", place=1)
    assert ears.say("go", place=0)["status"] == "unsaved"
    assert ears.mask.any()
    later = Ears(Tool(images, tool.labelling.out, method="flood fill"))
    assert later.say("show")["status"] == "unsaved"
    assert later.mask.sum() == 80
    later.tool.close()


def test_what_cannot_be_done_is_said_and_changes_nothing(ears):
    state = click(ears, 2, 2, positive=False)
    assert "no mask here to take away from" in state["error"]
    assert state["status"] == "new"
    assert click(ears, 9, 9)["error"] == ""
    ears.serial += 1
    ears.tool._handle_custom_msg({"do": "undo", "serial": ears.serial, "key": "another"}, [])
    assert ears.heard[-1][0]["error"] == "That was meant for the image before; it was not done"
    assert ears.mask.any()


def test_a_fault_of_ours_is_shown_and_printed(ears, capsys, monkeypatch):
    state = click(ears, 9, 999)
    assert state["error"] == "ValueError: a click at (9, 999) is no pixel of the image, (32, 32)"
    assert "Traceback" in capsys.readouterr().err

    def broken(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(FloodFill, "segment", broken)
    assert click(ears, 9, 9)["error"] == "RuntimeError: out of memory"
    assert not ears.mask.any()


def test_an_image_that_cannot_be_read_is_told_and_the_others_go_on(tool, ears):
    tool.labelling.sources["c"].write_bytes(b"BM")
    state = ears.say("go", place=1)
    assert state["status"] == "unreadable"
    assert "c.BMP: damaged" in state["error"]
    assert ears.heard[-1][1] == []
    assert "c.BMP: damaged" in click(ears, 3, 3)["error"]
    assert ears.say("go", place=2)["status"] == "new"


def test_a_full_disk_is_told_and_the_drawing_is_not_lost(ears, tool, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "out/clicks/b.json")

    monkeypatch.setattr("defectclick.labelling.write_atomically", full)
    state = click(ears, 9, 9)
    assert state["error"].startswith("out/clicks/b.json: No space left on device; what is drawn is kept")
    assert ears.say("save", next=False)["status"] == "unsaved"
    assert ears.mask.any()
    monkeypatch.undo()
    assert ears.say("save", next=False) | {"milliseconds": 0} == ears.heard[-1][0] | {"milliseconds": 0}
    assert ears.heard[-1][0]["status"] == "saved"
    assert verify(tool.labelling.out).faults == ()


# The command line ----------------------------------------------------------------------------------------------------


def test_what_is_wrong_is_said_in_one_line_before_anything_is_started(monkeypatch, capsys, images, tmp_path):  # noqa: F811
    photos, out = str(images), str(tmp_path / "out")
    status, _, err = run(monkeypatch, capsys, "click", photos, out)
    assert (status, err) == (2, "classes: name the defect types, each once, such as scratch,stain\n")
    status, _, err = run(monkeypatch, capsys, "click", str(tmp_path / "none"), out, "--classes", "a")
    assert (status, err) == (2, f"{tmp_path / 'none'}: no such folder; name one that holds images\n")
    status, _, err = run(monkeypatch, capsys, "click", photos, out, "--classes", "a", "--method", "flod fill")
    assert status == 2
    assert err.startswith("unknown method 'flod fill': did you mean 'flood fill'?")
    assert not (tmp_path / "out").exists()


def test_recorded_clicks_are_replayed_by_a_command(monkeypatch, capsys, ears, tool, tmp_path):
    click(ears, 9, 9)
    ears.say("save", next=False)
    labelled, anew = str(tool.labelling.out), str(tmp_path / "anew")
    status, out, _ = run(monkeypatch, capsys, "replay-clicks", labelled, anew, "--method", "flood fill")
    assert (status, out) == (0, f"{anew}: 1 of 1 masks as they were saved\n")
    assert verify(tmp_path / "anew").faults == ()
    status, _, err = run(monkeypatch, capsys, "replay-clicks", labelled, anew, "--method", "flood fill")
    assert status == 2
    assert "is there already and not empty" in err
