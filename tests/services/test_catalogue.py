"""The catalogue in a real browser: searched, followed and looked at, with thousands of topics and without requests."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.docs.test_estate import ESTATE
from tests.services.browser import Browser
from tests.shell import Shell

TOPICS = 5000
MAX_SEARCH_MS = 500


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("estate")
    shutil.copytree(ESTATE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".kplan"))
    Shell(folder).kplan("docs", "site", "--env", "dev")
    return folder / "site" / "index.html"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shell = Shell(tmp_path_factory.mktemp("large"))
    topics = "".join(f"  t{i // 100}.number{i}: {{team: team{i % 7}}}\n" for i in range(TOPICS))
    shell.write("stack.yaml", f"version: 1\nstack: large\ntopics:\n{topics}")
    shell.kplan("docs", "site", "stack.yaml")
    return shell.folder / "site" / "index.html"


def rows(browser: Browser) -> list[str]:
    found: list[str] = browser.run(
        "return [...document.querySelectorAll('#found tbody tr')].map((row) => row.querySelector('a').textContent)"
    )
    return found


def choose(browser: Browser, id: str, value: str) -> float:
    """Milliseconds until the list shows what was chosen."""
    script = """
      const [id, value] = arguments, box = document.getElementById(id), begun = performance.now();
      box.value = value;
      box.dispatchEvent(new Event(id === "search" ? "input" : "change"));
      return performance.now() - begun;
    """
    return float(browser.run(script, id, value))


def follow(browser: Browser, text: str) -> None:
    browser.run("[...document.querySelectorAll('a')].find((a) => a.textContent.includes(arguments[0])).dispatchEvent("
                "new MouseEvent('click', {bubbles: true, cancelable: true, view: window}))", text)  # fmt: skip
    time.sleep(0.2)


def shown(browser: Browser) -> str:
    return str(browser.run("return document.getElementById('detail').innerText"))


@pytest.mark.parametrize("size", [(390, 844), (1280, 900)], ids=["phone", "desk"])
def test_a_topic_is_found_and_followed_to_what_feeds_it(browser: Browser, estate: Path, size: tuple[int, int]) -> None:
    browser.open(estate, *size)
    choose(browser, "kind", "topic")
    choose(browser, "search", "PUBLIC.orders")
    assert rows(browser) == ["shop.public.orders"]
    follow(browser, "shop.public.orders")
    page = shown(browser)
    assert "stack shop-cdc" in page and "teams/shop-cdc.yaml:" in page and "cleanup.policy" in page
    assert "Bindings" in page and "User:connect-sinks/allow/Read/topic/shop.public.orders" in page
    assert browser.run("return document.querySelectorAll('svg g').length") >= 3
    own = "const box = document.querySelector('.self rect').getBoundingClientRect(); return [box.left, box.right]"
    left, right = browser.run(own)
    assert 0 <= left < right <= size[0], "the drawing does not show what the page is about"
    follow(browser, "shop-tables")
    assert "(sensitive)" in shown(browser) and "template debezium-postgres" in shown(browser)
    follow(browser, "All")
    assert browser.run("return document.getElementById('detail').hidden")
    width = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], "the page is wider than its window"
    messages, asked = browser.taken()
    assert messages == [] and {url.partition("#")[0] for url in asked} == {estate.as_uri()}
    if folder := os.environ.get("KPLAN_TEST_SCREENSHOTS"):
        browser.screenshot(Path(folder, f"catalogue-{size[0]}.png"))


@pytest.mark.parametrize("size", [(400, 844), (1280, 900)], ids=["phone", "desk"])
def test_topics_are_listed_by_their_retention(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    shell = Shell(tmp_path)
    kept = {"a.day": "1d", "b.week": "7d", "c.month": "30d", "d.week": "7d"}
    topics = "".join(f"  {name}: {{config: {{retention.ms: {time}}}}}\n" for name, time in kept.items())
    more = "  e.state: {config: {cleanup.policy: compact}}\n  f.other:\n"
    shell.write("stack.yaml", f"version: 1\nstack: kept\ntopics:\n{topics}{more}")
    shell.kplan("docs", "site", "stack.yaml")
    browser.open(tmp_path / "site" / "index.html", *size)
    options = "return [...document.querySelectorAll('#retention option')].map((option) => option.textContent)"
    assert browser.run(options) == ["all", "1d", "7d", "30d", "compacted", "broker's default"]
    choose(browser, "retention", "7d")
    assert rows(browser) == ["b.week", "d.week"]
    assert "7d" in browser.run("return document.querySelector('#found tbody tr').innerText")
    choose(browser, "retention", "")
    choose(browser, "search", "30d")
    assert rows(browser) == ["c.month"]
    choose(browser, "search", "broker's default")
    assert rows(browser) == ["f.other"]
    choose(browser, "search", "")
    width = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], "the page is wider than its window"
    if folder := os.environ.get("KPLAN_TEST_SCREENSHOTS"):
        browser.screenshot(Path(folder, f"retention-{size[0]}.png"))


def test_a_schema_is_with_its_subject(browser: Browser, estate: Path) -> None:
    browser.open(estate)
    choose(browser, "kind", "subject")
    follow(browser, "platform.audit-value")
    assert "Schema" in shown(browser) and '"record"' in shown(browser)
    assert "platform.audit" in shown(browser)


def test_teams_are_those_of_the_stacks(browser: Browser, estate: Path) -> None:
    browser.open(estate)
    choose(browser, "team", "shop")
    assert "shop.public.orders" in rows(browser) and "platform.audit" not in rows(browser)
    follow(browser, "shop.public.orders")
    assert "team shop" in shown(browser)


def test_a_list_without_teams_has_no_filter_for_them(browser: Browser, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", "version: 1\nstack: plain\ntopics: {a.b: }\n")
    shell.kplan("docs", "site", "stack.yaml")
    browser.open(tmp_path / "site" / "index.html")
    hidden = "return ['stack', 'team'].map((id) => document.getElementById(id).offsetParent === null)"
    assert browser.run(hidden) == [False, True]


def test_back_from_a_topic_the_list_is_where_it_was(browser: Browser, large: Path) -> None:
    browser.open(large)
    choose(browser, "search", "t1")
    browser.run("scrollTo(0, 2000)")
    time.sleep(0.2)
    for go_back in (lambda: browser.driver.back(), lambda: follow(browser, "All")):
        follow(browser, rows(browser)[60])
        assert browser.run("return scrollY") == 0
        go_back()
        time.sleep(0.2)
        assert browser.run("return [scrollY, document.getElementById('search').value]") == [2000, "t1"]


def test_thousands_of_topics_are_searched_at_once(browser: Browser, large: Path) -> None:
    browser.open(large)
    assert len(rows(browser)) == 200
    assert choose(browser, "search", "number4999") < MAX_SEARCH_MS
    assert rows(browser) == ["t49.number4999"]
    choose(browser, "search", "")
    choose(browser, "team", "team3")
    assert browser.run("return document.getElementById('count').textContent") == "714 of 5,000"
    browser.run("document.getElementById('more').click()")
    assert len(rows(browser)) == 400
    assert browser.taken()[0] == []
