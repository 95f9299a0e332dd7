"""How numbers are set in sentences and tables."""

from __future__ import annotations

import pytest

from defectlib.experiments.numbers import with_minus


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("-5 % [-10, -0]", "−5 % [−10, 0]"),
        ("-0.3 [-0.05, -0.0]", "−0.3 [−0.05, 0.0]"),
        ("M-B0 by -12.5", "M-B0 by −12.5"),
        ("+1.0 [-0.00, 2]", "+1.0 [0.00, 2]"),
        ("it is -0.", "it is 0."),
    ],
)
def test_a_minus_is_a_minus_and_zero_has_none(text, written):
    assert with_minus(text) == written
