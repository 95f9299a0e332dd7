"""The oracles that come with the package: small, found by the cpu profile, and right often enough to judge."""

import numpy as np
import pytest

from defectlib import metrics
from defectlib.data import procedural
from defectlib.profiles import load_profile
from defectlib.segmentation import oracle
from defectlib.segmentation.evaluation import predict
from defectlib.store import SHIPPED, Store, read_provenance, settings_of

ORACLES = sorted((SHIPPED / "oracle").iterdir())


@pytest.mark.parametrize("product", procedural.PRODUCTS)
def test_the_cpu_profile_finds_the_judge_of_every_embedded_product(product, tmp_path):
    profile = load_profile("cpu")
    settings = profile.oracle_training(profile.data(product))
    assert Store(tmp_path).find(settings) in ORACLES
    assert Store(tmp_path).find(settings.model_copy(update={"retrain": True})) is None


@pytest.mark.parametrize("artifact", ORACLES, ids=lambda path: path.name)
def test_it_is_small_and_as_good_as_it_says(artifact):
    assert sum(file.stat().st_size for file in artifact.rglob("*")) < 2**20
    found = oracle.read_score(artifact)
    assert found["miou"] >= oracle.LEAST_MIOU
    settings = settings_of(read_provenance(artifact))
    few = settings.model_copy(update={"unseen": 100})
    scenes = oracle.paint(few, unseen=True)
    preds = predict(oracle.load(artifact), [scene.image for scene in scenes])
    counts = metrics.image_counts([scene.mask for scene in scenes], preds, len(found["classes"]) + 1)
    assert metrics.miou(counts) == pytest.approx(found["miou"], abs=0.03)
    assert np.mean(np.stack(preds) == np.stack([scene.mask for scene in scenes])) > 0.98
