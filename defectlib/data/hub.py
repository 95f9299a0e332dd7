"""Synthetic pairs in the layout of Defect Spectrum's page, where its own synthetic sets lie; nothing is opened.

Below the root, as :mod:`defectlib.data.sources.defect_spectrum` reads it::

    synthetic_Procedural/synthetic_Procedural.md    class ids of every product, to be read by people
    synthetic_Procedural/captions.xlsx              Path, object description, defect description
    synthetic_Procedural/PRODUCT/classes.json       the same ids, to be read by programs
    synthetic_Procedural/PRODUCT/provenance.json    how the pairs came to be
    synthetic_Procedural/PRODUCT/images/samples_image_ROUND_I_0.png
    synthetic_Procedural/PRODUCT/masks/samples_mask_ROUND_I_0.png                  coloured, to be looked at
    synthetic_Procedural/PRODUCT/masks_converted_dir/samples_converted_mask_ROUND_I_0.png     8-bit, class ids

The page's own subsets keep labels and captions in the same places (``DS-MVTec/DS-MVTec.md``, ``captions.xlsx``); its
synthetic sets have neither. Names follow the released sampler: rounds of four, on process 0. Colours follow the palette
of the released code, so that here, other than there, they are labels too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from openpyxl import Workbook
from PIL import Image

from defectlib.data.sample import Sample
from defectlib.data.sources.captions import COLUMNS
from defectlib.data.sources.defect_spectrum import RELEASE
from defectlib.data.words import with_article

#: Colours of class ids 0 to 10 in the released code.
PALETTE = (
    *((0, 0, 0), (0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 255, 255), (255, 0, 255), (255, 255, 0)),
    *((128, 0, 0), (0, 128, 0), (0, 0, 128), (128, 128, 128)),
)
_ROUND = 4
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_hub(root: Path, sets: Mapping[str, tuple[Iterable[Sample], Mapping[str, Any]]]) -> None:
    """Write sets of pairs below ``root``, which is made; one pair is held at a time.

    Args:
        root: What the page of a dataset shows as its top folder.
        sets: Pairs, and how they came to be, by product; of at most 10 defect types each.
    """
    subset = root / RELEASE
    captions, classes = [], {}
    for product, (samples, provenance) in sets.items():
        folder = subset / product
        for name in ("images", "masks", "masks_converted_dir"):
            (folder / name).mkdir(parents=True)
        for number, sample in enumerate(samples):
            captions.append(_write_pair(folder, number, sample))
            classes[product] = sample.classes
        named = {str(number): name for number, name in enumerate(classes[product], 1)}
        _write_json(folder / "classes.json", named)
        _write_json(folder / "provenance.json", provenance)
    (subset / f"{RELEASE}.md").write_text(_labels(classes), encoding="utf-8")
    (subset / "captions.xlsx").write_bytes(_workbook([COLUMNS, *captions]))


def _write_pair(folder: Path, number: int, sample: Sample) -> tuple[str, str, str]:
    """Write one pair; its row of the caption table."""
    name = f"{number // _ROUND:06}_{number % _ROUND}_0.png"
    image = folder / "images" / f"samples_image_{name}"
    Image.fromarray(sample.image).save(image)
    Image.fromarray(np.array(PALETTE, np.uint8)[sample.mask]).save(folder / "masks" / f"samples_mask_{name}")
    Image.fromarray(sample.mask).save(folder / "masks_converted_dir" / f"samples_converted_mask_{name}")
    shown = f"In the image is {with_article(f'generated {sample.product}')}.".replace("_", " ")
    return image.relative_to(folder.parent).as_posix(), shown, sample.caption


def _labels(classes: Mapping[str, tuple[str, ...]]) -> str:
    parts = (
        [f"## {product}", "", "| id | type |", "| --- | --- |", "| 0 | background |"]
        + [f"| {number} | {name} |" for number, name in enumerate(names, 1)]
        for product, names in classes.items()
    )
    return "\n\n".join(["# Class ids", *("\n".join(part) for part in parts)]) + "\n"


def _workbook(rows: Iterable[tuple[str, ...]]) -> bytes:
    """An xlsx file of one sheet; the same rows give the same bytes, so the times in it are none."""
    workbook, written, fixed = Workbook(), BytesIO(), BytesIO()
    for row in rows:
        workbook.active.append(row)
    workbook.save(written)
    with ZipFile(written) as source, ZipFile(fixed, "w", ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"1980-01-01T00:00:00Z", content)
            target.writestr(ZipInfo(name, _EPOCH), content, ZIP_DEFLATED)
    return fixed.getvalue()


def _write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
