"""A training whose numbers are no longer finite ends in one line and leaves no network; none is loaded either."""

from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from defectclick import focal
from defectlib.defectgen.training import load_denoiser
from defectlib.engine import RUNNERS
from defectlib.errors import UserError
from defectlib.rivals.training import load_rival
from defectlib.segmentation import oracle, training
from defectlib.settings import (
    ClickerTraining,
    DenoiserTraining,
    EmbeddedData,
    LargeNet,
    OracleTraining,
    RivalTraining,
    SegmenterTraining,
)
from defectlib.store import Store
from tests.test_cli import run

DATA = EmbeddedData(product="softgel", size=32, shots=1, eval_count=2)
DENOISER = DenoiserTraining(data=DATA, net=LargeNet(channels=(8, 16), attention=(1,)), steps=2, batch=2)
CYCLEGAN = RivalTraining(data=DATA, method="CycleGAN", steps=2, channels=4)
SEGMENTER = SegmenterTraining(data=DATA, model="UNet", steps=2, batch=2)
ORACLE = OracleTraining(product="softgel", size=32, scenes=4, unseen=2, width=4, levels=2, steps=2, batch=2)
CLICKER = ClickerTraining(
    products=("softgel",), sizes=(32,), scenes=4, widths=(8, 16, 20, 32), crop=32, steps=2, batch=2
)
TRAININGS = {
    "denoiser": DENOISER,
    "SinGAN": CYCLEGAN.model_copy(update={"method": "SinGAN", "image": 0}),
    "CycleGAN": CYCLEGAN,
    "segmenter": SEGMENTER,
    "oracle": ORACLE,
    "click network": CLICKER,
}
#: Steps, steps between checkpoints, and what is said.
WHERE = {
    "in the loss": (12, 50, r"the loss of step \d+ is (nan|-?inf)"),
    "at a checkpoint": (2, 1, ".+"),
    "in the last step": (1, 50, ".+"),
}


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        *(pytest.param(TRAININGS[name], where, id=f"{name}, {where}") for name in TRAININGS for where in WHERE),
        pytest.param(DENOISER.model_copy(update={"processes": 2}), "in the loss", id="two processes"),
    ],
)
def test_a_training_that_diverges_is_one_line_and_leaves_no_network(tmp_path, monkeypatch, capfd, settings, where):
    steps, checkpoint_every, what = WHERE[where]
    changes = {"lr": 1e39, "steps": steps, "checkpoint_every": checkpoint_every}
    settings = settings.model_copy(update=changes)
    (tmp_path / "settings.json").write_text(
        json.dumps({"stage": settings.stage, "settings": settings.model_dump(mode="json")})
    )
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DEFECTLIB_QUIET", "1")
    status, out, err = run(monkeypatch, capfd, "build", "--settings", str(tmp_path / "settings.json"))
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"training diverged: {what} at a learning rate of 1e\+39; set a lower lr\n", err), err
    assert Store(tmp_path / "store").find(settings) is None
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("settings", "load"),
    [
        (DENOISER, load_denoiser),
        (CYCLEGAN, lambda artifact: load_rival(CYCLEGAN, artifact)),
        (SEGMENTER, training.load),
        (ORACLE, oracle.load),
        (CLICKER, focal.load),
    ],
    ids=["denoiser", "rival", "segmenter", "oracle", "click network"],
)
def test_a_network_with_a_weight_that_is_not_finite_is_not_loaded(tmp_path, settings, load):
    artifact = Store(tmp_path / "store", shipped=None).build(settings, RUNNERS)
    load(artifact)
    (file,) = artifact.rglob("*.safetensors")
    weights = load_file(file)
    name = next(name for name, value in weights.items() if value.is_floating_point())
    weights[name].view(-1)[0] = torch.inf
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"'{name}' holds numbers that are not finite\); delete it and train again"):
        load(artifact)
