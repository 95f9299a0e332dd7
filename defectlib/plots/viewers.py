"""Pairs to look at one by one: while a net learns, beside their nearest training image, as segmenters see them.

Samples and arrays in, widgets out that work in a static page (see :mod:`defectlib.plots.widgets`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from defectlib.data.sample import Sample
from defectlib.plots import charts, overlay, tiles, widgets
from defectlib.plots.hover import HoverChart, Mark
from defectlib.plots.tiles import Tile

TRUTH = "truth"
_SIZES = (tiles.TILE_PIXELS, 144, 96)  # pixels of a tile's side, of which the largest is taken that a page can carry
_DIFFERENCE_FULL = 0.5  # of the range of a pixel: a difference that large is shown white
_MASK = 0.65  # opacity of a mask's colours


# Pictures of many pairs ---------------------------------------------------------------------------------------------


def outlined(samples: Sequence[Sample], columns: int) -> np.ndarray:
    """A picture uint8 (H, W, 3): samples with outlined masks, in rows of ``columns``."""
    return overlay.sheet([tiles.outlined(sample) for sample in samples], columns)


def image_and_mask(samples: Sequence[Sample], columns: int, pixels: int = tiles.TILE_PIXELS) -> np.ndarray:
    """A picture uint8 (H, W, 3): images in rows of ``columns``, and below each its mask in colours over it.

    Each has a side of about ``pixels``.
    """
    rows = []
    for start in range(0, len(samples), columns):
        line = samples[start : start + columns]
        rows += [tiles.plain(sample.image, pixels) for sample in line]
        rows += [tiles.filled(sample, _MASK, pixels) for sample in line]
    return overlay.sheet(rows, columns)


# Choices ------------------------------------------------------------------------------------------------------------


def while_learning(pairs: Mapping[int, Sequence[Sample]], table: pd.DataFrame) -> widgets.Panel:
    """A slider over training steps: what a net samples after so many of them, from the same noise each time.

    Args:
        pairs: By number of steps.
        table: Index ``step``; columns ``loss`` and ``nearest``.
    """
    classes = next(iter(pairs.values()))[0].classes
    contents = {step: _learned(step, samples, table.loc[step]) for step, samples in pairs.items()}
    return widgets.cards("training step", contents, classes, slide=True)


def _learned(step: int, samples: Sequence[Sample], known: pd.Series) -> str:
    shown = [
        Tile(image_and_mask([one], 1, _SIZES[-1]), one.key, f"{one.key} after training step {step}, and its mask")
        for one in samples
    ]
    text = f"After step {step}: loss {known['loss']:.3f}; mean distance to the nearest training image "
    return tiles.card(shown, f"{text}{known['nearest']:.3f}.", width=6.3)


def as_seen(images: Mapping[str, Mapping[str, Sample]]) -> widgets.Panel:
    """A list of images: each as it is, with its true mask, with what every model sees in it, and its caption.

    Args:
        images: By name; each holds :data:`TRUTH` and the models' samples by name.
    """
    contents = _fitting(lambda pixels: {name: _seen(name, samples, pixels) for name, samples in images.items()})
    return widgets.cards("image", contents)


def _seen(name: str, samples: Mapping[str, Sample], pixels: int) -> str:
    truth = samples[TRUTH]
    types = _types(truth, "no defect")
    shown = [
        Tile(tiles.plain(truth.image, pixels), "image", f"{name}, as it is"),
        Tile(tiles.outlined(truth, pixels), "true mask", f"{name} with its true mask: {types}", types),
    ]
    for model, sample in samples.items():
        if model != TRUTH:
            share = f"{100 * overlap(truth.mask, sample.mask):.0f}\N{NO-BREAK SPACE}%"
            note = f"{_types(sample, 'sees no defect')}; overlap {share}"
            shown.append(Tile(tiles.outlined(sample, pixels), model, f"{name} as {model} sees it: {note}", note))
    said = f"Caption: {truth.caption}" if truth.caption else "There is no caption for this image."
    return tiles.card(shown, said) + tiles.legend(truth.classes)


def overlap(mask: np.ndarray, seen: np.ndarray) -> float:
    """Of the pixels where either mask has a defect, the share where both have the same one; 1 where neither has any."""
    either = (mask > 0) | (seen > 0)
    return float((mask == seen)[either].mean()) if either.any() else 1.0


def beside_nearest(pictures: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]], what: str) -> widgets.Panel:
    """A list of generators and a slider over their pairs: one, the training image nearest to it, their difference.

    Args:
        pictures: Two images uint8 (H, W, 3), generated and training, by generator. One slider moves through all of
            them, so as many of each are shown as that with the fewest has, and no more than a page can carry.
        what: What a group is.
    """
    most = min(widgets.MAX_PICTURES // len(pictures), *map(len, pictures.values()))
    contents = _fitting(
        lambda pixels: {
            name: [_beside(f"{name}, pair {k}", *pair, pixels) for k, pair in enumerate(pairs[:most], start=1)]
            for name, pairs in pictures.items()
        }
    )
    return widgets.cards_in_groups(what, "pair", contents)


def _beside(name: str, generated: np.ndarray, training: np.ndarray, pixels: int) -> str:
    apart = np.sqrt(((generated.astype(float) - training) ** 2).mean(axis=-1)) / 255  # (H, W)
    distance = float(np.sqrt((apart**2).mean()))
    greys = (255 * np.clip(apart / _DIFFERENCE_FULL, 0, 1)).round().astype(np.uint8)
    shown = np.repeat(greys[..., None], 3, axis=-1)
    trio = [
        Tile(tiles.plain(generated, pixels), "generated", f"{name}: the generated image"),
        Tile(tiles.plain(training, pixels), "nearest training image", f"{name}: the training image nearest to it"),
        Tile(tiles.plain(shown, pixels), "difference", f"{name}: difference", "black: none; white: half the range"),
    ]
    return tiles.card(trio, f"Distance {distance:.3f} (root mean square of pixels in [0, 1]; 0: a copy).", width=11)


# Charts -------------------------------------------------------------------------------------------------------------


def fidelity_diversity(
    table: pd.DataFrame, pairs: Mapping[int, Sequence[Sample]], x: str, y: str, **options: str
) -> HoverChart:
    """The path of :func:`defectlib.plots.charts.fidelity_diversity`, each point with its values and four pairs.

    Args:
        table: See there.
        pairs: By u.
        x: A column of the table.
        y: Another.
        options: See there; ``x_label`` and ``y_label`` must be among them.
    """
    names = tuple(options[label].partition(" (")[0] for label in ("x_label", "y_label"))
    points = {f"u = {row.u}": (row, x, y, outlined(pairs[row.u][:4], 2)) for row in table.sort_values("u").itertuples()}
    reference = options["reference"]
    if f"{reference}_{x}" in table and f"{reference}_{y}" in table:
        first = next(table.itertuples())
        points[f"{reference.replace('_', '-')} images"] = (first, f"{reference}_{x}", f"{reference}_{y}", None)
    marks = []
    for title, (row, across, up, picture) in points.items():
        place = getattr(row, across), getattr(row, up)
        lines = [f"{name}: {value:.3f}" for name, value in zip(names, place, strict=True)]
        marks.append(Mark(*place, (title, *lines), picture))
    figure = charts.fidelity_diversity(table, x=x, y=y, **options)
    return HoverChart(figure, marks, f"{names[1]} against {names[0]}, a point for each u", f"chart-{x}-{y}")


# Parts --------------------------------------------------------------------------------------------------------------


def _types(sample: Sample, none: str) -> str:
    return ", ".join(sample.present) or none


def _fitting(build: Callable[[int], Mapping]) -> Mapping:
    """What ``build`` makes of the largest tiles that a page can carry."""
    for pixels in _SIZES:
        contents = build(pixels)
        if widgets.size(contents.values()) <= widgets.MAX_BYTES:
            break
    return contents
