"""Training Defect-Click: it learns, it goes on after a cut to the same weights, and every switch reaches it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from defectclick import focal, training
from defectclick.clicks import Click
from defectclick.focal import load
from defectclick.network import CHANNELS
from defectclick.views import View, domains
from defectlib import shipping
from defectlib.profiles import load_profile
from defectlib.settings import ClickerTraining
from defectlib.store import Store
from tests.defectclick.test_views import PLAIN
from tests.test_cli import run

NET = {"widths": (8, 16, 20, 32), "depths": (1, 1, 1, 1)}


def settings(**changes):
    values = {"products": ("softgel",), "sizes": (32,), "scenes": 4, "crop": 32, "steps": 3, "batch": 2, **NET}
    return ClickerTraining(**{**values, **changes})


@pytest.fixture(scope="module")
def scenes():
    return domains(settings())


def weights_equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_it_learns(tmp_path, scenes):
    chosen = settings(steps=25, batch=4, lr=3e-3)

    def loss_of(network):
        """On views that no step sees."""
        draw = np.random.default_rng(0)
        views = training.batch(chosen, scenes, 10**6, draw)
        training.click_around(chosen, Blind(), views, draw)
        with torch.no_grad():
            return float(training.objective(chosen, network, views, draw))

    network, losses = training.fit(chosen, scenes, tmp_path / "unfinished")
    assert loss_of(network) < 0.9 * loss_of(training.initial(chosen))
    assert [step for step, _ in losses] == list(range(25))
    assert not network.training
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_run_cut_off_goes_on_to_the_same_weights(tmp_path, monkeypatch, scenes, dtype):
    chosen = settings(checkpoint_every=2, dtype=dtype)
    whole, losses = training.fit(chosen, scenes, tmp_path / "whole")
    rate, visited = training.learning_rate, []

    def cut(settings, k):
        visited.append(k)
        if k == 2 and visited.count(2) == 1:
            raise KeyboardInterrupt
        return rate(settings, k)

    monkeypatch.setattr(training, "learning_rate", cut)
    with pytest.raises(KeyboardInterrupt):
        training.fit(chosen, scenes, tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["checkpoint.safetensors"]
    torch.rand(7)  # chance consumed elsewhere must not matter
    resumed, resumed_losses = training.fit(chosen, scenes, tmp_path / "cut")
    assert visited == [0, 1, 2, 2]
    assert weights_equal(whole, resumed)
    assert losses == resumed_losses


def test_the_seed_decides_and_the_global_generator_is_left_alone(tmp_path, scenes):
    state = torch.random.get_rng_state()
    first, again, other = (training.fit(settings(steps=1, seed=seed), scenes, tmp_path)[0] for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert weights_equal(first, again)
    assert not weights_equal(first, other)


@pytest.mark.parametrize("switch", ["multi_level", "edge_sensitive"])
def test_every_switch_changes_what_is_learnt(tmp_path, scenes, switch):
    with_it, without = (training.fit(settings(steps=2, **{switch: on}), scenes, tmp_path)[1] for on in (True, False))
    assert with_it != without


def test_the_learning_rate_rises_and_falls():
    rates = [training.learning_rate(settings(steps=100, lr=1.0), k) for k in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0], abs=5e-3)
    assert rates[5:] == pytest.approx([(1 + math.cos(math.pi * k / 100)) / 2 for k in range(5, 100)])


# Clicks and focus ---------------------------------------------------------------------------------------------------


class Blind:
    """Stands in for the network where only what follows from its mask is of interest: it sees nothing."""

    def __call__(self, x):
        return torch.full((len(x), 1, 8, 8), -5.0), None

    def parameters(self):
        yield torch.zeros(1)


def test_clicks_go_where_the_mask_before_them_is_wrong(scenes, monkeypatch):
    monkeypatch.setattr(training, "EARLIER_CLICKS", (0, 0, 1))
    draw = np.random.default_rng(0)
    views = training.batch(settings(batch=3), scenes, 0, draw)
    training.click_around(settings(), Blind(), views, draw)
    for view in views:
        assert len(view.clicks) == 3
        assert all(click.positive and view.target[click.row, click.column] for click in view.clicks)
        assert not view.previous.any()


def test_the_focus_is_about_what_the_click_changes():
    target = np.zeros((32, 32), bool)
    target[4:8, 4:8] = target[20:30, 20:30] = True
    view = View(np.zeros((32, 32, 3), np.uint8), target, training.Box(0, 0, 32, 32), PLAIN, 32)
    view.clicks.append(Click(25, 25))
    for mask in (target, np.zeros_like(target)):  # found, and missed altogether
        box = training.Box(0, 0, 1, 1).at(training.focus_of(view, mask, np.random.default_rng(0)))
        assert 0.3 < box.top < 20.5 / 32
        assert 29.5 / 32 < box.bottom <= 1
    view.previous[:] = target
    view.clicks.append(Click(5, 5, positive=False))  # changes nothing: the least box about it
    box = training.focus_of(view, target, np.random.default_rng(0))
    assert np.subtract(box[2:], box[:2]) == pytest.approx((1 / 3, 1 / 3))
    assert box[0] < 5.5 / 32 < box[2]


# The stage ----------------------------------------------------------------------------------------------------------


def test_the_artifact(tmp_path, scenes):
    training.run(settings(), {}, tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    expected, losses = training.fit(settings(), scenes, tmp_path / "none")
    assert (card["crop"], card["domains"], card["images"]) == (32, ["softgel"], 4)
    assert card["parameters"] == sum(weight.numel() for weight in expected.parameters())
    assert json.loads((tmp_path / "losses.json").read_text()) == losses
    clicker = load(tmp_path)
    assert weights_equal(clicker.network, expected)
    assert not clicker.network.training


# The command, run for real under the smoke profile --------------------------------------------------------------------


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
