"""The golden master: numbers that stay what they are while everything around them is renamed and moved.

``golden.json`` holds numbers without the names of columns, captions and functions. Where a processor's kernels change a
number, it holds the range seen with several kernels, as "low..high", or null where that is wide, as that of a time is.
All that knows the package's names is in the first section below.

    python -m tests.golden.test_golden measure OUT.json [NOTEBOOKS]
    python -m tests.golden.test_golden merge A.json B.json ...

The first command measures (tables come from the executed notebooks in a folder, the committed ones if none is named);
repeat it with ATEN_CPU_CAPABILITY=default, and with ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2. The second writes
``golden.json`` from what was measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

# What knows the package's names -------------------------------------------------------------------------------------


def command(*arguments: str | Path) -> None:
    """Run ``defectlib ARGUMENTS``."""
    from defectlib.cli import main

    with mock.patch("sys.argv", ["defectlib", *map(str, arguments)]), pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, arguments


def oracle_counts(product: str) -> np.ndarray:
    """Confusion counts (N, K + 1, K + 1) of the shipped oracle on held-out images."""
    from defectlib import metrics
    from defectlib.data import procedural
    from defectlib.profiles import load_profile
    from defectlib.segmentation import oracle
    from defectlib.segmentation.evaluation import predict
    from defectlib.store import Store

    profile = load_profile("cpu")
    network = oracle.load(Store().find(profile.oracle_training(profile.data(product))))
    scenes = [procedural.sample(product, "eval", i, size=64) for i in range(6)]
    preds = predict(network, [scene.image for scene in scenes])
    return metrics.image_counts([scene.mask for scene in scenes], preds, len(scenes[0].classes) + 1)


def verdicts() -> dict[str, list]:
    """Claim → verdict on the reference results, and the numbers in what is said of it."""
    from defectlib.experiments import claims, plans

    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, DEFECTLIB_STORE=folder):
        rows = claims.judge(plans.scoreboard().chapters)
    return {name: [row.verdict, *numbers(row["reference"]), *numbers(row["this run"])] for name, row in rows.iterrows()}


def timesteps(u: int, steps: int) -> list[list[int]]:
    """Of the large and of the small net."""
    from defectlib.defectgen.timesteps import two_stage_timesteps

    return list(map(list, two_stage_timesteps(u, steps)))


def receptive_fields() -> list[list[int]]:
    """Of every small net: asked for, by its layers, by its gradients."""
    from defectlib.defectgen.receptive_field import ladder

    return [[size, *found] for size, found in ladder().items()]


def ddim(noise: np.ndarray) -> list[float]:
    """Samples that the deterministic reverse process with the exact denoiser of Figure 3 makes of noise (N,)."""
    import torch

    from defectlib.defectgen import density

    return density.reverse(density.TRUTH.denoise, torch.from_numpy(noise)).tolist()


def child_seed(*names: str | int) -> int:
    """Of root seed 0."""
    from defectlib.runtime import child_seed

    return child_seed(0, *names)


# What is measured ---------------------------------------------------------------------------------------------------

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
GOLDEN = Path(__file__).with_name("golden.json")
LEFT_OUT = ("00_scoreboard", "13_speed", "15_cost")  # texts, and times
#: (product, u, sampler) of the samples of shipped networks.
SAMPLED = (("softgel", 0, "ddim"), ("softgel", 400, "ddim"), ("twill", 400, "dpm++"), ("washer", 1000, "ddpm"))


def sampled() -> dict[str, list]:
    """Two pairs by each sampler, six network calls: means of 8 × 8 pixels, and how many pixels show each class."""
    found = {}
    for product, u, sampler in SAMPLED:
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, DEFECTLIB_STORE=f"{folder}/store"):
            profile = Path(folder, "fp32.yaml")  # as every processor can: the profile's own is bf16 where that is quick
            profile.write_text("base: cpu\nprecision: fp32\n")
            options = ("--profile", profile, "--product", product, "--switch-step", u, "--sampler", sampler)
            command("sample", *options, "--calls", 6, "--count", 2, "--out", f"{folder}/out")
            images, masks = (
                np.stack([np.asarray(Image.open(path)) for path in sorted(Path(folder, "out", kind).iterdir())])
                for kind in ("images", "masks")
            )
        n, height, width, _ = images.shape
        blocks = images.reshape(n, height // 8, 8, width // 8, 8, 3).mean(axis=(2, 4)).round(1)
        found[f"{product} {u} {sampler}"] = [*blocks.reshape(n, -1).tolist(), *map(np.bincount, masks.reshape(n, -1))]
    return found


def baseline_counts() -> np.ndarray:
    """Per-image confusion counts of a baseline trained for the few steps of the smoke profile."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, DEFECTLIB_STORE=folder):
        command("train-segmenter", "--model", "M-B0", "--profile", "smoke")
        (counts,) = Path(folder).rglob("counts.npy")
        return np.load(counts)


def experiment() -> dict[str, list]:
    """The data frames that the experiment on synthetic data gives under the smoke profile; all is trained anew."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, DEFECTLIB_STORE=f"{folder}/store"):
        command("record", NOTEBOOKS / "05_synthetic_boost.ipynb", "-p", "profile", "smoke", "--out", f"{folder}/out")
        frames = [json.loads(path.read_text())["rows"] for path in sorted(Path(folder, "out").iterdir())]
    return {"frames": [[[cell for cell in row if type(cell) in (int, float)] for row in rows] for rows in frames]}


def facts() -> dict[str, Any]:
    """What no kernel changes."""
    steps = {f"{u} {n}": timesteps(u, n) for u in (0, 1, 137, 400, 999, 1000) for n in (2, 3, 10, 50, 333, 1000)}
    return {
        "timesteps": {name: hashlib.sha256(json.dumps(both).encode()).hexdigest()[:16] for name, both in steps.items()},
        "few timesteps": timesteps(400, 10),
        "receptive fields": receptive_fields(),
        "ddim": ddim(np.linspace(-3, 3, 13)),
        "child seeds": [child_seed("init"), child_seed("noise", 0), child_seed("pair", 7)],
    }


def numbers(text: str) -> list[float]:
    """All numbers in a text."""
    found = re.findall(r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?", text.replace("\N{MINUS SIGN}", "-"))
    return [float(number.replace(",", "")) for number in found]


def tables(folder: Path) -> dict[str, list]:
    """Notebook → its tables of results, as lists of rows, the numbers of a row in a list."""
    found = {}
    for path in (path for path in sorted(folder.glob("*.ipynb")) if path.stem not in LEFT_OUT):
        outputs = (output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", ()))
        texts = (output.get("data", {}).get("text/html", "") for output in outputs)
        pages = (BeautifulSoup(text, "html.parser") for text in texts if text.startswith("<table"))
        rows = [[numbers(" ".join(cell.text for cell in row("td"))) for row in page("tr")] for page in pages]
        found[path.stem] = [[row for row in table if row] for table in rows]
    return found


#: Compared number by number.
MEASURES: dict[str, Callable[[], Any]] = {
    "facts": facts,
    "verdicts": verdicts,
    "shipped oracles": lambda: {product: oracle_counts(product) for product in ("softgel", "twill")},
    "shipped samples": sampled,
    "baseline counts": baseline_counts,
}
#: Tables, of which rows and columns may be added and moved.
TABLES: dict[str, Callable[[], Any]] = {"notebooks": lambda: tables(NOTEBOOKS), "experiment": experiment}
#: What rounding may add to a range: counts of pixels, gray levels, the last digit of what is printed, fractions.
ROUNDING = {"shipped oracles": 3, "shipped samples": 2, "baseline counts": 3, "notebooks": 0.0015, "experiment": 0.002}


# Comparison ---------------------------------------------------------------------------------------------------------


def differences(golden: Any, found: Any, rounding: float, where: str = "") -> Iterator[str]:
    """Each place where ``found`` is not what ``golden`` allows."""
    if isinstance(golden, dict | list) and type(golden) is type(found) and len(golden) == len(found):
        for name in golden if isinstance(golden, dict) else range(len(golden)):
            inner = found.get(name) if isinstance(found, dict) else found[name]
            yield from differences(golden[name], inner, rounding, f"{where}/{name}")
    elif not allowed(golden, found, rounding):
        yield f"{where}: {golden} became {found}"


def allowed(golden: Any, found: Any, rounding: float) -> bool:
    """Whether a number is the golden one, up to its range once more to both sides, and rounding."""
    low, _, high = str(golden).partition("..")
    if golden is None or not re.fullmatch(r"[-+.\de]+", low) or not isinstance(found, int | float):
        return golden is None or golden == found
    margin = float(high or low) - float(low) + max(rounding, 1e-5 * abs(float(low)))
    return float(low) - margin <= found <= float(high or low) + margin


def shows(table: list, golden: list, rounding: float) -> bool:
    """Whether all numbers of every golden row are in one row of ``table``, whatever else is."""
    return all(
        any(all(any(allowed(number, cell, rounding) for cell in row) for number in wanted) for row in table)
        for wanted in golden
    )


def merge(values: list) -> Any:
    """What was measured with several kernels in one."""
    first, *others = values
    if all(first == other for other in others) and not isinstance(first, dict | list | float):
        return first
    if isinstance(first, dict):
        return {name: merge([value[name] for value in values]) for name in first}
    if isinstance(first, list):
        assert all(len(first) == len(other) for other in others)
        return [merge(list(each)) for each in zip(*values, strict=True)]
    low, high = (float(f"{bound:.6g}") if isinstance(bound, float) else bound for bound in (min(values), max(values)))
    if low == high:
        return low
    return None if 0 < 1.3 * low < high else f"{low}..{high}"


@pytest.mark.parametrize("name", MEASURES)
def test_numbers_are_the_golden_ones(name: str) -> None:
    found = json.loads(json.dumps(MEASURES[name](), default=np.ndarray.tolist))
    assert not list(differences(json.loads(GOLDEN.read_text())[name], found, ROUNDING.get(name, 0)))


@pytest.mark.parametrize("name", TABLES)
def test_tables_hold_the_golden_numbers(name: str) -> None:
    found = [table for tables in TABLES[name]().values() for table in tables]
    golden = [(of, table) for of, tables in json.loads(GOLDEN.read_text())[name].items() for table in tables]
    assert not [one for one in golden if not any(shows(table, one[1], ROUNDING[name]) for table in found)]


if __name__ == "__main__":
    action, *paths = sys.argv[1:]
    if action == "measure":
        measured = {name: measure() for name, measure in (MEASURES | TABLES).items()}
        measured["notebooks"] = tables(Path(paths[1]) if paths[1:] else NOTEBOOKS)
        Path(paths[0]).write_text(json.dumps(measured, default=np.ndarray.tolist))
    else:
        golden = merge([json.loads(Path(path).read_text()) for path in paths])
        row = re.compile(r"\[[^\[\]{}]*\]")  # each in a line of its own
        GOLDEN.write_text(row.sub(lambda found: " ".join(found[0].split()), json.dumps(golden, indent=1)) + "\n")
