"""Measures of the English of pages and messages: words that are not used, and sentences that are too long.

Pages are read without their fenced blocks, comments and inline code. Messages are the texts of the package: string
literals of more than one word, with `…` for what an f-string puts in, and docstrings only where they are help.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES_OF_MESSAGES = frozenset({"cli.md", "codes.md"})  # `make docs` writes them from texts of the package
MAX_SENTENCE_WORDS = 32
DATA = ("schemas/*.json", "kplan/connectors/*.yaml", "stacks/**/*.yaml", "action.yml", "templates/*.yml")
SHORT_SENTENCES = ("README.md", "docs/tutorial.md", "docs/cdc*.md", "docs/plan*.md", "docs/guarantees*.md")

_NOUN = r"(?:a|an|the|its|their|his|all|no|some|each|every)\s+(?:[\w-]+\s+){1,3}?"
_VERB = r"(?:is|are|was|were|has|have|had|can|cannot|could|may|must|will|would|does|do|needs?|goes|comes?)\b"
BANNED = {
    "told": r"\b(?:told|tells?|telling)\b",
    "said": r"\b(?:un)?said\b",
    "mend": r"\bmend(?:s|ed|ing)?\b",
    "anew": r"\banew\b",
    "besides": r"\bbesides\b",
    "whence": r"\bwhence\b",
    "shall": r"\bshall\b",
    "nobody": r"\bnobody\b",
    "for (= because)": rf"[,;:]\s+for\s+(?:(?:it|they|he|she|there|kplan)\b|(?:{_NOUN}|[\w-]+s\s+){_VERB})",
    "is no X": r"(?<!\bthere )(?<!\bthere\n)\b(?:is|are|was|were)\s+no\s+(?!longer\b|more\b|fewer\b|less\b)",
    "way out": r"\bways? out\b",
    "stands": r"\b(?:stands?|stood|standing)\b(?!\s+for\b)",
    "makes it so": r"\bmakes?\s+it\s+so\b",
    "blueprint": r"\bblueprints?\b",
    "applier": r"\bappliers?\b",
}
_BANNED = {word: re.compile(pattern, re.IGNORECASE) for word, pattern in BANNED.items()}
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_FENCED = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_MADE = re.compile(r"<!-- made of .*?<!-- end -->", re.DOTALL)  # a part of a page that repeats texts of the program
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_TITLE_OF_CODE = re.compile(r"\s*\| K\d{3} \|")  # a row that repeats what the program says of a code
_STARTS_ALONE = re.compile(r"\s*(?:[-*+]|\d+\.)\s+|#+\s+|>\s?")
_SENTENCE_END = re.compile(r"(?<=[.!?])[)\"”]?\s+(?=[\"“(*`]?[A-Z0-9`])")
_WORD = re.compile(r"\w[\w'’.,:/+-]*")


@dataclass(frozen=True)
class Passage:
    """A paragraph, an item of a list, a cell of a table, or a message."""

    place: str
    line: int
    text: str

    def find_banned(self) -> Iterator[str]:
        """Yield each banned word with its place."""
        plain = remove_code(self.text)
        for word, pattern in _BANNED.items():
            for match in pattern.finditer(plain):
                line = self.line + plain.count("\n", 0, match.start())
                yield f"{self.place}:{line}: {word}: {' '.join(match[0].split())!r}"

    def find_long_sentences(self, most: int = MAX_SENTENCE_WORDS) -> Iterator[str]:
        """Yield each sentence of more than `most` words with its place."""
        plain = " ".join(remove_code(self.text).split())
        for sentence in _SENTENCE_END.split(plain):
            if (words := count_words(sentence)) > most:
                yield f"{self.place}:{self.line}: {words} words: {sentence[:60]}…"


def remove_code(text: str) -> str:
    """Return the text with a word of its own, `X`, for each piece of inline code; lines stay where they are."""
    return _CODE.sub(lambda match: "X" + "\n" * match[0].count("\n"), text)


def count_words(sentence: str) -> int:
    return len(_WORD.findall(sentence))


# -- pages ------------------------------------------------------------------------------------------------------------
def list_pages() -> list[Path]:
    """List the pages of the top, of docs/, of the stacks and of the tests, without those that repeat messages."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "stacks").rglob("*.md")]
    found += (ROOT / "tests").rglob("README.md")
    return sorted(page for page in found if not (page.parent.name == "reference" and page.name in PAGES_OF_MESSAGES))


def list_short_pages() -> list[Path]:
    """List the pages whose sentences must be short."""
    return sorted({page for pattern in SHORT_SENTENCES for page in ROOT.glob(pattern)})


def split_page(place: str, text: str) -> Iterator[Passage]:
    """Yield the passages of a page in Markdown."""
    for pattern in (_FENCED, _MADE, _COMMENT):
        text = pattern.sub(lambda match: "\n" * match[0].count("\n"), text)
    text = _LINK.sub(lambda match: match[1] + "\n" * (match[0].count("\n") - match[1].count("\n")), text)
    lines: list[str] = []
    start = 1
    for number, line in enumerate([*text.splitlines(), ""], 1):
        is_row = line.lstrip().startswith("|")
        alone = _STARTS_ALONE.match(line)
        if lines and (not line.strip() or is_row or alone):
            yield Passage(place, start, "\n".join(lines))
            lines = []
        if is_row and not _TITLE_OF_CODE.match(line):
            yield from (Passage(place, number, cell) for cell in _split_row(line))
        elif line.strip() and not is_row:
            start = start if lines else number
            lines.append(line[alone.end() :] if alone else line)


def _split_row(line: str) -> list[str]:
    """Split a row of a table into its cells; a `|` that is escaped does not part them."""
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [cell.strip() for cell in cells if re.search(r"\w", cell)]


def _passages_of(pages: Iterable[Path]) -> Iterator[Passage]:
    for page in pages:
        yield from split_page(page.relative_to(ROOT).as_posix(), page.read_text("utf-8"))


def find_banned_in_pages() -> list[str]:
    return [place for passage in _passages_of(list_pages()) for place in passage.find_banned()]


def find_banned_in_data() -> list[str]:
    """Find banned words in the texts of schemas, connector templates, examples and pipelines."""
    paths = [path for pattern in DATA for path in sorted(ROOT.glob(pattern))]
    lines = (split_lines(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths)
    return [place for passages in lines for passage in passages for place in passage.find_banned()]


def split_lines(place: str, text: str) -> Iterator[Passage]:
    """Yield each line of YAML or JSON, where a text seldom has more than one."""
    yield from (Passage(place, number, line) for number, line in enumerate(text.splitlines(), 1))


def find_long_sentences() -> list[str]:
    return [place for passage in _passages_of(list_short_pages()) for place in passage.find_long_sentences()]


# -- messages ---------------------------------------------------------------------------------------------------------
class Texts(ast.NodeVisitor):
    """Collects the texts of a module that may reach a user."""

    def __init__(self, place: str, tree: ast.Module) -> None:
        self.place = place
        self.passages: list[Passage] = []
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        text = ast.get_docstring(node, clean=False)
        if text and any(map(_is_command, node.decorator_list)):
            self._add(node, text)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring, or a text that nothing reads
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._add(node, node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._add(node, "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def _add(self, node: ast.expr | ast.stmt, text: str) -> None:
        if re.search(r"\S\s+\S", text):
            self.passages.append(Passage(self.place, node.lineno, text))


def _is_command(decorator: ast.expr) -> bool:
    """Whether the docstring of what is decorated so is printed as its help."""
    name = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(name, ast.Attribute) and name.attr in ("command", "group")


@dataclass(frozen=True)
class Messages:
    """The messages of all modules below a folder."""

    folder: Path = ROOT / "kplan"

    @cached_property
    def passages(self) -> Sequence[Passage]:
        paths = sorted(self.folder.rglob("*.py"))
        trees = ((path.relative_to(self.folder.parent), ast.parse(path.read_text("utf-8"))) for path in paths)
        return [passage for path, tree in trees for passage in Texts(path.as_posix(), tree).passages]

    def find_banned(self) -> list[str]:
        """Return the place of each banned word in a message; its line is counted from the first of the literal."""
        return [place for passage in self.passages for place in passage.find_banned()]
