"""What every study is: a frozen description, the stages it needs, and a way to have them made."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defectlib import engine, runtime
from defectlib.data.folder import read_dataset
from defectlib.data.sample import Sample
from defectlib.errors import UserError
from defectlib.profiles import Profile
from defectlib.settings import Stage, Synthesis
from defectlib.store import Store

if TYPE_CHECKING:
    import pandas as pd


AS_BUILT = "DEFECTLIB_AS_BUILT"
"""Environment variable: while it is 1, studies build nothing and show what is there."""


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
        """What of the study can become reference results: tables and their provenance, by name."""
        return {}

    @property
    def as_built(self) -> bool:
        """Whether nothing is built and what is there is shown."""
        return os.environ.get(AS_BUILT) == "1"

    def shows(self, stages: Iterable[Stage]) -> bool:
        """Whether all of ``stages`` can be shown: they are there, or are built when they are asked for."""
        return not self.as_built or all(self.store.find(stage) for stage in stages)

    def build(self) -> None:
        """Make what is missing (:func:`defectlib.engine.build`); see also :data:`AS_BUILT`.

        Raises:
            UserError: Nothing is to be built, and nothing is there.
        """
        stages = self.stages()
        if self.as_built:
            self._tell(sum(self.store.find(stage) is not None for stage in stages), len(stages))
        else:
            engine.build(stages, self.store)

    def _tell(self, there: int, wanted: int) -> None:
        if wanted and not there:
            raise UserError(f"none of the {wanted} artifacts to be shown is built yet in {self.store.root}; build some")
        runtime.say(f"{there} of {wanted} artifacts are there, and shown as they are")

    def path(self, stage: Stage) -> Path:
        """The directory of a stage's artifact; made if it is missing.

        Raises:
            UserError: It is missing, and nothing is to be built.
        """
        found = self.store.find(stage)
        if found is None and self.as_built:
            raise UserError(f"{stage.stage} {stage.key()} is not built yet; build it, or leave out --as-built")
        return found or self.store.build(stage, engine.RUNNERS)

    def read_pairs(self, synthetic: Synthesis) -> tuple[Sample, ...]:
        """The pairs of a synthetic set, in the order in which they were sampled."""
        return read_dataset(self.path(synthetic) / synthetic.dataset)
