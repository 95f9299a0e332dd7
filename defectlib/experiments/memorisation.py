"""Why one net memorises: Figure 3, and the hypothesis of §3.4.2 over the number of images and the receptive field."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from defectlib import runtime
from defectlib.data.loading import load_eval, load_train
from defectlib.data.sample import Sample
from defectlib.experiments.study import Study
from defectlib.settings import Density, Fidelity, Stage, Synthesis
from defectlib.store import read_provenance

FEW, MANY = 6, 4096  # numbers that Figure 3 is trained on
#: Parts of Figure 3: the denoiser, and what it was given.
OPTIMUM, NET, NET_MANY = (
    f"{who}, {count} samples" for who, count in (("best denoiser", FEW), ("trained net", FEW), ("trained net", MANY))
)
WHOLE = "whole image"
#: A pair is a copy if it is this many times nearer to one training image than to any other (Yoon et al. 2023).
COPY_RATIO = 3
SHOWN = 5  # pairs of each cell among the reference pictures
DRAWS = 2000  # resamples of the pairs behind each interval
NUMBERS, PICTURES = "memorisation", "memorisation_pictures"  # names of the records


class Cell(NamedTuple):
    """One net: how many images of each defect type it was trained on, and what it sees, in pixels; None: all."""

    shots: int
    field: int | None

    @property
    def name(self) -> str:
        """What it sees, in words."""
        return WHOLE if self.field is None else f"{self.field} px"


@dataclass(frozen=True)
class Memorisation(Study):
    """Nets on more and more images of one product, with larger and larger receptive fields, equally many steps each.

    Args:
        product: A product of the embedded dataset, or DATASET/PRODUCT.
        whole: Every number of images with every field; else those cells alone that the profile names.
    """

    product: str = "softgel"
    whole: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The nets of this run, those with the fewest images first."""
        budget = self.profile.memorisation
        grid = tuple(Cell(shots, field) for shots in budget.shots for field in (*budget.fields, None))
        return grid if self.whole or budget.cells is None else tuple(Cell(*cell) for cell in budget.cells)

    def synthetic(self, cell: Cell) -> Synthesis:
        """What the net samples, alone."""
        return self.profile.memorising(self.product, cell.shots, cell.field)

    def fidelity(self, cell: Cell) -> Fidelity:
        """What measures that."""
        return self.profile.fidelity(self.synthetic(cell))

    @property
    def density(self) -> dict[str, Density]:
        """The parts of Figure 3."""
        steps = self.profile.memorisation.density_steps
        return {
            OPTIMUM: Density(samples=FEW, denoiser="optimum"),
            NET: Density(samples=FEW, steps=steps),
            NET_MANY: Density(samples=MANY, steps=steps),
        }

    def stages(self) -> tuple[Stage, ...]:
        """The densities, and measures for each cell."""
        return (*self.density.values(), *(self.fidelity(cell) for cell in self.cells))

    # Figure 3 -------------------------------------------------------------------------------------------------------

    def densities(self) -> dict[str, dict]:
        """See :func:`defectlib.defectgen.density.measure`; by part."""
        return {name: json.loads((self.path(s) / "density.json").read_text()) for name, s in self.density.items()}

    def density_table(self) -> pd.DataFrame:
        """The numbers of Figure 3, index ``denoiser``: ``samples``, mass near them in %, and distances of densities."""
        rows = {}
        for name, found in self.densities().items():
            near = {"mass near them, %": 100 * found["near"], "truly, %": 100 * found["true_near"]}
            apart = {"divergence, nats": found["divergence"], "misplaced mass, %": 100 * found["variation"]}
            rows[name.partition(",")[0], len(found["points"])] = near | apart
        index = pd.MultiIndex.from_tuples(rows, names=["denoiser", "samples"])
        return pd.DataFrame(list(rows.values()), index=index)

    # The hypothesis -------------------------------------------------------------------------------------------------

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per cell: index ``images``, ``field``.

        Columns: ``copies``, share of pairs that are copies, ``copies_low`` and ``copies_high`` its 95 % interval;
        ``distance``, mean distance of pairs to the nearest training image over that of as many held-out images as
        there are (0: copies, 1: as new as real images), with its interval; ``nearness`` and ``patch_nearness`` (see
        :mod:`defectlib.defectgen.measures.memorisation`); ``held_out_copies``, ``held_out_nearness`` and
        ``held_out_patch_nearness``, the same of real images that trained nothing; ``epochs``, how often each image was
        seen; ``parameters`` of the net.
        """
        rows = {(len(self.training(cell)), cell.name): self._row(cell) for cell in self.cells}
        index = pd.MultiIndex.from_tuples(rows, names=["images", "field"])
        return pd.DataFrame(list(rows.values()), index=index)

    def training(self, cell: Cell) -> tuple[Sample, ...]:
        """The images that the net was trained on."""
        return load_train(self.synthetic(cell).data)

    def _row(self, cell: Cell) -> dict[str, float]:
        settings, training = self.synthetic(cell), self.training(cell)
        found = json.loads((self.path(self.fidelity(cell)) / "fidelity.json").read_text())
        ours, real = (_two_nearest(some, training) for some in (self.read_pairs(settings), load_eval(settings.data)))
        net = settings.large
        return {
            **_with_ends("copies", float(is_copy(ours).mean()), wilson(is_copy(ours).sum(), len(ours))),
            **_with_ends("distance", float(ours[:, 0].mean() / real[:, 0].mean()), _ratio_interval(ours, real)),
            "nearness": found["nearness"],
            "patch_nearness": found["patch_nearness"],
            "held_out_copies": float(is_copy(real).mean()),
            "held_out_nearness": found["held_out"].get("nearness", math.nan),
            "held_out_patch_nearness": found["held_out"].get("patch_nearness", math.nan),
            "epochs": net.steps * net.batch / len(training),
            "parameters": _parameters(self.path(net)),
        }

    def pictures(self, cells: tuple[Cell, ...] | None = None) -> dict[tuple[int, str], np.ndarray]:
        """Pairs above the training images nearest to them, uint8 (2, SHOWN, H, W, 3), by images and field."""
        shown = {}
        for cell in self.cells if cells is None else cells:
            training = self.training(cell)
            pairs = self.read_pairs(self.synthetic(cell))[:SHOWN]
            found = json.loads((self.path(self.fidelity(cell)) / "fidelity.json").read_text())
            rows = pairs, [training[i] for i in found["nearest_training"][: len(pairs)]]
            shown[len(training), cell.name] = np.stack([np.stack([sample.image for sample in row]) for row in rows])
        return shown

    def of_record(self, frame: pd.DataFrame | None) -> pd.DataFrame | None:
        """``frame``, if it is of this product; numbers of another one are not shown beside this run's."""
        same = frame is not None and frame.attrs["provenance"].get("product") == self.product
        return frame if same else None

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """The table, and the pictures of the smallest field and of the whole image, as PNG in base64."""
        made = [read_provenance(self.path(self.fidelity(cell))) for cell in self.cells]
        last = max(made, key=lambda record: record["finished"])
        nets = {self.synthetic(cell).large: cell for cell in self.cells}
        provenance = {key: last[key] for key in ("machine", "finished", "commit")} | {
            "device": self.profile.machine["device"],
            "product": self.product,
            "budget": self.profile.memorisation.model_dump(mode="json"),
            "training_seconds": round(sum(read_provenance(self.path(net))["wall_seconds"] for net in nets)),
        }
        least = min((cell.field for cell in self.cells if cell.field), default=None)
        chosen = self.pictures(tuple(cell for cell in self.cells if cell.field in (least, None)))
        index = pd.MultiIndex.from_tuples(chosen, names=["images", "field"])
        pictures = pd.DataFrame({"png": [to_text(rows) for rows in chosen.values()]}, index=index)
        return {NUMBERS: (self.table, provenance), PICTURES: (pictures, provenance)}


def hypothesis(table: pd.DataFrame | None, images: int = 25) -> pd.DataFrame | None:
    """Both parts of the hypothesis: a row per comparison, both ends of each measure, and whether it moves as predicted.

    It does (``yes``), or not (``no``), where the 95 % intervals of both ends lie apart; else ``n.s.``.

    Args:
        table: Rows of one product.
        images: The number of images, or the nearest to it, at which fields are compared.
    """
    if table is None:
        return None
    ends = {}
    for field, rows in table.groupby("field", sort=False):
        rows = rows.droplevel("field").sort_index()
        if len(rows) > 1:
            ends[f"{field}, {rows.index[0]} to {rows.index[-1]} images"] = rows.iloc[0], rows.iloc[-1]
    for count in sorted(table.index.unique("images"), key=lambda count: abs(count - images)):
        rows = table.xs(count, level="images")
        small = [field for field in rows.index if field != WHOLE]
        if small and WHOLE in rows.index:
            ends[f"{count} images, {WHOLE} to {small[0]}"] = rows.loc[WHOLE], rows.loc[small[0]]
            break
    found = {}
    for name, (before, after) in ends.items():
        copies, distances = (
            " → ".join(_with_interval(row, *how) for row in (before, after))
            for how in (("copies", 100, ".0f"), ("distance", 1, ".2f"))
        )
        fewer, farther = _lies(after, before, "copies"), _lies(before, after, "distance")
        found[name] = copies, fewer, distances, farther
    columns = ["copies (%)", "fewer", "distance to training", "farther"]
    shown = pd.DataFrame.from_dict(found, orient="index", columns=columns).rename_axis("comparison")
    shown.attrs = dict(table.attrs)
    return shown


def in_columns(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """The columns of a table that are printed, under their names there."""
    if table is None:
        return None
    shares = {"copies": "copies (%)", "held_out_copies": "of held-out images (%)"}
    others = {
        "distance": "distance to training",
        "patch_nearness": "nearness of patches",
        "held_out_patch_nearness": "of held-out images",
    }
    shown = table.assign(**{name: 100 * table[name] for name in shares})[[*shares, *others, "epochs"]]
    shown = shown.assign(epochs=table["epochs"].map("{:.0f}".format)).rename(columns=shares | others)
    shown.attrs = dict(table.attrs)
    return shown


def is_copy(distances: np.ndarray) -> np.ndarray:
    """Which pairs are copies, (N,): nearer to one training image by :data:`COPY_RATIO` than to any other.

    Args:
        distances: (N, 2), to the nearest training image and to the next.
    """
    return COPY_RATIO * distances[:, 0] < distances[:, 1]


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share after Wilson (1927), which has a width at 0 and at 1 too."""
    z = 1.959964
    share, scale = successes / trials, 1 + z**2 / trials
    middle = share + z**2 / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def to_text(rows: np.ndarray) -> str:
    """Images (2, N, H, W, 3) as one PNG, in base64."""
    _, count, height, width, _ = rows.shape
    sheet = rows.transpose(0, 2, 1, 3, 4).reshape(2 * height, count * width, 3)
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def from_text(text: str) -> np.ndarray:
    """The inverse of :func:`to_text`; images are square."""
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))
    side = len(sheet) // 2
    return sheet.reshape(2, side, -1, side, 3).transpose(0, 2, 1, 3, 4)


# Parts --------------------------------------------------------------------------------------------------------------


def _two_nearest(samples: tuple[Sample, ...], training: tuple[Sample, ...]) -> np.ndarray:
    """Distances (N, 2) of samples to the nearest training image and to the next."""
    from defectlib.defectgen.measures.neighbours import pairwise_rms

    ours, theirs = (np.stack([sample.image.reshape(-1) for sample in some]) for some in (samples, training))
    return np.sort(pairwise_rms(ours, theirs) / 255, axis=1)[:, :2]


def _ratio_interval(ours: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the ratio of the means of both first columns."""
    draws = runtime.numpy_generator(0, "resampled distances")
    means = [draws.choice(some[:, 0], (DRAWS, len(some))).mean(axis=1) for some in (ours, real)]
    low, high = np.quantile(means[0] / means[1], [0.025, 0.975])
    return float(low), float(high)


def _parameters(artifact: Path) -> int:
    from safetensors import safe_open

    (weights,) = (artifact / "net").glob("*.safetensors")
    with safe_open(weights, "np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _lies(less: pd.Series, more: pd.Series, measure: str) -> str:
    """Whether one interval lies below the other, as it should."""
    if less[f"{measure}_high"] < more[f"{measure}_low"]:
        return "yes"
    return "no" if more[f"{measure}_high"] < less[f"{measure}_low"] else "n.s."


def _with_interval(row: pd.Series, measure: str, scale: int, form: str) -> str:
    value, low, high = (format(scale * row[f"{measure}{end}"], form) for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def _with_ends(name: str, value: float, ends: tuple[float, float]) -> dict[str, float]:
    return {name: value, f"{name}_low": ends[0], f"{name}_high": ends[1]}
