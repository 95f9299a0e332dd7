"""A small copy of AeBAD: the images are JPEGs called .png, and one shot stands under two conditions."""

from pathlib import Path

from PIL import Image

from tests.data.sources import miniature


def is_mask(line: str) -> bool:
    return "/ground_truth/" in line


def write_aebad(root: Path) -> Path:
    miniature.write(root, "aebad", is_mask)
    for line in miniature.listed("aebad"):
        if not is_mask(line):
            Image.fromarray(miniature.photograph(Path(line).name)).save(root / line, "JPEG", quality=95)
    (root / "AeBAD_V" / "train" / "good" / "video1_train").mkdir(parents=True)
    return root
