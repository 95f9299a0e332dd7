"""Dataset folders of a user's own: images, masks, and the files beside them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bad_input.case import bad
from tests.bad_input.things import chunk, mask, own_folder, png, save, write_json

VERIFY = "data verify"


def spoiled(name: str, says: str, spoil: Callable[[Path], object], entry: str = "image files") -> None:
    """A folder in which ``spoil`` breaks something; ``data verify`` lists it."""

    def make(place: Path) -> list[str]:
        spoil(own_folder(place / "own"))
        return ["data", "verify", "own"]

    bad(entry, name, says, make, several=True)


def image(name: str, says: str, write: Callable[[Path], object]) -> None:
    """The image ``a`` is another file."""

    def spoil(root: Path) -> None:
        (root / "images" / "a.png").unlink()
        write(root / "images" / "a.png")

    spoiled(name, rf"own/images/a\.png: .*{says}", spoil)


def masked(name: str, says: str, write: Callable[[Path], object]) -> None:
    """The mask ``a`` is another file."""

    def spoil(root: Path) -> None:
        (root / "masks" / "a.png").unlink()
        write(root / "masks" / "a.png")

    spoiled(name, rf"own/masks/a\.png: .*{says}", spoil, entry="mask files")


def beside(entry: str, file: str, cases: dict[str, tuple[str | bytes, str]]) -> None:
    """Contents of a file beside the images, and what is said of each."""
    for name, (content, says) in cases.items():

        def spoil(root: Path, content: str | bytes = content) -> None:
            path = root / file
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

        spoiled(name, rf"own/{file}: .*{says}", spoil, entry=entry)


def rotated(path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.new("RGB", (16, 12)).save(path, exif=tags)


def animated(path: Path, form: str) -> None:
    frames = [Image.new("RGB", (12, 16), colour) for colour in ("red", "blue", "green")]
    frames[0].save(path, form, save_all=True, append_images=frames[1:])


def cut(path: Path, share: float) -> None:
    whole = path.parent / "b.png"
    content = whole.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def deep(path: Path) -> None:
    Image.fromarray(np.zeros((16, 12), np.float32)).save(path, "TIFF")


# Images -------------------------------------------------------------------------------------------------------------

image("of no bytes", "damaged", lambda path: path.touch())
image("cut in half", "damaged", lambda path: cut(path, 0.5))
image(
    "a bomb of 100,000 x 100,000", "more than 89,478,485 pixels", lambda path: path.write_bytes(png(100_000, 100_000))
)
image("of fewer rows than stated", "damaged", lambda path: path.write_bytes(png(12, 16)))
image(
    "with text that unpacks to 20 MB",
    "damaged",
    lambda path: path.write_bytes(
        png(12, 16)[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000), 1)) + png(12, 16)[33:]
    ),
)
image("PostScript, which would be run", "damaged", lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%id)"))
image("a folder", "is a folder or a special file", lambda path: path.mkdir())
image("a pipe", "is a folder or a special file", os.mkfifo)
image("a link to nothing", "is a link to nothing", lambda path: path.symlink_to("../../../absent.png"))

# Names --------------------------------------------------------------------------------------------------------------


def named(name: str, says: str, file: str | bytes, folder: str = "images") -> None:
    """A further image of a bad name."""

    def spoil(root: Path) -> None:
        target = os.path.join(os.fsencode(root / folder), os.fsencode(file))  # noqa: PTH118 (bytes)
        Path(os.fsdecode(target)).write_bytes((root / "images" / "b.png").read_bytes())

    spoiled(name, says, spoil, entry="file names")


named("with a line end", r"two\\nlines\.png.: .*unprintable", "two\nlines.png")
named("that is no UTF-8", r"caf\\udce9\.png.: .*unprintable", b"caf\xe9.png")
named("with a backslash", r"path separator", "up\\..\\evil.png")
named("of a sync client's conflict copy", "conflict copy", "a (conflicted copy 2024-01-31).png")
named("of another kind", r"notes\.txt: is not one of", "notes.txt")
named("twice, by another suffix", r"key 'b' is there more than once", "b.tiff")
named("mask alone", r"zz\.png: has no image", "zz.png", folder="masks")


def both(root: Path, key: str) -> None:
    for folder in ("images", "masks"):
        (root / folder / f"{key}.png").write_bytes((root / folder / "b.png").read_bytes())


spoiled("twice, by case", "differ in case", lambda root: both(root, "B"), entry="file names")
for folder in ("images", "masks"):
    spoiled(
        f"no folder {folder}",
        f"own/{folder}: no such folder",
        lambda root, folder=folder: [*(path.unlink() for path in (root / folder).iterdir()), (root / folder).rmdir()],
        entry="file names",
    )
    spoiled(
        f"{folder} is a file",
        f"own/{folder}: no such folder",
        lambda root, folder=folder: [(root / folder).rename(root / "elsewhere"), (root / folder).touch()],
        entry="file names",
    )
    spoiled(
        f"{folder} is a link to nothing",
        f"own/{folder}: no such folder",
        lambda root, folder=folder: [
            (root / folder).rename(root.parent / "elsewhere"),
            (root / folder).symlink_to(root.parent / "nowhere"),
        ],
        entry="file names",
    )
spoiled(
    "no image",
    "holds no image that can be used",
    lambda root: [path.unlink() for folder in ("images", "masks") for path in (root / folder).iterdir()],
    entry="file names",
)

# Masks --------------------------------------------------------------------------------------------------------------

masked("with a value beyond the classes", "value 3 has no class", lambda path: mask(path, 3))
masked("of 0 and 255", "is black and white", lambda path: mask(path, 255))
masked("of another size", "is 9 x 9 pixels but its image is 12 x 16", lambda path: save(path, "L", "PNG", (9, 9)))

# classes.json -------------------------------------------------------------------------------------------------------

JSON = "cannot be read as JSON"
beside(
    "classes.json",
    "classes.json",
    {
        "cut short": ('{"1": "scratch", ', JSON),
        "an id twice": ('{"1": "scratch", "1": "stain"}', "'1' is given twice"),
        "no class": ("{}", "names 0 classes"),
        "300 classes": ("{" + ", ".join(f'"{i}": "type {i}"' for i in range(1, 301)) + "}", "names 300 classes"),
        "a gap": ('{"1": "scratch", "3": "stain"}', "id '3' breaks the row"),
        "a name twice": ('{"1": "stain", "2": "stain"}', "the name 'stain' is given twice"),
        "an empty name": ('{"1": "scratch", "2": " "}', "must be a non-empty string"),
        "a name of two lines": ('{"1": "scratch", "2": "sta\\nin"}', "does not print"),
        "a name of 1 MB": ('{"1": "scratch", "2": "' + "s" * 2**20 + '"}', "longer than"),
        "background as name": ('{"1": "background", "2": "stain"}', "'background' is what 0 means"),
    },
)
spoiled("is missing", "classes.json: no such file", lambda root: (root / "classes.json").unlink(), "classes.json")


def replaced(entry: str, file: str) -> None:
    """A file beside the images that is no plain file of the dataset."""

    def by(make: Callable[[Path], object]) -> Callable[[Path], None]:
        def spoil(root: Path) -> None:
            (root / file).parent.mkdir(exist_ok=True)
            (root / file).unlink(missing_ok=True)
            make(root / file)

        return spoil

    spoiled("a folder", rf"own/{file}: ", by(lambda path: path.mkdir()), entry)
    spoiled("a pipe", rf"own/{file}: .*no plain file", by(os.mkfifo), entry)
    spoiled("a link to a device", rf"own/{file}: .*no plain file", by(lambda p: p.symlink_to("/dev/zero")), entry)
    spoiled("a link to itself", rf"own/{file}: ", by(lambda path: path.symlink_to(path.name)), entry)


for _entry, _file in (
    ("classes.json", "classes.json"),
    ("groups.json", "groups.json"),
    ("captions.csv", "captions.csv"),
    ("split manifests", "splits/default.json"),
):
    replaced(_entry, _file)

# groups.json, captions.csv, provenance.json, splits -----------------------------------------------------------------

beside(
    "groups.json",
    "groups.json",
    {
        "no JSON": ("{", JSON),
        "a number as group": ('{"a": 7}', "must be a non-empty string"),
        "a key twice": ('{"a": "x", "a": "y"}', "'a' is given twice"),
        "an unknown key": ('{"nobody": "x"}', "'nobody' names no image"),
        "a group of two lines": ('{"a": "x\\ny"}', "does not print"),
    },
)
beside(
    "captions.csv",
    "captions.csv",
    {
        "three columns": ("key,caption\na,b,c\n", "two values in every row"),
        "a quote left open": ('key,caption\na,"open\n', "cannot be read as CSV"),
        "a key twice": ("key,caption\na,b\na,c\n", "'a' has two captions"),
        "an unknown key": ("key,caption\nnobody,b\n", "'nobody' names no image"),
    },
)
beside("provenance.json", "provenance.json", {"no JSON": ("{", JSON), "no UTF-8": (b"\xff", JSON)})
_SPLIT = '{{"train": {}, "eval": {}}}'
beside(
    "split manifests",
    "splits/default.json",
    {
        "no JSON": ("{", JSON),
        "an unknown entry": ('{"train": ["a"], "eval": ["b"], "test": ["c"]}', "a split is a JSON object"),
        "an empty side": (_SPLIT.format("[]", '["b"]'), "'train' must be a list of at least one key"),
        "an image twice": (_SPLIT.format('["a", "a"]', '["b"]'), "names 'a' 2 times"),
        "an image on both sides": (_SPLIT.format('["a"]', '["a", "b"]'), "'a' trains and evaluates"),
        "an unknown image": (_SPLIT.format('["a"]', '["nobody"]'), "names 'nobody', which is no image"),
        "a seed in words": ('{"train": ["a"], "eval": ["b"], "seed": "one"}', "'seed' must be a whole number"),
    },
)


def group_on_both_sides(root: Path) -> None:
    write_json(root / "groups.json", {"a": "part", "b": "part"})
    write_json(root / "splits" / "default.json", {"train": ["a", "c"], "eval": ["b", "d"]})


spoiled("a group on both sides", "group 'part' stands on both sides", group_on_both_sides, "split manifests")
