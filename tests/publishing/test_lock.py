from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from defectlib.publishing.lock import alone

HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def held(tmp_path):
    """A process that holds the lock, and where it is."""
    path = tmp_path / "build" / "publish.lock"
    path.parent.mkdir()
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], **streams) as process:
        assert process.stdout.readline() == "held\n"
        yield process, path
        process.kill()


def test_the_second_waits_and_says_so(held, capsys, monkeypatch):
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    process, path = held
    entered = threading.Event()

    def second():
        with alone(path, "another one is at work; waiting for it"):
            entered.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not entered.wait(0.3)
    process.communicate("\n", timeout=30)
    assert entered.wait(30)
    thread.join()
    assert capsys.readouterr().err == "another one is at work; waiting for it\n"


def test_one_that_was_killed_stands_in_nobodys_way(held, capsys):
    process, path = held
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with alone(path, "another one is at work"):
        pass
    assert capsys.readouterr().err == ""
