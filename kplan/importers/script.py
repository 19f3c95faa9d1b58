"""Shell scripts with `kafka-topics`, `kafka-configs`, `kafka-acls` and `curl` to Connect: they are read, never run.

A command counts with its literal words and the variables that the script itself sets, in a loop over such words as
often as it runs. What is in another loop, or needs another program, is noted.
Source: the options of Kafka 4.3's tools, and POSIX shell grammar.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import PurePosixPath
from typing import Final

from kplan.diagnostics import Span
from kplan.importers.reading import file_error
from kplan.importers.resources import ImportedResources
from kplan.importers.script_commands import COMMANDS, drop_connections
from kplan.values import dataclass

SHEBANG: Final = re.compile(r"\A#!.*sh\b")
TOOL: Final = re.compile(
    r"^[ \t]*(?:[\w./-]*/)?(?:kafka-(?:topics|configs|acls)(?:\.sh)?[ \t]+-|curl[ \t])", re.MULTILINE
)
ENDINGS: Final = (".sh", ".bash")
HERE: Final = re.compile(r"<<-?[ \t]*(['\"]?)(\w+)\1")
ASSIGNMENT: Final = re.compile(r"(?:export[ \t]+)?([A-Za-z_]\w*)=(.*)", re.DOTALL)
VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})")
EXPANSION: Final = re.compile(r"\$\{[^}]*\}?")
OPERATORS: Final = frozenset(";&|()")
MAX_LINES: Final = 2_000  # of one command
MAX_COMMANDS: Final = 100_000  # of one script, with those that its loops repeat
EXPANDED: Final = re.compile(r"[$`*?\[{\x00]")  # what the shell makes other words of
ENDS: Final = ("done", "esac", "}")
BLOCKS: Final = {"for", "while", "until", "function", "case"}  # of which a command is not the whole truth


Words = tuple[int, list[str]]  # of one command, with the number of its line


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its words after those that stand before the program's name, and what it reads as its input."""

    program: str
    words: tuple[str, ...]
    input: str
    line: int
    is_repeated: bool = False


def is_script(path: str, text: str) -> bool:
    """Return whether it is a shell script with a command of these tools at the beginning of a line."""
    return bool(SHEBANG.match(text) or path.endswith(ENDINGS) or TOOL.match(text.lstrip()))


def parse(path: str, text: str) -> ImportedResources:
    """Parse one script. Raises Invalid where its quotes do not end."""
    imported = ImportedResources()
    for command in list_commands(path, text):
        span = Span(path, command.line, 1, command.line, 1)
        words = (*drop_connections(command.words), command.input)
        unknown = next((word for word in words if _is_unknown(word, command.program)), "")
        if command.is_repeated or unknown:
            reason = (
                "it is in a loop or a function" if command.is_repeated else f"only the shell knows {_name(unknown)}"
            )
            imported.note(f"a command of {command.program} is left out: {reason}", span)
        else:
            COMMANDS[command.program](command.words, command.input, span, imported)
    return imported


def _is_unknown(word: str, program: str) -> bool:
    """Whether a word holds what only the shell can tell; a connector's settings may hold `${…}` of their own."""
    if program != "curl" and "${" in word:
        return True
    return bool(word.endswith("$") or "$(" in word or "`" in word or (program != "curl" and VARIABLE.search(word)))


def _name(word: str) -> str:
    found = VARIABLE.search(word) or EXPANSION.search(word)
    return found[0] if found else "what another program prints"


def list_commands(path: str, text: str) -> Iterator[Command]:
    """Yield the commands that COMMANDS knows, in their order. Raises Invalid where a quote does not end."""
    body, inputs = _take_here_documents(text)
    yield from _Reader(inputs).read(list(_split(path, body)))


@dataclass(slots=True)
class _Reader:
    """Follows a script: its variables, and loops over words that it names."""

    inputs: Mapping[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def read(self, commands: Sequence[Words], depth: int = 0) -> Iterator[Command]:
        printed, line_printed = "", 0  # the here-document of a `cat`, for a command on the same line
        number = 0
        while number < len(commands):
            line, words = commands[number]
            number += 1
            self.count += 1
            if self.count > MAX_COMMANDS:
                return
            if (items := self._list_items(words)) is not None:
                end = _find_end(commands, number)
                for item in items:
                    self.variables[words[1]] = item
                    yield from self.read(commands[number:end], depth)
                self.variables.pop(words[1], None)
                number = end + 1
                continue
            if words[0] in BLOCKS or words[-1] == "{":
                depth += 1
            elif words[0] in ENDS:
                depth = max(0, depth - 1)
            words = [word for word in words if word not in ("do", "then", "else", "{")]
            if words and all(ASSIGNMENT.fullmatch(word) for word in words if word != "export"):
                self._assign(words)
                continue
            if words and words[0] == "cat":
                printed, line_printed = next((self.inputs[word] for word in words if word in self.inputs), ""), line
            start = next((i for i, word in enumerate(words) if _name_program(word) in COMMANDS), None)
            if start is not None:
                given = tuple(_substitute(word, self.variables) for word in words[start + 1 :])
                piped = printed if line == line_printed else ""
                here = next((self.inputs[word] for word in given if word in self.inputs), piped)
                given = tuple(word for word in given if word not in self.inputs)
                program, text = _name_program(words[start]), _substitute(here, self.variables)
                yield Command(program, given, text, line, depth > 0)

    def _assign(self, words: Sequence[str]) -> None:
        for word in words:
            if match := ASSIGNMENT.fullmatch(word):
                self.variables[match[1]] = _substitute(match[2], self.variables)

    def _list_items(self, words: Sequence[str]) -> list[str] | None:
        """Return the words of `for NAME in …`, where the script says all of them."""
        if len(words) < len(("for", "NAME", "in", "item")) or words[0] != "for" or words[2] != "in":
            return None
        items = [item for word in words[3:] for item in _substitute(word, self.variables).split()]
        return None if any(EXPANDED.search(item) for item in items) else items


def _find_end(commands: Sequence[Words], start: int) -> int:
    """Return where the loop ends whose body begins at `start`."""
    depth = 1
    for number in range(start, len(commands)):
        words = [word for word in commands[number][1] if word not in ("do", "then", "else")]
        if words and (words[0] in BLOCKS or words[-1] == "{"):
            depth += 1
        elif words and words[0] in ENDS:
            depth -= 1
            if not depth:
                return number
    return len(commands)


def _name_program(word: str) -> str:
    return PurePosixPath(word).name.removesuffix(".sh")


def _substitute(word: str, variables: Mapping[str, str]) -> str:
    """Return the word with the variables that are known, or have a default."""

    def choose(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return variables.get(name, match[3] if match[3] is not None else match[0])

    return VARIABLE.sub(choose, word)


def _take_here_documents(text: str) -> tuple[str, dict[str, str]]:
    """Return the script with a mark for each here-document, its lines kept empty, and the documents by their marks."""
    lines, inputs = text.split("\n"), {}
    number = 0
    while number < len(lines):
        match = HERE.search(lines[number])
        if match is None:
            number += 1
            continue
        mark = f"\x00{number}"
        lines[number] = f"{lines[number][: match.start()]} {mark} {lines[number][match.end() :]}"
        start = end = number + 1
        while end < len(lines) and lines[end].strip() != match[2]:
            end += 1
        inputs[mark] = "\n".join(lines[start:end])
        lines[start : end + 1] = [""] * len(lines[start : end + 1])
        number = end + 1
    return "\n".join(lines), inputs


def _split(path: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the words of each command, with the number of its first line."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        first, content = number, lines[number]
        words = None if content.endswith("\\") else _read_words(content)
        while words is None:
            number += 1
            if number == len(lines) or number - first > MAX_LINES:
                problem = "a quote or a line that goes on does not end"
                raise file_error(problem, Span(path, first + 1, 1, first + 1, 1))
            is_joined = content.endswith("\\")
            content = f"{content[:-1]} {lines[number]}" if is_joined else f"{content}\n{lines[number]}"
            words = None if lines[number].endswith("\\") and is_joined else _read_words(content)
        number += 1
        command: list[str] = []
        for word in [*words, ";"]:
            if set(word) <= OPERATORS:
                if command:
                    yield first + 1, command
                command = []
            else:
                command.append(word)


def _read_words(line: str) -> list[str] | None:
    """Return the words and operators of a line; None where a quote does not end in it."""
    if line.lstrip().startswith("#"):
        return []
    lexer = shlex.shlex(line, posix=True, punctuation_chars="".join(OPERATORS))
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return list(lexer)
    except ValueError:
        return None
