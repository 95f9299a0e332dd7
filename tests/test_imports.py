"""Imports point one way, and what must be light is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from defectlib.runtime import PACKAGE_ROOT

CORE = {"errors", "reading", "runtime", "settings", "store"}
TORCH = {"checkpoint", "clock", "device", "shipping", "torchvision_shim", "training", "weights"}
SETTINGS = CORE | {"profiles"}
NETWORKS = {"metrics", "detection", "data", "defectgen", "rivals", "segmentation", "defectclick"}

#: What each module or subpackage of defectlib may import of the others. `data` sits on the core, `defectgen` and
#: `segmentation` beside each other on `data`, `rivals` on `defectgen`, `plots` on the core and `data` alone,
#: `experiments` on all of them.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "reading": {"errors"},
    "runtime": {"errors"},
    "settings": {"errors"},
    "store": {"errors", "reading", "runtime", "settings"},
    "pruning": {"settings", "errors", "store"},
    "engine": {"errors", "runtime", "settings", "store"},
    "profiles": {"errors", "reading", "runtime", "settings", "data"},
    "torchvision_shim": set(),
    "device": {"errors", "runtime"},
    "checkpoint": {"errors", "runtime", "weights"},
    "clock": set(),
    "weights": {"errors", "store"},
    "training": {"settings", "runtime", "checkpoint", "weights"},
    "shipping": {"settings", "store"},
    "metrics": {"errors", "runtime"},
    "detection": {"metrics"},
    "data": CORE,
    "defectgen": CORE | TORCH | {"data"},
    "rivals": CORE | TORCH | {"data", "defectgen"},
    "segmentation": CORE | TORCH | {"data", "metrics", "detection"},
    "defectclick": CORE | TORCH | {"data", "metrics"},
    "plots": CORE | {"data"},
    "experiments": SETTINGS | TORCH | NETWORKS | {"plots", "engine"},
    "publishing": SETTINGS,
    "cli_data": CORE | {"data"},
    "cli_book": SETTINGS | {"engine", "pruning", "experiments", "publishing", "plots"},
    "cli_click": SETTINGS | TORCH | {"cli_book", "data", "defectclick", "experiments"},
    "cli": {"cli_book", "cli_click", "cli_data"} | SETTINGS | TORCH | NETWORKS | {"experiments", "publishing"},
    "__main__": {"cli"},
}
CLICK_ROOT = PACKAGE_ROOT.parent / "defectclick"
FILES = sorted({*PACKAGE_ROOT.rglob("*.py"), *CLICK_ROOT.rglob("*.py")} - {PACKAGE_ROOT / "__init__.py"})


def part(path: Path) -> str:
    """The top-level module or subpackage that a file belongs to; Defect-Click is one part."""
    if path.is_relative_to(CLICK_ROOT):
        return "defectclick"
    return path.relative_to(PACKAGE_ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, within functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the name in full"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_parts(path: Path) -> set[str]:
    """Parts that a file imports, its own left out."""
    names = imported(path)
    parts = {name.split(".")[1] for name in names if name.startswith("defectlib.")}
    parts |= {"defectclick" for name in names if name.split(".")[0] == "defectclick"}
    return {name for name in parts if not name.startswith("__")} - {part(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE_ROOT.parent)))
def test_imports_point_one_way(path):
    assert own_parts(path) <= ALLOWED[part(path)]


def test_the_rule_itself_has_no_cycle():
    seen: list[str] = []
    while len(seen) < len(ALLOWED):
        ready = [name for name, needs in ALLOWED.items() if name not in seen and needs <= set(seen)]
        assert ready, f"among {set(ALLOWED) - set(seen)}"
        seen += ready


def test_plots_import_no_torch_not_even_within_a_function():
    for path in FILES:
        if part(path) == "plots":
            assert not {name for name in imported(path) if name.split(".")[0] in ("torch", "torchvision")}, path


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "module",
    ["defectlib", "defectlib.cli", "defectlib.store", "defectlib.experiments.plans", "defectlib.engine"]
    + [f"defectlib.plots.{path.stem}" for path in FILES if part(path) == "plots" and path.stem != "__init__"],
)
def test_no_torch_is_loaded_by(module):
    assert "torch" not in modules_after(f"import {module}")


def test_importing_the_package_takes_less_than_half_a_second():
    code = "import time\nstart = time.perf_counter()\nimport defectlib\nprint(time.perf_counter() - start)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < 0.5
