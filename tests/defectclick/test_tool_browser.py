"""The tool as people use it: `defectlib click` in a true browser, on images whose defects are known."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from defectclick.tool import COLOURS
from defectlib.data.folder import read_dataset
from defectlib.data.verify import verify
from tests.book.visits import equip
from tests.defectclick.started import started

SIDE, COUNT = 128, 5
STAIN, SCRATCH = (40, 44), (90, 60)  # (row, column) of a pixel of each
_PATIENCE = 120_000  # ms that a busy machine may take for a step
_IDLE = ".defect-click[data-key][data-pending='0'][data-moving='false']"
_PIXEL = """
([row, column]) => {
  const canvas = document.querySelector(".defect-click canvas");
  const { scale, left, top } = canvas.dataset;
  const density = canvas.width / canvas.clientWidth;
  const [x, y] = [+left + (column + 0.5) * scale, +top + (row + 0.5) * scale].map((v) => Math.floor(v * density));
  return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3)];
}
"""


def painted(number: int) -> np.ndarray:
    """A gray plate with a dark disc and a light line on it."""
    rows, columns = np.indices((SIDE, SIDE))
    image = 150.0 + np.random.default_rng(number).normal(0, 1.5, (SIDE, SIDE))
    image[np.hypot(rows - STAIN[0], columns - STAIN[1]) < 14] -= 90
    image[(np.abs(rows - SCRATCH[0] - 0.3 * (columns - SCRATCH[1])) < 2.2) & (columns > 20) & (columns < 100)] += 70
    return np.repeat(image.clip(0, 255).astype(np.uint8)[:, :, None], 3, 2)


class Desk:
    """A running tool, and a page on which it is open."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.images, self.out = folder / "photos", folder / "labelled"
        self.browser, self._log = browser, folder / "log.txt"
        self.process: subprocess.Popen[str] | None = None
        self.page: Page | None = None
        self.elsewhere: list[str] = []

    def start(self) -> None:
        self.process = started(self.images, self.out, "scratch,stain", self._log.open("w"))
        url = self.process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), self._log.read_text()
        assert "?token=" in url
        self.page = self.browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        self.page.set_default_timeout(_PATIENCE)
        self.page.on("request", lambda r: self.elsewhere.append(r.url) if "//127.0.0.1" not in r.url[:20] else None)
        self.page.goto(url)
        self.settle()

    def stop(self, how: signal.Signals) -> str:
        """End the server and say what it printed at its end."""
        self.page.close()
        self.process.send_signal(how)
        return self.process.communicate(timeout=60)[0]

    def settle(self) -> None:
        self.page.wait_for_selector(_IDLE)

    def at(self, place: tuple[int, int]) -> tuple[float, float]:
        """Where a pixel of the image is on the page."""
        canvas = self.page.locator(".defect-click canvas")
        view, box = canvas.evaluate("canvas => ({...canvas.dataset})"), canvas.bounding_box()
        scale = float(view["scale"])
        x, y = (float(view[side]) + (place[i] + 0.5) * scale for side, i in (("left", 1), ("top", 0)))
        return box["x"] + x, box["y"] + y

    def click(self, place: tuple[int, int], **options) -> None:
        self.page.mouse.click(*self.at(place), **options)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        self.page.mouse.move(*self.at(start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(end), steps=6)
        self.page.mouse.up()

    def sees(self, place: tuple[int, int], class_id: int) -> None:
        """Wait until a pixel has the colour of its class over that of the image, or of the image alone."""
        image = painted(int(self.state["key"][-1]))[place].astype(float)
        colour = np.array([int(COLOURS[class_id - 1][i : i + 2], 16) for i in (1, 3, 5)])
        wanted = image if class_id == 0 else 0.55 * image + 0.45 * colour
        self._until(
            lambda: np.array(self.page.evaluate(_PIXEL, place)),
            lambda seen: np.abs(seen - wanted).max() <= 12,
            f"the pixel at {place} is not {wanted}",
        )

    @property
    def state(self) -> dict[str, str]:
        return self.page.locator(".defect-click").evaluate("root => ({...root.dataset})")

    def text(self, selector: str) -> str:
        return self.page.locator(f".defect-click {selector}").inner_text()

    def go(self, number: int) -> None:
        """Show the image of a number, by keys."""
        while (here := int(self.state["key"][-1])) != number:
            self.press("PageDown" if here < number else "PageUp")

    def clicks(self, count: int) -> list[tuple[int, int, bool]]:
        """Wait until so many are kept on disk, which is just after the mask was seen: (row, column, positive)."""
        path = self.out / "clicks" / "drafts" / f"{self.state['key']}.json"

        def kept() -> list[dict[str, Any]]:
            return json.loads(path.read_text())["edits"] if path.exists() else []  # there from the first click on

        edits = self._until(kept, lambda edits: len(edits) == count, path)
        return [(*edit["points"][0], edit["positive"]) for edit in edits]

    def _until(self, look: Callable[[], Any], is_right: Callable[[Any], bool], what: object) -> Any:
        until = time.monotonic() + _PATIENCE / 1000
        while not is_right(seen := look()):
            assert time.monotonic() < until, f"{what}: {seen}"
            self.page.wait_for_timeout(30)
        return seen


@pytest.fixture(scope="module")
def desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "photos").mkdir()
    for number in range(COUNT):
        Image.fromarray(painted(number)).save(folder / "photos" / f"plate_{number}.png")
    (folder / "photos" / "notes.txt").write_text("no image")
    desk = Desk(browser, folder)
    desk.start()
    yield desk
    if desk.process.poll() is None:
        desk.stop(signal.SIGTERM)


def test_a_click_makes_a_mask_undo_takes_it_away_and_save_writes_it(desk: Desk):
    desk.go(0)
    desk.press("c", "2")
    desk.sees(STAIN, 0)
    desk.click(STAIN)
    beside = STAIN[0] + 6, STAIN[1] + 2
    desk.sees(beside, 2)
    desk.settle()
    assert desk.text(".dc-status") == "not saved"
    assert desk.clicks(1) == [(*STAIN, True)]

    desk.press("Control+z")
    desk.sees(beside, 0)
    desk.press("Control+Shift+z")
    desk.sees(beside, 2)

    desk.page.get_by_role("button", name="scratch").click()
    desk.click(SCRATCH)
    along = SCRATCH[0] + 6, SCRATCH[1] + 20
    desk.sees(along, 1)
    desk.press("b")
    desk.drag((115, 30), (115, 60))
    desk.sees((115, 45), 1)
    desk.press("e")
    desk.drag((115, 30), (115, 38))
    desk.sees((115, 32), 0)
    desk.settle()

    desk.press("s")
    assert desk.text(".dc-status") == "saved"
    assert desk.text(".dc-done") == "1 labelled"
    assert verify(desk.out).checked().several_types == 1
    mask = read_dataset(desk.out)[0].mask
    truth = painted(0)[:, :, 0]
    assert np.array_equal(mask == 2, truth < 100)
    assert (mask[80:110][truth[80:110] > 190] == 1).all()
    assert mask[115, 50] == 1
    assert mask[115, 32] == 0


def test_a_right_click_takes_away_and_a_page_loaded_anew_shows_the_same(desk: Desk):
    desk.go(1)
    desk.press("c", "1")
    desk.click(SCRATCH)
    along = SCRATCH[0] + 6, SCRATCH[1] + 20
    desk.sees(along, 1)
    desk.page.reload()
    desk.settle()
    assert desk.state["key"] == "plate_1"
    assert desk.state["status"] == "unsaved"
    desk.sees(along, 1)
    before = desk.text(".dc-classes small >> nth=0")
    desk.click(along, button="right")
    desk.settle()
    assert desk.clicks(2) == [(*SCRATCH, True), (*along, False)]
    assert desk.text(".dc-classes small >> nth=0") != before


def test_clicks_made_while_the_kernel_is_busy_are_done_in_their_order(desk: Desk):
    desk.go(2)
    desk.press("c", "1")
    places = [(8 + 20 * (i % 6), 8 + 20 * (i // 6)) for i in range(12)]
    for place in places:
        desk.click(place)
    assert desk.clicks(len(places)) == [(*place, True) for place in places]
    desk.press(*["Control+z"] * 12)
    assert desk.page.get_by_role("button", name="Undo").is_disabled()


def test_zoomed_and_moved_a_click_is_where_it_is_seen(desk: Desk):
    desk.go(3)
    desk.press("c", "1")
    desk.page.mouse.move(*desk.at(STAIN))
    desk.page.mouse.wheel(0, -600)
    desk.page.keyboard.down(" ")
    desk.drag(STAIN, (STAIN[0] + 8, STAIN[1] + 8))
    desk.page.keyboard.up(" ")
    assert float(desk.page.locator(".defect-click canvas").get_attribute("data-scale")) > 8
    desk.click(STAIN)
    assert desk.clicks(1) == [(*STAIN, True)]
    desk.press("0", "Control+z")


def test_the_keyboard_alone_is_enough(desk: Desk):
    desk.go(3)
    desk.press("2")
    desk.page.locator(".defect-click canvas").focus()
    keys = ["ArrowLeft"] * (SIDE // 2 - STAIN[1]) + ["Shift+ArrowUp"] * 2 + ["ArrowUp"] * (SIDE // 2 - 20 - STAIN[0])
    desk.press(*keys, "x")
    assert desk.clicks(1) == [(*STAIN, True)]
    desk.sees((STAIN[0] + 6, STAIN[1] + 2), 2)
    cells = desk.page.locator(".jp-Cell").count()
    desk.press("a", "b", "d", "d", "c")  # would add and delete cells of the notebook
    assert desk.page.locator(".jp-Cell").count() == cells == 1


@pytest.mark.parametrize(("scheme", "size"), [("light", (1280, 800)), ("dark", (1024, 640)), ("dark", (390, 844))])
def test_all_can_read_and_reach_it(desk: Desk, scheme: str, size: tuple[int, int]):
    desk.page.emulate_media(color_scheme=scheme)
    desk.page.set_viewport_size({"width": size[0], "height": size[1]})
    desk.settle()
    equip(desk.page)
    assert desk.page.evaluate("look.violations('.defect-click', null)") == []
    box = desk.page.locator(".defect-click").bounding_box()
    assert (box["width"], box["height"]) == size
    assert desk.page.locator(".defect-click canvas").bounding_box()["height"] > 200
    desk.page.emulate_media(color_scheme="light")
    desk.page.set_viewport_size({"width": 1280, "height": 800})


def test_nothing_is_asked_of_another_machine(desk: Desk):
    assert [url for url in desk.elsewhere if not url.startswith(("data:", "blob:"))] == []


def test_killed_it_goes_on_with_the_next_image_and_ends_at_ctrl_c(desk: Desk):  # the last: it ends the desk's server
    desk.go(0)
    for _ in range(COUNT - 1):
        desk.press("Enter")
    labelled = {sample.key for sample in read_dataset(desk.out)}
    following = desk.state["key"]
    desk.press("c", "2")
    desk.click(STAIN)
    desk.sees((STAIN[0] + 6, STAIN[1] + 2), 2)
    desk.clicks(1)
    desk.stop(signal.SIGKILL)
    assert verify(desk.out).faults == ()
    assert {sample.key for sample in read_dataset(desk.out)} == labelled

    desk.start()
    assert desk.state["key"] == following
    assert following not in labelled
    desk.sees((STAIN[0] + 6, STAIN[1] + 2), 2)  # what was drawn and not saved is still there
    desk.press("s")
    assert (
        desk.stop(signal.SIGINT).strip()
        == f"{desk.out}: {len(labelled) + 1} of {COUNT} images labelled; passed over as no images: 1 .txt"
    )
    assert desk.process.returncode == 0
    assert verify(desk.out).faults == ()
