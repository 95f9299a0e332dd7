"""How `defectlib click` opens its page, what its kernel keeps away from, and how it ends."""

from __future__ import annotations

import html
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.defectclick.started import started


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the tool on a folder with one photograph; options are those of :func:`started`."""
    for name in ("photos", "temporary"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.full((48, 48, 3), 120, np.uint8)).save(tmp_path / "photos" / "plate.png")
    processes = []

    def start(**options: Any) -> subprocess.Popen[str]:
        folders = tmp_path / "photos", tmp_path / "out"
        environment = {"TMPDIR": str(tmp_path / "temporary")} | options.pop("environment", {})
        processes.append(started(*folders, "stain", subprocess.PIPE, environment=environment, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@contextmanager
def besieged(url: str) -> Iterator[None]:
    """Ask the server for one thing after the other, six at a time, whether or not it still answers."""
    place = urlsplit(url)
    listing = f"http://{place.netloc}/api/contents?{place.query}"
    over, answered = threading.Event(), threading.Semaphore(0)

    def ask() -> None:
        while not over.is_set():
            try:
                urllib.request.urlopen(listing, timeout=5).read()
                answered.release()
            except (urllib.error.URLError, OSError):
                over.wait(0.01)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            assert answered.acquire(timeout=60)
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP])
def test_it_ends_with_its_kernel_while_requests_are_under_way_and_leaves_nothing(start, how, tmp_path):
    server = start()
    url = server.stdout.readline().strip()
    kernels = psutil.Process(server.pid).children(recursive=True)
    assert kernels
    with besieged(url):
        server.send_signal(how)
        out, err = server.communicate(timeout=60)
    assert (server.returncode, out, err) == (0, f"{tmp_path / 'out'}: 0 of 1 images labelled\n", "")
    assert not any(kernel.is_running() for kernel in kernels)
    assert not list((tmp_path / "temporary").iterdir())


def test_the_browser_is_not_given_the_token_and_may_stay_in_the_foreground(start, tmp_path):
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$@" > {opened}\nexec sleep 60 > /dev/null 2>&1\n')
    browser.chmod(0o700)
    opened.touch()
    server = start(browser=True, environment={"BROWSER": str(browser), "DISPLAY": ":0"})
    url = server.stdout.readline().strip()
    until = time.monotonic() + 60
    while not opened.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    address = opened.read_text().strip()
    assert address.startswith("file://")
    assert url in html.unescape(Path(urlsplit(address).path).read_text())
    assert urllib.request.urlopen(url, timeout=30).status == 200
    (window,) = [child for child in psutil.Process(server.pid).children() if child.name() == "sleep"]
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=60) == 0
    window.kill()


def test_the_kernel_runs_nothing_of_the_working_directory_and_of_the_user(start, tmp_path):
    trap = f"open({str(tmp_path / 'executed')!r}, 'w')"
    profile = tmp_path / "ipython" / "profile_default"
    for path in (tmp_path / "photos" / "anywidget.py", profile / "ipython_config.py", profile / "startup" / "a.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(trap)
    before = sorted(profile.rglob("*"))
    environment = {"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONSTARTUP": str(profile / "startup" / "a.py")}
    server = start(cwd=tmp_path / "photos", environment=environment)
    assert server.stdout.readline().startswith("http://127.0.0.1:")
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) == 0
    assert not (tmp_path / "executed").exists()
    assert sorted(profile.rglob("*")) == before
