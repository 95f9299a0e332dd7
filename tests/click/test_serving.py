"""How `defectlib click` ends: at once, its kernel first, whatever the page was just asking of the server."""

from __future__ import annotations

import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.click.started import started


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.full((48, 48, 3), 120, np.uint8)).save(tmp_path / "photos" / "plate.png")
    process = started(tmp_path / "photos", tmp_path / "out", "stain", subprocess.PIPE)
    yield process
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


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_its_kernel_while_requests_are_under_way(server, how, tmp_path):
    url = server.stdout.readline().strip()
    kernels = psutil.Process(server.pid).children(recursive=True)
    assert kernels
    with besieged(url):
        server.send_signal(how)
        out, err = server.communicate(timeout=60)
    assert (server.returncode, out, err) == (0, f"{tmp_path / 'out'}: 0 of 1 images labelled\n", "")
    assert not any(kernel.is_running() for kernel in kernels)
