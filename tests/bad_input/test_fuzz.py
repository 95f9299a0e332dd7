"""Every reader on files of which bytes were changed: it reads them, or raises what a user can mend; nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from PIL import Image
from safetensors.torch import save

from defectclick.classical import FloodFill
from defectclick.records import read_record
from defectclick.session import Session
from defectlib.data import folder
from defectlib.data.pixels import read_binary, read_image, read_mask
from defectlib.data.sources.captions import COLUMNS, read_captions
from defectlib.data.sources.dagm import _read_list
from defectlib.data.sources.vision import Vision
from defectlib.data.split import Split
from defectlib.errors import UserError, one_line
from defectlib.plots import tables
from defectlib.profiles import load_profile
from defectlib.publishing import notebooks, parameters
from defectlib.segmentation import training
from defectlib.segmentation.models import build
from defectlib.store import PROVENANCE, SEAL, Store, read_settings
from tests.bad_input import clicks
from tests.bad_input.things import committed, own_folder
from tests.bad_input.things import training as stage
from tests.data.miniatures import CLASSES, labels, picture
from tests.data.sources.mini_vision import PAGE, box, coco

#: Bytes that mean something to some format or other.
TELLING = [
    b"\0",
    b"\xff",
    b"\n",
    b'"',
    b"{",
    b"]",
    b":",
    b"-",
    b"9" * 30,
    b"1e999",
    b"NaN",
    b"null",
    b"&a ",
    b"*a",
    b"<",
    b"\\ud800",
]
EXAMPLES = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` after one to five changes: bytes replaced, put in, taken out, repeated, or all from somewhere on."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, len(changed)))
        length = draw(st.integers(0, 8))
        match draw(st.sampled_from(["replace", "insert", "delete", "repeat", "cut"])):
            case "replace":
                changed[place : place + length] = draw(st.binary(min_size=length, max_size=length))
            case "insert":
                changed[place:place] = draw(st.sampled_from(TELLING) | st.binary(max_size=8))
            case "delete":
                del changed[place : place + length]
            case "repeat":
                changed[place:place] = changed[max(0, place - 40) : place]
            case "cut":
                del changed[place:]
    return bytes(changed)


def encoded(form: str, pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def workbook() -> bytes:
    book, file = Workbook(), BytesIO()
    for row in (COLUMNS, ("cable/bent_wire/000.png", "A cable.", "Its wire is bent.")):
        book.active.append(row)
    book.save(file)
    return file.getvalue()


def notebook() -> bytes:
    cell = nbformat.v4.new_code_cell('profile: str = "smoke"  # how much', id="a", metadata={"tags": ["parameters"]})
    return nbformat.writes(nbformat.v4.new_notebook(cells=[cell])).encode()


def read_captions_strictly(path: Path) -> None:
    faults: list[str] = []
    read_captions(path, {"cable"}, faults)
    assert all(fault.startswith(str(path)) for fault in faults)


def read_page(path: Path) -> None:
    Vision(path.parents[2]).check()


def read_notebook(path: Path) -> None:
    notebooks.fault(notebooks.read(path))
    parameters.check(path.name, {"profile": "cpu"}, parameters.declared(path))


def read_any_profile(path: Path) -> None:
    load_profile(str(path)).data("softgel")


def labelled() -> Path:
    return clicks.copy.original() / "labelled"


def replay_record(path: Path) -> None:
    image = read_image(labelled() / "images" / "a.png")
    record = read_record(path)
    session = Session(image, len(record.classes), FloodFill())
    try:
        for edit in record.edits:
            session.apply(edit)
    except ValueError as error:  # as the replay of a folder says it
        raise UserError(f"{path}: does not fit its image ({one_line(str(error))})") from error


def numbers(sealed: bool = True) -> bytes:
    frame = pd.DataFrame({"model": ["UNet", "DL"], "miou": [0.5, None]}).set_index("model")
    about = dict.fromkeys(tables.RECORDED, "2026-11-23")
    with TemporaryDirectory() as folder:
        content = tables.write_record("x", frame, about, Path(folder)).read_text()
    values = json.loads(content)
    return json.dumps(values if sealed else {name: values[name] for name in values if name != SEAL}).encode()


MASK = labels((1, 2))
#: Where the file stands, what it holds at first, and what reads it.
READERS: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "PNG image": ("a.png", encoded("PNG", picture("a")), read_image),
    "JPEG image": ("a.jpg", encoded("JPEG", picture("a")), read_image),
    "BMP image": ("a.bmp", encoded("BMP", picture("a")), read_image),
    "TIFF image": ("a.tif", encoded("TIFF", picture("a")), read_image),
    "mask": ("a.png", encoded("PNG", MASK), lambda path: read_mask(path, 2)),
    "binary mask": ("a.png", encoded("PNG", MASK * np.uint8(127)), read_binary),
    "classes.json": (
        "classes.json",
        json.dumps({str(i): name for i, name in enumerate(CLASSES, 1)}).encode(),
        lambda path: folder.read_classes(path.parent),
    ),
    "groups.json": ("groups.json", b'{"a": "part", "b": "part"}', lambda path: folder.read_groups(path.parent)),
    "split manifest": ("s.json", b'{"train": ["a"], "eval": ["b"], "rule": "by hand", "seed": 0}', Split.read),
    "captions.csv": (
        "captions.csv",
        b'key,caption\na,"one, two"\nb,three\n',
        lambda path: folder._read_captions(path.parent),
    ),
    "provenance.json": ("provenance.json", b'{"product": "parts"}', lambda path: folder._read_product(path.parent)),
    "captions.xlsx": ("captions.xlsx", workbook(), read_captions_strictly),
    "Labels.txt": ("Labels.txt", b"1\n1\t1\t0576.PNG\t1\t0576_label.PNG\n", _read_list),
    "COCO json": (
        f"Casting/train/{PAGE}",
        json.dumps(coco("Casting", {"a.jpg": [(0, [box(1, 1, 4, 4)])]})).encode(),
        read_page,
    ),
    "settings": ("settings.json", json.dumps(stage()).encode(), read_settings),
    "profile": (
        "own.yaml",
        b"base: smoke\nown: {crop: 32, count: 7}\nproducts: &a [softgel]\nmodels: [UNet]\n",
        read_any_profile,
    ),
    "notebook": ("x.ipynb", notebook(), read_notebook),
    "record of clicks": ("a.json", (labelled() / "clicks" / "a.json").read_bytes(), replay_record),
    "reference results": ("x.json", numbers(), lambda path: tables.record(path.stem, path.parent)),
    "unsealed numbers": ("x.json", numbers(sealed=False), lambda path: tables.record(path.stem, path.parent)),
}


def refusal(read: Callable, *arguments: object) -> list[str]:
    """The lines of the error that a user can mend; none where what was given is read."""
    try:
        read(*arguments)
    except UserError as error:
        return list(error.lines)
    return []


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_reads_or_refuses(reader, tmp_path):
    name, whole, read = READERS[reader]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if reader == "COCO json":
        (path.parent / "a.jpg").write_bytes(encoded("JPEG", picture("a", (20, 24))))
    path.write_bytes(whole)
    read(path)  # what is not changed is read

    @EXAMPLES
    @given(mutated(whole))
    def refuses(content: bytes) -> None:
        path.write_bytes(content)
        assert all(line.isprintable() for line in refusal(read, path))

    refuses()


def test_a_folder_is_taken_up_or_refused(tmp_path):
    root = own_folder(tmp_path / "own")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    contents = {path: path.read_bytes() for path in files}

    @EXAMPLES
    @given(st.data())
    def refuses(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(files))
        path.write_bytes(data.draw(mutated(contents[path])))
        said = refusal(folder.read_dataset, root)
        path.write_bytes(contents[path])
        assert not said or str(path) in "\n".join(said)

    refuses()


def test_a_trained_model_is_loaded_or_refused(tmp_path):
    weights = save({name: value.contiguous() for name, value in build("UNet", 2, seed=0).state_dict().items()})
    start = int.from_bytes(weights[:8], "little") + 8
    card = json.dumps({"model": "UNet", "classes": ["a", "b"], "defect_types": 2}).encode()

    @settings(EXAMPLES, max_examples=15)
    @given(
        st.one_of(
            st.tuples(mutated(weights[:start]), st.just(card)), st.tuples(st.just(weights[:start]), mutated(card))
        )
    )
    def refuses(both: tuple[bytes, bytes]) -> None:
        (tmp_path / training.WEIGHTS).write_bytes(both[0] + weights[start:])
        (tmp_path / training.CARD).write_bytes(both[1])
        said = "\n".join(refusal(training.load, tmp_path))
        assert not said or str(tmp_path) in said or "unknown model" in said

    refuses()


def test_the_provenance_of_an_artifact_is_read_or_the_artifact_set_aside(tmp_path):
    found = stage()
    settings_file = tmp_path / "settings.json"
    settings_file.write_text(json.dumps(found))
    asked = read_settings(settings_file)
    artifact = tmp_path / "store" / asked.stage / asked.key()
    whole = json.dumps({"stage": asked.stage, "settings": found["settings"], "files": {}}).encode()

    @EXAMPLES
    @given(mutated(whole))
    def finds(content: bytes) -> None:
        artifact.mkdir(parents=True, exist_ok=True)
        (artifact / PROVENANCE).write_bytes(content)
        assert Store(tmp_path / "store", shipped=None).find(asked) in (artifact, None)

    finds()


@EXAMPLES
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda some: some.decode("latin-1")))
def test_what_is_given_as_parameters_is_read_or_refused(text):
    declared = parameters.declared(Path(committed("04")))
    said = refusal(parameters.parse, [("switch_steps", text)], text, declared)
    assert not said or said[0].startswith("-")


def test_a_profile_that_is_not_changed_is_what_yaml_says(tmp_path):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"base": "smoke", "shots": 3}))
    assert load_profile(str(tmp_path / "own.yaml")).shots == 3
