"""Terraform's `kafka_topic` and `kafka-connect_connector` (the Mongey providers), in HCL or JSON syntax.

python-hcl2 reads HCL; `pip install 'kplan[terraform]'` installs it. `.tf.json` needs nothing. Expressions count as far
as they are about literals, and about variables and locals of the same folder; `.tfvars` set variables.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import PurePath
from typing import Any, Final

from kplan.diagnostics import Invalid, Span, Unsupported
from kplan.importers.reading import (
    add_connector,
    add_topic,
    file_error,
    read_count,
    read_documents,
    read_map,
    read_settings,
)
from kplan.importers.resources import ImportedResources, shorten_names
from kplan.importers.terraform_expressions import UnknownValue, evaluate
from kplan.importers.terraform_resources import READERS, ResourceValues, add_resource
from kplan.language.source import NODE_CHARACTERS, Document
from kplan.model import Rules, Secret, is_sensitive_key
from kplan.values import dataclass

MAX_REFERENCES: Final = 9  # that lead from one to the next
EXPRESSION: Final = re.compile(r"(?<![$%])[$%]\{")
ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt"\\]))|([$%])\4(?=\{)')
ESCAPED_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
ENTRY: Final = re.compile(r"""config(?:_sensitive)?\[\\?["']([^"'\\]+)\\?["']\]""")
VARIABLES_SUFFIXES: Final = (".tfvars", ".tfvars.json")
OF_PROVIDERS: Final = (
    "credentials",
    "environment",
    "id",
    "kafka_cluster",
    "password",
    "project",
    "rest_endpoint",
    "schema_registry_cluster",
    "service_name",
)  # which cluster, and as whom
META: Final = ("__is_block__", "depends_on", "provider", "lifecycle")
READ_KEYS: Final = ("variable", "locals", "resource", "terraform", "provider", "//", *META)
MAX_CHARACTERS: Final = 2 << 20  # of a file in HCL: its reader takes a second for some 20 KB of resources
MAX_VALUES: Final = 100_000  # that references to locals and variables may make of the ones that are written
LABELLED_BLOCKS: Final = ("module", "data", "output", "check", "ephemeral")


HEADING: Final = re.compile(r'^[ \t]*([\w-]+)((?:[ \t]+(?:"[^"\n]*"|[\w-]+))*)', re.MULTILINE)
LABEL: Final = re.compile(r'"([^"\n]*)"|([\w-]+)')


@dataclass(slots=True)
class _Scope:
    """The values of the names `var.…` and `local.…` of a folder, as far as they are literals."""

    values: dict[str, Any] = field(default_factory=dict)
    sensitive: set[str] = field(default_factory=set)
    defaults: set[str] = field(default_factory=set)  # variables that no file sets
    used: set[str] = field(default_factory=set)
    value_count: list[int] = field(default_factory=lambda: [0])  # over all uses
    bound: Mapping[str, Any] = field(default_factory=dict)  # `each` and `count` of one resource

    def count_values(self, number: int) -> None:
        """Count values. Raises Invalid where references make too many values."""
        self.value_count[0] += number
        if self.value_count[0] > MAX_VALUES:
            raise file_error(f"its locals and variables make more than {MAX_VALUES:,} values of each other", None)

    def merge(self, other: _Scope) -> None:
        self.values |= other.values
        self.sensitive |= other.sensitive
        self.defaults |= other.defaults


@dataclass(slots=True)
class _Blocks:
    """A file's resources as (type, label, body, line), and the literals of its variables and locals."""

    path: str
    imported: ImportedResources = field(default_factory=ImportedResources)
    scope: _Scope = field(default_factory=_Scope)
    resources: list[tuple[str, str, dict[str, Any], Span]] = field(default_factory=list)

    def add_variable(self, name: str, body: Mapping[str, Any]) -> None:
        if body.get("sensitive") is True:
            self.scope.sensitive.add(f"var.{name}")
        if body.get("default") is not None:
            self.scope.values[f"var.{name}"] = body["default"]
            self.scope.defaults.add(f"var.{name}")

    @property
    def is_variables_file(self) -> bool:
        return self.path.endswith(VARIABLES_SUFFIXES)


def parse(path: str, text: str) -> ImportedResources:
    """Parse the topics and connectors of one file. Raises Invalid, or Unsupported where the extra is missing."""
    return parse_all([(path, text)])


def parse_all(files: Sequence[tuple[str, str]]) -> ImportedResources:
    """Parse the topics and connectors of all files; variables are those of their folder. Raises as `parse` does."""
    files_read = [_read_json(*each) if each[1].lstrip().startswith("{") else _read_hcl(*each) for each in files]
    scopes: dict[PurePath, _Scope] = {}
    for file in files_read:
        if not file.is_variables_file:
            scopes.setdefault(PurePath(file.path).parent, _Scope()).merge(file.scope)
    for file in files_read:
        for scope in scopes.values() if file.is_variables_file else ():
            scope.values |= file.scope.values
            scope.defaults -= file.scope.values.keys()
    imported = ImportedResources()
    for file in files_read:
        if not file.is_variables_file:
            file.scope = scopes[PurePath(file.path).parent]
            _parse_resources(file)
        imported.merge(file.imported)
    unset = sorted({name for scope in scopes.values() for name in scope.used & scope.defaults})
    if unset:
        imported.note(
            f"defaults of variables count ({shorten_names(unset)}): "
            "give a .tfvars file that says otherwise with --file too"
        )
    return imported


def _parse_resources(blocks: _Blocks) -> None:
    for kind, label, body, span in blocks.resources:
        if kind not in READERS:
            blocks.imported.note(f"{kind}.{label} is not carried over", span)
            continue
        try:
            instances = _list_instances(blocks.scope, body, span)
        except UnknownValue as e:
            help = "`terraform show -json | kplan import --file -` has all of them"
            words = f"{kind}.{label} is left out: its count or for_each is known to Terraform alone ({e}); {help}"
            blocks.imported.note(words, span)
            continue
        if not instances:
            key = "count is 0" if "count" in body else "for_each is empty"
            blocks.imported.note(f"{kind}.{label} is left out: its {key}", span)
        own_body = {key: value for key, value in body.items() if key not in ("count", "for_each")}
        for index, bound in instances:
            own = replace(blocks, scope=replace(blocks.scope, bound=bound)) if bound else blocks
            _parse_resource(own, kind, f"{label}{index}", own_body, span)


def _parse_resource(blocks: _Blocks, kind: str, label: str, body: dict[str, Any], span: Span) -> None:
    if kind == "kafka_topic":
        _parse_topic(blocks, label, body, span)
    elif kind == "kafka-connect_connector":
        _parse_connector(blocks, label, body, span)
    else:
        _parse_other(blocks, kind, label, body, span)


def _list_instances(scope: _Scope, body: Mapping[str, Any], span: Span) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the index of each instance of a resource, with what is bound in it. Raises UnknownValue and Invalid."""
    if "count" in body:
        count = _resolve_at(body["count"], scope, span)
        number = int(count) if str(count).isdigit() else -1
        if number < 0:
            raise file_error(f"count is {count!r}", span, "it is a whole number")
        scope.count_values(number)
        return [(f"[{n}]", {"count": {"index": n}}) for n in range(number)]
    if "for_each" not in body:
        return [("", {})]
    items = _resolve_at(body["for_each"], scope, span)
    if not isinstance(items, dict | list):
        raise file_error("for_each is neither a map nor a set", span)
    pairs = items.items() if isinstance(items, dict) else ((item, item) for item in items)
    return [(f"[{key!r}]", {"each": {"key": key, "value": value}}) for key, value in pairs]


# -- syntax -----------------------------------------------------------------------------------------------------------
def _read_json(path: str, text: str) -> _Blocks:
    blocks = _Blocks(path)
    document = read_documents(path, text, blocks.imported)[0]
    data = read_map(document, (), document.data, required=True)
    if blocks.is_variables_file:
        blocks.scope.values = {f"var.{name}": value for name, value in data.items()}
        return blocks
    for name, body in read_map(document, ("variable",), data.get("variable")).items():
        first_body = body[0] if isinstance(body, list) and body else body
        if isinstance(first_body, dict):
            blocks.add_variable(name, first_body)
    for name, value in read_map(document, ("locals",), data.get("locals")).items():
        blocks.scope.values[f"local.{name}"] = value
    for kind, labels in read_map(document, ("resource",), data.get("resource")).items():
        for label, body in read_map(document, ("resource", kind), labels).items():
            first_body = body[0] if isinstance(body, list) and body else body
            first_body = read_map(document, ("resource", kind, label), first_body, required=True)
            blocks.resources.append((kind, label, first_body, document.key_at("resource", kind, label)))
    for key in (each for each in data if each not in READ_KEYS):
        blocks.imported.note(f"{key} is not carried over", document.key_at(key))
    return blocks


def _read_hcl(path: str, text: str) -> _Blocks:
    blocks = _Blocks(path)
    data = _parse_hcl(path, text)
    places = _locate_blocks(path, text)
    if blocks.is_variables_file:
        blocks.scope.values = {
            f"var.{_strip_quotes(name)}": _to_json_syntax(value) for name, value in data.items() if name not in META
        }
        return blocks
    for name, body in _list_labelled(data.get("variable") or []):
        blocks.add_variable(name, {key: _to_json_syntax(value) for key, value in body.items()})
    for body in data.get("locals") or []:
        blocks.scope.values |= {
            f"local.{name}": _to_json_syntax(value) for name, value in body.items() if name not in META
        }
    for kind, labels in ((_strip_quotes(k), v) for block in data.get("resource") or [] for k, v in block.items()):
        for label, body in labels.items():
            if isinstance(body, dict):
                plain = {key: _to_json_syntax(value) for key, value in body.items()}
                span = places.get(("resource", kind, _strip_quotes(label)), Span(path))
                blocks.resources.append((kind, _strip_quotes(label), plain, span))
    for kind in (each for each in data if each not in READ_KEYS):
        entries = data[kind] if isinstance(data[kind], list) else [data[kind]]
        names = sorted({name for name, _ in _list_labelled([each for each in entries if isinstance(each, dict)])})
        for name in names if kind in LABELLED_BLOCKS else [""]:
            labels = (kind, *([name] if name else []))
            blocks.imported.note(f"{' '.join(labels)} is not carried over", places.get(labels, Span(path)))
    return blocks


def _locate_blocks(path: str, text: str) -> Mapping[tuple[str, ...], Span]:
    """Return the line where each block begins, by its labels and by the first of them: python-hcl2 does not give it."""
    places: dict[tuple[str, ...], Span] = {}
    line, counted_to = 1, 0
    for match in HEADING.finditer(text):
        line, counted_to = line + text.count("\n", counted_to, match.end()), match.end()
        labels = (match[1], *(quoted or bare for quoted, bare in LABEL.findall(match[2])))
        for length in range(1, min(len(labels), 3) + 1):
            places.setdefault(labels[:length], Span(path, line, 1, line, 1))
    return places


def _parse_hcl(path: str, text: str) -> Mapping[str, Any]:
    try:
        import hcl2
        from hcl2 import SerializationOptions
        from lark.exceptions import LarkError
    except ImportError as e:
        help = "pip install 'kplan[terraform]', or give the file as .tf.json"
        raise Unsupported(f"{path}: reading Terraform's HCL needs python-hcl2 (version 8)", help=help) from e
    if len(text) > MAX_CHARACTERS:
        raise file_error(f"it has more than {MAX_CHARACTERS >> 20} MiB", Span(path), "split it, or give it as .tf.json")
    options = SerializationOptions(with_comments=False, preserve_heredocs=False)
    try:
        data: Mapping[str, Any] = hcl2.loads(
            text if text.endswith("\n") else text + "\n", serialization_options=options
        )
    except LarkError as e:
        line, column = int(getattr(e, "line", 0) or 0), int(getattr(e, "column", 1) or 1)
        span = Span(path, line, column, line, column + 1) if line > 0 else Span(path)
        raise file_error("this is not Terraform configuration", span, "run `terraform validate` for details") from e
    except RecursionError as e:
        raise file_error("its blocks or expressions are nested too deeply", Span(path)) from e
    except RuntimeError as e:
        raise file_error(f"python-hcl2 cannot read it: {e}", Span(path), "`terraform validate` says more") from e
    except ValueError as e:  # of a number that Python does not read
        raise file_error("a number has too many digits", Span(path)) from e
    return data


def _list_labelled(blocks: list[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in blocks:
        for name, body in block.items():
            if isinstance(body, dict):
                yield _strip_quotes(name), body


def _strip_quotes(name: str) -> str:
    return name.strip('"')


def _to_json_syntax(value: Any) -> Any:
    """Return a value as JSON syntax has it: strings without quotes, expressions within `${…}`."""
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    if isinstance(value, str) and not value.startswith("${"):
        return f"${{{value}}}"
    if isinstance(value, dict):
        return {
            _strip_quotes(key): _to_json_syntax(child) for key, child in value.items() if key not in ("__is_block__",)
        }
    return [_to_json_syntax(child) for child in value] if isinstance(value, list) else value


# -- values -----------------------------------------------------------------------------------------------------------
def _resolve(value: Any, scope: _Scope, depth: int = 0) -> Any:
    """Return the value with variables and locals put in. Raises UnknownValue."""
    if isinstance(value, list):
        scope.count_values(len(value))
        return [_resolve(each, scope, depth) for each in value]
    if isinstance(value, dict):
        scope.count_values(len(value))
        return {str(_resolve(key, scope, depth)): _resolve(each, scope, depth) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    if not EXPRESSION.search(value):
        scope.count_values(len(value) // NODE_CHARACTERS)
        return ESCAPE.sub(_unescape, value)

    def find(kind: str, name: str) -> Any:
        reference = f"{kind}.{name}"
        scope.used.add(reference)
        if reference not in scope.values or depth > MAX_REFERENCES:
            raise UnknownValue(reference)
        return _resolve(scope.values[reference], scope, depth + 1)

    return evaluate(value, find, scope.bound, scope.count_values)


def _unescape(match: re.Match[str]) -> str:
    code = int(match[1] or match[2] or "0", 16)
    if code > sys.maxunicode or 0xD800 <= code <= 0xDFFF:
        raise file_error(f"{match[0]} is not a character", None)
    return chr(code) if match[1] or match[2] else ESCAPED_LETTERS[match[3]] if match[3] else match[4]


def _resolve_at(value: Any, scope: _Scope, span: Span) -> Any:
    """Resolve as `_resolve`; an error has the place of the resource. Raises UnknownValue and Invalid."""
    try:
        return _resolve(value, scope)
    except Invalid as e:
        raise Invalid([replace(each, span=each.span or span) for each in e.diagnostics]) from e


def _resolve_attribute(
    blocks: _Blocks, address: str, body: Mapping[str, Any], key: str, span: Span, *, required: bool = False
) -> Any:
    try:
        return _resolve_at(body.get(key), blocks.scope, span)
    except UnknownValue as e:
        blocks.imported.note(f"{address}: {key} is left out: only Terraform knows {e}", span)
        return Ellipsis if required else None


@dataclass(slots=True)
class _MapEntries:
    """The entries whose values are known, which of them are secret, and the keys of unknown values."""

    kept: dict[str, Any] = field(default_factory=dict)
    sensitive: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)  # of which no more is known than that
    is_known: bool = True  # whether it is known which entries there are


def _resolve_map(blocks: _Blocks, address: str, value: Any, span: Span) -> _MapEntries:
    entries = _MapEntries()
    if isinstance(value, list) and len(value) == 1:  # a block, as providers had it before maps
        value = value[0]
    scope = replace(blocks.scope, used=set())
    if isinstance(value, str) and EXPRESSION.search(value):
        try:
            value = _resolve_at(value, scope, span)
        except UnknownValue as e:
            blocks.imported.note(f"{address} is left out: only Terraform knows {e}", span)
            entries.is_known = False
            return entries
        blocks.scope.used |= scope.used
        if isinstance(value, dict) and scope.used & scope.sensitive:
            entries.sensitive |= {*map(str, value)}
    if value is not None and not isinstance(value, dict):
        raise file_error(f"{address} is not a map", span)
    for written_key, entry in (value or {}).items():
        if written_key in META:
            continue
        scope = replace(blocks.scope, used=set())
        key = written_key
        try:
            key = str(_resolve_at(written_key, scope, span))
            resolved = _resolve_at(entry, scope, span)
            if resolved is not None:
                entries.kept[key] = resolved
        except UnknownValue:
            is_secret = is_sensitive_key(key) or scope.used & scope.sensitive
            (entries.secrets if is_secret else entries.unknown).append(key)
        if scope.used & scope.sensitive:
            entries.sensitive.add(key)
        blocks.scope.used |= scope.used
    return entries


# -- resources --------------------------------------------------------------------------------------------------------
def _parse_topic(blocks: _Blocks, label: str, body: dict[str, Any], span: Span) -> None:
    address = f"kafka_topic.{label}"
    name = _resolve_attribute(blocks, address, body, "name", span, required=True)
    if name is Ellipsis:
        return
    if not isinstance(name, str) or not name:
        raise file_error(f"{address} has no name", span)
    document = _make_document(blocks, span)
    config = _resolve_map(blocks, f"{address}: config", body.get("config"), span)
    for key in (*config.unknown, *config.secrets):
        blocks.imported.note(f"{address}: config {key} is left out: only Terraform knows it", span)
    counts = [
        read_count(document, (address, key), _resolve_attribute(blocks, address, body, key, span), -1, blocks.imported)
        for key in ("partitions", "replication_factor")
    ]
    config_texts = read_settings(document, (address, "config"), config.kept, blocks.imported)
    rules = _parse_lifecycle(blocks, address, body, config_texts.keys(), span)
    add_topic(blocks.imported, document, (), name, counts[0], counts[1], config_texts, rules=rules)
    _note_unread_attributes(blocks, address, body, ("name", "partitions", "replication_factor", "config"), span)


def _parse_connector(blocks: _Blocks, label: str, body: dict[str, Any], span: Span) -> None:
    address = f"kafka-connect_connector.{label}"
    name = _resolve_attribute(blocks, address, body, "name", span, required=True)
    if name is Ellipsis:
        return
    if not isinstance(name, str) or not name:
        raise file_error(f"{address} has no name", span)
    document = _make_document(blocks, span)
    config = _resolve_map(blocks, f"{address}: config", body.get("config"), span)
    sensitive_config = _resolve_map(blocks, f"{address}: config_sensitive", body.get("config_sensitive"), span)
    if not config.is_known:
        return
    for key in config.unknown:
        blocks.imported.note(f"{address}: config {key} is left out: only Terraform knows it", span)
    config_texts = read_settings(
        document, (address, "config"), {**config.kept, **sensitive_config.kept}, blocks.imported
    )
    secrets = [*config.secrets, *sensitive_config.unknown, *sensitive_config.secrets]
    rules = _parse_lifecycle(blocks, address, body, {*config_texts, *secrets}, span)
    is_duplicate = name in blocks.imported.connectors
    add_connector(
        blocks.imported,
        document,
        (),
        name,
        config_texts,
        sensitive={*sensitive_config.kept, *config.sensitive},
        rules=rules,
    )
    connector = blocks.imported.connectors.get(name)
    if connector is not None and not is_duplicate:  # of these no more is known than that they are secrets
        blocks.imported.connectors[name] = replace(
            connector, config={**connector.config, **{key: Secret() for key in secrets}}
        )
    _note_unread_attributes(blocks, address, body, ("name", "config", "config_sensitive"), span)


def _parse_other(blocks: _Blocks, kind: str, label: str, body: dict[str, Any], span: Span) -> None:
    """Parse a resource that is only names and settings; one with a name that only Terraform knows is left out."""
    address, values = f"{kind}.{label}", {}
    for key, value in body.items():
        if key in META or key in OF_PROVIDERS:
            continue
        if key.startswith("config"):
            entries = _resolve_map(blocks, f"{address}: {key}", value, span)
            for name in entries.unknown:
                blocks.imported.note(f"{address}: {key} {name} is left out: only Terraform knows it", span)
            values[key] = {**entries.kept, **dict.fromkeys(entries.secrets, "")}
            continue
        resolved = _resolve_attribute(blocks, address, body, key, span, required=True)
        if resolved is Ellipsis:
            return
        values[key] = resolved
    document = _make_document(blocks, span)
    add_resource(blocks.imported, kind, ResourceValues(document, (), address, values))


def _parse_lifecycle(blocks: _Blocks, address: str, body: Mapping[str, Any], keys: Iterable[str], span: Span) -> Rules:
    """Return the rules of `lifecycle` that kplan has too; note the others."""
    lifecycle = body.get("lifecycle")
    attributes = lifecycle[0] if isinstance(lifecycle, list) and lifecycle else lifecycle
    attributes = attributes if isinstance(attributes, dict) else {}
    ignore_changes = attributes.get("ignore_changes") or []
    ignored: set[str] = set()
    for part in ignore_changes if isinstance(ignore_changes, list) else [ignore_changes]:
        attribute = str(part).removeprefix("${").removesuffix("}")
        entry = ENTRY.fullmatch(attribute)
        if entry:
            ignored.add(entry[1])
        elif attribute in ("config", "config_sensitive", "all"):
            ignored |= {*keys}
        if not entry and attribute not in ("config", "config_sensitive"):
            what_is_ignored = "partitions and replicas" if attribute == "all" else attribute
            blocks.imported.note(
                f"{address}: ignore_changes of {what_is_ignored} is not carried over: only settings are ignored", span
            )
    for key in (known for known in attributes if known not in ("prevent_destroy", "ignore_changes", *META)):
        blocks.imported.note(f"{address}: lifecycle {key} is not carried over", span)
    return Rules(protect=attributes.get("prevent_destroy") is True or None, ignore=frozenset(ignored - {"name"}))


def _note_unread_attributes(
    blocks: _Blocks, address: str, body: Mapping[str, Any], known: tuple[str, ...], span: Span
) -> None:
    for key in body:
        if key == "provider":
            blocks.imported.note(f"{address}: {key} is not carried over: a stack is about one cluster", span)
        elif key not in known and key not in META:
            blocks.imported.note(f"{address}: {key} is not carried over", span)


def _make_document(blocks: _Blocks, span: Span) -> Document:
    return Document(blocks.path, "", None, {(): span}, {})
