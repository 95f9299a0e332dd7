"""``defectlib data``: what is known of the datasets, what is here, what is in it, and whether it is whole."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defectlib.errors import UserError

if TYPE_CHECKING:
    from defectlib.data.count import Counts
    from defectlib.data.sources.source import Source

app = typer.Typer(help="Datasets: the published ones, and folders of your own.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A published dataset, as `defectlib data list` names it.")]
Root = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Where it lies; $DEFECTLIB_DATA/NAME (else data/NAME), if not given."),
]
AsJson = Annotated[bool, typer.Option("--json", help="For a program to read.")]


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the published datasets: which are here, and how to get the others.

    Example: defectlib data list
    """
    import json

    from defectlib import runtime
    from defectlib.data.sources.manifest import names, read_manifest

    home = runtime.data_home()
    found = {name: _presence(name, home / name) for name in names()}
    if as_json:
        print(json.dumps({name: read_manifest(name).model_dump() | {"here": found[name]} for name in names()}))
        return
    print(f"Datasets are looked for below {home} (set DEFECTLIB_DATA for another place).")
    for name in names():
        manifest = read_manifest(name)
        where = "" if manifest.page in manifest.get else f" ({manifest.page})"
        absent = f"not here; {manifest.get}{where}"
        lines = f"{manifest.title}; licence: {manifest.licence}", found[name] or absent
        print(f"\n{name}", *(_indented(line) for line in lines), sep="\n")


def _indented(text: str) -> str:
    width = min(shutil.get_terminal_size((120, 24)).columns, 120)
    margin = " " * 4
    return textwrap.fill(
        text, width, initial_indent=margin, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )


def _presence(name: str, root: Path) -> str:
    """What of a dataset is in ``root``, in words; empty if nothing is."""
    from defectlib.data.sources.source import open_source

    if not root.is_dir():
        return ""
    try:
        source = open_source(name, root)
    except UserError as error:
        return f"cannot be used: {error}"
    products = _products(source)
    faults = f"; {_plural(len(source.faults), 'fault')}, see `defectlib data verify {name}`" if source.faults else ""
    return f"here: {len(source.table)} images, {products}{faults}"


def _products(source: Source) -> str:
    """How many products of a dataset are there, and how many that `defectlib sample --release` laid beside them."""
    own = [product for product in source.classes if product in source.manifest.products]
    made = len(source.classes) - len(own)
    parts = [f"{len(own)} of {len(source.manifest.products)} products"] if own or not made else []
    return " and ".join(parts + ([f"{_plural(made, 'product')} of a synthetic release"] if made else []))


@app.command("stats")
def stats_command(name: Name, root: Root = None, as_json: AsJson = False) -> None:
    """Count what Table 1 counts: defective images, defect types, exact masks, several types in one image, captions.

    Example: defectlib data stats mvtec_ad --root ~/data/mvtec
    """
    import json
    from dataclasses import asdict

    from defectlib.data.count import by_product, count, survey

    source = _open(name, root)
    source.check()
    surveyed, annotation = survey(source), source.manifest.annotation
    total, products = count(surveyed, annotation), by_product(surveyed, annotation)
    if as_json:
        record = {"dataset": source.NAME, "root": str(source.root), "annotation": annotation, "total": asdict(total)}
        print(json.dumps(record | {"products": products.to_dict("index"), "notes": source.notes}))
        return
    print(products.rename(columns=lambda column: column.replace("_", " ")).to_string())
    print(_in_words(source, total))


def _in_words(source: Source, total: Counts) -> str:
    manifest = source.manifest
    missing = [product for product in manifest.products if product not in source.classes]
    if len(missing) == len(manifest.products):
        found = f"{_products(source)}, {_plural(total.synthetic, 'pair')} with a defect"
        return "\n".join([f"{found}; nothing of {manifest.title} itself is here.", *source.notes])
    lines = [
        f"{manifest.title}: {total.defective:,} defective of {_plural(total.images, 'image')}, "
        f"{_plural(total.types, 'defect type')}, "
        f"{_plural(total.several_types, 'image')} with several types, {_plural(total.captions, 'caption')}.",
        {
            "exact": "The masks are pixel-wise labels.",
            "weak": "The masks are weak regions around the defect, no pixel-wise labels.",
            "none": "There are no masks.",
        }[manifest.annotation],
    ]
    if missing:
        lines.append(f"{len(missing)} of {len(manifest.products)} products are not here: {', '.join(missing)}.")
    elif manifest.defective is not None and manifest.defective != total.defective:
        lines.append(f"Its publishers state {manifest.defective:,} defective images.")
    return "\n".join([*lines, *source.notes])


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@app.command("verify")
def verify_command(
    target: Annotated[
        str, typer.Argument(metavar="DIR|NAME", help="A folder with images/, masks/ and classes.json; or a dataset.")
    ],
    root: Root = None,
) -> None:
    """Look at every file of a dataset folder, or of a published dataset, and list all that is wrong with it.

    Example: defectlib data verify my_dataset
    """
    from defectlib.data import verify
    from defectlib.data.sources.manifest import names

    own = Path(target)
    if root is not None or (_spelled(target) in names() and not (own / "images").is_dir()):
        print(verify.verify_source(_open(target, root or (own if own.is_dir() else None))).checked())
    else:
        print(verify.check(own))


@app.command("convert")
def convert_command(
    name: Name,
    product: Annotated[str, typer.Option(help="One of its products; a folder holds one.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not hold anything yet.")],
    root: Root = None,
    size: Annotated[
        int | None, typer.Option(min=32, max=4096, help="Squash to this side, pixels; 256 in the paper.")
    ] = None,
    good: Annotated[bool, typer.Option("--good", help="Also write images free of defects.")] = False,
    shots: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, help="Training images per type of the split, where the publishers divide nothing."
        ),
    ] = 5,
) -> None:
    """Write a product of a published dataset in the one layout, which `augment` and everything that trains reads.

    Example: defectlib data convert defect_spectrum --product mvtec_screw --size 256 --out screws
    """
    from defectlib.data.convert import convert

    print(f"{convert(_open(name, root), product, out, size=size, good=good, shots=shots)} images in {out}")


@app.command("download")
def download_command(
    name: Name,
    out: Annotated[
        Path | None, typer.Option(help="Folder to fill; the place where it is looked for, if not given.")
    ] = None,
    subset: Annotated[
        list[str] | None, typer.Option(help="A folder of the hub copy, such as DS-DAGM; may be repeated. All, if none.")
    ] = None,
) -> None:
    """Fetch the paper's dataset from its hub, going on where a cut left it; for others, tell how to get them.

    Example: defectlib data download defect-spectrum --subset DS-DAGM
    """
    from defectlib import runtime
    from defectlib.data.download import download

    name = _spelled(name)
    print(download(name, out or runtime.data_home() / name, subsets=subset or ()))


def _spelled(name: str) -> str:
    return name.lower().replace("-", "_")


def _open(name: str, root: Path | None) -> Source:
    from defectlib import runtime
    from defectlib.data.sources.source import open_source

    name = _spelled(name)
    return open_source(name, root or runtime.data_home() / name)
