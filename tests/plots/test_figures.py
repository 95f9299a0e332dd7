"""Figures of images, drawn from real samples: what is in them, that it fits, that nothing overlaps."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from defectlib.data.sample import Sample
from defectlib.plots import charts, figures, ratios, style


@pytest.fixture(autouse=True)
def _look():
    style.use()


def drawn(figure: Figure) -> Figure:
    """The figure after a real drawing, so that positions are final."""
    FigureCanvasAgg(figure).draw()
    return figure


def texts(figure: Figure) -> list[str]:
    return [axes.get_xlabel() for axes in figure.axes]


def legend_of(figure: Figure) -> dict[str, tuple]:
    (legend,) = figure.legends
    return {t.get_text(): to_rgb(h.get_facecolor()) for t, h in zip(legend.texts, legend.legend_handles, strict=True)}


def colours_in(axes) -> set[tuple]:
    return set(map(tuple, np.asarray(axes.images[0].get_array()).reshape(-1, 3)))


def class_bytes(class_id):
    return tuple((np.array(style.defect_colour(class_id)[:3]) * 255).astype(np.uint8))


ODD = r"$\frac_$ <b>&amp;</b>"


@pytest.mark.parametrize(
    "draw",
    [
        lambda samples: figures.gallery(samples, title=ODD),
        lambda samples: figures.before_and_after([(samples[0], samples[0])], "before", "after"),
        lambda samples: ratios.class_changes(None, scores(samples, ("product", "model", "ratio", "class"))),
        lambda samples: charts.learning_curve({ODD: pd.DataFrame({"step": [1, 2], "loss": [0.1, 0.2]})}),
    ],
)
def test_names_and_captions_are_drawn_letter_by_letter(samples, draw):
    classes = tuple(f"{name} {ODD}" for name in samples[0].classes)
    figure = drawn(draw([replace(s, classes=classes, caption=ODD, product=ODD) for s in samples]))
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert any("frac" in text for text in texts)
    assert not any(is_math_text(text) for text in texts if "frac" in text)


def scores(samples, index=("product", "model", "class")):
    keys = [{"product": ODD, "model": "UNet", "ratio": 100, "class": name} for name in samples[0].classes]
    return pd.DataFrame(keys).assign(iou=0.5, difference=0.1).set_index(list(index))


def test_gallery_shows_each_sample_outlined_with_its_caption(samples):
    figure = drawn(figures.gallery(samples[:5], columns=3, title="Softgel"))
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_xlabel().replace("\n", " ") for axes in shown] == [s.caption for s in samples[:5]]
    for axes, sample in zip(shown, samples[:5], strict=True):
        present = {k for k in range(1, 6) if class_bytes(k) in colours_in(axes)}
        assert present == {sample.classes.index(name) + 1 for name in sample.present}
    assert figure.get_suptitle() == "Softgel"


def test_gallery_text_stays_within_its_cell_and_off_the_legend(samples):
    figure = drawn(figures.gallery(samples[:6], columns=3))
    renderer = figure.canvas.get_renderer()
    legend = figure.legends[0].get_window_extent(renderer)
    for axes in figure.axes:
        label = axes.xaxis.label.get_window_extent(renderer)
        assert label.x1 <= axes.get_window_extent(renderer).x1 + 2
        assert label.y0 >= legend.y1
        assert not any(label.overlaps(other.get_window_extent(renderer)) for other in figure.axes)


def test_gallery_can_go_without_captions(samples):
    assert set(texts(figures.gallery(samples[:4], columns=2, captions=False))) == {""}


def test_gallery_of_several_products_has_no_ambiguous_legend(samples):
    other = Sample("other", samples[0].image, samples[0].mask, ("a", "b", "c", "d", "e"), "other")
    assert figures.gallery([samples[0], other], columns=2).legends == []


def test_beside_nearest_puts_the_nearest_training_image_below(samples):
    sets = {"large": (samples[:2], samples[6:8]), "small": (samples[2:4], samples[7:9])}
    figure = drawn(figures.beside_nearest(sets))
    assert [part.get_suptitle() for part in figure.subfigs] == list(sets)
    for part, (pairs, nearest) in zip(figure.subfigs, sets.values(), strict=True):
        for axes, sample in zip(part.axes, (*pairs, *nearest), strict=True):
            size = axes.images[0].get_array().shape[0] // sample.image.shape[0]
            expected = figures.overlay.enlarge(sample.image, size)
            kept = (np.asarray(axes.images[0].get_array()) == expected).all(axis=2)
            assert kept.mean() > 0.75  # all but the outline
            assert not kept.all()
    assert [axes.get_ylabel() for axes in figure.subfigs[0].axes] == ["generated", "", "nearest", ""]


def test_a_figure_of_photographs_stays_small_enough_for_a_page(samples):
    content = io.BytesIO()
    figures.gallery(samples * 2, columns=4).savefig(content, format="png")
    assert len(content.getvalue()) < 3e6


def one_type(sample):
    """The pair of a sample whose mask is grown to a box and called by its first type, and the sample itself."""
    rows, columns = np.nonzero(sample.mask)
    box = np.zeros_like(sample.mask)
    box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = sample.mask[sample.mask > 0].min()
    return Sample(sample.key, sample.image, box, sample.classes, sample.product), sample


def test_before_and_after_stand_above_each_other_with_their_types_and_iou(samples):
    several = [sample for sample in samples if len(sample.present) > 1]
    pairs = [one_type(sample) for sample in (*samples[:3], several[0])]
    figure = drawn(figures.before_and_after(pairs, "coarse", "exact"))
    grid = np.array(figure.axes).reshape(2, 4)
    assert [row[0].get_ylabel() for row in grid] == ["coarse", "exact"]
    for column, pair in zip(grid.T, pairs, strict=True):
        for axes, sample in zip(column, pair, strict=True):
            named = {
                t.get_text(): h for t, h in zip(axes.get_legend().texts, axes.get_legend().legend_handles, strict=True)
            }
            assert tuple(named) == sample.present
            for name, handle in named.items():
                class_id = sample.classes.index(name) + 1
                assert to_rgb(handle.get_facecolor()) == to_rgb(style.defect_colour(class_id))
                assert class_bytes(class_id) in colours_in(axes)
        before, after = pair
        share = np.count_nonzero(after.mask) / np.count_nonzero(before.mask)  # the box covers the mask
        assert column[0].get_title() == f"IoU {round(100 * share)} %"


def test_before_and_after_keeps_its_parts_apart(samples):
    several = [sample for sample in samples if len(sample.present) > 1]
    figure = drawn(figures.before_and_after([one_type(s) for s in (several[0], *samples[:4])], "coarse", "exact"))
    renderer, (width, height) = figure.canvas.get_renderer(), figure.canvas.get_width_height()
    for above, below in np.array(figure.axes).reshape(2, 5).T:
        legends = [axes.get_legend().get_window_extent(renderer) for axes in (above, below)]
        assert not legends[0].overlaps(below.get_window_extent(renderer))
        assert legends[1].y0 >= 0
        assert above.title.get_window_extent(renderer).y1 <= height
        assert all(box.x0 >= 0 and box.x1 <= width for box in legends)
