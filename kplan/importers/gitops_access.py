"""The bindings that kafka-gitops makes of services, users and custom ACLs.

Source: kafka-gitops 0.2, `ApplicationService`, `KafkaStreamsService`, `KafkaConnectService` and `RoleService`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from kplan.diagnostics import Span
from kplan.importers.grants import add_binding
from kplan.importers.reading import Path, file_error, note_unread_keys, read_list, read_map
from kplan.importers.resources import ImportedResources
from kplan.kinds.acl.operations import ANY_NAME, CLUSTER_NAME
from kplan.language.source import Document
from kplan.values import dataclass

Grant = tuple[str, str, str, str]  # operation, type of resource, name, pattern
STREAMS_OPERATIONS: Final = (
    "READ", "WRITE", "DESCRIBE", "DELETE", "CREATE", "ALTER", "ALTER_CONFIGS", "DESCRIBE_CONFIGS"
)  # fmt: skip
ROLES: Final[dict[str, Sequence[Grant]]] = {
    "reader": [("READ", "TOPIC", ANY_NAME, "LITERAL"), ("READ", "GROUP", ANY_NAME, "LITERAL")],
    "writer": [("WRITE", "TOPIC", ANY_NAME, "LITERAL")],
    "operator": [
        ("DESCRIBE", "CLUSTER", CLUSTER_NAME, "LITERAL"),
        ("DESCRIBE", "TOPIC", ANY_NAME, "LITERAL"),
        ("DESCRIBE_CONFIGS", "TOPIC", ANY_NAME, "LITERAL"),
        ("READ", "GROUP", ANY_NAME, "LITERAL"),
        ("DESCRIBE", "GROUP", ANY_NAME, "LITERAL"),
    ],
}
CUSTOM_KEYS: Final = ("name", "type", "pattern", "principal", "host", "operation", "permission")
ACCESS_KEYS: Final = ("services", "users", "customServiceAcls", "customUserAcls")
SERVICE_KEYS: Final = {
    "application": ("group-id", "produces", "consumes"),
    "kafka-streams": ("application-id", "produces", "consumes"),
    "kafka-connect": ("group-id", "produces", "connectors", "storage-topics"),
}


def parse_access(document: Document, imported: ImportedResources) -> None:
    """Add the bindings of one desired state file. Raises Invalid."""
    services, users = (read_map(document, (key,), document.data.get(key)) for key in ("services", "users"))
    describes = _describes_topics(document)
    for name, service in services.items():
        _Service.read(document, name, service, describes).add(imported)
    for name, user in users.items():
        _parse_user(document, name, read_map(document, ("users", name), user, required=True), imported)
    for key, owners in (("customServiceAcls", services), ("customUserAcls", users)):
        for owner, bindings in read_map(document, (key,), document.data.get(key)).items():
            principal = (owners.get(owner) or {}).get("principal") if key == "customUserAcls" else None
            for name, binding in read_map(document, (key, owner), bindings).items():
                _parse_custom(document, (key, owner, name), binding, principal, imported)


def _describes_topics(document: Document) -> bool:
    """Return whether services may also describe their topics."""
    data: Any = document.data
    for step in ("settings", "services", "acls"):
        data = (data or {}).get(step)
    return bool((data or {}).get("describeTopicEnabled"))


@dataclass(frozen=True, slots=True)
class _Service:
    document: Document
    name: str
    data: dict[str, Any]
    kind: str
    describes: bool

    @classmethod
    def read(cls, document: Document, name: str, service: Any, describes: bool) -> _Service:
        """Return the service. Raises Invalid for an unknown type."""
        path: Path = ("services", name)
        data = read_map(document, path, service, required=True)
        kind = str(data.get("type", ""))
        if kind not in SERVICE_KEYS:
            raise file_error(f"service {name}: {kind!r} is none of {', '.join(SERVICE_KEYS)}", document.at(*path))
        return cls(document, name, data, kind, describes)

    @property
    def span(self) -> Span:
        return self.document.key_at("services", self.name)

    def add(self, imported: ImportedResources) -> None:
        """Add the service's bindings; without a principal, which is made in Confluent Cloud, it is noted."""
        note_unread_keys(
            imported, self.document, ("services", self.name), ("type", "principal", *SERVICE_KEYS[self.kind])
        )
        if not self.data.get("principal"):
            imported.note(f"service {self.name} is left out: it has no principal", self.span)
            return
        for operation, resource_type, name, pattern in self._list_grants():
            add_binding(imported, self.span, self.data["principal"], operation, resource_type, name, pattern=pattern)

    def _list_grants(self) -> Iterator[Grant]:
        yield from self._list_topics(self.data, ("services", self.name))
        if self.kind == "application" and self.data.get("consumes"):
            yield "READ", "GROUP", str(self.data.get("group-id") or self.name), "LITERAL"
        elif self.kind == "kafka-streams":
            application = str(self.data.get("application-id") or self.name)
            yield from ((operation, "TOPIC", application, "PREFIXED") for operation in STREAMS_OPERATIONS)
            yield from ((operation, "GROUP", application, "LITERAL") for operation in ("READ", "DESCRIBE", "DELETE"))
            yield "DESCRIBE_CONFIGS", "CLUSTER", CLUSTER_NAME, "LITERAL"
        elif self.kind == "kafka-connect":
            yield from self._list_worker_grants()

    def _list_worker_grants(self) -> Iterator[Grant]:
        path: Path = ("services", self.name)
        storage = read_map(self.document, (*path, "storage-topics"), self.data.get("storage-topics"))
        for kind, plural in (("config", "configs"), ("offset", "offsets"), ("status", "status")):
            topic = str(storage.get(kind) or f"connect-{plural}-{self.name}")
            yield from ((operation, "TOPIC", topic, "LITERAL") for operation in ("READ", "WRITE"))
        yield "READ", "GROUP", str(self.data.get("group-id") or self.name), "LITERAL"
        connectors = read_map(self.document, (*path, "connectors"), self.data.get("connectors"))
        for name, connector in connectors.items():
            data = read_map(self.document, (*path, "connectors", name), connector, required=True)
            yield from self._list_topics(data, (*path, "connectors", name))
            if data.get("consumes"):
                yield "READ", "GROUP", f"connect-{name}", "LITERAL"

    def _list_topics(self, data: dict[str, Any], path: Path) -> Iterator[Grant]:
        produced, consumed = (
            [str(topic) for topic in read_list(self.document, (*path, key), data.get(key))]
            for key in ("produces", "consumes")
        )
        yield from (("WRITE", "TOPIC", topic, "LITERAL") for topic in produced)
        yield from (("READ", "TOPIC", topic, "LITERAL") for topic in consumed)
        if self.describes:
            yield from (("DESCRIBE", "TOPIC", topic, "LITERAL") for topic in dict.fromkeys([*consumed, *produced]))


def _parse_user(document: Document, name: str, user: dict[str, Any], imported: ImportedResources) -> None:
    path: Path = ("users", name)
    span = document.key_at(*path)
    note_unread_keys(imported, document, path, ("principal", "roles"))
    if not user.get("principal"):
        imported.note(f"user {name} is left out: it has no principal", span)
        return
    for role in read_list(document, (*path, "roles"), user.get("roles")):
        if str(role).lower() not in ROLES:
            raise file_error(f"user {name}: {role!r} is none of {', '.join(ROLES)}", document.at(*path, "roles"))
        for operation, resource_type, resource, pattern in ROLES[str(role).lower()]:
            add_binding(imported, span, user["principal"], operation, resource_type, resource, pattern=pattern)


def _parse_custom(
    document: Document, path: Path, binding: Any, principal: str | None, imported: ImportedResources
) -> None:
    data, span = read_map(document, path, binding, required=True), document.key_at(*path)
    note_unread_keys(imported, document, path, CUSTOM_KEYS)
    owner = data.get("principal") or principal
    if not owner:
        imported.note(f"{'.'.join(map(str, path))} is left out: it has no principal", span)
        return
    add_binding(
        imported,
        span,
        owner,
        data.get("operation"),
        data.get("type"),
        data.get("name"),
        permission=data.get("permission") or "allow",
        pattern=data.get("pattern") or "literal",
        host=data.get("host") or "*",
    )
