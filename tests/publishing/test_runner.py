from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from defectlib.errors import UserError
from defectlib.publishing import PublishingError, notebooks
from defectlib.publishing.runner import run_notebook
from defectlib.runtime import REPOSITORY

PARAMETERS = 'profile: str = "smoke"\nsteps: int = 2\nshots: int | None = None'


def test_a_notebook_runs_whole_with_its_parameters_in_the_repository(written, tmp_path):
    source = written("import os\nprint(profile, steps, shots, os.getcwd())", parameters=PARAMETERS)
    run_notebook(source, tmp_path / "out" / "05_page.ipynb", {"steps": 7})
    executed = notebooks.read(tmp_path / "out" / "05_page.ipynb")
    assert executed.cells[-1].outputs[0].text == f"smoke 7 None {REPOSITORY}\n"
    assert notebooks.fault(executed) is None
    injected = [cell for cell in executed.cells if "injected-parameters" in cell.metadata.tags]
    assert [cell.metadata.tags for cell in injected] == [["injected-parameters", "hide-input"]]
    record = executed.metadata[notebooks.RECORD]
    assert record["parameters"] == {"profile": "smoke", "steps": 7, "shots": None}
    assert record["notebook"] == "05_page.ipynb"
    assert record["wall_seconds"] > 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["05_page.ipynb"]


def test_what_a_cell_writes_to_stderr_is_passed_on(written, tmp_path, capsys):
    source = written("import sys\nprint('step 3 of 9', file=sys.stderr)")
    run_notebook(source, tmp_path / "out.ipynb", {})
    assert "step 3 of 9" in capsys.readouterr().err


def test_an_unknown_parameter_runs_nothing(written, tmp_path):
    source = written("1", parameters=PARAMETERS)
    with pytest.raises(UserError, match=r"unknown parameter of 05_page.ipynb 'stepz': did you mean 'steps'"):
        run_notebook(source, tmp_path / "out.ipynb", {"stepz": 7})
    assert list(tmp_path.iterdir()) == [source]


def test_a_user_error_in_a_cell_is_a_user_error_outside(written, tmp_path):
    source = written("from defectlib.errors import UserError\nraise UserError('my_data: holds no image; add some')")
    (tmp_path / "out.ipynb").write_text("the run before")
    with pytest.raises(UserError, match=r"^my_data: holds no image; add some$"):
        run_notebook(source, tmp_path / "out.ipynb", {})
    assert (tmp_path / "out.ipynb").read_text() == "the run before"


def test_a_failing_cell_leaves_its_traceback_and_no_output(written, tmp_path):
    source = written("1", "1 / 0", "2")
    target = tmp_path / "out.ipynb"
    with pytest.raises(PublishingError, match=r"cell \[2\] raised ZeroDivisionError: division by zero; its traceback"):
        run_notebook(source, target, {})
    assert not target.exists()
    failed = notebooks.read(tmp_path / "out.failed.ipynb")
    assert "code cell 2 of 3 failed (ZeroDivisionError" in notebooks.fault(failed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["05_page.ipynb", "out.failed.ipynb"]
    nbformat.write(nbformat.v4.new_notebook(cells=[], metadata=failed.metadata), source)
    run_notebook(source, target, {})
    assert not (tmp_path / "out.failed.ipynb").exists()


def test_a_kernel_that_dies_is_no_success(written, tmp_path):
    source = written("import os\nos._exit(9)", "2")
    with pytest.raises(PublishingError, match="the kernel died, most often for want of memory; its traceback is in"):
        run_notebook(source, tmp_path / "out.ipynb", {})
    assert not (tmp_path / "out.ipynb").exists()


def test_a_full_disk_in_a_cell_is_for_the_user_to_mend(written, tmp_path):
    source = written("import errno, os\nraise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'x')")
    with pytest.raises(UserError, match="No space left on device"):
        run_notebook(source, tmp_path / "out.ipynb", {})


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("05_page.ipynb", "05_page.ipynb: the output would overwrite the notebook itself; name another file"),
        ("out.html", "out.html: the output must be a file whose name ends in .ipynb"),
    ],
)
def test_a_target_that_cannot_be_is_refused(written, tmp_path, target, message):
    with pytest.raises(UserError, match=message):
        run_notebook(written("1"), tmp_path / target, {})


def test_braces_in_a_path_are_just_characters(written, tmp_path):
    source = written("1", name="a{b}", parameters=PARAMETERS)
    run_notebook(source, tmp_path / "out{c}.ipynb", {"steps": 3})
    assert (tmp_path / "out{c}.ipynb").is_file()


@pytest.mark.parametrize("text", ["", "{}", "no JSON", "[1"])
def test_a_file_that_is_no_notebook_is_named(tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    with pytest.raises(UserError, match=r"x.ipynb: this is not a notebook that can be read; give a .ipynb file"):
        notebooks.read(path)


def test_a_missing_notebook_is_named(tmp_path):
    with pytest.raises(UserError, match=r"x.ipynb: there is no such notebook"):
        notebooks.read(tmp_path / "x.ipynb")


def test_ctrl_c_ends_with_130_and_leaves_nothing(written, tmp_path):
    started = tmp_path / "started"
    source = written(f"from pathlib import Path\nPath({str(started)!r}).touch()\nimport time\ntime.sleep(60)")
    command = [sys.executable, "-m", "defectlib", "run-notebook", str(source), str(tmp_path / "out.ipynb")]
    # A background job of a shell ignores the signal, and so would its children: put it back.
    options = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, **options)
    for _ in range(300):
        if started.exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == "interrupted; run the same command again to go on"
    assert "Traceback" not in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["05_page.ipynb", "started"]


def test_fault_names_the_cell_that_never_ran():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1"), nbformat.v4.new_code_cell("  ")])
    assert notebooks.fault(notebook) == "code cell 1 of 1 has not run"
    notebook.cells[0].execution_count = 1
    assert notebooks.fault(notebook) is None
    assert json.loads(nbformat.writes(notebook))["nbformat"] == 4
