"""Studies of Defect-Gen: its three regimes (Fig. 5), the switch step, and the receptive field (paper §3.4.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from defectlib.data.loading import load_train
from defectlib.data.procedural import PRODUCTS
from defectlib.data.sample import Sample, window
from defectlib.experiments.study import Study
from defectlib.settings import Data, Fidelity, FolderData, LiveNets, Stage, Synthesis, T
from defectlib.store import read_provenance


@dataclass(frozen=True)
class SwitchStep(Study):
    """One product, one pair of nets, several switch steps u.

    Args:
        product: A product of the embedded dataset.
        switch_steps: Values of u; None takes the profile's.
        folder: A dataset folder to take instead of the product: its nets are trained on crops at native scale.
    """

    product: str = "softgel"
    switch_steps: tuple[int, ...] | None = None
    folder: FolderData | None = None

    @property
    def steps(self) -> tuple[int, ...]:
        """The values of u, as asked or as the profile says."""
        return self.profile.switch_steps if self.switch_steps is None else tuple(self.switch_steps)

    @property
    def data(self) -> Data:
        """The folder, or the product at the profile's size."""
        return self.folder or self.profile.data(self.product)

    def synthetic(self, switch_step: int) -> Synthesis:
        """The synthetic set at u = ``switch_step``."""
        if self.folder is not None:
            return self.profile.own_synthesis(self.folder, self.profile.gallery, switch_step=switch_step)
        return self.profile.synthesis(self.data, switch_step=switch_step)

    def stages(self) -> tuple[Fidelity, ...]:
        """One set of measures per u."""
        return tuple(self.profile.fidelity(self.synthetic(u)) for u in self.steps)

    def training(self) -> tuple[Sample, ...]:
        """The images the nets were trained on."""
        return load_train(self.data)

    def pairs(self, switch_step: int) -> tuple[Sample, ...]:
        """Synthetic pairs at u = ``switch_step``; pair k starts from the same noise at every u."""
        return self.read_pairs(self.synthetic(switch_step))

    def measures(self, switch_step: int) -> dict:
        """See :func:`defectlib.defectgen.fidelity.measure`."""
        artifact = self.path(self.profile.fidelity(self.synthetic(switch_step)))
        return json.loads((artifact / "fidelity.json").read_text())

    def nearest(self, switch_step: int) -> tuple[Sample, ...]:
        """The training image nearest to each pair, or the window of one where the nets were trained on crops."""
        found, training = self.measures(switch_step), self.training()
        images = tuple(training[i] for i in found["nearest_training"])
        if "nearest_corner" not in found:
            return images
        side = self.synthetic(switch_step).size
        return tuple(window(image, corner, side) for image, corner in zip(images, found["nearest_corner"], strict=True))

    def table(self) -> pd.DataFrame:
        """The curve over u: one row per switch step.

        Columns: ``u``; ``nearest``, mean root-mean-square distance to the nearest training image; ``spread``, mean
        distance between two synthetic images; both in [0, 1]; ``defect_free``, share of empty masks; and the same of
        the training images, ``training_nearest`` and ``training_spread``.
        """
        return pd.DataFrame([{"u": u, **curve_point(self.measures(u))} for u in self.steps])


def curve_point(found: Mapping[str, Any]) -> dict[str, float]:
    """Of the measures of a synthetic set, those that :meth:`SwitchStep.table` shows, under its names."""
    return {
        "nearest": found["nearest_mean"],
        "spread": found["spread"],
        "defect_free": found["defect_free"],
        "training_nearest": found["training_nearest_mean"],
        "training_spread": found["training_spread"],
    }


@dataclass(frozen=True)
class Regimes(SwitchStep):
    """Figure 5's three cases: the large net alone (u = 0), both, and the small one alone (u = T)."""

    @property
    def steps(self) -> tuple[int, ...]:
        """The three values of u."""
        return (0, self.profile.switch_step, T)

    def losses(self) -> dict[str, pd.DataFrame]:
        """The loss curves (``step``, ``loss``, ``seconds``) of the large and the small net."""
        synthetic = self.synthetic(self.profile.switch_step)
        nets = {"large": synthetic.large, "small": synthetic.small}
        return {name: pd.read_json(self.path(net) / "losses.json") for name, net in nets.items()}

    def provenance(self) -> dict[str, dict]:
        """How the large and the small net came to be."""
        synthetic = self.synthetic(self.profile.switch_step)
        return {name: read_provenance(self.path(net)) for name, net in synthetic.inputs().items()}


@dataclass(frozen=True)
class Playground(Study):
    """Every switch step with every receptive field of the small net, from the same noise.

    Args:
        product: A product of the embedded dataset.
        switch_steps: Values of u; None takes the profile's.
        receptive_fields: Of the small nets, in pixels; None takes the profile's.
    """

    product: str = "softgel"
    switch_steps: tuple[int, ...] | None = None
    receptive_fields: tuple[int, ...] | None = None

    def grid(self) -> dict[tuple[int, int], Synthesis]:
        """The synthetic set of each (u, receptive field)."""
        steps = self.profile.switch_steps if self.switch_steps is None else self.switch_steps
        fields = self.profile.receptive_fields if self.receptive_fields is None else self.receptive_fields
        data = self.profile.data(self.product)
        return {
            (u, field): self.profile.synthesis(data, switch_step=u, receptive_field=field)
            for field in fields
            for u in steps
        }

    def live(self) -> dict[str, LiveNets]:
        """What the page samples with, by product: all that are embedded under ``cpu``, where their nets are shipped."""
        products = PRODUCTS if self.profile.name == "cpu" else (self.product,)
        return {product: self._live(self.profile.data(product)) for product in products}

    def _live(self, data: Data) -> LiveNets:
        fields = self.profile.receptive_fields if self.receptive_fields is None else self.receptive_fields
        sets = [self.profile.synthesis(data, receptive_field=field) for field in fields]
        return LiveNets(large=sets[0].large, small=tuple(one.small for one in sets))

    def stages(self) -> tuple[Stage, ...]:
        """One synthetic set per point of the grid, and the nets for the page."""
        return *self.grid().values(), *self.live().values()

    def pairs(self) -> dict[tuple[int, int], tuple[Sample, ...]]:
        """The pairs at each (u, receptive field); pair k starts from the same noise everywhere."""
        return {point: self.read_pairs(stage) for point, stage in self.grid().items()}
