"""Settings of a stage in JSON, for `build`; and profiles in YAML, for everything that takes one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_input.case import bad
from tests.bad_input.things import LAUGHS, nested, own_folder, training, write_json

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
settings("of no bytes", NO_JSON, "")
settings("cut short", NO_JSON, '{"stage": "denoiser", ')
settings("no UTF-8", NO_JSON, b'{"stage": "\xff"}')
settings("too deep", "nested too deeply", nested())
settings(
    "settings too deep", r"settings\.json|setting", '{"stage": "denoiser", "settings": {"data": ' + nested(900) + "}}"
)
settings("a name twice", "'stage' is given twice", '{"stage": "denoiser", "stage": "oracle"}')
settings("NaN", "NaN is no number of JSON", '{"stage": "denoiser", "settings": {"lr": NaN}}')
settings("a number of 10,000 digits", NO_JSON, '{"stage": "denoiser", "settings": {"steps": ' + "9" * 10_000 + "}}")
settings("a list", "must hold a table", [])
settings("null", "must hold a table", None)
settings("no stage", "no stage", {})
settings("an unknown stage", "denoiser", {"stage": "denoyser", "settings": {}})
settings("a stage that is a list", "stage", {"stage": ["denoiser"]})
settings("a stage that is a path", "no stage", {"stage": "../../denoiser"})
settings("a stage of 1 MB", "no stage", {"stage": "d" * 2**20})
settings("no settings", "setting '", {"stage": "denoiser"})
settings("settings that are a list", "settings", {"stage": "denoiser", "settings": [1, 2]})
settings("settings that are text", "settings", {"stage": "denoiser", "settings": "all"})
settings("settings that are null", "settings", {"stage": "denoiser", "settings": None})
settings("a pipe", "plain file|settings.json", os.mkfifo)
settings("a folder", "is a directory", lambda path: path.mkdir())
settings("a device", "plain file", lambda path: path.symlink_to("/dev/zero"))
settings("a link to itself", "settings.json", lambda path: path.symlink_to(path.name))
for _name, _says, _changes in (
    ("an unknown setting", "did you mean 'steps'", {"stps": 1}),
    ("no steps", "setting 'steps'", {"steps": 0}),
    ("negative steps", "setting 'steps'", {"steps": -5}),
    ("10^30 steps", "setting 'steps'", {"steps": 10**30}),
    ("steps in words", "setting 'steps'", {"steps": "many"}),
    ("half a step", "setting 'steps'", {"steps": 1.5}),
    ("a true batch", "setting 'batch'", {"batch": []}),
    ("a negative rate", "setting 'lr'", {"lr": -1e-3}),
    ("an infinite rate", "setting 'lr'", {"lr": "inf"}),
    ("a rate that overflows", "setting 'lr'", {"lr": "1e999"}),
    ("a rate that is no number", "setting 'lr'", {"lr": "nan"}),
    ("an average of 1", "setting 'ema'", {"ema": 1}),
    ("an unknown device", "setting 'device'", {"device": "tpu"}),
    ("a device of another number", "setting 'device'", {"device": "cuda:99"}),
    ("unknown arithmetic", "setting 'dtype'", {"dtype": "fp8"}),
    ("a net of no kind", "kind", {"net": {"channels": 8}}),
    ("a net of an unknown kind", "kind", {"net": {"kind": "huge"}}),
    ("an unknown receptive field", "nearest is 45", {"net": {"kind": "small", "receptive_field": 46}}),
    ("a net that is a list", "net", {"net": []}),
    ("channels of 10^30", "channels", {"net": {"kind": "small", "receptive_field": 9, "channels": 10**30}}),
    ("a fold of 10^30", "fold|multiple", {"net": {"kind": "large", "fold": 10**30}}),
    ("channels of none", "channels", {"net": {"kind": "large", "channels": []}}),
    ("an image beyond all", "setting 'image'", {"image": 10**30}),
    ("data of no kind", "kind", {"data": {"product": "softgel"}}),
    ("an unknown product", "did you mean 'softgel'", {"data": {"kind": "embedded", "product": "softgle"}}),
    ("a size of 10^9", "size", {"data": {"kind": "embedded", "product": "softgel", "size": 10**9}}),
    ("shots of 10^12", "shots", {"data": {"kind": "embedded", "product": "softgel", "shots": 10**12}}),
    (
        "an unknown dataset",
        "unknown dataset 'imagenet'",
        {"data": {"kind": "published", "dataset": "imagenet", "product": "x", "classes": ["y"]}},
    ),
    (
        "a dataset that is a path",
        "unknown dataset",
        {"data": {"kind": "published", "dataset": "../../x", "product": "x", "classes": ["y"]}},
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
    "10^30 pairs",
    "count",
    {
        "stage": "synthetic",
        "settings": {"large": training()["settings"], "small": training()["settings"], "count": 10**30},
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
of_folder("a digest that is no text", "digest", WHOLE, digest=7)
of_folder("a split that is not there", "no/where.json: cannot be read", WHOLE, split="no/where.json")
of_folder("a split out of the folder", "cannot be read", WHOLE, split="../../../../etc/passwd")
of_folder("a split that is a device", "no plain file", WHOLE, split="/dev/zero")
of_folder("a split of unknown images", "no image of the folder", {"train": ["x"], "eval": ["y"]})
of_folder("a folder that is not there", "no such folder|cannot be read", WHOLE, root="/nowhere/at/all")
of_folder("a folder with a zero byte", "no such folder|cannot be read|zero byte|null", WHOLE, root="own\0")
of_folder("a folder of 1 MB", "too long|cannot be read", WHOLE, root="/" + "x" * 2**20)
of_folder("a folder that is half a character", "root|no such folder|cannot be read", WHOLE, root="\ud800")

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
profile("of no bytes", "own.yaml: name the profile", "")
profile("no YAML", NO_YAML, "base: [smoke")
profile("tabs", NO_YAML, "base: smoke\nown:\n\tcount: 3\n")
profile("no UTF-8", NO_YAML, b"base: smoke\nname: \xff\n")
profile("a zero byte", NO_YAML, b"base: smoke\0")
profile("two documents", NO_YAML, "base: smoke\n---\nbase: cpu\n")
profile("too deep", "nested too deeply|cannot be read", nested())
profile("a list", "must be a table", "[base, smoke]")
profile("text", "must be a table", "smoke")
profile("a Python object", NO_YAML, "base: !!python/object/apply:os.system ['touch evil']")
profile("a Python name", NO_YAML, "base: !!python/name:os.system")
profile("an unknown tag", NO_YAML, "base: !Ref smoke")
profile("an alias of nothing", NO_YAML, "base: *nothing")
profile("a list that holds itself", "stands for more than|own.yaml", "base: smoke\nproducts: &a [*a]")
profile("a billion laughs", "stands for more than", "base: smoke\n" + LAUGHS)
profile("a value twice", "'shots' is given twice", "base: smoke\nshots: 1\nshots: 2\n")
profile("a thirteenth month", NO_YAML, "base: smoke\nname: 2024-13-45\n")
profile("a number of 10,000 digits", NO_YAML, f"base: smoke\nshots: {'9' * 10_000}\n")
profile("a list as name", NO_YAML, "base: smoke\n? [a]\n: 1\n")
profile("a number as name", "7", "base: smoke\n7: 1\n")
profile("no base", "own.yaml: name the profile", "shots: 3\n")
profile("a base that is a number", "own.yaml: name the profile", "base: 3\n")
profile("an unknown base", "did you mean 'smoke'", "base: smok\n")
profile("a base that is a path", "unknown profile", "base: ../../../etc/passwd\n")
profile("itself as base", "unknown profile", "base: own.yaml\n")
profile("an unknown value", "did you mean 'shots'", "base: smoke\nshotz: 3\n")
profile("an unknown value in a table", "did you mean 'steps'", "base: smoke\nlarge: {stepz: 3}\n")
profile("a table that is a number", "setting 'large'", "base: smoke\nlarge: 3\n")
profile("a number that is a table", "setting 'shots'", "base: smoke\nshots: {a: 3}\n")
profile("no shots", "setting 'shots'", "base: smoke\nshots: 0\n")
profile("negative steps", "steps", "base: smoke\nlarge: {steps: -1}\n")
profile("10^30 steps", "steps", f"base: smoke\nlarge: {{steps: {10**30}}}\n")
profile("an infinite rate", "lr", "base: smoke\nlarge: {lr: .inf}\n")
profile("a rate that is no number", "lr", "base: smoke\nlarge: {lr: .nan}\n")
profile("an infinite weight", "mask_weight", "base: smoke\nlarge: {mask_weight: .inf}\n")
profile("a size of 10^9", "size", "base: smoke\nsize: 1000000000\n")
profile("a size that does not fold", "multiple", "base: smoke\nsize: 33\n")
profile("an unknown device", "device", "base: smoke\ndevice: tpu\n")
profile("channels of none", "channels", "base: smoke\nlarge_net: {channels: []}\n")
profile("negative channels", "channels", "base: smoke\nlarge_net: {channels: [-8, 8]}\n")
profile("10^9 channels", "channels", "base: smoke\nlarge_net: {channels: [1000000000]}\n")
profile("attention where there is no resolution", "attention", "base: smoke\nlarge_net: {attention: [99]}\n")
profile("a batch that does not divide", "batch", "base: smoke\nlarge: {batch: 3, processes: 2}\n")
profile("not there", "own.yaml: cannot be read", lambda path: None)
profile("a folder", "own.yaml: cannot be read", lambda path: path.mkdir())
profile("a pipe", "plain file", os.mkfifo)
profile("a device", "plain file", lambda path: path.symlink_to("/dev/zero"))
profile("a link to itself", "own.yaml: cannot be read", lambda path: path.symlink_to("own.yaml"))
for _name, _says in (
    ("", "unknown profile"),
    ("cup", "did you mean 'cpu'"),
    ("../smoke", "unknown profile"),
    ("smoke.yml", "unknown profile"),
    ("~nobody-at-all/x.yaml", "cannot be read"),
    ("x\ny.yaml", "cannot be read"),
    ("n" * 300 + ".yaml", "too long|cannot be read"),
    ("x" * 100_000, "unknown profile"),
):
    bad("profile YAML", f"called {_name[:20]!r}", _says, lambda place, name=_name: ["train-oracle", "--profile", name])
