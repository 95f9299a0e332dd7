"""A checkpoint brings network, optimiser and averages back to the bit, in their memory layout, or nothing at all."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from defectlib.checkpoint import FILE, _digest, read_checkpoint, write_checkpoint
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


# What is whole, but of something else ---------------------------------------------------------------------------------


def rewritten(path, change=lambda tensors: None, about='{"step": 2, "losses": []}', sealed=True):
    """Change the tensors and the progress of a checkpoint, and seal it again: nothing but its content is wrong."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"about": about} | ({"sha256": _digest(about, tensors)} if sealed else {}))


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "older"])
@pytest.mark.parametrize(
    ("said", "name", "value"),
    [
        ("'net.0.weight' is missing", "net.0.weight", None),
        ("'colour' is of nothing that is trained", "colour", torch.ones(2)),
        ("'net.0.bias' is torch.float32 (5,) where torch.float32 (4,) is", "net.0.bias", torch.ones(5)),
        ("'net.0.bias' is torch.int8 (4,) where", "net.0.bias", torch.ones(4, dtype=torch.int8)),
        ("'net.0.bias' holds numbers that are not finite", "net.0.bias", torch.full((4,), torch.nan)),
        ("'ema.2' is missing", "ema.2", None),
        ("'ema.6' is of nothing that is trained", "ema.6", torch.ones(4)),
        ("'optimizer.0.exp_avg_sq' is missing", "optimizer.0.exp_avg_sq", None),
        ("'optimizer.1.exp_avg' is", "optimizer.1.exp_avg", torch.ones(3)),
    ],
)
def test_tensors_of_something_else_are_as_good_as_none(tmp_path, capsys, monkeypatch, said, name, value, sealed):
    def change(tensors):
        tensors.pop(name) if value is None else tensors.update({name: value})

    expect_none(tmp_path, capsys, monkeypatch, said, lambda path: rewritten(path, change, sealed=sealed))


@pytest.mark.parametrize(
    ("said", "about"),
    [
        ("it says no progress", "[]"),
        ("Expecting value", "hello"),
        ("'losses' of its progress is None", '{"step": 2}'),
        ("'step' of its progress is 'two'", '{"step": "two", "losses": []}'),
        ("'step' of its progress is below 0", '{"step": -2, "losses": []}'),
    ],
)
def test_progress_of_another_kind_is_as_good_as_none(tmp_path, capsys, monkeypatch, said, about):
    expect_none(tmp_path, capsys, monkeypatch, said, lambda path: rewritten(path, about=about))


def test_what_is_no_plain_file_is_as_good_as_none(tmp_path, capsys, monkeypatch):
    def pipe(path):
        path.unlink()
        os.mkfifo(path)

    expect_none(tmp_path, capsys, monkeypatch, "no plain file", pipe)


def expect_none(tmp_path, capsys, monkeypatch, said, spoil):
    """Of a checkpoint that ``spoil`` changed nothing is taken up, and one line says why."""
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    write_checkpoint(tmp_path, *started(seed=1)[:2], {"step": 2, "losses": []}, started(seed=1)[2])
    spoil(tmp_path / FILE)
    network, optimizer, averages = started()
    before = json.dumps([state(network.state_dict()), state(optimizer.state_dict()["state"]), state(averages)])
    like = {"step": 0, "losses": []}
    assert read_checkpoint(tmp_path, network, optimizer, averages, like=like) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path / FILE}: damaged (")
    assert said in line
    assert line.endswith("; training starts again")
    assert before == json.dumps([state(network.state_dict()), state(optimizer.state_dict()["state"]), state(averages)])


def state(values):
    """Tensors, however they are nested, as lists."""
    if isinstance(values, torch.Tensor):
        return values.tolist()
    if isinstance(values, dict):
        return {str(name): state(value) for name, value in values.items()}
    return [state(value) for value in values]


def test_weights_that_stood_still_need_no_moments(tmp_path):
    network, _, _ = started()
    still = torch.optim.Adam(network.parameters(), lr=0.01)
    write_checkpoint(tmp_path, network, still, {"step": 2})
    other, its_optimizer, _ = started(seed=1)
    assert read_checkpoint(tmp_path, other, its_optimizer) == {"step": 2}
    assert same(network.state_dict(), other.state_dict())
