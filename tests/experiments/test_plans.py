"""The plan of a notebook: what its study reads, known without torch, wrong names told before anything runs."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

from defectlib import settings
from defectlib.errors import UserError
from defectlib.experiments import example, plans
from defectlib.profiles import load_profile
from defectlib.publishing import parameters
from defectlib.runtime import REPOSITORY

KEYS = """
import json, sys
from defectlib.experiments import plans
print(json.dumps({name: [stage.key() for stage in plans.plan(name, {})] for name in plans.NOTEBOOKS}))
sys.exit("torch" in sys.modules)
"""


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))


def test_a_plan_loads_no_torch_and_is_the_same_in_every_process():
    example.example_folder(load_profile("smoke"))  # the one thing that has to be there, and is made when it is not
    run = subprocess.run([sys.executable, "-c", KEYS], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    here = {name: [stage.key() for stage in plans.plan(name, {})] for name in plans.NOTEBOOKS}
    assert json.loads(run.stdout) == here


@pytest.mark.parametrize("notebook", plans.NOTEBOOKS)
def test_a_plan_is_what_the_study_reads(notebook):
    study = plans.STUDIES[notebook]
    stages = plans.plan(notebook, {"profile": "smoke"})
    assert stages == (study(profile="smoke").stages() if study else ())
    assert len(set(stages)) == len(stages) > 0 or study is None


def test_every_notebook_has_its_entry_and_every_parameter_of_a_study_its_place_in_the_notebook():
    assert tuple(sorted(path.stem for path in (REPOSITORY / "notebooks").glob("*.ipynb"))) == plans.NOTEBOOKS
    for name, study in plans.STUDIES.items():
        taken = inspect.signature(study).parameters if study else {}
        named = {name for name, parameter in taken.items() if parameter.kind is not parameter.VAR_KEYWORD}
        assert named <= parameters.declared(REPOSITORY / "notebooks" / f"{name}.ipynb").keys()


def test_parameters_move_the_plan():
    chosen = plans.plan("04_switch_step", {"product": "washer", "switch_steps": [300, 0]})
    assert [(s.stage, s.synthetic.switch_step) for s in chosen] == [
        (stage, u) for stage in ("fidelity", "judgement") for u in (300, 0)
    ]
    assert {stage.synthetic.large.data.product for stage in chosen} == {"washer"}
    boost = plans.boost(products=["twill"], models=["M-B0"], ratios=[20, 100]).ratios.stages()
    assert [(s.segmenter.data.product, s.segmenter.model) for s in boost] == [("twill", "M-B0")] * 3
    assert [s.segmenter.synthetic is None for s in boost] == [True, False, False]
    assert [s.segmenter.pairs for s in boost] == [None, 1, None]
    whole = plans.plan("05_synthetic_boost", {"products": ["twill"], "models": ["M-B0"], "ratios": [20, 100]})
    assert whole[:3] == boost
    assert {stage.segmenter.data.product for stage in whole[3:]} == {"softgel"}
    assert plans.plan("07_your_own_defects", {"count": 3})[0].count == 3


@pytest.mark.parametrize(
    ("notebook", "values", "message"),
    [
        ("05_synthetic_bost", {}, "unknown notebook '05_synthetic_bost': did you mean '05_synthetic_boost'"),
        ("03_defect_gen", {"product": "sofgel"}, "unknown product 'sofgel': did you mean 'softgel'"),
        ("05_synthetic_boost", {"products": ["softgel", "wahser"]}, "unknown product 'wahser': did you mean 'washer'"),
        ("06_playground", {"profile": "cup"}, "unknown profile 'cup': did you mean 'cpu'"),
        ("05_synthetic_boost", {"models": ["DL", "segfromer"]}, "unknown model 'segfromer': did you mean 'M-B0'"),
        ("07_your_own_defects", {"model": "unet"}, "unknown model 'unet': did you mean 'UNet'"),
        ("04_switch_step", {"switch_steps": [0, 2000]}, "setting 'switch_steps': .* got 2000"),
        ("07_your_own_defects", {"data": "/no/such/place"}, "/no/such/place: no such folder"),
    ],
)
def test_a_wrong_name_or_value_is_told_in_one_line(notebook, values, message, tmp_path):
    with pytest.raises(UserError, match=message) as told:
        plans.plan(notebook, values)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.rglob("denoiser"))


def test_wrong_models_are_told_when_the_study_is_made():
    with pytest.raises(UserError, match="did you mean 'M-B0'"):
        plans.boost(models=["segfromer"])


# Names that are known without torch ---------------------------------------------------------------------------------


def test_the_names_of_models_are_those_of_the_networks():
    from defectlib.segmentation.models import MODELS

    assert list(settings.MODEL_NAMES.items()) == [(name, spec.title) for name, spec in MODELS.items()]


def test_the_receptive_fields_are_those_of_the_small_nets():
    from defectlib.defectgen.denoiser import LADDER

    assert sorted(LADDER) == list(settings.RECEPTIVE_FIELDS)


def test_settings_refuse_other_models_and_receptive_fields():
    with pytest.raises(UserError, match=r"unknown model 'xyzzy': known are UNet \(UNet-small\), PSP \(ResNet18-PSPN"):
        settings.SegmenterTraining(data=settings.EmbeddedData(product="softgel"), model="xyzzy", steps=1)
    with pytest.raises(UserError, match=r"no small net has a receptive field of 40 px: the nearest is 45, known are 9"):
        settings.SmallNet(receptive_field=40)
