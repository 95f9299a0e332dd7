import socket

import huggingface_hub.constants
import pytest

from defectlib.data import download as download_module
from defectlib.data.download import REPOSITORY, REVISION, download
from defectlib.data.sources.defect_spectrum import DefectSpectrum
from defectlib.data.sources.manifest import names, read_manifest
from defectlib.errors import UserError, UserErrors
from tests.data.hub_server import HubServer, git_name
from tests.data.sources.mini_defect_spectrum import write_defect_spectrum

PNG = "DS-DAGM/image/109.png"
TEXT = "DS-DAGM/DS-DAGM.md"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = write_defect_spectrum(tmp_path_factory.mktemp("original") / "ds")
    for path in root.glob("**/*.md"):
        path.write_text(f"About {path.name}")
    return root


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Neither a proxy nor what this machine once fetched has a part in these tests."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hub(original):
    with HubServer(original).running() as server:
        yield server


@pytest.fixture
def dagm(hub):
    """The hub with one subset of four files, for speed."""
    hub.files = {path: content for path, content in hub.files.items() if path.startswith(("DS-DAGM", "README"))}
    return hub


def fetch(hub, out, *subsets):
    return download("defect-spectrum", out, subsets, endpoint=hub.address)


def there(out):
    """Content of every file by path, less what the library keeps for itself."""
    files = (path for path in out.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def page(hub):
    return f"{hub.address}/datasets/{REPOSITORY}"


def refused(hub, out, *subsets):
    with pytest.raises(UserError) as error:
        fetch(hub, out, *subsets)
    assert "\n" not in str(error.value)
    return str(error.value)


# What arrives ---------------------------------------------------------------------------------------------------------


def test_the_revision_is_fixed_to_the_whole_commit():
    assert REVISION.startswith("a00e814")
    assert len(REVISION) == 40
    assert read_manifest("defect_spectrum").page.endswith(f"/datasets/{REPOSITORY}")


def test_the_whole_dataset_arrives_and_can_be_read(hub, tmp_path, original):
    out = fetch(hub, tmp_path / "new" / "ds")
    assert there(out) == there(original)
    source = DefectSpectrum(out)
    source.check()
    assert len(source.table) == len(DefectSpectrum(original).table)
    assert set(hub.sent.values()) == {1}


def test_a_subset_brings_its_own_files_and_the_readme(hub, tmp_path):
    out = fetch(hub, tmp_path / "ds", "DS-DAGM", "synthetic_Cotton_Fabric")
    folders = {path.partition("/")[0] for path in there(out)}
    assert folders == {"DS-DAGM", "synthetic_Cotton_Fabric", "README.md"}
    DefectSpectrum(out).check()


def test_it_says_how_much_and_how_far(dagm, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    fetch(dagm, tmp_path / "ds", "DS-DAGM")
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == f"{page(dagm)}: 5 files, 0.0 MB, to {tmp_path / 'ds'}"
    assert last == f"{tmp_path / 'ds'}: 5 files, 0.0 MB, each as the page lists it"


# Going on -------------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_fetched_again(dagm, tmp_path):
    fetch(dagm, tmp_path / "ds", "DS-DAGM")
    dagm.sent.clear()
    fetch(dagm, tmp_path / "ds", "DS-DAGM")
    assert not dagm.sent


def test_a_transfer_that_breaks_off_is_taken_up_again(dagm, tmp_path):
    dagm.broken[PNG] = 1
    assert there(fetch(dagm, tmp_path / "ds", "DS-DAGM")) == dagm.files
    assert dagm.sent[PNG] == 2


def test_a_run_cut_off_goes_on_with_what_is_missing(dagm, tmp_path):
    dagm.failing[PNG] = 500
    message = refused(dagm, tmp_path / "ds", "DS-DAGM")
    assert message == (
        f"{page(dagm)}: answers with HTTP status 500; wait some minutes, then run the same command again: it goes on "
        "where it was"
    )
    whole = there(tmp_path / "ds")
    assert PNG not in whole
    assert "README.md" in whole
    dagm.failing.clear()
    dagm.sent.clear()
    assert there(fetch(dagm, tmp_path / "ds", "DS-DAGM")) == dagm.files
    assert set(dagm.sent) == dagm.files.keys() - whole.keys()


@pytest.mark.parametrize("path", [PNG, TEXT])
@pytest.mark.parametrize("spoil", [lambda content: content[:-1], lambda content: b"!" + content[1:]])
def test_a_file_that_was_spoilt_here_is_fetched_anew(dagm, tmp_path, path, spoil):
    out = fetch(dagm, tmp_path / "ds", "DS-DAGM")
    (out / path).write_bytes(spoil(dagm.files[path]))
    dagm.sent.clear()
    assert there(fetch(dagm, out, "DS-DAGM")) == dagm.files
    assert set(dagm.sent) == {path}


# What is not as listed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "said", "fault"),
    [
        (PNG, {"size": 9}, "has {size:,} bytes where 9 are listed"),
        (PNG, {"oid": "0" * 64}, "has another content than the checksum that is listed"),
        (TEXT, {"oid": git_name(b"another")}, "has another content than the checksum that is listed"),
    ],
)
def test_what_differs_from_the_listing_is_named_and_removed(dagm, tmp_path, path, said, fault):
    dagm.listed[path] = said
    with pytest.raises(UserErrors) as error:
        fetch(dagm, tmp_path / "ds", "DS-DAGM")
    assert error.value.summary.startswith(f"{page(dagm)}: sent 1 files that are not what it lists; they were removed, ")
    assert error.value.faults == (f"{tmp_path / 'ds' / path}: {fault.format(size=len(dagm.files[path]))}",)
    assert there(tmp_path / "ds").keys() == dagm.files.keys() - {path}


def test_a_listing_without_an_end_is_refused(dagm, tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "_MOST_FILES", 100)
    dagm.circular = True
    message = refused(dagm, tmp_path / "ds", "DS-DAGM")
    assert message == f"{page(dagm)}: lists more than 100 files; take the dataset from elsewhere"
    assert not list(tmp_path.rglob("*"))


def test_files_whose_names_differ_in_case_alone_are_both_there(dagm, tmp_path):
    dagm.files |= {"DS-DAGM/image/a.txt": b"small", "DS-DAGM/image/A.txt": b"LARGE"}
    assert there(fetch(dagm, tmp_path / "ds", "DS-DAGM")) == dagm.files


# No page, no room, no right -------------------------------------------------------------------------------------------


def test_no_network_is_one_line(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UserError) as error:
        download("defect_spectrum", tmp_path / "ds", endpoint=address)
    assert str(error.value).startswith(f"{address}/datasets/{REPOSITORY}: cannot be reached, or broke off (")
    assert str(error.value).endswith("look at the network, then run the same command again: it goes on where it was")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "ds").exists()


def test_a_file_in_place_of_the_folder_is_told(dagm, tmp_path):
    (tmp_path / "ds").write_text("mine")
    assert (
        refused(dagm, tmp_path / "ds", "DS-DAGM")
        == f"{tmp_path / 'ds'}: cannot be written (File exists); name a folder you own"
    )
    assert (tmp_path / "ds").read_text() == "mine"


# Other names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in names() if name != "defect_spectrum"])
def test_every_other_dataset_is_explained_and_not_fetched(tmp_path, name):
    manifest = read_manifest(name)
    with pytest.raises(UserError) as error:
        download(name, tmp_path / "out")
    assert str(error.value).startswith(f"{manifest.title} is not fetched for you ({manifest.licence}): {manifest.get}")
    assert manifest.page in str(error.value)
    assert not (tmp_path / "out").exists()
