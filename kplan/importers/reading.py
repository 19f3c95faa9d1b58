"""What the readers of other tools' files share: documents with places, checked settings, notes of what is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from kplan.diagnostics import Diagnostic, Invalid, Span, codes, error
from kplan.importers.resources import ImportedResources, conceal_secrets
from kplan.kinds.connector.names import CONNECTOR_NAME, NAME_CHARACTERS
from kplan.language import source
from kplan.language.source import Document
from kplan.model import Connector, Rules, Secret, Topic, frozen
from kplan.text import join_names, truncate

DIVIDER: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
DOCUMENT_END: Final = re.compile(r"^\.\.\.[ \t]*$", re.MULTILINE)
TEMPLATE: Final = re.compile(r"\{\{|\$\{|<%|\{%")
COUNT: Final = re.compile(r"[0-9]{1,9}")
MAX_PARTITIONS: Final = 100_000  # of one topic, and a bound for any other count
MAX_DETAIL: Final = 400  # characters of a file that an error repeats
MAX_DIGITS: Final = 400  # of a number in JSON: a double has no more
SURROGATE: Final = re.compile("[\ud800-\udfff]")
NO_RULES: Final = Rules()
NO_SECRETS: Final[Mapping[str, Secret]] = {}
LEADING_ZERO: Final = re.compile(r"[-+]?0[0-9_]")  # octal to some readers
LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
TEAM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,62}")
MAX_LABEL: Final = 200  # characters of its value
STATES: Final = ("running", "paused", "stopped")

Path = tuple[str | int, ...]
COMMENT = "_comment"  # a key that is often repeated, since JSON has no comments
REPEATED = re.compile(r"`(.*)` is in line (\d+) of the same map already", re.DOTALL)


def file_error(detail: str, span: Span | None, help: str = "") -> Invalid:
    """Return the error of a file that cannot be imported."""
    return Invalid([error(codes.K631, "a file cannot be imported", truncate(detail, MAX_DETAIL), span=span, help=help)])


def read_documents(path: str, text: str, imported: ImportedResources) -> list[Document]:
    """Return the documents of a YAML or JSON file, with their lines in it, without empty ones. Raises Invalid.

    A plain value that YAML readers read differently is read as its tool most likely reads it: as a boolean, a number
    without underscores, else as text. That is noted, because a stack does not accept such a value.
    """
    if text.lstrip()[:1] in ("{", "["):
        return [_read_json(path, text, imported)]
    documents = []
    for first_line, document_text in _split_documents(text):
        document, problems = source.load(document_text, path, first_line)
        if document is not None and problems and all(problem.code == codes.K103.number for problem in problems):
            document, problems = source.load(
                _disambiguate(document_text, problems, imported, first_line), path, first_line
            )
        if document is None or problems:
            raise Invalid(problems)
        if document.data is not None:
            documents.append(document)
    return documents


def _disambiguate(text: str, problems: Iterable[Diagnostic], imported: ImportedResources, first_line: int) -> str:
    """Return the text with each ambiguous value written unambiguously; note the choice."""
    lines = LINE.findall(text)
    for problem in sorted(problems, key=lambda each: each.span or Span(""), reverse=True):
        span = problem.span
        if span is None or span.line != span.end_line:
            continue
        line_index = span.line - 1 - first_line
        line = lines[line_index]
        value = line[span.column - 1 : span.end_column - 1]
        reading = source.read_plain(value)
        is_key = "key" in problem.summary
        plain = reading.instead if reading.instead and not LEADING_ZERO.match(value) and not is_key else f'"{value}"'
        lines[line_index] = line[: span.column - 1] + plain + line[span.end_column - 1 :]
        if not is_key:  # the value itself is not shown: it may be a password
            kind = {"t": "a boolean", "f": "a boolean", '"': "text"}.get(plain[0], "a number")
            imported.note(f"column {span.column}: YAML readers differ about this value, and it is {kind} here", span)
    return "".join(lines)


def _split_documents(text: str) -> Iterable[tuple[int, str]]:
    """Yield each document's text, and the number of lines before it."""
    starts = [0, *(match.start() for match in DIVIDER.finditer(text)), len(text)]
    lines_before = 0
    for start, end in pairwise(starts):
        document_text = (
            DIVIDER.sub("   ", text[start:end], count=1) if start or DIVIDER.match(text) else text[start:end]
        )
        document_text = DOCUMENT_END.sub("", document_text)
        if re.search(r"^[ \t]*[^#\s]", document_text, re.MULTILINE):
            yield lines_before, document_text
        lines_before += text.count("\n", start, end)


def _read_json(path: str, text: str, imported: ImportedResources) -> Document:
    """Read the file as JSON; YAML's reader gives the places, where it can."""
    repeated: dict[str, bool] = {}  # whether all values of the key are equal
    try:
        data = json.loads(
            text,
            object_pairs_hook=lambda pairs: _keep_last_values(pairs, repeated),
            parse_int=_parse_integer,
            parse_float=str,  # as Connect has it: the characters of the file
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as e:
        raise file_error(f"{e.msg}", Span(path, e.lineno, e.colno, e.lineno, e.colno + 1), "it is not JSON") from e
    except RecursionError as e:
        raise file_error("it is too deep", Span(path)) from e
    except ValueError as e:
        raise file_error(str(e), Span(path), "it is not JSON") from e
    document, problems = source.load(text.replace("\t", " "), path)
    if fatal := [problem for problem in problems if problem.code == codes.K105.number]:
        raise Invalid(fatal)
    if repeated:
        _check_repeated_keys(
            path, repeated, [problem for problem in problems if problem.code == codes.K102.number], imported
        )
    if "\\" in text and SURROGATE.search(json.dumps(data, ensure_ascii=False)):
        raise file_error("a \\u escape is half of a character", Span(path), "write the character itself")
    if document is None:
        return Document(path, text, data, {(): Span(path)}, {})
    return Document(path, text, data, document.spans, document.key_spans)


def _keep_last_values(pairs: list[tuple[str, Any]], repeated: dict[str, bool]) -> dict[str, Any]:
    """Return the map of the pairs as Connect reads it: the last of equal keys counts; record those in `repeated`."""
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            repeated[key] = repeated.get(key, True) and (key == COMMENT or data[key] == value)
        data[key] = value
    return data


def _check_repeated_keys(
    path: str, repeated: Mapping[str, bool], problems: Sequence[Diagnostic], imported: ImportedResources
) -> None:
    """Note keys repeated with one value. Raises Invalid with one error for keys with different values."""
    places: dict[str, list[int]] = {}
    spans: dict[str, Span | None] = {}
    for problem in problems:
        match = REPEATED.match(problem.detail)
        if match and problem.span:
            lines = places.setdefault(match[1], [int(match[2])])
            lines.append(problem.span.line)
            spans.setdefault(match[1], problem.span)

    def describe_keys(keys: Sequence[str]) -> str:
        places_of_keys = {
            key: f" in lines {join_names([str(line) for line in lines], 10)}" for key, lines in places.items()
        }
        return join_names([f"`{key}`{places_of_keys.get(key, '')}" for key in keys], 10)

    conflicting = [key for key, equal in repeated.items() if not equal]
    if conflicting:
        span = next((spans[key] for key in conflicting if key in spans), Span(path))
        detail = f"{describe_keys(conflicting)}, with different values; Connect would take the last"
        raise Invalid([error(codes.K102, "duplicate key", detail, help="remove all but one of each", span=span)])
    span = next(iter(spans.values()), None) or Span(path)
    imported.note(f"{describe_keys(list(repeated))}: repeated, and the last one counts, as in Connect", span)


def _parse_integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return int(digits)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a value of JSON")


# -- values -----------------------------------------------------------------------------------------------------------
def read_map(document: Document, path: Path, value: Any, *, required: bool = False) -> dict[str, Any]:
    """Return the map at `path`; an empty one where there is none. Raises Invalid where it is something else."""
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        problem = "is missing" if value is None else "is not a map"
        raise file_error(f"{_join_path(path)} {problem}", document.at(*path))
    return value


def read_list(document: Document, path: Path, value: Any) -> list[Any]:
    """Return the list at `path`; an empty one where there is none. Raises Invalid where it is something else."""
    if value is not None and not isinstance(value, list):
        raise file_error(f"{_join_path(path)} is not a list", document.at(*path))
    return value or []


def read_name(document: Document, path: Path, value: Any) -> str:
    """Return a name. Raises Invalid where there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise file_error(f"{_join_path(path)}: a name is missing", document.at(*path))
    return value.strip()


def read_count(document: Document, path: Path, value: Any, default: int, imported: ImportedResources) -> int:
    """Return a count; `default` where there is none, and, with a note, where it is a template. Raises Invalid."""
    if value is None:
        return default
    if isinstance(value, str) and TEMPLATE.search(value):
        imported.note(f"{_join_path(path)} is a template of another tool's: {value!r} is left out", document.at(*path))
        return default
    count = -1 if str(value).strip() == "-1" else parse_count(str(value))
    if isinstance(value, bool) or not count:
        raise file_error(
            f"{_join_path(path)} is not a count: {value!r}", document.at(*path), "write a whole number of 1 or more"
        )
    return count


def parse_count(text: str) -> int:
    """Return the number of partitions, replicas or the like; 0 where the text is not one."""
    digits = text.strip()
    return int(digits) if COUNT.fullmatch(digits) and int(digits) <= MAX_PARTITIONS else 0


def read_settings(document: Document, path: Path, value: Any, imported: ImportedResources) -> dict[str, str]:
    """Return settings as texts, as Kafka has them; note another tool's templates and leave them out. Raises Invalid."""
    texts: dict[str, str] = {}
    for key, setting in read_map(document, path, value).items():
        if isinstance(setting, dict):
            raise file_error(f"{_join_path((*path, key))} is a map: a setting is a text", document.at(*path, key))
        if setting is None:
            imported.note(f"{_join_path((*path, key))} is empty and left out", document.key_at(*path, key))
        else:
            texts[str(key)] = to_text(setting)
    return texts


def to_text(value: Any) -> str:
    """Return a value as Kafka and Connect have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(to_text, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


# -- resources --------------------------------------------------------------------------------------------------------
def read_labels(document: Document, path: Path, imported: ImportedResources) -> Rules:
    """Return the `labels` of a resource's metadata, which are at `path`; of them `team` is its team.

    Those with a prefix (`strimzi.io/cluster`) are for programs and left out. Raises Invalid.
    """
    labels: dict[str, str] = {}
    metadata: Any = document.data
    for step in path:
        metadata = metadata[step]
    for name, value in read_map(document, (*path, "labels"), metadata.get("labels")).items():
        text = to_text(value)
        if "/" in str(name):
            continue
        if LABEL.fullmatch(str(name)) and 0 < len(text) <= MAX_LABEL and not TEMPLATE.search(text):
            labels[str(name)] = text
        else:
            imported.note(f"label {name} is not carried over", document.key_at(*path, "labels", name))
    team = labels.pop("team") if TEAM.fullmatch(labels.get("team", "")) else ""
    return Rules(team=team, labels=frozen(labels))


def add_topic(
    imported: ImportedResources,
    document: Document,
    path: Path,
    name: str,
    partitions: int,
    replication_factor: int,
    config: Mapping[str, str],
    *,
    rules: Rules = NO_RULES,
) -> None:
    """Add the topic; -1 partitions or replicas are the broker's own number."""
    span = document.key_at(*path)
    plain_config = {key: value for key, value in config.items() if not TEMPLATE.search(value)}
    for key in config.keys() - plain_config.keys():
        imported.note(f"topic/{name}: {key} is a template of another tool's and left out", span)
    imported.add(Topic(name, partitions, replication_factor, plain_config, rules=rules), span)


def add_connector(
    imported: ImportedResources,
    document: Document,
    path: Path,
    name: str,
    config: Mapping[str, str],
    state: str = "running",
    sensitive: Iterable[str] = (),
    rules: Rules = NO_RULES,
    secrets: Mapping[str, Secret] = NO_SECRETS,
) -> None:
    """Add the connector, or note that a stack cannot have one of its name.

    Of `secrets` no value is known; those with the same `ref` are the same.
    """
    span = document.key_at(*path)
    if not CONNECTOR_NAME.match(name):
        imported.note(f"connector {name!r} is left out: a stack's connectors have names of {NAME_CHARACTERS}", span)
        return
    if not config.get("connector.class"):
        raise file_error(f"connector {name} has no connector.class", document.at(*path, "config"))
    imported.add(Connector(name, {**conceal_secrets(config, sensitive), **secrets}, state, rules=rules), span)


def read_state(document: Document, path: Path, value: Any) -> str:
    """Return a connector's state in kplan's words. Raises Invalid."""
    word = str(value or "running").strip().lower()
    if word not in STATES:
        raise file_error(f"{_join_path(path)}: {value!r} is none of {', '.join(STATES)}", document.at(*path))
    return word


def note_unread_keys(
    imported: ImportedResources, document: Document, path: Path, known: Iterable[str], reason: str = ""
) -> None:
    """Note every key at `path` that is not among the known ones."""
    data: Any = document.data
    for step in path:
        data = data[step]
    for key in data if isinstance(data, dict) else ():
        if key not in known:
            imported.note(f"{_join_path((*path, key))} is not carried over{f': {reason}' if reason else ''}",
                       document.key_at(*path, key))  # fmt: skip


def _join_path(path: Path) -> str:
    return ".".join(map(str, path)) or "the file"
