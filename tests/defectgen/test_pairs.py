"""The journal of pairs: what was drawn is read back, and what is not what was written is drawn again."""

from __future__ import annotations

import numpy as np
import pytest

from defectlib.data.folder import read_dataset
from defectlib.defectgen.pairs import write_drawn
from defectlib.profiles import load_profile
from defectlib.settings import Synthesis
from defectlib.store import UNFINISHED

SMOKE = load_profile("smoke")
PAIRS = SMOKE.synthesis(SMOKE.data("softgel"))
SETTINGS = Synthesis(**(dict(PAIRS) | {"count": 6, "batch": 2}))


def written(out, drawn):
    """Images and masks of all pairs; ``drawn`` is told the numbers of those that were drawn."""

    def draw(indices):
        drawn.extend(indices)
        images = np.array(indices, np.uint8)[:, None, None, None] + np.arange(3 * 64, dtype=np.uint8).reshape(8, 8, 3)
        return images, images[..., 0] % 2

    write_drawn(draw, SETTINGS, out, "a test", "drawing")
    return [(sample.image.tobytes(), sample.mask.tobytes()) for sample in read_dataset(out / SETTINGS.dataset)]


@pytest.fixture
def whole(tmp_path):
    return written(tmp_path / "whole", [])


def test_batches_that_are_there_are_not_drawn_again(tmp_path, whole):
    drawn = []
    (tmp_path / "whole" / UNFINISHED).rename(tmp_path / UNFINISHED)
    (tmp_path / UNFINISHED / "000002-2.npz").unlink()
    assert written(tmp_path, drawn) == whole
    assert drawn == [2, 3]


def test_a_damaged_batch_is_drawn_again_wherever_the_damage_is(tmp_path, whole):
    path = tmp_path / "whole" / UNFINISHED / "000002-2.npz"
    content = path.read_bytes()
    step = len(content) // 40
    damaged = [content[:at] for at in range(0, len(content), step)]
    damaged += [
        content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :] for at in range(3, len(content), step)
    ]
    for number, found in enumerate(damaged):
        out, drawn = tmp_path / str(number), []
        (out / UNFINISHED).mkdir(parents=True)
        (out / UNFINISHED / path.name).write_bytes(found)
        assert written(out, drawn) == whole
        assert drawn == [0, 1, 2, 3, 4, 5]


def test_a_batch_whose_shape_turned_is_drawn_again(tmp_path, whole):
    """A smaller shape reads less than the checksum of the archive covers, so that nothing else would tell."""
    path = tmp_path / "whole" / UNFINISHED / "000002-2.npz"
    content = path.read_bytes()
    assert content.count(b"(2, 8, 8, 3)") == 1
    (tmp_path / UNFINISHED).mkdir()
    (tmp_path / UNFINISHED / path.name).write_bytes(content.replace(b"(2, 8, 8, 3)", b"(2, 8, 8, 2)"))
    assert written(tmp_path, []) == whole
