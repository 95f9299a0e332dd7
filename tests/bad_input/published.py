"""Published datasets in their true layouts, made wrong: files, names, COCO pages and the workbook of captions."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

from tests.bad_input.case import bad
from tests.bad_input.things import nested, once, png, save
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
    spoiled(
        _dataset,
        "a mask of another size",
        "draw the mask at the image's size",
        changed(_mask, lambda path: save(path, "L", "PNG", (5, 5))),
    )
    spoiled(_dataset, "a mask in colour", "is a colour image", changed(_mask, coloured))
    spoiled(
        _dataset,
        "an image cut short",
        "damaged",
        changed(_image, lambda path: path.write_bytes(path.read_bytes()[:60])),
    )
    spoiled(
        _dataset,
        "an image bomb",
        "more than 89,478,485 pixels",
        changed(_image, lambda path: path.write_bytes(png(100_000, 100_000))),
    )

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
workbook("of no bytes", UNREADABLE, lambda path: path.write_bytes(b""))
workbook("that is text", UNREADABLE, lambda path: path.write_text("Path,object description,defect description"))
workbook("cut in half", UNREADABLE, lambda path: path.write_bytes(path.read_bytes()[:2000]))
workbook("an archive of something else", UNREADABLE, archive_of(("hello.txt", b"hello")))
workbook("an archive bomb of 32 MB", "unpacks to", archive_of(("xl/workbook.xml", bytes(2**25))))
workbook("an archive of ../ paths", UNREADABLE, archive_of(("../../evil.txt", b"x"), ("/etc/evil", b"x")))
workbook("a directory of 20,000 members that are one", f"unpacks to|{UNREADABLE}", overlapping)
workbook("a pipe", f"{UNREADABLE}|no plain file", lambda path: (path.unlink(), os.mkfifo(path)))
workbook("a folder", UNREADABLE, lambda path: (path.unlink(), path.mkdir()))
workbook("broken XML", UNREADABLE, in_sheet(b"<row", b"<<row"))
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
workbook(
    "XML that reads another file",
    UNREADABLE,
    repacked(
        lambda name, text: (
            (
                b'<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/hostname">]>'
                + text.replace(b"<sheetData>", b"<sheetData><row><c t='inlineStr'><is><t>&secret;</t></is></c></row>")
            )
            if name.endswith("sheet1.xml")
            else text
        )
    ),
)
workbook("no sheet", UNREADABLE, repacked(lambda name, text: re.sub(rb"<sheets>.*</sheets>", b"<sheets/>", text)))
workbook("of another header", "its first row is not", table(("a", "b", "c"), header=("path", "object", "defect")))
workbook("without the third column", "its first row is not", table(("a", "b"), header=HEAD[:2]))
workbook("without rows", "its first row is not", lambda path: archive_rows_gone(path))
workbook("a number as path", "is not a path and two texts", table((7, "x", "y")))
workbook("a description without its path", "is not a path and two texts", table((None, "x", "y")))
workbook("a formula", "row 2", table(('=HYPERLINK("http://127.0.0.1/")', "x", "y")))
workbook("a formula that runs a program", "row 2", table(("=cmd|'/c calc'!A1", "x", "y")))
workbook("a date as path", "is not a path and two texts", table((date(2024, 1, 1), "x", "y")))
workbook("an unknown product", "unknown product", table(("cabel/bent_wire/000.png", "x", "y")))
workbook("a path with ../", "unknown product", table(("../../etc/passwd.png", "x", "y")))
workbook("a path twice", "has a caption already", table(*[("cable/bent_wire/000.png", "x", "y")] * 2))
workbook("30,000 rows", "has more than 20,000 rows", in_sheet(b"</sheetData>", b"<row/>" * 30_000 + b"</sheetData>"))
workbook("a row of number 1,048,576", "has more than 20,000 rows", in_sheet(b'<row r="2"', b'<row r="1048576"'))
spoiled(
    "defect_spectrum",
    "a caption of no image",
    "which captions.xlsx describes",
    changed(BOOK, table(("cable/bent_wire/999.png", "x", "y"))),
    entry="captions.xlsx",
)


def archive_rows_gone(path: Path) -> None:
    repacked(lambda name, text: re.sub(rb"<sheetData>.*</sheetData>", b"<sheetData/>", text, flags=re.S))(path)


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


def without(part: str, key: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        del content[part][0][key]

    return change


def shape(*segmentation: Any) -> Callable[[dict[str, Any]], None]:
    return with_first("annotations", segmentation=list(segmentation))


page("no JSON", "cannot be read as JSON", "{")
page("no UTF-8", "cannot be read as JSON", b"\xff\xfe{}")
page("too deep", "nested too deeply", nested())
page("a list", "has no list of 'images'", "[]")
for _part in ("images", "categories", "annotations"):
    page(f"without {_part}", f"has no list of '{_part}'", lambda content, part=_part: content.pop(part) and None)
    page(f"{_part} that are a table", f"has no list of '{_part}'", lambda content, part=_part: content | {part: {}})
    page(
        f"{_part} with a number among them",
        r"1 of \d+: ",
        lambda content, part=_part: content | {part: [7, *content[part][1:]]},
    )
page("an image without a file name", "has no 'file_name'", without("images", "file_name"))
page("an image without an id", "has no 'file_name', or no 'id'", without("images", "id"))
page("a category without a name", "has no 'name'", without("categories", "name"))
page("a width of nothing", "has no 'width'", with_first("images", width=0))
page("a width in words", "has no 'width'", with_first("images", width="24"))
page("a width of 10^30", "more than 89,478,485 pixels|width", with_first("images", width=10**30))
page("a bomb of 100,000 x 100,000", "more than 89,478,485 pixels", with_first("images", width=100_000, height=100_000))
page("another size than the image has", "000000.jpg|lists", with_first("images", file_name="../../../etc/passwd"))
page("an absolute file name", "which does not stand beside it", with_first("images", file_name="/etc/passwd"))
page("half a character as file name", "ud800", with_first("images", file_name="\ud800.jpg"))
page(
    "an image twice",
    "is listed twice|given twice",
    lambda content: content["images"].append(dict(content["images"][0])),
)
page("an id twice", "is given twice", lambda content: content["images"][1].update(id=0))
page("a negative id", "no 'id' that is a whole number", with_first("images", id=-1))
page("an unknown image", "its image 10{30} is not listed", with_first("annotations", image_id=10**30))
page("an unknown category", "its category 99 is not listed", with_first("annotations", category_id=99))
page("a negative category", "its category -1 is not listed", with_first("annotations", category_id=-1))
page("an unknown type", "did you mean 'Rechupe'", with_first("categories", name="Rechupi"))
POLYGONS = "'segmentation' is no list of polygons"
page("a polygon of words", POLYGONS, shape(["a"] * 6))
page("a polygon of NaN", "NaN is no number of JSON", shape([float("nan")] * 6))
page("a polygon of infinities", "Infinity is no number", shape([float("inf")] * 6))
page("a polygon of 1e308", POLYGONS, shape([1e308] * 6))
page("a polygon that overflows", POLYGONS, shape([1234] * 6), text=lambda text: text.replace("1234", "1e999"))
page(
    "a run-length code", "is a run-length code", with_first("annotations", segmentation={"size": [2, 2], "counts": [1]})
)
page(
    "a run-length code in letters",
    "is a run-length code",
    with_first("annotations", segmentation={"size": [9**9, 9**9], "counts": "0" * 100}),
)
page("polygons that are text", "segmentation", with_first("annotations", segmentation="M 0 0 L 5 5"))
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
