"""The documentation as a site: it is built without a warning, and a browser finds its pages and asks nobody else."""

from __future__ import annotations

import http.server
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.guides import DOCS
from tests.services.browser import Browser

ROOT = DOCS.parent


@pytest.fixture(scope="module")
def site() -> Path:
    built = subprocess.run([sys.executable, "docs/site/build.py"], cwd=ROOT, capture_output=True, text=True,
                           timeout=300, check=False)  # fmt: skip
    assert built.returncode == 0 and not (built.stdout + built.stderr).strip(), built.stdout + built.stderr
    return ROOT / "build" / "site"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_every_page_is_there(site: Path) -> None:
    pages = {page.relative_to(ROOT).with_suffix(".html") for page in DOCS.rglob("*.md") if page.name != "README.md"}
    assert pages and not [page for page in pages if not (site / page).is_file()]
    assert (site / "docs/index.html").is_file() and (site / "index.html").is_file()


def test_pages_are_searched_and_followed_without_other_hosts(browser: Browser, address: str) -> None:
    browser.resize(1280, 900)
    browser.taken()
    for page in ("index.html", "docs/agent.html", "docs/plan.html", "docs/reference/stack.html"):
        browser.driver.get(f"{address}/{page}")
        assert browser.run("return document.querySelectorAll('h1').length") == 1
        assert browser.run("return document.querySelectorAll('.md-nav__link').length") > 30
    browser.run("document.querySelector('[data-md-toggle=search]').checked = true;"
                "const box = document.querySelector('.md-search__input'); box.focus(); box.value = 'heartbeat';"
                "box.dispatchEvent(new KeyboardEvent('keyup'));")  # fmt: skip
    deadline = time.monotonic() + 20
    while not browser.run("return document.querySelectorAll('.md-search-result__item').length"):
        assert time.monotonic() < deadline, "nothing is found"
        time.sleep(0.2)
    messages, asked = browser.taken()
    assert messages == [] and not [url for url in asked if not url.startswith((address, "data:", "blob:"))]


def test_the_picture_of_the_packages_is_that_of_the_page() -> None:
    module = runpy.run_path(str(DOCS / "site" / "packages.py"))
    assert (DOCS / "packages.svg").read_text("utf-8") == module["draw"](), "python docs/site/packages.py draws it again"
    drawn = {name for row in module["read_order"]() for name in row}
    there = {path.name for path in (ROOT / "kplan").iterdir() if (path / "__init__.py").is_file()}
    assert there <= drawn, there - drawn
