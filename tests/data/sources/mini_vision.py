"""VISION in small: COCO files as its archives have them, with category ids from 0."""

import json
from pathlib import Path
from typing import Any

from defectlib.data.sources.manifest import read_manifest
from tests.data.sources import miniature

PAGE = "_annotations.coco.json"
WIDTH, HEIGHT = miniature.SIZE


def write_vision(root: Path) -> Path:
    """Every labelled image has one box of the first type; inference lists its images and marks nothing."""
    miniature.write(root, "vision", is_mask=lambda _: False)
    for page in root.glob(f"*/*/{PAGE}"):
        labelled = page.parent.name != "inference"
        names = sorted(path.name for path in page.parent.glob("*.jpg"))
        write_page(page, coco(page.parent.parent.name, {name: [(0, [box(5, 5, 8, 8)])] * labelled for name in names}))
    return root


def box(left: float, top: float, right: float, bottom: float) -> list[float]:
    """The polygon of a rectangle."""
    return [left, top, right, top, right, bottom, left, bottom]


def coco(product: str, marks: dict[str, list[tuple[int, Any]]]) -> dict[str, Any]:
    """A COCO file: by image, the category ids (places in the manifest) and segmentations of its annotations."""
    classes = read_manifest("vision").products[product].classes
    images = [{"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT} for n, name in enumerate(marks)]
    pairs = [(n, *mark) for n, name in enumerate(marks) for mark in marks[name]]
    return {
        "info": {"description": "VISION"},
        "images": images,
        "categories": [{"id": n, "name": name, "supercategory": "none"} for n, name in enumerate(classes)],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0}
            for n, (image, category, segmentation) in enumerate(pairs)
        ],
    }


def write_page(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
