"""Downloads: what is asked for, and a hub that cannot be reached or is none."""

from __future__ import annotations

from tests.bad_input.case import bad

DOWNLOAD = ["data", "download", "defect_spectrum"]


def download(name: str, says: str, *words: str, **environment: str) -> None:
    """Words after a download of the one dataset that is fetched."""
    bad("data download", name, says, lambda place: [*DOWNLOAD, *words], environment=environment)


download("an unknown subset", "did you mean 'DS-DAGM'", "--subset", "DS-DAGN", "--out", "out")
download("a subset that is a path", "unknown subset", "--subset", "../..", "--out", "out")
download("an empty subset", "unknown subset", "--subset", "", "--out", "out")
download("a hub that is not there", "cannot be reached", "--out", "out", HF_ENDPOINT="http://127.0.0.1:9")
download("a hub without a port", "cannot be reached", "--out", "out", HF_ENDPOINT="http://127.0.0.1:")
for _name in ("mvtec_ad", "dagm", "kolektor", "vision"):
    bad(
        "data download",
        f"{_name}, which has a licence",
        "is not fetched for you",
        lambda place, name=_name: ["data", "download", name, "--out", str(place / "out")],
    )
