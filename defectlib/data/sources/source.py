"""The contract of a published dataset: an index table made without opening an image, and a reader of its pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from defectlib.data.listing import list_folders
from defectlib.data.pixels import image_size, read_binary, read_image, size_fault
from defectlib.data.sample import Sample
from defectlib.data.sources.manifest import Manifest, read_manifest
from defectlib.errors import UserError, UserErrors, unknown

#: The label of an image that its publishers call free of defects.
GOOD = "good"
#: The label of an image about which its publishers say nothing.
UNLABELLED = "unlabelled"
#: The split of pairs that a generator made and the publishers ship beside the real ones.
SYNTHETIC = "synthetic"

_MODULES = {
    "defect_spectrum": "DefectSpectrum",
    "mvtec_ad": "MVTecAD",
    "vision": "Vision",
    "dagm": "DAGM2007",
    "cotton": "CottonFabric",
    "aitex": "AITEX",
    "aebad": "AeBAD",
    "btad": "BeanTech",
    "kolektor": "KolektorSDD2",
}


class Row(NamedTuple):
    """One image of a dataset: a row of :attr:`Source.table`.

    Attributes:
        product: What it shows.
        split: The side on which its publishers put it (such as train, test, val); empty where they divide nothing.
        key: Names it among the images of its product, and can name a file.
        image: Path.
        mask: Path of the file that holds the annotation (the first, if there are several); empty where there is none.
        label: What the layout says of the image, a folder's or a code's name: :data:`GOOD`, :data:`UNLABELLED`, a
            defect type, or empty where only the mask tells.
        group: Images of one group must stay on one side of a split; the key itself where none is known.
        caption: A sentence on the image; empty where there is none.
    """

    product: str
    split: str
    key: str
    image: str
    mask: str
    label: str
    group: str
    caption: str = ""


class Source(ABC):
    """A published dataset in a folder, listed whole when it is opened; no image is opened for that.

    A subclass lists its layout in :meth:`_rows`, adding a line to ``faults`` for everything that does not fit, and
    says in :meth:`read_mask` how an annotation becomes an index mask. Products that are absent are no fault: people
    keep the part that they need.

    Attributes:
        root: The folder.
        manifest: What the dataset should hold.
        classes: Names of the defect types of each product present, by id from 1.
        faults: What does not fit the layout, one line each.
        notes: What the publishers' copy is known to have wrong and this loader leaves out, one line each.
        table: One row per image, with the columns of :class:`Row`, sorted by product, split and key.

    Args:
        root: The folder that holds the dataset as its publishers lay it out.

    Raises:
        UserError: There is no such folder, or it holds no product of the dataset.
    """

    NAME: ClassVar[str]

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.manifest: Manifest = read_manifest(self.NAME)
        if not self.root.is_dir():
            raise UserError(f"{root}: no such folder; {self.manifest.get}")
        self.classes = {name: tuple(product.classes) for name, product in self.manifest.products.items()}
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.table = self._table()
        if self.table.empty and not self.faults:
            raise UserError(f"{root}: holds no image where {self.manifest.title} has them; {self.manifest.get}")
        self.classes = {name: self.classes[name] for name in self.table["product"].unique()}

    @abstractmethod
    def _rows(self) -> Iterator[Row]:
        """Every image that can be used, in any order."""

    def read_mask(self, row: Row) -> np.ndarray:
        """The index mask, uint8 (H, W), of a row that names a mask file; here, white is the type that its label says.

        Raises:
            UserError: The file is damaged or not what the layout promises.
        """
        number = self.classes[row.product].index(row.label) + 1
        return read_binary(Path(row.mask)).astype(np.uint8) * np.uint8(number)

    def mask(self, row: Row) -> np.ndarray:
        """The index mask, uint8 (H, W), of a row of the table (as ``table.itertuples()`` gives it).

        Raises:
            UserError: The file is damaged or not what the layout promises, or the image has no annotation.
        """
        if row.mask:
            return self.read_mask(row)
        if row.label == GOOD:
            return np.zeros(image_size(Path(row.image)), np.uint8)
        raise UserError(f"{row.image}: has no annotation; choose rows whose label is not '{UNLABELLED}'")

    def sample(self, row: Row) -> Sample:
        """The pair of a row of the table.

        Raises:
            UserError: A file is damaged or not what the layout promises, the two differ in size, or there is no mask.
        """
        image = read_image(Path(row.image))
        free = not row.mask and row.label == GOOD
        mask = np.zeros(image.shape[:2], np.uint8) if free else self.mask(row)
        if fault := self.size_fault(row, image, mask):
            raise UserError(fault)
        return Sample(row.key, image, mask, self.classes[row.product], row.product, row.caption, source=row.image)

    def files(self, row: Row) -> list[str]:
        """The paths of the files that a pair is read from."""
        return [path for path in (row.image, row.mask) if path]

    def size_fault(self, row: Row, image: np.ndarray, mask: np.ndarray) -> str | None:
        """The line that says that the mask of a row has not the size of its image, or None."""
        return size_fault(Path(row.mask or row.image), image, mask)

    def check(self) -> None:
        """Pass where the layout is whole.

        Raises:
            UserErrors: It is not; all faults are listed.
        """
        if self.faults:
            raise UserErrors(f"{self.root}: faults in the layout ({len(self.faults)}):", self.faults)

    def products(self) -> Iterator[str]:
        """The products of the manifest whose folder stands in the root; a folder of another name is a fault."""
        return self.known_folders("", "product", tuple(self.manifest.products))

    def known_folders(self, folder: str, what: str, known: tuple[str, ...]) -> Iterator[str]:
        """The folders in ``folder`` that are among ``known``; any other is a fault that offers the nearest name."""
        for name in list_folders(self.root, folder, self.faults):
            if name in known:
                yield name
            else:
                self.unlisted(what, name, known, self.root / folder / name)

    def masks_alone(self, folder: str, labels: Collection[str]) -> None:
        """Add a fault for every folder of masks in ``folder`` other than those of ``labels``, whose images are here."""
        if (self.root / folder).is_dir():
            for name in list_folders(self.root, folder, self.faults):
                if name not in labels:
                    path = self.root / folder / name
                    self.faults.append(f"{path}: these masks have no images; get those anew or remove the folder")

    def join(self, images: dict[str, Path], masks: dict[str, Path], suffix: str) -> dict[str, Path]:
        """Masks by the key of their image, which ``suffix`` follows in their name; one without the other is a fault."""
        joined = {}
        for stem, path in masks.items():
            key = stem.removesuffix(suffix)
            if not stem.endswith(suffix):
                self.faults.append(f"{path}: a mask's name ends in '{suffix}'; rename or remove it")
            elif key not in images:
                self.faults.append(f"{path}: has no image; add '{key}' or remove the mask")
            else:
                joined[key] = path
        missing = sorted(images.keys() - joined.keys())
        self.faults += [f"{images[key]}: has no mask; get the file anew" for key in missing]
        return joined

    def unlisted(self, what: str, name: str, known: tuple[str, ...], path: Path | str) -> None:
        """Add a fault for a product or type that the manifest does not have; it offers the nearest."""
        self.faults.append(f"{path}: {unknown(what, name, known)}")

    def _table(self) -> pd.DataFrame:
        table = pd.DataFrame(self._rows(), columns=Row._fields, dtype="str")
        return table.sort_values(["product", "split", "key"], kind="stable", ignore_index=True)


def open_source(name: str, root: Path) -> Source:
    """The dataset called ``name`` that lies in ``root``.

    Raises:
        UserError: There is no such dataset or folder, or it lies in a folder of that folder.
    """
    title, root = read_manifest(name).title, Path(root)
    kind = getattr(import_module(f"defectlib.data.sources.{name}"), _MODULES[name])
    if source := _opened(kind, root):
        return source
    for folder in sorted(root.glob("*/")):
        if _opened(kind, folder):
            raise UserError(f"{root}: {title} lies one level down; give {folder} as --root, or move its content up")
    return kind(root)


def _opened(kind: type[Source], root: Path) -> Source | None:
    """The dataset in ``root``; None where no image of it is there."""
    try:
        source = kind(root)
    except (UserError, OSError):
        return None
    return None if source.table.empty else source


def rows(source: Source, **wanted: Any) -> list[Row]:
    """The rows of ``source`` whose columns have the values ``wanted``, such as ``product="screw"``."""
    table = source.table
    for column, value in wanted.items():
        table = table[table[column] == value]
    return list(table.itertuples(index=False, name="Row"))
