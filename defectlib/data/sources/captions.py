"""The caption table of Defect Spectrum, ``DS-MVTec/captions.xlsx``: read without trusting the workbook.

One sheet with the columns ``Path``, ``object description`` and ``defect description``, one row per image; a path is
``PRODUCT/FOLDER/NAME.png``. For capsule, hazelnut, metal_nut and wood the table calls images by an older numbering
(``wood/hole/04071_00694_003.png``) where the folders have the names of MVTec AD (``wood/hole/003.png``): what follows
the last underscore is the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set
from itertools import islice
from pathlib import Path
from zipfile import ZipFile

from openpyxl import load_workbook

from defectlib.errors import UserError, unknown

COLUMNS = ("Path", "object description", "defect description")

# The published table has 1,226 rows and under half a megabyte of text; a workbook is an archive, and one of this size
# can unpack to a thousand times as much.
_MOST_BYTES = 16 * 2**20
_MOST_ROWS = 20_000


def read_captions(path: Path, known: Set[str], faults: list[str]) -> dict[str, dict[str, str]]:
    """Captions, object before defects, by product and by ``FOLDER/KEY`` as the table calls them.

    Args:
        path: The workbook.
        known: Names of the products.
        faults: Takes one line for everything that is wrong.
    """
    try:
        header, *rows = _rows(path) or [()]
    except UserError as error:
        faults.append(str(error))
        return {}
    if header != COLUMNS:
        faults.append(f"{path}: its first row is not '{', '.join(COLUMNS)}'; get the file anew")
        return {}
    captions: dict[str, dict[str, str]] = defaultdict(dict)
    for number, cells in enumerate(rows, 2):
        if not any(cells):
            continue
        texts = [cell or "" for cell in cells]  # a description may be left out, the path may not
        if not texts[0] or not all(isinstance(text, str) for text in texts):
            faults.append(f"{path}: row {number} is not a path and two texts; mend the row or get the file anew")
            continue
        product, _, name = texts[0].strip().rpartition(".")[0].partition("/")
        if product not in known:
            faults.append(f"{path}: row {number}: {unknown('product', product, known)}")
        elif name in captions[product]:
            faults.append(f"{path}: row {number}: '{texts[0]}' has a caption already; keep one")
        else:
            captions[product][name] = " ".join(" ".join(texts[1:]).split())
    return captions


def match_captions(listed: Mapping[str, str], names: Set[str], where: Path, faults: list[str]) -> dict[str, str]:
    """Captions by the names of a product's images, ``FOLDER/KEY``, from one product of :func:`read_captions`.

    An image without caption is no fault; a caption without image adds a line to ``faults`` that names the folder
    ``where``, and so does a second caption of one image.
    """
    captions: dict[str, str] = {}
    for name, caption in listed.items():
        folder, _, key = name.rpartition("/")
        found = name if name in names else f"{folder}/{key.rpartition('_')[2]}"
        if found not in names:
            faults.append(f"{where}: has no image '{name}', which captions.xlsx describes; get the image anew")
        elif captions.setdefault(found, caption) is not caption:
            faults.append(f"{where}: image '{found}' has two captions in captions.xlsx; keep one")
    return captions


def _rows(path: Path) -> list[tuple]:
    """The first three cells of every row of the first sheet.

    Raises:
        UserError: The file is no intact workbook, or it is absurdly large.
    """
    try:
        if not path.is_file():
            raise OSError("it is no plain file")
        with path.open("rb") as file:
            if (size := sum(member.file_size for member in ZipFile(file).infolist())) > _MOST_BYTES:
                raise UserError(f"{path}: unpacks to {size:,} bytes, more than {_MOST_BYTES:,}; get the file anew")
            sheet = load_workbook(file, read_only=True, data_only=True, keep_links=False).worksheets[0]
            sheet.reset_dimensions()  # what the file claims of its size is not what it holds
            rows = list(islice(sheet.iter_rows(max_col=len(COLUMNS), values_only=True), _MOST_ROWS + 1))
    except UserError:
        raise
    # Broken archives and broken XML in them raise almost anything (BadZipFile, KeyError, ParseError, struct.error...).
    except Exception as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise UserError(f"{path}: cannot be read as a workbook ({reason}); get the file anew") from error
    if len(rows) > _MOST_ROWS:
        raise UserError(f"{path}: has more than {_MOST_ROWS:,} rows; get the file anew")
    return rows
