"""What the released code samples: the path of its loop, on our own nets, to set beside the paper's.

The loop of the release counts T - u steps for the large net and u for the small one, as the paper has it, but starts
each count at zero. So the large net acts at t = T-1-u, …, 0 where the paper says T-1, …, u: it is begun on pure noise
at a t at which it knows only half-noised images, and it ends with a finished image. The small net then acts at
t = u-1, …, 0 on that image, to which no noise was added. Both are deterministic (DDIM, η = 0), and what leaves a loop
is the last prediction of x_0. Only u = 0 and u = T are the same on both paths.

Not rebuilt here: at t = 1 the release enlarges what is left of the noise by 0.69 instead of shrinking it, which its
step at t = 0 undoes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from defectlib.defectgen.denoiser import Denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.pipeline import DefectGenPipeline
from defectlib.defectgen.synthesis import assemble, write_pairs
from defectlib.defectgen.timesteps import two_stage_timesteps
from defectlib.settings import Synthesis, T


def run(settings: Synthesis, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: as :func:`defectlib.defectgen.synthesis.run`, along the path of the release."""
    write_pairs(assemble(inputs["large"], inputs["small"], settings.device, ReleasedPipeline), settings, out)


def released_timesteps(switch_step: int, num_inference_steps: int) -> tuple[list[int], list[int]]:
    """Timesteps of the large net, T-1-u, …, 0, and of the small one, u-1, …, 0, as the release visits them.

    With fewer calls than T each net has as many, as far apart, as on the paper's path.

    Args:
        switch_step: u in [0, T].
        num_inference_steps: Network calls in all, in [1, T]; two at least where both nets act.

    Raises:
        UserError: u or the number of calls is out of range.
    """
    large, small = two_stage_timesteps(switch_step, num_inference_steps)
    return [t - switch_step for t in large], small


def remaining_variety(switch_step: int, deviation: float) -> float:
    """The share of the data's standard deviation that samples on this path have, in closed form, with all T calls.

    For x_0 ~ N(0, s²) the best denoiser is linear, and DDIM takes x_t to x_0 = x_t · s/σ_t, σ_t² = ᾱ_t s² + 1 - ᾱ_t.
    The release puts noise of standard deviation 1 in the place of σ_{T-1-u}, then x_0 in that of σ_{u-1}. On the
    paper's path the share is 1.

    Args:
        switch_step: u in [0, T].
        deviation: s > 0, of images in [-1, 1].
    """
    if switch_step in (0, T):
        return 1.0
    alpha_bar = schedule().alphas_cumprod.double()
    sigma = (alpha_bar * deviation**2 + 1 - alpha_bar).sqrt()
    return float(deviation / (sigma[T - 1 - switch_step] * sigma[switch_step - 1]))


class ReleasedPipeline(DefectGenPipeline):
    """:class:`DefectGenPipeline` along the path of the released code; from the same noise, so pairs can be compared."""

    def _timesteps(self, switch_step: int, num_inference_steps: int) -> tuple[list[int], list[int]]:
        return released_timesteps(switch_step, num_inference_steps)

    def _loops(self, large: list[int], small: list[int]) -> tuple[tuple[Denoiser, list[int], int, int], ...]:
        """A loop of its own for each net, run to its end: the second is given the x_0 of the first as its x_t."""
        return (self.large, large, 0, len(large)), (self.small, small, 0, len(small))
