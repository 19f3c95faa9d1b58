"""Resources and changes as JSON, and back. No secret's value goes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplan.diagnostics import Span
from kplan.model import (
    Action, Address, AttrDiff, Change, Connector, Facts, Origin, Owned, Reader, Resource, Risk, Rules, Secret, Text, Topic, Undo,
)  # fmt: skip

ACTIONS = {Action.CREATE: ["create"], Action.UPDATE: ["update"], Action.DELETE: ["delete"],
           Action.REPLACE: ["delete", "create"], Action.MOVE: ["move"], Action.ADOPT: ["adopt"],
           Action.RELEASE: ["release"]}  # fmt: skip
BY_WORDS = {tuple(words): action for action, words in ACTIONS.items()}


def text_to_json(value: Text | int | bool | None) -> Any:
    """A secret becomes `{"sensitive": true, …}` with its reference and its fingerprint, where it has them."""
    if not isinstance(value, Secret):
        return value
    shown = {"sensitive": True, "ref": value.ref, "fingerprint": value.fingerprint}
    return {k: v for k, v in shown.items() if v}


def text_from_json(data: Any) -> Any:
    if isinstance(data, Mapping):
        return Secret(data.get("ref", ""), None, data.get("fingerprint", ""))
    return data


# -- resources --------------------------------------------------------------------------------------------------------
def resource_to_json(resource: Resource) -> dict[str, Any]:
    """`{partitions, replication_factor, config}`, or `{class, config, state, …}`; keys in order."""
    config = {key: text_to_json(resource.config[key]) for key in sorted(resource.config)}
    if isinstance(resource, Topic):
        return {"config": config, "partitions": resource.partitions, "replication_factor": resource.replication_factor}
    config.pop("connector.class", None)
    data = {"class": resource.java_class, "config": config, "state": resource.state}
    more = {"feeds": list(resource.feeds), "reads": list(resource.reads), "heartbeat": resource.heartbeat,
            "unique": list(resource.unique)}  # fmt: skip
    return data | {key: value for key, value in more.items() if value}


def resource_from_json(address: Address, data: Mapping[str, Any], rules: Rules = Rules()) -> Resource:  # noqa: B008
    """Raises KeyError, TypeError or ValueError where `data` is no resource."""
    config = {key: text_from_json(value) for key, value in data["config"].items()}
    if address.kind == "topic":
        return Topic(address.name, int(data["partitions"]), int(data["replication_factor"]), config, rules=rules)
    if data["class"]:
        config["connector.class"] = data["class"]
    return Connector(address.name, config, data["state"], tuple(data.get("feeds", ())), tuple(data.get("reads", ())),
                     tuple(data.get("unique", ())), data.get("heartbeat", ""), rules=rules)  # fmt: skip


def _maybe(resource: Resource | None) -> dict[str, Any] | None:
    return None if resource is None else resource_to_json(resource)


def owned_to_json(owned: Owned) -> dict[str, Any]:
    return {"v": 1, "stack": owned.stack, "env": owned.env, "created": owned.created, "protect": owned.protect,
            "applied": _maybe(owned.applied), "run": owned.run, "at": owned.at}  # fmt: skip


def owned_from_json(address: Address, data: Mapping[str, Any]) -> Owned:
    applied = resource_from_json(address, data["applied"]) if data.get("applied") else None
    return Owned(address, data["stack"], data["env"], bool(data["created"]), bool(data["protect"]), applied,
                 data.get("run", ""), data.get("at", ""))  # fmt: skip


# -- changes ----------------------------------------------------------------------------------------------------------
def change_to_json(change: Change, step: int, wave: int) -> dict[str, Any]:
    """The entry of the plan document; everything that executing and undoing it needs."""
    after = change.after
    data: dict[str, Any] = {
        "step": step, "wave": wave, "address": str(change.address), "kind": change.address.kind, "name": change.address.name,
        "actions": ACTIONS[change.action], "reason": change.reason, "note": after.origin.note if after else "",
        "source": span_to_json(change.span), "depends_on": sorted(map(str, change.needs)),
        "before": _maybe(change.before), "after": _maybe(after), "sensitive": _sensitive(change),
        "diff": [diff_to_json(d) for d in change.diffs], "undo": {"kind": change.undo.kind, "complete": change.undo.complete, "why": change.undo.why},
        "risks": [risk_to_json(r) for r in change.risks], "verified": change.verified, "unmanaged": list(change.unmanaged),
        "unchanged": change.unchanged, "adopts": change.adopts, "created": change.created, "moved_from": str(change.source or ""),
        "if_empty": change.if_empty, "keep_offsets": change.keep_offsets, "restart": change.restart, "effects": list(change.effects),
        "owner": owned_to_json(change.owner) if change.owner else None, "rules": rules_to_json(after.rules) if after else None,
    }  # fmt: skip
    return data


def change_from_json(data: Mapping[str, Any]) -> Change:
    """The change that an entry describes; its secrets have no values. Raises KeyError, TypeError, ValueError."""
    address = Address.parse(data["address"])
    source = Address.parse(data["moved_from"]) if data["moved_from"] else None
    rules = rules_from_json(data["rules"]) if data["rules"] else Rules()
    span = span_from_json(data["source"])
    return Change(
        address, BY_WORDS[tuple(data["actions"])],
        resource_from_json(source or address, data["before"]) if data["before"] else None,
        _placed(resource_from_json(address, data["after"], rules), span, data["note"]) if data["after"] else None,
        tuple(diff_from_json(d) for d in data["diff"]), data["reason"],
        frozenset(Address.parse(a) for a in data["depends_on"]), Undo(**data["undo"]),
        tuple(risk_from_json(r) for r in data["risks"]), span, tuple(data["unmanaged"]), data["unchanged"], data["adopts"],
        data["created"], source, data["if_empty"], data["keep_offsets"], data["restart"], tuple(data["effects"]), data["verified"],
        owned_from_json(address, data["owner"]) if data["owner"] else None,
    )  # fmt: skip


def _placed(resource: Resource, span: Span | None, note: str) -> Resource:
    from dataclasses import replace

    return replace(resource, origin=Origin(span, note=note))


def _sensitive(change: Change) -> list[str]:
    keys: set[str] = set()
    for resource in (change.before, change.after):
        if isinstance(resource, Connector):
            keys |= set(resource.secrets)
    return [f"/config/{key}" for key in sorted(keys)]


def diff_to_json(diff: AttrDiff) -> dict[str, Any]:
    op = "add" if diff.before is None else "remove" if diff.after is None else "change"
    return {"path": diff.path, "op": op, "before": text_to_json(diff.before), "after": text_to_json(diff.after), "cause": diff.cause}


def diff_from_json(data: Mapping[str, Any]) -> AttrDiff:
    return AttrDiff(data["path"], text_from_json(data["before"]), text_from_json(data["after"]), data["cause"])


def risk_to_json(risk: Risk) -> dict[str, Any]:
    return {"code": risk.code, "kind": risk.kind, "level": risk.level, "summary": risk.summary, "accept": risk.accept,
            "accepted": risk.accepted, "facts": facts_to_json(risk.facts) if risk.facts else None}  # fmt: skip


def risk_from_json(data: Mapping[str, Any]) -> Risk:
    facts = facts_from_json(data["facts"]) if data["facts"] else None
    return Risk(data["code"], data["level"], data["summary"], data["kind"], data["accept"], data["accepted"], facts)


def facts_to_json(facts: Facts) -> dict[str, Any]:
    readers = [{"group": r.group, "lag": r.lag, "active": r.active} for r in facts.readers]
    return {"records": facts.records, "bytes": facts.bytes, "last_write": facts.last_write, "readers": readers}


def facts_from_json(data: Mapping[str, Any]) -> Facts:
    return Facts(data["records"], data["bytes"], data["last_write"], tuple(Reader(**r) for r in data["readers"]))


def rules_to_json(rules: Rules) -> dict[str, Any]:
    failed = rules.restart_failed
    return {"protect": rules.protect, "ignore": sorted(rules.ignore), "accept": sorted(rules.accept), "restart": rules.restart,
            "restart_failed": list(failed) if failed else None, "new_tables": rules.new_tables}  # fmt: skip


def rules_from_json(data: Mapping[str, Any]) -> Rules:
    failed = data["restart_failed"]
    return Rules(data["protect"], frozenset(data["ignore"]), frozenset(data["accept"]), data["restart"],
                 (int(failed[0]), float(failed[1])) if failed else None, data["new_tables"])  # fmt: skip


def span_to_json(span: Span | None) -> dict[str, Any] | None:
    return {"path": span.path, "line": span.line, "column": span.column} if span else None


def span_from_json(data: Mapping[str, Any] | None) -> Span | None:
    return Span(data["path"], data["line"], data["column"]) if data else None
