"""The commands of Defect-Click: train the network, click on images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from defectlib import cli_book, runtime

ProfileName = Annotated[
    str, typer.Option("--profile", help="How much it may cost: smoke, cpu, gpu, or a YAML file of your own.")
]
Method = Annotated[
    str, typer.Option(help="Turns clicks into masks: Defect-Click, flood fill, GrabCut or random walker.")
]


def train_clicker_command(
    profile: ProfileName = "cpu",
    leave_out: Annotated[
        str | None, typer.Option(help="A product that the network shall not have seen, to be measured on.")
    ] = None,
    many_domains: Annotated[
        bool, typer.Option(help="Learn from all products and imagined defects, or from one product.")
    ] = True,
    multi_level: Annotated[bool, typer.Option(help="Train on crops of every scale, or on whole images.")] = True,
    edge_sensitive: Annotated[bool, typer.Option(help="Learn boundaries, or only what is within.")] = True,
    ship: Annotated[bool, typer.Option(help="Also put it among the nets that come with the package.")] = False,
) -> None:
    """Train Defect-Click, the network that turns clicks into masks, or go on where it was cut off.

    Example: defectlib train-clicker --profile cpu --leave-out softgel --no-multi-level
    """
    from defectlib.profiles import load_profile
    from defectlib.shipping import ship as put_on_the_shelf

    training = load_profile(profile).clicker_training(
        leave_out, many_domains=many_domains, multi_level=multi_level, edge_sensitive=edge_sensitive
    )
    artifact = cli_book.built(training)
    print(put_on_the_shelf(training, artifact) if ship else artifact)


def click_command(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of images; it is only read.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Dataset folder: a new one, or one begun earlier.")],
    classes: Annotated[
        str, typer.Option(metavar="A,B", help="Names of the defect types; needed once, more may be added at the end.")
    ] = "",
    method: Method = "Defect-Click",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser, or only say where it is.")] = True,
) -> None:
    """Label images by clicks, in a browser: OUT is a dataset, whole after every image that is saved.

    Ctrl+C ends it; the same command goes on with the first image that is not labelled.

    Example: defectlib click photos my_dataset --classes scratch,stain
    """
    from defectclick.clicks import known_method
    from defectclick.labelling import check
    from defectclick.serving import serve

    names = [name.strip() for name in classes.split(",")] if classes else []
    found = check(images, out, names)  # what is wrong is said here and not on a page
    known_method(method)
    runtime.say(f"{found}; the page takes some seconds to open")
    arguments = f"{str(images.absolute())!r}, {str(out.absolute())!r}, {names!r}, method={method!r}, whole_window=True"
    serve(f"from defectclick.tool import Tool\n\nTool({arguments})", open_browser=browser)
    print(f"{out}: {check(images, out, names)}")


def replay_clicks_command(
    labelled: Annotated[Path, typer.Argument(metavar="LABELLED", help="Folder that `defectlib click` wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Dataset folder to write; must not hold anything yet.")],
    method: Method = "Defect-Click",
) -> None:
    """Make the masks of a labelled folder again from its recorded clicks, without a browser.

    Example: defectlib replay-clicks my_dataset my_dataset_anew
    """
    from defectclick.clicks import load_method
    from defectclick.records import replay_to

    same, count = replay_to(labelled, out, load_method(method))
    print(f"{out}: {same} of {count} masks as they were saved")


COMMANDS: dict[str, Callable[..., None]] = {
    "train-clicker": train_clicker_command,
    "click": click_command,
    "replay-clicks": replay_clicks_command,
}
