"""What the notebook on synthetic data shows: more and more of it, and what it has to be held against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from defectlib.experiments.controls import Controls
from defectlib.experiments.ratios import Ratios
from defectlib.experiments.study import Study
from defectlib.settings import Evaluation


@dataclass(frozen=True)
class SyntheticBoost(Study):
    """:class:`~defectlib.experiments.ratios.Ratios` and :class:`~defectlib.experiments.controls.Controls` in one."""

    def __post_init__(self) -> None:
        _ = self.ratios  # tells a wrong setting at once

    @cached_property
    def ratios(self) -> Ratios:
        """Synthetic pairs in growing number."""
        return Ratios(self.profile, store=self.store)

    @cached_property
    def controls(self) -> Controls:
        """Other pairs in equal number, and no augmentation."""
        return Controls(self.profile, store=self.store)

    def stages(self) -> tuple[Evaluation, ...]:
        """Those of both; what both ask for is one."""
        return tuple(dict.fromkeys((*self.ratios.stages(), *self.controls.stages())))

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """Those of both."""
        return self.ratios.records() | self.controls.records()
