"""Training Defect-Click (paper §3.3): each step clicks as an annotator would, a few times, and learns from the last.

The clicks are simulated as in RITM (Sofiiuk et al. 2022): the first lies deep in the defect, each further one deep in
the largest error that the network in training makes with those before, whose mask it is also given. Segmenter and
refiner are trained together, the latter on a box about what the coarse mask changes, as wide as chance will have it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from defectclick.clicks import random_click
from defectclick.crops import Box, around, place, square
from defectclick.focal import CARD, SMALLEST, WEIGHTS, piece
from defectclick.network import ClickNetwork, boundary_loss, mask_loss, resized
from defectclick.views import View, domains, draw_view
from defectlib import runtime
from defectlib.data.sample import Sample
from defectlib.device import autocast, configure
from defectlib.settings import ClickerTraining
from defectlib.store import UNFINISHED, write_atomically
from defectlib.training import make_steps
from defectlib.weights import save_weights

EARLIER_CLICKS = (0.5, 0.25, 0.15, 0.1)  # how often there are 0, 1, 2 and 3 clicks before the one that is learnt from
WIDER = (1.1, 1.8)
"""How much longer than what changes a focus crop's side is; at work it is :data:`~defectclick.focal.RATIO`."""
WARM_UP = 0.05  # share of the training in which the learning rate rises
MOST_GRADIENT = 2.0  # greatest norm of the gradient of a step
_LOSS_POINTS = 300
_JOINED = 2

Scenes = Sequence[Sequence[Sample]]
"""Samples with defects, by domain."""


def run(settings: ClickerTraining, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: writes the weights, the network's card and the loss curve into ``out``.

    Raises:
        UserError: The data cannot be used, or the training diverged.
    """
    scenes = domains(settings)
    network, losses = fit(settings, scenes, out / UNFINISHED)
    card = {
        "widths": list(settings.widths),
        "depths": list(settings.depths),
        "crop": settings.crop,
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "domains": [domain[0].product for domain in scenes],
        "images": sum(len(domain) for domain in scenes),
    }
    save_weights(out / WEIGHTS, network.state_dict(), settings.lr)
    write_atomically(out / "losses.json", json.dumps(losses))
    write_atomically(out / CARD, json.dumps(card, indent=1))


def fit(settings: ClickerTraining, scenes: Scenes, unfinished: Path) -> tuple[ClickNetwork, list[list[float]]]:
    """Train, going on from the checkpoint under ``unfinished`` if there is one; on the CPU to the same weights.

    Returns:
        The network in evaluation mode on the CPU, and its loss curve as [step, loss] pairs.

    Raises:
        UserError: The training diverged.
    """
    network = initial(settings).to(configure(settings.device))
    optimizer = optimizer_of(settings, network)

    def make(k: int) -> float:
        return step(settings, scenes, network, optimizer, k)

    losses = make_steps(network, optimizer, settings, make, "Defect-Click", unfinished, _LOSS_POINTS)
    return network.cpu().eval(), losses


def initial(settings: ClickerTraining) -> ClickNetwork:
    """The network before the first step."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(runtime.child_seed(settings.seed, "init"))
        return ClickNetwork(settings.widths, settings.depths).train()


def optimizer_of(settings: ClickerTraining, network: ClickNetwork) -> torch.optim.Optimizer:
    """Of the weights of ``network``."""
    return torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)


def learning_rate(settings: ClickerTraining, k: int) -> float:
    """Of step ``k``: a short linear rise, then a cosine to zero."""
    rise = max(1, round(WARM_UP * settings.steps))
    return settings.lr * min((k + 1) / rise, (1 + math.cos(math.pi * k / settings.steps)) / 2)


def step(
    settings: ClickerTraining, scenes: Scenes, network: ClickNetwork, optimizer: torch.optim.Optimizer, k: int
) -> float:
    """Make step ``k``, counted from 0, which decides all that is drawn in it; its loss."""
    draw = runtime.numpy_generator(settings.seed, "batch", k)
    optimizer.param_groups[0]["lr"] = learning_rate(settings, k)
    views = batch(settings, scenes, k, draw)
    click_around(settings, network, views, draw)
    loss = objective(settings, network, views, draw)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), MOST_GRADIENT)
    optimizer.step()
    return loss.item()


def batch(settings: ClickerTraining, scenes: Scenes, k: int, draw: np.random.Generator) -> list[View]:
    """The views of step ``k``, with no click yet; domains take turns."""
    chosen = [scenes[place % len(scenes)] for place in range(k * settings.batch, (k + 1) * settings.batch)]
    return [draw_view(domain[draw.integers(len(domain))], settings, draw) for domain in chosen]


def click_around(
    settings: ClickerTraining, network: ClickNetwork, views: Sequence[View], draw: np.random.Generator
) -> None:
    """Put clicks into ``views``: one, and before it as many as chance will have, with the masks they lead to."""

    def click_on(masks: Sequence[np.ndarray]) -> None:
        for view, mask in zip(views, masks, strict=True):
            if (click := random_click(mask, view.truth, draw)) is not None:
                view.previous = mask
                view.click((click.row, click.column), click.positive)

    click_on([view.previous for view in views])
    for _ in range(int(draw.choice(len(EARLIER_CLICKS), p=EARLIER_CLICKS))):
        with torch.no_grad():
            coarse, _, _ = _coarse(settings, network, views)
        click_on(list((coarse[:, 0] > 0).cpu().numpy()))


def objective(
    settings: ClickerTraining, network: ClickNetwork, views: Sequence[View], draw: np.random.Generator
) -> torch.Tensor:
    """The loss of both masks, and of the boundary where the training is sensitive to edges; a scalar."""
    device = next(network.parameters()).device

    def stacked(masks: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(masks)).to(device)[:, None].float()

    logits, coarse, features = _coarse(settings, network, views)
    loss = mask_loss(logits, stacked([view.truth for view in views]), settings.edge_sensitive)
    masks = (logits.detach()[:, 0] > 0).cpu().numpy()
    shares = [focus_of(view, mask, draw) for view, mask in zip(views, masks, strict=True)]
    parts = [view.focus(share) for view, share in zip(views, shares, strict=True)]
    x = torch.from_numpy(np.stack([part for part, _ in parts])).to(device)
    with autocast(device, settings.dtype):
        refined, boundary = network.refine(x, torch.tensor(shares, dtype=torch.float32), coarse, features)
    truth = stacked([truth for _, truth in parts])
    loss = loss + mask_loss(refined, truth, settings.edge_sensitive)
    return loss + boundary_loss(boundary, truth) if settings.edge_sensitive else loss


def _coarse(
    settings: ClickerTraining, network: ClickNetwork, views: Sequence[View]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits at the crops' side, float32 (N, 1, S, S), and the logits and features that the network gave."""
    device = next(network.parameters()).device
    x = torch.from_numpy(np.stack([view.input() for view in views])).to(device)
    with autocast(device, settings.dtype):
        coarse, features = network(x)
    return resized(coarse.float(), x.shape[-2:]), coarse, features


def focus_of(view: View, mask: np.ndarray, draw: np.random.Generator) -> tuple[float, float, float, float]:
    """Where the refiner shall look, as shares of the view: about what the latest click changes, or misses.

    ``mask``, bool (S, S), is what the segmenter made of the clicks.
    """
    outer = Box(0.0, 0.0, view.side, view.side)
    spot = tuple(int(min(max(edge, 0), view.side - 1)) for edge in place(view.clicks[-1], view.box, view.side))
    for change in (mask ^ view.previous, view.truth ^ view.previous):
        if change[spot]:
            break
    else:
        change = np.zeros_like(mask)
        change[spot] = True
    about = around(piece(change, spot, _JOINED))
    return square(about, draw.uniform(*WIDER), SMALLEST * view.side, outer).within(outer)
