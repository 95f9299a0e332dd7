"""Cotton-Fabric: pictures named as Defect Spectrum's copy names them, and nothing that marks a defect."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectlib.data.sources.cotton import CottonFabric, term_of
from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.source import UNLABELLED, rows
from defectlib.errors import UserError
from defectlib.plots.paper import table1
from tests.data.sources.mini_cotton import write_cotton
from tests.data.sources.miniature import listed


@pytest.fixture(scope="module")
def cotton(tmp_path_factory):
    return CottonFabric(write_cotton(tmp_path_factory.mktemp("cotton")))


def test_every_picture_is_a_row_without_label_or_mask(cotton):
    cotton.check()
    assert list(cotton.table["image"]) == [str(cotton.root / name) for name in listed("cotton")]
    assert set(cotton.table["label"]) == {UNLABELLED}
    assert set(cotton.table["mask"]) == {""}
    assert (cotton.table["key"] == cotton.table["group"]).all()
    assert cotton.classes == {"cotton_fabric": ("defect",)}


def test_the_term_of_the_glossary_is_the_caption(cotton):
    captions = dict(zip(cotton.table["key"], cotton.table["caption"], strict=True))
    assert captions["00987_0047_Thick-Place"] == "cotton fabric, thick place"
    assert captions["00976_0026_Flat-Harness-Misdraw"] == "cotton fabric, flat harness misdraw"
    assert captions["00960_0001_Slubs"] == "cotton fabric, slubs"


def test_a_pair_cannot_be_had(cotton):
    (row,) = rows(cotton, key="00960_0001_Slubs")
    with pytest.raises(UserError, match=r"00960_0001_Slubs\.jpg: has no annotation; choose rows whose label is not"):
        cotton.sample(row)


@pytest.mark.parametrize("name", ["Thick-Place", "00987_0047_", "987_0047_Thick-Place", "00987_0047_thick-place"])
def test_a_name_without_a_term_is_a_fault(tmp_path, name):
    root = write_cotton(tmp_path)
    (root / f"{name}.jpg").write_bytes(b"")
    cotton = CottonFabric(root)
    assert cotton.faults == [f"{root / name}.jpg: is not named as 00987_0047_Thick-Place is; rename or remove it"]
    assert len(cotton.table) == len(listed("cotton"))


_WORD = st.builds(str.__add__, st.sampled_from(string.ascii_uppercase), st.text(string.ascii_lowercase, max_size=8))


@settings(deadline=None)
@given(st.integers(0, 99999), st.integers(0, 9999), st.lists(_WORD, min_size=1, max_size=4))
def test_terms_are_read_back_in_words(number, picture, words):
    assert term_of(f"{number:05}_{picture:04}_{'-'.join(words)}") == " ".join(words).lower()


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_name_gives_a_term_or_none(name):
    term = term_of(name)
    assert term is None or name.lower().replace("-", " ").endswith(f"_{term}")


def test_the_manifest_counts_as_the_paper_does():
    manifest = read_manifest("cotton")
    row = table1().loc[manifest.row]
    assert row["annotated images"] == 89
    assert row["defect types"] == sum(len(product.classes) for product in manifest.products.values()) == 1
    assert manifest.annotation == "none"
    assert not row["pixel labels"]
