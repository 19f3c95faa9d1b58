"""Bindings, users, quotas and subjects as the sections of a stack that declare exactly these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from kplan.diagnostics import Diagnostic
from kplan.importers.connector_block import BlockExpander, choose_free_name, declare_variables, to_identifier
from kplan.importers.parts import Data, StackPart
from kplan.importers.resources import ImportedResources, Note
from kplan.importers.subjects import write_subjects
from kplan.importers.writing import escape_template, to_rate
from kplan.kinds.acl.binding import CONNECTORS_LINE, AclBinding
from kplan.kinds.acl.folding import Need, fold_bindings, write_binding
from kplan.kinds.acl.rights import ResourcePattern
from kplan.kinds.connector.access import LOGIN
from kplan.kinds.quota.language import ENTITY_KEYS, find_refusal
from kplan.kinds.quota.quota import CLIENT_KEYS, DEFAULT, IP_KEYS, RATES, Quota
from kplan.kinds.user.user import FEWEST_ITERATIONS, MOST_ITERATIONS, ScramUser
from kplan.model import Address, Connector
from kplan.planning.comparison import compare

PROBE: Final = "User:probe"  # in a stack that is only expanded
USERS: Final = (
    "No broker returns a password. Before `kplan plan`, set the variables of `users:` to the passwords",
    "that are live. The plan tries each by a login, and changes none that is right.",
)


def add_access(
    data: Data, imported: ImportedResources, expander: BlockExpander
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the data with bindings, users, quotas and subjects, and what of them no stack can declare, and why."""
    notes: list[str] = []
    parts = [
        *_write_users(imported.users.values(), set(data.get("variables", {})), notes),
        *_write_principals(imported.bindings.values(), data, imported.connectors, expander, notes),
        *_write_quotas(imported.quotas.values(), notes),
        *write_subjects(imported.subjects.values(), imported.connectors.values(), notes),
    ]
    with_all = _join(data, parts)
    if not parts or not _find_refusal(with_all, parts, expander):
        return with_all, tuple(notes)
    refusals = [_find_refusal(_join(data, [part]), [part], expander) for part in parts]
    for part, refusal in zip(parts, refusals, strict=True):
        if refusal:
            notes.append(str(Note(f"{part.name} is left out: {refusal}", part.resources[0].origin.span)))
    exact = [part for part, refusal in zip(parts, refusals, strict=True) if not refusal]
    return _join(data, exact), tuple(notes)


def list_legends(data: Data) -> Iterator[str]:
    """Yield what a reader of the file must know about its users."""
    if data.get("users"):
        yield from USERS


def _join(data: Data, parts: Iterable[StackPart]) -> dict[str, Any]:
    """Return the data with these parts."""
    joined: dict[str, Any] = dict(data)
    for part in parts:
        if part.variables:
            joined["variables"] = {**joined.get("variables", {}), **part.variables}
        if part.key:
            joined[part.section] = {**joined.get(part.section, {}), part.key: part.content}
        else:
            joined[part.section] = [*joined.get(part.section, []), part.content]
    return joined


def _find_refusal(data: Data, parts: Iterable[StackPart], expander: BlockExpander) -> str:
    """Return why the stack does not declare exactly what the parts are for; empty where it does."""
    stack, problems = expander.expand(data)
    if reason := next((_describe(problem) for problem in problems if problem.is_error), ""):
        return reason
    expected = {resource.address: resource for part in parts for resource in part.resources}
    kinds = {address.kind for address in expected}
    declared = (
        {address: resource for address, resource in stack.resources.items() if address.kind in kinds} if stack else {}
    )
    is_exact = declared.keys() == expected.keys() and not any(
        compare(resource, expected[address], None).diffs for address, resource in declared.items()
    )
    return "" if is_exact else "the stack would declare it differently"


def _describe(problem: Diagnostic) -> str:
    """Return what a problem of a stack says, without its place: the user has no such stack."""
    return f"{problem.detail or problem.summary} ({problem.code})"


# -- users ------------------------------------------------------------------------------------------------------------
def _write_users(users: Iterable[ScramUser], taken: set[str], notes: list[str]) -> Iterator[StackPart]:
    """Yield a block for each user, with a variable for its password. `taken` are the names of other variables."""
    for user in users:
        if not user.mechanisms:
            notes.append(f"{user.address} is left out: this kplan knows none of its mechanisms")
            continue
        variable = choose_free_name(to_identifier(f"{user.user_name}_password"), taken)
        names, iterations = list(user.mechanisms), sorted(set(user.mechanisms.values()))
        block: dict[str, Any] = {"mechanism": names[0] if len(names) == 1 else names}
        if len(iterations) == 1 and FEWEST_ITERATIONS <= iterations[0] <= MOST_ITERATIONS:
            block["iterations"] = iterations[0]
        else:
            block["ignore"] = ["iterations"]
            notes.append(f"{user.address}: its mechanisms have iterations of their own, which are left alone")
        block["password"] = f"{{{{ var.{variable} }}}}"
        yield StackPart("users", escape_template(user.user_name), block, (user,), declare_variables([variable]))


# -- bindings ---------------------------------------------------------------------------------------------------------
def _write_principals(
    bindings: Iterable[AclBinding],
    data: Data,
    connectors: Mapping[str, Connector],
    expander: BlockExpander,
    notes: list[str],
) -> Iterator[StackPart]:
    """Yield a block for each principal."""
    by_principal: dict[str, list[AclBinding]] = {}
    for binding in bindings:
        by_principal.setdefault(binding.principal, []).append(binding)
    shared = _find_runners(by_principal, _find_needs(data, connectors, expander) if by_principal else {})
    for principal, own in by_principal.items():
        block, left = fold_bindings(own, shared.get(principal, {}))
        notes += [_note_refusal(each, data, expander) for each in left]
        declared = tuple(each for each in own if each not in left)
        if declared:
            yield StackPart("access", escape_template(principal), _escape(block), declared)


def _note_refusal(binding: AclBinding, data: Data, expander: BlockExpander) -> str:
    """Return the note about a binding that no stack can declare, with the reason that a stack with it would get."""
    part = StackPart("access", escape_template(binding.principal), _escape(write_binding(binding)), (binding,))
    refusal = _find_refusal(_join(data, [part]), [part], expander)
    return str(Note(f"{binding.address} is left out: {refusal}", binding.origin.span))


def _find_needs(data: Data, connectors: Mapping[str, Connector], expander: BlockExpander) -> dict[str, frozenset[Need]]:
    """Return what each connector of the stack needs, as far as its clients have no logins of their own."""
    names = [
        name
        for name in data.get("connectors", {})
        if name in connectors and not any(key.endswith(LOGIN) for key in connectors[name].config)
    ]
    if not names:
        return {}
    stack, problems = expander.expand({**data, "access": {PROBE: {"connectors": names}}})
    unknown = {problem.address for problem in problems if problem.is_error}
    needs: dict[str, set[Need]] = {name: set() for name in names if str(Address(Connector.kind, name)) not in unknown}
    for resource in stack.resources.values() if stack else ():
        for line in resource.lines if isinstance(resource, AclBinding) else ():
            if (name := line.removeprefix(CONNECTORS_LINE)) in needs:
                assert isinstance(resource, AclBinding)
                place = ResourcePattern(resource.resource_type, resource.resource_name, resource.pattern)
                needs[name].add((resource.operation, place))
    return {name: frozenset(each) for name, each in needs.items() if len(each) > 1}  # one may be any other client's


def _find_runners(
    by_principal: Mapping[str, Iterable[AclBinding]], needs: Mapping[str, frozenset[Need]]
) -> dict[str, dict[str, frozenset[Need]]]:
    """Return by principal the connectors that run as it: those whose needs no other principal has."""
    rights = {
        principal: {
            (each.operation, ResourcePattern(each.resource_type, each.resource_name, each.pattern))
            for each in bindings
            if each.is_allow
        }
        for principal, bindings in by_principal.items()
    }
    shared: dict[str, dict[str, frozenset[Need]]] = {}
    for name, own in needs.items():
        principals = [principal for principal, each in rights.items() if own <= each]
        if len(principals) == 1:
            shared.setdefault(principals[0], {})[name] = own
    return shared


def _escape(content: Any) -> Any:
    """Return the content with each text as a template that evaluates to it."""
    if isinstance(content, Mapping):
        return {key: _escape(child) for key, child in content.items()}
    if isinstance(content, list):
        return [_escape(child) for child in content]
    return escape_template(content) if isinstance(content, str) else content


# -- quotas -----------------------------------------------------------------------------------------------------------
def _write_quotas(quotas: Iterable[Quota], notes: list[str]) -> Iterator[StackPart]:
    """Yield an entry for each quota."""
    keys = {kind: key for key, kind in ENTITY_KEYS.items()}
    for quota in quotas:
        entity = quota.entity
        if DEFAULT in entity.values():
            notes.append(f"{quota.address} is left out: `{DEFAULT}` names everybody else in a stack")
            continue
        allowed = IP_KEYS if "ip" in entity else CLIENT_KEYS
        limits = {
            key: to_rate(value) if key in RATES else _shorten(value)
            for key, value in quota.values.items()
            if key in allowed and not find_refusal(key, value)
        }
        notes += [f"{quota.address}: no stack can declare {key}" for key in quota.values if key not in limits]
        names = {keys[kind]: DEFAULT if name is None else escape_template(name) for kind, name in entity.items()}
        if limits:
            yield StackPart("quotas", "", {**names, **limits}, (quota,))


def _shorten(value: float) -> int | float:
    return int(value) if value == int(value) else value
