"""The released code's path beside the paper's: which timesteps each net visits, and what that does to diversity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from defectlib import runtime
from defectlib.experiments.generation import SwitchStep
from defectlib.settings import Stage, Synthesis, T

PAPER, RELEASE = "the paper's path", "the released code"
DRAWS = 2000  # resamples of the pairs behind each interval


@dataclass(frozen=True)
class ReleasedPath(SwitchStep):
    """The switch steps of one product along the path of the released code."""

    def synthetic(self, switch_step: int) -> Synthesis:
        """The synthetic set at u = ``switch_step``; the paper's own where the two paths are one."""
        paper = super().synthetic(switch_step)
        return paper if switch_step in (0, T) else self.profile.released(paper)


@dataclass(frozen=True)
class ReleasedCode(SwitchStep):
    """Both paths, from the same nets and the same noise, at each of the switch steps and at the profile's."""

    @property
    def steps(self) -> tuple[int, ...]:
        """The values of u, as asked or as the profile says, and the one at which pairs are shown."""
        return tuple(sorted({*super().steps, self.profile.switch_step}))

    @cached_property
    def paths(self) -> dict[str, SwitchStep]:
        """The study of each path by its name."""
        # The release samples by DDIM alone; the two must differ in their path and in nothing else.
        profile = self.profile.model_copy(update={"sampler": "ddim"})
        return {
            name: kind(profile, self.product, self.steps, store=self.store)
            for name, kind in ((PAPER, SwitchStep), (RELEASE, ReleasedPath))
        }

    def stages(self) -> tuple[Stage, ...]:
        """The measures of both paths; where they are one, once."""
        return tuple(dict.fromkeys(stage for path in self.paths.values() for stage in path.stages()))

    def visits(self, switch_steps: tuple[int, ...], calls: int = T) -> pd.DataFrame:
        """The timesteps at which each net is called on both paths; loads torch.

        Args:
            switch_steps: Values of u.
            calls: Network calls; T are all that there are.

        Returns:
            Index ``u``, ``net``; a column of text for each path.
        """
        from defectlib.defectgen.released import released_timesteps
        from defectlib.defectgen.timesteps import two_stage_timesteps

        plans = {PAPER: two_stage_timesteps, RELEASE: released_timesteps}
        rows = {
            (u, net): {path: _range(plan(u, calls)[i]) for path, plan in plans.items()}
            for u in switch_steps
            for i, net in enumerate(("large", "small"))
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["u", "net"])

    def remaining(self, deviations: tuple[float, ...]) -> pd.DataFrame:
        """The share of the data's standard deviation that the release's path leaves, with perfect nets; loads torch.

        Index ``u``, a column for each of ``deviations`` (see :func:`defectlib.defectgen.released.remaining_variety`).
        """
        from defectlib.defectgen.released import remaining_variety

        rows = {u: [remaining_variety(u, s) for s in deviations] for u in self.steps}
        columns = [f"s = {s:g}" for s in deviations]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("u")

    def table(self) -> pd.DataFrame:
        """The measures on both paths, one row for each path and u.

        Columns: ``path`` and those of :meth:`SwitchStep.table`; ``spread_low`` and ``spread_high``, ``nearest_low`` and
        ``nearest_high``, 95 % bootstrap intervals over the pairs; ``neighbours``, how many different training images
        are the nearest one to some pair.
        """
        tables = []
        for name, path in self.paths.items():
            table = path.table().assign(path=name)
            table["neighbours"] = [len(set(path.measures(u)["nearest_training"])) for u in self.steps]
            values = {u: self._resampled(path, u) for u in self.steps}
            for i, measure in enumerate(("spread", "nearest")):
                bounds = [_interval(values[u][i]) for u in self.steps]
                table[f"{measure}_low"], table[f"{measure}_high"] = zip(*bounds, strict=True)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def differences(self) -> pd.DataFrame:
        """What the release's path changes against the paper's, one row per u strictly between 0 and T.

        Columns: ``u``; ``spread`` and ``nearest``, the release's mean less the paper's; each with ``_low`` and
        ``_high``, the 95 % bootstrap interval over pairs that started from the same noise.
        """
        rows = []
        for u in (u for u in self.steps if 0 < u < T):
            found = {name: path.measures(u) for name, path in self.paths.items()}
            paper, release = (self._resampled(path, u) for path in self.paths.values())
            row = {"u": u}
            for measure, field, before, after in zip(
                ("spread", "nearest"), ("spread", "nearest_mean"), paper, release, strict=True
            ):
                row[measure] = found[RELEASE][field] - found[PAPER][field]
                row[f"{measure}_low"], row[f"{measure}_high"] = _interval(after - before)
            rows.append(row)
        return pd.DataFrame(rows)

    def _resampled(self, path: SwitchStep, switch_step: int) -> tuple[np.ndarray, np.ndarray]:
        """Spread and mean distance to the training images of each resample of the pairs, (DRAWS,) each.

        The resamples take the same pairs on every path and at every u.
        """
        from defectlib.defectgen.measures.neighbours import pairwise_rms

        images = np.stack([pair.image.reshape(-1) for pair in path.pairs(switch_step)])
        count = len(images)
        weights = runtime.numpy_generator(0, "resampled pairs").multinomial(count, np.full(count, 1 / count), DRAWS)
        nearest = weights @ np.array(path.measures(switch_step)["nearest_distance"]) / count
        return weighted_spread(weights, pairwise_rms(images, images) / 255), nearest


def weighted_spread(weights: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Mean distance between two different images of each resample, (B,); NaN where it holds one image alone.

    An image drawn twice is no second image: it would pull every resample's spread below that of the whole.

    Args:
        weights: How often each resample took each image, integers (B, N).
        distances: (N, N); the diagonal is not looked at.
    """
    apart = distances * ~np.eye(len(distances), dtype=bool)
    total = ((weights @ apart) * weights).sum(axis=1)
    pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    return np.divide(total, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def _range(timesteps: list[int]) -> str:
    """A descending list in a few characters; dots stand for every integer between, or with ``spaced`` for some."""
    if not timesteps:
        return "none"
    first, last, calls = timesteps[0], timesteps[-1], len(timesteps)
    spaced = "" if first - last + 1 == calls else " spaced"
    return f"{first} … {last} ({calls}{spaced} calls)"
