"""Notebooks, and what is given to them: `plan`, `record`, `run-notebook`, `refresh-notebooks`, `publish`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

from tests.bad_input.case import bad
from tests.bad_input.things import committed, notebook, own_folder

# Files --------------------------------------------------------------------------------------------------------------

READERS = {
    "plan": ["plan", "x.ipynb"],
    "run-notebook": ["run-notebook", "x.ipynb", "out.ipynb"],
    "record": ["record", "x.ipynb"],
    "refresh-notebooks": ["refresh-notebooks", "x.ipynb"],
    "publish": ["publish", "x.ipynb"],
}


def file(name: str, says: str, content: str | bytes | Callable[[Path], object], *entries: str) -> None:
    """A file in place of a notebook, for some of the commands that read one."""
    for entry in entries or ("plan",):

        def make(place: Path, entry: str = entry) -> list[str]:
            path = place / "x.ipynb"
            if callable(content):
                content(path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            return READERS[entry]

        bad(entry, f"a notebook {name}", says, make)


def whole(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """A notebook of which ``change`` made something else."""

    def write(path: Path) -> None:
        content = json.loads(notebook(path).read_text())
        change(content)
        path.write_text(json.dumps(content))

    return write


NOTHING = r"x\.ipynb: this is not a notebook that can be read"
file("that is not there", "there is no such notebook", lambda path: None, *READERS)
file("of no bytes", NOTHING, "", *READERS)
file("cut short", NOTHING, lambda path: path.write_text(notebook(path).read_text()[:200]), *READERS)
file("that is a folder", "cannot be read as a notebook", lambda path: path.mkdir(), *READERS)
file("that is a pipe", "no plain file", os.mkfifo, *READERS)
file("that is a list", NOTHING, "[]")
file("without cells", NOTHING, whole(lambda content: content.pop("cells")))
file("of a cell without source", NOTHING, whole(lambda content: content["cells"][0].pop("source")))
file("of format 99", NOTHING, whole(lambda content: content.update(nbformat=99)))
file("of a name that no chapter has", "unknown notebook 'x'", notebook, "plan", "record")
file("whose parameters are no Python", "of its parameters cell is not Python", lambda path: notebook(path, "profile ="))
file("that never ran", "has not run; run it again", notebook, "publish")
for _name, _record in {
    "text": "yesterday",
    "empty": {},
}.items():
    file(
        f"whose record is {_name}",
        "how it was executed cannot be read",
        lambda path, record=_record: ran(path, record),
        "publish",
    )


def ran(path: Path, record: Any) -> None:
    """A notebook that seems to have been executed."""
    read = nbformat.read(notebook(path), as_version=4)
    for number, cell in enumerate(read.cells, 1):
        cell.execution_count = number
    read.metadata["defectlib"] = record
    nbformat.write(read, path)


def of_unknown_profile(place: Path) -> list[str]:
    (place / "build" / "stage").mkdir(parents=True)
    (place / "build" / "stage" / "kept.txt").touch()
    record = {"notebook": "04_switch_step.ipynb", "parameters": {"profile": "huge"}, "commit": "0" * 40}
    ran(
        place / "04_switch_step.ipynb", record | {"machine": "m", "finished": "2026-01-01T00:00:00Z", "wall_seconds": 1}
    )
    return ["publish", "04_switch_step.ipynb"]


bad("publish", "a notebook whose record names an unknown profile", "unknown profile", of_unknown_profile)


# Parameters ---------------------------------------------------------------------------------------------------------


def given(name: str, says: str, number: str, *words: str, entry: str = "plan", several: bool = False) -> None:
    """Words after a committed notebook."""
    bad(entry, name, says, lambda place: [entry, committed(number), *words], several=several)


given("-p without a value", "give a name and a value", "04", "-p", "profile")
given("-p of an unknown parameter", "did you mean 'profile'", "04", "-p", "profil", "cpu")
given("-p of an unknown profile", "unknown profile", "04", "-p", "profile", "huge")
given("-p of an unknown product", "did you mean 'softgel'", "04", "-p", "product", "soft gel")
given("-p of an unknown product of a dataset", "did you mean 'screw'", "04", "-p", "product", "mvtec_ad/skrew")
given("-p of text for a list", "must be list", "04", "-p", "switch_steps", "300")
given("-p of YAML that is none", "this is not YAML", "04", "-p", "switch_steps", "[1")
given("-p of a negative image", "image", "11", "-p", "image", "-1")
given("-p of half an image", "must be int", "11", "-p", "image", "1.5")
given("-p of no pairs", "pairs|gallery", "10", "-p", "pairs", "0")
given("-p of a data folder that is not there", "no such folder", "07", "-p", "data", "/nowhere/at/all")
given("-p of an unknown model", "did you mean 'UNet'", "07", "-p", "model", "unet2")
given("-p of one round", "rounds", "13", "-p", "rounds", "1")
given("-y that is no YAML", "this is not YAML", "04", "-y", "switch_steps: [1")
given("-y that is a list", "give a YAML mapping", "04", "-y", "[1, 2]")
given("-y of a Python object", "this is not YAML", "04", "-y", "profile: !!python/object/apply:os.system [id]")
given("-y of a value twice", "'profile' is given twice", "04", "-y", "{profile: cpu, profile: gpu}")
given("-y of a switch step beyond T", "switch", "04", "-y", "switch_steps: [1001]")
given("-y of no product", "products", "05", "-y", "products: []")
given("-y of no model", "models|boosted", "05", "-y", "models: []")
given("-y of an unknown model", "unknown model", "05", "-y", "models: [resnet]")
given("-y of no ratio", "ratios", "05", "-y", "ratios: []")
given("-y of a negative ratio", "ratios", "05", "-y", "ratios: [-20]")
given("-y of an unknown sampler", "sampler|network_calls", "10", "-y", "network_calls: {euler: [5]}")
given("-y of one network call", "network_calls", "10", "-y", "network_calls: {ddpm: [1]}")
given("an unknown parameter", "did you mean 'profile'", "10", "-p", "profil", "cpu", entry="record")
given("a study without numbers", "keeps no reference results", "01", entry="record")
given("an output that is a file", "name another place|cannot", "10", "--out", "/dev/null", entry="record")


def runs(name: str, says: str, *words: str) -> None:
    """Words after a small notebook that must never be run."""
    bad("run-notebook", name, says, lambda place: ["run-notebook", str(notebook(place / "x.ipynb")), *words])


runs("an unknown parameter", "did you mean 'profile'", "out.ipynb", "-p", "profil", "cpu")
runs("an output that is no notebook", "must be a file whose name ends in .ipynb", "out.html")
runs("the notebook as its own output", "would overwrite the notebook itself", "x.ipynb")
runs("an output below a file", "directory|exists", "x.ipynb/out.ipynb")
runs("an output where nothing can be", "name another place|cannot", "/proc/nowhere/out.ipynb")


def of_data(name: str, says: str, *words: str) -> None:
    """Words after the notebook for one's own data."""

    def make(place: Path) -> list[str]:
        own_folder(place / "own")
        return ["plan", committed("07"), "-p", "data", "own", *words]

    bad("plan", name, says, make)


of_data("-p of no count", "count", "-p", "count", "0")
of_data("-p of more shots than images", "class 'scratch' has", "-p", "shots", "5000")


def of_faulty_data(place: Path) -> list[str]:
    (own_folder(place / "own") / "classes.json").write_text("{")
    return ["plan", committed("07"), "-p", "data", "own"]


bad("plan", "-p of a data folder with faults", "cannot be read as JSON", of_faulty_data, several=True)
