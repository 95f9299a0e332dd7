"""Fréchet and kernel distance against closed forms and torchmetrics, and judges that others trained when absent."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from defectlib import torchvision_shim as _torchvision_shim  # noqa: F401
from defectlib.defectgen.measures import networks
from defectlib.defectgen.measures.features import frechet_distance, kernel_distance
from defectlib.runtime import numpy_generator


def points(count, dimensions, purpose, scale=1.0, shift=0.0):
    return scale * numpy_generator(0, "points", purpose).standard_normal((count, dimensions)) + shift


def whitened(count, dimensions, purpose):
    """Points whose mean is exactly 0 and whose covariance is exactly the identity."""
    centred = points(count, dimensions, purpose)
    centred -= centred.mean(axis=0)
    return np.linalg.qr(centred)[0] * np.sqrt(count - 1)


# Fréchet distance ---------------------------------------------------------------------------------------------------


def test_frechet_distance_of_axis_parallel_normals_has_a_closed_form():
    ours, theirs = whitened(40, 3, "a"), whitened(50, 3, "b")
    mine, other, shift = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 0.1]), np.array([0.0, 4.0, -1.0])
    expected = (shift**2).sum() + ((mine - other) ** 2).sum()
    assert frechet_distance(ours * mine + shift, theirs * other) == pytest.approx(expected)


def test_frechet_distance_is_the_formula_with_the_root_of_a_matrix():
    mix = numpy_generator(0, "mix").standard_normal((4, 4))
    ours, theirs = points(30, 4, "c") @ mix, points(45, 4, "d", shift=0.3)
    a, b = np.cov(ours.T), np.cov(theirs.T)
    formula = np.sum((ours.mean(0) - theirs.mean(0)) ** 2) + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(ours, theirs) == pytest.approx(formula)
    assert frechet_distance(theirs, ours) == pytest.approx(formula)


def test_frechet_distance_with_fewer_points_than_features():
    ours = points(6, 40, "e")
    assert frechet_distance(ours, ours) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(ours, ours + 1) == pytest.approx(40)
    assert frechet_distance(points(6, 40, "f"), ours) > 10  # of one distribution, but too few to know it


class Means(torch.nn.Module):
    """The mean and the corner of each colour: six features of an image."""

    num_features = 6

    def forward(self, images):
        images = images.float()
        return torch.cat([images.mean(dim=(2, 3)), images[..., 0, 0]], dim=1)


@pytest.fixture(scope="module")
def images():
    draw = numpy_generator(0, "images")
    bright = draw.integers(0, 256, (20, 3, 8, 8), dtype=np.uint8)
    dark = draw.integers(0, 160, (25, 3, 8, 8), dtype=np.uint8)
    return torch.from_numpy(bright), torch.from_numpy(dark)


def test_frechet_distance_is_that_of_torchmetrics(images):
    theirs = FrechetInceptionDistance(feature=Means(), normalize=False).set_dtype(torch.float64)
    theirs.update(images[1], real=True)
    theirs.update(images[0], real=False)
    ours = frechet_distance(*(Means()(side).numpy() for side in images))
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-4)


# Kernel distance ----------------------------------------------------------------------------------------------------


def test_kernel_distance_by_hand():
    ours, theirs = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0]])
    among_ours = (1 + 1 + 27) / 3  # (0·1 + 1)³, (0·2 + 1)³, (1·2 + 1)³
    among_theirs = 64  # (1·3 + 1)³
    between = (1 + 1 + 8 + 64 + 27 + 343) / 6
    assert kernel_distance(ours, theirs) == pytest.approx(among_ours + among_theirs - 2 * between)


def test_kernel_distance_is_that_of_torchmetrics_on_whole_sets(images):
    same = (images[0], images[1][:20])
    theirs = KernelInceptionDistance(feature=Means(), subsets=1, subset_size=20)
    theirs.update(same[1], real=True)
    theirs.update(same[0], real=False)
    ours = kernel_distance(*(Means()(side).numpy() for side in same))
    assert ours == pytest.approx(float(theirs.compute()[0]), rel=1e-3)


def test_kernel_distance_is_unbiased_where_frechet_distance_is_not():
    draw = numpy_generator(0, "sets")
    kernel, frechet = [], []
    for _ in range(300):
        ours, theirs = draw.standard_normal((2, 10, 5))
        kernel.append(kernel_distance(ours, theirs))
        frechet.append(frechet_distance(ours, theirs))
    assert abs(np.mean(kernel)) < 3 * np.std(kernel) / np.sqrt(300)
    assert np.mean(np.array(kernel) < 0) > 0.3
    assert np.mean(frechet) > 10 * np.std(frechet) / np.sqrt(300)


# Judges that others trained -----------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder for torch's checkpoints; whatever would download from here fails."""

    def refuse(*arguments, **options):
        raise AssertionError("something is downloaded")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_without_weights_nothing_is_measured_or_downloaded_and_it_is_said(hub, images):
    pictures = images[0].movedim(1, -1).numpy()
    assert networks.inception_features(pictures) is None
    assert networks.perceptual_diversity(pictures) is None
    said = networks.missing()
    assert len(said) == 2
    assert said[0].startswith("Inception's FID and KID need ")
    assert said[1] == "LPIPS needs alexnet-owt-7be5be79.pth in torch's folder of checkpoints."


def test_weights_are_used_only_if_their_content_is_what_their_name_says(hub):
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()[:8]
    (hub / f"net-{digest}.pth").write_bytes(content)
    (hub / networks.ALEXNET).write_bytes(content)
    assert networks.weights(f"net-{digest}.pth") == hub / f"net-{digest}.pth"
    assert networks.weights(networks.ALEXNET) is None


def test_lpips_of_equal_images_is_zero_and_of_others_the_mean_over_pairs(hub, monkeypatch):
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity as lpips
    from torchvision.models import alexnet

    with torch.random.fork_rng():
        torch.manual_seed(0)
        trained = alexnet(weights=None).state_dict()
    torch.save(trained, hub / networks.ALEXNET)
    monkeypatch.setattr(networks, "weights", lambda name: hub / name if (hub / name).is_file() else None)
    pictures = numpy_generator(0, "pictures").integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    assert networks.perceptual_diversity(np.repeat(pictures[:1], 3, axis=0)) == pytest.approx(0, abs=1e-7)
    x = torch.from_numpy(pictures).movedim(-1, 1) / 255
    expected = float(lpips(x[[0, 0, 0, 1, 1, 2]], x[[1, 2, 3, 2, 3, 3]], net_type="alex", normalize=True))
    assert networks.perceptual_diversity(pictures) == pytest.approx(expected, rel=1e-5)
    assert expected > 0
    assert [said.split()[0] for said in networks.missing()] == ["Inception's"]
