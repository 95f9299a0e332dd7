"""Defect-Gen's sampler: one reverse loop over one list of timesteps, begun by the large net, ended by the small one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler, SchedulerMixin
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor

from defectlib.defectgen.denoiser import Denoiser, as_gray
from defectlib.defectgen.timesteps import two_stage_timesteps
from defectlib.errors import UserError, unknown
from defectlib.settings import Sampler


@dataclass
class DefectGenOutput(BaseOutput):
    """What a call returns.

    Attributes:
        x: Float (N, 3 + K + 1, H, W), the final x_0; see :func:`defectlib.data.encode.decode`.
        large_timesteps: The timesteps at which the large net was called, in order.
        small_timesteps: The timesteps at which the small net was called, in order.
    """

    x: torch.Tensor
    large_timesteps: list[int] = field(default_factory=list)
    small_timesteps: list[int] = field(default_factory=list)


#: Called after each step with the timestep, x_t before it and the predicted x_0.
Callback = Callable[[int, torch.Tensor, torch.Tensor], None]


class DefectGenPipeline(DiffusionPipeline):
    """Two denoisers and the noise schedule they were trained with.

    Args:
        large: The denoiser p_θ with the large receptive field.
        small: The denoiser p_φ with the small receptive field.
        scheduler: The schedule of training; samplers are made from its configuration, a fresh one for each stage.
    """

    def __init__(self, large: Denoiser, small: Denoiser, scheduler: DDPMScheduler) -> None:
        super().__init__()
        if large.config.channels != small.config.channels:
            raise UserError(
                f"the large net has {large.config.channels} channels and the small one {small.config.channels}; "
                "both must be trained on the same classes"
            )
        self.register_modules(large=large, small=small, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        size: int | tuple[int, int],
        generators: Sequence[torch.Generator],
        switch_step: int = 400,
        num_inference_steps: int = 50,
        sampler: Sampler = "ddim",
        callback: Callback | None = None,
    ) -> DefectGenOutput:
        """Sample one pair per generator.

        Args:
            size: Side, or (height, width), of the pairs in pixels; multiples of what both nets need.
            generators: One for each pair, all noise of pair k comes from ``generators[k]``, so pair k is the same
                in any batch up to the rounding of batched arithmetic.
            switch_step: u in [0, T]: the large net acts at t >= u, the small one below.
            num_inference_steps: Network calls.
            sampler: ``ddim`` (deterministic), ``dpm++`` (second order, deterministic) or ``ddpm`` (ancestral). With
                few calls the ancestral one draws too little variance at high noise, where the large structures are
                decided: large defects become rare.
            callback: Called after each step.

        Raises:
            UserError: A size or a number of steps the nets or the schedule cannot serve.
        """
        height, width = (size, size) if isinstance(size, int) else size
        self._check_size(height, width)
        large, small = self._timesteps(switch_step, num_inference_steps)
        shape = (len(generators), self.large.config.channels, height, width)
        x_t = self._of_material(randn_tensor(shape, generator=list(generators), device=self.device))
        for denoiser, timesteps, begin, count in self._loops(large, small):
            x_t = self._stage(denoiser, sampler, timesteps, begin, count, x_t, generators, callback)
        return DefectGenOutput(x=x_t, large_timesteps=large, small_timesteps=small)

    def _timesteps(self, switch_step: int, num_inference_steps: int) -> tuple[list[int], list[int]]:
        """The timesteps that each net is called at, in that order."""
        return two_stage_timesteps(switch_step, num_inference_steps)

    def _loops(self, large: list[int], small: list[int]) -> tuple[tuple[Denoiser, list[int], int, int], ...]:
        """For each net, the loop that it is part of, where it takes over and how many steps it makes."""
        return (self.large, large + small, 0, len(large)), (self.small, large + small, len(large), len(small))

    def _stage(
        self,
        denoiser: Denoiser,
        sampler: Sampler,
        timesteps: list[int],
        begin: int,
        count: int,
        x_t: torch.Tensor,
        generators: Sequence[torch.Generator],
        callback: Callback | None,
    ) -> torch.Tensor:
        """``count`` steps of the loop over ``timesteps`` from position ``begin``, all with one net."""
        if count == 0:
            return x_t
        step = _stepper(sampler, self.scheduler, timesteps, begin, generators, x_t.device)
        for t in self.progress_bar(timesteps[begin : begin + count]):
            x_0 = denoiser(x_t, t).float()
            x_next = self._of_material(step(x_0, t, x_t))
            if callback is not None:
                callback(t, x_t, x_0)
            x_t = x_next
        return x_t

    def _of_material(self, x: torch.Tensor) -> torch.Tensor:
        """``x``, its noise without colour where the nets were trained so."""
        return as_gray(x) if self.small.config.gray else x

    def _check_size(self, height: int, width: int) -> None:
        multiple = max(self.large.multiple, self.small.multiple)
        if height % multiple or width % multiple:
            raise UserError(f"size {height}×{width} does not fit these nets: sides must be multiples of {multiple} px")


def _stepper(
    sampler: Sampler,
    trained: DDPMScheduler,
    timesteps: list[int],
    begin: int,
    generators: Sequence[torch.Generator],
    device: torch.device,
) -> Callable[[torch.Tensor, int, torch.Tensor], torch.Tensor]:
    """``(x_0, t, x_t) → x at the next timestep`` on a scheduler of its own, with no history from before ``begin``."""
    if sampler == "ddpm":
        scheduler = DDPMScheduler.from_config(trained.config)
        scheduler.set_timesteps(timesteps=timesteps, device=device)
        return lambda x_0, t, x_t: scheduler.step(x_0, t, x_t, generator=list(generators)).prev_sample
    scheduler = _multistep(sampler, trained)
    scheduler.set_timesteps(timesteps=timesteps, device=device)
    scheduler.set_begin_index(begin)
    return lambda x_0, t, x_t: scheduler.step(x_0, t, x_t).prev_sample


def _multistep(sampler: Sampler, trained: DDPMScheduler) -> SchedulerMixin:
    """DPM-Solver++ (Lu et al., 2022). Its first order, on the data prediction, is DDIM with η = 0."""
    orders = {"ddim": 1, "dpm++": 2}
    if sampler not in orders:
        raise unknown("sampler", sampler, ("ddpm", *orders))
    return DPMSolverMultistepScheduler.from_config(
        trained.config,
        algorithm_type="dpmsolver++",
        solver_order=orders[sampler],
        final_sigmas_type="zero",
    )
