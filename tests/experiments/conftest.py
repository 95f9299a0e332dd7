"""Studies for these tests run under the smoke profile, in a store of their own."""

from __future__ import annotations

import pytest

from defectlib import engine
from defectlib.profiles import Profile, load_profile
from defectlib.store import Store


@pytest.fixture(scope="session")
def smoke() -> Profile:
    return load_profile("smoke")


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Store:
    """What one test trained, the next one finds."""
    return Store(tmp_path_factory.mktemp("studies") / "store", shipped=None)


@pytest.fixture
def nothing_runs(monkeypatch):
    """Lets a study find artifacts but make none."""

    def refuse(settings, inputs, out):
        raise AssertionError(f"{settings.stage} {settings.key()} is made again")

    monkeypatch.setattr(engine, "RUNNERS", dict.fromkeys(engine.RUNNERS, refuse))
