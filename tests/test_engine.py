"""The build system: what is planned, made in parallel, on a scheduler whose workers die, and after a kill."""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from defectlib import engine
from defectlib.errors import UserError, UserErrors
from defectlib.experiments.boost import pool
from defectlib.profiles import load_profile
from defectlib.runtime import REPOSITORY
from defectlib.settings import EmbeddedData, Evaluation, FolderData, SegmenterTiming, SegmenterTraining, Stage
from defectlib.store import Store, read_provenance

pytestmark = pytest.mark.timeout(900)  # processes that load torch, on machines that have other things to do

#: The large net trains long enough to be killed in the middle.
REDUCED = "base: smoke\nproducts: [softgel]\nlarge: {steps: 60, checkpoint_every: 10}\n"
#: A user's own script, which asks for what :func:`graph` describes.
SCRIPT = """
import sys
from defectlib import engine
from defectlib.store import Store
from tests.test_engine import graph
if __name__ == "__main__":
    engine.build(graph(sys.argv[1]), Store(), jobs=2)
"""


@pytest.fixture(scope="module")
def reduced(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("profile") / "reduced.yaml"
    path.write_text(REDUCED)
    return str(path)


def graph(profile: str) -> tuple[Stage, ...]:
    """A synthetic set, which needs two nets, and an evaluation, which needs a training."""
    settings = load_profile(profile)
    data = settings.data("softgel")
    return pool(settings, data), settings.evaluation(data, "UNet")


def contents(store: Path, profile: str) -> dict[str, dict[str, object]]:
    """Digests of the files of every artifact, less what tells the time: of loss curves the losses alone."""
    kept = {}
    for name, stage in engine.missing(graph(profile), Store(store / "empty")).items():
        artifact = Store(store).find(stage)
        assert artifact is not None, f"{name} is missing"
        files = read_provenance(artifact)["files"]
        kept[name] = {file: digest for file, digest in files.items() if not file.endswith("provenance.json")}
        if stage.stage == "denoiser":
            kept[name]["losses.json"] = [
                (point["step"], point["loss"]) for point in json.loads((artifact / "losses.json").read_text())
            ]
    return kept


@pytest.fixture(scope="module")
def undisturbed(reduced, tmp_path_factory) -> dict[str, dict[str, object]]:
    """What one process makes."""
    store = tmp_path_factory.mktemp("undisturbed")
    engine.build(graph(reduced), Store(store), jobs=1)
    return contents(store, reduced)


def wait_for_checkpoint(store: Path, profile: str) -> None:
    work = store / "work" / f"denoiser-{graph(profile)[0].large.key()}"
    started = time.monotonic()
    while not any(work.rglob("checkpoint.safetensors")):
        assert time.monotonic() - started < 300
        time.sleep(0.01)


def resumed(store: Path, profile: str) -> bool:
    return read_provenance(Store(store).find(graph(profile)[0].large))["resumed"]


# The plan -----------------------------------------------------------------------------------------------------------


def reproduce(*arguments: str, **more: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "defectlib", "reproduce", *arguments, "--dry-run"]
    return subprocess.run(command, env=os.environ | more, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_dry_run_lists_all_of_defect_spectrum_without_its_data(tmp_path):
    """Over two thousand artifacts, within 30 s of one core."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = reproduce("defect-spectrum", DEFECTLIB_STORE=str(tmp_path / "store"), DEFECTLIB_DATA="/dev/null")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.returncode == 0, run.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 30
    *lines, total = run.stdout.splitlines()
    kinds = [line.split()[0] for line in lines]
    table_3, figure_8, table_4 = 22 * 8 * 3, 15 * 2 * 5 * 3, (5 + 1) * 3  # trainings with pairs, for the latter two
    controls = kinds.count("evaluation") - table_3 - figure_8 - table_4  # on an embedded product
    assert kinds.count("segmenter") == kinds.count("evaluation")
    assert 0 < controls < 60
    assert kinds.count("denoiser") >= 2 * (15 + 5 + 1)
    assert kinds.count("notebook") == 4
    assert total.startswith(f"{len(lines):,} to be made: ")
    assert len(lines) > 2000
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["defect-spektrum"], "unknown dataset 'defect-spektrum': did you mean 'defect_spectrum'?"),
        (["embedded", "--profile", "gpuu"], "unknown profile 'gpuu': did you mean 'gpu'?"),
        (["embedded", "--cluster", "slurn"], "unknown cluster 'slurn': did you mean 'slurm'?"),
    ],
)
def test_a_wrong_name_ends_in_one_line_with_the_nearest(arguments, said):
    run = reproduce(*arguments)
    assert run.returncode == 2
    assert run.stderr.startswith(said)
    assert run.stderr.count("\n") == 1


# The work -----------------------------------------------------------------------------------------------------------


def test_processes_make_what_one_makes_and_timings_run_last(reduced, undisturbed, tmp_path):
    timing = SegmenterTiming(data=graph(reduced)[0].data, models=("UNet",), machine="this one", rounds=2)
    store = Store(tmp_path)
    engine.build([timing, *graph(reduced)], store, jobs=2)
    assert contents(tmp_path, reduced) == undisturbed
    timed = read_provenance(store.find(timing))
    assert all(read_provenance(store.find(stage))["finished"] <= timed["finished"] for stage in graph(reduced))
    assert engine.missing([timing, *graph(reduced)], store) == {}


def test_a_stage_that_fails_stops_only_what_needs_it(reduced, tmp_path):
    gone = FolderData(root=tmp_path / "gone", digest="0", split="splits/default.json")
    failing = SegmenterTraining(data=gone, model="UNet", steps=1)
    good = graph(reduced)[1]
    store = Store(tmp_path / "store")
    with pytest.raises(UserError, match="gone"):
        engine.build([failing, good], store, jobs=2)
    assert store.find(good)
    assert store.find(failing) is None


def test_all_lines_of_an_error_come_back_from_a_worker():
    error = pickle.loads(pickle.dumps(UserErrors("faults:", ["one", "two"])))
    assert error.lines == ("faults:", "  one", "  two")


@pytest.fixture
def scheduler(tmp_path, monkeypatch) -> Iterator[Client]:
    """A scheduler with two workers that share a store, as ``DASK_SCHEDULER_ADDRESS`` names it."""
    with LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL") as cluster:
        monkeypatch.setenv(engine.ADDRESS, cluster.scheduler_address)
        with Client(cluster, set_as_default=False) as client:
            yield client


def test_training_of_a_killed_worker_resumes_elsewhere(reduced, undisturbed, tmp_path, scheduler):
    store = tmp_path / "store"
    environment = os.environ | {"DEFECTLIB_STORE": str(store), "PYTHONPATH": str(REPOSITORY)}
    command = subprocess.Popen([sys.executable, "-c", SCRIPT, reduced], env=environment)
    wait_for_checkpoint(store, reduced)
    name = engine.name_of(graph(reduced)[0].large)
    (doomed,) = [worker for worker, tasks in scheduler.processing().items() if name in map(str, tasks)]
    os.kill(scheduler.run(os.getpid)[doomed], signal.SIGKILL)
    assert command.wait(timeout=600) == 0
    assert resumed(store, reduced)
    assert contents(store, reduced) == undisturbed


def test_a_killed_command_resumes_when_given_again(reduced, undisturbed, tmp_path):
    environment = os.environ | {"DEFECTLIB_STORE": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", SCRIPT, reduced]
    first = subprocess.Popen(command, env=environment)
    wait_for_checkpoint(tmp_path, reduced)
    first.kill()
    first.wait()
    subprocess.run(command, env=environment, check=True)
    assert resumed(tmp_path, reduced)
    assert contents(tmp_path, reduced) == undisturbed


def test_slurm_jobs_make_what_one_process_makes(reduced, undisturbed, tmp_path):
    """With a scheduler of jobs that starts each at once, on this machine."""
    programs = {"sbatch": 'sh "$1" >"$1.log" 2>&1 &\necho "Submitted batch job $!"', "scancel": 'kill "$@"'}
    for name, lines in programs.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\ncp "$1" {tmp_path} 2>/dev/null\n{lines}\n')
        program.chmod(0o755)
    more = {"DASK_CONFIG": str(REPOSITORY / "workflow" / "dask.yaml"), "DASK_JOBQUEUE__SLURM__INTERFACE": "lo"}
    more |= {"DASK_DEFECTLIB__WORKERS": "2", "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    store = {"DEFECTLIB_STORE": str(tmp_path / "store"), "PYTHONPATH": str(REPOSITORY)}
    script = SCRIPT.replace("jobs=2", 'cluster="slurm"')
    subprocess.run([sys.executable, "-c", script, reduced], env=os.environ | store | more, check=True)
    assert contents(tmp_path / "store", reduced) == undisturbed
    (job, *_) = tmp_path.glob("*.sh")
    assert {"#SBATCH -p gpu", "#SBATCH -A research", "#SBATCH --gres=gpu:1"} <= set(job.read_text().splitlines())
    assert "--resources GPU=1" in job.read_text()


def test_no_scheduler_at_the_address_is_told(reduced, tmp_path, monkeypatch):
    monkeypatch.setenv(engine.ADDRESS, "tcp://127.0.0.1:1")
    monkeypatch.setattr(engine, "SCHEDULER_TIMEOUT", "2 s")
    with pytest.raises(UserError, match="DASK_SCHEDULER_ADDRESS tcp:"):
        engine.build(graph(reduced), Store(tmp_path))


def test_time_left_is_what_the_remaining_steps_take():
    data = EmbeddedData(product="softgel", size=32)
    slow = [SegmenterTraining(data=data, model="M2F", steps=100, seed=seed) for seed in range(3)]
    todo = {engine.name_of(stage): stage for stage in [*slow, Evaluation(segmenter=slow[0])]}
    board = engine.Board(todo, jobs=2)
    assert "left" not in board.line()
    first, second, _, evaluation = todo
    board.report({"name": first, "n": 50, "initial": 0, "total": 100, "elapsed": 100.0, "postfix": "loss=0.5"})
    board.report({"name": second, "n": 0, "initial": 0, "total": 0, "elapsed": 0.0, "postfix": ""})  # nothing to do
    assert board.seconds_left() == pytest.approx((100 + 200 + 200 + 200) / 2)
    assert board.line() == "0 of 4 done · about 6 min left · segmenter M2F on softgel 50/100, loss=0.5"
    board.done(first, 240.0)
    board.report({"name": second, "n": 100, "initial": 50, "total": 100, "elapsed": 100.0, "postfix": ""})
    board.done(evaluation, 7.0)
    assert board.seconds_left() == pytest.approx(200 / 2)
