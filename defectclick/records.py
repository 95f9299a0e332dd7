"""Records of clicks: what was done to an image, kept so that masks can be made again and time can be counted.

``clicks/KEY.json`` holds the edits in their order, and the state that they led to, so that an image opens again as it
was left, whatever method of segmentation is at hand then.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from defectclick.clicks import Click, Clicker
from defectclick.edits import Defect, Edit
from defectclick.layers import Layer
from defectclick.session import Session
from defectlib.errors import UserError
from defectlib.reading import read_json

_LONGEST = 10**9  # seconds


@dataclass(frozen=True)
class Record:
    """What is kept of an image.

    Attributes:
        source: Path of the image in the folder that was labelled, with slashes.
        clicker: Name of the method that turned clicks into masks.
        classes: Names of the K classes, by id from 1.
        seconds: The image was shown for, in all.
        shape: (H, W) of the image.
        edits: Everything done and not taken back.
        defects: As they stand after the edits.
        layers: See :meth:`~defectclick.session.Session.layers`.
        digest: SHA-256 of the photograph's file; empty in records of earlier versions.
    """

    source: str
    clicker: str
    classes: tuple[str, ...]
    seconds: float
    shape: tuple[int, int]
    edits: tuple[Edit, ...]
    defects: tuple[Defect, ...]
    layers: tuple[Layer, ...]
    digest: str = ""

    @classmethod
    def of(cls, session: Session, source: str, classes: tuple[str, ...], seconds: float) -> Record:
        """The record of a session."""
        done = session.edits, session.defects, tuple(session.layers())
        return cls(source, session.clicker.name, classes, round(seconds, 2), session.index.shape, *done)

    def session(self, image: np.ndarray, clicker: Clicker) -> Session:
        """A session of ``image`` that goes on where this record ends.

        Raises:
            ValueError: The image has another size.
        """
        if image.shape[:2] != self.shape:
            raise ValueError(f"it is {image.shape[:2]}, the record's is {self.shape}")
        session = Session(image, len(self.classes), clicker)
        session.restore(self.edits, self.defects, self.layers)
        return session

    def replayed(self, image: np.ndarray, clicker: Clicker) -> Session:
        """A session in which every edit was made anew, with the masks that ``clicker`` gives.

        Raises:
            ValueError: An edit does not fit the image.
        """
        session = Session(image, len(self.classes), clicker)
        for edit in self.edits:
            session.apply(edit)
        return session

    def to_json(self) -> str:
        """As text; :func:`read_record` is the way back."""
        values = {name: value for name, value in vars(self).items() if name not in ("edits", "defects", "layers")}
        values["edits"] = [_brief(edit) for edit in self.edits]
        values["defects"] = [
            {"class_id": d.class_id, "clicks": [list(asdict(click).values()) for click in d.clicks]}
            for d in self.defects
        ]
        values["arrays"] = [_packed(layer) for layer in self.layers]
        return json.dumps(values, ensure_ascii=False) + "\n"


def read_record(path: Path) -> Record:
    """The record in a file.

    Raises:
        UserError: It cannot be read, or is none.
    """
    values = read_json(path)
    try:
        height, width = _sides(values["shape"])
        types = [bool, *[np.uint16] * len(values["defects"])]
        return Record(
            source=str(values["source"]),
            digest=str(values.get("digest", "")),
            clicker=str(values["clicker"]),
            classes=tuple(str(name) for name in values["classes"]),
            seconds=_seconds(values["seconds"]),
            shape=(height, width),
            edits=tuple(_edit(edit) for edit in values["edits"]),
            defects=tuple(_defect(defect) for defect in values["defects"]),
            layers=tuple(
                _unpacked(packed, kind, (height, width)) for packed, kind in zip(values["arrays"], types, strict=True)
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, zlib.error) as error:
        fault = f"is no record of clicks ({type(error).__name__}: {' '.join(str(error).split())})"
        raise UserError(f"{path}: {fault}; remove it to label the image anew") from error


def _brief(edit: Edit) -> dict[str, Any]:
    """The fields of an edit that say something, for people to read too."""
    kept = {"click": ("class_id", "defect", "points", "positive"), "paint": ("class_id", "defect", "points", "radius")}
    names = ("kind", *kept.get(edit.kind, ("points", "radius") if edit.kind == "erase" else ()), "seconds")
    values = {name: getattr(edit, name) for name in names}
    values["seconds"] = round(edit.seconds, 2)
    return values


def _sides(values: Any) -> tuple[int, int]:
    """Of an image, in pixels; none is larger than one that can be read, so that no array is."""
    height, width = values
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise ValueError("the shape must be two whole numbers")
    if Image.MAX_IMAGE_PIXELS and height * width > Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"no image of more than {Image.MAX_IMAGE_PIXELS:,} pixels can be read")
    return height, width


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= _LONGEST:
        raise ValueError(f"seconds must be a number from 0 to {_LONGEST:,}")
    return float(value)


def _edit(values: dict[str, Any]) -> Edit:
    if any(type(values.get(name, 0)) is not int for name in ("class_id", "defect")):
        raise ValueError("the class and the number of a defect must be whole numbers")
    if type(values.get("positive", True)) is not bool:
        raise ValueError("a click is positive or it is not")
    points = tuple((row, column) for row, column in values.get("points", ()))
    return Edit(**{**values, "points": points})


def _defect(values: dict[str, Any]) -> Defect:
    clicks = tuple(Click(int(row), int(column), bool(positive)) for row, column, positive in values["clicks"])
    return Defect(int(values["class_id"]), clicks)


def _packed(layer: Layer) -> list[Any]:
    """Top, left, bottom and right of a layer's box, and its values."""
    (rows, columns), values = layer.box, layer.values
    text = base64.b64encode(zlib.compress(values.astype(values.dtype.newbyteorder("<")), 6)).decode()
    return [rows.start, columns.start, rows.stop, columns.stop, text]


def _unpacked(packed: list[Any] | str, kind: type, shape: tuple[int, int]) -> Layer:
    # Records of earlier versions hold arrays of the image's size.
    top, left, bottom, right, text = packed if isinstance(packed, list) else (0, 0, *shape, packed)
    if not 0 <= top <= bottom <= shape[0] or not 0 <= left <= right <= shape[1]:
        raise ValueError("an array lies outside the image")
    dtype = np.dtype(kind).newbyteorder("<")
    size = (bottom - top) * (right - left) * dtype.itemsize
    content = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    if len(content) != size:
        raise ValueError("an array has not the size of its box")
    return Layer(np.frombuffer(content, dtype).reshape(bottom - top, right - left).astype(kind), top, left)
