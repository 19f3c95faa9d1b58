"""The HTML page of a plan in a real browser: phone and desk, light and dark, ten changes and thousands."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kplan.render import html
from kplan.render.text import Context
from tests import plans
from tests.services.browser import Browser

PHONE, DESK = (390, 844), (1280, 900)
HOST = "https://ui.example.com"
MAX_RENDERING_MS = 2000  # of 500 steps
SIZES = pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
PLANS = pytest.mark.parametrize("name", ["small", "large"])
ALL_PLANS = pytest.mark.parametrize("name", ["small", "large", "rich"])
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
CONTEXT = Context(("stack.yaml",), command_line="kplan plan stack.yaml")


@dataclass(frozen=True)
class Page:
    document: Mapping[str, Any]
    path: Path

    def steps(self, **wanted: str) -> int:
        """How many changes have that kind or action."""
        return sum(
            wanted.get("kind") in (None, change["kind"]) and wanted.get("action") in (None, *change["actions"])
            for change in self.document["changes"]
        )


@pytest.fixture(scope="module")
def pages(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    found = {}
    for name, make in (("small", plans.small), ("large", plans.large)):
        folder = tmp_path_factory.mktemp(name)
        document = make(folder)
        path = folder / "plan.html"
        path.write_text(html.render([document], CONTEXT), "utf-8")
        found[name] = Page(document, path)
    folder = tmp_path_factory.mktemp("rich")
    document = enrich(found["small"].document)
    context = replace(CONTEXT, source_url=f"{HOST}/shop/blob/{{commit}}/{{path}}#L{{line}}", author="ana, #17")
    path = folder / "plan.html"
    path.write_text(html.render([document], context), "utf-8")
    return {**found, "rich": Page(document, path)}


def enrich(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan with all that a page can have in addition: links, a rehearsal, forecasts, a denied change."""
    storage = {"bytes": 3 << 40, "rate": 2e6, "window": 604_800, "after": 9 << 40, "seconds": 1_500_000}
    changes = [{**change, "storage": storage} if change["before"] else change for change in document["changes"]]
    denied = {
        "code": "K470", "severity": "error", "summary": "a policy denies a change", "detail": "no-deletes: ask",
        "help": "ask the team", "address": "topic/shop.old", "attribute": "", "path": "kplan.yaml", "line": 9,
        "column": 5, "end_line": 9, "end_column": 9, "addresses": ["topic/shop.old"],
    }  # fmt: skip
    return {
        **document,
        "stack": {**document["stack"], "commit": "0123456789abcdef0123456789abcdef01234567"},
        "changes": changes,
        "links": {"topic": f"{HOST}/{{env}}/topics/{{name}}", "connector": f"{HOST}/{{server}}/{{name}}"},
        "forecast": {"replicas": {"1": 40_000, "2": 39_999, "3": 40_001}},
        "rehearsal": {"points": 10, "tried": 10, "restored": 6, "kept": 4, "problems": [], "obstacle": ""},
        "diagnostics": [*document["diagnostics"], denied],
    }


def shown(browser: Browser) -> list[str]:
    """The ids of the steps that fit the filters, in pages of which one is shown."""
    found: list[str] = browser.run("return [...document.querySelectorAll('.step:not([hidden])')].map(step => step.id)")
    return found


def keys(browser: Browser, *pressed: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    actions = ActionChains(browser.driver)
    for each in pressed:
        actions.send_keys(each)
    actions.perform()


def focus(browser: Browser) -> str:
    """The focused element's tag and id, or its name and value."""
    found: str = browser.run(
        "const e = document.activeElement; return e.localName + ' ' + (e.id || (e.name ? e.name + '=' + e.value : ''))"
    )
    return found


def tab_to(browser: Browser, target: str, most: int = 60) -> None:
    from selenium.webdriver.common.keys import Keys

    for _ in range(most):
        if focus(browser) == target:
            return
        keys(browser, Keys.TAB)
    raise AssertionError(f"{target} is not reached by {most} times Tab, but {focus(browser)}")


def until(browser: Browser, condition: str, seconds: float = 10) -> None:
    """The condition holds in the page."""
    deadline = time.monotonic() + seconds
    while not browser.run(f"return {condition}"):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


# -- what it asks for, and how it fits --------------------------------------------------------------------------------
@ALL_PLANS
@SIZES
@THEMES
def test_it_fits_and_asks_nobody_for_anything(
    browser: Browser, pages: dict[str, Page], name: str, size: tuple[int, int], theme: str
) -> None:
    page = pages[name]
    browser.open(page.path, *size, prefers_color_scheme=theme)
    browser.run("for (const each of document.querySelectorAll('.step:nth-child(-n+30) details')) each.open = true")
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    wide = browser.run(
        "return [...document.querySelectorAll('header *, section > :not(.scroll), .step:nth-child(-n+30) *')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 120))"
    )
    assert not wide
    console, asked = browser.taken()
    assert not console
    assert [url for url in asked if not url.startswith("data:")] == [page.path.as_uri()]


@PLANS
def test_every_change_is_there(browser: Browser, pages: dict[str, Page], name: str) -> None:
    page = pages[name]
    browser.open(page.path)
    assert len(shown(browser)) == len(page.document["changes"])
    addresses = browser.run("return [...document.querySelectorAll('.step .address')].map(e => e.textContent)")
    assert addresses == [change["address"] for change in page.document["changes"]]


def test_the_policy_refuses_what_is_not_its_own(browser: Browser, pages: dict[str, Page]) -> None:
    browser.open(pages["small"].path)
    browser.run(
        "const add = (name, values) => {"
        "  const e = document.createElement(name);"
        "  for (const [key, value] of Object.entries(values)) e[key] ? e[key] = value : e.setAttribute(key, value);"
        "  document.body.append(e); return e; };"
        "const script = document.createElement('script'); script.text = 'window.hit = 1'; document.body.append(script);"
        "add('img', {src: 'http://127.0.0.1:9/x.png'}); add('b', {onclick: 'window.hit = 1'}).click()"
    )
    assert browser.run("return window.hit === undefined")
    console, asked = browser.taken()
    assert len([line for line in console if "Content Security Policy" in line]) >= 3
    assert not [url for url in asked if url.startswith("http")]


# -- searching and filtering ------------------------------------------------------------------------------------------
@PLANS
@SIZES
def test_search_and_filters_work_by_keyboard(
    browser: Browser, pages: dict[str, Page], name: str, size: tuple[int, int]
) -> None:
    from selenium.webdriver.common.keys import Keys

    page = pages[name]
    total = len(page.document["changes"])
    browser.open(page.path, *size)
    keys(browser, Keys.TAB)
    assert browser.run("return document.activeElement.className") == "skip"
    assert browser.run("return document.activeElement.getBoundingClientRect().left >= 0"), "it can be seen now"
    keys(browser, Keys.ENTER)
    tab_to(browser, "input search")
    word = "shipments" if name == "small" else "t00042"
    began = time.monotonic()
    keys(browser, word)
    until(browser, f"document.getElementById('shown').textContent.endsWith(' of {total:,} steps')")
    until(
        browser,
        f"[...document.querySelectorAll('.step:not([hidden])')].every(s => s.textContent.includes('{word}'))",
    )
    print(f"search among {total} steps: {time.monotonic() - began:.2f} s")
    found = shown(browser)
    assert 0 < len(found) < total
    assert browser.run("return document.getElementById('shown').textContent") == f"{len(found)} of {total:,} steps"
    for _ in word:
        keys(browser, Keys.BACKSPACE)
    until(browser, f"document.getElementById('shown').textContent === '{total:,} steps'")

    tab_to(browser, "input verb=delete")
    keys(browser, Keys.SPACE)
    until(browser, "document.querySelector('input[value=delete]').checked")
    assert len(shown(browser)) == page.steps(action="delete")
    browser.run("document.querySelector('.reset').focus()")
    keys(browser, Keys.ENTER)
    until(browser, f"document.querySelectorAll('.step:not([hidden])').length === {total}")


def test_filters_are_joined_within_a_group_by_or_and_between_groups_by_and(
    browser: Browser, pages: dict[str, Page]
) -> None:
    page = pages["small"]
    browser.open(page.path)
    choose = "document.querySelector(`input[name='${arguments[0]}'][value='${arguments[1]}']`).click()"
    browser.run(choose, "verb", "create")
    browser.run(choose, "verb", "delete")
    assert len(shown(browser)) == page.steps(action="create") + page.steps(action="delete")
    browser.run(choose, "risk", "danger")
    expected = [
        f"s1-{change['step']}"
        for change in page.document["changes"]
        if "delete" in change["actions"] and any(risk["level"] == "danger" for risk in change["risks"])
    ]
    assert shown(browser) == expected
    browser.run(choose, "kind", "connector")
    assert shown(browser) == []
    assert browser.run("return !document.getElementById('none').hidden")
    browser.run("document.querySelector('#none button').click()")
    until(browser, "document.querySelectorAll('.step:not([hidden])').length === 10")


def test_thousands_of_steps_are_shown_part_by_part(browser: Browser, pages: dict[str, Page]) -> None:
    browser.open(pages["large"].path)
    seen = "document.querySelectorAll('.step:not([hidden], .later)').length"
    assert browser.run(f"return {seen}") == 300
    left = browser.run("return document.getElementById('left').textContent")
    assert left == "4,700 more steps, 1,000 of them cannot be undone"
    browser.run("document.getElementById('more').click()")
    assert browser.run(f"return {seen}") == 600
    browser.run("document.querySelector('input[value=danger]').click()")
    assert browser.run(f"return {seen}") == len(shown(browser)) > 25
    assert browser.run("return document.getElementById('later').hidden")
    browser.emulate("print")
    browser.run("document.querySelector('input[value=danger]').click()")
    assert browser.run("return [...document.querySelectorAll('.step')].every(step => step.checkVisibility())")


def test_the_line_goes_when_nothing_below_it_is_shown(browser: Browser, pages: dict[str, Page]) -> None:
    browser.open(pages["small"].path)
    assert browser.run("return !document.querySelector('.rule').hidden")
    browser.run("document.querySelector('input[value=create]').click()")
    assert browser.run("return document.querySelector('.rule').hidden")


@PLANS
def test_a_link_to_a_step_opens_it_even_where_it_was_filtered_out(
    browser: Browser, pages: dict[str, Page], name: str
) -> None:
    page = pages[name]
    browser.open(page.path)
    browser.run("document.querySelector('input[value=create]').click(); document.getElementById('close').click()")
    link = "document.querySelector('#dangers ~ .cards .address')"
    target = browser.run(f"return {link}.hash.slice(1)")
    assert target not in shown(browser)
    browser.run(f"{link}.click()")
    step = f"document.getElementById('{target}')"
    until(browser, f"{step}.checkVisibility() && {step}.firstElementChild.open")
    until(browser, f"{step}.getBoundingClientRect().top >= 0 && {step}.getBoundingClientRect().top < innerHeight")


# -- light and dark ---------------------------------------------------------------------------------------------------
def _brightness(browser: Browser) -> float:
    found = re.findall(r"[\d.]+", browser.run("return getComputedStyle(document.body).backgroundColor"))
    return sum(map(float, found[:3])) / 3


def test_light_and_dark_follow_the_system_until_one_is_chosen(browser: Browser, pages: dict[str, Page]) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(pages["small"].path, prefers_color_scheme="light")
    assert _brightness(browser) > 200
    browser.emulate(prefers_color_scheme="dark")
    assert _brightness(browser) < 60
    browser.run("document.getElementById('theme').focus()")
    keys(browser, "l", Keys.ENTER)
    until(browser, "document.documentElement.dataset.theme === 'light'")
    assert _brightness(browser) > 200
    browser.driver.refresh()
    assert _brightness(browser) > 200, "what was chosen is kept"
    browser.run("localStorage.clear()")


CONTRAST = """
const numbers = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
const behind = (e) => {
  for (; e; e = e.parentElement) {
    if (e.localName === 'g' && e.querySelector('rect')) return numbers(getComputedStyle(e.querySelector('rect')).fill);
    const color = numbers(getComputedStyle(e).backgroundColor);
    if (color.length < 4 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const found = new Map();
const note = (what, a, b, least) => found.set(`${what} ${a} on ${b}`, [ratio(a, b), least]);
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walk.nextNode(); node; node = walk.nextNode()) {
  const e = node.parentElement;
  if (!node.textContent.trim() || e.localName === 'title' || !e.checkVisibility({visibilityProperty: true})) continue;
  const style = getComputedStyle(e);
  const size = parseFloat(style.fontSize), large = size >= (Number(style.fontWeight) >= 700 ? 18.66 : 24);
  const ink = e.closest('svg') ? style.fill : style.color;
  note(`${e.localName}.${e.className}`, numbers(ink).slice(0, 3), behind(e).slice(0, 3), large ? 3 : 4.5);
}
for (const e of document.querySelectorAll('select, button, input[type=search], fieldset span')) {
  const edge = numbers(getComputedStyle(e).borderTopColor).slice(0, 3);
  note(`edge of ${e.localName}`, edge, behind(e.parentElement).slice(0, 3), 3);
}
const hint = getComputedStyle(document.getElementById('search'), '::placeholder');
note('placeholder', numbers(hint.color).slice(0, 3), behind(document.getElementById('search')).slice(0, 3), 4.5);
return [...found].map(([what, [has, least]]) => [what, has, least]);
"""


@SIZES
@THEMES
def test_contrast_is_what_wcag_aa_asks(
    browser: Browser, pages: dict[str, Page], size: tuple[int, int], theme: str
) -> None:
    browser.open(pages["rich"].path, *size, prefers_color_scheme=theme)
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true;"
                "document.querySelector('fieldset input').click()")  # fmt: skip
    found = browser.run(CONTRAST)
    assert len(found) > 40
    weak = [f"{what}: {has:.2f} < {least}" for what, has, least in found if has < least]
    assert not weak


@THEMES
def test_500_steps_are_rendered_at_once(browser: Browser, tmp_path: Path, theme: str) -> None:
    path = tmp_path / "plan.html"
    path.write_text(html.render([plans.large(tmp_path / "made", 500)], CONTEXT), "utf-8")
    taken = []
    for _ in range(3):  # another test may have the machine
        browser.open(path, *PHONE, prefers_color_scheme=theme)
        taken.append(browser.run(
            "document.body.getBoundingClientRect(); const [page] = performance.getEntriesByType('navigation');"
            "return Math.max(page.domComplete, page.loadEventEnd)"
        ))  # fmt: skip
    print(f"500 steps: {min(taken):.0f} ms")
    assert min(taken) < MAX_RENDERING_MS


def test_a_command_is_copied_by_a_button(browser: Browser, pages: dict[str, Page]) -> None:
    browser.open(pages["small"].path)
    commands = browser.run("return [...document.querySelectorAll('code.words')].map(e => e.textContent)")
    labels = browser.run("return [...document.querySelectorAll('.copy')].map(e => e.getAttribute('aria-label'))")
    assert labels == [f"Copy {command}" for command in commands] and labels
    browser.run("document.querySelector('.copy').click()")
    until(browser, "['Copied', 'Selected'].includes(document.querySelector('.copy').textContent)")
    until(browser, "document.querySelector('.copy').textContent === 'Copy'")
    console, _ = browser.taken()
    assert not console


def test_a_command_is_selected_where_the_clipboard_is_refused(browser: Browser, pages: dict[str, Page]) -> None:
    browser.open(pages["small"].path)
    browser.run(
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: () => Promise.reject(new Error('no'))}});"
        "document.execCommand = () => false; document.querySelector('.copy').click()"
    )
    until(browser, "document.querySelector('.copy').textContent === 'Selected'")
    command = browser.run("return document.querySelector('code.words').textContent")
    assert browser.run("return String(getSelection())").strip() == command


def test_resources_that_are_there_link_to_the_user_interface(browser: Browser, pages: dict[str, Page]) -> None:
    page = pages["rich"]
    browser.open(page.path)
    links = browser.run("return [...document.querySelectorAll('.step a[rel=noreferrer]')].map(e => e.href)")
    expected = [
        f"{HOST}/{'local/topics' if change['kind'] == 'topic' else 'default'}/{change['name']}"
        for change in page.document["changes"]
        if change["before"]
    ]
    assert links == expected and expected


def test_nothing_moves_for_who_wants_it_so(browser: Browser, pages: dict[str, Page]) -> None:
    moving = "return getComputedStyle(document.querySelector('.step summary'), '::before').transitionDuration"
    browser.open(pages["small"].path, prefers_reduced_motion="reduce")
    assert browser.run(moving) == "0s"
    browser.emulate(prefers_reduced_motion="no-preference")
    assert browser.run(moving) != "0s"


# -- for those who listen ---------------------------------------------------------------------------------------------
def _tree(browser: Browser) -> list[tuple[str, str, dict[str, Any]]]:
    """Role, name and properties of what assistive technology is told."""
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    return [
        (
            node["role"]["value"],
            node.get("name", {}).get("value", ""),
            {each["name"]: each["value"].get("value") for each in node.get("properties", ())},
        )
        for node in nodes
        if not node["ignored"]
    ]


@SIZES
def test_landmarks_names_and_headings(browser: Browser, pages: dict[str, Page], size: tuple[int, int]) -> None:
    browser.open(pages["small"].path, *size)
    tree = _tree(browser)
    roles = [role for role, _, _ in tree]
    for landmark in ("banner", "main", "navigation", "search", "contentinfo"):
        assert roles.count(landmark) == 1, landmark
    nameless = [role for role, name, told in tree if told.get("focusable") and not name and role != "RootWebArea"]
    assert not nameless
    assert all(name for role, name, _ in tree if role in ("region", "image", "navigation", "search"))
    assert {name for role, name, _ in tree if role == "group"} == {"", "Risk", "Kind", "Action"}  # "": what unfolds
    levels = [told["level"] for role, _, told in tree if role == "heading"]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert [told.get("live") for role, _, told in tree if role == "status"] == ["polite"]
    boxes = [name for role, name, _ in tree if role == "checkbox"]
    assert any(name.startswith("danger") for name in boxes)


@PLANS
def test_ids_are_unique_and_what_refers_to_one_finds_it(browser: Browser, pages: dict[str, Page], name: str) -> None:
    browser.open(pages[name].path)
    twice, lost = browser.run(
        "const ids = [...document.querySelectorAll('[id]')].map(e => e.id), known = new Set(ids);"
        "const refers = [...document.querySelectorAll('[aria-labelledby], [for], a[href^=\"#\"]')].flatMap("
        "  e => (e.getAttribute('aria-labelledby') || e.getAttribute('for') || e.hash.slice(1)).split(' '));"
        "return [ids.length - known.size, refers.filter(id => !known.has(id))]"
    )
    assert twice == 0
    assert not lost


def test_focus_is_seen(browser: Browser, pages: dict[str, Page]) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(pages["small"].path)
    seen = set()
    for _ in range(40):
        keys(browser, Keys.TAB)
        what, outline = browser.run(
            "const e = document.activeElement, o = e.type === 'checkbox' ? e.nextElementSibling : e;"
            "return [e.localName, getComputedStyle(o).outlineStyle + ' ' + getComputedStyle(o).outlineWidth]"
        )
        seen.add(what)
        assert outline == "solid 2px", what
    assert {"a", "select", "input", "button", "summary"} <= seen


# -- on paper, and without scripts ------------------------------------------------------------------------------------
@PLANS
def test_on_paper_all_is_open_and_nothing_is_to_be_clicked(browser: Browser, pages: dict[str, Page], name: str) -> None:
    browser.open(pages[name].path)
    browser.run("document.getElementById('close').click()")
    height = "return document.querySelector('.step .undo').getBoundingClientRect().height"
    assert (
        browser.run("return document.querySelector('.step .undo').checkVisibility({contentVisibilityAuto: true})")
        is False
    )
    browser.emulate("print", prefers_color_scheme="dark")
    assert browser.run(height) > 0
    for control in (".filters", "header .theme", ".skip", "nav"):
        assert browser.run("return getComputedStyle(document.querySelector(arguments[0])).display", control) == "none"
    assert _brightness(browser) > 200, "paper is white"


def test_it_prints(browser: Browser, pages: dict[str, Page]) -> None:
    browser.open(pages["small"].path)
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12


@PLANS
def test_without_scripts_it_can_be_read(browser: Browser, pages: dict[str, Page], name: str) -> None:
    page = pages[name]
    browser.open(page.path, *PHONE, scripts=False)
    assert browser.run("return document.documentElement.className") == "", "the page's own script did not run"
    read = "[...document.querySelectorAll('.step .address')].filter(e => e.checkVisibility()).map(e => e.textContent)"
    assert browser.run(f"return {read}") == [change["address"] for change in page.document["changes"]]
    assert not browser.run(
        "return [...document.querySelectorAll('input, select, button')].filter(e => e.checkVisibility()).length"
    )
    browser.run("document.querySelector('.step summary').click()")
    assert browser.run("return document.querySelector('.step details').open") is (name == "large"), "it unfolds"


# -- hostile text -----------------------------------------------------------------------------------------------------
EVIL = (
    "</script></style></title><img src=x onerror=window.hit=1><svg onload=window.hit=1>\"'><b onmouseover=window.hit=1>"
)


def test_hostile_text_stays_text(browser: Browser, pages: dict[str, Page], tmp_path: Path) -> None:
    names = re.compile(r"shop\.(public\.)?\w+|stock-api|stack\.yaml|retention\.ms|tasks\.max|snappy")
    text = names.sub(lambda found: found[0] + json.dumps(EVIL)[1:-1], json.dumps(pages["small"].document))
    path = tmp_path / "evil.html"
    path.write_text(html.render([json.loads(text)], Context((EVIL,), command_line=EVIL, notes=(EVIL,))), "utf-8")
    for size in (PHONE, DESK):
        browser.open(path, *size)
        assert browser.run("return window.hit === undefined")
        assert not browser.run("return document.querySelector('main img, main [onmouseover], main [onload]')")
        assert EVIL in browser.run("return document.querySelector('.step .address').textContent")
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.taken()[0] == []
