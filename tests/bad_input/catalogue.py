"""All cases: importing the modules that define them is what fills the catalogue."""

from tests.bad_input import downloads, folders, models, notebooks, options, places, published, settings  # noqa: F401
from tests.bad_input.case import CASES

__all__ = ["CASES"]
