"""How fast data is listed, counted and fed to a training: each claim beside the plain way, in one run.

Run ``python benchmarks/data.py`` for everything (some minutes), ``python benchmarks/data.py index`` for one part, with
``--json`` for one JSON object per line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from defectlib import runtime
from defectlib.config import EmbeddedData, SegmenterTraining
from defectlib.data import folder, procedural
from defectlib.data.count import survey
from defectlib.data.sources.kolektor import KolektorSDD2
from defectlib.data.sources.mvtec_ad import MVTecAD
from defectlib.data.split import class_pixels

SIDE = 256


def main() -> None:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(BENCHMARKS)}; all, if none is named")
    parser.add_argument("--files", type=int, default=18_000, help="listed by `index`")
    parser.add_argument("--images", type=int, default=5_000, help="counted by `stats`")
    parser.add_argument("--epochs", type=int, default=10, help="drawn by `batches`")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    arguments = parser.parse_args()
    if unknown := set(arguments.what) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {sorted(unknown)[0]!r}: choose from {', '.join(BENCHMARKS)}")
    if not arguments.json:
        print(runtime.machine())
    for name in arguments.what or BENCHMARKS:
        with tempfile.TemporaryDirectory() as place:
            for result in BENCHMARKS[name](Path(place), arguments):
                print(json.dumps({"benchmark": name, **result}) if arguments.json else _line(name, result), flush=True)


def _line(name: str, result: dict[str, float | str]) -> str:
    numbers = (f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in result.items())
    return f"{name:<8} {', '.join(numbers)}"


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes, once."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# Listing ------------------------------------------------------------------------------------------------------------


def index(place: Path, arguments: argparse.Namespace) -> Iterator[dict[str, float | str]]:
    """Files listed into an index table; none is opened. Cold: the system's caches are emptied first, where allowed."""
    own, published = place / "own", place / "kolektor"
    for side in ("images", "masks"):
        _touch(own / side, (f"{i:06}.png" for i in range(arguments.files // 2)))
    (own / "classes.json").write_text('{"1": "scratch"}')
    for split in ("train", "test"):
        names = (f"{i}{end}.png" for i in range(10_000, 10_000 + arguments.files // 4) for end in ("", "_GT"))
        _touch(published / split, names)
    for layout, work in (("own folder", lambda: folder.index(own)), ("KolektorSDD2", lambda: KolektorSDD2(published))):
        cold = _forget()
        first, again = seconds(work), seconds(work)
        walk = seconds(lambda: sum(1 for _ in place.rglob("*")))
        yield {"layout": layout, "files": arguments.files, "seconds": first, "caches": "cold" if cold else "warm"}
        yield {"layout": layout, "files": arguments.files, "seconds": again, "caches": "warm", "floor (a walk)": walk}


def _touch(directory: Path, names: Iterator[str]) -> None:
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).touch()


def _forget() -> bool:
    """Empty the system's file caches; only root may."""
    subprocess.run(["sync"], check=True)
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


# Counting -----------------------------------------------------------------------------------------------------------


def stats(place: Path, arguments: argparse.Namespace) -> Iterator[dict[str, float | str]]:
    """Masks counted by class on all cores, against one after the other."""
    _write_mvtec(place / "mvtec", arguments.images)
    source = MVTecAD(place / "mvtec")
    rows = [row for row in source.table.itertuples(index=False, name="Row") if row.mask]
    plain = seconds(lambda: [class_pixels(source.mask(row), len(source.classes[row.product])) for row in rows])
    ours = seconds(lambda: survey(source))
    yield {"images": len(rows), "seconds": ours, "one core": plain, "ratio": plain / ours}


def _write_mvtec(root: Path, count: int) -> None:
    """``count`` defective screws in MVTec's layout, of 1024 px masks as published; photographs stay unread."""
    mask = procedural.sample("brushed_plate", "train", 0, size=512).mask
    large = Image.fromarray(np.where(mask.repeat(2, 0).repeat(2, 1) > 0, 255, 0).astype(np.uint8))
    for part in ("test", "ground_truth"):
        (root / "screw" / part / "thread_top").mkdir(parents=True)
    (root / "screw" / "train" / "good").mkdir(parents=True)
    large.save(root / "mask.PNG")
    content = (root / "mask.PNG").read_bytes()
    (root / "mask.PNG").unlink()
    for i in range(count):
        (root / "screw" / "test" / "thread_top" / f"{i:04}.png").touch()
        (root / "screw" / "ground_truth" / "thread_top" / f"{i:04}_mask.png").write_bytes(content)


# Feeding a training -------------------------------------------------------------------------------------------------


def batches(place: Path, arguments: argparse.Namespace) -> Iterator[dict[str, float | str]]:
    """Augmented batches from images decoded once, against the same batches with every image decoded when drawn."""
    import torch

    from defectlib.segmentation.augment import augment
    from defectlib.segmentation.training import Pool

    count, root = 200, place / "own"
    folder.write_dataset(root, (procedural.sample("softgel", "train", i, size=SIDE) for i in range(count)))
    data = EmbeddedData(product="softgel", size=SIDE)
    settings = SegmenterTraining(data=data, model="UNet", steps=1, batch=8, device="cpu", dtype="fp32")
    steps = arguments.epochs * count // settings.batch
    pools: list[Pool] = []
    ours = seconds(lambda: pools.append(Pool(folder.read_dataset(root), (), torch.device("cpu"))))
    floor = seconds(lambda: [pools[0].batch(settings, step) for step in range(steps)])
    rows, generator = list(folder.index(root).itertuples()), torch.Generator().manual_seed(0)

    def plain() -> None:
        for step in range(steps):
            for place in range(step * settings.batch, (step + 1) * settings.batch):
                row = rows[place % count]
                with Image.open(row.image) as image, Image.open(row.mask) as mask:
                    pair = np.array(image.convert("RGB")).transpose(2, 0, 1).copy(), np.array(mask)
                augment(*map(torch.from_numpy, pair), settings.crop, 0, generator)

    slow = seconds(plain)
    yield {
        "epochs": arguments.epochs,
        "images": f"{count} of {SIDE} px",
        "decoded once (s)": ours + floor,
        "decoded every epoch (s)": slow,
        "ratio": slow / (ours + floor),
        "floor, augmenting alone (s)": floor,
    }


BENCHMARKS = {"index": index, "stats": stats, "batches": batches}

if __name__ == "__main__":
    main()
