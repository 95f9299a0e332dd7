"""All cases: importing the modules that define them is what fills the catalogue."""

from tests.bad_input import (  # noqa: F401
    clicks,
    downloads,
    folders,
    models,
    notebooks,
    options,
    places,
    published,
    settings,
)
from tests.bad_input.case import CASES

__all__ = ["CASES"]
