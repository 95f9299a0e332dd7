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
    (["--version-of"], "No such option"),
    (["data"], "Missing command"),
    (["data", "lst"], "No such command 'lst'"),
    (["two\nlines"], "No such command"),
    (["\x1b[31m"], "No such command"),
    (["x" * 100_000], "No such command"),
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
for _entry in (
    *REQUIRED,
    "train-generator",
    "train-segmenter",
    "train-oracle",
    "refresh-notebooks",
    "pdf",
    "archive",
    "data list",
):
    typed(_entry, "No such option: --nonsense", "--nonsense")

# Training -----------------------------------------------------------------------------------------------------------

for _net in ("", "small", "46", "-45", "4.5", "nan", "inf", HUGE, "²", "٤٥", "large\n", "../45"):
    typed("train-generator", "nearest is|a receptive field in pixels such as 45", "--profile", "smoke", f"--net={_net}")
for _entry in ("train-generator", "train-oracle", "train-segmenter", "sample"):
    _rest = ["--out", "pairs"] if _entry == "sample" else []
    typed(_entry, "did you mean 'softgel'", "--product", "softgle", *_rest)
    typed(_entry, "unknown product ''", "--product", "", *_rest)
    typed(_entry, "unknown dataset", "--product", "../../etc", *_rest)
    typed(_entry, "unknown dataset", "--product", "/etc/passwd", *_rest)
    typed(_entry, "did you mean 'screw'", "--product", "mvtec_ad/skrew", *_rest)
    typed(_entry, "unknown product", "--product", "soft\ngel", *_rest)
    typed(_entry, "did you mean 'smoke'", "--profile", "smok", *_rest)
typed("train-oracle", "an oracle needs scenes", "--profile", "smoke", "--product", "mvtec_ad/screw")
typed("train-oracle", "unknown product", "--product", "p" * 100_000)
for _method in ("singan", "GAN", "", "Sin\nGAN"):
    typed("train-rival", "unknown (method|rival)|did you mean|known are", "--profile", "smoke", "--method", _method)
for _image in ("-1", "1.5", "one", "nan", HUGE):
    typed("train-rival", "Invalid value for '--image'", "--method", "SinGAN", "--image", _image)
typed("train-rival", "'image' is 5000", "--profile", "smoke", "--method", "SinGAN", "--image", "5000")
for _model in ("unet", "", "ResNet-5000", "U\nNet"):
    typed("train-segmenter", "unknown model", "--profile", "smoke", "--model", _model)
for _seed in ("one", "1.5", "nan", "inf", "1e3", "-1", HUGE):
    typed("train-segmenter", "Invalid value for '--seed'", "--seed", _seed)

# Sampling -----------------------------------------------------------------------------------------------------------

RANGES = {
    "--count": ("0", "-1", "1.5", "many", HUGE, "nan"),
    "--switch-step": ("-1", "1001", "half", HUGE, "nan"),
    "--calls": ("1", "1001", "-5", HUGE, "inf"),
    "--receptive-field": ("0", "-45", "4.5", "large", HUGE),
    "--seed": ("one", "1.5", "-1", HUGE),
}
for _option, _values in RANGES.items():
    for _value in _values:
        typed("sample", f"Invalid value for '{_option}'", f"{_option}={_value}", "--out", "pairs")
typed("sample", "nearest is 45", "--profile", "smoke", "--receptive-field", "46", "--out", "pairs")
for _sampler in ("dpm", "", "DDIM2", "dd\nim"):
    typed("sample", "unknown sampler", "--profile", "smoke", "--sampler", _sampler, "--out", "pairs")
typed("sample", "name one, or add --release", "--product", "softgel", "--product", "washer", "--out", "pairs")

# One's own data -----------------------------------------------------------------------------------------------------


def augmented(says: str, *words: str) -> None:
    """Words after `augment` and a folder that is whole."""

    def make(place: Path) -> list[str]:
        own_folder(place / "own")
        return ["augment", "own", "--profile", "smoke", "--out", "pairs", *words]

    bad("augment", " ".join(words)[:40].encode("unicode_escape").decode(), says, make)


for _option, _values in {
    "--count": ("0", "-1", "1.5", HUGE, "nan"),
    "--shots": ("0", "-1", "few", HUGE),
    "--seeds": ("0", "-1", "all", HUGE, "1000000000"),
    "--size": ("31", "-64", "64.5", HUGE, "1000000000"),
}.items():
    for _value in _values:
        augmented(f"Invalid value for '{_option}'", f"{_option}={_value}")
augmented("class 'scratch' has", "--shots=500")
augmented("multiple of", "--size=65")
augmented("unknown model", "--model", "unet")
augmented("unknown model", "--model", "")
augmented("unknown profile", "--profile", "huge")
typed("augment", "no such folder", "nowhere", "--out", "pairs")
typed("augment", "no such folder", "", "--profile", "smoke", "--out", "pairs", several=True)
typed("augment", "too long", "n" * 300, "--out", "pairs")

# Published data -----------------------------------------------------------------------------------------------------

for _entry, _rest in {
    "data stats": [], "data convert": ["--product", "screw", "--out", "out"], "data download": [],
}.items():  # fmt: skip
    for _name in ("mvtec", "", "../mvtec_ad", "mvtec ad", "m\nvtec", "imagenet", "n" * 100_000):
        typed(_entry, "unknown dataset", _name, *_rest)
for _name in ("stats", "convert"):
    typed(
        f"data {_name}",
        "no such folder",
        "mvtec_ad",
        "--root",
        "nowhere",
        *(["--product", "x", "--out", "o"] if _name == "convert" else []),
    )
typed("data verify", "no such folder", "nowhere")
typed("data verify", "no such folder", "", several=True)
typed("data verify", "no such folder", "mvtec-ad")
typed("data verify", "unknown dataset", "mvtec", "--root", ".")
typed("data verify", "no such folder", "two\nlines")
typed("data verify", "no such folder", "/dev/null")
typed("data verify", "too long", "n" * 300)
typed("data verify", "no image|no such folder", ".", several=True)


def converted(says: str, *words: str) -> None:
    """Words after `data convert` of a dataset that is whole."""

    def make(place: Path) -> list[str]:
        COPY["mvtec_ad"](place / "data" / "mvtec_ad")
        return ["data", "convert", "mvtec_ad", *words]

    bad("data convert", " ".join(words)[:60].encode("unicode_escape").decode(), says, make)


converted("Missing option '--product'", "--out", "out")
converted("Missing option '--out'", "--product", "screw")
converted("did you mean 'screw'", "--product", "scruw", "--out", "out")
converted("unknown product", "--product", "", "--out", "out")
converted("unknown product", "--product", "../screw", "--out", "out")
converted("unknown product", "--product", "bottle", "--out", "out")
for _size in ("31", "0", "-1", "5000", "big", "nan", HUGE):
    converted("Invalid value for '--size'", "--product", "screw", "--out", "out", f"--size={_size}")
for _shots in ("0", "-1", "few", HUGE):
    converted("Invalid value for '--shots'", "--product", "screw", "--out", "out", f"--shots={_shots}")
