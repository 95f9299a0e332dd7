"""kill -9 in the middle of training, and again: it goes on, and the weights are those of a training left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from defectlib.runtime import REPOSITORY
from defectlib.settings import DenoiserTraining, EmbeddedData, LargeNet
from defectlib.store import Store, digests, read_provenance

SETTINGS = DenoiserTraining(
    data=EmbeddedData(product="softgel", size=32, shots=1, eval_count=2),
    net=LargeNet(channels=(8, 16), attention=(1,)),
    steps=150,
    batch=2,
    checkpoint_every=7,  # no multiple of the steps between two points of the loss curve
)
CHECKPOINT = Path("work") / f"denoiser-{SETTINGS.key()}" / "unfinished" / "checkpoint.safetensors"


def start(store: Path, settings: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "defectlib", "build", "--settings", str(settings)],
        cwd=REPOSITORY,
        env=os.environ | {"DEFECTLIB_STORE": str(store), "DEFECTLIB_QUIET": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, ""), err
    return out


def kill_after_a_checkpoint(process: subprocess.Popen, checkpoint: Path) -> None:
    end = time.monotonic() + 60
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "no checkpoint was written"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_training_killed_and_run_again_gives_the_same_weights(tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"stage": "denoiser", "settings": SETTINGS.model_dump(mode="json")}))
    left_alone = start(tmp_path / "alone", settings)
    killed = start(tmp_path / "killed", settings)
    kill_after_a_checkpoint(killed, tmp_path / "killed" / CHECKPOINT)
    store = Store(tmp_path / "killed", shipped=None)
    assert store.find(SETTINGS) is None
    out = finish(start(tmp_path / "killed", settings))
    artifact = store.find(SETTINGS)
    assert out == f"{artifact}\n"
    assert read_provenance(artifact)["resumed"] is True
    assert not (tmp_path / "killed" / "work" / f"denoiser-{SETTINGS.key()}").exists()
    finish(left_alone)
    other = Store(tmp_path / "alone", shipped=None).find(SETTINGS)
    weights = "net/diffusion_pytorch_model.safetensors"
    assert digests(artifact)[weights] == digests(other)[weights]
    losses = [[point["loss"] for point in json.loads((path / "losses.json").read_text())] for path in (artifact, other)]
    assert losses[0] == losses[1]
