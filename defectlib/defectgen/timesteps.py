"""The one descending list of timesteps of the reverse process, and which net acts at each (paper Fig. 4)."""

from __future__ import annotations

import numpy as np

from defectlib.errors import UserError
from defectlib.settings import T


def two_stage_timesteps(switch_step: int, num_inference_steps: int) -> tuple[list[int], list[int]]:
    """Timesteps of the large net, all at t >= u, and of the small net, all below u; together one descending list.

    With T calls they are T-1, …, u and u-1, …, 0. With fewer, each stage gets its share of the calls, at least one
    where it acts at all, spaced "trailing" within its own range: the large net always starts at T-1 and the small
    one at u-1, so the hand-over happens at u exactly, however small u is.

    Args:
        switch_step: u in [0, T]; 0 is the large net alone, T the small net alone.
        num_inference_steps: Network calls in all, in [1, T]; two at least where both nets act.

    Raises:
        UserError: u or the number of calls is out of range.
    """
    u, calls = switch_step, num_inference_steps
    if not 0 <= u <= T:
        raise UserError(f"switch step {u} is outside [0, {T}]")
    fewest = 2 if 0 < u < T else 1
    if not fewest <= calls <= T:
        raise UserError(f"num_inference_steps is {calls}; with switch step {u} it must be in [{fewest}, {T}]")
    # A stage must leave the other a call where both act, and cannot use more calls than it has timesteps.
    calls_small = round(calls * u / T)
    if fewest == 2:
        calls_small = min(max(calls_small, 1), calls - 1)
    return _trailing(u, T, calls - calls_small), _trailing(0, u, calls_small)


def _trailing(low: int, high: int, count: int) -> list[int]:
    """``count`` timesteps in [low, high), descending from high - 1, evenly spaced."""
    if count == 0:
        return []
    steps = np.round(np.arange(high - low, 0, -(high - low) / count))[:count]
    return [low + int(step) - 1 for step in steps]
