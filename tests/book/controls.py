"""What can be moved on a page, found by what it is and not by its name, and moved by the keyboard alone."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from tests.book.visits import equip

CONTROLS = ".jupyter-widgets .noUi-handle, .jupyter-widgets select"
REACHABLE = "a[href], button, select, input, summary, [role=slider], [tabindex='0']"
_MOST_POSITIONS = 8  # tried of one control
_SIGHT = """
control => [...control.closest(".cell_output").querySelectorAll(".jupyter-widgets img")]
  .filter(image => image.checkVisibility()).map(image => image.src).join()
"""
_POSITIONS = "control => control.options ? control.options.length : 1 + (+control.ariaValueMax - +control.ariaValueMin)"


def controls(page: Page) -> list[Locator]:
    """Sliders and lists of widgets."""
    found = page.locator(CONTROLS)
    return [found.nth(i) for i in range(found.count()) if found.nth(i).is_visible()]


def sights(page: Page, control: Locator) -> list[str]:
    """What is seen while ``control`` is moved to one position after the other, as far as it goes; it stays there."""
    control.focus()
    key = "ArrowDown" if control.evaluate("control => control.tagName") == "SELECT" else "ArrowRight"
    seen = [control.evaluate(_SIGHT)]
    for _ in range(min(_MOST_POSITIONS, int(control.evaluate(_POSITIONS))) - 1):
        page.keyboard.press(key)
        page.wait_for_timeout(60)
        seen.append(control.evaluate(_SIGHT))
    return seen


def tab_through(page: Page) -> list[str]:
    """What of the text the Tab key never reaches, or reaches without a sign of it."""
    equip(page)
    page.evaluate("look.watchFocus()")
    number = page.locator(REACHABLE).count()
    for _ in range(number):
        page.keyboard.press("Tab")
    return page.evaluate("selector => look.missedFocus(selector)", REACHABLE)


def column(table: Locator, place: int) -> list[str]:
    """The texts of a column of a table's body, from above; rows that are filtered out have none."""
    return table.evaluate(
        "(table, i) => [...table.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[i].innerText.trim())", place
    )
