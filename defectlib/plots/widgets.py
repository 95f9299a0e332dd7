"""Sliders and choices over ready-made pictures that work in a static page, with no kernel behind it (ipywidgets 8).

The ``index`` of a slider or a list is linked in the browser to the ``selected_index`` of a stack, so all pictures are
in the page: they must be few (:data:`MAX_PICTURES`) and are made as small as need be (:data:`MAX_BYTES`). A picture is
an ``<img>`` in an HTML widget and not an Image widget, because the latter has no alternative text. There is no Play
button: it breaks on the book's pages. Where widgets are not shown (print), a page needs a figure beside them.
"""

from __future__ import annotations

import html
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence

import ipywidgets
import numpy as np
from IPython.display import HTML

from defectlib.errors import UserError
from defectlib.plots import style, tiles
from defectlib.plots.overlay import shrink, to_bytes

MAX_PICTURES = 60
MAX_BYTES = 1_500_000  # of one widget's pictures; base64 makes them a third larger in the page
_WIDTHS = (720, 540, 400, 300, 200)  # pixels, of which the largest is taken whose pictures fit
_BLOCK = "max-width: 100%; height: auto"


class Panel(ipywidgets.VBox):
    """Controls above pictures. Its text form names it and holds no bytes, so notebooks compare equal everywhere."""

    def __init__(self, title: str, children: Sequence[ipywidgets.Widget]) -> None:
        self.title = title
        super().__init__(list(children))

    def __repr__(self) -> str:
        return f"<{self.title}>"


def live_sampler(nets: Mapping[str, str], classes: Mapping[str, Sequence[str]], fields: Sequence[int], u: int) -> HTML:
    """Controls that sample in the reader's browser (`book/_assets/live/live.js`), in the built book alone.

    Args:
        nets: Folder below `_static/live` of each product's nets, see :class:`~defectlib.settings.LiveNets`.
        classes: Names of the defect types, by product.
        fields: Receptive fields of the small nets in pixels.
        u: Where the switch step begins.
    """
    settings = {"products": dict(nets), "classes": {name: list(types) for name, types in classes.items()}}
    settings |= {"fields": list(fields), "steps": [10, 25, 50], "u": u, "colours": ["", *style.DEFECT_COLOURS]}
    note = "In the built book, pairs are sampled here, in the page."
    data = html.escape(json.dumps(settings))
    script = '<script defer src="../_static/live/live.js"></script>'
    return HTML(f'<div class="live-sampler" data-settings="{data}">{note}</div>{script}')


def switch_slider(
    frames: Mapping[int, np.ndarray], alt: str = "synthetic images", classes: Sequence[str] = ()
) -> Panel:
    """A slider over the switch step u.

    Args:
        frames: The picture at each u, uint8 (H, W, 3).
        alt: Alternative text; the slider's position is added to it.
        classes: Defect types whose colours are named.

    Raises:
        UserError: The pictures are too few or too many.
    """
    steps, width = sorted(frames), _width(frames.values())
    stack = _stack([_picture(frames[u], f"{alt} at switch step u = {u}", width) for u in steps])
    slider = _linked("switch step u", steps, stack)
    title = f"slider: switch step u, {len(steps)} positions"
    return Panel(title, [slider, stack, *_named(classes)])


def switch_and_field(
    frames: Mapping[tuple[int, int], np.ndarray], alt: str = "synthetic images", classes: Sequence[str] = ()
) -> Panel:
    """Two sliders, over the switch step u and the receptive field of the small net in pixels.

    Args:
        frames: The picture at each (u, receptive field), uint8 (H, W, 3); every pair of values must be there.
        alt: Alternative text; both positions are added to it.
        classes: Defect types whose colours are named.

    Raises:
        UserError: A pair is missing, or the pictures are too few or too many.
    """
    steps, fields = sorted({u for u, _ in frames}), sorted({field for _, field in frames})
    if missing := [(u, field) for field in fields for u in steps if (u, field) not in frames]:
        raise UserError(f"the sliders have no picture for (u, receptive field) = {missing[0]}; make one for every pair")
    width = _width(frames.values())
    rows = [
        _stack([_picture(frames[u, field], f"{alt} at u = {u}, receptive field {field} px", width) for u in steps])
        for field in fields
    ]
    outer = _stack(rows)
    # One link for each row: the hidden rows follow too, so that changing the field keeps u.
    step = _linked("switch step u", steps, *rows)
    field = _linked("receptive field (px)", fields, outer)
    title = f"sliders: switch step u, {len(steps)} positions; receptive field, {len(fields)} positions"
    return Panel(title, [step, field, outer, *_named(classes)])


def cards(label: str, contents: Mapping[Hashable, str], classes: Sequence[str] = (), *, slide: bool = False) -> Panel:
    """One of several cards of :func:`defectlib.plots.tiles.card`, chosen from a list or by a slider.

    Args:
        label: What is chosen.
        contents: HTML by the name under which it is chosen.
        classes: Defect types whose colours are named.
        slide: By a slider: for contents that have an order.

    Raises:
        UserError: They are too few, too many or too large.
    """
    _check(size(contents.values()), len(contents))
    stack = _stack([ipywidgets.HTML(content) for content in contents.values()])
    control = _linked(label, list(contents), stack, slide=slide)
    title = f"{'slider' if slide else 'list'}: {label}, {len(contents)} positions"
    return Panel(title, [control, stack, *_named(classes)])


def cards_in_groups(group: str, label: str, contents: Mapping[str, Sequence[str]]) -> Panel:
    """A card chosen by its group, from a list, and by its number in that group, by a slider.

    Args:
        group: What a group is.
        label: What is numbered.
        contents: HTML by group; equally many in each.

    Raises:
        UserError: They are too few, too many, too large, or not equally many.
    """
    numbers = {len(row) for row in contents.values()}
    if len(numbers) != 1:
        raise UserError(f"groups of {sorted(numbers)} cards: one slider moves through all of them, make them equal")
    _check(size(contents.values()), len(contents) * max(numbers))
    rows = [_stack([ipywidgets.HTML(card) for card in row]) for row in contents.values()]
    outer = _stack(rows)
    number = _linked(label, list(range(1, max(numbers) + 1)), *rows)
    title = f"list: {group}, {len(contents)} positions; slider: {label}, {max(numbers)} positions"
    return Panel(title, [_linked(group, list(contents), outer, slide=False), number, outer])


def size(contents: Iterable[str | Sequence[str]]) -> int:
    """Bytes of the pictures in HTML, about: base64 makes them a third larger."""
    return sum(sum(map(len, row)) for row in contents) * 3 // 4


# Parts --------------------------------------------------------------------------------------------------------------


def _linked(
    label: str, options: Sequence[Hashable], *stacks: ipywidgets.Stack, slide: bool = True
) -> ipywidgets.SelectionSlider | ipywidgets.Dropdown:
    """A slider, or a list, whose position chooses the child of every one of ``stacks``, in the browser."""
    control = (ipywidgets.SelectionSlider if slide else ipywidgets.Dropdown)(
        options=[(str(option), option) for option in options],
        value=options[0],
        description=label,
        style={"description_width": "initial"},
        layout={"width": "100%", "max_width": "32em"},
    )
    for stack in stacks:
        ipywidgets.jslink((control, "index"), (stack, "selected_index"))
    return control


def _stack(children: Sequence[ipywidgets.Widget]) -> ipywidgets.Stack:
    return ipywidgets.Stack(list(children), selected_index=0)


def _picture(image: np.ndarray, alt: str, width: int) -> ipywidgets.HTML:
    return ipywidgets.HTML(tiles.img(shrink(image, width), alt, _BLOCK))


def _named(classes: Sequence[str]) -> list[ipywidgets.Widget]:
    return [ipywidgets.HTML(tiles.legend(classes))] if classes else []


def _width(images: Sequence[np.ndarray]) -> int:
    """To which pictures must be shrunk, all alike, so that a page can carry them."""
    images = list(images)
    for width in _WIDTHS:
        total = sum(len(to_bytes(shrink(image, width))) for image in images)
        if total <= MAX_BYTES:
            break
    _check(total, len(images))
    return width


def _check(total: int, number: int) -> None:
    if not 1 < number <= MAX_PICTURES:
        raise UserError(f"a choice of {number} pictures: give it 2 to {MAX_PICTURES}, all are in the page")
    if total > MAX_BYTES:
        raise UserError(f"pictures of {total} bytes in one widget: a page carries {MAX_BYTES}; give it fewer")
