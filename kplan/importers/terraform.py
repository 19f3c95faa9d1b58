"""Terraform's `kafka_topic` and `kafka-connect_connector` (the Mongey providers), in HCL or JSON syntax.

Expressions count as far as they are about literals, and about variables and locals of the same folder; `.tfvars` set
variables. A module whose folder is among the files is read as often as it is called.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import PurePath
from typing import Any, Final

from kplan.diagnostics import Span
from kplan.importers.reading import add_connector, add_topic, file_error, read_count, read_settings
from kplan.importers.resources import ImportedResources, shorten_names
from kplan.importers.terraform_expressions import Opaque, UnknownValue
from kplan.importers.terraform_files import LOOPS, META, Block, TerraformFile, read_file
from kplan.importers.terraform_resources import ATTRIBUTES, READERS, ResourceValues, add_resource
from kplan.importers.terraform_scope import (
    EXPRESSION,
    MapEntries,
    TerraformScope,
    list_instances,
    resolve_at,
    resolve_map,
    resolve_whole,
)
from kplan.language.source import Document
from kplan.model import Rules, Secret
from kplan.values import dataclass

ENTRY: Final = re.compile(r"""config(?:_sensitive)?\[\\?["']([^"'\\]+)\\?["']\]""")
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
SHARED: Final = re.compile(r"\$\{\s*(?:var|local)\.[\w-]+\s*\}")  # an expression that is one value throughout a module
MAX_MODULES: Final = 9  # within each other
OF_MODULES: Final = frozenset(("source", "version", "providers", *LOOPS, *META))  # keys of a call that are no inputs


@dataclass(frozen=True, slots=True)
class _Folder:
    """The files of a folder, which are one module, and their names."""

    path: PurePath
    files: list[TerraformFile] = field(default_factory=list)
    scope: TerraformScope = field(default_factory=TerraformScope)

    def locate(self, source: str) -> PurePath:
        """Return the path of the folder of a local module."""
        return PurePath(posixpath.normpath((self.path / source).as_posix()))


Folders = Mapping[PurePath, _Folder]


@dataclass(frozen=True, slots=True)
class _Context:
    """Where a resource is: its file, the names that it may use, and the modules that it is in."""

    path: str
    imported: ImportedResources
    scope: TerraformScope
    prefix: str = ""


def parse(path: str, text: str) -> ImportedResources:
    """Parse the topics and connectors of one file. Raises Invalid, or Unsupported where the extra is missing."""
    return parse_all([(path, text)])


def parse_all(files: Sequence[tuple[str, str]]) -> ImportedResources:
    """Parse the topics and connectors of all files; variables are those of their folder. Raises as `parse` does."""
    files_read = [read_file(*each) for each in files]
    folders: dict[PurePath, _Folder] = {}
    for file in files_read:
        if not file.is_variables_file:
            path = PurePath(posixpath.normpath(PurePath(file.path).parent.as_posix()))
            folder = folders.setdefault(path, _Folder(path))
            folder.files.append(file)
            folder.scope.merge(file.scope)
    roots = _find_roots(folders)
    for file in files_read:
        for folder in roots if file.is_variables_file else ():
            folder.scope.values |= file.scope.values
            folder.scope.defaults.difference_update(file.scope.values)
    imported = ImportedResources()
    for file in files_read:
        imported.merge(file.imported)
    for folder in roots:
        _parse_folder(folder, folder.scope, imported, folders)
    unset = sorted({name for folder in roots for name in folder.scope.used & folder.scope.defaults})
    if unset:
        imported.note(
            f"defaults of variables count ({shorten_names(unset)}): "
            "give a .tfvars file that says otherwise with --file too"
        )
    return imported


def _parse_folder(
    folder: _Folder, scope: TerraformScope, imported: ImportedResources, folders: Folders, prefix: str = ""
) -> None:
    """Parse the resources of a folder, and of the modules that it calls."""
    for file in folder.files:
        context = _Context(file.path, imported, scope, prefix)
        for block in file.resources:
            _parse_resources(context, block)
        for block in file.modules:
            _call_module(context, block, folder, folders)


def _parse_resources(context: _Context, block: Block) -> None:
    address = f"{context.prefix}{block.kind}.{block.label}"
    if block.kind not in READERS:
        context.imported.note(f"{address} is not carried over", block.span)
        return
    own_body = {key: value for key, value in block.body.items() if key not in LOOPS}
    topics = context.imported.topics
    loops: dict[str, dict[str, str]] = {"key": {}, "value": {}}
    for index, own in _list_contexts(context, address, block):
        count = len(topics)
        _parse_resource(own, block.kind, f"{address}{index}", own_body, block.span)
        if len(topics) == count:
            continue
        for word, value in own.scope.bound.get("each", {}).items():
            if isinstance(value, str):
                loops[word][value] = next(reversed(topics))
    context.imported.loops += [loop for loop in loops.values() if loop]


def _parse_resource(context: _Context, kind: str, address: str, body: dict[str, Any], span: Span) -> None:
    if kind == "kafka_topic":
        _parse_topic(context, address, body, span)
    elif kind == "kafka-connect_connector":
        _parse_connector(context, address, body, span)
    else:
        _parse_other(context, kind, address, body, span)


def _list_contexts(context: _Context, address: str, block: Block) -> list[tuple[str, _Context]]:
    """Return the index of each instance of a block with what is bound in it; note where there is none."""
    try:
        instances = list_instances(context.scope, block.body, block.span)
    except UnknownValue as e:
        help = "`terraform show -json | kplan import --file -` has all of them"
        words = f"{address} is left out: its count or for_each is known to Terraform alone ({e}); {help}"
        context.imported.note(words, block.span)
        return []
    if not instances:
        key = "count is 0" if "count" in block.body else "for_each is empty"
        context.imported.note(f"{address} is left out: its {key}", block.span)
    return [
        (index, replace(context, scope=replace(context.scope, bound=bound)) if bound else context)
        for index, bound in instances
    ]


# -- modules ----------------------------------------------------------------------------------------------------------
def _find_roots(folders: Folders) -> list[_Folder]:
    """Return the folders that no other calls. Raises Invalid where modules call each other in a circle."""
    calls = {path: {folder.locate(source): block.span for source, block in _list_local_calls(folder)}
             for path, folder in folders.items()}  # fmt: skip
    called = {path for targets in calls.values() for path in targets}
    reached: set[PurePath] = set()
    waiting = [path for path in folders if path not in called]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [target for target in calls[path] if target in folders]
    circular = [span for path in folders.keys() - reached for target, span in calls[path].items() if target in folders]
    if circular:
        first = min(circular, key=lambda span: (span.path, span.line))
        raise file_error("modules call each other in a circle", first, "`terraform validate` says more")
    return [folder for path, folder in folders.items() if path not in called]


def _list_local_calls(folder: _Folder) -> list[tuple[str, Block]]:
    blocks = [block for file in folder.files for block in file.modules]
    return [(source, block) for block in blocks if (source := _read_local_source(block))]


def _read_local_source(block: Block) -> str:
    """Return the folder of a module relative to its call; empty where the module is elsewhere."""
    source = block.body.get("source")
    return source if isinstance(source, str) and source.startswith(("./", "../")) else ""


def _call_module(context: _Context, block: Block, folder: _Folder, folders: Folders) -> None:
    """Parse the resources of a module with the values of one call."""
    address, source = f"{context.prefix}module.{block.label}", _read_local_source(block)
    if not source:
        help = "`terraform show -json | kplan import --file -` has its resources"
        context.imported.note(f"{address} is left out: its source is not a folder of yours; {help}", block.span)
        return
    target = folders.get(folder.locate(source))
    if target is None:
        help = f"give {folder.locate(source)} with --file too"
        context.imported.note(f"{address} is left out: its folder is not among the files: {help}", block.span)
        return
    if context.prefix.count("module.") >= MAX_MODULES:
        raise file_error(f"{address}: more than {MAX_MODULES} modules are within each other", block.span)
    for index, own in _list_contexts(context, address, block):
        own.scope.count_values(1)
        scope = _pass_inputs(own, block, target.scope)
        _parse_folder(target, scope, own.imported, folders, f"{address}{index}.")


def _pass_inputs(context: _Context, block: Block, scope: TerraformScope) -> TerraformScope:
    """Return the names of a module for one call: what it is given wins over its defaults."""
    given: dict[str, Any] = {}
    sensitive = {*scope.sensitive}
    for key, value in block.body.items():
        if key in OF_MODULES:
            continue
        own_scope, name = replace(context.scope, used=set(), hides_secrets=True), f"var.{key}"
        try:
            given[name] = resolve_at(value, own_scope, block.span)
        except UnknownValue as e:
            given[name] = Opaque(str(e))
            sensitive |= {name} if str(e) in context.scope.sensitive else set()
        sensitive |= own_scope.used & context.scope.sensitive
        context.scope.used |= own_scope.used
    return replace(scope, given=given, sensitive=sensitive, used=set(), bound={}, value_count=context.scope.value_count)


# -- values -----------------------------------------------------------------------------------------------------------
def _resolve_attribute(
    context: _Context, address: str, body: Mapping[str, Any], key: str, span: Span, *, required: bool = False
) -> Any:
    try:
        return resolve_whole(body.get(key), context.scope, span)
    except UnknownValue as e:
        context.imported.note(f"{address}: {key} is left out: only Terraform knows {e}", span)
        return Ellipsis if required else None


def _resolve_entries(context: _Context, address: str, value: Any, span: Span) -> MapEntries | None:
    """Return the entries of a map; None where it is not known which there are, which is noted. Raises Invalid."""
    if isinstance(value, list) and len(value) == 1:  # a block, as providers had it before maps
        value = value[0]
    if not isinstance(value, dict | str | None) or (isinstance(value, str) and not EXPRESSION.search(value)):
        raise file_error(f"{address} is not a map", span)
    written = {key: entry for key, entry in value.items() if key not in META} if isinstance(value, dict) else value
    try:
        return resolve_map(written, context.scope, span)
    except UnknownValue as e:
        context.imported.note(f"{address} is left out: only Terraform knows {e}", span)
        return None


# -- resources --------------------------------------------------------------------------------------------------------
def _parse_topic(context: _Context, address: str, body: dict[str, Any], span: Span) -> None:
    name = _resolve_attribute(context, address, body, "name", span, required=True)
    if name is Ellipsis:
        return
    if not isinstance(name, str) or not name:
        raise file_error(f"{address} has no name", span)
    document = _make_document(context, span)
    config = _resolve_entries(context, f"{address}: config", body.get("config"), span) or MapEntries()
    for key in (*config.unknown, *config.secrets):
        context.imported.note(f"{address}: config {key} is left out: only Terraform knows it", span)
    counts = [
        read_count(
            document, (address, key), _resolve_attribute(context, address, body, key, span), -1, context.imported
        )
        for key in ("partitions", "replication_factor")
    ]
    config_texts = read_settings(document, (address, "config"), config.kept, context.imported)
    rules = _parse_lifecycle(context, address, body, config_texts.keys(), span)
    add_topic(context.imported, document, (), name, counts[0], counts[1], config_texts, rules=rules)
    _note_unread_attributes(context, address, body, ("name", "partitions", "replication_factor", "config"), span)


def _parse_connector(context: _Context, address: str, body: dict[str, Any], span: Span) -> None:
    name = _resolve_attribute(context, address, body, "name", span, required=True)
    if name is Ellipsis:
        return
    if not isinstance(name, str) or not name:
        raise file_error(f"{address} has no name", span)
    document = _make_document(context, span)
    config = _resolve_entries(context, f"{address}: config", body.get("config"), span)
    given = _resolve_entries(context, f"{address}: config_sensitive", body.get("config_sensitive"), span)
    if config is None:
        return
    sensitive_config = given or MapEntries()
    for key in config.unknown:
        context.imported.note(f"{address}: config {key} is left out: only Terraform knows it", span)
    config_texts = read_settings(
        document, (address, "config"), {**config.kept, **sensitive_config.kept}, context.imported
    )
    secrets = {**dict.fromkeys(sensitive_config.unknown, ""), **sensitive_config.secrets, **config.secrets}
    rules = _parse_lifecycle(context, address, body, {*config_texts, *secrets}, span)
    add_connector(
        context.imported,
        document,
        (),
        name,
        config_texts,
        sensitive={*sensitive_config.kept, *config.sensitive},
        rules=rules,
        secrets={key: _refer_to(context, expression, span) for key, expression in secrets.items()},
    )
    _note_unread_attributes(context, address, body, ("name", "config", "config_sensitive"), span)


def _refer_to(context: _Context, expression: str, span: Span) -> Secret:
    """Return the secret of an expression; connectors of one module share what a variable or a local names."""
    is_name = SHARED.fullmatch(expression)
    return Secret(f"{PurePath(span.path).parent} {context.prefix}{expression}") if is_name else Secret()


def _parse_other(context: _Context, kind: str, address: str, body: dict[str, Any], span: Span) -> None:
    """Parse a resource that is only names and settings; one with a name that only Terraform knows is left out."""
    values: dict[str, Any] = {}
    sensitive: set[str] = set()
    secrets: dict[str, str] = {}
    for key, value in body.items():
        if key in META or key in OF_PROVIDERS:
            continue
        if key.startswith("config"):
            entries = _resolve_entries(context, f"{address}: {key}", value, span) or MapEntries()
            for name in entries.unknown:
                context.imported.note(f"{address}: {key} {name} is left out: only Terraform knows it", span)
            values[key], secrets = entries.kept, {**secrets, **entries.secrets}
            sensitive |= entries.sensitive
            continue
        resolved = _resolve_attribute(context, address, body, key, span, required=True)
        if resolved is Ellipsis:
            return
        values[key] = resolved
    document = _make_document(context, span)
    if "connector" not in kind:
        for name in secrets:
            context.imported.note(f"{address}: config {name} is left out: only Terraform knows it", span)
    references = {key: _refer_to(context, expression, span) for key, expression in secrets.items()}
    config = values.get("config")
    rules = _parse_lifecycle(context, address, body, config if isinstance(config, dict) else (), span)
    resource = ResourceValues(document, (), address, values, frozenset(sensitive), references, rules)
    add_resource(context.imported, kind, resource)
    _note_unread_attributes(context, address, body, (*OF_PROVIDERS, *ATTRIBUTES[kind]), span)


def _parse_lifecycle(
    context: _Context, address: str, body: Mapping[str, Any], keys: Iterable[str], span: Span
) -> Rules:
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
            context.imported.note(
                f"{address}: ignore_changes of {what_is_ignored} is not carried over: only settings are ignored", span
            )
    for key in (known for known in attributes if known not in ("prevent_destroy", "ignore_changes", *META)):
        context.imported.note(f"{address}: lifecycle {key} is not carried over", span)
    return Rules(protect=attributes.get("prevent_destroy") is True or None, ignore=frozenset(ignored - {"name"}))


def _note_unread_attributes(
    context: _Context, address: str, body: Mapping[str, Any], known: tuple[str, ...], span: Span
) -> None:
    for key in body:
        if key == "provider":
            context.imported.note(f"{address}: {key} is not carried over: a stack is about one cluster", span)
        elif key not in known and key not in META:
            context.imported.note(f"{address}: {key} is not carried over", span)


def _make_document(context: _Context, span: Span) -> Document:
    return Document(context.path, "", None, {(): span}, {})
