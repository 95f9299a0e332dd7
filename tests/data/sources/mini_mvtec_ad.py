"""A small copy of MVTec AD: all fifteen products, every defect type."""

from pathlib import Path

from tests.data.sources import miniature


def is_mask(line: str) -> bool:
    return "/ground_truth/" in line


def write_mvtec_ad(root: Path) -> Path:
    return miniature.write(root, "mvtec_ad", is_mask)
