"""Methods that turn clicks into masks, by the names that people choose them by."""

from __future__ import annotations

from defectclick.clicks import Clicker
from defectlib.errors import unknown

#: The network that comes with the package, and what it is compared with.
NAMES = ("Defect-Click", "flood fill", "GrabCut", "random walker")


def known(name: str) -> str:
    """``name``, if a method is called so.

    Raises:
        UserError: None is.
    """
    if name not in NAMES:
        raise unknown("method", name, NAMES)
    return name


def method(name: str) -> Clicker:
    """The method called ``name``, ready to use.

    Raises:
        UserError: None is called so, or the network is not there.
    """
    if known(name) == "Defect-Click":
        from defectclick.focal import shipped

        return shipped()
    from defectclick.classical import FloodFill, GrabCut, RandomWalker

    return {each.name: each for each in (FloodFill, GrabCut, RandomWalker)}[name]()
