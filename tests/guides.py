"""Guides that are run: what a page of docs/ tells its reader to do is done, in its order, and what it shows compared.

A comment before a fenced block says what it is: `file: NAME`, `edit: NAME` (lines with `+` come in after those before
them, lines with `-` go), `run` or `run: exit N`, and what else a page's own reader understands. In what a command
prints, `…` alone in a line stands for lines that are left out, and in a line for words.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.shell import Shell

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^<!-- (\w+)(?:: (.+?))? -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("console", "diff", "sql")  # a fenced block of this kind is never only looked at


def blocks(page: str) -> list[tuple[str, str, str]]:
    """What a page tells to do: kind, what the comment says more, and the block's text."""
    return BLOCK.findall(page)


def only_shown(page: str) -> list[str]:
    """The kinds of those fenced blocks that look like something to do and have no comment that says what."""
    fenced = re.findall(r"^```(\w+)$", BLOCK.sub("", page), re.MULTILINE)
    return [kind for kind in fenced if kind in RUN]


@dataclass
class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    shell: Shell

    def follow(self, page: str) -> None:
        for kind, how, text in blocks(page):
            getattr(self, kind)(how, text)

    def here(self, text: str) -> str:
        """The text with the addresses of this run."""
        return text

    def file(self, name: str, text: str) -> None:
        self.shell.write(name, self.here(text))

    def edit(self, name: str, text: str) -> None:
        self.shell.write(name, edited((self.shell.folder / name).read_text("utf-8"), self.here(text)))

    def run(self, how: str, text: str) -> None:
        code = int(how.removeprefix("exit ") or 0)
        for command, expected in commands(text):
            words = shlex.split(self.here(command))
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                self.shell.environment[name] = value
            else:
                self.program(words, command, expected, code)

    def program(self, words: list[str], command: str, expected: list[str], code: int) -> None:
        assert words[0] == "kplan", command
        ended = self.shell.kplan(*words[1:], expect=code)
        product, talk = ended.out.splitlines(), ended.err.splitlines()
        compare(command, expected, product + talk, talk=len(talk))


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Each command of a block with the lines under it."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def compare(command: str, expected: list[str], printed: list[str], *, loosely: bool = False, talk: int = 0) -> None:
    """The lines come in this order; between those that an `…` parts from each other others may stand.

    Of the last `talk` lines, which went to standard error, nothing needs to be shown.
    """
    at, gap = 0, loosely
    for line in expected:
        if line.strip() == "…":
            gap = True
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        fits = [n for n in range(at, len(printed)) if pattern.fullmatch(printed[n].rstrip())]
        assert fits and (gap or fits[0] == at), f"{command} does not print {line!r}:\n" + "\n".join(printed)
        at, gap = fits[0] + 1, loosely
    rest = [line for line in printed[at : len(printed) - talk] if line.strip()]
    assert gap or not expected or not rest, f"{command} prints more than is shown:\n" + "\n".join(rest)


def edited(text: str, change: str) -> str:
    """The text with the lines of a diff in it; what goes is there once, and what comes follows the line before."""
    lines = text.splitlines()
    at = len(lines)
    for line in change.splitlines():
        sign, rest = line[0], line[1:]
        if sign == "+":
            lines.insert(at, rest)
            at += 1
        elif sign == "-":
            at = lines.index(rest)
            del lines[at]
        else:
            at = lines.index(rest) + 1
    return "\n".join(lines) + "\n"
