"""CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017): image–mask pairs with defects made from defect-free ones.

G makes a defective pair of a defect-free one, F the reverse; each is judged by a critic of patches, and each undoes the
other (§3). G has no noise: as many different pairs come out as defect-free images go in.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from defectlib.device import configure, generator
from defectlib.errors import UserError
from defectlib.rivals.adversarial import descend, initialise, optimise, reason, seen
from defectlib.settings import RivalTraining

BLOCKS = 4  # residual blocks of a generator
HALVINGS = 2  # layers of a generator that halve the sides, and as many that double them
CRITIC_HALVINGS = 2  # strided layers of a critic: a receptive field of 34 pixels
CYCLE = 10.0  # λ
IDENTITY = 0.5 * CYCLE
RATE = 2e-4  # learning rate of the paper
POOL = 50  # earlier results that a critic is shown


class CycleGAN(nn.Module):
    """Generators G (``to_defective``) and F (``to_good``), and the critics of what they make."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.to_defective = translator(channels, width)
        self.to_good = translator(channels, width)
        self.critic_defective = critic(channels, width)
        self.critic_good = critic(channels, width)


def rows(settings: RivalTraining, size: int) -> tuple[tuple[str, str, str, str], ...]:
    """Of the paper and its authors' code, what is done here, and why where that is less: (what, paper, here, why)."""
    training = f"{settings.steps:,} steps, batch {settings.batch}, learning rate {settings.lr:g}, falling likewise"
    return (
        ("input", "RGB, 128 or 256 px", f"RGB and one-hot mask, {size} px", "pairs are compared"),
        ("from, to", "any two sets of images", "defect-free images with empty masks, defective pairs", ""),
        ("generators", "ResNet, 6 blocks at 128 px, 9 at 256 px", f"ResNet, {BLOCKS} blocks", "smaller images"),
        ("doubling", "transposed convolution", "repeated pixels, then convolution", "trains faster"),
        ("critics", "PatchGAN, receptive field 70 px", "PatchGAN, receptive field 34 px", "smaller images"),
        ("width", "64", f"{settings.channels}", "minutes on a CPU"),
        ("normalisation", "of each image by itself", "same", ""),
        ("adversarial loss", "least squares, a pool of 50 earlier results", "same", ""),
        ("cycle loss", "absolute error, λ = 10", "same", ""),
        ("identity loss", "absolute error, 0.5 λ", "same", ""),
        ("augmentation", "random crops and mirror images", "none", "as for every method here"),
        (
            "training",
            f"200 epochs of about 1,000 images, batch 1, learning rate {RATE:g}, in the second half falling to 0",
            training,
            reason(settings.lr, RATE),
        ),
    )


def build(settings: RivalTraining, channels: int, size: int) -> CycleGAN:
    """Fresh networks for pairs of ``channels`` channels and ``size`` pixels a side.

    Raises:
        UserError: The generators cannot halve such sides.
    """
    if size % 2**HALVINGS:
        raise UserError(f"setting 'size' of the data is {size} px, but CycleGAN needs a multiple of {2**HALVINGS} px")
    module = CycleGAN(channels, settings.channels)
    initialise(module, settings.seed)
    return module


def train(
    module: CycleGAN, settings: RivalTraining, x: torch.Tensor, good: torch.Tensor | None, unfinished: Path
) -> list[dict[str, float]]:
    """Train ``module`` from ``good`` to ``x``, going on from the checkpoint in ``unfinished``.

    Args:
        x: Defective pairs, float (N, C, H, W) in [-1, 1]; of these number ``settings.image`` alone if it is set.
        good: Defect-free images with empty masks, float (M, C, H, W) in [-1, 1].

    Returns:
        The loss curve: ``step``, ``loss_adversarial``, ``loss_cycle``, ``loss_identity`` (the latter two without their
        weights) and ``loss_critic``, each summed over both directions.

    Raises:
        UserError: There are no defect-free images, or no such pair.
    """
    good = _present(good, settings)
    device = configure(settings.device)
    training = _Training(module.to(device), settings, seen(settings, x).to(device), good.to(device))
    return optimise(training, settings, settings.steps, training.step, training.rate, unfinished)


@torch.no_grad()
def sample(
    module: CycleGAN, settings: RivalTraining, generators: list[torch.Generator], good: torch.Tensor | None
) -> torch.Tensor:
    """One pair per generator: G of the defect-free image that ``generators[k]`` picks among ``good``.

    Returns:
        float (n, C, H, W) in [-1, 1].

    Raises:
        UserError: There are no defect-free images.
    """
    good = _present(good, settings).to(next(module.parameters()).device)
    picked = [int(torch.randint(len(good), (), generator=draw)) for draw in generators]
    return torch.cat([module.to_defective(good[k][None]) for k in picked])


def _present(good: torch.Tensor | None, settings: RivalTraining) -> torch.Tensor:
    if good is None or not len(good):
        name = getattr(settings.data, "product", None) or settings.data.root
        raise UserError(
            f"{name}: there are no defect-free images, which CycleGAN starts from; "
            "add some with empty masks, or leave CycleGAN out"
        )
    return good


# Networks -----------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """x + two 3 × 3 convolutions of x (appendix 7.2, R of the paper)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_convolution(width, width, 3), nn.ReLU(), *_convolution(width, width, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the shape of ``x``."""
        return x + self.layers(x)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """With the borders mirrored, then instance normalisation; that takes any bias away again, so there is none."""
    same = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode="reflect", bias=False)
    return same, nn.InstanceNorm2d(outputs)


def translator(channels: int, width: int) -> nn.Sequential:
    """A generator: 7 × 7, two halvings, residual blocks, two doublings, 7 × 7, tanh (appendix 7.2)."""
    layers = [*_convolution(channels, width, 7), nn.ReLU()]
    for _ in range(HALVINGS):
        layers += [*_convolution(width, 2 * width, 3, stride=2), nn.ReLU()]
        width *= 2
    layers += [Residual(width) for _ in range(BLOCKS)]
    for _ in range(HALVINGS):
        # Pixels are repeated and then convolved: a transposed convolution's checkerboards take longer to train away.
        layers += [nn.Upsample(scale_factor=2), *_convolution(width, width // 2, 3), nn.ReLU()]
        width //= 2
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 7, padding=3, padding_mode="reflect"), nn.Tanh())


def critic(channels: int, width: int) -> nn.Sequential:
    """A PatchGAN: 4 × 4 convolutions, ``CRITIC_HALVINGS`` of stride 2 and two of stride 1 (Isola et al., 2017).

    One value per patch; the first layer is not normalised (appendix 7.2).
    """
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for k in range(1, CRITIC_HALVINGS + 1):
        stride = 2 if k < CRITIC_HALVINGS else 1
        wider = nn.Conv2d(width, 2 * width, 4, stride=stride, padding=1, bias=False)
        layers += [wider, nn.InstanceNorm2d(2 * width), nn.LeakyReLU(0.2)]
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 4, padding=1))


# Training -----------------------------------------------------------------------------------------------------------


class ImagePool(nn.Module):
    """Up to ``POOL`` earlier results, which a critic is shown half of the time in place of the newest (§4).

    A module, so that a checkpoint holds it.
    """

    def __init__(self, shape: tuple[int, ...], capacity: int = POOL) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(capacity, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, newest: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
        """What the critic is shown for ``newest`` (N, C, H, W): while there is room they are kept and shown.

        Then, half of the time, one that is kept is shown and gives its place to the new one.
        """
        return torch.stack([self._exchange(image, draw) for image in newest.detach()])

    def _exchange(self, image: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
        if self.count < len(self.images):
            self.images[self.count] = image
            self.count += 1
            return image
        if torch.rand((), generator=draw) < 0.5:
            return image
        k = int(torch.randint(len(self.images), (), generator=draw))
        kept = self.images[k].clone()
        self.images[k] = image
        return kept


class _Training(nn.Module):
    """The steps, and all that a checkpoint must hold."""

    def __init__(self, nets: CycleGAN, settings: RivalTraining, defective: torch.Tensor, good: torch.Tensor) -> None:
        super().__init__()
        self.nets, self.settings, self.defective, self.good = nets, settings, defective, good
        self.pool_defective = ImagePool(defective.shape[1:]).to(good.device)
        self.pool_good = ImagePool(good.shape[1:]).to(good.device)

    def rate(self, step: int) -> float:
        """Full for the first half, then in a line to zero (§4)."""
        return min(1.0, 2 * (1 - step / self.settings.steps))

    def step(self, optimizer: torch.optim.Adam, step: int) -> dict[str, torch.Tensor]:
        draw = generator(self.settings.seed, "step", step)
        a, b = _pick(self.good, self.settings.batch, draw), _pick(self.defective, self.settings.batch, draw)
        nets = self.nets
        fake_b, fake_a = nets.to_defective(a), nets.to_good(b)
        adversarial = least_squares(nets.critic_defective(fake_b), 1) + least_squares(nets.critic_good(fake_a), 1)
        cycle = functional.l1_loss(nets.to_good(fake_b), a) + functional.l1_loss(nets.to_defective(fake_a), b)
        identity = functional.l1_loss(nets.to_defective(b), b) + functional.l1_loss(nets.to_good(a), a)
        translators = chain(nets.to_defective.parameters(), nets.to_good.parameters())
        descend(optimizer, adversarial + CYCLE * cycle + IDENTITY * identity, translators)
        judged = critic_loss(nets.critic_defective, b, self.pool_defective(fake_b, draw))
        judged = judged + critic_loss(nets.critic_good, a, self.pool_good(fake_a, draw))
        descend(optimizer, judged, chain(nets.critic_defective.parameters(), nets.critic_good.parameters()))
        losses = {"adversarial": adversarial, "cycle": cycle, "identity": identity, "critic": judged}
        return {f"loss_{name}": value.detach() for name, value in losses.items()}


def least_squares(judgement: torch.Tensor, target: float) -> torch.Tensor:
    """The adversarial loss of least squares (Mao et al., 2017), averaged over patches."""
    return (judgement - target).square().mean()


def critic_loss(network: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Half the loss of calling ``real`` 1 and ``fake`` 0, which slows critics down as in the paper (appendix 7.1)."""
    return 0.5 * (least_squares(network(real), 1) + least_squares(network(fake), 0))


def _pick(x: torch.Tensor, count: int, draw: torch.Generator) -> torch.Tensor:
    return x[torch.randint(len(x), (count,), generator=draw).to(x.device)]
