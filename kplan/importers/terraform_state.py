"""Terraform's state: `terraform show -json` of a state or a plan, and `terraform.tfstate` (version 4).

All expressions are worked out there: `for_each`, `count`, functions and modules. Sources:
https://developer.hashicorp.com/terraform/internals/json-format and the state's own format, version 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kplan.importers.reading import Path, file_error, read_list, read_map
from kplan.importers.resources import ImportedResources
from kplan.importers.terraform_resources import ResourceValues, add_resource, note_others
from kplan.language.source import Document

MAPS = ("config", "config_sensitive", "config_nonsensitive")  # attributes whose keys may be secret one by one


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the resources of the files to `imported`. Raises Invalid."""
    for document in documents:
        others = [kind for kind, resource in _list_resources(document) if not add_resource(imported, kind, resource)]
        note_others(imported, others)


def is_state(data: Mapping[str, Any]) -> bool:
    """Whether the data is Terraform's state, or what `terraform show -json` prints."""
    is_shown = "format_version" in data and bool({"values", "planned_values"} & data.keys())
    return is_shown or ("terraform_version" in data and isinstance(data.get("resources"), list))


def _list_resources(document: Document) -> Iterator[tuple[str, ResourceValues]]:
    if "resources" in document.data:
        yield from _list_state(document)
        return
    key = "planned_values" if "planned_values" in document.data else "values"
    values = read_map(document, (key,), document.data.get(key), required=True)
    root = read_map(document, (key, "root_module"), values.get("root_module"))
    yield from _list_module(document, (key, "root_module"), root)


def _list_module(document: Document, path: Path, module: Mapping[str, Any]) -> Iterator[tuple[str, ResourceValues]]:
    for i, entry in enumerate(read_list(document, (*path, "resources"), module.get("resources"))):
        place: Path = (*path, "resources", i)
        resource = read_map(document, place, entry, required=True)
        if resource.get("mode", "managed") != "managed":
            continue
        values = read_map(document, (*place, "values"), resource.get("values"))
        secret = resource.get("sensitive_values")
        sensitive = frozenset(_list_sensitive(secret)) if isinstance(secret, Mapping) else frozenset()
        yield (
            str(resource.get("type")),
            ResourceValues(document, (*place, "values"), str(resource.get("address", "")), values, sensitive),
        )
    for i, child in enumerate(read_list(document, (*path, "child_modules"), module.get("child_modules"))):
        below: Path = (*path, "child_modules", i)
        yield from _list_module(document, below, read_map(document, below, child, required=True))


def _list_sensitive(marked: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of maps that are marked as sensitive one by one; a map may be marked as a whole."""
    for name in MAPS:
        keys = marked.get(name)
        if isinstance(keys, Mapping):
            yield from (str(key) for key, is_secret in keys.items() if is_secret)


def _list_state(document: Document) -> Iterator[tuple[str, ResourceValues]]:
    version = document.data.get("version")
    if version != 4:
        help = "`terraform show -json` prints a state of any version"
        raise file_error(f"a state of version {version}: 4 is known", document.at("version"), help)
    for i, entry in enumerate(read_list(document, ("resources",), document.data["resources"])):
        resource = read_map(document, ("resources", i), entry, required=True)
        if resource.get("mode", "managed") != "managed":
            continue
        parts = (resource.get("module"), resource.get("type"), resource.get("name"))
        address = ".".join(str(part) for part in parts if part)
        for n, each in enumerate(read_list(document, ("resources", i, "instances"), resource.get("instances"))):
            place: Path = ("resources", i, "instances", n)
            instance = read_map(document, place, each, required=True)
            values = read_map(document, (*place, "attributes"), instance.get("attributes"))
            index = f"[{instance['index_key']!r}]" if "index_key" in instance else ""
            sensitive = frozenset(_list_marked(instance.get("sensitive_attributes")))
            yield (
                str(resource.get("type")),
                ResourceValues(document, (*place, "attributes"), f"{address}{index}", values, sensitive),
            )


def _list_marked(paths: Any) -> Iterator[str]:
    """Yield the last key of each path of a sensitive attribute."""
    for path in paths if isinstance(paths, list) else ():
        last = path[-1] if isinstance(path, list) and path else None
        value = last.get("value") if isinstance(last, Mapping) else None
        key = value.get("value") if isinstance(value, Mapping) else value
        if isinstance(key, str):
            yield key
