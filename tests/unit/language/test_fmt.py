"""kplan fmt: one order, one spacing, the same data, the same comments, and once is enough."""

from __future__ import annotations

import json
import os
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.diagnostics import Invalid, KplanError
from kplan.kinds.key_order import read_key_orders
from kplan.language import fmt
from kplan.language.fmt import format
from kplan.language.source import load
from tests.examples import examples

RUNS = int(os.environ.get("KPLAN_FUZZ", "3000"))
ORDERS = read_key_orders()


def data_of(text: str) -> Any:
    document, problems = load(text, "f.yaml")
    assert document is not None and problems == ()
    return document.data


def comments_of(text: str) -> list[str]:
    """The comments of a text whose scalars hold no `#`."""
    return sorted(match.strip() for match in re.findall(r"#.*", text))


def formatted(text: str) -> str:
    """The formatted text, after all that must hold for every text."""
    result = format(text, "f.yaml", ORDERS)
    assert data_of(result) == data_of(text)
    assert format(result, "f.yaml", ORDERS) == result
    return result


def test_a_stack_in_any_order_comes_out_in_the_canonical_one() -> None:
    before = """\
# yaml-language-server: $schema=x
# Copyright

# the name
stack: x   # unique
version: 1
# what is gone
removed:
- topic: old    # since May
  accept:
  - data-loss
topics:   # all of them

    # the first
    a:
        config: {retention.ms:   1d,cleanup.policy: compact}   # compacted
        # more is not needed
        partitions: 6 # six
        # end of a
    # b: {}
    "c": {config: {x: 1}, partitions: 3,protect: true}


    d:
connectors:
    k:
        config: {b: 1}
        tables: [ x,
          u, # the second
          v
        ]
        own_key: 1
        template: mine
variables: {b: {default: 1, type: integer}}
# the end
"""
    assert formatted(before) == (
        """\
# yaml-language-server: $schema=x
# Copyright

version: 1
# the name
stack: x  # unique
variables: {b: {type: integer, default: 1}}

topics:  # all of them
  # the first
  a:
    # more is not needed
    partitions: 6                                        # six
    config: {retention.ms: 1d, cleanup.policy: compact}  # compacted
    # end of a
  # b: {}
  "c": {partitions: 3, config: {x: 1}, protect: true}

  d:

connectors:
  k:
    template: mine
    own_key: 1
    tables: [
      x,
      u,  # the second
      v
    ]
    config: {b: 1}

# what is gone
removed:
  - topic: old  # since May
    accept:
      - data-loss
# the end
"""
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:   1\n", "a: 1\n"),
        ("a: 1", "a: 1\n"),
        ("a: 1\r\nb: 2\r\n", "a: 1\nb: 2\n"),
        ("\ufeffa: 1\n", "a: 1\n"),
        ("\n\na: 1\n\n\n\nb: 2\n\n\n", "a: 1\n\nb: 2\n"),
        ("a: 1#x\n", "a: 1#x\n"),
        ("a: {}   \nb: [ ]\n", "a: {}\nb: []\n"),
        ('a: {b: , "c":1, d}\n', 'a: {b, "c": 1, d}\n'),
        ("a: [b: 1, {c: 2}]\n", "a: [{b: 1}, {c: 2}]\n"),
        ("a:\n  - - 1\n    - 2\n  -   b: 1\n      c: 2\n  -\n", "a:\n  - - 1\n    - 2\n  - b: 1\n    c: 2\n  -\n"),
        ("a:\n    |\n    text\n", "a: |\n  text\n"),
        ("a:\n       x\n", "a: x\n"),
        ("? a\n: 1\n", "a: 1\n"),
        ("---\na: 1\n...\n", "---\na: 1\n"),
        ("# c\n--- # d\na: 1\n", "# c\n---\n# d\na: 1\n"),
        ("a: # c\n  1 # d\n", "# c\na: 1  # d\n"),
        ("a:\n  # c\n  - 1\n", "a:\n  # c\n  - 1\n"),
        ("a:\n  - # c\n    b: 1\n", "a:\n  # c\n  - b: 1\n"),
        ("a: &x  {b: 1}\nc: *x\n", "a: &x {b: 1}\nc: *x\n"),
        ("a: &x\n    b: 1\nc: *x\n", "a: &x\n  b: 1\nc: *x\n"),
        ("a: | # c\n    x\n", "a: | # c\n  x\n"),
        ("a: >-\n     x\n       y\n\n     z\nb: 1\n", "a: >-\n  x\n    y\n\n  z\nb: 1\n"),
        ("k:\n   a: |2\n       x\n      y\n", "k:\n  a: |2\n      x\n     y\n"),
        ("a: |\n  x", "a: |-\n  x\n"),
        ("a: |\n  x  \n", "a: |\n  x  \n"),
        ("a: >-\n  \n \nb: 1\n", "a: >-\n\nb: 1\n"),
        ("a: |-\n x\n   \nb: 1\n", "a: |-\n  x\n    \nb: 1\n"),
        ("a: |\n x\n  \n\nb: 1\n", "a: |\n  x\n   \n\nb: 1\n"),
        ("a: {\n}\n", "a: {}\n"),
        ("a: { # c\n b: 1 # d\n # e\n}\n", "a: {\n  # c\n  b: 1  # d\n  # e\n}\n"),
        ("a: '\n  x\n\n  y'\n", "a: '\n  x\n\n  y'\n"),
    ],
)
def test_spacing(before: str, after: str) -> None:
    assert formatted(before) == after


@pytest.mark.parametrize(
    "text",
    [
        '{"version": 1,  "stack": "x"}\n',
        "- 1\n-   2\n",
        "a:   |+\n  x\n\n\nb: 1\n",
        "%YAML 1.2\n---\na:   1\n",
        "&a\nb:   1\n",
        "text\n",
    ],
)
def test_what_is_not_understood_is_left_alone(text: str) -> None:
    assert formatted(text) == text


def test_aliases_keep_the_order_that_they_need() -> None:
    text = "topics:\n  b: &b {config: {x: 1}, partitions: 1}\nversion: 1\nconnectors:\n  a: *b\n"
    assert list(data_of(formatted(text))) == ["topics", "version", "connectors"]


def test_names_of_topics_are_not_sorted() -> None:
    assert list(data_of(formatted("topics:\n  z: {}\n  a: {}\n"))["topics"]) == ["z", "a"]


def test_a_comment_moves_with_its_key() -> None:
    text = formatted(
        "topics:\n  a:\n    # about config\n    config: {}  # behind it\n    # about partitions\n    partitions: 1\n"
    )
    assert text.index("# about partitions") < text.index("partitions: 1") < text.index("# about config")
    assert text.index("# about config") < text.index("config: {}") < text.index("# behind it")


def test_environments_and_templates_have_their_own_order() -> None:
    text = formatted("environments:\n  p: {connect: {url: x}, kafka: {a: 1}}\nversion: 1\n")
    assert text == "version: 1\nenvironments:\n  p: {kafka: {a: 1}, connect: {url: x}}\n"
    text = formatted("config: {}\nclass: X\ntemplate: t\nversion: 1\n")
    assert list(data_of(text)) == ["version", "template", "class", "config"]


def test_a_long_line_does_not_push_the_comments_of_its_neighbours() -> None:
    long = "x" * 100
    assert formatted(f"a: 1 # one\nb: {long} # two\n") == f"a: 1  # one\nb: {long}  # two\n"


def test_an_unreadable_file_is_refused_with_its_diagnostics() -> None:
    with pytest.raises(Invalid) as caught:
        format("a: 1\na: no\n", "f.yaml", ORDERS)
    assert {problem.code for problem in caught.value.diagnostics} == {"K102", "K103"}


def test_other_data_is_never_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fmt._Printer, "print", lambda self: "a: 2\n")
    with pytest.raises(KplanError, match="cannot be formatted"):
        format("a: 1\n", "f.yaml", ORDERS)


def test_a_comment_is_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fmt._Printer, "print", lambda self: "a: 1\n")
    with pytest.raises(KplanError, match="cannot be formatted"):
        format("a: 1 # c\n", "f.yaml", ORDERS)


# Any stack, written in any way

WORDS = ["a", "orders", "x.y", "'q r'", '"{{ var.x }}"', "7d", "12", "true", '"a: b"', "http://x:80/", "-1", "~", ""]
KEYS = [
    "partitions",
    "config",
    "protect",
    "accept",
    "template",
    "tables",
    "zeta",
    '"quoted key"',
    "retention.ms",
    "own",
]
TOP = ["version", "stack", "description", "variables", "defaults", "topics", "connectors", "removed", "moved", "guards"]


class Writer:
    """Writes a random stack in a random style, comments and blank lines included."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.count = 0

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def comment(self) -> str:
        self.count += 1
        return f"# comment {self.count}"

    def behind(self) -> str:
        return " " * self.rng.randint(1, 4) + self.comment() if self.chance(0.25) else " " * self.rng.randint(0, 2)

    def between(self, indent: int) -> str:
        lines = ""
        while self.chance(0.3):
            shift = self.rng.choice([0, 0, 0, 2, -2, 5])
            lines += "\n" * self.rng.randint(0, 2) if self.chance(0.5) else ""
            lines += " " * max(indent + shift, 0) + self.comment() + "\n"
        return lines + "\n" * (self.rng.randint(1, 3) if self.chance(0.15) else 0)

    def keys(self, names: list[str]) -> list[str]:
        return self.rng.sample(names, self.rng.randint(1, min(4, len(names))))

    def flow(self, depth: int) -> str:
        if depth <= 0 or self.chance(0.4):
            return self.rng.choice(WORDS[:-1])
        gap = " " * self.rng.randint(0, 2)
        if self.chance(0.5):
            items = [self.flow(depth - 1) for _ in range(self.rng.randint(0, 3))]
            return "[" + gap + f",{gap} ".join(items) + gap + "]"
        pairs = [f"{key}: {gap}{self.flow(depth - 1)}" for key in self.keys(KEYS)]
        return "{" + gap + f",{gap} ".join(pairs) + gap + "}"

    def broken(self, indent: int) -> str:
        pad = " " * (indent + self.rng.randint(1, 5))
        lines = "[" + self.behind() + "\n"
        count = self.rng.randint(0, 3)
        for number in range(count):
            comma = "," if number < count - 1 or self.chance(0.5) else ""
            lines += self.between(len(pad)) + pad + self.flow(1) + comma + self.behind() + "\n"
        return lines + self.between(len(pad)) + " " * (indent + 1) + "]"

    def literal(self, indent: int) -> str:
        inner = " " * (indent + self.rng.randint(1, 4))
        head = self.rng.choice("|>") + self.rng.choice(["", "-"])
        lines = [inner + "first", *(inner + self.rng.choice(["", "  ", "# no comment "]) + "x" for _ in range(2))]
        if self.chance(0.3):
            lines.insert(1, "")
        return head + "\n" + "\n".join(lines)

    def plain(self, indent: int) -> str:
        inner = " " * (indent + self.rng.randint(1, 4))
        quote = self.rng.choice(["", "'", '"'])
        return f"{quote}several words\n{inner}of text\n{self.rng.choice(['', chr(10)])}{inner}end{quote}"

    def entry(self, head: str, indent: int, depth: int) -> str:
        """An entry or item with its value: `head` is `key:` or `-`."""
        kind = self.rng.randrange(10)
        first = " " * indent + head
        if depth > 0 and kind < 3:
            return first + self.behind() + "\n" + self.map(indent + self.rng.randint(1, 4), depth - 1, KEYS)
        if depth > 0 and kind < 5:
            step = self.rng.randint(0 if head != "-" else 1, 4)
            return first + self.behind() + "\n" + self.list(indent + step, depth - 1)
        if kind == 5:
            return first + " " + self.literal(indent) + "\n"
        if kind == 6:
            return first + " " + self.plain(indent) + self.behind() + "\n"
        if kind == 7:
            return first + " " + self.broken(indent) + self.behind() + "\n"
        return first + " " * self.rng.randint(1, 3) + self.flow(2) + self.behind() + "\n"

    def map(self, indent: int, depth: int, names: list[str]) -> str:
        entries = [self.between(indent) + self.entry(f"{key}:", indent, depth) for key in self.keys(names)]
        return "".join(entries) + self.between(indent)

    def list(self, indent: int, depth: int) -> str:
        items = [self.between(indent) + self.entry("-", indent, depth) for _ in range(self.rng.randint(1, 3))]
        return "".join(items)

    def stack(self) -> str:
        text = self.between(0) + self.map(0, 3, TOP)
        return text if self.chance(0.9) else text.rstrip("\n")


def check(seed: int) -> bool:
    """Whether the text was formatted; a text that YAML does not take is no case."""
    text = Writer(seed).stack()
    _, problems = load(text, "f.yaml")
    if problems:
        return False
    result = format(text, "f.yaml", ORDERS)
    assert data_of(result) == data_of(text), text
    assert comments_of(result) == comments_of(text), text
    assert format(result, "f.yaml", ORDERS) == result, text
    assert not re.search(r"\n\n\n", result) or "|" in text or ">" in text or "several" in text
    return True


@pytest.mark.slow
def test_every_written_stack_keeps_data_and_comments_and_is_done_at_once() -> None:
    done = sum(check(seed) for seed in range(RUNS // 2))
    assert done > RUNS / 4


NAMES = st.text("abcdefghijklmnopqrstuvwxyz._-{} '\"#:", min_size=1, max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(TOP), st.dictionaries(NAMES, VALUES, max_size=3), min_size=1))
@examples(300)
def test_any_data_as_pyyaml_writes_it_survives(data: Any) -> None:
    import yaml

    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=40)
    _, problems = load(text, "f.yaml")
    if not problems:
        assert data_of(formatted(text)) == data


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(TOP), VALUES, min_size=1))
@examples(200)
def test_json_inside_a_stack_survives(data: Any) -> None:
    text = "".join(f"{key}: {json.dumps(value, indent=2, ensure_ascii=False)}\n" for key, value in data.items())
    text = re.sub(r"\n(?=[\]}\s])", "\n  ", text)
    _, problems = load(text, "f.yaml")
    if not problems:
        formatted(text)
