"""A tab tells the faults of the page that it shows, and of no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.book.visits import Tab

_ICON = "<link rel=icon href='data:,'>"  # or the browser asks for one
_PAGES = {
    "/plain": "<p>Nothing is asked for.",
    "/leaves": "<script>onload = () => fetch('/slow')</script>",
    "/lacks": "<img src='/missing' alt='What is not there'>",
    "/breaks": "<img src='/broken' alt='What never comes'>",
    "/strays": "<img src='http://127.0.0.2:9/picture' alt='What lies elsewhere'>",
}


class _Handler(BaseHTTPRequestHandler):
    left = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.left.wait(60)
        if page := _PAGES.get(self.path):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write((_ICON + page).encode())
        elif self.path == "/missing":
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        _Handler.left.set()
        server.shutdown()


@pytest.fixture(scope="module")
def tab(browser) -> Tab:
    return Tab(browser)


def test_a_request_that_the_page_before_left_unanswered_is_no_fault_of_this_one(site, tab):
    with tab.page.expect_request("**/slow"):
        tab.open(f"{site}/leaves")
    tab.open(f"{site}/plain")
    tab.page.wait_for_timeout(200)
    assert tab.faults == []


@pytest.mark.parametrize(
    ("page", "fault"),
    [("lacks", "status 404: {}/missing"), ("breaks", "failed: {}/broken"), ("strays", "http://127.0.0.2:9/picture")],
)
def test_a_request_in_vain_or_elsewhere_is_a_fault(site, tab, page, fault):
    tab.open(f"{site}/{page}")
    assert fault.format(site) in tab.faults
