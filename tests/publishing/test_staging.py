from __future__ import annotations

import pytest

from defectlib.data.sources.manifest import published_data
from defectlib.errors import UserError
from defectlib.experiments import plans
from defectlib.publishing import PublishingError, notebooks, repository, staging
from defectlib.publishing.runner import run_notebook
from defectlib.runtime import REPOSITORY
from defectlib.settings import ClickerTraining, DenoiserTraining, EmbeddedData, SmallNet, Synthesis

RECORD = {
    "notebook": "05_page.ipynb",
    "parameters": {"profile": "cpu", "switch_steps": [0, 300]},
    "commit": "0123abc",
    "machine": "some processor, 2 cores",
    "finished": "2024-09-30T12:00:00Z",
    "wall_seconds": 61.4,
}


def synthesis(device: str = "cpu") -> Synthesis:
    data = EmbeddedData(product="softgel", size=64)
    nets = [DenoiserTraining(data=data, net=SmallNet(), steps=1, seed=seed, device=device) for seed in (3, 4)]
    return Synthesis(large=nets[0], small=nets[1], count=1, device=device)


def test_the_box_tells_profile_data_device_and_seeds_of_all_that_was_read():
    text = staging.provenance_box(RECORD, [synthesis()]).source
    assert "\n* - Notebook\n  - `05_page.ipynb`\n" in text  # no such notebook is committed, so there is no link
    assert "`cpu`" in text
    assert "`switch_steps = [0, 300]`" in text
    assert "procedural softgel, 64 px, training images: 5 of each defect type, seed 0" in text
    assert "cpu (some processor, 2 cores)" in text
    assert "\n  - 0, 3, 4\n" in text
    assert "`0123abc`" in text
    assert "2024-09-30T12:00:00Z" in text
    assert "61 s" in text


def test_the_box_says_where_the_notebook_can_be_run(monkeypatch):
    monkeypatch.setattr(repository, "find", lambda: None)
    alone = staging.provenance_box(RECORD, []).source
    assert "links to Colab and Binder need a repository on GitHub as `origin`" in alone
    known = repository.Repository("someone/defect-book", "0123abc")
    monkeypatch.setattr(repository, "find", lambda: known)
    text = staging.provenance_box(RECORD, []).source
    assert f"[Colab]({known.colab('notebooks/05_page.ipynb')})" in text
    assert f"[Binder]({known.binder('notebooks/05_page.ipynb')})" in text
    assert "`!git clone https://github.com/someone/defect-book companion`" in text


def test_the_box_names_a_published_dataset():
    data = published_data("mvtec_ad", "screw", size=256, shots=5)
    training = DenoiserTraining(data=data, net=SmallNet(), steps=1)
    text = staging.provenance_box(RECORD, [training]).source
    assert "mvtec_ad, screw, 256 px, training images: 5 of each defect type where its publishers divide nothing" in text


def test_the_box_names_all_that_a_clicker_learns_from():
    data = tuple(EmbeddedData(product=product, size=64) for product in ("softgel", "twill"))
    clicker = ClickerTraining(products=("washer", "softgel"), sizes=(64, 128), scenes=40, data=data, steps=1)
    text = staging.provenance_box(RECORD, [clicker]).source
    assert (
        "\n* - Data\n  - 40 procedural scenes of washer, softgel, 64, 128 px; "
        "procedural softgel, 64 px, training images: 5 of each defect type, seed 0; "
        "procedural twill, 64 px, training images: 5 of each defect type, seed 0\n"
    ) in text


@pytest.mark.parametrize("profile", ["smoke", "cpu", "gpu"])
@pytest.mark.parametrize("notebook", plans.NOTEBOOKS)
def test_every_chapter_has_a_box_under_every_profile(notebook, profile):
    parameters = {"profile": profile}
    record = RECORD | {"notebook": f"{notebook}.ipynb", "parameters": parameters}
    assert f"`{profile}`" in staging.provenance_box(record, plans.plan(notebook, parameters)).source


def test_the_box_names_the_gpu():
    assert "\n  - cuda (some" in staging.provenance_box(RECORD, [synthesis("cuda")]).source


def test_the_box_of_a_notebook_that_reads_nothing_says_so():
    text = staging.provenance_box(RECORD | {"parameters": {}}, []).source
    assert "none but the paper's" in text
    assert "none drawn" in text


@pytest.mark.parametrize(
    ("source", "message"),
    [("1 / 0", r"code cell 1 of 1 failed \(ZeroDivisionError: division by zero\); run it again"), ("1", "has not run")],
)
def test_a_notebook_that_did_not_run_is_refused_and_the_tree_stays(written, tmp_path, source, message):
    path = written(source)
    if source == "1 / 0":
        with pytest.raises(PublishingError):
            run_notebook(path, tmp_path / "run.ipynb", {})
        path = tmp_path / "run.failed.ipynb"
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "old").touch()
    with pytest.raises(UserError, match=message):
        staging.stage([path], tmp_path / "stage", lambda name, parameters: ())
    assert (tmp_path / "stage" / "old").exists()


def test_stage_mirrors_the_book_and_adds_the_box_to_its_own_copy_alone(written, tmp_path):
    executed = tmp_path / "run" / "05_page.ipynb"
    run_notebook(written("1"), executed, {})
    before = executed.read_bytes()
    asked = []

    def plan(name, parameters):
        asked.append((name, parameters))
        return [synthesis()]

    staging.stage([executed], tmp_path / "stage", plan)
    assert asked == [("05_page", {})]
    assert executed.read_bytes() == before
    assert "procedural softgel" in notebooks.read(tmp_path / "stage" / "notebooks" / "05_page.ipynb").cells[-1].source
    staged = {path.relative_to(tmp_path / "stage" / "book") for path in (tmp_path / "stage" / "book").rglob("*")}
    assert staged == {path.relative_to(REPOSITORY / "book") for path in (REPOSITORY / "book").rglob("*")}


def test_a_warning_fails_the_build_and_keeps_the_book_that_was_there(tmp_path):
    staging.stage([], tmp_path / "stage", lambda name, parameters: ())
    with (tmp_path / "stage" / "book" / "intro.md").open("a") as file:
        file.write("\n![a picture](missing.png)\n")
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").write_text("the book before")
    with pytest.raises(PublishingError, match=r"(?s)the book was not built:.*missing\.png.*all of its output is in"):
        staging.build_html(tmp_path / "stage", REPOSITORY / "_config.yml", tmp_path / "html", tmp_path / "log")
    assert (tmp_path / "html" / "index.html").read_text() == "the book before"
