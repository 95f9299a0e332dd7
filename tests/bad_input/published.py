"""Published datasets in their true layouts, made wrong: files, names, COCO pages and the workbook of captions."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from tests.bad_input.case import bad
from tests.bad_input.things import once, png, save
from tests.data.sources.mini_aebad import write_aebad
from tests.data.sources.mini_aitex import write_aitex
from tests.data.sources.mini_btad import write_btad
from tests.data.sources.mini_cotton import write_cotton
from tests.data.sources.mini_dagm import write_dagm
from tests.data.sources.mini_defect_spectrum import write_captions, write_defect_spectrum
from tests.data.sources.mini_kolektor import write_kolektor
from tests.data.sources.mini_mvtec_ad import write_mvtec_ad
from tests.data.sources.mini_vision import PAGE, box, coco, write_vision

WRITERS = {
    "aebad": write_aebad,
    "aitex": write_aitex,
    "btad": write_btad,
    "cotton": write_cotton,
    "dagm": write_dagm,
    "defect_spectrum": write_defect_spectrum,
    "kolektor": write_kolektor,
    "mvtec_ad": write_mvtec_ad,
    "vision": write_vision,
}
#: Products that are enough: the others of a dataset are left out of its copies.
KEPT = {"mvtec_ad": ("screw",), "vision": ("Casting",), "dagm": ("Class1",), "btad": ("01",)}


def small(name: str) -> Callable[[Path], Path]:
    """A writer of copies of a dataset in small."""

    def write(root: Path) -> None:
        WRITERS[name](root)
        for product in root.iterdir():
            if name in KEPT and product.is_dir() and product.name not in KEPT[name]:
                shutil.rmtree(product)
        if name == "defect_spectrum":
            for subset in root.iterdir():
                if subset.is_dir() and subset.name != "DS-MVTec":
                    shutil.rmtree(subset)

    return once(write)


COPY = {name: small(name) for name in WRITERS}


def spoiled(
    dataset: str, name: str, says: str, spoil: Callable[[Path], object], entry: str = "published layouts"
) -> None:
    """A published dataset in which ``spoil`` breaks something; ``data verify`` lists it."""

    def make(place: Path) -> list[str]:
        spoil(COPY[dataset](place / "data" / dataset))
        return ["data", "verify", dataset]

    bad(entry, f"{dataset}, {name}", says, make, several=True)


def first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


def changed(pattern: str, change: Callable[[Path], object]) -> Callable[[Path], object]:
    """Change the first file that fits; one that is written anew loses what it was."""
    return lambda root: change(first(root, pattern))


def renamed(pattern: str, name: str) -> Callable[[Path], object]:
    return changed(pattern, lambda path: path.rename(path.with_name(name)))


def coloured(path: Path) -> None:
    picture = Image.new("RGB", (24, 20))
    picture.putpixel((3, 3), (255, 0, 0))
    picture.save(path, "PNG")


def relinked(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to("nowhere")


# Layouts ------------------------------------------------------------------------------------------------------------

IMAGES = {  # an image that has a mask, and its mask
    "aebad": ("AeBAD_S/test/groove/*/*.png", "AeBAD_S/ground_truth/groove/*/*.png"),
    "aitex": ("Defect_images/**/*_00.png", "Mask_images/**/*_00_mask.png"),
    "btad": ("01/test/ko/*.bmp", "01/ground_truth/ko/*.png"),
    "defect_spectrum": ("DS-MVTec/cable/image/bent_wire/*.png", "DS-MVTec/cable/mask/bent_wire/*.png"),
    "dagm": ("Class1/Train/*.PNG", "Class1/Train/Label/*.PNG"),
    "kolektor": ("train/10000.png", "train/10000_GT.png"),
    "mvtec_ad": ("screw/test/scratch_head/*.png", "screw/ground_truth/scratch_head/*.png"),
}
for _dataset, (_image, _mask) in IMAGES.items():
    spoiled(_dataset, "a lost image", "has no image|is not in the folder", changed(_image, Path.unlink))
    spoiled(_dataset, "a lost mask", "has no mask|calls", changed(_mask, Path.unlink))
_image, _mask = IMAGES["mvtec_ad"]
for _name, _says, _file, _change in (
    ("a mask of another size", "draw the mask at the image's size", _mask, lambda path: save(path, "L", "PNG", (5, 5))),
    ("a mask in colour", "is a colour image", _mask, coloured),
    ("an image cut short", "damaged", _image, lambda path: path.write_bytes(path.read_bytes()[:60])),
    ("an image bomb", "more than 89,478,485 pixels", _image, lambda path: path.write_bytes(png(100_000, 100_000))),
):
    spoiled("mvtec_ad", _name, _says, changed(_file, _change))
spoiled("mvtec_ad", "an unknown type", "did you mean 'scratch_head'", renamed("screw/test/scratch_head", "scratch_hed"))
spoiled(
    "mvtec_ad", "masks under another name", "a mask's name ends in '_mask'", renamed(IMAGES["mvtec_ad"][1], "a.png")
)
spoiled("mvtec_ad", "no folder of good images", "good|no such folder", changed("screw/test", shutil.rmtree))
spoiled(
    "mvtec_ad",
    "an image beside the folders",
    "is an image beside the folders",
    changed("screw/test", lambda path: save(path / "x.png", "RGB", "PNG")),
)
spoiled("mvtec_ad", "a folder that is a link to nothing", "link to nothing", changed("screw/test/thread_top", relinked))
spoiled("defect_spectrum", "an unknown subset", "unknown subset", renamed("DS-MVTec", "DS-MVTek"))
spoiled("defect_spectrum", "an unknown product", "unknown product", renamed("DS-MVTec/cable", "kable"))
spoiled(
    "defect_spectrum",
    "a class id that no class has",
    "value 200 has no class",
    changed(IMAGES["defect_spectrum"][1], lambda path: Image.new("L", (24, 20), 200).save(path)),
)
spoiled(
    "dagm",
    "no list of labels",
    "says which images are defective",
    changed("Class1/Train/Label/Labels.txt", Path.unlink),
)
for _name, _text in {
    "binary": b"\xff\x00\xfe",
    "words": b"1\nhello world\n",
    "a path": b"1\n1\t1\t../../x.PNG\t1\ty.PNG\n",
}.items():
    spoiled(
        "dagm",
        f"a list of labels that is {_name}",
        "Labels.txt",
        changed("Class1/Train/Label/Labels.txt", lambda path, text=_text: path.write_bytes(text)),
    )
spoiled(
    "dagm",
    "a list of labels that is a pipe",
    "Labels.txt: .*no plain file",
    changed("Class1/Train/Label/Labels.txt", lambda path: (path.unlink(), os.mkfifo(path))),
)
spoiled("aitex", "a name that tells no code", "is not NUMBER_DEFECT_FABRIC", renamed(IMAGES["aitex"][0], "hello.png"))
spoiled("aitex", "an unknown code", "unknown defect code", renamed(IMAGES["aitex"][0], "0001_999_00.png"))
spoiled(
    "cotton",
    "a name without the term",
    "is not named as 00987",
    lambda root: next(root.glob("*.*")).rename(root / "x.jpg"),
)
spoiled("kolektor", "another folder", "unknown folder", renamed("test", "tset"))
spoiled("btad", "a folder of neither ok nor ko", "unknown folder", renamed("01/test/ko", "bad"))
spoiled("aebad", "an unknown condition", "unknown condition", renamed("AeBAD_S/test/groove/view", "veiw"))

# Workbooks of captions ----------------------------------------------------------------------------------------------

BOOK = "DS-MVTec/captions.xlsx"
HEAD = ("Path", "object description", "defect description")


def workbook(name: str, says: str, write: Callable[[Path], object]) -> None:
    """Another file in place of the captions."""
    spoiled("defect_spectrum", name, rf"captions\.xlsx: .*{says}", changed(BOOK, write), entry="captions.xlsx")


def table(*rows: tuple, header: tuple = HEAD) -> Callable[[Path], object]:
    return lambda path: write_captions(path, rows, header)


def repacked(change: Callable[[str, bytes], bytes]) -> Callable[[Path], object]:
    """The workbook with its members changed."""

    def write(path: Path) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, change(name, old.read(name)))
        path.write_bytes(packed.getvalue())

    return write


def in_sheet(old: bytes, new: bytes) -> Callable[[Path], object]:
    return repacked(lambda name, text: text.replace(old, new, 1) if name.endswith("sheet1.xml") else text)


def archive_of(*members: tuple[str, bytes]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name, content in members:
                new.writestr(name, content)

    return write


def overlapping(path: Path) -> None:
    """Its directory lists one member 20,000 times."""
    content = path.read_bytes()
    start, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    entry = content[start : content.index(b"PK\1\2", start + 4)]
    directory = entry * 20_000
    tail = content[end : end + 8] + (20_000).to_bytes(2, "little") * 2
    tail += len(directory).to_bytes(4, "little") + start.to_bytes(4, "little") + b"\0\0"
    path.write_bytes(content[:start] + directory + tail)


UNREADABLE = "cannot be read as a workbook"
workbook("cut in half", UNREADABLE, lambda path: path.write_bytes(path.read_bytes()[:2000]))
workbook("a directory of 20,000 members that are one", f"unpacks to|{UNREADABLE}", overlapping)
workbook(
    "XML that names itself over and over",
    UNREADABLE,
    repacked(
        lambda name, text: (
            (
                b'<!DOCTYPE lolz [<!ENTITY a "'
                + b"ha" * 500
                + b'">'
                + b"".join(b'<!ENTITY %c "' % (98 + i) + b"&%c;" % (97 + i) * 50 + b'">' for i in range(6))
                + b"]>"
                + text.replace(b"<sheetData>", b"<sheetData><row><c t='inlineStr'><is><t>&g;</t></is></c></row>")
            )
            if name.endswith("sheet1.xml")
            else text
        )
    ),
)
workbook("a formula", "row 2", table(('=HYPERLINK("http://127.0.0.1/")', "x", "y")))
workbook("30,000 rows", "has more than 20,000 rows", in_sheet(b"</sheetData>", b"<row/>" * 30_000 + b"</sheetData>"))
spoiled(
    "defect_spectrum",
    "a caption of no image",
    "which captions.xlsx describes",
    changed(BOOK, table(("cable/bent_wire/999.png", "x", "y"))),
    entry="captions.xlsx",
)


# COCO pages ---------------------------------------------------------------------------------------------------------

ONE = "000000.jpg"


def page(
    name: str,
    says: str,
    content: Callable[[dict[str, Any]], Any] | str | bytes,
    text: Callable[[str], str] = str,
) -> None:
    """Another COCO page of the images of training; ``text`` changes what is written of its ``content``."""

    def write(path: Path) -> None:
        if callable(content):
            names = sorted(image.name for image in path.parent.glob("*.jpg"))
            values = coco("Casting", {image: [(0, [box(5, 5, 8, 8)])] for image in names})
            changed_values = content(values)
            path.write_text(text(json.dumps(values if changed_values is None else changed_values)))
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    spoiled("vision", name, rf"{PAGE}: .*{says}", changed(f"Casting/train/{PAGE}", write), entry="COCO json")


def with_first(part: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content[part][0] |= values

    return change


def shape(*segmentation: Any) -> Callable[[dict[str, Any]], None]:
    return with_first("annotations", segmentation=list(segmentation))


page("no JSON", "cannot be read as JSON", "{")
page("another size than the image has", "000000.jpg|lists", with_first("images", file_name="../../../etc/passwd"))
POLYGONS = "'segmentation' is no list of polygons"
page("a polygon that overflows", POLYGONS, shape([1234] * 6), text=lambda text: text.replace("1234", "1e999"))
page(
    "a run-length code", "is a run-length code", with_first("annotations", segmentation={"size": [2, 2], "counts": [1]})
)
spoiled("vision", "no page", "no such file", changed(f"Casting/train/{PAGE}", Path.unlink), entry="COCO json")
spoiled(
    "vision",
    "a page that is a pipe",
    "no plain file",
    changed(f"Casting/train/{PAGE}", lambda path: (path.unlink(), os.mkfifo(path))),
    entry="COCO json",
)
spoiled(
    "vision",
    "a page that is a link to a device",
    "no plain file",
    changed(f"Casting/train/{PAGE}", lambda path: (path.unlink(), path.symlink_to("/dev/zero"))),
    entry="COCO json",
)
