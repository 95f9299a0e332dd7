"""The command that trains Defect-Click, run for real under the smoke profile."""

from pathlib import Path

import torch

from defectclick import focal
from defectclick.network import CHANNELS
from defectlib import shipping
from defectlib.profiles import load_profile
from defectlib.store import Store
from tests.test_cli import run


def test_it_trains_what_the_switches_say_and_says_where_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path))
    monkeypatch.setenv("DEFECTLIB_QUIET", "1")
    command = ("train-clicker", "--profile", "smoke", "--leave-out", "washer", "--no-multi-level")
    status, out, _ = run(monkeypatch, capsys, *command)
    settings = load_profile("smoke").clicker_training("washer", multi_level=False)
    assert status == 0
    assert Path(out.strip()) == Store(tmp_path, shipped=None).find(settings)
    assert focal.load(Path(out.strip())).side == settings.crop


def test_shipped_it_lies_where_the_tool_looks(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DEFECTLIB_QUIET", "1")
    shelf = tmp_path / "shelf"
    monkeypatch.setattr(shipping.ship, "__defaults__", (shelf,))
    status, out, _ = run(monkeypatch, capsys, "train-clicker", "--profile", "smoke", "--ship")
    key = load_profile("smoke").clicker_training().key(any_machine=True)
    assert (status, Path(out.strip())) == (0, shelf / "clicker" / key)
    trained = focal.load(Store(tmp_path / "store", shipped=None).find(load_profile("smoke").clicker_training()))
    x = torch.randn(4, CHANNELS, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole, halved = (torch.sigmoid(net(x)[0]) for net in (trained.network, focal.load(Path(out.strip())).network))
    torch.testing.assert_close(halved, whole, atol=2e-3, rtol=0)  # weights of half precision hardly tell
    assert not torch.equal(halved, whole)


def test_a_product_that_is_not_there_is_one_line(monkeypatch, capsys):
    status, out, errors = run(monkeypatch, capsys, "train-clicker", "--profile", "smoke", "--leave-out", "capsule")
    assert (status, out) == (2, "")
    assert errors.count("\n") == 1
    assert "unknown product to leave out 'capsule'" in errors
