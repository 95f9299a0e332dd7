"""Defect-Click at work: from the latest click to the new mask, after FocalClick (Chen et al. 2022, §3).

First the network looks at a *view*: the box around the mask so far and the click, or at first all of the image near the
click. Where what changes there is small, it looks again from closer, so that a defect of a few pixels fills the view
as a large one does. Then it refines the *focus crop*, the box around that change, cut from the image anew. And the
mask is changed only where the click asks for it: in the piece under the click, nowhere else (their §3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from defectclick.clicks import Click
from defectclick.crops import Box, around, cut, cut_mask, prepare, put_back, square, whole
from defectclick.network import ClickNetwork
from defectlib.clock import threads
from defectlib.errors import UserError
from defectlib.reading import read_json
from defectlib.settings import ClickerTraining, parse
from defectlib.store import PROVENANCE, SHIPPED, Store, read_provenance, settings_of
from defectlib.weights import load_weights, readable

WEIGHTS = "model.safetensors"
CARD = "model.json"
RATIO = 1.4  # how much longer than what it is about a crop's side is
LARGEST = 4
"""Side of the first view, at most, in sides of a crop: scaled down further than that, small defects are lost."""
SMALLEST = 1 / 3  # side of any crop, at least, likewise
CLOSER = 0.6  # a view is left for one of at most so much of its side
LOOKS = 3  # views of one click at most
JOINED = 2  # pieces of a change that are this many pixels of a crop apart are one
LEAST_THRESHOLD = 0.1
_SLACK = 0.8


class FocalClicker:
    """The trained network as a method of interactive segmentation (see :class:`~defectclick.clicks.Clicker`).

    Args:
        network: In evaluation mode, on the CPU.
        side: Of its crops, in pixels.
    """

    name = "Defect-Click"

    def __init__(self, network: ClickNetwork, side: int) -> None:
        self.network = network
        self.side = side

    @torch.inference_mode()
    @threads(1)  # so small a network that on a busy machine a second one costs a hundred times what it brings
    def segment(self, image: np.ndarray, clicks: Sequence[Click], previous: np.ndarray) -> np.ndarray:
        """See :meth:`defectclick.clicks.Clicker.segment`."""
        latest, all_of_it = clicks[-1], whole(previous)
        if bool(previous[latest.row, latest.column]) == latest.positive:
            return previous.copy()  # it already is what the click says
        first = (RATIO, SMALLEST) if previous.any() else (1, LARGEST)
        view = square(around(previous, [latest]), first[0], first[1] * self.side, all_of_it)
        for _ in range(LOOKS):
            coarse, features = self.network(self._input(image, previous, clicks, view))
            change = self._change(coarse.sigmoid()[0, 0].numpy(), view, previous, latest)
            closer = square(around(change), RATIO, SMALLEST * self.side, all_of_it)
            if max(closer.sides) > CLOSER * max(view.sides):
                break
            view = closer
        focus = square(around(change), RATIO, SMALLEST * self.side, view)
        shares = torch.tensor([focus.within(view)], dtype=torch.float32)
        refined, _ = self.network.refine(self._input(image, previous, clicks, focus), shares, coarse, features)
        return previous ^ self._change(refined.sigmoid()[0, 0].numpy(), focus, previous, latest)

    def _input(self, image: np.ndarray, previous: np.ndarray, clicks: Sequence[Click], box: Box) -> torch.Tensor:
        x = prepare(cut(image, box, self.side), cut_mask(previous, box, self.side), clicks, box)
        return torch.from_numpy(x)[None]

    def _change(self, probability: np.ndarray, box: Box, previous: np.ndarray, latest: Click) -> np.ndarray:
        """Where ``previous`` changes under the click, bool (H, W), by what the network says of ``box``."""
        change = np.zeros(previous.shape, bool)  # unlike zeros_like, not written to until something changes
        values, place = put_back(probability, box, previous.shape)
        spot = latest.row - place[0].start, latest.column - place[1].start
        wanted = values >= threshold(float(values[spot]), latest.positive)
        wanted[spot] = latest.positive
        gap = round(JOINED * max(box.sides) / self.side)
        change[place] = piece(wanted ^ previous[place], spot, gap)
        return change


def threshold(probability: float, positive: bool) -> float:
    """From which probability on a pixel belongs to the mask: 1/2, unless the click says otherwise.

    Where the network does not believe a click of that ``probability``, the threshold moves until it does, so that what
    looks like the clicked pixel follows it; but not so far that all would.
    """
    if positive:
        return min(0.5, max(LEAST_THRESHOLD, _SLACK * probability))
    return 1 - min(0.5, max(LEAST_THRESHOLD, _SLACK * (1 - probability)))


def piece(region: np.ndarray, spot: tuple[int, int], gap: int) -> np.ndarray:
    """The part of a bool ``region`` (H, W) that hangs together with ``spot`` across gaps of ``gap`` pixels."""
    near = ndimage.distance_transform_edt(~region) <= gap / 2 if gap else region
    labels, _ = ndimage.label(near, structure=np.ones((3, 3)))
    return region & (labels == labels[spot])


def load(artifact: Path) -> FocalClicker:
    """The clicker of an artifact.

    Raises:
        UserError: A file is missing, cut short or of another network.
    """
    with readable(artifact, "clicker"):
        try:
            card = read_json(artifact / CARD, "it is damaged")
            shape = {name: card[name] for name in ("widths", "depths", "crop")}
            card = parse(ClickerTraining, {"products": ("any",), "steps": 1, **shape})
        except UserError as error:
            raise ValueError(f"{CARD}: {error}") from error  # told with the folder that it is in
        network = ClickNetwork(card.widths, card.depths)
        load_weights(network, artifact / WEIGHTS)
    return FocalClicker(network.eval(), card.crop)


def shipped() -> FocalClicker:
    """The clicker that comes with the package: of those there, the one that has learnt from most products.

    Raises:
        UserError: There is none.
    """
    records = sorted((SHIPPED / ClickerTraining.stage).glob(f"*/{PROVENANCE}"))
    settings = [settings_of(read_provenance(record.parent)) for record in records]
    found = settings and Store().find(max(settings, key=lambda training: len(training.products)))
    if not found:
        raise UserError("no trained clicker comes with this package; make one: defectlib train-clicker --ship")
    return load(found)
