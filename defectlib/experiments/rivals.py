"""Defect-Gen beside the generators that the paper compares it with, all on the same training images (paper §4.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from defectlib.data.loading import load_train
from defectlib.data.sample import Sample
from defectlib.errors import unknown
from defectlib.experiments.study import Study
from defectlib.settings import Data, Judgement, RivalSynthesis, Stage, Synthesis

CYCLEGAN, SINGAN, SINDIFFUSION, DDPM = RIVALS = ("CycleGAN", "SinGAN", "SinDiffusion", "DDPM")
OURS = "Defect-Gen"
SINGLE = (SINGAN, SINDIFFUSION)  # those that learn from one image
ONE_IMAGE_PAIRS = 4  # at most, that CycleGAN and DDPM sample after they were trained on one image


@dataclass(frozen=True)
class Rivals(Study):
    """The pairs of every method, and what each makes of a single image.

    Args:
        product: A product of the embedded dataset.
        image: Number of the training image that the single-image methods learn from, and the others by way of test.
    """

    product: str = "softgel"
    image: int = 1

    @property
    def data(self) -> Data:
        """The product at the profile's size."""
        return self.profile.data(self.product)

    @cached_property
    def synthetic(self) -> dict[str, Synthesis | RivalSynthesis]:
        """The synthetic set of each method: SinGAN's and SinDiffusion's from one image, the others' from all."""
        profile, data = self.profile, self.data
        return {
            CYCLEGAN: profile.rival_synthesis(profile.rival_training(data, CYCLEGAN)),
            SINGAN: profile.rival_synthesis(profile.rival_training(data, SINGAN, self.image)),
            SINDIFFUSION: profile.alone(profile.sindiffusion(data, self.image)),
            DDPM: profile.synthesis(data, switch_step=0),
            OURS: profile.synthesis(data),
        }

    @cached_property
    def of_one_image(self) -> dict[str, Synthesis | RivalSynthesis]:
        """A synthetic set of each rival, trained on the single image."""
        profile, count = self.profile, min(ONE_IMAGE_PAIRS, self.profile.gallery)
        return {
            CYCLEGAN: profile.rival_synthesis(profile.rival_training(self.data, CYCLEGAN, self.image), count),
            SINGAN: self.synthetic[SINGAN],
            SINDIFFUSION: self.synthetic[SINDIFFUSION],
            DDPM: profile.alone(profile.ddpm_one(self.data, self.image), count),
        }

    def stages(self) -> tuple[Stage, ...]:
        """Every method's measures and judgement, and what CycleGAN and DDPM make of one image."""
        made = self.synthetic.values()
        measured = (stage for pairs in made for stage in (self.profile.fidelity(pairs), self.judgement(pairs)))
        return (*measured, self.of_one_image[CYCLEGAN], self.of_one_image[DDPM])

    def to_ship(self, method: str) -> tuple[Stage, ...]:
        """What of a rival comes with the package: its net, and the few pairs that it samples after one image alone.

        Raises:
            UserError: There is no such rival.
        """
        if method not in RIVALS:
            raise unknown("method", method, RIVALS)
        made = self.synthetic[method]
        net = made.rival if isinstance(made, RivalSynthesis) else made.large
        if method in SINGLE:
            return (net,)
        return (net, self.of_one_image[method]) if method == CYCLEGAN else (self.of_one_image[method],)

    def judgement(self, synthetic: Synthesis | RivalSynthesis) -> Judgement:
        """What networks see in a synthetic set."""
        return self.profile.judgement(synthetic)

    # What was made -------------------------------------------------------------------------------------------------

    @property
    def target(self) -> Sample:
        """The single training image."""
        return load_train(self.data)[self.image]

    def pairs(self, method: str) -> tuple[Sample, ...]:
        """The pairs of a method."""
        return self.read_pairs(self.synthetic[method])

    def measures(self, method: str) -> dict[str, Any]:
        """See :func:`defectlib.defectgen.fidelity.measure`."""
        return json.loads((self.path(self.profile.fidelity(self.synthetic[method])) / "fidelity.json").read_text())

    def judged(self, method: str) -> dict[str, Any]:
        """See :func:`defectlib.experiments.judging.judge`."""
        return json.loads((self.path(self.judgement(self.synthetic[method])) / "judgement.json").read_text())

    def nearest(self, method: str) -> tuple[Sample, ...]:
        """The training image nearest to each pair of a method."""
        training = load_train(self.data)
        return tuple(training[i] for i in self.measures(method)["nearest_training"])

    def figure(self, count: int = 7, with_nearest: Sequence[str] = (CYCLEGAN, DDPM)) -> dict[str, Sequence[Sample]]:
        """The rows of Figure 6: real defects, then ``count`` pairs of each method; below some, the nearest real ones.

        Args:
            count: Pairs in a row, at most.
            with_nearest: Methods that the paper finds to copy.
        """
        training = load_train(self.data)
        count = min(count, self.profile.gallery, len(training))
        spread = np.linspace(0, len(training) - 1, count).round().astype(int)
        rows: dict[str, Sequence[Sample]] = {"real defects": [training[i] for i in spread]}
        for method in self.synthetic:
            rows[method] = self.pairs(method)[:count]
            if method in with_nearest:
                rows[f"nearest real\nto {method}’s"] = self.nearest(method)[:count]
        return rows

    # One image -----------------------------------------------------------------------------------------------------

    @cached_property
    def given_back(self) -> dict[str, Sample]:
        """What each rival makes of the one image it was trained on; loads torch.

        SinGAN, its reconstruction from fixed noise; SinDiffusion, one call on the image with as much noise; the others,
        which learn nothing but that image, their first pair.
        """
        first = {method: self.read_pairs(self.of_one_image[method])[0] for method in (CYCLEGAN, DDPM)}
        return {**first, SINGAN: self._decoded(SINGAN), SINDIFFUSION: self._decoded(SINDIFFUSION)}

    def _decoded(self, method: str) -> Sample:
        from defectlib.data.encode import decode, encode, stack
        from defectlib.defectgen.training import load_denoiser
        from defectlib.rivals import sindiffusion, singan
        from defectlib.rivals.training import load_rival

        settings = self.synthetic[method]
        if isinstance(settings, RivalSynthesis):
            x = singan.reconstruct(load_rival(settings.rival, self.path(settings.rival)))
        else:
            pair = encode(*stack([self.target]), len(self.target.classes))
            x = sindiffusion.reconstruct(load_denoiser(self.path(settings.large)), pair)
        images, masks = decode(x)
        return replace(self.target, image=images[0].movedim(0, -1).numpy(), mask=masks[0].numpy())

    def learned(self) -> dict[str, list[Sample]]:
        """Rows of a picture: for each rival the one image, what it gives back, and some pairs, equally many of each."""
        return {
            method: [self.target, self.given_back[method], *self.read_pairs(settings)[:ONE_IMAGE_PAIRS]]
            for method, settings in self.of_one_image.items()
        }

    def learning(self) -> pd.DataFrame:
        """How near what is given back comes to the one image, a row per rival.

        Columns: ``image``, root-mean-square distance of pixels in [0, 1]; ``mask``, intersection over union of the
        defects; ``pairs``, mean distance of the sampled pairs to the image.
        """
        rows = {
            method: {
                "image": _distance(self.given_back[method], self.target),
                "mask": _overlap(self.given_back[method].mask, self.target.mask),
                "pairs": float(np.mean([_distance(pair, self.target) for pair in self.read_pairs(settings)])),
            }
            for method, settings in self.of_one_image.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")

    # Numbers -------------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """The measures of every method: a row per measure, a column per method, then held-out and training images.

        See :func:`defectlib.defectgen.fidelity.table`; the last row is the agreement of masks with what the oracle
        sees, mIoU as a fraction, NaN where none judges.
        """
        from defectlib.defectgen import fidelity

        measured = {method: self.measures(method) for method in self.synthetic}
        frame = fidelity.table(measured).rename(columns={f"u = {method}": method for method in measured})
        judged = {method: self.judged(method) for method in measured}
        agreement = {method: _miou(found) for method, found in judged.items()}
        frame.loc["agreement of masks and images (mIoU)"] = {
            **agreement,
            "held out": _miou(judged[OURS]["held_out"]),
            "training": None,
        }
        return frame.astype(float)

    def reductions(self) -> dict[str, pd.DataFrame]:
        """For each rival what its paper has, what is done here, and why where it is less; all of it labels."""
        from defectlib.rivals import cyclegan, ddpm, sindiffusion, singan

        made, size = self.synthetic, self.data.size
        rows = {
            CYCLEGAN: cyclegan.rows(made[CYCLEGAN].rival, size),
            SINGAN: singan.rows(made[SINGAN].rival, size),
            SINDIFFUSION: sindiffusion.rows(made[SINDIFFUSION]),
            DDPM: ddpm.rows(made[DDPM]),
        }
        columns = ["what", "the paper", "here", "why"]
        return {name: pd.DataFrame(listed, columns=columns).set_index(columns) for name, listed in rows.items()}


def _distance(a: Sample, b: Sample) -> float:
    return float(np.sqrt(np.mean((a.image / 255.0 - b.image / 255.0) ** 2)))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Pixels with the same defect in both over those with a defect in either; 1 where neither has any."""
    either = ((a > 0) | (b > 0)).sum()
    return float(((a == b) & (a > 0)).sum() / either) if either else 1.0


def _miou(found: Mapping[str, Any]) -> float | None:
    return (found.get("agreement") or {}).get("miou")
