"""Every command and its options: slips, numbers out of range, names that nobody knows."""

from __future__ import annotations

from pathlib import Path

from tests.bad_input.case import bad
from tests.bad_input.published import COPY
from tests.bad_input.things import own_folder

HUGE = str(10**30)


def typed(entry: str, says: str, *words: str, several: bool = False) -> None:
    """Words after a command."""
    shown = " ".join(word if len(word) <= 24 else f"{word[:12]}..." for word in words) or "nothing"
    bad(entry, shown.encode("unicode_escape").decode(), says, lambda place: [*entry.split(), *words], several=several)


# Slips --------------------------------------------------------------------------------------------------------------

for _words, _says in (
    (["bild"], "No such command 'bild'"),
    (["data"], "Missing command"),
    (["\x1b[31m"], "No such command"),
):
    bad("command line", repr(" ".join(_words))[:40], _says, lambda place, words=_words: words)

REQUIRED = {
    "build": "--settings", "plan": "NOTEBOOK", "record": "NOTEBOOK", "run-notebook": "NOTEBOOK", "publish": "NOTEBOOK",
    "train-rival": "--method", "export-onnx": "ARTIFACT", "sample": "--out", "augment": "DATA", "data stats": "NAME",
    "data verify": "DIR|NAME", "data convert": "NAME", "data download": "NAME",
}  # fmt: skip
for _entry, _missing in REQUIRED.items():
    typed(
        _entry, f"Missing (option|argument) '{_missing.replace('|', '.')}(\\.\\.\\.)?'; see `defectlib {_entry} --help`"
    )
typed("data list", "No such option: --nonsense", "--nonsense")

# Training, sampling -------------------------------------------------------------------------------------------------

for _net in ("small", "46", HUGE):
    typed("train-generator", "nearest is|a receptive field in pixels such as 45", "--profile", "smoke", f"--net={_net}")
for _entry in ("train-generator", "train-oracle", "train-segmenter", "sample"):
    _rest = ["--out", "pairs"] if _entry == "sample" else []
    typed(_entry, "did you mean 'softgel'", "--product", "softgle", *_rest)
    typed(_entry, "unknown dataset", "--product", "../../etc", *_rest)
    typed(_entry, "did you mean 'screw'", "--product", "mvtec_ad/skrew", *_rest)
    typed(_entry, "did you mean 'smoke'", "--profile", "smok", *_rest)
typed("train-oracle", "an oracle needs scenes", "--profile", "smoke", "--product", "mvtec_ad/screw")
typed("train-rival", "did you mean", "--profile", "smoke", "--method", "singan")
typed("train-rival", "Invalid value for '--image'", "--method", "SinGAN", "--image=-1")
typed("train-rival", "'image' is 5000", "--profile", "smoke", "--method", "SinGAN", "--image", "5000")
typed("train-segmenter", "unknown model", "--profile", "smoke", "--model", "unet")
for _seed in ("1e3", "-1", HUGE):
    typed("train-segmenter", "Invalid value for '--seed'", "--seed", _seed)
for _option in ("--count=0", "--switch-step=1001", "--calls=1", "--receptive-field=4.5", f"--seed={HUGE}"):
    typed("sample", f"Invalid value for '{_option.split('=')[0]}'", _option, "--out", "pairs")
typed("sample", "nearest is 45", "--profile", "smoke", "--receptive-field", "46", "--out", "pairs")
typed("sample", "unknown sampler", "--profile", "smoke", "--sampler", "dpm", "--out", "pairs")
typed("sample", "name one, or add --release", "--product", "softgel", "--product", "washer", "--out", "pairs")

# One's own data -----------------------------------------------------------------------------------------------------


def augmented(says: str, *words: str) -> None:
    """Words after `augment` and a folder that is whole."""

    def make(place: Path) -> list[str]:
        own_folder(place / "own")
        return ["augment", "own", "--profile", "smoke", "--out", "pairs", *words]

    bad("augment", " ".join(words)[:40], says, make)


for _option in ("--count=0", "--shots=few", "--seeds=1000000000", "--size=31", f"--size={HUGE}"):
    augmented(f"Invalid value for '{_option.split('=')[0]}'", _option)
augmented("class 'scratch' has", "--shots=500")
augmented("multiple of", "--size=65")
augmented("unknown model", "--model", "unet")
augmented("unknown profile", "--profile", "huge")
typed("augment", "no such folder", "nowhere", "--out", "pairs")

# Published data -----------------------------------------------------------------------------------------------------

for _entry, _rest in {
    "data stats": [], "data convert": ["--product", "screw", "--out", "out"], "data download": [],
}.items():  # fmt: skip
    typed(_entry, "unknown dataset", "mvtec", *_rest)
typed("data stats", "no such folder", "mvtec_ad", "--root", "nowhere")
typed("data convert", "no such folder", "mvtec_ad", "--root", "nowhere", "--product", "x", "--out", "o")
typed("data verify", "no such folder", "nowhere")
typed("data verify", "no such folder", "/dev/null")
typed("data verify", "unknown dataset", "mvtec", "--root", ".")
typed("data verify", "too long", "n" * 300)
typed("data verify", "no image|no such folder", ".", several=True)


def converted(says: str, *words: str) -> None:
    """Words after `data convert` of a dataset that is whole."""

    def make(place: Path) -> list[str]:
        COPY["mvtec_ad"](place / "data" / "mvtec_ad")
        return ["data", "convert", "mvtec_ad", *words]

    bad("data convert", " ".join(words)[:60], says, make)


converted("Missing option '--product'", "--out", "out")
converted("Missing option '--out'", "--product", "screw")
converted("did you mean 'screw'", "--product", "scruw", "--out", "out")
converted("unknown product", "--product", "../screw", "--out", "out")
converted("Invalid value for '--size'", "--product", "screw", "--out", "out", "--size=31")
converted("Invalid value for '--shots'", "--product", "screw", "--out", "out", "--shots=0")
