"""Defect-Click: its training, folders that are labelled by clicks, records that were changed, and foreign networks."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from defectclick.classical import FloodFill
from defectclick.labelling import Labelling
from defectlib.profiles import load_profile
from defectlib.settings import ClickerTraining
from defectlib.store import SHIPPED, digests, read_provenance, settings_of, write_provenance
from tests.bad_input.case import bad
from tests.bad_input.options import typed
from tests.bad_input.things import nested, once, write_json

# Training -----------------------------------------------------------------------------------------------------------

typed("train-clicker", "unknown product to leave out", "--profile", "smoke", "--leave-out", "soft\ngel")
typed("train-clicker", "did you mean 'softgel'", "--profile", "smoke", "--leave-out", "softgle")
typed("train-clicker", "did you mean 'smoke'", "--profile", "smok")
typed("train-clicker", "No such option: --nonsense", "--nonsense")
typed("train-clicker", "(does not take a value|unexpected value)", "--many-domains=no")


def profiled(name: str, says: str, clicker: str, *words: str) -> None:
    """A profile of one's own with a ``clicker``."""

    def make(place: Path) -> list[str]:
        (place / "own.yaml").write_text(f"base: smoke\nclicker: {clicker}\n")
        return ["train-clicker", "--profile", "own.yaml", *words]

    bad("train-clicker", name, says, make)


profiled("a budget that is a list", "clicker", "[1, 2]")
profiled("an unknown setting", "did you mean 'steps'", "{stepz: 3}")
profiled("no steps", "steps", "{steps: 0}")
profiled("a rate that is no number", "lr", "{lr: .nan}")
profiled("an unknown product", "did you mean 'softgel'", "{products: [softgle]}")
profiled("the one product left out", "neither 'products' nor 'data'", "{products: [softgel]}", "--leave-out=softgel")
profiled("a size of 10^9", "sizes", "{sizes: [1000000000]}")
profiled("a crop of 33", "multiple of 32", "{crop: 33}")
profiled("three widths", "widths", "{widths: [8, 16, 20]}")
profiled("a width that does not divide", "multiple of 5", "{widths: [8, 16, 21, 32]}")
profiled("10^9 layers", "depths", "{depths: [1, 1, 1, 1000000000]}")


def built(name: str, says: str, **changes: Any) -> None:
    """Settings of a clicker in a file."""

    def make(place: Path) -> list[str]:
        settings = load_profile("smoke").clicker_training().model_dump(mode="json")
        write_json(place / "settings.json", {"stage": "clicker", "settings": settings | changes})
        return ["build", "--settings", "settings.json"]

    bad("build --settings", f"a clicker, {name}", says, make)


built("an unknown product", "unknown product", products=["capsule"])
built("data of a published dataset that is not here", "no such folder", data=[
    {"kind": "published", "dataset": "mvtec_ad", "product": "screw", "classes": ["y"]}
])  # fmt: skip

# Folders ------------------------------------------------------------------------------------------------------------

CLASSES = ("scratch", "stain")
KEYS = ("a", "b")


def label(root: Path) -> None:
    """Images in ``photos``, and in ``labelled`` the same, labelled by clicks and strokes."""
    (root / "photos").mkdir(parents=True)
    for number, key in enumerate(KEYS):
        image = np.full((32, 24, 3), 120 + number, np.uint8)
        image[6:14, 5:15] = 30
        Image.fromarray(image).save(root / "photos" / f"{key}.png")
    labelling = Labelling(root / "photos", root / "labelled", CLASSES, FloodFill())
    for key in KEYS:
        work = labelling.open(key)
        work.session.click(9, 9)
        work.session.begin(2)
        work.session.brush([(20, 3), (20, 9)], 2)
        labelling.save(work)
    labelling.close()


copy = once(label)
HERE = ["work/photos", "work/labelled"]


def clicked(name: str, says: str, spoil: Callable[[Path], object], *words: str, several: bool = False) -> None:
    """Words after `click` and what may go before them, once ``spoil`` broke something of a folder that was begun."""

    def make(place: Path) -> list[str]:
        spoil(copy(place / "work"))
        return ["click", "--no-browser", *(words or HERE)]

    bad("click", name, says, make, several=several)


def nothing(root: Path) -> None:
    """Leave it as it is."""


def emptied(folder: Path) -> Path:
    for path in folder.iterdir():
        path.unlink()
    return folder


clicked("images that are not there", "no such folder", nothing, "nowhere", "out", "--classes", "a")
clicked("an image in place of the images", "name one that holds images", nothing, "work/photos/a.png", "out")
clicked("images of a name too long", "too long", nothing, "n" * 300, "out", "--classes", "a")
clicked("no image", "holds no image", lambda root: emptied(root / "photos"))
clicked("one folder twice", "lies in the folder to write", nothing, "work/photos", "work/photos", "--classes", "a")
clicked(
    "images that are a link into the folder to write",
    "lies in the folder to write",
    lambda root: (root / "mine").symlink_to("labelled/images"),
    "work/mine",
    "work/labelled",
)
for _name, _file, _says in (
    ("of a line end", "two\nlines.png", "unprintable character; rename it"),
    ("with a backslash", "up\\..\\evil.png", "path separator"),
    ("twice, by suffix", "a.tiff", "would be called 'a' in the dataset"),
):
    clicked(
        f"an image's name {_name}",
        _says,
        lambda root, file=_file: shutil.copy(root / "photos" / "b.png", root / "photos" / file),
        several=True,
    )
clicked(
    "an image that is a pipe", "c.png: is no plain file", lambda root: os.mkfifo(root / "photos/c.png"), several=True
)
for _name, _spoil, _out, _says in (
    ("a file", Path.touch, "out", "is a file; name a folder"),
    ("below a device", lambda path: None, "/dev/null/x", "is a file; name a folder"),
    ("a link that leads nowhere", lambda path: path.symlink_to("nowhere"), "out", "is a file; name a folder"),
    ("of a name too long", lambda path: None, "n" * 300, "too long"),
    ("somebody else's", lambda path: (path.mkdir(), (path / "mine.txt").touch()), "out", "was not begun by this tool"),
):
    clicked(
        f"a place that is {_name}",
        _says,
        lambda root, spoil=_spoil: spoil(root.parent / "out"),
        "work/photos",
        _out,
        "--classes=a",
    )
clicked(
    "a folder that was begun without its classes",
    "was not begun by this tool",
    lambda root: (root / "labelled" / "classes.json").unlink(),
)
clicked(
    "classes.json with a gap",
    "id '3' breaks the row",
    lambda root: write_json(root / "labelled/classes.json", '{"1": "scratch", "3": "stain"}'),
)
for _name, _classes, _says in (
    ("none", "", "name the defect types, each once"),
    ("one twice", "scratch, scratch", "name the defect types, each once"),
    ("300", ",".join(map(str, range(300))), "name the defect types, each once"),
    ("background", "scratch,background", "'background' is what 0 means in every mask"),
    ("of two lines", "scra\ntch", r"'scra\\ntch' holds a letter that does not print"),
    ("1 MB", "s" * 2**17, "is longer than 200 letters"),
):
    clicked(f"classes that are {_name}", _says, nothing, "work/photos", "out", f"--classes={_classes}")
clicked("classes of a folder that was begun, fewer", "do not go on from", nothing, *HERE, "--classes", "scratch")
clicked("an unknown method", "unknown method", nothing, *HERE, "--method", "SAM")
clicked("a near miss of a method", "did you mean 'flood fill'", nothing, *HERE, "--method", "floodfill")
clicked("--port=8888", "No such option", nothing, *HERE, "--port=8888")
typed("click", "Missing argument 'IMAGES'")
typed("click", "Missing argument 'OUT'", "photos")
typed("click", "unexpected extra argument", "photos", "out", "more")

# Replaying ----------------------------------------------------------------------------------------------------------


def replayed(
    name: str,
    says: str,
    spoil: Callable[[Path], object],
    *words: str,
    entry: str = "replay-clicks",
    several: bool = False,
    method: str = "flood fill",
) -> None:
    """Words after `replay-clicks`, once ``spoil`` broke something of the labelled folder."""

    def make(place: Path) -> list[str]:
        spoil(copy(place / "work") / "labelled")
        return ["replay-clicks", *(words or ("work/labelled", "out")), "--method", method]

    bad(entry, name, says, make, several=several)


typed("replay-clicks", "Missing argument 'LABELLED'")
replayed("an unknown method", "unknown method", nothing, method="../model")
replayed("of a folder that is not there", "no such folder", nothing, "nowhere", "out", several=True)
for _name, _out, _says in (
    ("not empty", "work/photos", "is there already and not empty"),
    ("below a file", "work/photos/a.png/out", "no such folder|directory|cannot be written"),
    ("where nothing can be", "/proc/nowhere/out", "cannot be written"),
):
    replayed(f"into a folder that is {_name}", _says, nothing, "work/labelled", _out)
replayed(
    "a record that is missing", "a.json: no such file; only what was labelled", lambda r: (r / "clicks/a.json").unlink()
)
replayed("a folder without records", "none with clicks/; name one", lambda root: shutil.rmtree(root / "clicks"))
replayed("an image that is missing", "has no image", lambda r: (r / "images/a.png").unlink(), several=True)
replayed("a mask that is cut", "damaged", lambda r: (r / "masks/a.png").write_bytes(b"\x89PNG"), several=True)
replayed(
    "an image of another size",
    "a.json: (does not fit its image|.*no pixel)|but its image is",
    lambda r: [Image.new("L", (9, 9)).save(r / folder / "a.png") for folder in ("images", "masks")],
)

# Records ------------------------------------------------------------------------------------------------------------

NONE = r"a\.json: is no record of clicks .*; remove it to label the image anew"
FIT = r"a\.json: does not fit its image .*; remove the image or label it anew"
ABOUT = r"a\.json: is about the classes .*; classes\.json names others"


def record(name: str, says: str, edit: int | None = None, **changes: Any) -> None:
    """A record of clicks, or one of its edits, with changes."""

    def spoil(root: Path) -> None:
        path = root / "clicks" / "a.json"
        values = json.loads(path.read_text())
        (values if edit is None else values["edits"][edit]).update(changes)
        path.write_text(json.dumps(values))

    replayed(name, says, spoil, entry="records of clicks")


def recorded(name: str, says: str, make: Callable[[Path], object]) -> None:
    """What stands in the place of a record."""
    replayed(
        name,
        says,
        lambda root: ((root / "clicks/a.json").unlink(), make(root / "clicks/a.json")),
        entry="records of clicks",
    )


recorded(
    "cut short", r"a\.json: cannot be read as JSON", lambda path: path.write_text('{"source": "a.png", "clicker": ')
)
recorded("too deep", "nested too deeply", lambda path: path.write_text(nested()))
recorded("a list", NONE, lambda path: path.write_text("[]"))
recorded("a pipe", "no plain file", os.mkfifo)
record("a shape of nothing", NONE, shape=[0, 24])
record("a shape of 10^30", NONE, shape=[10**30, 10**30])
record("another shape", NONE, shape=[24, 32, 1])
record("10^400 seconds", NONE, seconds=10**400)
record("an edit of nothing", NONE, edits=[{}])
record("more defects than arrays", NONE, defects=[{"class_id": 1, "clicks": []}] * 9)
record("arrays that are no zlib", NONE, arrays=["AAAA"] * 3)
record("other classes", ABOUT, classes=["rust", "dent"])
record("a click of an unknown kind", NONE, 0, kind="drag")
record("a click of no point", NONE, 0, points=[])
record("a click of a point of 10^400", NONE, 0, points=[[10**400, 9]])
record("a click of half a class", NONE, 0, class_id=1.5)
record("a click outside the image", FIT, 0, points=[[32, 9]])
record("a click between pixels", FIT, 0, points=[[9.5, 9]])
record("a click of a class that there is not", FIT, 0, class_id=3)
record("a click of a defect before its turn", FIT, 0, defect=5)
record("a stroke of a radius beyond all numbers", NONE, 1, radius=1e300)
record("a stroke of another class", FIT, 1, defect=0)

# Networks -----------------------------------------------------------------------------------------------------------

WEIGHTS, CARD = "model.safetensors", "model.json"


def network(root: Path) -> None:
    """The clicker that comes with the package, in a store of one's own, where it is looked for first."""
    shipped = [path for path in (SHIPPED / "clicker").iterdir() if (path / CARD).is_file()]
    largest = max(shipped, key=lambda path: len(settings_of(read_provenance(path)).products))
    settings = settings_of(read_provenance(largest))
    assert isinstance(settings, ClickerTraining)
    shutil.copytree(largest, root / "clicker" / settings.key())


own_network = once(network)


def foreign_network(name: str, says: str, spoil: Callable[[Path], object]) -> None:
    """A network that ``spoil`` changed, with a provenance that says that it is just what was made."""

    def make(place: Path) -> list[str]:
        copy(place / "work")
        (artifact,) = (own_network(place / "store") / "clicker").iterdir()
        spoil(artifact)
        write_provenance(artifact, read_provenance(artifact) | {"files": digests(artifact)})
        return ["replay-clicks", "work/labelled", "out"]

    bad("clicker artifact", name, says, make)


UNREADABLE = "not a readable clicker"


def tensors(change: Callable[[dict[str, torch.Tensor], str], object]) -> Callable[[Path], object]:
    """Weights of which one, a convolution's, is changed."""

    def spoil(root: Path) -> None:
        values = load_file(root / WEIGHTS)
        change(values, next(name for name, value in values.items() if value.ndim == 4))
        save_file(values, root / WEIGHTS)

    return spoil


def card(name: str, says: str, **changes: Any) -> None:
    """A card with changes."""
    foreign_network(
        f"a card {name}",
        says,
        lambda root: write_json(root / CARD, json.loads((root / CARD).read_text()) | changes),
    )


foreign_network("weights that are text", UNREADABLE, lambda root: (root / WEIGHTS).write_bytes(b"hello"))
foreign_network("weights that are missing", UNREADABLE, lambda root: (root / WEIGHTS).unlink())
for _name, _change in {
    "of a tensor less": lambda values, name: values.pop(name),
    "of another shape": lambda values, name: values.update({name: torch.zeros(3, 3)}),
    "of whole numbers": lambda values, name: values.update({name: values[name].to(torch.int8)}),
    "that are NaN": lambda values, name: values[name].fill_(torch.nan),
}.items():
    foreign_network(f"weights {_name}", UNREADABLE, tensors(_change))
foreign_network("a card cut short", "cannot be read as JSON", lambda root: (root / CARD).write_text('{"widths": [16, '))
foreign_network("a card that is missing", "model.json", lambda root: (root / CARD).unlink())
card("of other widths", UNREADABLE, widths=[8, 16, 20, 32])
card("of a width of 10^9", "setting 'widths", widths=[16, 32, 80, 10**9])
card("of no crop", "setting 'crop'", crop=None)
