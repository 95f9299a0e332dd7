from __future__ import annotations

import errno
import json
import subprocess
import sys
import time

import pytest
import typer

import defectlib
from defectlib import cli, cli_book
from defectlib.errors import UserError
from defectlib.publishing import PublishingError
from defectlib.runtime import REPOSITORY
from defectlib.settings import DenoiserTraining, EmbeddedData, SmallNet


def run(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of one call."""
    monkeypatch.setattr(sys, "argv", ["defectlib", *arguments])
    try:
        cli.main()
        status = 0
    except SystemExit as leaving:
        status = leaving.code
    return status, *capsys.readouterr()


def command_names() -> list[list[str]]:
    own = [[command.name] for command in cli.app.registered_commands]
    return own + [
        [group.name, command.name]
        for group in cli.app.registered_groups
        for command in group.typer_instance.registered_commands
    ]


@pytest.mark.parametrize("command", command_names(), ids=" ".join)
def test_every_command_explains_itself_with_an_example(monkeypatch, capsys, command):
    status, out, _ = run(monkeypatch, capsys, *command, "--help")
    assert status == 0
    assert f"Example: defectlib {' '.join(command)}" in out


@pytest.mark.parametrize("words", [["-h"], ["data", "-h"], ["data", "verify", "-h"]])
def test_h_is_help(monkeypatch, capsys, words):
    status, out, _ = run(monkeypatch, capsys, *words)
    assert (status, out.split()[:2]) == (0, ["Usage:", "defectlib"])


def test_version(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "--version") == (0, f"defectlib {defectlib.__version__}\n", "")


def test_help_loads_no_torch_and_is_quick():
    code = "import sys; sys.argv = ['defectlib', '--help']\nfrom defectlib import cli\n"
    code += "try: cli.main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules or 'papermill' in sys.modules)"
    started = time.perf_counter()
    process = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert "run-notebook" in process.stdout
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (UserError("my_data: holds no image; add some"), 2, "my_data: holds no image; add some"),
        (PublishingError("x.ipynb: a cell ran out of time"), 1, "x.ipynb: a cell ran out of time"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to go on"),
        (
            OSError(errno.ENOSPC, "No space left on device", "w.pt"),
            2,
            "the disk is full ([Errno 28] No space left on device: 'w.pt'); free some space and run the same "
            "command again to go on",
        ),
        (
            RuntimeError("I/O error: No space left on device (os error 28)"),
            2,
            "the disk is full (I/O error: No space left on device (os error 28)); free some space and run the same "
            "command again to go on",
        ),
    ],
)
def test_what_a_command_raises_ends_in_one_line_and_a_status(monkeypatch, capsys, raised, status, line):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise raised

    monkeypatch.setattr(cli, "app", app)
    assert run(monkeypatch, capsys) == (status, "", f"{line}\n")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch, capsys):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, capsys)


@pytest.mark.parametrize("pair", [["steps", "[0, 1]"], ["steps=[0, 1]"]])
def test_a_parameter_and_its_value_are_two_words_or_one(pair):
    joined = cli._with_joined_pairs(["run-notebook", "-p", *pair, "x.ipynb", "-p", "b", "c=d"])
    assert joined == ["run-notebook", "-p", "steps=[0, 1]", "x.ipynb", "-p", "b=c=d"]
    assert cli_book._split_pairs(["a=1", "b=c=d"]) == [("a", "1"), ("b", "c=d")]
    assert cli._with_joined_pairs(["build", "-p", "a", "1"]) == ["build", "-p", "a", "1"]


def test_build_makes_the_artifact_and_then_finds_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    data = EmbeddedData(product="softgel", size=32, shots=1, eval_count=2)
    settings = DenoiserTraining(data=data, net=SmallNet(receptive_field=9, channels=8), steps=1, batch=2)
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"stage": "denoiser", "settings": settings.model_dump(mode="json")}))
    status, out, _ = run(monkeypatch, capsys, "build", "--settings", str(path))
    artifact = tmp_path / "store" / "denoiser" / settings.key()
    assert (status, out) == (0, f"{artifact}\n")
    assert run(monkeypatch, capsys, "build", "--settings", str(path))[:2] == (0, f"{artifact}\n")
