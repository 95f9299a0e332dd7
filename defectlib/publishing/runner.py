"""Executes a notebook through papermill, strictly.

What papermill lets pass is an error here: a parameter the notebook does not have, a value of the wrong type, a kernel
that dies or a cell that times out (both of which papermill records as complete). The output appears under its name
only when every cell has run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError

from defectlib import runtime
from defectlib.errors import UserError
from defectlib.publishing import PublishingError, notebooks, parameters
from defectlib.settings import NotebookRun
from defectlib.store import write_atomically

ENGINE = "defectlib"


def run(settings: NotebookRun, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: the executed notebook in ``out``."""
    name = f"{settings.notebook}.ipynb"
    run_notebook(runtime.REPOSITORY / "notebooks" / name, out / name, settings.parameters)


def run_notebook(source: Path, target: Path, values: Mapping[str, Any]) -> None:
    """Execute ``source`` with the parameters ``values`` and write the result to ``target`` once every cell has run.

    A notebook that failed stays beside the target as ``NAME.failed.ipynb``, traceback included.

    Raises:
        UserError: A parameter is unknown or of the wrong type, or a cell raised a ``UserError``.
        PublishingError: A cell failed for any other reason.
    """
    declared = parameters.declared(source)
    parameters.check(source.name, values, declared)
    _check_target(source, target)
    failed = target.with_suffix(".failed.ipynb")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / target.name
        try:
            _execute(source, partial, values)
            executed = notebooks.read(partial)
            if fault := notebooks.fault(executed):
                raise PublishingError(fault)
        except (PapermillExecutionError, CellTimeoutError, DeadKernelError, PublishingError) as error:
            write_atomically(failed, partial.read_bytes())
            raise _explained(source, failed, error) from error
    _hide_injected_cell(executed)
    resolved = {name: parameter.default for name, parameter in declared.items()} | dict(values)
    executed.metadata[notebooks.RECORD] = _record(source, resolved, time.monotonic() - started)
    notebooks.write(executed, target)
    failed.unlink(missing_ok=True)


# Execution ----------------------------------------------------------------------------------------------------------


class ProgressEngine(NBClientEngine):
    """papermill's own engine, with a progress bar over the code cells."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any) -> None:
        """Execute the cells."""
        code = notebooks.code_cells(nb_man.nb)
        cell_complete = nb_man.cell_complete
        with runtime.progress(len(code), Path(nb_man.output_path).stem, unit="cell") as bar:

            def counted(cell: NotebookNode, cell_index: int | None = None, **rest: Any) -> None:
                cell_complete(cell, cell_index, **rest)
                bar.update(cell in code)

            nb_man.cell_complete = counted
            super().execute_managed_notebook(nb_man, kernel_name, **options)


papermill_engines.register(ENGINE, ProgressEngine)


def _execute(source: Path, partial: Path, values: Mapping[str, Any]) -> None:
    papermill.execute_notebook(
        _plain(source),
        _plain(partial),
        dict(values),
        engine_name=ENGINE,
        kernel_name="python3",  # whatever kernel the notebook was last saved with
        cwd=str(runtime.REPOSITORY),
        progress_bar=False,
        extra_arguments=["--log-level=50"],  # what the kernel says of itself, not what cells say
        stderr_file=sys.stderr,  # the progress of what a cell trains
    )


def _plain(path: Path) -> str:
    """Papermill fills braces in paths with parameters; here they are just characters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _hide_injected_cell(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.metadata["tags"] = [*tags, "hide-input"]


def _record(source: Path, values: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    return {
        "notebook": source.name,
        "parameters": dict(values),
        "commit": runtime.git_commit(),
        "machine": runtime.machine(),
        "finished": runtime.now(),
        "wall_seconds": round(seconds, 1),
    }


def _explained(source: Path, failed: Path, error: Exception) -> Exception:
    """The error to raise for a notebook that did not run to its end."""
    if isinstance(error, PapermillExecutionError):
        full_disk = error.ename == "OSError" and "No space left on device" in error.evalue
        if error.ename in ("UserError", "UserErrors") or full_disk:
            return UserError(error.evalue)
        reason = f"cell [{error.exec_count}] raised {error.ename}: {error.evalue}".splitlines()[0]
    elif isinstance(error, DeadKernelError):
        reason = "the kernel died, most often for want of memory"
    elif isinstance(error, CellTimeoutError):
        reason = "a cell ran out of time"
    else:
        reason = str(error)
    return PublishingError(f"{source}: {reason}; its traceback is in {failed}")


def _check_target(source: Path, target: Path) -> None:
    if target.suffix != ".ipynb" or target.is_dir():
        raise UserError(f"{target}: the output must be a file whose name ends in .ipynb")
    if target.exists() and target.samefile(source):
        raise UserError(f"{target}: the output would overwrite the notebook itself; name another file")
    runtime.made(target.parent)
