"""Sliders over ready-made pictures that work in a static page, with no kernel behind it (ipywidgets 8, jslink only).

A slider's ``index`` is linked in the browser to the ``selected_index`` of a stack of pictures, so all pictures are in
the page: they must be few (:data:`MAX_PICTURES`) and are made as small as need be (:data:`MAX_BYTES`). A picture is
an ``<img>`` in an HTML widget and not an Image widget, because the latter has no alternative text. There is no Play
button: it breaks on the book's pages. Where widgets are not shown (print), a page needs a figure beside them.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import count

import ipywidgets
import numpy as np

from defectlib.errors import UserError
from defectlib.report.overlay import sheet, shrink, to_bytes

MAX_PICTURES = 60
MAX_BYTES = 2_000_000  # of one widget's pictures; base64 makes them a third larger in the page
_WIDTHS = (720, 540, 400, 300, 200)  # pixels, of which the largest is taken whose pictures fit


class Panel(ipywidgets.VBox):
    """Controls above pictures. Its text form names it and holds no bytes, so notebooks compare equal everywhere."""

    def __init__(self, title: str, children: Sequence[ipywidgets.Widget]) -> None:
        self.title = title
        super().__init__(list(children))

    def __repr__(self) -> str:
        return f"<{self.title}>"


def switch_slider(
    frames: Mapping[int, np.ndarray], label: str = "switch step u", alt: str = "synthetic images"
) -> Panel:
    """A slider over the switch step u.

    Args:
        frames: The picture at each u, uint8 (H, W, 3).
        alt: Alternative text; the slider's position is added to it.

    Raises:
        UserError: The pictures are too few or too many.
    """
    steps, frames = sorted(frames), _encoded(frames)
    stack = _stack([_picture(frames[u], f"{alt} at switch step u = {u}") for u in steps])
    return Panel(f"slider: switch step u, {len(steps)} positions", [_linked("switch step u", steps, stack), stack])


def switch_and_field(frames: Mapping[tuple[int, int], np.ndarray], alt: str = "synthetic images") -> Panel:
    """Two sliders, over the switch step u and the receptive field of the small net in pixels.

    Args:
        frames: The picture at each (u, receptive field), uint8 (H, W, 3); every pair of values must be there.
        alt: Alternative text; both positions are added to it.

    Raises:
        UserError: A pair is missing, or the pictures are too few or too many.
    """
    steps, fields = sorted({u for u, _ in frames}), sorted({field for _, field in frames})
    if missing := [(u, field) for field in fields for u in steps if (u, field) not in frames]:
        raise UserError(f"the sliders have no picture for (u, receptive field) = {missing[0]}; make one for every pair")
    frames = _encoded(frames)
    rows = [
        _stack([_picture(frames[u, field], f"{alt} at u = {u}, receptive field {field} px") for u in steps])
        for field in fields
    ]
    outer = _stack(rows)
    # One link for each row: the hidden rows follow too, so that changing the field keeps u.
    step = _linked("switch step u", steps, *rows)
    field = _linked("receptive field (px)", fields, outer)
    title = f"sliders: switch step u, {len(steps)} positions; receptive field, {len(fields)} positions"
    return Panel(title, [step, field, outer])


def live(draw: Callable[[int], Sequence[np.ndarray]], columns: int = 6, alt: str = "generated samples") -> Panel:
    """A contact sheet with a button that draws anew, each time from the next seed.

    The first sheet, of seed 0, is drawn at once and is what a static page shows; the button needs a running kernel
    and says so.

    Args:
        draw: From a seed to images, uint8 (H, W, 3), of one size.
        columns: Images in a row.
        alt: Alternative text; the seed is added to it.
    """
    seeds = count()
    picture, status = ipywidgets.HTML(), ipywidgets.HTML()
    button = ipywidgets.Button(
        description="draw new samples",
        tooltip="draws samples from the next seed; needs a running kernel",
        layout={"width": "max-content"},
    )

    def show() -> None:
        seed = next(seeds)
        status.value = f"drawing from seed {seed} …"
        picture.value = _img(to_bytes(sheet(draw(seed), columns)), f"{alt}, seed {seed}")
        status.value = f"seed {seed}; the button needs a running kernel"

    def clicked(_: ipywidgets.Button) -> None:
        button.disabled = True
        try:
            show()
        except UserError as error:  # raised in a callback it would only reach the log
            status.value = html.escape(str(error))
        finally:
            button.disabled = False

    show()
    button.on_click(clicked)
    return Panel("button: draw new samples", [button, status, picture])


# Parts --------------------------------------------------------------------------------------------------------------


def _linked(label: str, options: Sequence[Hashable], *stacks: ipywidgets.Stack) -> ipywidgets.SelectionSlider:
    """A slider whose position chooses the child of every one of ``stacks``, in the browser."""
    slider = ipywidgets.SelectionSlider(
        options=[(str(option), option) for option in options],
        description=label,
        style={"description_width": "initial"},
        layout={"width": "100%", "max_width": "32em"},
    )
    for stack in stacks:
        ipywidgets.jslink((slider, "index"), (stack, "selected_index"))
    return slider


def _stack(children: Sequence[ipywidgets.Widget]) -> ipywidgets.Stack:
    return ipywidgets.Stack(list(children), selected_index=0)


def _picture(content: bytes, alt: str) -> ipywidgets.HTML:
    return ipywidgets.HTML(_img(content, alt))


def _img(content: bytes, alt: str) -> str:
    data = base64.b64encode(content).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(alt)}" style="max-width: 100%">'


def _encoded(frames: Mapping[Hashable, np.ndarray]) -> dict[Hashable, bytes]:
    """The frames as JPEG files that a page can carry, all shrunk to one width if they must."""
    if not 1 < len(frames) <= MAX_PICTURES:
        raise UserError(f"a slider over {len(frames)} pictures: give it 2 to {MAX_PICTURES}, all are in the page")
    for width in _WIDTHS:
        encoded = {position: to_bytes(shrink(image, width)) for position, image in frames.items()}
        if sum(map(len, encoded.values())) <= MAX_BYTES:
            break
    return encoded
