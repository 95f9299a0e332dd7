"""The switch step again, judged by networks: does each mask fit its image? Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from defectlib.data.sample import Sample
from defectlib.experiments.generation import SwitchStep
from defectlib.settings import Judgement, Stage

_MIOU, _PIXELS = "agreement of masks and images (mIoU)", "agreement, share of all pixels"
_LPIPS = "LPIPS of two images"
_DISTANCES = {
    "FID on the oracle's features": ("oracle_features", "fid"),
    "KID on the oracle's features": ("oracle_features", "kid"),
    "FID on Inception's features": ("inception", "fid"),
    "KID on Inception's features": ("inception", "kid"),
}


@dataclass(frozen=True)
class JudgedSwitchStep(SwitchStep):
    """:class:`~defectlib.experiments.generation.SwitchStep`, and what networks say of the pairs at every u."""

    def stages(self) -> tuple[Stage, ...]:
        """One set of measures and one judgement per u."""
        return (*super().stages(), *(self.judgement(u) for u in self.steps))

    def judgement(self, switch_step: int) -> Judgement:
        """The judgement of the pairs at u = ``switch_step``."""
        return self.profile.judgement(self.synthetic(switch_step))

    def judged(self, switch_step: int) -> dict[str, Any]:
        """See :func:`defectlib.experiments.judging.judge`, with ``oracle`` and ``silent``."""
        return json.loads((self.path(self.judgement(switch_step)) / "judgement.json").read_text())

    def agreement(self) -> pd.DataFrame:
        """The agreement of masks with what the oracle sees, mIoU as a fraction: one row per u.

        Columns: ``u``; ``agreement``, of the pairs; ``held_out``, the mean of sets of as many real images; ``oracle``,
        of the oracle with the truth in scenes it has not seen. NaN where no oracle judges.
        """
        rows = []
        for u in self.steps:
            found = self.judged(u)
            own = (found["oracle"] or {}).get("miou")
            rows.append({"u": u, "agreement": _miou(found), "held_out": _miou(found["held_out"]), "oracle": own})
        return pd.DataFrame(rows).astype({"agreement": float, "held_out": float, "oracle": float})

    def verdicts(self) -> pd.DataFrame:
        """Everything that was judged: a row per measure, a column per u, and what real images come to.

        For these, mean and standard deviation over sets of as many as there are pairs; the last column is what the
        oracle itself is worth. Numbers that there are not are NaN.
        """
        first = self.judged(self.steps[0])
        columns = {f"u = {u}": _column(self.judged(u)) for u in self.steps}
        columns["held out"] = _column(first["held_out"])
        columns["±"] = _column(first["held_out_spread"])
        columns["the oracle's own"] = _column({"agreement": first["oracle"]})
        types = [] if first["oracle"] is None else [_of_type(name) for name in first["oracle"]["iou"]]
        rows = [_MIOU, *types, _PIXELS, *_DISTANCES, _LPIPS]
        return pd.DataFrame(columns, index=pd.Index(rows, name="measure"), dtype=float)

    def remarks(self) -> list[str]:
        """What must be known to read the numbers: the oracle's own mIoU, and which judges were not at hand."""
        found = self.judged(self.steps[0])
        own = found["oracle"]
        heard = own and f"The oracle's own mIoU is {own['miou']:.3f} on {own['images']} scenes that it has not seen."
        sets = found["held_out_sets"]
        spread = f"mean and standard deviation (±) over {sets} sets" if sets > 1 else f"{sets} set"
        yardstick = f"Held out: {spread} of as many real images as there are pairs, or all there are."
        return [found["silent"] or heard, yardstick, *found["missing"]]

    def extremes(self, count: int = 3) -> tuple[dict[str, list[Sample]], list[str]]:
        """The pairs with a defect whose masks fit their images worst, and best, at the profile's u if it is shown.

        Returns:
            By name, the bare images, the same with their masks, and with what the oracle sees; and the name of each
            pair. Where no oracle judges, the first pairs, without what it sees.
        """
        u = self.profile.switch_step if self.profile.switch_step in self.steps else self.steps[-1]
        pairs, shares = self.pairs(u), self.judged(u)["agreement_of_pairs"]
        if shares is None:
            shown = list(pairs[: 2 * count])
            return _rows(shown), ["not judged"] * len(shown)
        with np.load(self.path(self.judgement(u)) / "seen.npz", allow_pickle=False) as arrays:
            seen = arrays["seen"]
        order = [i for i in np.argsort(shares, kind="stable") if pairs[i].mask.any() or seen[i].any()]
        chosen = [*order[:count], *order[max(count, len(order) - count) :]]
        rows = _rows([pairs[i] for i in chosen])
        rows["the oracle sees"] = [replace(pairs[i], mask=seen[i]) for i in chosen]
        return rows, [f"{shares[i]:.0%} agree".replace("%", " %") for i in chosen]


def _rows(pairs: Sequence[Sample]) -> dict[str, list[Sample]]:
    bare = [replace(pair, mask=np.zeros_like(pair.mask)) for pair in pairs]
    return {"image": bare, "its mask": list(pairs)}


def _miou(found: dict[str, Any]) -> float | None:
    return (found.get("agreement") or {}).get("miou")


def _of_type(name: str) -> str:
    return f"agreement, {name} (IoU)"


def _column(found: dict[str, Any]) -> dict[str, float | None]:
    """The numbers of one set of images by the names of the rows."""
    fits = found.get("agreement") or {}
    column = {_MIOU: fits.get("miou"), _PIXELS: fits.get("pixels"), _LPIPS: found.get("lpips")}
    column |= {_of_type(name): value for name, value in fits.get("iou", {}).items()}
    return column | {row: (found.get(network) or {}).get(name) for row, (network, name) in _DISTANCES.items()}
