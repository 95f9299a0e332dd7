"""Every claim of the paper with what was found on it, over all chapters. Reads what other notebooks made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from defectlib.config import Stage
from defectlib.studies import claims
from defectlib.studies.claims.given import Tables
from defectlib.studies.study import Study


@dataclass(frozen=True)
class Scoreboard(Study):
    """The studies of other notebooks, of one profile.

    Args:
        chapters: The study of each notebook by its name.
    """

    chapters: Mapping[str, Study] = field(kw_only=True)

    def stages(self) -> tuple[Stage, ...]:
        """All that they read: the workflow makes it before, and this study makes nothing of it."""
        return tuple(dict.fromkeys(stage for study in self.chapters.values() for stage in study.stages()))

    def build(self) -> None:
        """Nothing: a study that was not built whole is said not to have been run."""

    def answers(self, asked: pd.DataFrame, tables: Tables) -> pd.DataFrame:
        """See :func:`defectlib.studies.claims.answers`; ``asked`` are the claims of all chapters."""
        parts = [
            claims.answers(rows, self.chapters.get(chapter), tables)
            for chapter, rows in asked.groupby("chapter", sort=False)
        ]
        return pd.concat(parts).loc[asked.index]
