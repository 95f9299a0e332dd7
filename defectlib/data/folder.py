"""The one dataset layout on disk: listed without opening an image, read pair by pair, written by one rename.

Layout below the root; everything made here and users' own data have it::

    images/KEY.{png,jpg,jpeg,bmp,tif,tiff}   8-bit gray or RGB
    masks/KEY.png      8-bit, one channel: 0 is background, k is class k; all zero where there is no defect
    classes.json       {"1": "scratch", "2": "stain", ...}: ids 1..K without gaps, distinct names
    captions.csv       optional; columns key, caption
    groups.json        optional; {KEY: group}: images that must stay on one side of a split (shots of one part)
    splits/*.json      optional; see `defectlib.data.split`
    provenance.json    optional; how the folder came to be; its "product" names what is shown

Links are followed, and what other programs leave behind (hidden files, Thumbs.db, @eaDir) is passed over. The index
comes first, pixels second: images and masks are joined on the key, one to one.
"""

from __future__ import annotations

import csv
import errno
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from defectlib.data.listing import IMAGE_SUFFIXES, alike, key_fault, list_files, single
from defectlib.data.mapped import mapped
from defectlib.data.pixels import MAX_CLASSES, read_image, read_mask, size_fault, threaded
from defectlib.data.sample import Sample
from defectlib.errors import UserError, UserErrors, shown
from defectlib.reading import read_json, read_text, repeated
from defectlib.store import whole_folder

#: What 0 means in a mask.
BACKGROUND = "background"
_LONGEST_NAME = 200  # letters


# The index ----------------------------------------------------------------------------------------------------------


@dataclass
class Listing:
    """What stands in a dataset folder, found without opening an image, and what is wrong with it.

    Attributes:
        root: The folder.
        images: Paths by key; more than one is a fault, and none where the file is refused (which is a fault as well).
        masks: Likewise.
        groups: Group of every key of ``images``; the key itself where no group is given.
        captions: Captions by key, where there are any.
        product: What the images show; the folder's name where provenance.json does not say.
        faults: One line each.
    """

    root: Path
    images: dict[str, list[Path]] = field(default_factory=dict)
    masks: dict[str, list[Path]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    product: str = ""
    faults: list[str] = field(default_factory=list)


def scan(root: Path) -> Listing:
    """List ``root`` whole; faults are collected, not raised.

    Raises:
        UserError: There is no such folder.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; name one that holds images/, masks/ and classes.json")
    found = Listing(root)
    found.images = list_files(root, "images", IMAGE_SUFFIXES, found.faults)
    found.masks = list_files(root, "masks", (".png",), found.faults)
    _join(found)
    found.groups = {key: key for key in found.images} | _collect(found, read_groups)
    found.captions = _collect(found, _read_captions)
    found.product = _collect(found, _read_product).get("product", root.absolute().name)
    for name, keys in (("groups.json", found.groups), ("captions.csv", found.captions)):
        found.faults += [
            f"{root / name}: '{key}' names no image; remove the entry or add images/{key}.png"
            for key in keys
            if key not in found.images
        ]
    return found


def index(root: Path) -> pd.DataFrame:
    """The table of a dataset folder, one row per image, sorted by key; no image is opened.

    Columns: ``key``; ``image`` and ``mask``, paths; ``group``, the key itself where none is given; ``caption``,
    empty where there is none; ``product``. All are strings.

    Raises:
        UserErrors: Files are missing, are there twice or do not belong; all such faults are listed.
    """
    found = scan(Path(root))
    if found.faults:
        raise UserErrors(f"{root}: faults in the dataset folder ({len(found.faults)}):", found.faults)
    keys = sorted(found.images)
    columns = {
        "key": keys,
        "image": [str(found.images[key][0]) for key in keys],
        "mask": [str(found.masks[key][0]) for key in keys],
        "group": [found.groups[key] for key in keys],
        "caption": [found.captions.get(key, "") for key in keys],
        "product": [found.product] * len(keys),
    }
    return pd.DataFrame(columns, dtype="str")


def read_sample(row: Any, classes: tuple[str, ...]) -> Sample:
    """The pair that a row of :func:`index` describes (as ``index.itertuples()`` gives it).

    Raises:
        UserError: A file cannot be read (see :mod:`defectlib.data.pixels`); or the two differ in size.
    """
    image, mask = read_image(Path(row.image)), read_mask(Path(row.mask), len(classes))
    if fault := size_fault(Path(row.mask), image, mask):
        raise UserError(fault)
    return Sample(row.key, image, mask, classes, row.product, row.caption, source=row.image)


def read_dataset(root: Path) -> tuple[Sample, ...]:
    """Every pair of a dataset folder, in key order.

    Raises:
        UserError: See :func:`index`, :func:`read_classes` and :func:`read_sample`.
    """
    classes = read_classes(root)
    return read_samples(index(root), classes)


def read_samples(rows: pd.DataFrame, classes: tuple[str, ...]) -> tuple[Sample, ...]:
    """The pairs of some rows of :func:`index`, decoded once, on all cores, with pixels that are :func:`mapped`.

    Raises:
        UserError: See :func:`read_sample`.
    """
    listed = list(rows.itertuples())
    decoded = threaded(lambda row: read_sample(row, classes), listed, "reading")
    pixels = iter(mapped(array for sample in decoded for array in (sample.image, sample.mask)))
    return tuple(
        Sample(row.key, next(pixels), next(pixels), classes, row.product, row.caption, source=row.image)
        for row in listed
    )


def _join(found: Listing) -> None:
    if not any(found.images.values()) and (found.root / "images").is_dir():
        found.faults.append(f"{found.root / 'images'}: holds no image that can be used; add some")
    for files in (found.images, found.masks):
        single(files, found.faults)
    how = "differ in case, or in how an accent is written, alone; rename one"
    found.faults += [f"{found.root / 'images'}: keys '{first}' and '{key}' {how}" for first, key in alike(found.images)]
    has_masks = (found.root / "masks").is_dir()  # one line, not one per image, says that it is missing
    for key, paths in found.images.items():
        if paths and has_masks and key not in found.masks:
            where = found.root / "masks" / f"{key}.png"
            found.faults.append(f"{paths[0]}: has no mask; add {where} (all zero if there is no defect)")
    for key, paths in found.masks.items():
        if paths and key not in found.images:
            found.faults.append(f"{paths[0]}: has no image; add one named '{key}' to images/ or remove the mask")


# Files beside the images --------------------------------------------------------------------------------------------


def read_classes(root: Path) -> tuple[str, ...]:
    """Names of the K defect types by id from 1, from ``classes.json``.

    Raises:
        UserError: The file is missing or not valid; the line says which entry is wrong.
    """
    path = Path(root) / "classes.json"
    if not path.exists():
        raise UserError(f'{path}: no such file; write {{"1": "name of the first defect type", ...}}')
    named = _string_table(path)
    ids = [str(number) for number in range(1, len(named) + 1)]
    if not named or len(named) > MAX_CLASSES:
        raise UserError(f"{path}: names {len(named)} classes; 1 to {MAX_CLASSES} are possible")
    if wrong := sorted(set(named) - set(ids)):
        raise UserError(
            f"{path}: id {shown(wrong[0])} breaks the row; {len(named)} classes have the ids 1..{len(named)}"
        )
    names = tuple(named[number] for number in ids)
    if len(set(names)) < len(names):
        raise UserError(f"{path}: the name '{repeated(names)}' is given twice; every class needs a name of its own")
    if BACKGROUND in names:
        raise UserError(f"{path}: '{BACKGROUND}' is what 0 means in every mask; give defect types other names")
    return names


def read_groups(root: Path) -> dict[str, str]:
    """Groups by key from ``groups.json``; empty where there is no such file.

    Raises:
        UserError: The file is not a JSON object of non-empty strings.
    """
    path = Path(root) / "groups.json"
    return _string_table(path) if _is_there(path) else {}


def _string_table(path: Path) -> dict[str, str]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: must be a JSON object of names, found {type(values).__name__}")
    for key, value in values.items():
        fault = name_fault(value) if isinstance(value, str) else f"is {type(value).__name__}"
        if fault:
            wanted = f"must be a non-empty string, found {shown(value)}, which {fault}"
            raise UserError(f"{path}: the value of {shown(key)} {wanted}; write a name")
    return values


def _collect(found: Listing, read: Callable[[Path], dict[str, str]]) -> dict[str, str]:
    try:
        return read(found.root)
    except UserError as error:
        found.faults.append(str(error))
        return {}


def _read_captions(root: Path) -> dict[str, str]:
    path = root / "captions.csv"
    if not _is_there(path):
        return {}
    text = read_text(path, "CSV in UTF-8", "mend or remove it")
    try:
        if "\0" in text:
            raise csv.Error("it holds a zero byte")
        header, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read as CSV in UTF-8 ({error}); mend or remove it") from error
    if header != ["key", "caption"] or any(len(row) != 2 for row in rows):
        raise UserError(f"{path}: must have the header 'key,caption' and two values in every row")
    captions = dict(rows)
    if len(captions) < len(rows):
        raise UserError(f"{path}: '{repeated(key for key, _ in rows)}' has two captions; keep one")
    return captions


def _read_product(root: Path) -> dict[str, str]:
    path = root / "provenance.json"
    if not _is_there(path):
        return {}
    record = read_json(path)
    product = record.get("product") if isinstance(record, dict) else None
    return {"product": product} if isinstance(product, str) and name_fault(product) is None else {}


def _is_there(path: Path) -> bool:
    """Whether something has that name; a link that leads nowhere has it too, and is no file that was left out."""
    return path.exists() or path.is_symlink()


def name_fault(name: str) -> str | None:
    """Why ``name`` cannot name a class, a group or a product, or None."""
    if not name.strip():
        return "is empty"
    if len(name) > _LONGEST_NAME:
        return f"is longer than {_LONGEST_NAME} letters"
    return None if name.isprintable() else "holds a letter that does not print"


# Writing ------------------------------------------------------------------------------------------------------------


def write_dataset(
    root: Path,
    samples: Iterable[Sample],
    *,
    provenance: Mapping[str, Any] | None = None,
    beside: Mapping[str, Any] | None = None,
) -> None:
    """Write ``samples`` as a dataset folder that appears whole or not at all; one sample is held at a time.

    Args:
        root: The folder.
        samples: Of one product.
        provenance: JSON values kept in provenance.json, beside the product.
        beside: JSON files by their path in the folder, such as ``splits/default.json``.

    Raises:
        UserError: ``root`` is there and not empty, or cannot be written.
        ValueError: There are no samples, two have one key, or they differ in classes or product.
    """
    try:
        with whole_folder(Path(root)) as work:
            for folder in ("images", "masks"):
                (work / folder).mkdir()
            _write_into(work, samples, provenance or {})
            for name, values in (beside or {}).items():
                (work / name).parent.mkdir(exist_ok=True)
                _write_json(work / name, values)
    except OSError as error:
        if error.errno == errno.ENOSPC:  # another folder on the same disk would not help
            raise
        raise UserError(f"{root}: cannot be written ({error.strerror or error}); name a folder you own") from error


def _write_into(work: Path, samples: Iterable[Sample], provenance: Mapping[str, Any]) -> None:
    first: Sample | None = None
    captions = work / "captions.csv"
    with captions.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["key", "caption"])
        for sample in samples:
            first = first or sample
            _write_pair(work, sample, first)
            if sample.caption:
                table.writerow([sample.key, sample.caption])
    if first is None:
        raise ValueError("no samples to write")
    _write_json(work / "classes.json", {str(number): name for number, name in enumerate(first.classes, 1)})
    _write_json(work / "provenance.json", {**provenance, "product": first.product})


def _write_pair(work: Path, sample: Sample, first: Sample) -> None:
    if fault := key_fault(sample.key):
        raise ValueError(f"key {sample.key!r} {fault}")
    if (sample.classes, sample.product) != (first.classes, first.product):
        raise ValueError(f"{sample.key}: classes or product differ from those of {first.key}")
    image, mask = (work / folder / f"{sample.key}.png" for folder in ("images", "masks"))
    if image.exists():
        raise ValueError(f"two samples have the key '{sample.key}'")
    Image.fromarray(sample.image).save(image)
    Image.fromarray(sample.mask).save(mask)


def _write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
