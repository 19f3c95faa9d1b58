"""The bindings that ns4kafka makes of its access control entries, and the quotas and subjects of its namespaces.

Source: ns4kafka's AccessControlEntryAsyncExecutor (bindings), UserAsyncExecutor (quotas) and models. An entry is for
a namespace, whose `kafkaUser` is the principal; `*` is everybody. Namespaces are often in another file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from kplan.importers.grants import add_binding, add_quota, add_subject
from kplan.importers.reading import Path, file_error, note_unread_keys, read_map, read_name
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document
from kplan.values import dataclass

EVERYBODY: Final = "*"
TOPIC, GROUP, CONNECT = "TOPIC", "GROUP", "CONNECT"
RESOURCE_TYPES: Final = (TOPIC, GROUP, CONNECT, "CONNECT_CLUSTER", "SCHEMA", "TRANSACTIONAL_ID")
PERMISSIONS: Final = ("OWNER", "READ", "WRITE")
OWNER_OPERATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    TOPIC: ("READ", "WRITE", "DESCRIBE_CONFIGS"),
    GROUP: ("READ",),
}
TRANSACTIONS: Final = ("WRITE", "DESCRIBE")
USER_QUOTA: Final = "user/"  # before the keys of a ResourceQuota that brokers know
SPEC: Path = ("spec",)
Grant = tuple[str, str, str, str]  # operation, type of resource, name, pattern


@dataclass(frozen=True, slots=True)
class KafkaNamespace:
    """A namespace: whom its entries are for, and what its groups are used for."""

    user: str
    has_transactions: bool
    has_streams: bool


def parse_access(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add what the objects beside topics and connectors declare; what that needs may be in any of them."""
    by_kind: dict[str, list[Document]] = {}
    for document in documents:
        by_kind.setdefault(str(document.data.get("kind")), []).append(document)
    streams = by_kind.pop("KafkaStream", [])
    namespaces = dict(_read_namespaces(by_kind.pop("Namespace", []), streams, imported))
    for document in by_kind.pop("AccessControlEntry", []):
        _parse_entry(document, namespaces, imported)
    for document in streams:
        _parse_stream(document, namespaces, imported)
    for document in by_kind.pop("ResourceQuota", []):
        _parse_quota(document, namespaces, imported)
    for document in by_kind.pop("Schema", []):
        _parse_schema(document, imported)
    for kind, others in by_kind.items():
        for document in others:
            imported.note(f"{kind} {_get_name(document)} is not carried over", document.at("kind"))


def _read_namespaces(
    documents: Iterable[Document], streams: Iterable[Document], imported: ImportedResources
) -> Iterator[tuple[str, KafkaNamespace]]:
    """Yield the namespaces by name. Their validators are rules, not resources: they are noted."""
    with_streams = {_get_namespace(stream) for stream in streams}
    for document in documents:
        spec, name = read_map(document, SPEC, document.data.get("spec")), read_resource_name(document)
        known = ("kafkaUser", "transactionsEnabled", "connectClusters", "protectionEnabled", "subjectNameStrategies")
        note_unread_keys(imported, document, SPEC, known)
        if not spec.get("kafkaUser"):
            imported.note(f"Namespace {name} is left out: it has no kafkaUser", document.at("spec"))
            continue
        is_transactional = spec.get("transactionsEnabled") is True
        yield name, KafkaNamespace(str(spec["kafkaUser"]), is_transactional, name in with_streams)


def _parse_entry(document: Document, namespaces: Mapping[str, KafkaNamespace], imported: ImportedResources) -> None:
    """Add the bindings of an access control entry. Raises Invalid for an unknown word."""
    spec, name = read_map(document, SPEC, document.data.get("spec"), required=True), read_resource_name(document)
    words = {key: str(spec.get(key) or "") for key in ("permission", "resourcePatternType", "resourceType", "resource")}
    granted_to, span = str(spec.get("grantedTo") or ""), document.key_at("spec")
    for key, known in (("permission", PERMISSIONS), ("resourceType", RESOURCE_TYPES)):
        if words[key] not in known:
            detail = f"AccessControlEntry {name}: {key} is {words[key] or 'missing'}"
            raise file_error(detail, document.at("spec", key), f"it is one of {', '.join(known)}")
    note_unread_keys(imported, document, SPEC, (*words, "grantedTo"))
    namespace = KafkaNamespace(EVERYBODY, False, False) if granted_to == EVERYBODY else namespaces.get(granted_to)
    grants = list(_list_grants(words, namespace)) if namespace else []
    for operation, kind, resource, pattern in grants:
        assert namespace is not None
        add_binding(imported, span, f"User:{namespace.user}", operation, kind, resource, pattern=pattern)
    if not grants:
        granted = "{permission} of {resourcePatternType} {resourceType} {resource}".format_map(words)
        reason = (
            "it is about ns4kafka itself, and no binding of Kafka's"
            if namespace
            else "no file has that Namespace: write it under `access:` with the namespace's user"
        )
        note = f"AccessControlEntry {name} is not carried over: {granted} for namespace {granted_to}: {reason}"
        imported.note(note, span)


def _list_grants(words: Mapping[str, str], namespace: KafkaNamespace) -> Iterator[Grant]:
    kind, resource, pattern = words["resourceType"], words["resource"], words["resourcePatternType"]
    is_owner = words["permission"] == "OWNER"
    if kind in OWNER_OPERATIONS:
        operations = OWNER_OPERATIONS[kind] if is_owner else (words["permission"],)
        yield from ((operation, kind, resource, pattern) for operation in operations)
    elif kind == CONNECT and is_owner:
        yield "READ", GROUP, f"connect-{resource}", pattern
    if kind == GROUP and namespace.has_transactions:
        names = (f"connect-cluster-{resource}", resource)
        yield from ((operation, "TRANSACTIONAL_ID", name, "PREFIXED") for name in names for operation in TRANSACTIONS)
    elif kind == GROUP and namespace.has_streams:
        yield from ((operation, "TRANSACTIONAL_ID", resource, "PREFIXED") for operation in TRANSACTIONS)


def _parse_stream(document: Document, namespaces: Mapping[str, KafkaNamespace], imported: ImportedResources) -> None:
    """Add the right of a Kafka Streams application to make its own topics, whose names begin with its own."""
    name, namespace = read_resource_name(document), namespaces.get(_get_namespace(document))
    if namespace is None:
        imported.note(f"KafkaStream {name} is not carried over: {_name_missing(document)}", document.at("kind"))
        return
    for operation in ("CREATE", "DELETE"):
        add_binding(imported, document.at("kind"), f"User:{namespace.user}", operation, TOPIC, name, pattern="PREFIXED")


def _parse_quota(document: Document, namespaces: Mapping[str, KafkaNamespace], imported: ImportedResources) -> None:
    """Add the rates of a namespace's user; how much a namespace may have is ns4kafka's own rule."""
    spec, name = read_map(document, SPEC, document.data.get("spec")), read_resource_name(document)
    rates = {key.removeprefix(USER_QUOTA): value for key, value in spec.items() if key.startswith(USER_QUOTA)}
    namespace = namespaces.get(_get_namespace(document))
    if rates and namespace:
        add_quota(imported, document.at("spec"), {"user": namespace.user}, rates)
        note_unread_keys(imported, document, SPEC, [key for key in spec if key.startswith(USER_QUOTA)])
    else:
        reason = _name_missing(document) if rates else "how much a namespace may have is a rule of ns4kafka"
        imported.note(f"ResourceQuota {name} is not carried over: {reason}", document.at("kind"))


def _parse_schema(document: Document, imported: ImportedResources) -> None:
    """Add a subject with its schema and level. Raises Invalid for an unknown type."""
    spec, name = read_map(document, SPEC, document.data.get("spec")), read_resource_name(document)
    if spec.get("references"):
        place = document.key_at("spec", "references")
        imported.note(f"subject {name} is left out: it has references, whose versions only a registry knows", place)
        return
    level = spec.get("compatibility")
    own_level = None if level == "GLOBAL" else level
    add_subject(imported, document.at("kind"), name, spec.get("schema"), spec.get("schemaType"), own_level)
    note_unread_keys(imported, document, SPEC, ("schema", "schemaType", "compatibility", "references", "id", "version"))


def read_resource_name(document: Document) -> str:
    """Return the name of an object. Raises Invalid where it has none."""
    metadata = read_map(document, ("metadata",), document.data.get("metadata"), required=True)
    return read_name(document, ("metadata", "name"), metadata.get("name"))


def _get_name(document: Document) -> Any:
    return _get_metadata(document).get("name", "")


def _get_namespace(document: Document) -> str:
    return str(_get_metadata(document).get("namespace") or "")


def _get_metadata(document: Document) -> Mapping[str, Any]:
    metadata = document.data.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _name_missing(document: Document) -> str:
    """Return why the user of an object's namespace is not known."""
    name = _get_namespace(document)
    return f"no file has Namespace {name}" if name else "it does not name its namespace, and so no user"
