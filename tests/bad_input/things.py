"""Whole things, to be spoiled: dataset folders, published datasets, notebooks, settings, trained models."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from PIL import Image

from defectlib.runtime import REPOSITORY
from defectlib.settings import DenoiserTraining, EmbeddedData, SmallNet
from tests.data.miniatures import write_folder

PNG = b"\x89PNG\r\n\x1a\n"


def once(write: Callable[[Path], object]) -> Callable[[Path], Path]:
    """A writer of copies: what ``write`` writes is written once in a process, where its ``original`` says."""

    @cache
    def original() -> Path:
        folder = Path(tempfile.mkdtemp(prefix="defectlib-bad-input-"))
        write(folder / "it")
        return folder / "it"

    def copy(target: Path) -> Path:
        return shutil.copytree(original(), target, symlinks=True)

    copy.original = original
    return copy


own_folder = once(write_folder)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, colour: int = 0, depth: int = 8, rows: bytes = b"\x00") -> bytes:
    """A PNG whose header states a size that need not be that of its ``rows``."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def save(path: Path, mode: str, form: str, size: tuple[int, int] = (12, 16), **rest: Any) -> None:
    """An image in a mode and a format of Pillow, whatever the name of the file says."""
    Image.new(mode, size).save(path, form, **rest)


def write_json(path: Path, content: Any) -> Path:
    """A JSON file; text is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def nested(depth: int = 100_000) -> str:
    """JSON, and YAML, that is too deep for any reader."""
    return "[" * depth + "]" * depth


LAUGHS = "\n".join(
    ["a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    + [f"{y}: &{y} [{', '.join([f'*{x}'] * 10)}]" for x, y in zip("abcdefgh", "bcdefghi", strict=True)]
)
"""Nine levels of ten: a thousand bytes that stand for 10^9 values."""


def training(**changes: Any) -> dict[str, Any]:
    """Valid settings of a small denoiser as a file holds them, with ``changes``."""
    data = EmbeddedData(product="softgel", size=32, shots=1, eval_count=2)
    settings = DenoiserTraining(data=data, net=SmallNet(receptive_field=9, channels=8), steps=1, batch=2)
    return {"stage": "denoiser", "settings": settings.model_dump(mode="json") | changes}


def notebook(path: Path, parameters: str = 'profile: str = "smoke"', **metadata: Any) -> Path:
    """A notebook with a cell of parameters and a cell that raises if it is ever run."""
    cells = [
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("raise SystemExit('was run')"),
    ]
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata=metadata)))
    return path


def committed(number: str) -> str:
    """The path of the committed notebook of that number."""
    return str(next((REPOSITORY / "notebooks").glob(f"{number}_*.ipynb")))


def mask(path: Path, top: int) -> None:
    """A mask that fits the images of :func:`own_folder`, with a pixel of value ``top``."""
    values = np.zeros((16, 12), np.uint8)
    values[3, 3] = top
    Image.fromarray(values).save(path)
