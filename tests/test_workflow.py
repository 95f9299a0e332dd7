"""The one workflow: all of a dataset planned without it, and a small graph done by cores, by a cluster and by rivals.

Slow, for every job is a process that loads torch, and on the cluster another one that loads the workflow: about 100 s
on two cores that have nothing else to do.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from defectlib.config import Stage
from defectlib.profiles import load_profile
from defectlib.runtime import REPOSITORY
from defectlib.store import Store, read_provenance
from defectlib.studies.ratios import pool

pytestmark = pytest.mark.timeout(1800)  # on machines that have other things to do
HERE = Path(__file__).with_name("cluster")
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
#: One product and one baseline; the large net trains long enough to be caught at it.
REDUCED = """
base: smoke
products: [softgel]
boosted: [UNet]
ratios: [0, 100]
models: [UNet]
large: {steps: 60, checkpoint_every: 10}
"""


def environment(store: Path, **more: str) -> dict[str, str]:
    alone = {"DEFECTLIB_STORE": str(store), "DEFECTLIB_QUIET": "1", "DEFECTLIB_DATA": "/dev/null"}
    return os.environ | alone | {"OMP_NUM_THREADS": "1"} | more


def snakemake(folder: Path, store: Path, *arguments: str, **more: str) -> subprocess.Popen:
    """Snakemake at work in ``folder``; its own messages go to standard error."""
    folder.mkdir(exist_ok=True)
    command = [*SNAKEMAKE, "--rerun-triggers", "mtime", "--directory", str(folder), *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment(store, **more), cwd=REPOSITORY, **streams)


def done(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=1500)
    assert process.returncode == 0, said
    return said


# The plan -----------------------------------------------------------------------------------------------------------


def counts(said: str) -> dict[str, int]:
    """Snakemake's own table of jobs."""
    table = said.split("Job stats:")[-1].split("\n\n")[0]
    return {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def test_all_of_defect_spectrum_is_planned_from_its_manifest(tmp_path):
    """Over two thousand jobs, within 30 s of one core; with no data here and an empty store."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    plan = ("-n", "--quiet", "rules", "--config", "profile=gpu", "dataset=defect-spectrum")
    found = counts(done(snakemake(tmp_path / "run", tmp_path / "store", *plan)))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 30
    table_3, figure_8, table_4 = 22 * 8 * 3, 15 * 2 * 5 * 3, (5 + 1) * 3  # trainings with pairs, for the latter two
    controls = found["evaluation"] - table_3 - figure_8 - table_4  # on an embedded product
    assert found["segmenter"] == found["evaluation"]
    assert 0 < controls < 60
    assert found["denoiser"] >= 2 * (15 + 5 + 1)
    assert found["notebook"] == 4
    assert found["total"] == sum(found.values()) - found["total"] > 2000
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("dataset=defect-spektrum", "unknown dataset 'defect-spektrum': did you mean 'defect_spectrum'?"),
        ("profile=gpuu", "unknown profile 'gpuu': did you mean 'gpu'?"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(tmp_path, config, said):
    process = snakemake(tmp_path, tmp_path / "store", "-n", "--quiet", "all", "--config", config)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert [line for line in told.splitlines() if line.startswith(said)], told
    assert "Traceback" not in told


# The work -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reduced(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "reduced.yaml"
    path.write_text(REDUCED)
    return path


def graph(profile: Path) -> tuple[Stage, ...]:
    """A synthetic set, which needs two nets, and an evaluation, which needs a training."""
    settings = load_profile(str(profile))
    data = settings.data("softgel")
    return pool(settings, data), settings.evaluation(data, "UNet")


def asked(profile: Path, stages: tuple[Stage, ...]) -> list[str]:
    """Of all tables of the profile's products, what leads to ``stages``."""
    files = [f"build/receipts/{stage.stage}/{stage.key()}.json" for stage in stages]
    return ["--config", f"profile={profile}", "dataset=embedded", "jobs=2", "--", *files]


def every(stages: tuple[Stage, ...]) -> dict[str, Stage]:
    """``stages`` and all that they are made from, by key."""
    found = {stage.key(): stage for stage in stages}
    for stage in stages:
        found |= every(tuple(stage.inputs().values()))
    return found


def contents(store: Path, stages: tuple[Stage, ...]) -> Mapping[str, dict[str, str]]:
    """Digests of the files of every artifact, less what tells the time: of loss curves the losses alone."""
    kept = {}
    for key, stage in every(stages).items():
        artifact = Store(store, shipped=None).find(stage)
        assert artifact is not None, f"{stage.stage} {key} is missing"
        files = read_provenance(artifact)["files"]
        kept[key] = {name: digest for name, digest in files.items() if not name.endswith("provenance.json")}
        if stage.stage == "denoiser":
            points = json.loads((artifact / "losses.json").read_text())
            kept[key] |= {"losses.json": [(point["step"], point["loss"]) for point in points]}
    return kept


@pytest.fixture(scope="module")
def undisturbed(reduced, tmp_path_factory) -> Path:
    """The store of a run on two cores."""
    place = tmp_path_factory.mktemp("undisturbed")
    said = done(snakemake(place / "run", place / "store", "--cores", "2", *asked(reduced, graph(reduced))))
    assert counts(said) == {"denoiser": 2, "synthetic": 1, "segmenter": 1, "evaluation": 1, "total": 5}
    return place / "store"


def test_a_run_on_cores_leaves_nothing_to_be_done(reduced, undisturbed, tmp_path):
    """Another folder finds what is in the store, without receipts of its own."""
    assert len(contents(undisturbed, graph(reduced))) == 5
    said = done(snakemake(tmp_path / "other", undisturbed, "-n", *asked(reduced, graph(reduced))))
    assert "Nothing to be done" in said


def test_a_cluster_whose_jobs_are_killed_makes_the_same(reduced, undisturbed, tmp_path):
    nodes, stages = tmp_path / "nodes", graph(reduced)
    nodes.mkdir()
    node = {"NODE": f"{sys.executable} {HERE / 'node.py'}", "NODES": str(nodes)}
    store = tmp_path / "store"
    said = done(snakemake(tmp_path / "run", store, "--profile", str(HERE), *asked(reduced, stages), **node))
    submitted = {path.stem: json.loads(path.read_text()) for path in nodes.glob("*.json")}
    killed = {submitted[path.stem]["output"] for path in nodes.glob("*.killed")}
    assert {Path(output).parent.name for output in killed} == {"denoiser", "evaluation"}  # the latter with its training
    assert len(submitted) == 4 + len(killed), said  # a training and its evaluation are one job
    assert {job["resources"]["mem_mb"] for job in submitted.values()} == {4000}
    assert contents(store, stages) == contents(undisturbed, stages)
    resumed = [stage for stage in every(stages).values() if read_provenance(Store(store).find(stage))["resumed"]]
    assert "large" in {stage.net.kind for stage in resumed if stage.stage == "denoiser"}


def test_two_workers_on_one_store_make_everything_once(reduced, undisturbed, tmp_path):
    """Each in a folder of its own, so that neither knows of the other's receipts."""
    stages = (graph(reduced)[0].small,)
    arguments = ("--cores", "1", *asked(reduced, stages))
    workers = [snakemake(tmp_path / f"worker {i}", tmp_path / "store", *arguments) for i in (1, 2)]
    for worker in workers:
        done(worker)
    assert contents(tmp_path / "store", stages) == contents(undisturbed, stages)
    receipts = [path.read_text() for path in tmp_path.glob("worker */build/receipts/denoiser/*.json")]
    assert len(receipts) == 2
    assert len(set(receipts)) == 1
