"""The command line: thin commands, each importing what it needs when called, so that ``--help`` is quick.

Exit status: 0 done, 1 something failed that is not the user's to mend, 2 something the user can mend, 130 interrupted.
"""

from __future__ import annotations

import errno
import re
import sys
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from defectlib import __version__, cli_book, cli_click, cli_data
from defectlib.errors import UserError, one_line, unknown
from defectlib.publishing import PublishingError

if TYPE_CHECKING:
    from defectlib.profiles import Profile
    from defectlib.settings import Data, Stage

app = typer.Typer(
    help="A companion to 'Defect Spectrum' (ECCV 2024): data, Defect-Gen, segmentation baselines, notebooks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_data.app, name="data")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"defectlib {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line. What a user can get wrong ends in one line and status 2, never in a traceback."""
    sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text
    warnings.filterwarnings("ignore", module="PIL")  # what is dangerous in an image is refused, in a line of our own
    try:
        status = app(_with_joined_pairs(sys.argv[1:]), prog_name="defectlib", standalone_mode=False)
    except UserError as error:
        _leave("\n".join(error.lines), 2)
    except PublishingError as error:
        _leave(str(error), 1)
    except _UsageError as error:
        where = error.ctx.command_path if error.ctx else "defectlib"
        if not sys.argv[1:]:  # the message is the help
            _leave(error.format_message(), 2)
        _leave(one_line(f"{error.format_message().rstrip('.')}; see `{where} --help`"), 2)
    except Exception as error:
        if _is_full_disk(error):
            _leave(f"the disk is full ({error}); free some space and run the same command again to go on", 2)
        if not _is_of_a_place(error):
            raise
        _leave(one_line(f"{error.filename}: {error.strerror}; name another place"), 2)
    if status == 130:
        _leave("interrupted; run the same command again to go on", 130)
    sys.exit(status or 0)


#: What typer raises for a slip in the command line; the versions of typer keep it in different places.
_UsageError = typer.BadParameter.__base__
#: What a place on disk can have against it that is wrong with no code, whichever command meets it.
_OF_A_PLACE = {
    errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR, errno.EISDIR
}  # fmt: skip


def _leave(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(status)


def _is_full_disk(error: Exception) -> bool:
    # torch and safetensors report it as errors of their own, with the system's words in them; numpy only counts.
    words = str(error)
    short = isinstance(error, OSError) and re.fullmatch(r"\d+ requested and \d+ written", words)
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in words or bool(short)


def _is_of_a_place(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _OF_A_PLACE and error.filename is not None


for _name, _command in (cli_book.COMMANDS | cli_click.COMMANDS).items():
    app.command(_name)(_command)


def _with_joined_pairs(arguments: list[str]) -> list[str]:
    """`-p NAME VALUE`, as papermill spells it, turned into the `-p NAME=VALUE` that typer can read."""
    if not arguments or arguments[0] not in ("run-notebook", "plan", "record"):
        return arguments
    words, joined = iter(arguments), []
    for word in words:
        joined.append(word)
        if word in ("-p", "--parameter"):
            name = next(words, "")
            joined.append(name if "=" in name else "=".join([name, *islice(words, 1)]))
    return joined


# Defect-Gen and baselines -------------------------------------------------------------------------------------------

ProfileName = Annotated[
    str, typer.Option("--profile", help="How much it may cost: smoke, cpu, gpu, or a YAML file of your own.")
]
MOST_PAIRS, MOST_SEED = 1_000_000, 2**53
Product = Annotated[str, typer.Option(help="Of the embedded dataset, or DATASET/PRODUCT.")]


@app.command("train-generator")
def train_generator_command(
    product: Product = "softgel",
    profile: ProfileName = "cpu",
    net: Annotated[str, typer.Option(help="'large', or the receptive field of a small net in pixels.")] = "large",
    ship: Annotated[bool, typer.Option(help="Also put it among the nets that come with the package.")] = False,
) -> None:
    """Train one of Defect-Gen's two nets, or go on where it was cut off.

    Example: defectlib train-generator --product softgel --profile cpu --net 45
    """
    if net != "large" and not re.fullmatch("[0-9]{1,4}", net):
        raise UserError(f"--net {net}: say 'large', or a receptive field in pixels such as 45")
    settings, data = _settings(profile, product)
    training = settings.large_training(data) if net == "large" else settings.small_training(data, int(net))
    print(_trained(training, ship))


@app.command("train-rival")
def train_rival_command(
    method: Annotated[str, typer.Option(help="CycleGAN, SinGAN, SinDiffusion or DDPM.")],
    product: Product = "softgel",
    profile: ProfileName = "cpu",
    image: Annotated[
        int, typer.Option(min=0, max=100_000, help="Number of the training image, for what learns from one.")
    ] = 1,
    ship: Annotated[bool, typer.Option(help="Also put it among what comes with the package.")] = False,
) -> None:
    """Train one of the generators that the paper compares with, or go on where it was cut off.

    SinGAN and SinDiffusion learn from one image, CycleGAN from all, and then from one by way of test. DDPM is here for
    that test alone: on all images it is the large net of train-generator.

    Example: defectlib train-rival --method SinGAN --product softgel --profile cpu
    """
    from defectlib.experiments.plans import known_product
    from defectlib.experiments.rivals import Rivals
    from defectlib.profiles import load_profile

    for stage in Rivals(load_profile(profile), product=known_product(product), image=image).to_ship(method):
        print(_trained(stage, ship))


@app.command("train-segmenter")
def train_segmenter_command(
    model: Annotated[str, typer.Option(help="A baseline by the paper's abbreviation.")] = "DL",
    product: Product = "softgel",
    profile: ProfileName = "cpu",
    synthetic: Annotated[bool, typer.Option(help="Train on synthetic pairs too.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Root seed of the training.")] = 0,
) -> None:
    """Train a baseline and evaluate it on held-out images; prints its mIoU.

    Example: defectlib train-segmenter --model M-B0 --product softgel --synthetic
    """
    import json

    from defectlib.settings import known_model

    known_model(model)
    settings, data = _settings(profile, product)
    pairs = settings.synthesis(data, count=settings.synthetic) if synthetic else None
    artifact = cli_book.built(settings.evaluation(data, model, pairs, seed))
    summary = json.loads((artifact / "summary.json").read_text())
    print(f"mIoU {100 * summary['miou']:.2f} % on {summary['images']} held-out images. {summary['rule']}")


@app.command("export-onnx")
def export_onnx_command(
    artifact: Annotated[str, typer.Argument(metavar="ARTIFACT", help="A trained baseline: its folder, or its key.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The file to write.")],
    height: Annotated[int | None, typer.Option(min=1, help="Of images, pixels; as trained, if not given.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Of images, pixels; as trained, if not given.")] = None,
) -> None:
    """Write a trained baseline as an ONNX file, once ONNX Runtime gives the outputs of torch.

    Raw pixels go in, uint8 (1, 3, height, width), logits come out. `defectlib plan NOTEBOOK` shows where baselines are.

    Example: defectlib export-onnx build/store/segmenter/KEY model.onnx --height 256 --width 256
    """
    from defectlib.segmentation.export import export_artifact, find_segmenter

    found = export_artifact(find_segmenter(artifact), out, height, width)
    print(f"{out}: probabilities differ from torch's by at most {found['probability']:.1e}")


@app.command("train-oracle")
def train_oracle_command(
    product: Product = "softgel",
    profile: ProfileName = "cpu",
    ship: Annotated[bool, typer.Option(help="Also put it among the nets that come with the package.")] = False,
) -> None:
    """Train the segmenter that judges pairs of an embedded product, or go on where it was cut off; prints its mIoU.

    Example: defectlib train-oracle --product washer --profile cpu
    """
    import json

    settings, data = _settings(profile, product)
    training = settings.oracle_training(data)
    if training is None:
        raise UserError(f"--product {product}: an oracle needs scenes that can be painted; name an embedded product")
    artifact = _trained(training, ship)
    found = json.loads((artifact / "score.json").read_text())
    print(f"mIoU {100 * found['miou']:.2f} % on {found['images']} unseen scenes. {found['rule']}")
    print(artifact)


@app.command("sample")
def sample_command(
    out: Annotated[Path, typer.Option(help="Folder to write; must not hold anything yet.")],
    products: Annotated[
        list[str] | None,
        typer.Option("--product", help="Of the embedded dataset, or DATASET/PRODUCT; softgel, if not given."),
    ] = None,
    profile: ProfileName = "cpu",
    count: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_PAIRS, help="Pairs; if not given, 24, or for a release 96 of each product."),
    ] = None,
    switch_step: Annotated[int | None, typer.Option(min=0, max=1000, help="u; the profile's, if not given.")] = None,
    receptive_field: Annotated[int | None, typer.Option(min=1, max=4096, help="Of the small net, pixels.")] = None,
    sampler: Annotated[str | None, typer.Option(help="ddpm, ddim or dpm++; the profile's, if not given.")] = None,
    calls: Annotated[
        int | None, typer.Option(min=2, max=1000, help="Network calls per pair; the profile's, if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Root seed of the noise.")] = 0,
    release: Annotated[
        bool, typer.Option("--release", help="All of the profile's products, or those named, with a data card.")
    ] = False,
) -> None:
    """Write synthetic image–mask pairs of an embedded product as a dataset folder; goes on after a cut.

    With --release, pairs of several products, in the one layout and in that of Defect Spectrum's page, with captions,
    measures, provenance and a data card.

    Example: defectlib sample --product softgel --count 1000 --sampler dpm++ --calls 25 --out pairs
    """
    from defectlib.experiments.export import check_target, copy_dataset
    from defectlib.experiments.release import COUNT, Release
    from defectlib.profiles import load_profile
    from defectlib.settings import Sampler

    check_target(out)
    if sampler is not None and sampler not in get_args(Sampler):
        raise unknown("sampler", sampler, get_args(Sampler))
    if not release and len(products or ()) > 1:
        raise UserError("--product is given more than once; name one, or add --release")
    sets = []
    for product in dict.fromkeys(products or (load_profile(profile).products if release else ("softgel",))):
        settings, data = _settings(profile, product, sampler=sampler, num_inference_steps=calls)
        pairs = count or (COUNT if release else 24)
        synthesis = settings.synthesis(data, switch_step=switch_step, receptive_field=receptive_field, count=pairs)
        sets.append(synthesis.model_copy(update={"seed": seed}))
    if release:
        study = Release(settings, tuple(sets))
        study.build()
        study.write(out)
    else:
        copy_dataset(cli_book.built(sets[0]) / sets[0].dataset, out)
    print(f"{sum(synthesis.count for synthesis in sets)} pairs in {out}")


@app.command("augment")
def augment_command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with images/, masks/ and classes.json.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not hold anything yet.")],
    count: Annotated[
        int | None, typer.Option(min=1, max=MOST_PAIRS, help="Synthetic pairs; the profile's, if not given.")
    ] = None,
    profile: ProfileName = "cpu",
    shots: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Training images per type (the paper's protocol); else 60/40 by group."),
    ] = None,
    model: Annotated[str, typer.Option(help="The baseline that is asked whether it helped.")] = "UNet",
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, help="Trainings of the baseline, from seed 0 on; the profile's (3), if not given."
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=32, max=4096, help="Side of the pairs, pixels; else that of the training crops.")
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(min=32, max=1024, help="Side of the training crops, pixels; if not given, so that defects fit."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=10_000_000, help="Training steps of each net; the profile's, if not given.")
    ] = None,
) -> None:
    """Train Defect-Gen on your own defects, write new pairs, and tell whether they help on images held out.

    OUT.png shows pairs beside real crops as soon as there are some. Run it again after a cut and it goes on.
    Example: defectlib augment my_dataset --out my_pairs --count 200
    """
    from defectlib import runtime
    from defectlib.experiments.export import check_target
    from defectlib.experiments.own import in_points, own_defects
    from defectlib.profiles import load_profile
    from defectlib.settings import known_model

    known_model(model)
    check_target(out)
    settings = load_profile(profile)
    chosen = None if seeds is None else tuple(range(seeds))
    options = {"count": count, "shots": shots, "model": model, "seeds": chosen, "size": size}
    study = own_defects(settings, data, **options, crop=crop, steps=steps)
    taken, trained = study.data, study.synthetic.large
    scale = "at their own size" if taken.reduce == 1 else f"{taken.reduce} times smaller"
    start = "from the base" if trained.base else "from random weights"
    runtime.say(
        f"images {scale}, crops of {trained.crop} px; nets {start}, {trained.steps} and {study.synthetic.small.steps} "
        "steps"
    )
    for line in study.doubts():  # now, and not after hours
        runtime.say(f"warning: {line}")
    sheet = study.write_sheet(out.with_name(f"{out.name}.png"))
    runtime.say(f"{sheet}: real crops above, pairs below")
    study.build()
    report = study.export(out)
    print(in_points(study.table).to_string())
    print(report["verdict"], *(f"warning: {line}" for line in report["warnings"]), sep="\n")
    print(f"{study.synthetic.count} pairs and {out / 'report.json'}")


def _settings(profile: str, product: str, **changes: Any) -> tuple[Profile, Data]:
    """A profile, with what is given of ``changes`` in it, and the data that it gives for a product."""
    from defectlib.experiments.plans import known_product
    from defectlib.profiles import load_profile

    settings = load_profile(profile, **changes)
    return settings, settings.data(known_product(product))


def _trained(stage: Stage, shipped: bool) -> Path:
    """The artifact of what was trained; ``shipped``: as it now comes with the package."""
    artifact = cli_book.built(stage)
    if not shipped:
        return artifact
    from defectlib.shipping import ship

    return ship(stage, artifact)
