"""Resources, changes and the ledger's records as JSON without secrets, and back.

What a kind has of its own is encoded by the kind. Whatever is read may come from a stranger: a `…_from_json` raises
ValueError, and nothing else, for data of another shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kplan.diagnostics import Span
from kplan.kinds.registry import KINDS, parse_address
from kplan.model import (
    NOWHERE,
    USUAL,
    Action,
    Address,
    Change,
    ChangeOptions,
    Origin,
    Owned,
    Resource,
)
from kplan.model.codec import (
    diff_from_json,
    diff_to_json,
    risk_from_json,
    risk_to_json,
    rules_from_json,
    rules_to_json,
    span_from_json,
    span_to_json,
    undo_from_json,
    undo_to_json,
)
from kplan.model.fields import (
    Json,
    drop_empty,
    expect_shape,
    read_each,
    read_flag,
    read_integer,
    read_mapping,
    read_required_text,
    read_text,
    read_texts,
)

ACTIONS = {action: ["delete", "create"] if action is Action.REPLACE else [action.value] for action in Action}


def resource_to_json(resource: Resource) -> Json:
    """Return what the kind says of the resource, its rules, and the note of what made it; the name is the address's."""
    own = KINDS[resource.address.kind].encoding.encode(resource)
    common = drop_empty({"rules": rules_to_json(resource.rules), "note": resource.origin.note})
    return dict(sorted((own | common).items()))


def resource_from_json(address: Address, data: Any) -> Resource:
    """Return the resource that `data` describes. Its origin is not kept, but for the note of what made it."""
    with expect_shape(address):
        fields = read_mapping(data)
        rules = rules_from_json(fields["rules"]) if "rules" in fields else USUAL
        origin = Origin(note=read_text(fields, "note")) if "note" in fields else NOWHERE
        resource: Resource = KINDS[address.kind].encoding.decode(address.name, fields, origin, rules)
        return resource


def _read_resource(address: Address, data: Any, span: Span | None) -> Resource | None:
    """Return the resource, which also knows where in a file it is declared."""
    if data is None:
        return None
    resource = resource_from_json(address, data)
    return replace(resource, origin=replace(resource.origin, span=span))


def owned_to_json(owned: Owned) -> Json:
    """Return the value of a ledger's record; the address is its key."""
    return {
        "stack": owned.stack,
        "env": owned.env,
        "created": owned.created,
        "protect": owned.protect,
        "applied": None if owned.applied is None else resource_to_json(owned.applied),
        "run": owned.run,
        "at": owned.at,
        **drop_empty({"sensitive": list(owned.sensitive)}),
    }


def owned_from_json(address: Address, data: Any) -> Owned:
    """Return the ledger's record of `address` that `data` describes."""
    with expect_shape(f"the record of {address}"):
        fields = read_mapping(data)
        applied = fields.get("applied")
        return Owned(
            address,
            stack=read_required_text(fields, "stack"),
            env=read_text(fields, "env"),
            created=read_flag(fields, "created"),
            protect=read_flag(fields, "protect"),
            applied=None if applied is None else resource_from_json(address, applied),
            run=read_text(fields, "run"),
            at=read_text(fields, "at"),
            sensitive=read_texts(fields, "sensitive"),
        )


def rename_owned(owned: Owned, address: Address) -> Owned | None:
    """Return the record as one of another resource of its kind; None where its content depends on the name."""
    applied = owned.applied
    if applied is not None:
        applied = KINDS[address.kind].encoding.rename(applied, address.name)
        if applied is None:
            return None
    return Owned(
        address,
        owned.stack,
        owned.env,
        owned.created,
        owned.protect,
        applied,
        owned.run,
        owned.at,
        owned.sensitive,
    )


def change_to_json(change: Change, step: int, wave: int) -> Json:
    """Return one of `changes` in the plan's document (schemas/plan.v1.json), with all that an executor needs."""
    verified, owner = change.options.verified, change.owner
    return {
        "step": step,
        "wave": wave,
        "address": str(change.address),
        "kind": change.address.kind,
        "name": change.address.name,
        "actions": ACTIONS[change.action],
        "reason": change.reason,
        "source": None if change.span is None else span_to_json(change.span),
        "depends_on": sorted(map(str, change.needs)),
        "before": None if change.before is None else resource_to_json(change.before),
        "after": None if change.after is None else resource_to_json(change.after),
        "sensitive": find_sensitive_paths(change),
        "diff": [diff_to_json(diff) for diff in change.diffs],
        "undo": undo_to_json(change.undo),
        "risks": [risk_to_json(risk) for risk in change.risks],
        "verified": {"by": verified, "errors": 0} if verified else None,
        "unchanged": change.unchanged,
        **drop_empty({
            "unmanaged": list(change.unmanaged),
            "adopts": change.adopts,
            "created": change.created,
            "effects": list(change.options.effects),
            "moved_from": None if change.source is None else str(change.source),
            "owner": None if owner is None else {"address": str(owner.address), **owned_to_json(owner)},
        }),
        **KINDS[change.address.kind].encoding.encode_options(change.options),
    }  # fmt: skip


def find_sensitive_paths(change: Change) -> list[str]:
    """Return the paths of all secrets of a change, whether they change or not."""
    secrets = KINDS[change.address.kind].comparison.secrets
    kept = {path for resource in (change.before, change.after) if resource is not None for path in secrets(resource)}
    return sorted(kept | {diff.path for diff in change.diffs if diff.sensitive})


def change_from_json(data: Any) -> Change:
    """Return the change that `data` describes; `step` and `wave`, which it has as well, are not part of a change."""
    with expect_shape("a change"):
        fields = read_mapping(data)
        address = parse_address(read_text(fields, "address"))
        source = parse_address(read_text(fields, "moved_from")) if fields.get("moved_from") else address
        span = None if fields.get("source") is None else span_from_json(fields["source"])
        return Change(
            address=address,
            action=_read_action(fields.get("actions")),
            before=_read_resource(source, fields.get("before"), span),
            after=_read_resource(address, fields.get("after"), span),
            diffs=read_each(fields, "diff", diff_from_json),
            reason=read_text(fields, "reason"),
            needs=frozenset(map(parse_address, read_texts(fields, "depends_on"))),
            undo=undo_from_json(fields.get("undo", {})),
            risks=read_each(fields, "risks", risk_from_json),
            span=span,
            unmanaged=read_texts(fields, "unmanaged"),
            unchanged=read_integer(fields, "unchanged", 0),
            owner=_read_owner(fields["owner"]) if fields.get("owner") else None,
            created=read_flag(fields, "created"),
            options=_read_options(address, fields),
        )


def find_contents(changes: Iterable[Change]) -> dict[str, str]:
    """Return the texts of what the changes make, by their sha256: a plan holds each once."""
    found: dict[str, str] = {}
    for change in changes:
        if change.after is not None:
            found |= KINDS[change.address.kind].encoding.find_contents(change.after)
    return dict(sorted(found.items()))


def with_contents(change: Change, contents: Mapping[str, str]) -> Change:
    """Return the change with the texts that a plan holds of what it makes."""
    if change.after is None or not contents:
        return change
    return replace(change, after=KINDS[change.address.kind].encoding.with_contents(change.after, contents))


def _read_options(address: Address, fields: Any) -> ChangeOptions:
    """Return the options; those that no change of this kind has of its own are the common ones."""
    verified = read_mapping(fields.get("verified") or {})
    common = ChangeOptions(read_texts(fields, "effects"), read_text(verified, "by"))
    options: ChangeOptions = KINDS[address.kind].encoding.decode_options(fields, common)
    return common if options == type(options)(common.effects, common.verified) else options


def _read_owner(data: Any) -> Owned:
    return owned_from_json(parse_address(read_text(read_mapping(data), "address")), data)


def _read_action(names: Any) -> Action:
    for action, words in ACTIONS.items():
        if names == words:
            return action
    raise ValueError(f"{names!r} are not actions")
