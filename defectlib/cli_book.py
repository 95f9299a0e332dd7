"""The commands around notebooks and the book: execute, plan, build, record, print, pack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from defectlib import runtime
from defectlib.errors import UserError, unknown

if TYPE_CHECKING:
    from defectlib.settings import Stage

BUILD = runtime.REPOSITORY / "build"
STAGE, PAGES, BOOK = BUILD / "stage", BUILD / "_build" / "html", "defect-spectrum-book"
CONFIG = runtime.REPOSITORY / "_config.yml"

Notebook = Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="A notebook, such as notebooks/NAME.ipynb.")]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "-p", "--parameter", metavar="NAME VALUE", help="A parameter of the notebook, also NAME=VALUE; may be repeated."
    ),
]
Document = Annotated[str, typer.Option("-y", "--yaml", metavar="YAML", help="Parameters as a YAML mapping.")]


def run_notebook_command(
    source: Notebook,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The executed notebook; appears when all is done.")],
    pairs: Pairs = None,
    document: Document = "",
    as_built: Annotated[bool, typer.Option("--as-built", help="Build nothing; show what is there.")] = False,
) -> None:
    """Execute a notebook, refusing parameters that it does not have.

    Example: defectlib run-notebook notebooks/NAME.ipynb out.ipynb -p profile cpu -y "switch_steps: [0, 300]"
    """
    import os

    from defectlib.experiments.study import AS_BUILT
    from defectlib.publishing import parameters
    from defectlib.publishing.runner import run_notebook

    if as_built:
        os.environ[AS_BUILT] = "1"  # for the notebook's kernel
    values = parameters.parse(_split_pairs(pairs), document, parameters.declared(source))
    run_notebook(source, target, values)


def refresh_notebooks_command(
    sources: Annotated[list[Path] | None, typer.Argument(metavar="[NOTEBOOK]...", help="All, if none.")] = None,
) -> None:
    """Execute notebooks at their defaults and write the outputs back into them, ready to commit.

    Example: defectlib refresh-notebooks notebooks/NAME.ipynb
    """
    from defectlib.publishing.committed import refresh

    refresh(sources or sorted((runtime.REPOSITORY / "notebooks").glob("*.ipynb")))


def plan_command(
    source: Notebook,
    pairs: Pairs = None,
    document: Document = "",
    as_json: Annotated[bool, typer.Option("--json", help="Every setting, for a program to read.")] = False,
) -> None:
    """List what a notebook needs built, and what of it is there.

    Example: defectlib plan notebooks/NAME.ipynb -p profile cpu
    """
    import json

    from defectlib.experiments import plans
    from defectlib.store import Store

    values = _checked(source, pairs, document)
    stages = plans.plan(source.stem, values)
    if as_json:
        print(json.dumps([{"stage": s.stage, "key": s.key(), "settings": s.model_dump(mode="json")} for s in stages]))
        return
    store = Store()
    for stage in stages:
        print(f"{stage.stage:<10} {stage.key()} {store.find(stage) or 'to be built'}")


def build_command(
    settings: Annotated[Path, typer.Option(help="JSON file with 'stage' and 'settings'.", exists=True, dir_okay=False)],
) -> None:
    """Build one artifact and what it needs, or find it built; `plan --json` shows what settings look like.

    Example: defectlib build --settings net.json
    """
    from defectlib.store import Store, read_settings

    stage = read_settings(settings)
    if runtime.launched() > 1:
        from defectlib.experiments.launched import build

        artifact = build(stage, Store())
    else:
        artifact = built(stage)
    if artifact is not None:  # None in a process that had its share of the work, and not of the result
        print(artifact)


def store_command(
    prune: Annotated[bool, typer.Option("--prune", help="Remove what nothing will ask for again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what --prune would remove.")] = False,
    days: Annotated[
        float, typer.Option(min=0, help="What an interrupted run wrote to within so many days is kept.")
    ] = 7,
) -> None:
    """Say what the store holds that nothing will ask for again, or remove it, and how much that frees.

    Example: defectlib store --prune --dry-run
    """
    from defectlib import pruning
    from defectlib.publishing.notebooks import source_digest
    from defectlib.store import default_root

    root, dry_run = default_root(), dry_run or not prune
    leftovers = pruning.prune(root, days, source_digest, dry_run=dry_run)
    for found in leftovers:
        then = "; kept, the same command goes on with it" if found.kept else ""
        print(f"{found.size / 1e6:10,.1f} MB  {found.path.relative_to(root)}: {found.why}{then}")
    freed = sum(found.size for found in leftovers if not found.kept)
    print(f"{root}: {freed / 1e6:,.1f} MB {'would be freed by --prune' if dry_run else 'freed'}")


def record_command(
    source: Notebook,
    pairs: Pairs = None,
    document: Document = "",
    out: Annotated[Path | None, typer.Option(help="Folder to write to; book/reference/, if not given.")] = None,
) -> None:
    """Make the numbers of a notebook's study reference results, in book/reference/, beside which later runs are shown.

    Example: defectlib record notebooks/10_network_calls.ipynb -p profile cpu -p product washer -p pairs 48
    """
    from defectlib.experiments import plans
    from defectlib.plots import tables

    if out is not None and out.exists() and not out.is_dir():  # told now, and not when all is computed
        raise UserError(f"--out {out}: is no folder; name another place")
    values = _checked(source, pairs, document)
    plans.plan(source.stem, values)  # tells wrong names
    study = plans.STUDIES[source.stem]
    records = study(**values).records() if study else {}
    if not records:
        raise UserError(f"{source}: its study keeps no reference results")
    for name, (frame, provenance) in records.items():
        print(tables.write_record(name, frame, provenance, out or tables.REFERENCE))


Profile = Annotated[str, typer.Option(help="How much it may cost: smoke, cpu, gpu, or a YAML file of your own.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Stages at a time; as many as cores, if not given, or one on a GPU.")
]
ClusterName = Annotated[str | None, typer.Option("--cluster", help="Work on a cluster: slurm or kubernetes.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Build nothing; list what would be.")]


def book_command(
    profile: Profile = "cpu", jobs: Jobs = None, cluster: ClusterName = None, dry_run: DryRun = False
) -> None:
    """Execute every notebook and build the static book; a run that was cut off goes on when it is given again.

    Example: defectlib book --profile cpu
    """
    import time

    from defectlib.experiments import plans
    from defectlib.publishing import staging

    started = time.monotonic()
    runs = {name: (name, {"profile": profile}) for name in plans.NOTEBOOKS}
    executed = _executed(runs, BUILD / "notebooks" / Path(profile).stem, jobs, cluster, dry_run)
    if executed:
        with _alone():
            staging.publish(executed, STAGE, CONFIG, PAGES, BUILD / "book.log", plans.plan)
        minutes = (time.monotonic() - started) / 60
        print(f"The book, profile {profile}, took {minutes:.0f} min. Open {(PAGES / 'index.html').as_uri()}")


def publish_command(
    sources: Annotated[list[Path], typer.Argument(metavar="NOTEBOOK...", help="Executed notebooks.")],
) -> None:
    """Build the static book from notebooks that were executed elsewhere, by papermill on a GPU say.

    Example: defectlib publish build/notebooks/gpu/*.ipynb
    """
    from defectlib.experiments import plans
    from defectlib.publishing import staging

    with _alone():
        staging.publish(sources, STAGE, CONFIG, PAGES, BUILD / "book.log", plans.plan)


def reproduce_command(
    dataset: Annotated[str, typer.Argument(help="Of `defectlib data list`, or 'embedded' for the profile's products.")],
    profile: Profile = "gpu",
    jobs: Jobs = None,
    cluster: ClusterName = None,
    dry_run: DryRun = False,
) -> None:
    """Make every table and figure that the paper has of a dataset, as executed notebooks below build/notebooks.

    Example: defectlib reproduce defect-spectrum --dry-run
    """
    from defectlib.experiments import dataset as tables

    runs = {run.name: (run.notebook, dict(run.parameters)) for run in tables.runs(dataset, profile)}
    name = dataset.lower().replace("-", "_")
    for path in _executed(runs, BUILD / "notebooks" / Path(profile).stem / name, jobs, cluster, dry_run):
        print(path)


def _executed(
    runs: Mapping[str, tuple[str, dict[str, Any]]], out: Path, jobs: int | None, cluster: str | None, dry_run: bool
) -> list[Path]:
    """Notebooks with parameters by the names of their outputs, executed once all they read is built.

    Returns:
        The files in ``out``; none of a dry run, which is printed.
    """
    import shutil

    from defectlib import engine
    from defectlib.experiments import plans
    from defectlib.publishing import notebooks
    from defectlib.store import Store

    if cluster not in (None, *get_args(engine.Cluster)):
        raise unknown("cluster", cluster, get_args(engine.Cluster))
    store = Store()
    stages = {
        name: notebooks.run_of(notebook, parameters, plans.plan(notebook, parameters))
        for name, (notebook, parameters) in runs.items()
    }
    # What a notebook read is kept whole beside it: an artifact that was deleted is made again.
    wanted = [*(needed for stage in stages.values() for needed in stage.reads), *stages.values()]
    if dry_run:
        print(engine.summary(wanted, store))
        return []
    engine.build(wanted, store, jobs=jobs, cluster=cluster)
    runtime.made(out)
    for name, stage in stages.items():
        shutil.copyfile(store.find(stage) / f"{stage.notebook}.ipynb", out / f"{name}.ipynb")
    return [out / f"{name}.ipynb" for name in runs]


def pdf_command(
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=f"build/{BOOK}.pdf")] = BUILD
    / f"{BOOK}.pdf",
) -> None:
    """Print the book that was last built as one PDF; needs Chromium. `make pdf` builds the book first.

    Example: defectlib pdf --out book.pdf
    """
    from defectlib.publishing.pdf import build_pdf

    with _alone():
        print(build_pdf(STAGE, CONFIG, out, BUILD / "pdf.log"))


def archive_command(
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=f"build/{BOOK}.tar.gz")] = BUILD
    / f"{BOOK}.tar.gz",
) -> None:
    """Pack the book that was last built, and write its SHA-256 beside it. `make archive` builds the book first.

    Example: defectlib archive --out book.tar.gz
    """
    from defectlib.publishing.archive import write_archive

    with _alone():
        print(out, write_archive(PAGES, out), sep="\n")


#: By their names, for the command line to take up.
COMMANDS: dict[str, Callable[..., None]] = {
    "book": book_command,
    "publish": publish_command,
    "reproduce": reproduce_command,
    "run-notebook": run_notebook_command,
    "refresh-notebooks": refresh_notebooks_command,
    "plan": plan_command,
    "build": build_command,
    "store": store_command,
    "record": record_command,
    "pdf": pdf_command,
    "archive": archive_command,
}


def built(stage: Stage) -> Path:
    """The artifact of ``stage``, built where it is not there."""
    from defectlib import engine
    from defectlib.store import Store

    store = Store()
    engine.build([stage], store)
    return store.find(stage)


def _alone() -> AbstractContextManager[None]:
    """While no other process builds, prints or packs the book of this checkout."""
    from defectlib.store import locked

    return locked(BUILD / "publish.lock", "book: another process builds its pages in this checkout; waiting for it")


def _checked(source: Path, pairs: list[str] | None, document: str) -> dict[str, Any]:
    """The parameters given for a notebook, each of which it has."""
    from defectlib.publishing import parameters

    declared = parameters.declared(source)
    values = parameters.parse(_split_pairs(pairs), document, declared)
    parameters.check(source.name, values, declared)
    return values


def _split_pairs(pairs: list[str] | None) -> list[tuple[str, str]]:
    split = [pair.partition("=") for pair in pairs or ()]
    for name, sign, _ in split:
        if not name or not sign:
            raise UserError(f"-p {name}: give a name and a value, such as -p profile cpu")
    return [(name, value) for name, _, value in split]
