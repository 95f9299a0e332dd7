"""VISION V1: fourteen industrial products with polygons around 44 types of defect, and unlabelled images.

Bai, Mou, Likhomanenko, Cinbis, Tuzel, Huang, Shan, Shi, Cao, "VISION Datasets: A Benchmark for Vision-based InduStrial
InspectiON", arXiv 2306.07890, 2023. CC BY-NC 4.0. https://huggingface.co/datasets/VISION-Workshop/VISION-Datasets

Layout, per product::

    {train,val}/000001.jpg
    {train,val}/_annotations.coco.json    COCO: images, categories, annotations with polygons
    inference/000001.jpg                  unlabelled; a JSON beside them lists the images and marks nothing

The JSON is the annotation of every image beside it. Its polygons become one index mask of the size that it states:

- A pixel belongs to a polygon if its outline passes through the pixel or encloses it. So a scratch thinner than a
  pixel does not vanish, and a polygon is at most one pixel too wide.
- All polygons of an annotation are its parts.
- Where annotations overlap, the pixel stays with the one that stands first in the file.
- Corners beyond the image's border are cut off there.

An image that the JSON lists and does not mark has an empty mask. Types are joined by name, never by the file's ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageDraw
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from defectlib.data.folder import read_json
from defectlib.data.listing import IMAGE_SUFFIXES, list_files, single
from defectlib.data.sources.source import UNLABELLED, Row, Source
from defectlib.errors import UserError, unknown

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
    canvas = Image.new("L", (picture.width, picture.height))
    pen = ImageDraw.Draw(canvas)
    for number, polygons in reversed(picture.marks):  # what stands first is drawn last, on top
        for polygon in polygons:
            # Pillow would cut decimals off towards zero, which moves what lies left of or above the image into it.
            pen.polygon([math.floor(value) for value in polygon], fill=number)
    return np.array(canvas)


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
        if not page.read(self.root):
            return {}
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
            else:
                self.faults.append(f"{path}: is not listed in {PAGE}; remove it or get the archive anew")
        return labels


# The JSON -----------------------------------------------------------------------------------------------------------


def _refuse_run_lengths(value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError("is a run-length code, where VISION has polygons")
    return value


def _refuse_odd(polygon: list[float]) -> list[float]:
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f"a polygon is x and y of three or more corners, found {len(polygon)} numbers")
    return polygon


_Polygon = Annotated[list[FiniteFloat], AfterValidator(_refuse_odd)]
_Polygons = Annotated[list[_Polygon], Field(min_length=1), BeforeValidator(_refuse_run_lengths)]


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True)
    id: NonNegativeInt


class _Image(_Entry):
    file_name: str
    width: PositiveInt
    height: PositiveInt


class _Category(_Entry):
    name: str


class _Annotation(_Entry):
    image_id: int
    category_id: int
    segmentation: _Polygons


_Kind = TypeVar("_Kind", bound=_Entry)


class _Page:
    """One JSON: the pictures it draws, by file name, and the file names of those that a fault spoils."""

    def __init__(self, path: Path, classes: Sequence[str], faults: list[str]) -> None:
        self.path = path
        self.classes = tuple(classes)
        self.faults = faults
        self.pictures: dict[str, Picture] = {}
        self.refused: set[str] = set()

    def read(self, root: Path) -> bool:
        """Fill ``pictures``; False, and one fault, where the file cannot be read as COCO."""
        try:
            content = self._content(root)
        except UserError as error:
            self.faults.append(str(error))
            return False
        names = self._images(content["images"])
        numbers = self._numbers(content["categories"], content["annotations"])
        for raw, annotation in self._entries("annotation", _Annotation, content["annotations"]):
            name = names.get(_number(raw, "image_id"), "")
            if annotation is None or not self._mark(annotation, name, numbers):
                self._refuse(name)
        return True

    def _content(self, root: Path) -> dict[str, list[Any]]:
        if not self.path.exists():
            raise UserError(f"{self.path}: no such file; it marks the images beside it: unpack the archive anew")
        content = read_json(self.path, root)
        for part in ("images", "categories", "annotations"):
            if not isinstance(content, dict) or not isinstance(content.get(part), list):
                raise UserError(f"{self.path}: has no list of '{part}', as COCO has; get the archive anew")
        return content

    def _entries(self, what: str, kind: type[_Kind], raw: list[Any]) -> Iterator[tuple[Any, _Kind | None]]:
        """Every entry of a list, raw and read; None and a fault where it is malformed or repeats an id."""
        seen = set()
        for place, values in enumerate(raw, 1):
            title = f"{what} {place} of {len(raw)}"
            try:
                entry = kind.model_validate(values)
            except ValidationError as error:
                where, message = error.errors()[0]["loc"], error.errors()[0]["msg"]
                self._fault(f"{title}: {'.'.join(map(str, where))}", message.removeprefix("Value error, "))
                entry = None
            else:
                if entry.id in seen:
                    self._fault(f"{title}: id", f"{entry.id} is given twice")
                    entry = None
            seen.add(_number(values, "id"))
            yield values, entry

    def _images(self, raw: list[Any]) -> dict[int, str]:
        """File names by image id, those of refused images too."""
        names: dict[int, str] = {}
        for values, image in self._entries("image", _Image, raw):
            name = values.get("file_name") if isinstance(values, dict) else None
            number = _number(values, "id")
            if number in names:  # nobody can tell which of the two an annotation means
                self._refuse(names[number])
            if isinstance(name, str):
                names.setdefault(number, name)
                if image is None or not self._place(image):
                    self._refuse(name)
        return names

    def _place(self, image: _Image) -> bool:
        title = f"image {image.file_name!r}"
        if image.file_name in self.pictures or image.file_name in self.refused:
            return self._fault(title, "is listed twice")
        if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
            return self._fault(title, f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels")
        self.pictures[image.file_name] = Picture(image.width, image.height, [])
        return True

    def _numbers(self, categories: list[Any], annotations: list[Any]) -> dict[int, int]:
        """Class ids by category id, 0 where a fault was found.

        A type that the manifest does not have is a fault if something is marked with it.
        """
        used = {_number(raw, "category_id") for raw in annotations}
        numbers: dict[int, int] = {}
        for values, category in self._entries("category", _Category, categories):
            if category is None:
                numbers[_number(values, "id")] = 0
            elif category.name in self.classes:
                numbers[category.id] = self.classes.index(category.name) + 1
            elif category.id in used:
                self.faults.append(f"{self.path}: {unknown('defect type', category.name, self.classes)}")
                numbers[category.id] = 0
        return numbers

    def _mark(self, annotation: _Annotation, name: str, numbers: dict[int, int]) -> bool:
        """Whether the annotation could be added to the picture called ``name``."""
        title = f"annotation {annotation.id} of {name!r}"
        if not name:
            return self._fault(f"annotation {annotation.id}", f"its image {annotation.image_id} is not listed")
        if annotation.category_id not in numbers:
            return self._fault(title, f"its category {annotation.category_id} is not listed")
        number, picture = numbers[annotation.category_id], self.pictures.get(name)
        if picture is None or not number:  # told before
            return False
        for polygon in annotation.segmentation:
            if not (_meets(polygon[::2], picture.width) and _meets(polygon[1::2], picture.height)):
                return self._fault(title, "a polygon lies outside its image")
        picture.marks.append((number, annotation.segmentation))
        return True

    def _refuse(self, name: str) -> None:
        self.refused.add(name)
        self.pictures.pop(name, None)

    def _fault(self, title: str, reason: str) -> bool:
        self.faults.append(f"{self.path}: {title}: {reason}; mend it or get the archive anew")
        return False


def _meets(values: list[float], size: int) -> bool:
    """Whether corners at ``values`` can mark pixels 0..size-1, and none lies further out than the image is long."""
    low, high = min(values), max(values)
    return -size <= low < size and 0 <= high <= 2 * size


def _number(values: Any, name: str) -> int:
    """The whole number called ``name`` in an entry of the JSON; -1, which no id is, where there is none."""
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, int) and value >= 0 else -1
