"""What cluster-generic is told of Kubernetes: jobs that are submitted, asked after and cancelled."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from defectlib.config import STAGES
from defectlib.runtime import REPOSITORY

PROFILES = REPOSITORY / "workflow"
PROPERTIES = {"rule": "denoiser", "threads": 4, "resources": {"mem_mb": 16000, "gpu": 2, "runtime": 90}}


@pytest.fixture
def job(tmp_path):
    """Runs workflow/kubernetes/job.py where ``kubectl`` is that of tests/cluster."""
    (tmp_path / "jobs").mkdir()
    place = {"NAMESPACE": "lab", "CLAIM": "disk", "MOUNT": "/disk", "JOBS": str(tmp_path / "jobs")}
    path = {"PATH": f"{REPOSITORY / 'tests' / 'cluster'}:{os.environ['PATH']}", "DEFECTLIB_STORE": "/disk/store"}

    def run(*arguments: str) -> str:
        command = [sys.executable, str(PROFILES / "kubernetes" / "job.py"), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=place | path, check=True, stdout=-1, text=True).stdout.strip()

    return run


def script(folder: Path, line: str, properties=PROPERTIES) -> str:
    path = folder / "snakejob.sh"
    path.write_text(f"#!/bin/sh\n# properties = {json.dumps(properties)}\n{line}\n")
    return str(path)


def test_a_job_is_done_where_the_workflow_runs(job, tmp_path):
    name = job("submit", script(tmp_path, 'echo "$DEFECTLIB_STORE" > done'))
    assert job("status", name) == "success"
    assert (tmp_path / "done").read_text() == "/disk/store\n"


def test_a_job_gets_what_it_asks_for(job, tmp_path):
    job("submit", script(tmp_path, "true"))
    (path,) = (tmp_path / "jobs").iterdir()
    spec = json.loads(path.read_text())["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": 4}, "limits": {"memory": "16000M", "nvidia.com/gpu": 2}}
    assert container["volumeMounts"] == [{"name": "shared", "mountPath": "/disk"}]
    assert spec["template"]["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "disk"}
    assert spec["activeDeadlineSeconds"] == 90 * 60


def test_without_a_gpu_none_is_asked_for(job, tmp_path):
    job("submit", script(tmp_path, "true", PROPERTIES | {"resources": {"mem_mb": 4000, "gpu": 0, "runtime": 30}}))
    (path,) = (tmp_path / "jobs").iterdir()
    (container,) = json.loads(path.read_text())["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "4000M"}


def test_a_job_that_fails_or_is_gone_has_failed(job, tmp_path):
    name = job("submit", script(tmp_path, "exit 3"))
    assert job("status", name) == "failed"
    job("cancel", name)
    assert list((tmp_path / "jobs").iterdir()) == []
    assert job("status", name) == "failed"


def test_the_profiles_name_rules_and_files_that_there_are():
    for cluster in ("slurm", "kubernetes"):
        values = yaml.safe_load((PROFILES / cluster / "config.yaml").read_text())
        entries = (*values["groups"], *values.get("set-resources", ()))
        assert {re.match(r"\w+", entry)[0] for entry in entries} <= {*STAGES, "notebook"}
        commands = [value for name, value in values.items() if name.startswith("cluster-generic")]
        assert all((REPOSITORY / command.split()[1]).is_file() for command in commands)
