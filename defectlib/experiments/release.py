"""A synthetic release in the shape of the paper's: pairs of every product with labels, captions, provenance, a card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defectlib.data import folder
from defectlib.data.hub import write_hub
from defectlib.data.sample import Sample
from defectlib.errors import UserError
from defectlib.experiments.card import card
from defectlib.experiments.study import Study
from defectlib.settings import EmbeddedData, Fidelity, Stage, Synthesis
from defectlib.store import PROVENANCE, digests, read_provenance, whole_folder, write_atomically

#: Pairs per product: the paper's release has 1,920 in 20 sets.
COUNT = 96
PAIRS, HUB = "pairs", "hub"


@dataclass(frozen=True)
class Release(Study):
    """Synthetic sets of embedded products, measured and written in two layouts.

    Args:
        synthetics: One for each product.

    Raises:
        UserError: A set is not of the embedded dataset: its licence and its limits would not be those of the card.
    """

    synthetics: tuple[Synthesis, ...]

    def __post_init__(self) -> None:
        for synthetic in self.synthetics:
            if not isinstance(synthetic.large.data, EmbeddedData):
                raise UserError(
                    f"{synthetic.large.data.kind} data: a release is of embedded products, whose licence is known; "
                    "write pairs of others without --release"
                )

    def stages(self) -> tuple[Stage, ...]:
        """For each product its pairs, and their measures."""
        return tuple(stage for synthetic in self.synthetics for stage in (synthetic, Fidelity(synthetic=synthetic)))

    def write(self, out: Path) -> None:
        """Write the release to ``out``, whole or not at all; from the same artifacts, the same bytes.

        Below it: ``README.md``, the data card; ``provenance.json``, how everything came to be, and its digests;
        ``pairs/PRODUCT`` in the one layout; ``hub`` in that of Defect Spectrum's page.

        Raises:
            UserError: ``out`` is in the way.
        """
        made = {synthetic.large.data.product: synthetic for synthetic in self.synthetics}
        records = {product: self._record(synthetic) for product, synthetic in made.items()}
        with whole_folder(out) as partial:
            for product, synthetic in made.items():
                pairs = partial / PAIRS / product
                shutil.copytree(self.path(synthetic) / synthetic.dataset, pairs)
                write_atomically(pairs / "metadata.jsonl", _metadata(pairs))
            folders = {product: partial / PAIRS / product for product in made}
            sets = {product: (_read(pairs), read_provenance(pairs)) for product, pairs in folders.items()}
            write_hub(partial / HUB, sets)
            measured = {product: self._measured(synthetic) for product, synthetic in made.items()}
            write_atomically(partial / "README.md", card(made, records, measured))
            content = {"source": "Defect-Gen", "products": records, "files": digests(partial)}
            write_atomically(partial / PROVENANCE, json.dumps(content, indent=1) + "\n")

    def _record(self, synthetic: Synthesis) -> dict[str, Any]:
        """Provenance of the pairs, and of the two nets that they come from."""
        parts = {"pairs": synthetic, "large": synthetic.large, "small": synthetic.small}
        return {name: read_provenance(self.path(stage)) for name, stage in parts.items()}

    def _measured(self, synthetic: Synthesis) -> dict[str, Any]:
        return json.loads((self.path(Fidelity(synthetic=synthetic)) / "fidelity.json").read_text())


def _read(pairs: Path) -> Iterator[Sample]:
    classes = folder.read_classes(pairs)
    return (folder.read_sample(row, classes) for row in folder.index(pairs).itertuples())


def _metadata(pairs: Path) -> str:
    """A line of JSON per pair, by which the hub's viewer and `datasets` join image, mask and caption."""
    rows = (
        {
            "image_file_name": f"images/{Path(row.image).name}",
            "mask_file_name": f"masks/{Path(row.mask).name}",
            "caption": row.caption,
        }
        for row in folder.index(pairs).itertuples()
    )
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
