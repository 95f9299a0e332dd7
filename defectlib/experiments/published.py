"""Table 1 counted from the published datasets that lie on this machine, beside what their publishers state."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from defectlib import runtime
from defectlib.data.count import Counts, count, survey
from defectlib.data.sources.manifest import Manifest, names, read_manifest
from defectlib.data.sources.source import Source, open_source
from defectlib.errors import UserError


def count_present(home: Path | None = None) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """Every dataset that is here, counted from its masks.

    Args:
        home: Folder that holds the datasets, each in a folder of its name; :func:`runtime.data_home` if None.

    Returns:
        Rows and columns of :func:`defectlib.plots.paper.table1`, None where no dataset is here; and a sentence on
        every dataset that is here in part or cannot be counted.
    """
    home = home or runtime.data_home()
    rows, notes = {}, []
    for name in names():
        if not (home / name).is_dir():
            continue
        manifest = read_manifest(name)
        try:
            source = open_source(name, home / name)
            source.check()
            rows[manifest.row or manifest.title] = _row(count(survey(source), manifest.annotation))
        except UserError as error:
            notes.append(f"{manifest.title} is here but cannot be counted: {str(error).splitlines()[0]}")
        else:
            notes += _partly(source)
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("dataset") if rows else None
    return frame, tuple(notes)


def _row(counts: Counts) -> dict[str, int | bool]:
    return {
        "annotated images": counts.defective,
        "synthetic images": counts.synthetic,
        "defect types": counts.types,
        "pixel labels": counts.pixel_labels > 0,
        "several types per image": counts.several_types > 0,
        "captions": counts.captions > 0,
    }


def _partly(source: Source) -> list[str]:
    wanted = len(source.manifest.products)
    here = sum(product in source.manifest.products for product in source.classes)
    return [] if here == wanted else [f"{source.manifest.title}: {here} of {wanted} products are here."]


def stated() -> pd.DataFrame:
    """What the publishers state: one row per dataset, by its name in Table 1 if it has one.

    Columns: ``images`` and ``defective images``, missing where no publisher states a number; ``products``; ``defect
    types``, as the layout or the label files name them; ``masks``.
    """
    return pd.DataFrame([_stated(read_manifest(name)) for name in names()]).set_index("dataset")


def _stated(manifest: Manifest) -> dict[str, str | int | None]:
    return {
        "dataset": manifest.row or manifest.title,
        "images": manifest.images,
        "defective images": manifest.defective,
        "products": len(manifest.products),
        "defect types": sum(len(product.classes) for product in manifest.products.values()),
        "masks": {"exact": "exact", "weak": "weak regions", "none": "none"}[manifest.annotation],
    }


def differences() -> str:
    """Why the paper's rows and the publishers' numbers differ, as a Markdown list."""
    manifests = [read_manifest(name) for name in names()]
    return "\n".join(f"- **{manifest.row}.** {manifest.differs}" for manifest in manifests if manifest.differs)
