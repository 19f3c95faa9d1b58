"""Tasks and playbooks with the modules of ansible-kafka-admin: topics, bindings, quotas and users.

Source: the project's README. A task counts where its arguments are literal; `when:` and loops are noted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from kplan.importers.grants import add_binding, add_quota, add_user
from kplan.importers.reading import (
    TEMPLATE,
    Path,
    add_topic,
    read_count,
    read_list,
    read_map,
    read_name,
    read_settings,
    to_text,
)
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document
from kplan.text import count

LISTS: Final[Mapping[str, str]] = {
    "kafka_topics": "topics",
    "kafka_acls": "acls",
    "kafka_quotas": "entries",
    "kafka_users": "users",
}  # of modules for many, the key that holds them
SINGLE: Final = {"kafka_topic": "kafka_topics", "kafka_acl": "kafka_acls", "kafka_user": "kafka_users"}
BLOCKS: Final = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
LOOPS: Final = ("loop", "with_items")
CONDITIONS: Final = ("when", *LOOPS, "with_dict", "until")
ITEM: Final = re.compile(r"\{\{\s*item((?:\.\w+|\[['\"]\w+['\"]\])*)\s*\}\}")
STEP: Final = re.compile(r"\w+")
Entry = tuple[Path, dict[str, Any]]


def holds_tasks(data: Any) -> bool:
    """Return whether it is a playbook or a list of tasks with one of the modules."""
    entries = [entry for entry in data if isinstance(entry, Mapping)] if isinstance(data, list) else []
    return any(
        _find_module(entry) or any(holds_tasks(entry.get(key)) for key in BLOCKS if key in entry) for entry in entries
    )


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the resources of the files to `imported`. Raises Invalid."""
    for document in documents:
        others = 0
        for path, task in _list_tasks(document, (), document.data):
            if module := _find_module(task):
                _parse_task(document, path, task, module, imported)
            else:
                others += 1
        if others:
            imported.note(f"not carried over: {count(others, 'task')} of other modules", document.at())


def _list_tasks(document: Document, path: Path, data: Any) -> Iterator[Entry]:
    """Yield each task, those of plays and blocks too."""
    for i, entry in enumerate(read_list(document, path, data)):
        task = read_map(document, (*path, i), entry)
        blocks = [key for key in BLOCKS if isinstance(task.get(key), list)]
        for key in blocks:
            yield from _list_tasks(document, (*path, i, key), task[key])
        if not blocks:
            yield (*path, i), task


def _find_module(task: Mapping[str, Any]) -> str:
    """Return the key of the task that is one of the modules, with or without its collection's name."""
    known = {*LISTS, *SINGLE}
    return next((str(key) for key in task if str(key).rpartition(".")[2] in known), "")


def _parse_task(document: Document, path: Path, task: dict[str, Any], key: str, imported: ImportedResources) -> None:
    module, span = key.rpartition(".")[2], document.key_at(*path, key)
    conditions = [each for each in CONDITIONS if each in task]
    items = task[conditions[0]] if conditions and conditions[0] in LOOPS else None
    if len(conditions) == 1 and isinstance(items, list) and not _holds_template(items):
        rest = {each: value for each, value in task.items() if each != conditions[0]}
        for item in items:
            _parse_task(document, path, _put_item(rest, item), key, imported)
        return
    if conditions:
        imported.note(f"a task with {module} is left out: only Ansible knows its `{conditions[0]}`", span)
        return
    arguments = read_map(document, (*path, key), task[key])
    many = SINGLE.get(module, module)
    entries: list[Entry] = [((*path, key), arguments)]
    if module in LISTS:
        at: Path = (*path, key, LISTS[module])
        given = arguments.get(LISTS[module])
        if isinstance(given, str):
            imported.note(f"a task with {module} is left out: only Ansible knows {given}", span)
            return
        entries = [
            ((*at, i), read_map(document, (*at, i), entry)) for i, entry in enumerate(read_list(document, at, given))
        ]
    for entry_path, entry in entries:
        if any(isinstance(value, str) and TEMPLATE.search(value) for value in _list_own(entry)):
            imported.note(f"an entry of {module} is left out: it has a template of Ansible's", document.at(*entry_path))
        elif str(entry.get("state", "present")) != "absent":
            PARSERS[many](document, entry_path, entry, imported)
        else:
            imported.note(f"an entry of {module} is left out: its state is absent", document.at(*entry_path))


def _holds_template(value: Any) -> bool:
    """Return whether a part of a value is a template of Ansible's."""
    if isinstance(value, Mapping):
        return any(map(_holds_template, value.values()))
    if isinstance(value, list):
        return any(map(_holds_template, value))
    return isinstance(value, str) and TEMPLATE.search(value) is not None


def _put_item(value: Any, item: Any) -> Any:
    """Return the value with the item of a loop in place of `{{ item }}` and `{{ item.NAME }}`."""
    if isinstance(value, Mapping):
        return {key: _put_item(child, item) for key, child in value.items()}
    if isinstance(value, list):
        return [_put_item(child, item) for child in value]
    if not isinstance(value, str):
        return value
    whole = ITEM.fullmatch(value.strip())
    if whole and (part := _look_up_item(whole, item)) is not whole:
        return part
    return ITEM.sub(lambda match: match[0] if (part := _look_up_item(match, item)) is match else to_text(part), value)


def _look_up_item(match: re.Match[str], item: Any) -> Any:
    """Return the part of the item that a reference names; the match itself where the item has none."""
    for step in STEP.findall(match[1]):
        if not isinstance(item, Mapping) or step not in item:
            return match
        item = item[step]
    return item


def _list_own(entry: Mapping[str, Any]) -> list[Any]:
    """Return the values that the resource is made of: not the connection's, and no password."""
    names = ("name", "partitions", "replica_factor", "entity", "acl_principal", "acl_operation", "acl_resource_type")
    return [entry.get(name) for name in names]


def _parse_topic(document: Document, path: Path, entry: dict[str, Any], imported: ImportedResources) -> None:
    add_topic(
        imported,
        document,
        path,
        read_name(document, (*path, "name"), entry.get("name")),
        read_count(document, (*path, "partitions"), entry.get("partitions"), -1, imported),
        read_count(document, (*path, "replica_factor"), entry.get("replica_factor"), -1, imported),
        read_settings(document, (*path, "options"), entry.get("options"), imported),
    )


def _parse_binding(document: Document, path: Path, entry: dict[str, Any], imported: ImportedResources) -> None:
    add_binding(
        imported,
        document.at(*path),
        read_name(document, (*path, "acl_principal"), entry.get("acl_principal")),
        entry.get("acl_operation"),
        entry.get("acl_resource_type"),
        entry.get("name"),
        permission=entry.get("acl_permission") or "allow",
        pattern=entry.get("acl_pattern_type") or "literal",
        host=entry.get("acl_host") or "*",
    )


def _parse_quota(document: Document, path: Path, entry: dict[str, Any], imported: ImportedResources) -> None:
    entity = read_map(document, (*path, "entity"), entry.get("entity"), required=True)
    values = read_map(document, (*path, "quotas"), entry.get("quotas"))
    add_quota(imported, document.at(*path), entity, values)


def _parse_user(document: Document, path: Path, entry: dict[str, Any], imported: ImportedResources) -> None:
    """Add a user with the mechanism that the module takes where none is given (SCRAM-SHA-512)."""
    name, mechanism = read_name(document, (*path, "name"), entry.get("name")), entry.get("mechanism")
    add_user(imported, document.at(*path), name, mechanism or "SCRAM-SHA-512", entry.get("iterations"))


PARSERS: Final[Mapping[str, Callable[[Document, Path, dict[str, Any], ImportedResources], None]]] = {
    "kafka_topics": _parse_topic,
    "kafka_acls": _parse_binding,
    "kafka_quotas": _parse_quota,
    "kafka_users": _parse_user,
}
