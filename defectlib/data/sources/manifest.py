"""What a published dataset should hold, and where it comes from: known without having it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from defectlib.errors import unknown
from defectlib.runtime import data_home
from defectlib.settings import PublishedData, parse

_FOLDER = Path(__file__).with_name("manifests")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Product(_Record):
    """One product of a dataset.

    Attributes:
        classes: Images that show each defect type; None where no source states the number. The order is that of the
            class ids, from 1.
        good: Defect-free images; None where no source states the number.
        defective: Defective images; None where no source states the number.
    """

    classes: dict[str, int | None]
    good: int | None = None
    defective: int | None = None


class Manifest(_Record):
    """A dataset by what is publicly stated of it; the numbers are the publishers' and never this project's counts.

    Attributes:
        name: As the command line spells it.
        title: As its authors spell it.
        row: Name of its row in Table 1 of the paper; None where it has none.
        citation: The paper that introduced it.
        licence: Of the images, in a few words.
        page: Where it is published.
        get: How to get it and how it must lie, in one or two sentences.
        annotation: Masks are exact outlines, weak regions around a defect, or absent.
        defective: Defective images that the publishers state; None where they state none.
        images: Images that the publishers state; None where they state none.
        products: What it shows, by name.
        sources: Where these facts come from, one line each.
        divided: Whether the publishers put defective images on a side that trains and on another.
        differs: Why the paper's row differs from what the publishers state; empty where it does not.
    """

    name: str
    title: str
    row: str | None
    citation: str
    licence: str
    page: str
    get: str
    annotation: Literal["exact", "weak", "none"]
    defective: int | None
    images: int | None
    products: dict[str, Product]
    sources: tuple[str, ...]
    divided: bool = False
    differs: str = ""


@cache
def read_manifest(name: str) -> Manifest:
    """The manifest of the dataset called ``name``.

    Raises:
        UserError: There is no such dataset; the error offers the nearest.
    """
    if name not in names():
        raise unknown("dataset", name, names())
    return Manifest.model_validate_json((_FOLDER / f"{name}.json").read_bytes())


@cache
def names() -> tuple[str, ...]:
    """Every published dataset that has a loader, the paper's own first."""
    found = sorted(path.stem for path in _FOLDER.glob("*.json"))
    return tuple(sorted(found, key=lambda name: name != "defect_spectrum"))


def published_data(dataset: str, product: str, *, size: int, shots: int) -> PublishedData:
    """Settings for a product of a published dataset, from its manifest: the data need not be here.

    Raises:
        UserError: There is no such dataset or product; the error offers the nearest.
    """
    products = read_manifest(dataset).products
    if product not in products:
        raise unknown(f"product of {dataset}", product, products)
    values = {"dataset": dataset, "product": product, "classes": tuple(products[product].classes)}
    root = data_home() / dataset
    if root.is_dir():
        from defectlib.data.published import files_here  # loads pandas

        values["files"] = files_here(dataset, root, product)
    return parse(PublishedData, {**values, "size": size, "shots": shots})
