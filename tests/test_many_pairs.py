"""Many pairs: progress is told, a kill costs one batch, and memory does not grow with their number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

from defectlib.data.folder import read_dataset
from defectlib.defectgen.pairs import write_drawn
from defectlib.engine import RUNNERS
from defectlib.profiles import load_profile
from defectlib.runtime import REPOSITORY
from defectlib.settings import Synthesis
from defectlib.store import Store, digests

SMOKE = load_profile("smoke")
PAIRS = SMOKE.synthesis(SMOKE.data("softgel"))
SAMPLE = ("sample", "--profile", "smoke", "--count", "200", "--sampler", "dpm++", "--calls", "6", "--seed", "3")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store with both nets, so that what follows samples at once."""
    made = tmp_path_factory.mktemp("many") / "store"
    for net in PAIRS.inputs().values():
        Store(made, shipped=None).build(net, RUNNERS)
    return made


def start(root, *words, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "defectlib", *map(str, words)],
        cwd=REPOSITORY,
        env=os.environ | {"DEFECTLIB_STORE": str(root), "OMP_NUM_THREADS": "1", "DEFECTLIB_QUIET": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


def kill_once_there(process, path, seconds=300):
    """SIGKILL as soon as ``path`` is there; the process must still be at work then."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def pictures(folder):
    found = {name: digest for name, digest in digests(folder).items() if name != "provenance.json"}
    assert len(found) == 2 * 200 + 2  # with captions and classes
    return found


def test_killed_and_run_again_sample_writes_the_same_pairs(root, tmp_path):
    changes = {"count": 200, "sampler": "dpm++", "num_inference_steps": 6, "seed": 3}
    work = root / "work" / f"synthetic-{PAIRS.model_copy(update=changes).key()}"
    process = start(root, *SAMPLE, "--out", tmp_path / "killed")
    kill_once_there(process, work / "unfinished" / "000025-25.npz")
    done = len(list((work / "unfinished").glob("0*.npz")))
    assert 2 <= done < 8
    assert not (tmp_path / "killed").exists()
    assert finish(start(root, *SAMPLE, "--out", tmp_path / "killed")) == (f"200 pairs in {tmp_path / 'killed'}\n", "")
    assert not work.exists()
    made = root / "synthetic" / work.name.removeprefix("synthetic-")
    assert json.loads((made / "provenance.json").read_text())["resumed"] is True
    made.rename(tmp_path / "aside")  # what was killed must not be found again
    _, told = finish(start(root, *SAMPLE, "--out", tmp_path / "alone", DEFECTLIB_QUIET="0"))
    assert told.startswith("synthetic on softgel (1 of 1)\n")
    assert json.loads((made / "provenance.json").read_text())["resumed"] is False
    assert pictures(tmp_path / "killed") == pictures(tmp_path / "alone")
    record = json.loads((tmp_path / "alone" / "provenance.json").read_text())["settings"]
    assert {name: record[name] for name in changes} == changes


def peak_memory(root, tmp_path, count):
    """Of a process that samples ``count`` pairs of 64 px with the tiny nets, bytes."""
    settings = tmp_path / f"{count}.json"
    values = PAIRS.model_copy(update={"count": count, "size": 64, "num_inference_steps": 2}).model_dump(mode="json")
    settings.write_text(json.dumps({"stage": "synthetic", "settings": values}))
    process = start(root, "build", "--settings", settings)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.communicate()
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def test_the_peak_of_memory_does_not_depend_on_the_number_of_pairs(root, tmp_path):
    few, many = (peak_memory(root, tmp_path, count) for count in (50, 600))
    channels = 3 + 5 + 1
    all_at_once = 550 * channels * 64 * 64 * 4  # the x_0 of the pairs that the second has more: 81 MB
    assert many - few < all_at_once / 4


SIDE, BATCH = 256, 10


def peak_of_arrays(folder, count):
    """What Python and numpy hold at most while so many pairs are written, bytes."""

    def draw(indices):
        images = np.zeros((len(indices), SIDE, SIDE, 3), np.uint8)
        return images + np.array(indices, np.uint8)[:, None, None, None], images[..., 0] + np.uint8(1)

    settings = Synthesis(**(dict(PAIRS) | {"count": count, "batch": BATCH}))
    tracemalloc.start()
    write_drawn(draw, settings, folder, "a test", "drawing")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(read_dataset(folder / settings.dataset)) == count
    return peak


def test_pairs_are_written_one_batch_at_a_time(tmp_path):
    """What is held while pairs are written: a batch, whatever their number."""
    # In a process of its own: what other tests left behind in this one may take memory at any time.
    code = "import sys, pathlib; from tests.test_many_pairs import peak_of_arrays as peak; "
    code += "print(*(peak(pathlib.Path(sys.argv[1], str(count)), count) for count in (40, 200)))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=300)
    few, many = map(int, found.stdout.split())
    batch = BATCH * SIDE * SIDE * 4
    assert many < few + batch / 2
    assert many < 5 * batch < 200 * SIDE * SIDE * 4
