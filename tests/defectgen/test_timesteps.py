"""The list of timesteps and where it is divided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defectlib.defectgen.diffusion import T
from defectlib.defectgen.timesteps import two_stage_timesteps
from defectlib.errors import UserError


@pytest.mark.parametrize("u", [0, 1, 400, 999, 1000])
def test_with_t_calls_every_timestep_is_visited_once(u):
    large, small = two_stage_timesteps(u, T)
    assert large == list(range(T - 1, u - 1, -1))
    assert small == list(range(u - 1, -1, -1))


@given(u=st.integers(0, T), calls=st.integers(2, T))
def test_one_descending_list_divided_at_u(u, calls):
    large, small = two_stage_timesteps(u, calls)
    both = large + small
    assert both == sorted(set(both), reverse=True)
    assert all(t >= u for t in large)
    assert all(t < u for t in small)
    assert both[0] == T - 1
    # The hand-over is at u exactly: the small net's first timestep is the one below.
    assert (small[0] == u - 1) if small else u == 0
    assert bool(large) == (u < T)


@given(u=st.integers(0, T), calls=st.integers(2, 200))
def test_the_number_of_calls_is_what_was_asked_for(u, calls):
    large, small = two_stage_timesteps(u, calls)
    # A stage of fewer timesteps than its share cannot use them all; shares are proportional, so it never has to.
    assert len(large) + len(small) == calls


def test_trailing_spacing_of_a_single_net():
    assert two_stage_timesteps(0, 4)[0] == [999, 749, 499, 249]


@pytest.mark.parametrize(
    ("u", "calls", "words"),
    [
        (-1, 50, r"switch step -1 is outside \[0, 1000\]"),
        (1001, 50, "switch step 1001"),
        (400, 1, r"must be in \[2, 1000\]"),
        (0, 0, r"must be in \[1, 1000\]"),
        (0, 1001, "num_inference_steps is 1001"),
    ],
)
def test_what_cannot_be_served_is_refused(u, calls, words):
    with pytest.raises(UserError, match=words):
        two_stage_timesteps(u, calls)
