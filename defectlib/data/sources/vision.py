"""VISION V1: fourteen industrial products with polygons around 44 types of defect, and unlabelled images.

Bai, Mou, Likhomanenko, Cinbis, Tuzel, Huang, Shan, Shi, Cao, "VISION Datasets: A Benchmark for Vision-based InduStrial
InspectiON", arXiv 2306.07890, 2023. CC BY-NC 4.0. https://huggingface.co/datasets/VISION-Workshop/VISION-Datasets

Layout, per product::

    {train,val}/000001.jpg
    {train,val}/_annotations.coco.json    COCO: images, categories, annotations with polygons
    inference/000001.jpg                  unlabelled; a JSON beside them lists the images and marks nothing

The JSON is the annotation of every image beside it. Its polygons become one index mask of the size that it states:

- Pixel (row r, column c) belongs to a polygon if its middle, x = c + 0.5 and y = r + 0.5, lies inside.
- A polygon that holds no middle, such as a scratch thinner than a pixel, marks the pixels that its outline meets.
- All polygons of an annotation are its parts.
- Where annotations overlap, the pixel stays with the one that stands first in the file.

As detectron2 does, polygons of fewer than three corners are skipped (and those outside the image), and annotations
without any other; an image with annotations, all of them skipped, is left out. A note counts them.

An image that the JSON lists and does not annotate has an empty mask. Types are joined by name, never by the file's ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from skimage.draw import polygon_perimeter

from defectlib.data.folder import read_json
from defectlib.data.listing import IMAGE_SUFFIXES, list_files, single
from defectlib.data.sources.source import UNLABELLED, Row, Source
from defectlib.errors import UserError, shown, unknown

PAGE = "_annotations.coco.json"
SPLITS = ("train", "val", "inference")

Mark = tuple[int, list[list[float]]]  # class id and polygons, each x, y, x, y, ...


class Picture(NamedTuple):
    """What a JSON says of one image: its size in pixels, and its marks in the order of the file."""

    width: int
    height: int
    marks: list[Mark]


def render(picture: Picture) -> np.ndarray:
    """The index mask, uint8 (height, width), of the marks of a picture; see the rules above."""
    mask = np.zeros((picture.height, picture.width), np.uint8)
    for number, polygons in reversed(picture.marks):  # what stands first is drawn last, on top
        for polygon in polygons:
            _draw(mask, np.reshape(polygon, (-1, 2)).astype(float), number)
    return mask


def _draw(mask: np.ndarray, starts: np.ndarray, number: int) -> None:
    """Set ``mask`` to ``number`` where a polygon marks it; ``starts`` is (edges, 2), x and y where each edge starts."""
    # From the crossings of each row, even-odd. Libraries test every pixel with every edge (14 s for 12 megapixels and
    # 400 edges), and give the middles on a shared edge to both polygons.
    size = mask.shape[::-1]
    (left, top), (right, bottom) = np.clip([starts.min(0), np.ceil(starts.max(0))], 0, size).astype(int)
    middles, ends = np.arange(top, bottom) + 0.5, np.roll(starts, -1, axis=0)
    rows, edges = np.nonzero((starts[:, 1] > middles[:, None]) != (ends[:, 1] > middles[:, None]))
    (x, y), (across, down) = starts[edges].T, (ends - starts)[edges].T
    crossings = np.ceil(x + (middles[rows] - y) * across / down - 0.5)  # the first pixel whose middle is not left of it
    crossed = np.zeros((bottom - top, right - left + 1), bool)
    np.logical_xor.at(crossed, (rows, np.clip(crossings - left, 0, right - left).astype(int)), True)
    inside = np.logical_xor.accumulate(crossed, axis=1)[:, :-1]
    if inside.any():
        mask[top:bottom, left:right][inside] = number
    else:
        x, y = np.floor(np.clip(starts, np.negative(size), np.multiply(2, size))).astype(int).T
        mask[polygon_perimeter(y, x, mask.shape)] = number


class Vision(Source):
    """VISION V1 in its original layout; ``root`` holds the products as their archives unpack."""

    NAME = "vision"

    def __init__(self, root: Path) -> None:
        self._pictures: dict[str, Picture] = {}  # by the path of the image
        super().__init__(root)

    def read_mask(self, row: Row) -> np.ndarray:
        """The index mask, uint8 (H, W), drawn from the polygons; H and W are what the JSON states."""
        return render(self._pictures[row.image])

    def size_fault(self, row: Row, image: np.ndarray, mask: np.ndarray) -> str | None:
        """The line that says that an image has not the size that the JSON states, or None."""
        if image.shape[:2] == mask.shape:
            return None
        sizes = [f"{width} x {height}" for height, width in (image.shape[:2], mask.shape)]
        return f"{row.image}: is {sizes[0]} pixels but {PAGE} draws on {sizes[1]}; get both from the same archive"

    def _rows(self) -> Iterator[Row]:
        for product in self.products():
            for split in self.known_folders(product, "split", SPLITS):
                yield from self._split(product, split)

    def _split(self, product: str, split: str) -> Iterator[Row]:
        folder = f"{product}/{split}"
        images = single(list_files(self.root, folder, IMAGE_SUFFIXES, self.faults, beside=(PAGE,)), self.faults)
        if split == "inference":
            mask, labels = "", dict.fromkeys(images, UNLABELLED)
        else:
            mask, labels = str(self.root / folder / PAGE), self._labels(product, folder, images)
        for stem, label in labels.items():
            key = f"{split}_{stem}"
            yield Row(product, split, key, str(images[stem]), mask, label, group=key)

    def _labels(self, product: str, folder: str, images: dict[str, Path]) -> dict[str, str]:
        """The type of every image that can be used; empty where it has none or several, which only the mask tells."""
        page = _Page(self.root / folder / PAGE, self.classes[product], self.faults)
        if not page.read():
            return {}
        if page.annotations or page.polygons:
            self.notes.append(
                f"{page.path}: skipped {page.polygons} polygons with fewer than three corners or outside the image, "
                f"and {page.annotations} annotations without a usable polygon; "
                f"left out {len(page.unmarked)} images without a usable annotation"
            )
        names = {path.name for path in images.values()}
        for name in sorted(page.pictures.keys() - names):
            self.faults.append(f"{page.path}: lists {name!r}, which does not stand beside it; get the archive anew")
        labels = {}
        for stem, path in images.items():
            if path.name in page.pictures:
                self._pictures[str(path)] = picture = page.pictures[path.name]
                types = {self.classes[product][number - 1] for number, _ in picture.marks}
                labels[stem] = types.pop() if len(types) == 1 else ""
            elif path.name in page.refused:
                self.faults.append(f"{path}: cannot be used while {PAGE} is wrong about it; mend that or remove both")
            elif path.name not in page.unmarked:
                self.faults.append(f"{path}: is not listed in {PAGE}; remove it or get the archive anew")
        return labels


# The JSON -----------------------------------------------------------------------------------------------------------


class _Page:
    """One JSON.

    Attributes:
        pictures: What it draws, by file name.
        refused: File names of images about which it is wrong; each has a fault.
        unmarked: File names of images all of whose annotations are skipped.
        polygons: How many polygons are skipped.
        annotations: How many annotations are skipped.
    """

    def __init__(self, path: Path, classes: Sequence[str], faults: list[str]) -> None:
        self.path = path
        self.classes = tuple(classes)
        self.faults = faults
        self.pictures: dict[str, Picture] = {}
        self.refused: set[str] = set()
        self.unmarked: set[str] = set()
        self.polygons = self.annotations = 0

    def read(self) -> bool:
        """Fill ``pictures``; False, and one fault, where the file cannot be read as COCO."""
        try:
            content = self._content()
        except UserError as error:
            self.faults.append(str(error))
            return False
        names = self._images(content["images"])
        numbers = self._numbers(content["categories"], content["annotations"])
        for title, entry in self._entries("annotation", content["annotations"]):
            name = names.get(_whole(entry, "image_id"))
            if name is None:
                self._fault(title, f"its image {shown(entry.get('image_id'))} is not listed")
            elif not self._mark(title, entry, name, numbers):
                self._refuse(name)
        self.unmarked = {name for name in self.unmarked & self.pictures.keys() if not self.pictures[name].marks}
        for name in self.unmarked:
            del self.pictures[name]
        return True

    def _content(self) -> dict[str, list[Any]]:
        if not self.path.exists():
            raise UserError(f"{self.path}: no such file; it marks the images beside it: unpack the archive anew")
        content = read_json(self.path)
        for part in ("images", "categories", "annotations"):
            if not isinstance(content, dict) or not isinstance(content.get(part), list):
                raise UserError(f"{self.path}: has no list of '{part}', as COCO has; get the archive anew")
        return content

    def _entries(self, what: str, entries: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for place, entry in enumerate(entries, 1):
            title = f"{what} {place} of {len(entries)}"
            if isinstance(entry, dict):
                yield title, entry
            else:
                self._fault(title, f"is no table of names and values but {shown(entry)}")

    def _images(self, entries: list[Any]) -> dict[int | None, str]:
        """File names by image id, those of refused images too."""
        names: dict[int | None, str] = {}
        for title, entry in self._entries("image", entries):
            number, name = _whole(entry, "id"), entry.get("file_name")
            width, height = _whole(entry, "width"), _whole(entry, "height")
            if number is None or not isinstance(name, str):
                self._fault(title, "has no 'file_name', or no 'id' that is a whole number")
                continue
            name = PureWindowsPath(name).name  # tools write folders before it, of any system
            if number in names:
                self._fault(title, f"its id {number} is given twice")
                self._refuse(names[number])  # nobody can tell which of the two an annotation means
            elif name in self.pictures or name in self.refused:
                self._fault(title, f"{name!r} is listed twice")
            elif not width or not height:
                self._fault(title, f"{name!r} has no 'width' or 'height' that is a whole number above 0")
            elif Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
                self._fault(title, f"{name!r} has more than {Image.MAX_IMAGE_PIXELS:,} pixels")
            else:
                names[number] = name
                self.pictures[name] = Picture(width, height, [])
                continue
            names.setdefault(number, name)
            self._refuse(name)
        return names

    def _numbers(self, categories: list[Any], annotations: list[Any]) -> dict[int | None, int]:
        """Class ids by category id, 0 where a fault was found.

        A type that the manifest does not have is a fault if something is marked with it.
        """
        used = {_whole(entry, "category_id") for entry in annotations if isinstance(entry, dict)}
        numbers: dict[int | None, int] = {}
        for title, entry in self._entries("category", categories):
            number, name = _whole(entry, "id"), entry.get("name")
            if number is None or not isinstance(name, str):
                self._fault(title, "has no 'name', or no 'id' that is a whole number")
            elif number in numbers:
                self._fault(title, f"its id {number} is given twice")
                numbers[number] = 0
            elif name in self.classes:
                numbers[number] = self.classes.index(name) + 1
            elif number in used:
                self.faults.append(f"{self.path}: {unknown('defect type', name, self.classes)}")
                numbers[number] = 0
        return numbers

    def _mark(self, title: str, entry: dict[str, Any], name: str, numbers: dict[int | None, int]) -> bool:
        """Add an annotation to the picture called ``name``; False where a fault was found."""
        category, polygons = _whole(entry, "category_id"), entry.get("segmentation") or []
        if category not in numbers:
            return self._fault(title, f"its category {shown(entry.get('category_id'))} is not listed")
        if isinstance(polygons, dict):
            return self._fault(title, "is a run-length code, where VISION has polygons")
        if not isinstance(polygons, list) or not all(map(_is_polygon, polygons)):
            return self._fault(title, "'segmentation' is no list of polygons, each x, y, x, y, ... in pixels")
        number, picture = numbers[category], self.pictures.get(name)
        if picture is None or not number:  # told before
            return False
        marking = [polygon for polygon in polygons if _marks(polygon, picture)]
        self.polygons += len(polygons) - len(marking)
        if marking:
            picture.marks.append((number, marking))
        else:
            self.annotations += 1
            self.unmarked.add(name)
        return True

    def _refuse(self, name: str) -> None:
        self.refused.add(name)
        self.pictures.pop(name, None)

    def _fault(self, title: str, reason: str) -> bool:
        self.faults.append(f"{self.path}: {title}: {reason}; mend it or get the archive anew")
        return False


def _is_polygon(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) in (int, float) and abs(number) < 1e9 for number in value)


def _marks(polygon: list[float], picture: Picture) -> bool:
    """Whether a polygon has three corners or more, and its box meets the image."""
    if len(polygon) < 6 or len(polygon) % 2:
        return False
    x, y = polygon[::2], polygon[1::2]
    return min(x) < picture.width and max(x) >= 0 and min(y) < picture.height and max(y) >= 0


def _whole(entry: dict[str, Any], name: str) -> int | None:
    """The whole number called ``name``, which some tools write as 1.0; None where there is none."""
    value = entry.get(name)
    return int(value) if type(value) in (int, float) and value >= 0 and value == value // 1 else None
