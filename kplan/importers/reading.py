"""What the readers of other tools' files share: documents with places, checked settings, and notes of what is left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from kplan.diagnostics import Diagnostic, Invalid, Span, codes, error
from kplan.importers.found import Found, concealed
from kplan.kinds.connector.expansion import CONNECTOR_NAME
from kplan.language import source
from kplan.language.source import Document
from kplan.model import Connector, Rules, Topic
from kplan.text import join_names, truncate

DIVIDER: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
END: Final = re.compile(r"^\.\.\.[ \t]*$", re.MULTILINE)
TEMPLATE: Final = re.compile(r"\{\{|\$\{|<%|\{%")
COUNT: Final = re.compile(r"[0-9]{1,9}")
MAX_PARTITIONS: Final = 100_000  # of one topic, and a bound for any other count
MAX_DETAIL: Final = 400  # characters of a file that an error repeats
MAX_DIGITS: Final = 400  # of a number in JSON: a double has no more
SURROGATE: Final = re.compile("[\ud800-\udfff]")
NO_RULES: Final = Rules()
LEADING_ZERO: Final = re.compile(r"[-+]?0[0-9_]")  # octal to some readers
STATES: Final = ("running", "paused", "stopped")

Path = tuple[str | int, ...]
COMMENT = "_comment"  # a key that people repeat, since JSON has no comments
REPEATED = re.compile(r"`(.*)` is in line (\d+) of the same map already", re.DOTALL)


def refused(detail: str, span: Span | None, help: str = "") -> Invalid:
    """The file cannot be taken."""
    return Invalid([error(codes.K631, "a file cannot be imported", truncate(detail, MAX_DETAIL), span=span, help=help)])


def documents(path: str, text: str, found: Found) -> list[Document]:
    """The documents of a YAML or JSON file, with their lines in it; empty ones are left out. Raises Invalid.

    A plain value that YAML readers take for different things is what its tool's reader most likely takes it for: a
    boolean, a number without underscores, else the text. That is noted, for a stack would not let it pass.
    """
    if text.lstrip()[:1] in ("{", "["):
        return [_json(path, text, found)]
    parts = []
    for above, part in _divided(text):
        document, problems = source.load(part, path, above)
        if document is not None and problems and all(problem.code == codes.K103.number for problem in problems):
            document, problems = source.load(_plainer(part, problems, found, above), path, above)
        if document is None or problems:
            raise Invalid(problems)
        if document.data is not None:
            parts.append(document)
    return parts


def _plainer(text: str, problems: Iterable[Diagnostic], found: Found, above: int) -> str:
    """The text with each ambiguous value written so that it is not; what that is, is noted."""
    lines = LINE.findall(text)
    for problem in sorted(problems, key=lambda each: each.span or Span(""), reverse=True):
        span = problem.span
        if span is None or span.line != span.end_line:
            continue
        number = span.line - 1 - above
        line = lines[number]
        value = line[span.column - 1 : span.end_column - 1]
        reading = source.read_plain(value)
        key = "key" in problem.summary
        plain = reading.instead if reading.instead and not LEADING_ZERO.match(value) and not key else f'"{value}"'
        lines[number] = line[: span.column - 1] + plain + line[span.end_column - 1 :]
        if not key:  # the value itself is not shown: it may be a password
            kind = {"t": "a boolean", "f": "a boolean", '"': "text"}.get(plain[0], "a number")
            found.note(f"column {span.column}: YAML readers differ about this value, and it is {kind} here", span)
    return "".join(lines)


def _divided(text: str) -> Iterable[tuple[int, str]]:
    """Each document's text, and how many lines are above it."""
    starts = [0, *(match.start() for match in DIVIDER.finditer(text)), len(text)]
    above = 0
    for start, end in pairwise(starts):
        part = DIVIDER.sub("   ", text[start:end], count=1) if start or DIVIDER.match(text) else text[start:end]
        part = END.sub("", part)
        if re.search(r"^[ \t]*[^#\s]", part, re.MULTILINE):
            yield above, part
        above += text.count("\n", start, end)


def _json(path: str, text: str, found: Found) -> Document:
    """JSON is read as JSON; YAML's reader gives the places, where it can."""
    repeated: dict[str, bool] = {}  # whether all values of the key are equal
    try:
        data = json.loads(
            text,
            object_pairs_hook=lambda pairs: _last_of_each(pairs, repeated),
            parse_int=_integer,
            parse_float=str,  # as Connect has it: the characters of the file
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as e:
        raise refused(f"{e.msg}", Span(path, e.lineno, e.colno, e.lineno, e.colno + 1), "it is no JSON") from e
    except RecursionError as e:
        raise refused("it is too deep", Span(path)) from e
    except ValueError as e:
        raise refused(str(e), Span(path), "it is no JSON") from e
    document, problems = source.load(text.replace("\t", " "), path)
    if fatal := [problem for problem in problems if problem.code == codes.K105.number]:
        raise Invalid(fatal)
    if repeated:
        _judge_repeated(path, repeated, [problem for problem in problems if problem.code == codes.K102.number], found)
    if "\\" in text and SURROGATE.search(json.dumps(data, ensure_ascii=False)):
        raise refused("a \\u escape is half of a character", Span(path), "write the character itself")
    if document is None:
        return Document(path, text, data, {(): Span(path)}, {})
    return Document(path, text, data, document.spans, document.key_spans)


def _last_of_each(pairs: list[tuple[str, Any]], repeated: dict[str, bool]) -> dict[str, Any]:
    """Return the map of the pairs as Connect reads it; the last of equal keys counts, and `repeated` learns of them."""
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            repeated[key] = repeated.get(key, True) and (key == COMMENT or data[key] == value)
        data[key] = value
    return data


def _judge_repeated(path: str, repeated: Mapping[str, bool], problems: Sequence[Diagnostic], found: Found) -> None:
    """Note keys that are repeated with one value. Raises Invalid with one error for those with different values."""
    places: dict[str, list[int]] = {}
    spans: dict[str, Span | None] = {}
    for problem in problems:
        said = REPEATED.match(problem.detail)
        if said and problem.span:
            lines = places.setdefault(said[1], [int(said[2])])
            lines.append(problem.span.line)
            spans.setdefault(said[1], problem.span)

    def named(keys: Sequence[str]) -> str:
        at = {key: f" in lines {join_names([str(line) for line in lines], 10)}" for key, lines in places.items()}
        return join_names([f"`{key}`{at.get(key, '')}" for key in keys], 10)

    different = [key for key, equal in repeated.items() if not equal]
    if different:
        span = next((spans[key] for key in different if key in spans), Span(path))
        detail = f"{named(different)}, with different values; Connect would take the last"
        raise Invalid([error(codes.K102, "duplicate key", detail, help="remove all but one of each", span=span)])
    span = next(iter(spans.values()), None) or Span(path)
    found.note(f"{named(list(repeated))}: repeated, and the last one counts, as in Connect", span)


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return int(digits)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a value of JSON")


# -- values -----------------------------------------------------------------------------------------------------------
def mapping(document: Document, path: Path, value: Any, *, needed: bool = False) -> dict[str, Any]:
    """The map at `path`; an empty one where there is none. Raises Invalid where something else stands there."""
    if value is None and not needed:
        return {}
    if not isinstance(value, dict):
        what = "is missing" if value is None else "is no map"
        raise refused(f"{_dotted(path)} {what}", document.at(*path))
    return value


def listing(document: Document, path: Path, value: Any) -> list[Any]:
    """The list at `path`; an empty one where there is none. Raises Invalid where something else stands there."""
    if value is not None and not isinstance(value, list):
        raise refused(f"{_dotted(path)} is no list", document.at(*path))
    return value or []


def name_of(document: Document, path: Path, value: Any) -> str:
    """A name. Raises Invalid where there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise refused(f"{_dotted(path)}: a name is missing", document.at(*path))
    return value.strip()


def number(document: Document, path: Path, value: Any, default: int, found: Found) -> int:
    """A count; `default` where none is said, and, with a note, where only a template says it. Raises Invalid."""
    if value is None:
        return default
    if isinstance(value, str) and TEMPLATE.search(value):
        found.note(f"{_dotted(path)} is a template of another tool's: {value!r} is left out", document.at(*path))
        return default
    count = -1 if str(value).strip() == "-1" else count_of(str(value))
    if isinstance(value, bool) or not count:
        raise refused(f"{_dotted(path)} is no count: {value!r}", document.at(*path), "it is a number of 1 or more")
    return count


def count_of(text: str) -> int:
    """The number of partitions, replicas or the like that a text says; 0 where it says none."""
    digits = text.strip()
    return int(digits) if COUNT.fullmatch(digits) and int(digits) <= MAX_PARTITIONS else 0


def settings(document: Document, path: Path, value: Any, found: Found) -> dict[str, str]:
    """Settings as texts, as Kafka has them; templates of another tool's are left out, with a note. Raises Invalid."""
    kept: dict[str, str] = {}
    for key, each in mapping(document, path, value).items():
        if isinstance(each, dict):
            raise refused(f"{_dotted((*path, key))} is a map: a setting is a text", document.at(*path, key))
        if each is None:
            found.note(f"{_dotted((*path, key))} is empty and left out", document.key_at(*path, key))
        else:
            kept[str(key)] = written(each)
    return kept


def written(value: Any) -> str:
    """A value as Kafka and Connect have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(written, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


# -- resources --------------------------------------------------------------------------------------------------------
def add_topic(
    found: Found,
    document: Document,
    path: Path,
    name: str,
    partitions: int,
    replication_factor: int,
    config: Mapping[str, str],
    *,
    rules: Rules = NO_RULES,
) -> None:
    """The topic is found; partitions that are not said (-1) are one, with a note."""
    span = document.key_at(*path)
    if partitions == -1:
        found.note(f"topic/{name}: its number of partitions is the broker's own there; it is 1 here", span)
        partitions = 1
    usable = {key: value for key, value in config.items() if not TEMPLATE.search(value)}
    for key in config.keys() - usable.keys():
        found.note(f"topic/{name}: {key} is a template of another tool's and left out", span)
    found.add(Topic(name, partitions, replication_factor, usable, rules=rules), span)


def add_connector(
    found: Found,
    document: Document,
    path: Path,
    name: str,
    config: Mapping[str, str],
    state: str = "running",
    sensitive: Iterable[str] = (),
    rules: Rules = NO_RULES,
) -> None:
    """The connector is found, or noted where a stack can have none of its name."""
    span = document.key_at(*path)
    if not CONNECTOR_NAME.match(name):
        found.note(f"connector {name!r} is left out: a stack's connectors have names of a-z A-Z 0-9 . _ -", span)
        return
    if not config.get("connector.class"):
        raise refused(f"connector {name} has no connector.class", document.at(*path, "config"))
    found.add(Connector(name, concealed(config, sensitive), state, rules=rules), span)


def state(document: Document, path: Path, value: Any) -> str:
    """A connector's state in kplan's words. Raises Invalid."""
    word = str(value or "running").strip().lower()
    if word not in STATES:
        raise refused(f"{_dotted(path)}: {value!r} is none of {', '.join(STATES)}", document.at(*path))
    return word


def leftovers(found: Found, document: Document, path: Path, known: Iterable[str], why: str = "") -> None:
    """Notes every key at `path` that is not among the known ones."""
    data: Any = document.data
    for step in path:
        data = data[step]
    for key in data if isinstance(data, dict) else ():
        if key not in known:
            found.note(f"{_dotted((*path, key))} is not carried over{f': {why}' if why else ''}",
                       document.key_at(*path, key))  # fmt: skip


def _dotted(path: Path) -> str:
    return ".".join(map(str, path)) or "the file"
