"""Trained models that were changed by hand: weights in safetensors, cards, provenance; and what ships beside them."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from defectlib.segmentation.models import build
from tests.bad_input.case import bad
from tests.bad_input.things import once

CLASSES = ["scratch", "stain"]
WEIGHTS, CARD, PROVENANCE = "model.safetensors", "model.json", "provenance.json"


def trained(folder: Path) -> None:
    """A segmenter artifact with fresh weights."""
    folder.mkdir(parents=True)
    weights = build("UNet", len(CLASSES), seed=3).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / WEIGHTS)
    (folder / CARD).write_text(json.dumps({"model": "UNet", "classes": CLASSES, "defect_types": len(CLASSES)}))
    (folder / PROVENANCE).write_text(json.dumps({"settings": {"data": {"size": 32}, "crop": None}}))


copy = once(trained)


def spoiled(name: str, says: str, spoil: Callable[[Path], object]) -> None:
    """A model of which ``spoil`` broke something, on its way to ONNX."""

    def make(place: Path) -> list[str]:
        spoil(copy(place / "model"))
        return ["export-onnx", "model", "out.onnx"]

    bad("export-onnx", name, says, make)


def weights(name: str, write: Callable[[Path], object], says: str = "model: not a readable segmenter") -> None:
    spoiled(f"weights {name}", says, lambda root: write(root / WEIGHTS))


def header(content: bytes, tail: bytes = b"", length: int | None = None) -> Callable[[Path], object]:
    """A file of tensors that begins with ``content``, whose length is stated as ``length``."""
    stated = len(content) if length is None else length
    return lambda path: path.write_bytes(struct.pack("<Q", stated) + content + tail)


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    """The weights with a change."""

    def write(path: Path) -> None:
        values = load_file(path)
        change(values)
        save_file(values, path)

    return write


def first(values: dict[str, torch.Tensor]) -> str:
    return next(name for name, value in values.items() if value.ndim == 4)


weights("cut in half", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]))
weights("that are a pickle which runs a program", lambda path: path.write_bytes(b"cos\nsystem\n(S'touch evil'\ntR."))
weights("whose header is 2^63 bytes", header(b"{}", length=2**63))
weights("of a tensor beyond the file", header(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}', bytes(4)))
weights("of a tensor less", tensors(lambda values: values.pop(first(values))))
weights("of another shape", tensors(lambda values: values.update({first(values): torch.zeros(3, 3)})))
weights(
    "of whole numbers",
    tensors(lambda values: values.update({first(values): torch.zeros_like(values[first(values)], dtype=torch.int8)})),
    "model: ",
)
weights(
    "that are NaN",
    tensors(lambda values: values.update({first(values): torch.full_like(values[first(values)], torch.nan)})),
    "model: ",
)
weights("that are a folder", lambda path: (path.unlink(), path.mkdir()))


def card(name: str, content: Any, says: str = "model: not a readable segmenter|model.json") -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    spoiled(f"a card {name}", says, lambda root: (root / CARD).write_text(text))


WHOLE = {"model": "UNet", "classes": CLASSES, "defect_types": 2}
card("cut short", '{"model": "UNet"')
card("without its classes", {"model": "UNet", "defect_types": 2})
card("of another model", WHOLE | {"model": "DL"})
card("of an unknown model", WHOLE | {"model": "ResNet"}, "unknown model|not a readable segmenter")
card("of more types than weights", WHOLE | {"defect_types": 3})
card("whose classes are numbers", WHOLE | {"classes": [1, 2]})
spoiled("a card that is missing", "no trained baseline is there", lambda root: (root / CARD).unlink())


def made(name: str, content: Any, says: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    spoiled(f"a provenance {name}", says, lambda root: (root / PROVENANCE).write_text(text))


UNREAD = "provenance.json: cannot be read|give --height and --width"
made("of a size of 10^9", {"settings": {"data": {"size": 10**9}}}, "1 to 4096")


def exported(name: str, says: str, *words: str) -> None:
    """Words after `export-onnx`, and a model that is whole."""

    def make(place: Path) -> list[str]:
        copy(place / "model")
        os.mkfifo(place / "pipe")
        return ["export-onnx", *words]

    bad("export-onnx", name, says, make)


exported("of nothing", "Missing argument")
exported("of what is not there", "no trained baseline is there", "nothing", "out.onnx")
exported("of a name too long", "too long", "n" * 300, "out.onnx")
exported("into no folder", "make it first", "model", "no/where/out.onnx")
exported("into a folder", "is a folder", "model", ".")
exported("into a pipe", "is a folder or a special file", "model", "pipe")
exported("into a name too long", "too long", "model", "n" * 300 + ".onnx")
for _option in ("--height", "--width"):
    for _value in ("0", "-1", "64.5", "tall", "5000", str(10**30)):
        exported(
            f"{_option} {_value[:8]}",
            f"Invalid value for '{_option}'|1 to 4096",
            "model",
            "out.onnx",
            f"{_option}={_value}",
        )
