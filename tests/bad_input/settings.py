"""Settings of a stage in JSON, for `build`; and profiles in YAML, for everything that takes one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_input.case import bad
from tests.bad_input.things import nested, own_folder, training, write_json

# Settings -----------------------------------------------------------------------------------------------------------


def settings(name: str, says: str, content: Any) -> None:
    """A settings file; what is not text becomes JSON, and what can be called makes the file itself."""

    def make(place: Path) -> list[str]:
        path = place / "settings.json"
        if callable(content):
            content(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write_json(path, content)
        return ["build", "--settings", "settings.json"]

    bad("build --settings", name, says, make)


NO_JSON = r"settings\.json: (is not JSON|cannot be read as JSON)"
settings("cut short", NO_JSON, '{"stage": "denoiser", ')
settings("no UTF-8", NO_JSON, b'{"stage": "\xff"}')
settings("too deep", "nested too deeply", nested())
settings("a name twice", "'stage' is given twice", '{"stage": "denoiser", "stage": "oracle"}')
settings("NaN", "NaN is no number of JSON", '{"stage": "denoiser", "settings": {"lr": NaN}}')
settings("a list", "must hold a table", [])
settings("no stage", "no stage", {})
settings("an unknown stage", "denoiser", {"stage": "denoyser", "settings": {}})
settings("settings that are a list", "settings", {"stage": "denoiser", "settings": [1, 2]})
settings("a pipe", "plain file|settings.json", os.mkfifo)
for _name, _says, _changes in (
    ("an unknown setting", "did you mean 'steps'", {"stps": 1}),
    ("no steps", "setting 'steps'", {"steps": 0}),
    ("half a step", "setting 'steps'", {"steps": 1.5}),
    ("a rate that is no number", "setting 'lr'", {"lr": "nan"}),
    ("an unknown device", "setting 'device'", {"device": "tpu"}),
    ("a net of no kind", "kind", {"net": {"channels": 8}}),
    ("an unknown receptive field", "nearest is 45", {"net": {"kind": "small", "receptive_field": 46}}),
    ("channels of 10^30", "channels", {"net": {"kind": "small", "receptive_field": 9, "channels": 10**30}}),
    ("an unknown product", "did you mean 'softgel'", {"data": {"kind": "embedded", "product": "softgle"}}),
    ("shots of 10^12", "shots", {"data": {"kind": "embedded", "product": "softgel", "shots": 10**12}}),
    (
        "an unknown dataset",
        "unknown dataset 'imagenet'",
        {"data": {"kind": "published", "dataset": "imagenet", "product": "x", "classes": ["y"]}},
    ),
    (
        "a dataset that is not here",
        "no such folder",
        {"data": {"kind": "published", "dataset": "mvtec_ad", "product": "screw", "classes": ["y"]}},
    ),
):
    settings(_name, _says, training(**_changes))
settings(
    "a switch step beyond T",
    "switch_step",
    {
        "stage": "synthetic",
        "settings": {"large": training()["settings"], "small": training()["settings"], "count": 1, "switch_step": 1001},
    },
)
settings(
    "an unknown model",
    "did you mean 'UNet'",
    {"stage": "segmenter", "settings": {"data": training()["settings"]["data"], "model": "unett", "steps": 1}},
)


def of_folder(name: str, says: str, manifest: Any, **changes: Any) -> None:
    """Settings that name a dataset folder."""

    def make(place: Path) -> list[str]:
        root = own_folder(place / "own")
        write_json(root / "splits" / "default.json", manifest)
        data = {"kind": "folder", "root": str(root), "digest": "0" * 64, "split": "splits/default.json"}
        write_json(place / "settings.json", training(data=data | changes))
        return ["build", "--settings", "settings.json"]

    bad("build --settings", name, says, make, several=True)


WHOLE = {"train": ["a", "b"], "eval": ["c", "d"]}
of_folder("another digest", "changed since it was taken up", WHOLE)
of_folder("a split that is not there", "no/where.json: cannot be read", WHOLE, split="no/where.json")
of_folder("a split out of the folder", "cannot be read", WHOLE, split="../../../../etc/passwd")
of_folder("a split of unknown images", "no image of the folder", {"train": ["x"], "eval": ["y"]})

# Profiles -----------------------------------------------------------------------------------------------------------


def profile(name: str, says: str, content: str | bytes | Callable[[Path], object]) -> None:
    """A profile of one's own."""

    def make(place: Path) -> list[str]:
        path = place / "own.yaml"
        if callable(content):
            content(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return ["train-generator", "--profile", "own.yaml"]

    bad("profile YAML", name, says, make)


NO_YAML = r"own\.yaml: cannot be read as YAML"
profile("no YAML", NO_YAML, "base: [smoke")
profile("no UTF-8", NO_YAML, b"base: smoke\nname: \xff\n")
profile("too deep", "nested too deeply|cannot be read", nested())
profile("a list", "must be a table", "[base, smoke]")
profile("a Python object", NO_YAML, "base: !!python/object/apply:os.system ['touch evil']")
profile("a value twice", "'shots' is given twice", "base: smoke\nshots: 1\nshots: 2\n")
profile("no base", "own.yaml: name the profile", "shots: 3\n")
profile("an unknown base", "did you mean 'smoke'", "base: smok\n")
profile("itself as base", "unknown profile", "base: own.yaml\n")
profile("an unknown value", "did you mean 'shots'", "base: smoke\nshotz: 3\n")
profile("an unknown value in a table", "did you mean 'steps'", "base: smoke\nlarge: {stepz: 3}\n")
profile("a table that is a number", "setting 'large'", "base: smoke\nlarge: 3\n")
profile("no shots", "setting 'shots'", "base: smoke\nshots: 0\n")
profile("a rate that is no number", "lr", "base: smoke\nlarge: {lr: .nan}\n")
profile("a size of 10^9", "size", "base: smoke\nsize: 1000000000\n")
profile("a size that does not fold", "multiple", "base: smoke\nsize: 33\n")
profile("attention where there is no resolution", "attention", "base: smoke\nlarge_net: {attention: [99]}\n")
profile("a batch that does not divide", "batch", "base: smoke\nlarge: {batch: 3, processes: 2}\n")
profile("not there", "own.yaml: cannot be read", lambda path: None)
profile("a pipe", "plain file", os.mkfifo)
for _name, _says in (("cup", "did you mean 'cpu'"), ("../smoke", "unknown profile"), ("x\ny.yaml", "cannot be read")):
    bad("profile YAML", f"called {_name!r}", _says, lambda place, name=_name: ["train-oracle", "--profile", name])
