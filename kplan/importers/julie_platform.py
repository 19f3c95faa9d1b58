"""The `platform` of a JulieOps topology: what its servers need as bindings, quotas, and roles, which are no bindings.

Source: JulieOps 4, `AclsBindingsBuilder`, `QuotasClientBindingsBuilder`, the models and `reference.conf`.
With ACLs JulieOps makes nothing of the roles: only Confluent's RBAC knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from kplan.importers.grants import add_quota
from kplan.importers.julie_access import Grant, add_grants, grant_all, list_principals
from kplan.importers.reading import Path, note_unread_keys, read_list, read_map
from kplan.importers.resources import ImportedResources
from kplan.kinds.acl.operations import ANY_NAME, CLUSTER_NAME
from kplan.kinds.quota.quota import CLIENT_KEYS
from kplan.language.source import Document

PLATFORM: Final = "platform"
KAFKA: Final = "kafka"
CONTROL_TOPICS: Final = ("_confluent-monitoring", "_confluent-command", "_confluent-metrics")
CONTROL_PREFIX: Final = "_confluent-controlcenter"
OF_TOPICS: Final = ("WRITE", "READ", "CREATE", "DESCRIBE")
NO_ROLES: Final = "RBAC is Confluent's, and a stack declares ACLs"


def parse_platform(document: Document, imported: ImportedResources) -> None:
    """Add the bindings and quotas of the platform; note its roles. Raises Invalid."""
    platform = read_map(document, (PLATFORM,), document.data.get(PLATFORM))
    for name in platform:
        path: Path = (PLATFORM, name)
        part = read_map(document, path, platform[name])
        server = SERVERS.get(str(name))
        if server is None and name not in (KAFKA, "kafka_connect"):
            imported.note(f"{PLATFORM}.{name} is not carried over", document.key_at(*path))
            continue
        note_roles(document, (*path, "rbac"), part.get("rbac"), f" on {name}", imported)
        if server is not None:
            list_rights, keys = server
            for at, instance in list_principals(document, path, part, "instances", imported):
                add_grants(document, at, instance, [*list_rights(instance)], imported)
                note_unread_keys(imported, document, at, ("principal", *keys))
        if name == KAFKA:
            _parse_quotas(document, (*path, "quotas"), part.get("quotas"), imported)
        note_unread_keys(
            imported, document, path, ("rbac", "instances" if server else "", "quotas" if name == KAFKA else "")
        )


def note_roles(document: Document, path: Path, roles: Any, where: str, imported: ImportedResources) -> None:
    """Note each principal with a role of Confluent's. `roles` is a map of lists, or a list of such maps."""
    for i, entry in enumerate(roles if isinstance(roles, list) else [roles]):
        at: Path = (*path, i) if isinstance(roles, list) else path
        for role, principals in entry.items() if isinstance(entry, Mapping) else ():
            users = (
                [each.get("principal") for each in principals or () if isinstance(each, Mapping)]
                if isinstance(principals, list)
                else []
            )
            for j, user in enumerate(users or [None]):
                of_user = f" of {user}" if user else ""
                place = document.at(*at, role, j) if user else document.key_at(*at, role)
                imported.note(f"role {role}{of_user}{where} is not carried over: {NO_ROLES}", place)


def _parse_quotas(document: Document, path: Path, quotas: Any, imported: ImportedResources) -> None:
    """Add the quotas of users; one without a name is everybody's. Raises Invalid."""
    for i, entry in enumerate(read_list(document, path, quotas)):
        at: Path = (*path, i)
        quota = read_map(document, at, entry, required=True)
        user = str(quota.get("principal") or "")
        values = {key: quota[key] for key in CLIENT_KEYS if quota.get(key) is not None}
        add_quota(imported, document.at(*at), {"user": user}, values)
        note_unread_keys(imported, document, at, ("principal", *CLIENT_KEYS))
        if user.startswith("User:"):
            imported.note(
                f"quota of {user}: JulieOps gives it to a user of that whole name, and brokers know the principal "
                f"{user} as user {user.removeprefix('User:')}",
                document.at(*at, "principal"),
            )


def _list_registry_rights(registry: Mapping[str, Any]) -> Iterator[Grant]:
    topic = str(registry.get("topic") or "_schemas")
    yield from grant_all(("CREATE", "DESCRIBE_CONFIGS", "DESCRIBE", "WRITE", "READ"), "TOPIC", topic)
    yield "DESCRIBE", "TOPIC", str(registry.get("consumer_offsets_topic") or "__consumer_offsets"), "LITERAL"
    yield "READ", "GROUP", str(registry.get("group") or "schema-registry"), "LITERAL"


def _list_control_center_rights(center: Mapping[str, Any]) -> Iterator[Grant]:
    application = str(center.get("appId") or "")
    if application:
        yield from (("READ", "GROUP", name, "PREFIXED") for name in (application, f"{application}-command"))
    yield "DESCRIBE", "GROUP", ANY_NAME, "LITERAL"
    for topic in CONTROL_TOPICS:
        yield from grant_all(OF_TOPICS, "TOPIC", topic)
    yield from ((operation, "TOPIC", CONTROL_PREFIX, "PREFIXED") for operation in OF_TOPICS)
    yield "CREATE", "TOPIC", ANY_NAME, "LITERAL"
    yield from grant_all(("DESCRIBE", "DESCRIBE_CONFIGS"), "CLUSTER", CLUSTER_NAME)


def _list_ksqldb_rights(server: Mapping[str, Any]) -> Iterator[Grant]:
    name = str(server.get("ksqlDbId") or "")
    yield "DESCRIBE_CONFIGS", "CLUSTER", CLUSTER_NAME, "LITERAL"
    yield from (("ALL", kind, f"_confluent-ksql-{name}", "PREFIXED") for kind in ("TOPIC", "GROUP"))
    yield "ALL", "TOPIC", f"{name}ksql_processing_log", "LITERAL"


SERVERS: Final[Mapping[str, tuple[Callable[[Mapping[str, Any]], Iterator[Grant]], tuple[str, ...]]]] = {
    "schema_registry": (_list_registry_rights, ("topic", "consumer_offsets_topic", "group")),
    "control_center": (_list_control_center_rights, ("appId",)),
    "ksql": (_list_ksqldb_rights, ("ksqlDbId", "owner")),
}
