"""Records of clicks: what was done to an image, kept so that masks can be made again and time can be counted.

``clicks/KEY.json`` holds the edits in their order, and the state that they led to, so that an image opens again as it
was left, whatever method of segmentation is at hand then.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from defectclick.clicks import Click, Clicker
from defectclick.layers import Layer
from defectclick.session import Defect, Edit, Session
from defectlib.data.folder import read_dataset, write_dataset
from defectlib.data.sample import Sample
from defectlib.errors import UserError
from defectlib.reading import read_json

_LONGEST = 10**9  # seconds
_FIELDS = {
    "click": ("class_id", "defect", "points", "positive"),
    "paint": ("class_id", "defect", "points", "radius"),
    "erase": ("points", "radius"),
    "clear": (),
}


@dataclass(frozen=True)
class Record:
    """What is kept of an image."""

    source: str  # path of the image in the folder that was labelled, with slashes
    clicker: str  # name of the method that turned clicks into masks
    classes: tuple[str, ...]  # names by id from 1
    seconds: float  # the image was shown for, in all
    shape: tuple[int, int]  # (H, W) of the image
    edits: tuple[Edit, ...]  # everything done and not taken back
    defects: tuple[Defect, ...]  # as they stand after the edits
    layers: tuple[Layer, ...]  # see :meth:`~defectclick.session.Session.layers`
    digest: str  # SHA-256 of the photograph's file

    @classmethod
    def of(cls, session: Session, source: str, classes: tuple[str, ...], seconds: float, digest: str) -> Record:
        """The record of a session."""
        done = session.edits, session.defects, tuple(session.layers())
        return cls(source, session.clicker.name, classes, round(seconds, 2), session.index.shape, *done, digest)

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

    def check_classes(self, path: Path, classes: tuple[str, ...]) -> None:
        """Raise a UserError, about the record in ``path``, unless ``classes`` begin with its own."""
        if self.classes != classes[: len(self.classes)]:
            raise UserError(f"{path}: is about the classes {', '.join(self.classes)}; classes.json names others")

    def to_json(self) -> str:
        """As text; :func:`read_record` is the way back."""
        values = {name: value for name, value in vars(self).items() if name not in ("edits", "defects", "layers")}
        values["edits"] = [
            {"kind": edit.kind}
            | {name: getattr(edit, name) for name in _FIELDS[edit.kind]}
            | {"seconds": round(edit.seconds, 2)}
            for edit in self.edits
        ]
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
        height, width = shape = tuple(values["shape"])
        if type(height) is not int or type(width) is not int or min(shape) < 1:
            raise ValueError("the shape must be two whole numbers")
        if Image.MAX_IMAGE_PIXELS and height * width > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"no image of more than {Image.MAX_IMAGE_PIXELS:,} pixels can be read")
        seconds = values["seconds"]
        if type(seconds) not in (int, float) or not 0 <= seconds <= _LONGEST:
            raise ValueError(f"seconds must be a number from 0 to {_LONGEST:,}")
        types = [bool, *[np.uint16] * len(values["defects"])]
        return Record(
            source=str(values["source"]),
            clicker=str(values["clicker"]),
            classes=tuple(str(name) for name in values["classes"]),
            seconds=float(seconds),
            shape=shape,
            edits=tuple(_edit(edit) for edit in values["edits"]),
            defects=tuple(_defect(defect) for defect in values["defects"]),
            layers=tuple(_unpacked(each, kind, shape) for each, kind in zip(values["arrays"], types, strict=True)),
            digest=str(values["digest"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, zlib.error) as error:
        fault = f"is no record of clicks ({type(error).__name__}: {' '.join(str(error).split())})"
        raise UserError(f"{path}: {fault}; remove it to label the image anew") from error


def replay_to(labelled: Path, out: Path, clicker: Clicker) -> tuple[int, int]:
    """Write a dataset folder with the masks that ``clicker`` gives for the clicks of a labelled one.

    Strokes of the brush are made again as they were.

    Returns:
        How many masks are as they were saved, and how many there are.

    Raises:
        UserError: A record is missing, or does not fit its image or the classes; or the folder is no such dataset. See
            also :func:`~defectlib.data.folder.write_dataset`.
    """
    if not (Path(labelled) / "clicks").is_dir():
        raise UserError(f"{labelled}: no such folder, or none with clicks/; name one that `defectlib click` wrote")
    same: list[bool] = []

    def anew() -> Iterator[Sample]:
        for saved in read_dataset(labelled):
            path = Path(labelled) / "clicks" / f"{saved.key}.json"
            if not path.exists():
                raise UserError(f"{path}: no such file; only what was labelled by clicks can be replayed")
            record = read_record(path)
            record.check_classes(path, saved.classes)
            session = Session(saved.image, len(record.classes), clicker)
            try:
                for edit in record.edits:
                    session.apply(edit)
            except ValueError as error:
                fault = f"does not fit its image ({error}); remove the image or label it anew"
                raise UserError(f"{path}: {fault}") from error
            same.append(np.array_equal(saved.mask, session.index))
            yield replace(saved, mask=session.index)

    write_dataset(out, anew(), provenance={"clicks": str(labelled), "method": clicker.name})
    return sum(same), len(same)


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


def _unpacked(packed: list[Any], kind: type, shape: tuple[int, int]) -> Layer:
    top, left, bottom, right, text = packed
    if not 0 <= top <= bottom <= shape[0] or not 0 <= left <= right <= shape[1]:
        raise ValueError("an array lies outside the image")
    dtype = np.dtype(kind).newbyteorder("<")
    size = (bottom - top) * (right - left) * dtype.itemsize
    content = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    if len(content) != size:
        raise ValueError("an array has not the size of its box")
    return Layer(np.frombuffer(content, dtype).reshape(bottom - top, right - left).astype(kind), top, left)
