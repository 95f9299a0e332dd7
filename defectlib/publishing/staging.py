"""The staging tree, which mirrors the repository with executed notebooks in it, and the book built from it.

The tree is built anew each time: `book/` as it is, `notebooks/` as executed, each with a box that says where its
numbers come from and a link to each table as CSV. Both are added here and nowhere else, so that committed
notebooks stay comparable.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode

from defectlib import runtime
from defectlib.errors import UserError
from defectlib.publishing import PublishingError, notebooks, pictures, repository, results
from defectlib.settings import ClickerTraining, Data, LiveNets, Stage
from defectlib.store import Store

#: From a notebook's name without suffix and its parameters to the stages it reads.
Plan = Callable[[str, Mapping[str, Any]], Iterable[Stage]]
#: Jupyter Book has no ``python -m``; its script need not be on the path.
JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"
MADE_FROM = ".made-from"
BOX_TITLE = "Where the numbers of this page come from"


def publish(sources: Sequence[Path], root: Path, config: Path, output: Path, log: Path, plan: Plan) -> None:
    """Stage executed notebooks and build their book, unless ``output`` is the book of just these.

    The book says what it was made from, in a file among its pages, so it never seems newer than it is.

    Raises:
        UserError, PublishingError: See :func:`stage` and :func:`build_html`.
    """
    book = [path for path in (runtime.REPOSITORY / "book").rglob("*") if path.is_file()]
    made_from = [notebooks.source_digest(), notebooks.digest_of([*book, config])]
    made_from += [hashlib.sha256(nbformat.writes(notebooks.read(path)).encode()).hexdigest() for path in sources]
    key = "\n".join(made_from)
    if (output / MADE_FROM).is_file() and (output / MADE_FROM).read_text() == key:
        return
    stage(sources, root, plan)
    runtime.say(f"book: building the pages of {len(sources)} notebooks and the chapters")
    (root / MADE_FROM).write_text(key)
    build_html(root, config, output, log)


def stage(sources: Sequence[Path], root: Path, plan: Plan) -> None:
    """Mirror `book/` and the executed notebooks ``sources`` below ``root``, which is emptied first.

    Args:
        sources: Executed notebooks; their names are those of the committed ones.
        root: Directory of the staging tree.
        plan: Says which stages a notebook read.

    Raises:
        UserError: A notebook failed, or has a cell that never ran.
    """
    executed = {path: notebooks.read(path) for path in sources}
    for path, notebook in executed.items():
        if fault := notebooks.fault(notebook):
            raise UserError(f"{path}: {fault}; run it again before building the book")
    records = {path: notebook.metadata.get(notebooks.RECORD) for path, notebook in executed.items()}
    plans = {path: plan(path.stem, record["parameters"]) for path, record in records.items() if record}
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(runtime.REPOSITORY / "book", root / "book", ignore=shutil.ignore_patterns(".*"))
    (root / "notebooks").mkdir()
    (root / "committed").mkdir()
    _copy_live_nets(plans, root / "book" / "_assets" / "live")
    for path, notebook in executed.items():
        if (committed := _committed(path.name)).is_file():
            shutil.copyfile(committed, root / "committed" / path.name)
        pictures.lighten(notebook)
        pictures.export(notebook, root / "book" / "figures")
        if record := records[path]:
            results.annotate(notebook, root / "notebooks" / "tables")
            notebook.cells.append(provenance_box(record, plans[path]))
        notebooks.write(notebook, root / "notebooks" / path.name)


def _copy_live_nets(plans: Mapping[Path, Iterable[Stage]], folder: Path) -> None:
    """Put the nets that pages sample with where the pages ask for them, in a folder called by their key."""
    for nets in {
        stage.key(): stage for stages in plans.values() for stage in stages if isinstance(stage, LiveNets)
    }.values():
        if (artifact := Store().find(nets)) is not None:
            shutil.copytree(artifact, folder / nets.key(), ignore=shutil.ignore_patterns("*.json"), dirs_exist_ok=True)


def build_html(root: Path, config: Path, output: Path, log: Path) -> Path:
    """Build the staged book with warnings as errors and put it at ``output``, in place of what was there.

    Returns:
        The page to open.

    Raises:
        PublishingError: Jupyter Book did not succeed; what stood at ``output`` still stands.
    """
    partial = output.with_name(f"{output.name}.partial")
    built = run_builder("html", root, config, partial, log)
    if (root / MADE_FROM).is_file():
        shutil.copyfile(root / MADE_FROM, built / MADE_FROM)
    shutil.rmtree(output, ignore_errors=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    built.rename(output)
    shutil.rmtree(partial)
    return output / "index.html"


def run_builder(builder: str, root: Path, config: Path, output: Path, log: Path) -> Path:
    """Build the staged book by ``builder``, ``html`` or ``singlehtml``, below ``output``, which is emptied first.

    Returns:
        The folder with the pages.

    Raises:
        PublishingError: Jupyter Book did not succeed; it tells the first warnings.
    """
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(root), "--config", str(_configured(config, root))]
    command += ["--toc", str(root / "book" / "_toc.yml"), "--path-output", str(output), "--builder", builder]
    command += ["--all", "-W", "-n", "--keep-going"]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    log.write_text(run.stdout)
    if run.returncode:
        lines = run.stdout.splitlines()
        telling = [line for line in lines if "WARNING" in line or "ERROR" in line][:20] or lines[-5:]
        raise PublishingError("\n".join(["the book was not built:", *telling, f"all of its output is in {log}"]))
    return output / "_build" / builder


def _configured(config: Path, root: Path) -> Path:
    """``config`` with where notebooks can be launched, if that is known; written into the staging tree."""
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    if found := repository.find():
        content |= found.config()
        content["html"] = content.get("html", {}) | {"use_repository_button": True}
    path = root / config.name
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


# The box ------------------------------------------------------------------------------------------------------------


def provenance_box(record: dict[str, Any], stages: Iterable[Stage]) -> NotebookNode:
    """A markdown cell with profile, parameters, data, device, seed, commit, date and time of an executed notebook.

    Args:
        record: What the runner left in the notebook's metadata.
        stages: The stages the notebook read.
    """
    everything = list(_with_inputs(stages))
    values = dict(record["parameters"])
    rows = {
        "Notebook": _link(record["notebook"]),
        "Profile": f"`{values.pop('profile', 'none')}`",
        "Parameters": ", ".join(f"`{name} = {json.dumps(value)}`" for name, value in values.items()) or "none",
        "Data": "; ".join(_distinct(_data(everything))) or "none but the paper's",
        "Device": f"{', '.join(_distinct(_fields(everything, 'device'))) or 'cpu'} ({record['machine']})",
        "Seed": ", ".join(_distinct(str(seed) for seed in _fields(everything, "seed"))) or "none drawn",
        "Commit": f"`{record['commit']}`",
        "Date": record["finished"],
        "Time": f"{record['wall_seconds']:.0f} s, what was already in the store not counted",
        "Run it": _run_it(f"notebooks/{record['notebook']}", repository.find()),
    }
    table = "\n".join(f"* - {name}\n  - {value}" for name, value in rows.items())
    box = f":::{{admonition}} {BOX_TITLE}\n:class: note dropdown\n\n```{{list-table}}\n{table}\n```\n:::"
    return nbformat.v4.new_markdown_cell(box, id="provenance")


def _run_it(path: str, found: repository.Repository | None) -> str:
    """Where the committed notebook can be opened, and what it needs there."""
    if found is None:
        return "download the notebook above; links to Colab and Binder need a repository on GitHub as `origin`"
    clone = f"`!git clone {found.url} companion`, `%cd companion`, `%pip install -q -e .`"
    return f"[Binder]({found.binder(path)}); [Colab]({found.colab(path)}), where it needs first {clone}"


def _committed(name: str) -> Path:
    return runtime.REPOSITORY / "notebooks" / name


def _link(name: str) -> str:
    """The notebook's place in the repository, to be downloaded as committed where it is."""
    return f"{{download}}`notebooks/{name} <../committed/{name}>`" if _committed(name).is_file() else f"`{name}`"


def _with_inputs(stages: Iterable[Stage]) -> Iterable[Stage]:
    for stage in stages:
        yield stage
        yield from _with_inputs(stage.inputs().values())


def _fields(stages: Iterable[Stage], name: str) -> list[Any]:
    return [getattr(stage, name) for stage in stages if hasattr(stage, name)]


def _distinct(texts: Iterable[str]) -> list[str]:
    return sorted(set(texts))


def _data(stages: Iterable[Stage]) -> Iterable[str]:
    for stage in stages:
        data = getattr(stage, "data", ())
        yield from map(_describe, data if isinstance(data, tuple) else (data,))
        if isinstance(stage, ClickerTraining) and stage.products:
            sizes = ", ".join(map(str, stage.sizes))
            yield f"{stage.scenes} procedural scenes of {', '.join(stage.products)}, {sizes} px"


def _describe(data: Data) -> str:
    if data.kind == "folder":
        return f"folder {data.root.name}, split {data.split}, content {data.digest[:12]}"
    if data.kind == "base":
        return f"{data.count} painted surfaces and embedded images, {data.size} px, seed {data.seed}"
    images = f"training images: {data.shots} of each defect type"
    if data.kind == "embedded":
        return f"procedural {data.product}, {data.size} px, {images}, seed {data.seed}"
    return f"{data.dataset}, {data.product}, {data.size} px, {images} where its publishers divide nothing"
