"""What is written while training can be read back, and leaves the training as it was."""

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from defectlib.defectgen import training
from defectlib.defectgen.journal import LOG, PAIRS, SAMPLES, Journal, grid, keep
from defectlib.engine import RUNNERS
from defectlib.store import Store, digests
from tests.defectgen.conftest import LARGE, SMALL

ASKED = {"samples_every": 2, "tensorboard": True}


def curves(directory):
    events = EventAccumulator(str(directory)).Reload()
    names = events.Tags()["scalars"]
    return {name: [(point.step, point.value) for point in events.Scalars(name)] for name in names}


@pytest.mark.parametrize("settings", [LARGE, SMALL], ids=["large", "small"])
def test_the_weights_are_the_same_to_the_byte_with_and_without(settings, tmp_path):
    asked = settings.model_copy(update=ASKED)
    assert asked.key() == settings.key()
    plain, told = (
        Store(tmp_path / name, shipped=None).build(s, RUNNERS) for name, s in (("a", settings), ("b", asked))
    )
    assert {path.name for path in told.iterdir()} - {path.name for path in plain.iterdir()} == {LOG, SAMPLES}
    weights = "net/diffusion_pytorch_model.safetensors"
    assert digests(plain)[weights] == digests(told)[weights]
    assert [path.name for path in sorted((told / SAMPLES).iterdir())] == ["000002.png", "000004.png", "000006.png"]
    pictures = [np.asarray(Image.open(path)) for path in sorted((told / SAMPLES).iterdir())]
    assert {picture.shape for picture in pictures} == {(2 * 32, PAIRS * 32, 3)}
    assert not np.array_equal(pictures[0], pictures[2])  # the same noise, another net


def test_samples_that_are_a_result_are_taken_where_asked_and_name_another_artifact(samples, tmp_path):
    settings = LARGE.model_copy(update={"samples_at": (1, 5)})
    assert settings.key() != LARGE.key()
    training.train(settings, samples, tmp_path)
    assert [path.name for path in sorted((tmp_path / SAMPLES).iterdir())] == ["000001.png", "000005.png"]


def test_the_global_generator_and_the_weights_are_left_alone(samples, tmp_path):
    batches = training._Batches(LARGE, samples, torch.device("cpu"))
    state = training._start(LARGE, batches, torch.device("cpu"), training.Team(), base=None)
    state.ema.step([weight + 1 for weight in state.denoiser.parameters()])
    before = [weight.clone() for weight in state.denoiser.parameters()]
    chance = torch.random.get_rng_state()
    Journal(LARGE.model_copy(update=ASKED), tmp_path, 0).sample(2, state.denoiser, state.ema, (32, 32))
    assert (tmp_path / SAMPLES / "000002.png").is_file()
    assert torch.equal(chance, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(before, state.denoiser.parameters(), strict=True))
    assert state.denoiser.training


def test_the_log_holds_loss_rate_and_speed(samples, tmp_path):
    settings = LARGE.model_copy(update={"steps": 25, "tensorboard": True})
    _, losses = training.train(settings, samples, tmp_path)
    found = curves(tmp_path / LOG)
    assert set(found) == {"loss", "learning rate", "images per second"}
    assert found["loss"] == [(point["step"], pytest.approx(point["loss"])) for point in losses]
    rates = [(step, pytest.approx(training.learning_rate(settings, step - 1))) for step in (10, 20, 25)]
    assert found["learning rate"] == rates
    assert all(0 < speed < 1e6 for _, speed in found["images per second"])


def test_a_log_beyond_the_checkpoint_is_cut_when_training_goes_on(tmp_path):
    settings = LARGE.model_copy(update=ASKED)
    for start, steps, value in ((0, (10, 20, 30), 1.0), (10, (20, 40), 2.0)):
        journal = Journal(settings, tmp_path, start)
        for step in steps:
            journal.log(step, value, 0.1)
        journal.close()
    assert curves(tmp_path / LOG)["loss"] == [(10, 1.0), (20, 2.0), (40, 2.0)]


def test_a_journal_that_is_asked_for_nothing_writes_nothing(samples, tmp_path):
    training.train(LARGE.model_copy(update={"checkpoint_every": 100}), samples, tmp_path / "unfinished")
    keep(tmp_path / "unfinished", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_grid_has_images_above_and_masks_below_in_greys():
    images = np.full((2, 3, 4, 3), 7, np.uint8)
    masks = np.stack([np.zeros((3, 4)), np.full((3, 4), 2)]).astype(np.uint8)
    picture = grid(images, masks, types=2)
    assert picture.shape == (6, 8, 3)
    assert (picture[:3] == 7).all()
    assert (picture[3:, :4] == 0).all()
    assert (picture[3:, 4:] == 255).all()
