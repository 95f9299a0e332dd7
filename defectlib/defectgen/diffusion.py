"""The forward process q(x_t | x_0) that both denoisers are trained on: T = 1000 steps, cosine schedule, x_0 target."""

from __future__ import annotations

from diffusers import DDPMScheduler

from defectlib.settings import T


def schedule() -> DDPMScheduler:
    """The noise schedule; every scheduler used for sampling is made from its configuration.

    ``squaredcos_cap_v2`` is the cosine schedule of Nichol & Dhariwal (2021), s = 0.008 and β at most 0.999.
    ``sample`` means that the network predicts x_0. Nothing is clipped inside the loop: the one-hot channels need
    values beyond ±1 on the way to sharp edges as much as the image does.
    """
    return DDPMScheduler(
        num_train_timesteps=T,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        timestep_spacing="trailing",
        clip_sample=False,
    )
