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
from tests.bad_input.options import HUGE, typed
from tests.bad_input.things import nested, once, write_json

# Training -----------------------------------------------------------------------------------------------------------

for _name in ("", "../softgel", "soft\ngel", "mvtec_ad/screw", "p" * 100_000):
    typed("train-clicker", "unknown product to leave out", "--profile", "smoke", "--leave-out", _name)
typed("train-clicker", "did you mean 'softgel'", "--profile", "smoke", "--leave-out", "softgle")
typed("train-clicker", "did you mean 'smoke'", "--profile", "smok")
typed("train-clicker", "unknown profile", "--profile", "../smoke")
typed("train-clicker", "No such option: --nonsense", "--nonsense")
typed("train-clicker", "No such option: --no-ship.*", "--no-shipp")
typed("train-clicker", "unexpected extra argument", "--multi-level", "false")
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
profiled("half a step", "steps", "{steps: 1.5}")
profiled("10^30 steps", "steps", f"{{steps: {HUGE}}}")
profiled("a rate that is no number", "lr", "{lr: .nan}")
profiled("no product", "neither 'products' nor 'data'", "{products: []}")
profiled("an unknown product", "did you mean 'softgel'", "{products: [softgle]}")
profiled("a product that is a path", "unknown product", "{products: [../../etc]}")
profiled("the one product left out", "neither 'products' nor 'data'", "{products: [softgel]}", "--leave-out=softgel")
profiled("no size", "sizes", "{sizes: []}")
profiled("a size of 10^9", "sizes", "{sizes: [1000000000]}")
profiled("no scene", "scenes", "{scenes: 0}")
profiled("10^12 scenes", "scenes", "{scenes: 1000000000000}")
profiled("a crop of 33", "multiple of 32", "{crop: 33}")
profiled("a crop of 32,000,000", "crop", "{crop: 32000000}")
profiled("a batch of 10^9", "batch", "{batch: 1000000000}")
profiled("three widths", "widths", "{widths: [8, 16, 20]}")
profiled("a width of none", "widths", "{widths: [0, 16, 20, 32]}")
profiled("a negative width", "widths", "{widths: [-8, 16, 20, 32]}")
profiled("a width of 10^9", "widths", "{widths: [8, 16, 20, 1000000000]}")
profiled("a width that does not divide", "multiple of 5", "{widths: [8, 16, 21, 32]}")
profiled("no layer", "depths", "{depths: [0, 1, 1, 1]}")
profiled("10^9 layers", "depths", "{depths: [1, 1, 1, 1000000000]}")


def built(name: str, says: str, **changes: Any) -> None:
    """Settings of a clicker in a file."""

    def make(place: Path) -> list[str]:
        settings = load_profile("smoke").clicker_training().model_dump(mode="json")
        write_json(place / "settings.json", {"stage": "clicker", "settings": settings | changes})
        return ["build", "--settings", "settings.json"]

    bad("build --settings", f"a clicker, {name}", says, make)


built("widths that do not divide", "multiple of 8", widths=[16, 32, 80, 129])
built("widths that are text", "widths", widths="wide")
built("no crop", "crop", crop=0)
built("a product that is null", "products", products=[None])
built("an unknown product", "unknown product", products=["capsule"])
built("data that are a folder that is not there", "no such folder|cannot be read", data=[
    {"kind": "folder", "root": "/nowhere/at/all", "digest": "0" * 64, "split": "splits/default.json"}
])  # fmt: skip
built("data that are text", "data", data=["softgel"])
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


for _name, _says in {
    "nowhere": "no such folder",
    "work/photos/a.png": "no such folder; name one that holds images",
    "/dev/null": "no such folder",
    "two\nlines": "no such folder",
    "n" * 300: "too long",
    "~nobody-at-all": "no such folder",
}.items():
    clicked(f"images in {_name[:20]!r}", _says, nothing, _name, "out", "--classes", "a")
clicked("no image", "holds no image", lambda root: emptied(root / "photos"))
clicked("text alone", "holds no image", lambda root: (emptied(root / "photos") / "notes.txt").touch())
clicked("hidden images alone", "holds no image", lambda root: (emptied(root / "photos") / ".a.png").touch())
clicked(
    "images in the folder to write", "lies in the folder to write", nothing, "work/labelled/images", "work/labelled"
)
clicked(
    "images that are a link into the folder to write",
    "lies in the folder to write",
    lambda root: (root / "mine").symlink_to("labelled/images"),
    "work/mine",
    "work/labelled",
)
clicked("one folder twice", "lies in the folder to write", nothing, "work/photos", "work/photos", "--classes", "a")
for _name, _file, _says in (
    ("of a line end", "two\nlines.png", "unprintable character; rename it"),
    ("of an escape sequence", "\x1b[31mred.png", "unprintable character; rename it"),
    ("with a backslash", "up\\..\\evil.png", "path separator"),
    ("twice, by suffix", "a.tiff", "would be called 'a' in the dataset"),
    ("twice, by case of the suffix", "a.PNG", "would be called 'a' in the dataset"),
):
    clicked(
        f"an image's name {_name}",
        _says,
        lambda root, file=_file: shutil.copy(root / "photos" / "b.png", root / "photos" / file),
        several=True,
    )
for _name, _make in {
    "a pipe": os.mkfifo,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link that leads nowhere": lambda path: path.symlink_to("nowhere.png"),
}.items():
    clicked(
        f"an image that is {_name}",
        "c.png: is no plain file",
        lambda root, make=_make: make(root / "photos" / "c.png"),
        several=True,
    )
for _name, _spoil, _out, _says in (
    ("a file", Path.touch, "out", "is a file; name a folder"),
    ("below a file", Path.touch, "out/inner", "is a file; name a folder"),
    ("a device", lambda path: None, "/dev/null", "is a file; name a folder"),
    ("below a device", lambda path: None, "/dev/null/x", "is a file; name a folder"),
    ("a link to itself", lambda path: path.symlink_to(path.name), "out", "is a file; name a folder"),
    ("a link that leads nowhere", lambda path: path.symlink_to("nowhere"), "out", "is a file; name a folder"),
    ("a pipe", os.mkfifo, "out", "is a file; name a folder"),
    ("of a name too long", lambda path: None, "n" * 300, "too long"),
    ("somebody else's", lambda path: (path.mkdir(), (path / "mine.txt").touch()), "out", "was not begun by this tool"),
    (
        "whose clicks are a file",
        lambda path: (path.mkdir(), (path / "clicks").touch()),
        "out",
        "not begun by this tool",
    ),
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
for _name, _content, _says in (
    ("of no bytes", "", "cannot be read as JSON"),
    ("too deep", nested(), "nested too deeply"),
    ("that are a list", "[]", "must be a JSON object"),
    ("with a gap", '{"1": "scratch", "3": "stain"}', "id '3' breaks the row"),
):
    clicked(
        f"classes.json {_name}",
        _says,
        lambda root, content=_content: write_json(root / "labelled/classes.json", content),
    )
for _name, _classes, _says in (
    ("none", "", "name the defect types, each once"),
    ("a comma", ",", "name the defect types, each once"),
    ("an empty one", "scratch,,stain", "name the defect types, each once"),
    ("blanks", " , ", "name the defect types, each once"),
    ("one twice", "scratch, scratch", "name the defect types, each once"),
    ("300", ",".join(map(str, range(300))), "name the defect types, each once"),
    ("background", "scratch,background", "'background' is what 0 means in every mask"),
    ("of two lines", "scra\ntch", r"'scra\\ntch' holds a letter that does not print"),
    ("an escape sequence", "\x1b[31mred", "holds a letter that does not print"),
    ("half a character", "\udce9", "holds a letter that does not print"),
    ("1 MB", "s" * 2**17, "is longer than 200 letters"),
):
    clicked(f"classes that are {_name}", _says, nothing, "work/photos", "out", f"--classes={_classes}")
for _name, _classes in {"in another order": "stain,scratch", "fewer": "scratch", "others": "dent,chip"}.items():
    clicked(f"classes of a folder that was begun, {_name}", "do not go on from", nothing, *HERE, "--classes", _classes)
for _method in ("", "defect", "Flood", "SAM", "flood\nfill", "m" * 100_000):
    clicked(f"the method {_method[:20]!r}", "unknown method", nothing, *HERE, "--method", _method)
clicked("a near miss of a method", "did you mean 'flood fill'", nothing, *HERE, "--method", "floodfill")
for _option in ("--port=8888", "--port=99999", "--host=0.0.0.0", "--nonsense"):
    clicked(_option, "No such option", nothing, *HERE, _option)
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
typed("replay-clicks", "Missing argument 'OUT'", "labelled")
typed("replay-clicks", "No such option", "labelled", "out", "--nonsense")
for _method in ("", "Floodfill", "SAM", "../model"):
    replayed(f"the method {_method!r}", "unknown method", nothing, method=_method)
for _name, _says in {
    "nowhere": "no such folder",
    "work/photos": "no such folder",
    "work/labelled/a.png": "no such folder",
    "/dev/null": "no such folder",
    "n" * 300: "too long",
    "two\nlines": "no such folder",
}.items():
    replayed(f"of {_name[:20]!r}", _says, nothing, _name, "out", several=True)
for _name, _out, _says in (
    ("not empty", "work/photos", "is there already and not empty"),
    ("the labelled one", "work/labelled", "is there already and not empty"),
    ("a device", "/dev/null", "is there already and not"),
    ("below a file", "work/photos/a.png/out", "no such folder|directory|cannot be written"),
    ("where nothing can be", "/proc/nowhere/out", "cannot be written"),
    ("of a name too long", "n" * 300, "too long"),
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


def record(name: str, says: str, change: Callable[[dict[str, Any]], object]) -> None:
    """A record of clicks with a change."""

    def spoil(root: Path) -> None:
        path = root / "clicks" / "a.json"
        values = json.loads(path.read_text())
        change(values)
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


JSON = r"a\.json: cannot be read as JSON"
recorded("of no bytes", JSON, Path.touch)
recorded("cut short", JSON, lambda path: path.write_text('{"source": "a.png", "clicker": '))
recorded("no UTF-8", JSON, lambda path: path.write_bytes(b'{"source": "\xff"}'))
recorded("too deep", "nested too deeply", lambda path: path.write_text(nested()))
recorded("with a name twice", "'source' is given twice", lambda path: path.write_text('{"source": "a", "source": "b"}'))
recorded("a list", NONE, lambda path: path.write_text("[]"))
recorded("a number", NONE, lambda path: path.write_text("7"))
recorded("null", NONE, lambda path: path.write_text("null"))
recorded("a folder", r"a\.json: ", Path.mkdir)
recorded("a pipe", "no plain file", os.mkfifo)
recorded("a link to a device", "no plain file", lambda path: path.symlink_to("/dev/zero"))
recorded("a link to itself", r"a\.json: ", lambda path: path.symlink_to(path.name))
recorded("of another image", r"a\.json: does not fit|a\.json: is about", lambda path: write_json(path, foreign()))


def foreign() -> dict[str, Any]:
    """A record of an image that is larger, of other classes."""
    whole = json.loads((copy.original() / "labelled" / "clicks" / "b.json").read_text())
    return whole | {"classes": ["rust", "dent"]}


for _name in ("source", "clicker", "classes", "seconds", "shape", "edits", "defects", "arrays"):
    record(f"without {_name}", NONE, lambda values, name=_name: values.pop(name))
for _name, _changes in {
    "a shape of words": {"shape": ["high", "wide"]},
    "a shape that is text": {"shape": "12"},
    "a shape of three": {"shape": [32, 24, 3]},
    "a shape of halves": {"shape": [32.5, 24]},
    "a shape of nothing": {"shape": [0, 24]},
    "a negative shape": {"shape": [-32, -24]},
    "another shape": {"shape": [24, 32, 1]},
    "a shape beyond all images": {"shape": [10**5, 10**5]},
    "a shape of 10^30": {"shape": [10**30, 10**30]},
    "seconds in words": {"seconds": "long"},
    "negative seconds": {"seconds": -1},
    "10^400 seconds": {"seconds": 10**400},
    "edits that are a number": {"edits": 7},
    "edits that are text": {"edits": "click"},
    "an edit that is a list": {"edits": [["click", 1, 0]]},
    "an edit of nothing": {"edits": [{}]},
    "defects that are null": {"defects": None},
    "more defects than arrays": {"defects": [{"class_id": 1, "clicks": []}] * 9},
    "arrays that are a number": {"arrays": 7},
    "arrays of no base64": {"arrays": ["????"] * 3},
    "arrays that unpack to nothing": {"arrays": ["eJwDAAAAAAE="] * 3},
    "arrays that are no zlib": {"arrays": ["AAAA"] * 3},
    "classes that are null": {"classes": None},
}.items():
    record(_name, NONE, lambda values, changes=_changes: values.update(changes))
record("seconds that are no number", "NaN is no number of JSON", lambda values: values.update(seconds=float("nan")))
for _name, _changes in {
    "of no kind": {"kind": None},
    "of an unknown kind": {"kind": "drag"},
    "of a kind that is a list": {"kind": ["click"]},
    "with something more": {"colour": "red"},
    "of no point": {"points": []},
    "of two points": {"points": [[9, 9], [9, 10]]},
    "of a point of three": {"points": [[9, 9, 9]]},
    "of a point in words": {"points": [["top", "left"]]},
    "of a point beyond all numbers": {"points": [[1e300, 9]]},
    "of a point of 10^400": {"points": [[10**400, 9]]},
    "of a class in words": {"class_id": "one"},
    "of half a class": {"class_id": 1.5},
    "of a class that is null": {"class_id": None},
    "of half a defect": {"defect": 0.5},
    "of a defect that is true": {"defect": True},
    "that is positive in words": {"positive": "yes"},
    "when, in words": {"seconds": "soon"},
    "when, null": {"seconds": None},
}.items():
    record(f"a click {_name}", NONE, lambda values, changes=_changes: values["edits"][0].update(changes))
FIT = r"a\.json: does not fit its image .*; remove the image or label it anew"
for _name, _changes in {
    "outside the image": {"points": [[32, 9]]},
    "left of the image": {"points": [[9, -1]]},
    "between pixels": {"points": [[9.5, 9]]},
    "of class 0": {"class_id": 0},
    "of a class that there is not": {"class_id": 3},
    "of a negative defect": {"defect": -1},
    "of a defect before its turn": {"defect": 5},
}.items():
    record(f"a click {_name}", FIT, lambda values, changes=_changes: values["edits"][0].update(changes))
for _name, _changes in {
    "of a negative radius": {"radius": -1},
    "of a radius beyond all numbers": {"radius": 1e300},
    "of a radius in words": {"radius": "wide"},
    "of no point": {"points": []},
    "of points beyond all numbers": {"points": [[1e308, 0], [-1e308, 9]]},
}.items():
    record(f"a stroke {_name}", NONE, lambda values, changes=_changes: values["edits"][1].update(changes))
record("a stroke of another class", FIT, lambda values: values["edits"][1].update(defect=0))
ABOUT = r"a\.json: is about the classes .*; classes\.json names others"
for _name, _classes in {
    "other classes": ["rust", "dent"],
    "classes in another order": ["stain", "scratch"],
    "more classes": ["scratch", "stain", "dent"],
    "classes of two lines": ["scr\natch"],
}.items():
    record(_name, ABOUT, lambda values, classes=_classes: values.update(classes=classes))

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
for _name, _content in {
    "of no bytes": b"",
    "that are text": b"hello",
    "that are a pickle which runs a program": b"cos\nsystem\n(S'touch evil'\ntR.",
    "whose header is 2^63 bytes": (2**63).to_bytes(8, "little") + b"{}",
    "of no tensor": (2).to_bytes(8, "little") + b"{}",
}.items():
    foreign_network(
        f"weights {_name}", UNREADABLE, lambda root, content=_content: (root / WEIGHTS).write_bytes(content)
    )
foreign_network("weights that are missing", UNREADABLE, lambda root: (root / WEIGHTS).unlink())
foreign_network(
    "weights that are a folder", UNREADABLE, lambda root: ((root / WEIGHTS).unlink(), (root / WEIGHTS).mkdir())
)
foreign_network(
    "weights that are a pipe", UNREADABLE, lambda root: ((root / WEIGHTS).unlink(), os.mkfifo(root / WEIGHTS))
)


def tensors(name: str, change: Callable[[dict[str, torch.Tensor], str], object]) -> None:
    """Weights of which one, a convolution's, is changed."""

    def spoil(root: Path) -> None:
        values = load_file(root / WEIGHTS)
        change(values, next(name for name, value in values.items() if value.ndim == 4))
        save_file(values, root / WEIGHTS)

    foreign_network(f"weights {name}", UNREADABLE, spoil)


tensors("of a tensor more", lambda values, name: values.update(extra=torch.zeros(3)))
tensors("of a tensor less", lambda values, name: values.pop(name))
tensors("of another shape", lambda values, name: values.update({name: torch.zeros(3, 3)}))
tensors("of whole numbers", lambda values, name: values.update({name: values[name].to(torch.int8)}))
tensors("that are NaN", lambda values, name: values[name].fill_(torch.nan))
tensors("that are infinite", lambda values, name: values[name].fill_(torch.inf))


def card(name: str, says: str, **changes: Any) -> None:
    """A card with changes."""
    foreign_network(
        f"a card {name}",
        says,
        lambda root: write_json(root / CARD, json.loads((root / CARD).read_text()) | changes),
    )


def text(name: str, says: str, content: str) -> None:
    foreign_network(f"a card {name}", says, lambda root: (root / CARD).write_text(content))


text("of no bytes", "model.json: cannot be read as JSON", "")
text("cut short", "model.json: cannot be read as JSON", '{"widths": [16, ')
text("too deep", "nested too deeply", nested())
text("that is a list", UNREADABLE, "[]")
text("that is a number", UNREADABLE, "7")
text("that is empty", UNREADABLE, "{}")
card("of other widths", UNREADABLE, widths=[8, 16, 20, 32])
card("of three widths", "setting 'widths", widths=[16, 32, 80])
card("of widths in words", "setting 'widths", widths="wide")
card("of a negative width", "setting 'widths", widths=[-16, 32, 80, 128])
card("of a width of 10^9", "setting 'widths", widths=[16, 32, 80, 10**9])
card("of widths that do not divide", "setting 'widths'.*multiple of 8", widths=[16, 32, 80, 129])
card("of more layers", UNREADABLE, depths=[2, 2, 2, 2])
card("of 10^9 layers", "setting 'depths", depths=[1, 1, 1, 10**9])
card("of no crop", "setting 'crop'", crop=None)
card("of a crop in words", "setting 'crop'", crop="large")
card("of a crop of 33", "multiple of 32", crop=33)
card("of a crop of 10^9", "setting 'crop'", crop=32 * 10**8)
foreign_network("a card that is missing", "model.json", lambda root: (root / CARD).unlink())
foreign_network("a card that is a pipe", "no plain file", lambda root: ((root / CARD).unlink(), os.mkfifo(root / CARD)))
