"""Bindings in the views that only read."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from kplan.kinds.acl.authorizer import covers
from kplan.kinds.acl.binding import PERMISSIONS, AclBinding, describe_binding, make_binding, name_operation
from kplan.kinds.acl.operations import ANY_HOST, PatternType, ResourceType
from kplan.kinds.views import FoldWords, Shape, Views
from kplan.model import Address, Health, Live
from kplan.model.fields import Json

UNTYPED = ("transactional_id", "streams")  # lines whose names are all of one sort


@lru_cache(maxsize=16)
def _make_example(topic: str) -> AclBinding:
    """Return a binding of the topic alone, to compare others with."""
    return make_binding("User:any", "allow", "Read", ResourceType.TOPIC, topic)


class AclViews(Views[AclBinding]):
    plural = "bindings"
    singular = "binding"
    snapshot_key = "acls"
    shape: Shape = "rounded"

    def describe_row(self, binding: AclBinding, health: Health | None) -> Json:
        return {"grant": describe_binding(binding)}

    def list_related_names(self, address: Address) -> Collection[str] | None:
        return None if address.kind in ("topic", "user") else ()

    def is_related(self, binding: AclBinding, address: Address, principals: Collection[str]) -> bool:
        if address.kind != ResourceType.TOPIC:
            return binding.principal in principals
        anywhere = binding if binding.host == ANY_HOST else replace(binding, host=ANY_HOST)
        return covers(anywhere, _make_example(address.name))

    def find_principals(self, binding: AclBinding) -> Collection[str]:
        return (binding.principal,)

    def describe_presence(self, declared: Sequence[AclBinding], live: Live, tries_logins: bool) -> Json:
        """Return by principal how many bindings are declared, how many of these are there, and how many it has."""
        principals = {each.principal: {"declared": 0, "existing": 0, "live": 0} for each in declared}
        for binding in declared:
            principals[binding.principal]["declared"] += 1
            principals[binding.principal]["existing"] += binding.address in live.resources
        for resource in live.resources.values():
            if isinstance(resource, AclBinding) and resource.principal in principals:
                principals[resource.principal]["live"] += 1
        return {"principals": dict(sorted(principals.items()))}

    def list_main_attributes(self, fields: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        return [("grant" if fields["permission"] == "allow" else "denial", self.summarize(fields))]

    def summarize(self, fields: Mapping[str, Any]) -> str:
        """Return the binding as a sentence."""
        return describe_binding(_read_binding(fields))

    def summarize_deleted(self, fields: Mapping[str, Any]) -> str:
        """Return what is revoked, or which denial ends."""
        verb = "revokes" if fields["permission"] == "allow" else "ends"
        return f"{verb}: {self.summarize(fields)}"

    def fold_key(self, change: Mapping[str, Any]) -> Hashable | None:
        """Return the principal and the direction: what is granted and what is revoked are never one row."""
        fields = change["after"] or change["before"]
        return (fields["principal"], fields["permission"]) if fields else None

    def describe_fold(self, changes: Sequence[Mapping[str, Any]]) -> FoldWords:
        """Return the principal, and the names of what each line of its block, or each operation, is about."""
        parts: dict[str, dict[str, None]] = {}
        hosts: dict[str, set[str]] = {}
        for change in changes:
            fields = change["after"] or change["before"]
            line = str(fields.get("note") or "")
            label = name_operation(str(fields["operation"])) if line in ("", *PERMISSIONS) else line
            binding = _read_binding(fields)
            name = _name_shortly(binding, with_type=label not in UNTYPED)
            parts.setdefault(label, {})[name] = None
            hosts.setdefault(name, set()).add(binding.host)
        first = changes[0]["after"] or changes[0]["before"]
        noun = self.plural if first["permission"] == "allow" else "denials"
        if changes[0]["actions"] == ["delete"]:
            noun = f"{noun} {'revoked' if first['permission'] == 'allow' else 'lifted'}"
        own_hosts = {name: ", ".join(sorted(each)) for name, each in hosts.items()}
        common = set(own_hosts.values())
        described = [f"{label} {', '.join(_add_hosts(n, own_hosts[n], len(common) > 1) for n in names)}"
                     for label, names in parts.items()]  # fmt: skip
        if len(common) == 1 and common != {ANY_HOST}:
            described.append(f"from {common.pop()}")
        return FoldWords(first["principal"], noun, tuple(described))


def _read_binding(fields: Mapping[str, Any]) -> AclBinding:
    return make_binding(
        str(fields["principal"]),
        str(fields["permission"]),
        str(fields["operation"]),
        ResourceType(fields["resource_type"]),
        str(fields["resource_name"]),
        PatternType(fields["pattern"]),
        str(fields["host"]),
    )


def _name_shortly(binding: AclBinding, with_type: bool) -> str:
    """Return the resource as a stack file names it; a topic without the word `topic`."""
    if binding.resource_type is ResourceType.CLUSTER:
        return "the cluster"
    name = f"{binding.resource_name}*" if binding.pattern is PatternType.PREFIXED else binding.resource_name
    noun = f"{binding.resource_type.noun} " if with_type and binding.resource_type is not ResourceType.TOPIC else ""
    return f"{noun}{name}"


def _add_hosts(name: str, hosts: str, differs: bool) -> str:
    """Return the name with its hosts, where these differ from name to name."""
    return f"{name} (from {hosts})" if differs and hosts != ANY_HOST else name
