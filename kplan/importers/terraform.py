"""Terraform's `kafka_topic` and `kafka-connect_connector` (the Mongey providers), in HCL or JSON syntax.

HCL is read by python-hcl2, which `pip install 'kplan[terraform]'` brings; `.tf.json` needs nothing. Only
literals count, and the variables and locals of the same folder's files that are one; `.tfvars` set variables.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Final

from kplan.diagnostics import Invalid, Span, Unsupported
from kplan.importers.found import Found, few
from kplan.importers.reading import add_connector, add_topic, documents, mapping, number, refused, settings, written
from kplan.language.source import NODE_CHARACTERS, Document
from kplan.model import Rules, Secret, is_sensitive_key

REFERENCE: Final = re.compile(r"(?<![$%])\$\{\s*((?:var|local)\.[\w-]+)\s*\}")
EXPRESSION: Final = re.compile(r"(?<![$%])[$%]\{")
ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt"\\]))|([$%])\4(?=\{)')
LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
ENTRY: Final = re.compile(r"""config(?:_sensitive)?\[\\?["']([^"'\\]+)\\?["']\]""")
SETTERS: Final = (".tfvars", ".tfvars.json")
META: Final = ("__is_block__", "depends_on", "provider", "lifecycle")
TAKEN: Final = ("variable", "locals", "resource", "terraform", "provider", "//", *META)
MAX_CHARACTERS: Final = 2 << 20  # of a file in HCL: its reader takes a second for some 20 KB of resources
MAX_VALUES: Final = 100_000  # that references to locals and variables may make of the ones that are written
LABELLED: Final = ("module", "data", "output", "check", "ephemeral")


HEADING: Final = re.compile(r'^[ \t]*([\w-]+)((?:[ \t]+(?:"[^"\n]*"|[\w-]+))*)', re.MULTILINE)
LABEL: Final = re.compile(r'"([^"\n]*)"|([\w-]+)')


class Unknown(Exception):
    """A value that only Terraform can work out."""


@dataclass(slots=True)
class _Scope:
    """What the names `var.…` and `local.…` of a folder stand for, as far as that is a literal."""

    known: dict[str, Any] = field(default_factory=dict)
    sensitive: set[str] = field(default_factory=set)
    defaults: set[str] = field(default_factory=set)  # variables that no file sets
    used: set[str] = field(default_factory=set)
    made: list[int] = field(default_factory=lambda: [0])  # values, over all uses

    def count(self, values: int) -> None:
        """Raises Invalid where references have made too many values of few."""
        self.made[0] += values
        if self.made[0] > MAX_VALUES:
            raise refused(f"its locals and variables make more than {MAX_VALUES:,} values of each other", None)

    def add(self, other: _Scope) -> None:
        self.known |= other.known
        self.sensitive |= other.sensitive
        self.defaults |= other.defaults


@dataclass(slots=True)
class _Blocks:
    """A file's resources as (type, label, body, line), and the literals of its variables and locals."""

    path: str
    found: Found = field(default_factory=Found)
    scope: _Scope = field(default_factory=_Scope)
    resources: list[tuple[str, str, dict[str, Any], Span]] = field(default_factory=list)

    def variable(self, name: str, body: Mapping[str, Any]) -> None:
        if body.get("sensitive") is True:
            self.scope.sensitive.add(f"var.{name}")
        if body.get("default") is not None:
            self.scope.known[f"var.{name}"] = body["default"]
            self.scope.defaults.add(f"var.{name}")

    @property
    def sets(self) -> bool:
        return self.path.endswith(SETTERS)


def parse(path: str, text: str) -> Found:
    """The topics and connectors of one file. Raises Invalid, or Unsupported where the extra is missing."""
    return parse_all([(path, text)])


def parse_all(files: Sequence[tuple[str, str]]) -> Found:
    """The topics and connectors of all the files; variables are those of their folder. Raises as `parse` does."""
    parts = [_from_json(*each) if each[1].lstrip().startswith("{") else _from_hcl(*each) for each in files]
    scopes: dict[PurePath, _Scope] = {}
    for part in parts:
        if not part.sets:
            scopes.setdefault(PurePath(part.path).parent, _Scope()).add(part.scope)
    for part in parts:
        for scope in scopes.values() if part.sets else ():
            scope.known |= part.scope.known
            scope.defaults -= part.scope.known.keys()
    found = Found()
    for part in parts:
        if not part.sets:
            part.scope = scopes[PurePath(part.path).parent]
            _resources(part)
        found.take(part.found)
    left = sorted({name for scope in scopes.values() for name in scope.used & scope.defaults})
    if left:
        found.note(
            f"defaults of variables count ({few(left)}): give a .tfvars file that says otherwise with --file too"
        )
    return found


def _resources(blocks: _Blocks) -> None:
    for kind, label, body, span in blocks.resources:
        if {"count", "for_each"} & body.keys():
            blocks.found.note(f"{kind}.{label} is left out: it is made by count or for_each", span)
        elif kind == "kafka_topic":
            _topic(blocks, label, body, span)
        elif kind == "kafka-connect_connector":
            _connector(blocks, label, body, span)
        else:
            blocks.found.note(f"{kind}.{label} is not carried over", span)


# -- syntax -----------------------------------------------------------------------------------------------------------
def _from_json(path: str, text: str) -> _Blocks:
    blocks = _Blocks(path)
    document = documents(path, text, blocks.found)[0]
    data = mapping(document, (), document.data, needed=True)
    if blocks.sets:
        blocks.scope.known = {f"var.{name}": value for name, value in data.items()}
        return blocks
    for name, body in mapping(document, ("variable",), data.get("variable")).items():
        own = body[0] if isinstance(body, list) and body else body
        if isinstance(own, dict):
            blocks.variable(name, own)
    for name, value in mapping(document, ("locals",), data.get("locals")).items():
        blocks.scope.known[f"local.{name}"] = value
    for kind, labels in mapping(document, ("resource",), data.get("resource")).items():
        for label, body in mapping(document, ("resource", kind), labels).items():
            own = body[0] if isinstance(body, list) and body else body
            own = mapping(document, ("resource", kind, label), own, needed=True)
            blocks.resources.append((kind, label, own, document.key_at("resource", kind, label)))
    for key in (each for each in data if each not in TAKEN):
        blocks.found.note(f"{key} is not carried over", document.key_at(key))
    return blocks


def _from_hcl(path: str, text: str) -> _Blocks:
    blocks = _Blocks(path)
    data = _parsed(path, text)
    places = _places(path, text)
    if blocks.sets:
        blocks.scope.known = {f"var.{_bare(name)}": _plain(value) for name, value in data.items() if name not in META}
        return blocks
    for name, body in _labelled(data.get("variable") or []):
        blocks.variable(name, {key: _plain(value) for key, value in body.items()})
    for body in data.get("locals") or []:
        blocks.scope.known |= {f"local.{name}": _plain(value) for name, value in body.items() if name not in META}
    for kind, labels in ((_bare(k), v) for block in data.get("resource") or [] for k, v in block.items()):
        for label, body in labels.items():
            if isinstance(body, dict):
                plain = {key: _plain(value) for key, value in body.items()}
                span = places.get(("resource", kind, _bare(label)), Span(path))
                blocks.resources.append((kind, _bare(label), plain, span))
    for kind in (each for each in data if each not in TAKEN):
        inner = data[kind] if isinstance(data[kind], list) else [data[kind]]
        names = sorted({name for name, _ in _labelled([each for each in inner if isinstance(each, dict)])})
        for name in names if kind in LABELLED else [""]:
            labels = (kind, *([name] if name else []))
            blocks.found.note(f"{' '.join(labels)} is not carried over", places.get(labels, Span(path)))
    return blocks


def _places(path: str, text: str) -> Mapping[tuple[str, ...], Span]:
    """The line where each block begins, by its labels and by the first of them: python-hcl2 does not give it."""
    places: dict[tuple[str, ...], Span] = {}
    line, counted = 1, 0
    for match in HEADING.finditer(text):
        line, counted = line + text.count("\n", counted, match.end()), match.end()
        labels = (match[1], *(quoted or bare for quoted, bare in LABEL.findall(match[2])))
        for length in range(1, min(len(labels), 3) + 1):
            places.setdefault(labels[:length], Span(path, line, 1, line, 1))
    return places


def _parsed(path: str, text: str) -> Mapping[str, Any]:
    try:
        import hcl2
        from hcl2 import SerializationOptions
        from lark.exceptions import LarkError
    except ImportError as e:
        help = "pip install 'kplan[terraform]', or give the file as .tf.json"
        raise Unsupported(f"{path}: reading Terraform's HCL needs python-hcl2 (version 8)", help=help) from e
    if len(text) > MAX_CHARACTERS:
        raise refused(f"it has more than {MAX_CHARACTERS >> 20} MiB", Span(path), "split it, or give it as .tf.json")
    options = SerializationOptions(with_comments=False, preserve_heredocs=False)
    try:
        data: Mapping[str, Any] = hcl2.loads(
            text if text.endswith("\n") else text + "\n", serialization_options=options
        )
    except LarkError as e:
        line, column = int(getattr(e, "line", 0) or 0), int(getattr(e, "column", 1) or 1)
        span = Span(path, line, column, line, column + 1) if line > 0 else Span(path)
        raise refused("it is no Terraform configuration here", span, "`terraform validate` says more") from e
    except RecursionError as e:
        raise refused("its blocks or expressions are nested too deeply", Span(path)) from e
    except RuntimeError as e:
        raise refused(f"python-hcl2 cannot read it: {e}", Span(path), "`terraform validate` says more") from e
    except ValueError as e:  # of a number that Python does not read
        raise refused("a number has too many digits", Span(path)) from e
    return data


def _labelled(blocks: list[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in blocks:
        for name, body in block.items():
            if isinstance(body, dict):
                yield _bare(name), body


def _bare(name: str) -> str:
    return name.strip('"')


def _plain(value: Any) -> Any:
    """A value as JSON syntax has it: strings without quotes, expressions within `${…}`."""
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    if isinstance(value, str) and not value.startswith("${"):
        return f"${{{value}}}"
    if isinstance(value, dict):
        return {_bare(key): _plain(child) for key, child in value.items() if key not in ("__is_block__",)}
    return [_plain(child) for child in value] if isinstance(value, list) else value


# -- values -----------------------------------------------------------------------------------------------------------
def _value(value: Any, scope: _Scope, depth: int = 0) -> Any:
    """The value with variables and locals put in. Raises Unknown."""
    if isinstance(value, list):
        scope.count(len(value))
        return [_value(each, scope, depth) for each in value]
    if not isinstance(value, str):
        return value
    whole = REFERENCE.fullmatch(value)
    if whole:
        scope.used.add(whole[1])
        if whole[1] not in scope.known or depth > 9:
            raise Unknown(whole[1])
        return _value(scope.known[whole[1]], scope, depth + 1)
    text = REFERENCE.sub(lambda match: written(_value(match[0], scope, depth + 1)), value)
    scope.count(len(text) // NODE_CHARACTERS)
    if EXPRESSION.search(text):
        raise Unknown(value)
    return ESCAPE.sub(_unescaped, text)


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[1] or match[2] or "0", 16)
    if code > sys.maxunicode or 0xD800 <= code <= 0xDFFF:
        raise refused(f"{match[0]} is not a character", None)
    return chr(code) if match[1] or match[2] else LETTERS[match[3]] if match[3] else match[4]


def _value_at(value: Any, scope: _Scope, span: Span) -> Any:
    """As `_value`; an error has the place of the resource. Raises Unknown and Invalid."""
    try:
        return _value(value, scope)
    except Invalid as e:
        raise Invalid([replace(each, span=each.span or span) for each in e.diagnostics]) from e


def _known(blocks: _Blocks, what: str, body: Mapping[str, Any], key: str, span: Span, *, needed: bool = False) -> Any:
    try:
        return _value_at(body.get(key), blocks.scope, span)
    except Unknown as e:
        blocks.found.note(f"{what}: {key} is left out: only Terraform knows {e}", span)
        return Ellipsis if needed else None


@dataclass(slots=True)
class _Settings:
    """The entries that are known, those among them that are secret, and the keys of what only Terraform knows."""

    kept: dict[str, Any] = field(default_factory=dict)
    sensitive: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)  # of which no more is known than that


def _map(blocks: _Blocks, what: str, value: Any, span: Span) -> _Settings:
    found = _Settings()
    if isinstance(value, list) and len(value) == 1:  # a block, as providers had it before maps
        value = value[0]
    if value is not None and not isinstance(value, dict):
        if isinstance(value, str) and EXPRESSION.search(value):
            blocks.found.note(f"{what} is left out: only Terraform knows it", span)
            return found
        raise refused(f"{what} is no map", span)
    for key, each in (value or {}).items():
        if key in META:
            continue
        scope = replace(blocks.scope, used=set())
        try:
            found.kept[key] = _value_at(each, scope, span)
        except Unknown:
            secret = is_sensitive_key(key) or scope.used & scope.sensitive
            (found.secrets if secret else found.unknown).append(key)
        if scope.used & scope.sensitive:
            found.sensitive.add(key)
        blocks.scope.used |= scope.used
    return found


# -- resources --------------------------------------------------------------------------------------------------------
def _topic(blocks: _Blocks, label: str, body: dict[str, Any], span: Span) -> None:
    what = f"kafka_topic.{label}"
    name = _known(blocks, what, body, "name", span, needed=True)
    if name is Ellipsis:
        return
    if not isinstance(name, str) or not name:
        raise refused(f"{what} has no name", span)
    document = _document(blocks, span)
    config = _map(blocks, f"{what}: config", body.get("config"), span)
    for key in (*config.unknown, *config.secrets):
        blocks.found.note(f"{what}: config {key} is left out: only Terraform knows it", span)
    counts = [
        number(document, (what, key), _known(blocks, what, body, key, span), -1, blocks.found)
        for key in ("partitions", "replication_factor")
    ]
    texts = settings(document, (what, "config"), config.kept, blocks.found)
    rules = _rules(blocks, what, body, texts.keys(), span)
    add_topic(blocks.found, document, (), name, counts[0], counts[1], texts, rules=rules)
    _rest(blocks, what, body, ("name", "partitions", "replication_factor", "config"), span)


def _connector(blocks: _Blocks, label: str, body: dict[str, Any], span: Span) -> None:
    what = f"kafka-connect_connector.{label}"
    name = _known(blocks, what, body, "name", span, needed=True)
    if name is Ellipsis:
        return
    if not isinstance(name, str) or not name:
        raise refused(f"{what} has no name", span)
    document = _document(blocks, span)
    config = _map(blocks, f"{what}: config", body.get("config"), span)
    hidden = _map(blocks, f"{what}: config_sensitive", body.get("config_sensitive"), span)
    for key in config.unknown:
        blocks.found.note(f"{what}: config {key} is left out: only Terraform knows it", span)
    texts = settings(document, (what, "config"), {**config.kept, **hidden.kept}, blocks.found)
    secrets = [*config.secrets, *hidden.unknown, *hidden.secrets]
    rules = _rules(blocks, what, body, {*texts, *secrets}, span)
    known = name in blocks.found.connectors
    add_connector(blocks.found, document, (), name, texts, sensitive={*hidden.kept, *config.sensitive}, rules=rules)
    made = blocks.found.connectors.get(name)
    if made is not None and not known:  # of these no more is known than that they are secrets
        blocks.found.connectors[name] = replace(made, config={**made.config, **{key: Secret() for key in secrets}})
    _rest(blocks, what, body, ("name", "config", "config_sensitive"), span)


def _rules(blocks: _Blocks, what: str, body: Mapping[str, Any], keys: Iterable[str], span: Span) -> Rules:
    """What `lifecycle` says, as far as kplan has a word for it; the rest is noted."""
    lifecycle = body.get("lifecycle")
    each = lifecycle[0] if isinstance(lifecycle, list) and lifecycle else lifecycle
    each = each if isinstance(each, dict) else {}
    said = each.get("ignore_changes") or []
    ignored: set[str] = set()
    for part in said if isinstance(said, list) else [said]:
        attribute = str(part).removeprefix("${").removesuffix("}")
        entry = ENTRY.fullmatch(attribute)
        if entry:
            ignored.add(entry[1])
        elif attribute in ("config", "config_sensitive", "all"):
            ignored |= {*keys}
        if not entry and attribute not in ("config", "config_sensitive"):
            left = "partitions and replicas" if attribute == "all" else attribute
            blocks.found.note(f"{what}: ignore_changes of {left} is not carried over: only settings are ignored", span)
    for key in (known for known in each if known not in ("prevent_destroy", "ignore_changes", *META)):
        blocks.found.note(f"{what}: lifecycle {key} is not carried over", span)
    return Rules(protect=each.get("prevent_destroy") is True or None, ignore=frozenset(ignored - {"name"}))


def _rest(blocks: _Blocks, what: str, body: Mapping[str, Any], known: tuple[str, ...], span: Span) -> None:
    for key in body:
        if key == "provider":
            blocks.found.note(f"{what}: {key} is not carried over: a stack is about one cluster", span)
        elif key not in known and key not in META:
            blocks.found.note(f"{what}: {key} is not carried over", span)


def _document(blocks: _Blocks, span: Span) -> Document:
    return Document(blocks.path, "", None, {(): span}, {})
