"""A small copy of BTAD, the eleven masks that mark nothing among it."""

from pathlib import Path

import numpy as np

from tests.data.sources import miniature

BLACK = ("02/ground_truth/ko/0145.png", *(f"03/ground_truth/ko/{number:04}.bmp" for number in range(28, 38)))


def is_mask(line: str) -> bool:
    return "/ground_truth/" in line


def write_btad(root: Path) -> Path:
    return miniature.write(root, "btad", is_mask, paint)


def paint(line: str) -> np.ndarray:
    box = miniature.white_box(line)
    return np.zeros_like(box) if line in BLACK else box
