"""The command line: thin commands, each importing what it needs when called, so that ``--help`` is quick.

Exit status: 0 done, 1 something failed that is not the user's to mend, 2 something the user can mend, 130 interrupted.
"""

from __future__ import annotations

import errno
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from defectlib.errors import UserError
from defectlib.publishing import PublishingError

app = typer.Typer(
    help="A companion to 'Defect Spectrum' (ECCV 2024): data, Defect-Gen, segmentation baselines, notebooks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Folders of images and masks.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line. What a user can get wrong ends in one line and status 2, never in a traceback."""
    try:
        app(_with_joined_pairs(sys.argv[1:]), prog_name="defectlib")
    except UserError as error:
        _leave(str(error), 2)
    except PublishingError as error:
        _leave(str(error), 1)
    except SystemExit as leaving:
        if leaving.code == 130:
            _leave("interrupted; run the same command again to go on", 130)
        raise
    except Exception as error:
        if not _is_full_disk(error):
            raise
        _leave(f"the disk is full ({error}); free some space and run the same command again to go on", 2)


def _leave(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(status)


def _is_full_disk(error: Exception) -> bool:
    # torch and safetensors report it as errors of their own, with the system's words in them.
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error)


# Notebooks and the book ---------------------------------------------------------------------------------------------

Notebook = Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="A notebook, such as notebooks/NAME.ipynb.")]
Pairs = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="NAME VALUE", help="A parameter of the notebook; may be repeated."),
]
Document = Annotated[str, typer.Option("-y", "--yaml", metavar="YAML", help="Parameters as a YAML mapping.")]


@app.command("run-notebook")
def run_notebook_command(
    source: Notebook,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The executed notebook; appears when all is done.")],
    pairs: Pairs = None,
    document: Document = "",
) -> None:
    """Execute a notebook, refusing parameters that it does not have.

    Example: defectlib run-notebook notebooks/NAME.ipynb out.ipynb -p profile cpu -y "switch_steps: [0, 300]"
    """
    from defectlib.publishing import parameters
    from defectlib.publishing.runner import run_notebook

    values = parameters.parse(_split_pairs(pairs), document, parameters.declared(source))
    run_notebook(source, target, values)


@app.command("refresh-notebooks")
def refresh_notebooks_command(
    sources: Annotated[list[Path] | None, typer.Argument(metavar="[NOTEBOOK]...", help="All, if none.")] = None,
) -> None:
    """Execute notebooks at their defaults and write the outputs back into them, ready to commit.

    Example: defectlib refresh-notebooks notebooks/NAME.ipynb
    """
    from defectlib import runtime
    from defectlib.publishing.committed import refresh

    refresh(sources or sorted((runtime.REPOSITORY / "notebooks").glob("*.ipynb")))


@app.command("plan")
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

    from defectlib.publishing import parameters
    from defectlib.store import Store
    from defectlib.studies import plans

    declared = parameters.declared(source)
    values = parameters.parse(_split_pairs(pairs), document, declared)
    parameters.check(source, values, declared)
    stages = plans.plan(source.stem, values)
    if as_json:
        print(json.dumps([{"stage": s.stage, "key": s.key(), "settings": s.model_dump(mode="json")} for s in stages]))
        return
    store = Store()
    for stage in stages:
        print(f"{stage.stage:<10} {stage.key()} {store.find(stage) or 'to be built'}")


@app.command("build")
def build_command(
    settings: Annotated[Path, typer.Option(help="JSON file with 'stage' and 'settings'.", exists=True, dir_okay=False)],
    receipt: Annotated[Path | None, typer.Option(help="File to write once the artifact is there.")] = None,
) -> None:
    """Build one artifact and what it needs, or find it built; `plan --json` shows what settings look like.

    Example: defectlib build --settings build/plans/denoiser/KEY.json
    """
    from defectlib.publishing import jobs
    from defectlib.store import Store

    stage = jobs.read_plan(settings)
    store = Store()
    artifact = store.find(stage)
    if artifact is None:
        from defectlib.studies.stages import RUNNERS

        artifact = store.build(stage, RUNNERS)
    if receipt:
        jobs.write_receipt(receipt, stage, artifact)
    else:
        print(artifact)


@app.command("publish")
def publish_command(
    sources: Annotated[list[Path], typer.Argument(metavar="NOTEBOOK...", help="Executed notebooks.")],
) -> None:
    """Build the static book from executed notebooks; `make book` executes them first.

    Example: defectlib publish build/notebooks/cpu/*.ipynb
    """
    from defectlib import runtime
    from defectlib.publishing import staging
    from defectlib.studies import plans

    build = runtime.REPOSITORY / "build"
    build.mkdir(exist_ok=True)
    staging.stage(sources, build / "stage", plans.plan)
    print(f"book: building the pages of {len(sources)} notebooks and the chapters", file=sys.stderr)
    staging.build_html(
        build / "stage", runtime.REPOSITORY / "_config.yml", build / "_build" / "html", build / "book.log"
    )


def _with_joined_pairs(arguments: list[str]) -> list[str]:
    """`-p NAME VALUE`, as papermill spells it, turned into the `-p NAME=VALUE` that typer can read."""
    if not arguments or arguments[0] not in ("run-notebook", "plan"):
        return arguments
    words, joined = iter(arguments), []
    for word in words:
        joined.append(word)
        if word in ("-p", "--parameter"):
            joined.append("=".join(islice(words, 2)))
    return joined


def _split_pairs(pairs: list[str] | None) -> list[tuple[str, str]]:
    split = [pair.partition("=") for pair in pairs or ()]
    for name, sign, _ in split:
        if not name or not sign:
            raise UserError(f"-p {name}: give a name and a value, such as -p profile cpu")
    return [(name, value) for name, _, value in split]


# Data ---------------------------------------------------------------------------------------------------------------


@data_app.command("verify")
def data_verify_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with images/, masks/ and classes.json.")],
) -> None:
    """Look at every file of a dataset folder and list all that is wrong with it.

    Example: defectlib data verify my_dataset
    """
    from defectlib.data import verify

    print(verify.check(folder))
