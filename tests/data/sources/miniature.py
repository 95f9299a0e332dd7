"""Small copies of published datasets, written from committed listings of their true paths (``layouts/NAME.txt``)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

LAYOUTS = Path(__file__).with_name("layouts")
SIZE = (24, 20)  # width, height


def listed(name: str) -> list[str]:
    """The paths of a listing; lines that start with '#' say where it comes from."""
    lines = (LAYOUTS / f"{name}.txt").read_text().splitlines()
    assert lines[0].startswith("# Source: "), "a listing names its source"
    return [line for line in lines if line and not line.startswith("#")]


def write(
    root: Path, name: str, is_mask: Callable[[str], bool], paint: Callable[[str], np.ndarray] | None = None
) -> Path:
    """Write every listed path below ``root``: photographs, and masks where ``is_mask`` says so (by ``paint``)."""
    for line in listed(name):
        path = root / line
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"):
            path.write_text("")
        else:
            Image.fromarray((paint or white_box)(line) if is_mask(line) else photograph(line)).save(path)
    return root


def photograph(name: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture of its own for every name, uint8 (H, W, 3)."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def white_box(_: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask, uint8 (H, W), with 12 white pixels."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[5:9, 6:9] = 255
    return mask
