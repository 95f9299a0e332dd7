"""What every study is: a frozen description, the stages it needs, and a way to have them made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defectlib import runtime
from defectlib.config import Stage, Synthesis
from defectlib.data.folder import read_dataset
from defectlib.data.sample import Sample
from defectlib.profiles import Profile
from defectlib.store import Store
from defectlib.studies.stages import RUNNERS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Study(ABC):
    """A question, answered from artifacts.

    Args:
        profile: How much it may cost.
        store: Where artifacts are found and kept.
    """

    profile: Profile
    store: Store = field(default_factory=Store, kw_only=True, compare=False)

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """What the study reads; their inputs are implied."""

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """What of the study can become numbers of record: tables and their provenance, by name."""
        return {}

    def build(self) -> None:
        """Make what is missing, saying on standard error which of how many is at hand."""
        stages = self.stages()
        missing = [stage for stage in stages if self.store.find(stage) is None]
        for number, stage in enumerate(missing, start=1):
            runtime.say(f"{stage.stage} {number} of {len(missing)} ({stage.key()})")
            self.store.build(stage, RUNNERS)

    def path(self, stage: Stage) -> Path:
        """The directory of a stage's artifact; made if it is missing."""
        return self.store.find(stage) or self.store.build(stage, RUNNERS)

    def read_pairs(self, synthetic: Synthesis) -> tuple[Sample, ...]:
        """The pairs of a synthetic set, in the order in which they were sampled."""
        return read_dataset(self.path(synthetic) / synthetic.dataset)
