"""Two processes that share each batch train on what one does, and end where it ends."""

import json

import pytest
import torch

from defectlib.defectgen import training
from defectlib.defectgen.journal import LOG, SAMPLES
from defectlib.defectgen.team import Team, check_processes
from defectlib.engine import RUNNERS
from defectlib.errors import UserError
from defectlib.settings import DenoiserTraining, parse
from defectlib.store import Store
from tests.defectgen.conftest import DATA, SMALL
from tests.defectgen.test_training import SAME, distance

ALONE = SMALL.model_copy(update={"batch": 8, "steps": 12, "checkpoint_every": 5})


class OneOf:
    """What a team asks of accelerate to know its place."""

    def __init__(self, rank, size):
        self.process_index, self.num_processes = rank, size


def test_two_processes_train_on_the_samples_of_one(tmp_path):
    """Each in two parts, and with one journal between them; the loss says that the samples were the same."""
    together = ALONE.model_copy(update={"processes": 2, "accumulate": 2, "samples_every": 6, "tensorboard": True})
    artifacts = [Store(tmp_path / str(i), shipped=None).build(s, RUNNERS) for i, s in enumerate((ALONE, together))]
    one, two = (training.load_denoiser(artifact) for artifact in artifacts)
    assert distance(ALONE, one, two) < SAME
    losses = [json.loads((artifact / "losses.json").read_text()) for artifact in artifacts]
    assert [point["step"] for point in losses[1]] == [10, 12]
    for a, b in zip(*losses, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
    assert len(list((artifacts[1] / LOG).iterdir())) == 1
    assert len(list((artifacts[1] / SAMPLES).iterdir())) == 2


@pytest.mark.parametrize(("size", "parts"), [(1, 1), (2, 1), (2, 2), (4, 1), (1, 8)])
def test_the_shares_of_a_batch_are_even_and_make_it_up(size, parts):
    batch = torch.arange(8 * 3).reshape(8, 3)
    shares = [Team(OneOf(rank, size) if size > 1 else None).own_parts(batch, parts) for rank in range(size)]
    assert {len(part) for share in shares for part in share} == {8 // (size * parts)}
    assert torch.equal(torch.cat([part for share in shares for part in share]), batch)
    assert [Team(OneOf(rank, size)).writes for rank in range(size)] == [True] + [False] * (size - 1)


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    values = {"data": DATA, "net": SMALL.net, "steps": 1, "batch": 6, "processes": 2, "accumulate": 2}
    with pytest.raises(UserError, match=r"'batch' is 6, which 2 process\(es\) with 2 part\(s\) each cannot share"):
        parse(DenoiserTraining, values)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_processes(torch.device("cuda"), 2)
    check_processes(torch.device("cpu"), 9)
    with pytest.raises(UserError, match=r"'processes' is 3, but torch sees 2 CUDA device\(s\) here; use at most that"):
        check_processes(torch.device("cuda"), 3)
