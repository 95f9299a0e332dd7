"""A small copy of Defect Spectrum, captions included."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from openpyxl import Workbook

from defectlib.data.sources.captions import COLUMNS
from defectlib.data.sources.manifest import read_manifest
from tests.data.sources import miniature

OBJECT = "In the image is a brownish-yellow wooden board."
#: Paths as the caption table has them: four products keep an older numbering in front of the name.
CAPTIONED = (
    "cable/bent_wire/000.png",
    "bottle/broken_large/000.png",
    "capsule/crack/03552_00001_001.png",
    "metal_nut/bent/03986_00568_007.png",
    "wood/hole/04071_00694_003.png",
    "tile/rough/007.png",  # of a product that is not there
)


def is_mask(line: str) -> bool:
    """Whether the file holds class ids; the coloured pictures of masks do not."""
    return "/mask/" in line or "/masks_converted_dir/" in line


def classes(line: str) -> int:
    """How many types the product of a file has."""
    subset, product, *_ = line.lower().replace("ds-", "").replace("synthetic_", "").replace("-", "_").split("/")
    products = read_manifest("defect_spectrum").products
    return len((products.get(subset) or products[f"{subset}_{product}"]).classes)


def paint(line: str) -> np.ndarray:
    """An index mask, uint8 (H, W): 6 pixels of the first type of the product and 12 of its last."""
    mask = np.zeros(miniature.SIZE[::-1], np.uint8)
    mask[2:4, 3:6] = 1
    mask[10:13, 4:8] = classes(line)
    return mask


def write_captions(path: Path, rows: Iterable[tuple], header: tuple[str, ...] = COLUMNS) -> None:
    """Write a workbook of one sheet."""
    workbook = Workbook()
    for row in (header, *rows):
        workbook.active.append(row)
    workbook.save(path)


def write_defect_spectrum(root: Path) -> Path:
    """Write the miniature below ``root``."""
    miniature.write(root, "defect_spectrum", is_mask, paint)
    rows = [(name, f"{OBJECT} ", f"A defect in {name}.") for name in CAPTIONED]
    write_captions(root / "DS-MVTec" / "captions.xlsx", rows)
    return root
