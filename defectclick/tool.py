"""The annotation tool: a notebook widget around a labelled folder. The browser shows and points, the kernel decides.

Every gesture is a message, answered in order with the whole state of the tool and with the part of the mask that the
latest edit has changed. A new image, or a page that is loaded anew or opened a second time, gets pixels and all of it.
"""

from __future__ import annotations

import io
import time
import traceback
import zlib
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import anywidget
import numpy as np
import traitlets
from PIL import Image

from defectclick.clicks import Click, Clicker, load_method
from defectclick.labelling import Labelling, Work
from defectclick.layers import bounds
from defectlib.errors import UserError

ASSETS = Path(__file__).parent / "assets"
#: Of classes, by id from 1: those of the figures (`defectlib.plots.style`).
COLOURS = ("#FFCC33", "#9900FF", "#33FFCC", "#CC0000", "#FF66FF", "#009966", "#CC0099", "#99CC66")


class Tool(anywidget.AnyWidget):
    """Label the images of a folder by clicks.

    Args:
        images: Folder of images; it is only read.
        out: Dataset folder, new or begun earlier.
        classes: Names of the defect types; may be left out where ``out`` is begun.
        method: Turns clicks into masks; one of :data:`~defectclick.clicks.METHODS`, or one of your own.
        whole_window: Fill the browser's window instead of the place of the output.

    Attributes:
        work: The image that is shown; None where it cannot be read.

    Raises:
        UserError: See :class:`~defectclick.labelling.Labelling`.
    """

    _esm = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in ("picture.js", "tool.js"))
    _css = (ASSETS / "tool.css").read_text(encoding="utf-8")
    whole_window = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        images: Path | str,
        out: Path | str,
        classes: Sequence[str] = (),
        method: Clicker | str = "Defect-Click",
        whole_window: bool = False,
    ) -> None:
        clicker = load_method(method) if isinstance(method, str) else method
        self.labelling = Labelling(Path(images), Path(out), classes, clicker)
        self._keys = list(self.labelling.sources)
        self._turn = RLock()  # messages come one by one, but not always in the thread that made the widget
        self.work: Work | None = None
        self._error = self._go(self.labelling.first())
        if self.work is not None:
            # Asked once, in vain: the first call of a network takes seconds, which no click shall wait for.
            image, (height, width) = self.work.session.image, self.work.session.index.shape
            clicker.segment(image, (Click(height // 2, width // 2),), np.zeros((height, width), bool))
        self._milliseconds = 0.0
        super().__init__(whole_window=whole_window)
        self.on_msg(self._heard)

    def close(self) -> None:
        """Take the tool from the page and let others have the folder."""
        self.labelling.close()
        super().close()

    # Messages ---------------------------------------------------------------------------------------------------------

    def _heard(self, _: Any, message: dict[str, Any], __: Any) -> None:
        with self._turn:
            work, started = self.work, time.perf_counter()
            edits = len(work.session.edits) if work else 0
            try:
                self._error = self._act(message) or ""
                self._milliseconds = 1000 * (time.perf_counter() - started)
                changed = work is not None and len(work.session.edits) != edits
                if changed:
                    work.saved = False
                self._answer(message, with_image=self.work is not work or message["do"] == "show")
                if changed:
                    self.labelling.keep(work)  # after the answer: the mask is not to wait for the disk
            except Exception as error:  # whatever it is, the page waits for an answer
                self._error = _line(error)
                self._answer(message)
                if not isinstance(error, UserError | OSError):
                    traceback.print_exception(error)  # a fault of ours: all of it, where the server's log is

    def _act(self, message: dict[str, Any]) -> str | None:
        """Do what a message says; what is to be told, if something is."""
        do, work = message["do"], self.work
        if do == "show":
            return self._error
        if do == "go":
            return self._go(int(message["place"]))
        if work is None:
            raise UserError(f"{self._error or 'There is no image here'}")
        if message["key"] != work.key:
            raise UserError("That was meant for the image before; it was not done")
        if do == "save":
            self.labelling.save(work)
            return self._next() if message.get("next") else None
        _ACTS[do](work, message)
        return None

    def _go(self, place: int) -> str:
        """Show the image at a place; what is wrong with it, if something is."""
        self.place = min(max(place, 0), len(self._keys) - 1)
        self.work = None
        try:
            self.work = self.labelling.open(self._keys[self.place])
        except (UserError, OSError) as error:
            return _line(error)
        return ""

    def _next(self) -> str:
        """Go to the first image after this one that is not labelled, from the beginning again at the end."""
        labelled, count = self.labelling.labelled, len(self._keys)
        for step in range(1, count):
            place = (self.place + step) % count
            if self._keys[place] not in labelled:
                return self._go(place)
        return ""

    # Answers ----------------------------------------------------------------------------------------------------------

    def _answer(self, message: dict[str, Any], with_image: bool = False) -> None:
        state, buffers = self._state() | {name: message.get(name) for name in ("serial", "page")}, []
        if self.work is not None:
            session = self.work.session
            rows, columns = box = bounds(session.index) if with_image else session.changed
            state |= {"box": [rows.start, columns.start, rows.stop, columns.stop], "with_image": with_image}
            buffers = [zlib.compress(np.ascontiguousarray(session.index[box]), 1)]
            if with_image:
                buffer = io.BytesIO()
                Image.fromarray(session.image).save(buffer, "png", compress_level=1)
                buffers.append(buffer.getvalue())
        self.send(state, buffers)

    def _state(self) -> dict[str, Any]:
        key, labelling = self._keys[self.place], self.labelling
        state = {
            "key": key,
            "source": labelling.source_of(key),
            "place": self.place,
            "count": len(self._keys),
            "labelled": len(labelling.labelled),
            "classes": list(labelling.classes),
            "colours": list(COLOURS),
            "method": labelling.clicker.name,
            "milliseconds": round(self._milliseconds),
            "status": "unreadable",
            "error": self._error,
        }
        if self.work is None:
            return state
        session = self.work.session
        begun = bool(session.edits) or session.can_redo or key in labelling.labelled
        return state | {
            "height": session.index.shape[0],
            "width": session.index.shape[1],
            "class_id": session.class_id,
            "current": session.current,
            "marks": [
                vars(click) | {"class_id": defect.class_id, "of": number}
                for number, defect in enumerate(session.defects)
                for click in defect.clicks
            ],
            "pixels": session.pixels[1 : session.defect_types + 1].tolist(),
            "undo": session.can_undo,
            "redo": session.can_redo,
            "status": "saved" if self.work.saved else "unsaved" if begun else "new",
        }


def _click(work: Work, message: dict[str, Any]) -> None:
    _choose(work, message)
    row, column = int(message["row"]), int(message["column"])
    work.session.click(row, column, bool(message["positive"]), seconds=work.seconds)


def _stroke(work: Work, message: dict[str, Any]) -> None:
    _choose(work, message)
    work.session.brush(message["points"], float(message["radius"]), bool(message["erase"]), seconds=work.seconds)


def _choose(work: Work, message: dict[str, Any]) -> None:
    """Every click says of which class it is, so that a class is chosen at once, however busy the kernel is."""
    if message["class_id"] != work.session.class_id:
        work.session.choose(int(message["class_id"]))


_ACTS = {
    "click": _click,
    "stroke": _stroke,
    "choose": lambda work, message: work.session.choose(int(message["class_id"])),
    "begin": lambda work, message: work.session.begin(int(message["class_id"])),
    "clear": lambda work, message: work.session.clear(work.seconds),
    "undo": lambda work, message: work.session.undo(),
    "redo": lambda work, message: work.session.redo(),
}


def _line(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'The disk'}: {error.strerror or error}; what is drawn is kept, mend it and go on"
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
