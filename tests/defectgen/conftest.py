"""Tiny settings and real trainings of a few steps."""

import pytest

from defectlib.data.loading import load_train
from defectlib.defectgen import synthesis, training
from defectlib.settings import DenoiserTraining, EmbeddedData, LargeNet, SmallNet, Synthesis
from defectlib.store import Store

DATA = EmbeddedData(product="softgel", size=32, shots=1, eval_count=2)
LARGE = DenoiserTraining(
    data=DATA, net=LargeNet(channels=(8, 16), attention=(1,)), steps=6, batch=3, checkpoint_every=2
)
SMALL = LARGE.model_copy(update={"net": SmallNet(receptive_field=9, channels=8)})
SYNTHETIC = Synthesis(large=LARGE, small=SMALL, count=5, num_inference_steps=4, batch=2)


@pytest.fixture(scope="session")
def samples():
    return load_train(DATA)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A store with the two tiny nets and the synthetic set."""
    made = Store(tmp_path_factory.mktemp("store"), shipped=None)
    made.build(SYNTHETIC, {"denoiser": training.run, "synthetic": synthesis.run})
    return made
