"""`access:` in stack files: by principal, lines that grant what some work needs, and single bindings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from kplan.diagnostics import Diagnostic, codes, warning
from kplan.kinds.acl import lines
from kplan.kinds.acl.authorizer import allows, covers
from kplan.kinds.acl.binding import (
    CONNECTORS_LINE,
    PERMISSIONS,
    AclBinding,
    describe_binding,
    make_binding,
    parse_binding,
)
from kplan.kinds.acl.operations import ALL, ANY_HOST, ANY_NAME, OPERATIONS, PatternType, ResourceType, is_checked
from kplan.kinds.acl.rights import ResourcePattern, Right
from kplan.kinds.expansion import KEY, ExpansionContext
from kplan.kinds.language import Language
from kplan.kinds.parts import encode_part
from kplan.kinds.topic.settings import rules
from kplan.model import Address, Origin, Rules
from kplan.values import dataclass

PRINCIPAL = re.compile(r"[A-Za-z][A-Za-z0-9]*:.+", re.DOTALL)
ACCESS_KEYS = ("for_each", "produce", "consume", "transactional_id", "streams", "connectors", "worker", "kplan",
               "allow", "deny", "hosts", "exclusive", "protect", "accept")  # fmt: skip
ENTRY_KEYS = ("topic", "group", "transactional_id", "cluster", "operations", "hosts", "accept")
GRANTS: Mapping[str, Callable[[Any], list[Right]]] = {
    "produce": lines.produce,
    "consume": lines.consume,
    "transactional_id": lines.transactional_id,
    "streams": lines.streams,
    "worker": lines.worker,
}


class AclLanguage(Language):
    leaves_with_its_line = True
    removal_words = ("acl", "access")
    key_order = {
        "stack": {
            ("access", "*"): ACCESS_KEYS,
            ("access", "*", "allow", "*"): ENTRY_KEYS,
            ("access", "*", "deny", "*"): ENTRY_KEYS,
            ("access", "*", "consume"): ("topics", "group"),
            ("access", "*", "produce"): ("topics", "idempotent"),
            ("access", "*", "worker"): ("group_id", "topics"),
            ("access", "*", "kplan"): ("do", "topics", "stacks", "state"),
        }
    }

    def expand(self, context: ExpansionContext) -> None:
        collected: dict[Address, AclBinding] = {}
        for key in context.document.data.get("access") or {}:
            _expand_principal(context, key, collected)
        for binding in collected.values():
            context.add(binding)

    def check(self, context: ExpansionContext) -> Iterator[Diagnostic]:
        bindings = [each for each in context.resources.values() if isinstance(each, AclBinding)]
        yield from _warn_of_void_allows(bindings)
        yield from _note_covered(bindings)

    def read_removal(self, entry: Mapping[str, Any]) -> tuple[str, bool] | None:
        """Read `{acl: ADDRESS WITHOUT acl/}`, or `{access: PRINCIPAL}`: all its bindings that the stack owns."""
        if entry.get("access") is not None:
            return f"{encode_part(str(entry['access']))}/", True
        if entry.get("acl") is None:
            return None
        return parse_binding(str(entry["acl"])).name, False


@dataclass(frozen=True, slots=True)
class _Block:
    """One principal's block, rendered."""

    context: ExpansionContext
    path: KEY
    principal: str
    hosts: tuple[str, ...]
    rules: Rules
    is_exclusive: bool

    def make(
        self, line: str, at: KEY, rights: Iterable[Right], permission: str = "allow", hosts: tuple[str, ...] = ()
    ) -> Iterator[AclBinding]:
        """Yield the bindings of one line, for each host."""
        span = self.context.document.key_at(*self.path, *at)
        for right in rights:
            place = right.place
            for host in hosts or self.hosts:
                yield replace(
                    make_binding(self.principal, permission, right.operation, *place, host),
                    origin=Origin(span, note=line),
                    rules=self.rules,
                    exclusive=self.is_exclusive,
                    lines=(line,),
                )


def _expand_principal(context: ExpansionContext, key: str, collected: dict[Address, AclBinding]) -> None:
    path: KEY = ("access", key)
    data = context.document.data["access"][key] or {}
    for scope in context.scopes(data, path, key):
        principal = context.value(key, path, scope)
        own = context.block({k: v for k, v in data.items() if k != "for_each"}, path, scope)
        if principal is None or own is None:
            continue
        if not PRINCIPAL.fullmatch(str(principal)):
            help = f"write `User:{principal}:`" if ":" not in str(principal) else "write TYPE:NAME"
            context.report(codes.K260, "this is not a principal", f"{principal!r} has no type", path, help, key=True)
            continue
        hosts = _read_hosts(context, own.get("hosts"), (*path, "hosts"))
        if hosts is None:
            continue
        block = _Block(context, path, str(principal), hosts, rules(own), bool(own.get("exclusive")))
        made = list(_expand_lines(block, own))
        if own.get("exclusive") and not made:
            context.report(
                codes.K264,
                "an exclusive block without bindings",
                f"{principal} would lose all that it may do",
                (*path, "exclusive"),
                "list the bindings to delete under `removed:`",
            )
        for binding in made:
            _merge(collected, binding)


def _expand_lines(block: _Block, own: Mapping[str, Any]) -> Iterator[AclBinding]:
    for key, grant in GRANTS.items():
        if own.get(key) is not None:
            yield from block.make(key, (key,), _check_names(block, (key,), grant(own[key])))
    if own.get("kplan") is not None:
        yield from block.make("kplan", ("kplan",), lines.kplan(own["kplan"], block.context.surroundings.kafka_topic))
    for i, name in enumerate(lines.list_texts(own.get("connectors") or [])):
        at: KEY = ("connectors", i) if isinstance(own["connectors"], list) else ("connectors",)
        yield from block.make(f"{CONNECTORS_LINE}{name}", at, _find_rights_of_connector(block, name, at))
    for permission in PERMISSIONS:
        for i, entry in enumerate(own.get(permission) or []):
            yield from _expand_entry(block, permission, i, entry)


def _find_rights_of_connector(block: _Block, name: str, at: KEY) -> list[Right]:
    """Return what a connector of this stack needs of Kafka, as far as it is this principal that needs it.

    Clients without a login of their own have that of Connect's workers.
    """
    connector = block.context.resources.get(Address("connector", name))
    if connector is None:
        block.context.report(
            codes.K265,
            "a connector that this stack does not declare",
            f"no connector {name!r} is declared here, so what it needs is not known",
            (*block.path, *at),
            "declare the connector in the same stack, or write `produce` and `consume`",
        )
        return []
    rights = list(block.context.rights_of(connector))
    own = [right for right in rights if right.login and f"User:{right.login}" == block.principal]
    others = [right for right in rights if not right.login]
    if rights and not own and not others:
        block.context.report(
            codes.K272,
            "a connector that logs in as somebody else",
            f"connector/{name} has logins of its own, and {block.principal} is the user of none of them",
            (*block.path, *at),
            "write the line at the principal of the user in its `sasl.jaas.config`",
        )
    return own or others


def _expand_entry(block: _Block, permission: str, number: int, entry: Mapping[str, Any]) -> Iterator[AclBinding]:
    at: KEY = (permission, number)
    resource_type = next(each for each in ResourceType if each.key in entry)
    operations = [str(each) for each in entry["operations"]]
    for operation in operations:
        if not is_checked(operation, resource_type):
            block.context.report(
                codes.K262,
                "an operation that is never checked on this",
                f"{operation} on a {resource_type.noun}: brokers store such a binding, and it grants nothing",
                (*block.path, *at, "operations"),
                f"operations of a {resource_type.noun}: {', '.join((ALL, *OPERATIONS[resource_type]))}",
            )
            return
    hosts = _read_hosts(block.context, entry.get("hosts"), (*block.path, *at, "hosts")) if "hosts" in entry else ()
    if hosts is None:
        return
    places = [_read_entry_place(resource_type, name) for name in _list_names(resource_type, entry[resource_type.key])]
    rights = [Right(operation, place) for place in places for operation in operations]
    accepted = replace(block.rules, accept=block.rules.accept | frozenset(entry.get("accept") or ()))
    own = replace(block, rules=accepted) if entry.get("accept") else block
    yield from own.make(permission, at, _check_names(block, at, rights), permission, hosts)


def _list_names(resource_type: ResourceType, value: Any) -> list[Any]:
    if resource_type is ResourceType.CLUSTER:
        return [""]
    return value if isinstance(value, list) else [value]


def _read_entry_place(resource_type: ResourceType, name: Any) -> ResourcePattern:
    """Return the place of an entry; `{name: "a*", pattern: literal}` is the long form."""
    if resource_type is ResourceType.CLUSTER:
        return lines.CLUSTER
    if isinstance(name, Mapping):
        return ResourcePattern(resource_type, str(name["name"]), PatternType(name.get("pattern") or "literal"))
    return lines.read_place(resource_type, str(name))


def _check_names(block: _Block, at: KEY, rights: Iterable[Right]) -> list[Right]:
    """Return the rights whose place has a name; report the others."""
    kept = list(rights)
    if any(not right.place.name for right in kept):
        block.context.report(
            codes.K263, "an empty name", "a binding names something", (*block.path, *at), 'every name is "*"'
        )
    return [right for right in kept if right.place.name]


def _read_hosts(context: ExpansionContext, value: Any, at: KEY) -> tuple[str, ...] | None:
    """Return the hosts; None where one of them is no address. Kafka compares addresses as text, and knows no ranges."""
    hosts = tuple(lines.list_texts(value)) if value else (ANY_HOST,)
    for host in hosts:
        if host == ANY_HOST:
            continue
        try:
            ip_address(host)
        except ValueError:
            detail = f"{host!r} is not an IP address: Kafka compares addresses as text, and knows no names and ranges"
            context.report(codes.K261, "this is not a host of a binding", detail, at, 'write each address, or "*"')
            return None
    return hosts


def _merge(collected: dict[Address, AclBinding], binding: AclBinding) -> None:
    """Add a binding; one that another line gives already is the same one, and both lines asked for it."""
    other = collected.get(binding.address)
    if other is None:
        collected[binding.address] = binding
        return
    asked = tuple(dict.fromkeys((*other.lines, *binding.lines)))
    one, two = other.rules, binding.rules
    both = replace(one, protect=one.protect or two.protect, accept=one.accept | two.accept)
    origin = replace(other.origin, note=", ".join(asked))
    collected[binding.address] = replace(
        other, origin=origin, lines=asked, rules=both, exclusive=other.exclusive or binding.exclusive
    )


# -- all bindings together --------------------------------------------------------------------------------------------
def _index(bindings: Iterable[AclBinding], permission: str) -> dict[str, list[AclBinding]]:
    found: dict[str, list[AclBinding]] = {}
    for binding in bindings:
        if binding.permission == permission:
            found.setdefault(binding.principal, []).append(binding)
    return found


def _warn_of_void_allows(bindings: list[AclBinding]) -> Iterator[Diagnostic]:
    denied = _index(bindings, "deny")
    for binding in bindings if denied else ():
        for principal in dict.fromkeys((binding.principal, "User:*")):
            for deny in denied.get(principal, ()):
                if binding.is_allow and deny.operation in (ALL, binding.operation) and covers(deny, binding):
                    yield warning(
                        codes.K266,
                        "an allow that a deny makes void",
                        f"{describe_binding(binding)}, but {describe_binding(deny)}",
                        span=binding.origin.span,
                        address=binding.address,
                        help=f"remove one of them; the deny is at {deny.origin.span}",
                    )


def _note_covered(bindings: list[AclBinding]) -> Iterator[Diagnostic]:
    wide = _index((b for b in bindings if b.pattern is PatternType.PREFIXED or b.resource_name == ANY_NAME), "allow")
    for binding in bindings if wide else ():
        if not binding.is_allow or binding.pattern is PatternType.PREFIXED:
            continue
        for other in wide.get(binding.principal, ()):
            if other is not binding and allows(other.operation, binding.operation) and covers(other, binding):
                yield warning(
                    codes.K267,
                    "a binding that another one covers",
                    f"{binding.address} grants nothing beyond {other.address}",
                    span=binding.origin.span,
                    address=binding.address,
                    help="deleting it changes nothing; remove the line, or narrow the other one",
                )
                break


def check_name(name: str) -> str:
    """Say why no binding has this name; empty where one can."""
    try:
        parse_binding(name)
    except ValueError as e:
        return str(e)
    return ""
