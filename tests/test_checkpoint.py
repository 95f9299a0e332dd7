"""A checkpoint brings network, optimiser and averages back to the bit, in their memory layout, or nothing at all."""

from pathlib import Path

import pytest
import torch

from defectlib.checkpoint import FILE, read_checkpoint, write_checkpoint
from defectlib.device import generator


def started(layout=torch.contiguous_format, seed=0):
    """A network with convolutions, running statistics and its optimiser, after two steps; and averages of it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 2, 3))
    network = network.to(memory_format=layout)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, fused=True)
    steps(network, optimizer, 2)
    return network, optimizer, [weight.detach() * 0.5 for weight in network.parameters()]


def steps(network, optimizer, count):
    for step in range(count):
        network(torch.randn(2, 3, 8, 8, generator=generator(0, "test", step))).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_is_read_back_goes_on_to_the_same_weights(tmp_path, layout):
    network, optimizer, averages = started(layout)
    write_checkpoint(tmp_path / "new" / "folder", network, optimizer, {"step": 2, "losses": [[1, 0.5]]}, averages)
    other, its_optimizer, its_averages = started(layout, seed=1)
    assert not same(network.state_dict(), other.state_dict())
    progress = read_checkpoint(tmp_path / "new" / "folder", other, its_optimizer, its_averages)
    assert progress == {"step": 2, "losses": [[1, 0.5]]}
    assert all(torch.equal(a, b) for a, b in zip(averages, its_averages, strict=True))
    for weight in other.parameters():
        assert its_optimizer.state[weight]["exp_avg"].stride() == weight.stride()
    steps(network, optimizer, 3)
    steps(other, its_optimizer, 3)
    assert same(network.state_dict(), other.state_dict())
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [FILE]


def test_none_and_one_that_cannot_be_read_leave_everything_as_it_was(tmp_path):
    network, optimizer, averages = started()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert read_checkpoint(tmp_path / "nothing", network, optimizer, averages) is None
    other, its_optimizer, _ = started(seed=1)
    write_checkpoint(tmp_path, other, its_optimizer, {"step": 2})
    whole = (tmp_path / FILE).read_bytes()
    for content in (b"", whole[:4], whole[: len(whole) // 2], whole[:-1]):
        (tmp_path / FILE).write_bytes(content)
        assert read_checkpoint(tmp_path, network, optimizer, averages) is None
    assert same(network.state_dict(), before)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    network, optimizer, _ = started()
    write_checkpoint(tmp_path, network, optimizer, {"step": 2})
    before = (tmp_path / FILE).read_bytes()

    def full(path, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(tmp_path, network, optimizer, {"step": 3})
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).read_bytes() == before


def test_a_bit_that_turned_is_found_wherever_it_is(tmp_path):
    network, optimizer, _ = started()
    write_checkpoint(tmp_path, *started(seed=1)[:2], {"step": 2})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    whole = (tmp_path / FILE).read_bytes()
    for place in range(0, len(whole), 7):
        bit = 1 << place % 8
        (tmp_path / FILE).write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        found = read_checkpoint(tmp_path, network, optimizer)
        assert found is None or (found == {"step": 2} and b'"sha256"' not in (tmp_path / FILE).read_bytes()), place
        if found:  # the name of the digest is the one thing that may turn: what it stands for is whole
            network.load_state_dict(before)
    assert same(network.state_dict(), before)


def test_what_a_kill_left_half_written_does_not_pile_up(tmp_path):
    network, optimizer, _ = started()
    (tmp_path / f".{FILE}").write_bytes(b"half")
    write_checkpoint(tmp_path, network, optimizer, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
