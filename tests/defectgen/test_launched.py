"""Two processes that `accelerate launch` has started train one net, to the loss curve of one process.

Some 20 s of one core: three processes load torch. Gradients are averaged in another order than one process adds them,
so losses differ by rounding: by less than 1e-5 of their value.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from defectlib.defectgen import training
from defectlib.engine import RUNNERS
from defectlib.runtime import REPOSITORY
from defectlib.settings import DenoiserTraining, Stage
from defectlib.store import Store
from tests.defectgen.conftest import SMALL
from tests.defectgen.test_training import SAME, distance

ALONE = SMALL.model_copy(update={"batch": 8, "steps": 12, "checkpoint_every": 5})
TOGETHER = ALONE.model_copy(update={"processes": 2})
# On machines with GPUs too the settings say where a net is trained: --multi_gpu asks for several processes.
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
REST = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


def launch(stage: Stage, folder: Path) -> subprocess.CompletedProcess:
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"stage": stage.stage, "settings": stage.model_dump(mode="json")}))
    command = [*LAUNCH, *REST, "-m", "defectlib", "build", "--settings", str(settings)]
    alone = {"DEFECTLIB_STORE": str(folder / "store"), "DEFECTLIB_QUIET": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=os.environ | alone, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)


def losses(artifact: Path) -> list[tuple[int, float]]:
    return [(point["step"], point["loss"]) for point in json.loads((artifact / "losses.json").read_text())]


def test_accelerate_launch_gives_the_loss_curve_of_one_process(tmp_path):
    ran = launch(TOGETHER, tmp_path)
    assert ran.returncode == 0, ran.stderr
    artifact = Store(tmp_path / "store", shipped=None).find(TOGETHER)
    assert ran.stdout == f"{artifact}\n"  # of one process, not of two
    alone = Store(tmp_path / "alone", shipped=None).build(ALONE, RUNNERS)
    assert [step for step, _ in losses(artifact)] == [10, 12]
    for (_, one), (_, two) in zip(losses(alone), losses(artifact), strict=True):
        assert two == pytest.approx(one, rel=1e-5)
    assert distance(ALONE, *(training.load_denoiser(found) for found in (alone, artifact))) < SAME


def test_another_number_of_processes_than_the_settings_say_is_refused(tmp_path):
    said = "setting 'processes' is 1, but 2 processes were launched to train; make the two equal, or start one process"
    ran = launch(ALONE, tmp_path)
    assert ran.returncode != 0
    assert [line for line in ran.stderr.splitlines() if line.endswith(said)], ran.stderr
    assert ran.stderr.count(said) == 1
    assert not (tmp_path / "store" / DenoiserTraining.stage).exists()
