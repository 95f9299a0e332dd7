"""Every table and figure that the paper has of a dataset, as notebooks with parameters: known with no data present."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from defectlib.data.sources.manifest import names, read_manifest
from defectlib.errors import UserError, unknown
from defectlib.experiments.boost import WHOLE
from defectlib.profiles import load_profile

PAPER = "defect_spectrum"
EMBEDDED = "embedded"
"""What stands for the profile's own products where a dataset is named."""
#: Dataset, as Table 3 has it → its products there, as the loader of Defect Spectrum spells them.
PRODUCTS = {
    "MVTec": tuple(
        f"mvtec_{name}"
        for name in (
            *("bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut"),
            *("pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper"),
        )
    ),
    "VISION": tuple(f"vision_{name}" for name in ("capacitor", "console", "ring", "screw", "wood")),
    "DAGM2007": ("dagm",),
    "Cotton-Fabric": ("cotton_fabric",),
}
#: Dataset of Table 4 → its best baseline in Table 3. That of MVTec is one of the two of Figure 8.
BEST = {"VISION": "M2F", "Cotton-Fabric": "M2F"}


@dataclass(frozen=True)
class Run:
    """A notebook with parameters.

    Attributes:
        makes: The table or figure.
        notebook: Name of the notebook.
        parameters: Of it.
    """

    makes: str
    notebook: str
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """For a file: ``table-3``."""
        return "-".join(re.findall(r"[a-z0-9]+", self.makes.lower()))

    @property
    def document(self) -> str:
        """The parameters as one line of YAML."""
        values = dict(self.parameters)
        return yaml.safe_dump(values, default_flow_style=True, width=1_000_000, sort_keys=False).strip()

    @property
    def command(self) -> str:
        """As a shell takes it."""
        return f"defectlib run-notebook notebooks/{self.notebook}.ipynb {self.name}.ipynb -y '{self.document}'"


def runs(dataset: str, profile: str) -> tuple[Run, ...]:
    """What the paper has of ``dataset`` and its products, those first whose results later ones take up.

    Of Defect Spectrum itself Tables 3 and 4 and Figure 8, with the products and baselines that they show. Of any other
    dataset every product with all that the profile asks for.

    Args:
        dataset: A published one, its words joined by ``_`` or ``-``, or :data:`EMBEDDED`.
        profile: As a notebook takes it.

    Raises:
        UserError: There is no such dataset or profile, or the dataset has no annotation to train on.
    """
    name = dataset.lower().replace("-", "_")
    if name not in (*names(), EMBEDDED):
        raise unknown("dataset", dataset, (*names(), EMBEDDED))
    products = load_profile(profile).products  # tells a wrong profile before anything else
    if name != EMBEDDED:
        manifest = read_manifest(name)
        if manifest.annotation == "none":
            raise UserError(f"dataset '{name}' has no annotated defect, so nothing can be trained on it; name another")
        products = tuple(f"{name}/{product}" for product in manifest.products)
    return _of_paper(profile) if name == PAPER else _of(products, profile)


def _of(products: tuple[str, ...], profile: str) -> tuple[Run, ...]:
    values = {"profile": profile, "products": list(products)}
    return Run("Table 3", "14_baselines", values), Run("Figure 8", "05_synthetic_boost", values)


def _of_paper(profile: str) -> tuple[Run, ...]:
    every, mvtec = [known(name) for names in PRODUCTS.values() for name in names], _all_of("MVTec")
    best = [
        Run(
            f"Table 4, {dataset}",
            "05_synthetic_boost",
            {"profile": profile, "products": _all_of(dataset), "models": [model], "ratios": [0, WHOLE]},
        )
        for dataset, model in BEST.items()
    ]
    return (
        Run("Table 3", "14_baselines", {"profile": profile, "products": every}),
        Run("Figure 8; Table 4, MVTec", "05_synthetic_boost", {"profile": profile, "products": mvtec}),
        *best,
    )


def _all_of(dataset: str) -> list[str]:
    return [known(name) for name in PRODUCTS[dataset]]


def known(name: str) -> str:
    """A product of Defect Spectrum as parameters spell it."""
    return f"{PAPER}/{name}"
