"""Is it Defect-Gen that helps? Synthetic pairs of every u and of every rival, in equal number, and no augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from defectlib import metrics
from defectlib.experiments.boost import counts
from defectlib.experiments.paired import Side, contrast, mious, nothing_found, of_chance, origin, prefixed, verdict
from defectlib.experiments.ratios import pool, real_images
from defectlib.experiments.rivals import DDPM, OURS, Rivals
from defectlib.experiments.study import Study
from defectlib.settings import Data, Evaluation, RivalSynthesis, Synthesis

REAL, BARE = "real images", "real images, not augmented"


@dataclass(frozen=True)
class Controls(Study):
    """One baseline and one product, as ``profile.controls`` says; as many synthetic pairs as real images everywhere."""

    @property
    def data(self) -> Data:
        """The product at the profile's size."""
        return self.profile.data(self.profile.controls.product)

    @property
    def synthetic(self) -> dict[str, Synthesis | RivalSynthesis]:
        """The set of every arm that has one. DDPM is the large net alone: u = 0, under both names one set."""
        budget, count = self.profile.controls, real_images(self.data)
        steps = self.profile.switch_steps if budget.switch_steps is None else budget.switch_steps
        sets: dict[str, Synthesis | RivalSynthesis] = {arm_of(u): self._of_step(u, count) for u in sorted(set(steps))}
        of_rivals = self.profile.model_copy(update={"gallery": count})
        made = Rivals(of_rivals, product=budget.product, store=self.store).synthetic
        return sets | {name: made[name] for name in budget.rivals}

    def _of_step(self, u: int, count: int) -> Synthesis:
        if u == self.profile.switch_step:  # of these there are enough already
            return pool(self.profile, self.data)
        return self.profile.synthesis(self.data, switch_step=u, count=count)

    @property
    def arms(self) -> dict[str, Side]:
        """One evaluation for each seed, by what was trained on; real images, with the usual augmentation, first."""
        count, synthetic = real_images(self.data), self.synthetic
        arms = {REAL: self._side(None), BARE: self._side(None, augmented=False)}
        return arms | {name: self._side(pairs, pairs=count) for name, pairs in synthetic.items()}

    def _side(self, synthetic: Synthesis | RivalSynthesis | None, **options: Any) -> Side:
        evaluate, model = self.profile.evaluation, self.profile.controls.model
        return tuple(evaluate(self.data, model, synthetic, seed, **options) for seed in self.profile.seeds)

    def stages(self) -> tuple[Evaluation, ...]:
        """All evaluations."""
        return tuple(stage for side in self.arms.values() for stage in side)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Index ``arm``, in order; ``miou`` mean over seeds, ``difference`` from real images, augmented.

        Columns as in :attr:`defectlib.experiments.ratios.Ratios.table`; ``pairs`` is 0 where there are none.
        """
        arms, synthetic, rows = self.arms, self.synthetic, {}
        reference = mious(self, arms[REAL]).mean()
        background_only = metrics.background_only(counts(self, arms[REAL]))
        for name, side in arms.items():
            found = contrast(self, [side], [arms[REAL]])
            gain = found if name != REAL else dict.fromkeys(("value", "low", "high"), float("nan"))
            rows[name] = {
                "pairs": real_images(self.data) if name in synthetic else 0,
                "miou": float(mious(self, side).mean()),
                "reference": float(reference),
                **prefixed("difference", gain),
                "over": found["over"],
                "background_only": background_only,
                "nothing_found": nothing_found(self, side, arms[REAL]),
                "seeds": len(side),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """The table as the numbers of record of this product, with where they come from."""
        budget = self.profile.controls
        made = {name: pairs.key(any_machine=True) for name, pairs in self.synthetic.items()}
        about = {"product": budget.product, "model": budget.model, "pairs": real_images(self.data), "synthetic": made}
        return {self.record_name: (self.table, origin(self, self.stages()) | about)}

    @property
    def record_name(self) -> str:
        """What the numbers of record of this product at this size are called."""
        return f"controls_{self.profile.controls.product.replace('/', '-').lower()}_{self.profile.size}px"


def arm_of(u: int) -> str:
    """The name of the arm with pairs of the switch step u."""
    return f"{DDPM} (u = 0)" if u == 0 else f"{OURS}, u = {u}"


# What it means: of a table, this run's or that of record ------------------------------------------------------------


def verdicts(table: pd.DataFrame) -> list[str]:
    """For every arm but the first, whether it differs from real images with the usual augmentation."""
    said = []
    for name, row in table.drop(index=REAL).iterrows():
        words = ("it is better without", "augmentation is missed") if name == BARE else ("it helps", "it hurts")
        said.append(f"{name}: {verdict(row, *words)}")
    return [*said, of_chance(table)]
