"""A page opened in a browser: what goes wrong on it, wide and narrow, in light and in dark colours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, Request

DESKTOP, PHONE = 1280, 390  # pixels
_HERE = Path(__file__).parent
_SCRIPTS = [(_HERE / name).read_text(encoding="utf-8") for name in ("vendor/axe.min.js", "look.js")]
_SETTLED = 400  # ms: the theme looks 300 ms after a change which boxes scroll
# What hangs on colours or on the width of the screen is looked at twice, the rest once.
_OF_COLOUR_AND_WIDTH = ["color-contrast", "scrollable-region-focusable", "target-size"]


@dataclass
class Visit:
    """What was found on one page.

    Attributes:
        faults: Requests elsewhere or in vain, errors on the console.
        pictures: Those that are broken or without a text in their stead.
        overflow: What does not fit, by the width of the screen.
        violations: Of accessibility, serious or critical, by where they were found.
    """

    faults: list[str]
    pictures: list[str] = field(default_factory=list)
    overflow: dict[int, list[str]] = field(default_factory=dict)
    violations: dict[str, list[str]] = field(default_factory=dict)


class Tab:
    """A tab of the browser, used for one page after the other, since scripts that all pages share are then read once.

    Attributes:
        page: To look at and to act on.
        faults: What went wrong since the last page was opened: requests elsewhere or in vain, errors on the console.
    """

    def __init__(self, browser: Browser) -> None:
        self.page = browser.new_page(reduced_motion="reduce")
        self.faults: list[str] = []
        self._home = ""
        self._asked: set[Request] = set()
        self.page.on("request", self._ask)
        self.page.on("requestfailed", self._fail)
        self.page.on("response", lambda r: self._note(f"status {r.status}: {r.url}") if r.status >= 400 else None)
        self.page.on("console", self._print)
        self.page.on("pageerror", lambda error: self._note(str(error)))

    def _ask(self, request: Request) -> None:
        self._asked.add(request)
        if not request.url.startswith((self._home, "data:", "blob:")):
            self._note(request.url)

    def _fail(self, request: Request) -> None:
        # The page before may have been left while its icon was still on the way.
        if request in self._asked:
            self._note(f"failed: {request.url}")

    def _print(self, message: ConsoleMessage) -> None:
        # The page that only leads to the first one names no icon, so the browser may ask for the usual one.
        if message.type == "error" and not message.location["url"].endswith("/favicon.ico"):
            self._note(message.text)

    def _note(self, fault: str) -> None:
        self.faults.append(fault)

    def open(self, url: str) -> Page:
        """The page at ``url``, as wide as a desktop, its widgets in place; what it asks of another host is a fault."""
        scheme, _, rest = url.partition("://")
        self.page.goto("about:blank")  # from here on the page before asks for nothing
        self.faults, self._asked, self._home = [], set(), f"{scheme}://{rest.split('/')[0]}"
        self.page.set_viewport_size({"width": DESKTOP, "height": 900})
        self.page.goto(url, wait_until="load")
        if self.page.locator("script[type='application/vnd.jupyter.widget-view+json']").count():
            self.page.locator(".jupyter-widgets").first.wait_for()
        self.page.wait_for_timeout(_SETTLED)  # scripts that start after the page has loaded
        return self.page


def visit(tab: Tab, url: str, whole: bool) -> Visit:
    """Open the page and look at it, on a desktop in light colours and on a phone in dark ones.

    Args:
        tab: Where it is opened.
        url: Of the page.
        whole: Look for violations in what is the same on all pages, too; it takes as long as the rest.
    """
    where = "html" if whole else "main"
    page = tab.open(url)
    equip(page)
    found = Visit(tab.faults, pictures=page.evaluate("look.pictures()"))
    found.overflow[DESKTOP] = page.evaluate("look.overflow()")
    found.violations["light, on a desktop"] = page.evaluate("where => look.violations(where, null)", where)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.set_viewport_size({"width": PHONE, "height": 844})
    page.wait_for_timeout(_SETTLED)
    found.overflow[PHONE] = page.evaluate("look.overflow()")
    found.violations["dark, on a phone"] = page.evaluate(
        "([where, rules]) => look.violations(where, rules)", [where, _OF_COLOUR_AND_WIDTH]
    )
    return found


def equip(page: Page) -> None:
    """Give the page the functions of ``look.js``."""
    for script in _SCRIPTS:
        page.evaluate(script)
