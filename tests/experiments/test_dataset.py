"""What the workflow makes of a dataset: the paper's tables, planned without the data and the same with it."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image

from defectlib.data.loading import load_train
from defectlib.data.published import labelled_rows, publishers_split
from defectlib.data.sources.manifest import names, read_manifest
from defectlib.data.sources.source import open_source
from defectlib.experiments import dataset, plans
from defectlib.experiments.baselines import table_3_row
from defectlib.experiments.boost import Ratios, real_images
from defectlib.plots import paper
from defectlib.profiles import load_profile
from tests.data.miniatures import message
from tests.data.sources import miniature
from tests.data.sources.mini_defect_spectrum import write_defect_spectrum
from tests.data.sources.miniature import photograph
from tests.data.sources.test_all import write  # noqa: F401  a fixture


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No dataset is here."""
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path / "nowhere"))


# Which tables -------------------------------------------------------------------------------------------------------


def test_products_are_those_of_table_3_and_the_loader_knows_them():
    named = [(table, name) for table, products in dataset.PRODUCTS.items() for name in products]
    rows = [table_3_row(dataset.known(name)) for _, name in named]
    assert rows == list(paper.table3().index)
    assert [table for table, _ in named] == [table for table, _ in rows]
    assert {name for _, name in named} <= set(read_manifest("defect_spectrum").products)


def test_the_best_baselines_are_those_of_table_3():
    best = paper.table3().groupby("dataset").mean().idxmax(axis=1)
    assert set(paper.table4().columns) == {"MVTec", *dataset.BEST}
    assert {name: best[name] for name in dataset.BEST} == dataset.BEST
    assert best["MVTec"] in load_profile("gpu").boosted
    assert set(paper.figure8().index.unique("model")) == set(load_profile("gpu").boosted)


def test_the_paper_s_own_tables_are_planned_with_no_data(nowhere):
    runs = {run.name: run for run in dataset.runs("defect-spectrum", "gpu")}
    assert list(runs) == ["table-3", "figure-8-table-4-mvtec", "table-4-vision", "table-4-cotton-fabric"]
    planned = {name: plans.plan(run.notebook, run.parameters) for name, run in runs.items()}
    assert len(planned["table-3"]) == 22 * 8 * 3
    of_mvtec = [stage for stage in planned["figure-8-table-4-mvtec"] if stage.native]  # controls are on embedded images
    assert len(of_mvtec) == 15 * 2 * 6 * 3


def test_of_another_dataset_every_product_is_asked_for(nowhere):
    table, figure = dataset.runs("mvtec_ad", "cpu")
    assert table.parameters["products"] == [f"mvtec_ad/{name}" for name in read_manifest("mvtec_ad").products]
    assert (table.notebook, figure.notebook) == ("14_baselines", "05_synthetic_boost")
    assert table.parameters == figure.parameters


def test_of_the_embedded_one_the_products_of_the_profile():
    for run in dataset.runs("embedded", "smoke"):
        assert run.parameters == {"profile": "smoke", "products": list(load_profile("smoke").products)}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (("defect-spektrum", "gpu"), "unknown dataset 'defect-spektrum': did you mean 'defect_spectrum'?"),
        (("mvtec_ad", "gpuu"), "unknown profile 'gpuu': did you mean 'gpu'?"),
        (("cotton", "gpu"), "dataset 'cotton' has no annotated defect, so nothing can be trained on it"),
    ],
)
def test_wrong_names_are_told_in_one_line(named, said):
    told = message(dataset.runs, *named)
    assert said in told
    assert "\n" not in told


# How many images ----------------------------------------------------------------------------------------------------


def test_the_manifest_knows_which_datasets_their_publishers_divide(write):  # noqa: F811
    for name in names():
        if name == "cotton":  # which has no annotation
            continue
        source = open_source(name, write(name))
        splits = [publishers_split(labelled_rows(source, product)) for product in _with_defects(source)]
        assert any(splits) == read_manifest(name).divided, name


def _with_defects(source) -> list[str]:
    masked = source.table[(source.table["mask"] != "") & (source.table["split"] != "synthetic")]
    return list(masked["product"].unique())


def pairs(profile, product: str) -> list[int | None]:
    study = Ratios(profile.model_copy(update={"products": (product,)}))
    return [stage.segmenter.synthetic and stage.segmenter.synthetic.count for stage in study.stages()]


def test_as_many_pairs_are_planned_with_the_data_here_as_without(monkeypatch, tmp_path):
    """Both images of the small copy show both types of cotton: one of them trains, where the protocol asks for two."""
    product, one_shot = dataset.known("cotton_fabric"), load_profile("smoke", shots=1)
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path / "nowhere"))
    without = pairs(one_shot, product)
    cotton = write_defect_spectrum(tmp_path / "defect_spectrum") / "DS-Cotton-Fabric"
    for path in list(cotton.glob("*/*.png")):
        shutil.copy(path, path.with_name(path.name.replace("00987", "00988")))
    (image,) = cotton.glob("image/00988*")
    Image.fromarray(photograph("another", miniature.SIZE)).save(image)
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path))
    data = one_shot.data(product)
    assert (len(load_train(data)), real_images(data)) == (1, 2)
    assert pairs(one_shot, product) == without


def test_what_publishers_divide_has_to_be_counted(nowhere):
    load_train.cache_clear()
    assert "no such folder" in message(pairs, load_profile("smoke"), "kolektor/surface")
