"""A small copy of KolektorSDD2: ten defective images, the pair that the archive holds twice, the pickles."""

import shutil
from pathlib import Path

import numpy as np

from tests.data.sources import miniature

DEFECTIVE = ("10304", "10401", "10585", "10648", "10712", "11178", "11214", "11339", "11642", "11713")


def is_mask(line: str) -> bool:
    return "_GT" in line


def write_kolektor(root: Path) -> Path:
    miniature.write(root, "kolektor", is_mask, paint)
    for name in ("10301{}.png", "10301_GT{}.png"):
        shutil.copyfile(root / "train" / name.format(""), root / "train" / name.format(" (copy)"))
    return root


def paint(line: str) -> np.ndarray:
    box = miniature.white_box(line)
    return box if Path(line).name.startswith(DEFECTIVE) else np.zeros_like(box)
