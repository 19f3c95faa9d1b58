"""Resources, changes and records as JSON without secrets, and back.

A secret becomes `{"sensitive": true, "ref": "{{ var.NAME }}", "fingerprint": "hmac:…"}`: its value is never written,
so what is read back has `value=None`. Sets are sorted; what has an order keeps it. What is empty or usual is left out,
so that two documents of the same world are equal. Whatever is read may come from a stranger: a `…_from_json` raises
ValueError, and nothing else, for data of another shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from kplan.diagnostics import Span
from kplan.model import (
    NOWHERE,
    USUAL,
    Action,
    Address,
    AttrDiff,
    Change,
    Config,
    Connector,
    Facts,
    Origin,
    Owned,
    Reader,
    Reassignment,
    Resource,
    Risk,
    Rules,
    Secret,
    Text,
    Topic,
    Undo,
    frozen,
)
from kplan.model.journal import Entry, Item

Json = dict[str, Any]
T = TypeVar("T")
CLASS = "connector.class"
ACTIONS = {action: ["delete", "create"] if action is Action.REPLACE else [action.value] for action in Action}


def text_to_json(value: Text | int | bool | None) -> Any:
    """A value, or what may be said of a secret."""
    if not isinstance(value, Secret):
        return value
    return {"sensitive": True, **_filled({"fingerprint": value.fingerprint, "ref": value.ref})}


def text_from_json(data: Any) -> Text | int | bool | None:
    if isinstance(data, Mapping):
        return Secret(ref=_text(data, "ref"), fingerprint=_text(data, "fingerprint"))
    if data is None or isinstance(data, str | int):
        return data
    raise ValueError(f"{type(data).__name__} is no value of an attribute")


def config_to_json(config: Config) -> Json:
    return {key: text_to_json(config[key]) for key in sorted(config)}


def config_from_json(data: Any) -> dict[str, Text]:
    values = {str(key): text_from_json(value) for key, value in _mapping(data).items()}
    config = {key: value for key, value in values.items() if isinstance(value, str | Secret)}
    if len(config) != len(values):
        raise ValueError("a config holds a value that is no text")
    return config


def resource_to_json(resource: Resource) -> Json:
    """`{partitions, replication_factor, config}` or `{class, config, state, …}`; the name is the address's."""
    if isinstance(resource, Topic):
        own: Json = {
            "partitions": resource.partitions,
            "replication_factor": resource.replication_factor,
            "config": {key: resource.config[key] for key in sorted(resource.config)},
        }
    else:
        java_class = resource.config.get(CLASS)
        named = isinstance(java_class, str)
        own = {
            "config": config_to_json({k: v for k, v in resource.config.items() if not (named and k == CLASS)}),
            "state": resource.state,
            **({"class": java_class} if named else {}),
            **_filled(
                {
                    "feeds": list(resource.feeds),
                    "reads": list(resource.reads),
                    "unique": list(resource.unique),
                    "heartbeat": resource.heartbeat,
                }
            ),
        }
    extra = _filled({"rules": rules_to_json(resource.rules), "note": resource.origin.note})
    return dict(sorted((own | extra).items()))


def resource_from_json(address: Address, data: Any) -> Resource:
    """The resource that `data` describes. Its origin is not kept, but for the note of what made it."""
    with _shaped(address):
        fields = _mapping(data)
        rules = rules_from_json(fields["rules"]) if "rules" in fields else USUAL
        origin = Origin(note=_text(fields, "note")) if "note" in fields else NOWHERE
        if address.kind == "topic":
            return _topic(address.name, fields, origin, rules)
        return _connector(address.name, fields, origin, rules)


def _topic(name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> Topic:
    config = config_from_json(fields.get("config", {}))
    plain = {key: value for key, value in config.items() if isinstance(value, str)}
    if len(plain) != len(config):
        raise ValueError("a topic's config has no secrets")
    counts = _integer(fields, "partitions", 1), _integer(fields, "replication_factor", -1)
    return Topic(name, *counts, frozen(plain), origin, rules)


def _connector(name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> Connector:
    config = config_from_json(fields.get("config", {}))
    if "class" in fields:
        config[CLASS] = _text(fields, "class")
    return Connector(
        name,
        frozen(config),
        _text(fields, "state", "running"),
        feeds=_texts(fields, "feeds"),
        reads=_texts(fields, "reads"),
        unique=_texts(fields, "unique"),
        heartbeat=_text(fields, "heartbeat"),
        origin=origin,
        rules=rules,
    )


def rules_to_json(rules: Rules) -> Json:
    if rules is USUAL:
        return {}
    data: Json = {
        "protect": rules.protect,
        "ignore": sorted(rules.ignore),
        "accept": sorted(rules.accept),
        "restart": rules.restart,
        "restart_failed": list(rules.restart_failed) if rules.restart_failed else None,
        "new_tables": rules.new_tables,
        "drop": sorted(rules.drop),
    }
    return {key: value for key, value in data.items() if value is False or (value and value != getattr(USUAL, key))}


def rules_from_json(data: Any) -> Rules:
    fields = _mapping(data)
    restarts = fields.get("restart_failed")
    return Rules(
        protect=_flag(fields, "protect") if "protect" in fields else None,
        ignore=frozenset(_texts(fields, "ignore")),
        accept=frozenset(_texts(fields, "accept")),
        restart=_text(fields, "restart", "never"),
        restart_failed=None if restarts is None else _restarts(restarts),
        new_tables=_text(fields, "new_tables", "none"),
        drop=frozenset(_texts(fields, "drop")),
    )


def _restarts(data: Any) -> tuple[int, float]:
    attempts, delay = data
    return int(attempts), float(delay)


def facts_to_json(facts: Facts | None) -> Json | None:
    """None stays None, and so does each number that is not known."""
    if facts is None:
        return None
    return {
        "records": facts.records,
        "bytes": facts.bytes,
        "first_write": facts.first_write,
        "last_write": facts.last_write,
        "readers": [{"group": r.group, "lag": r.lag, "active": r.active} for r in facts.readers],
        "sinks": list(facts.sinks),
        "unknown": dict(sorted(facts.unknown.items())),
    }


def facts_from_json(data: Any) -> Facts | None:
    if data is None:
        return None
    with _shaped("facts"):
        fields = _mapping(data)
        return Facts(
            records=_number(fields, "records"),
            bytes=_number(fields, "bytes"),
            last_write=_number(fields, "last_write"),
            readers=tuple(_reader(_mapping(reader)) for reader in _sequence(fields, "readers")),
            first_write=_number(fields, "first_write"),
            sinks=_texts(fields, "sinks"),
            unknown=_words(fields, "unknown"),
        )


def _reader(fields: Mapping[str, Any]) -> Reader:
    return Reader(_needed(fields, "group"), _integer(fields, "lag", 0), _flag(fields, "active", True))


def risk_to_json(risk: Risk) -> Json:
    return {
        "code": risk.code,
        "kind": risk.kind,
        "level": risk.level,
        "summary": risk.summary,
        "facts": facts_to_json(risk.facts),
        "accept": risk.accept,
        "accepted": risk.accepted,
    }


def risk_from_json(data: Any) -> Risk:
    with _shaped("a risk"):
        fields = _mapping(data)
        return Risk(
            code=_needed(fields, "code"),
            level=_needed(fields, "level"),
            summary=_text(fields, "summary"),
            kind=_text(fields, "kind"),
            accept=_text(fields, "accept"),
            accepted=None if fields.get("accepted") is None else _text(fields, "accepted"),
            facts=facts_from_json(fields.get("facts")),
        )


def undo_to_json(undo: Undo) -> Json:
    return {"kind": undo.kind, "complete": undo.complete, **_filled({"why": undo.why})}


def undo_from_json(data: Any) -> Undo:
    with _shaped("an undo"):
        fields = _mapping(data)
        return Undo(_text(fields, "kind", "none"), _flag(fields, "complete"), _text(fields, "why"))


def diff_to_json(diff: AttrDiff) -> Json:
    op = "add" if diff.before is None else "remove" if diff.after is None else "change"
    return {
        "path": diff.path,
        "op": op,
        "before": text_to_json(diff.before),
        "after": text_to_json(diff.after),
        "cause": diff.cause,
    }


def diff_from_json(data: Any) -> AttrDiff:
    with _shaped("a difference"):
        fields = _mapping(data)
        before, after = text_from_json(fields.get("before")), text_from_json(fields.get("after"))
        return AttrDiff(_needed(fields, "path"), before, after, _text(fields, "cause", "stack"))


def owned_to_json(owned: Owned) -> Json:
    """The value of a ledger's record; the address is its key."""
    return {
        "stack": owned.stack,
        "env": owned.env,
        "created": owned.created,
        "protect": owned.protect,
        "applied": None if owned.applied is None else resource_to_json(owned.applied),
        "run": owned.run,
        "at": owned.at,
        **_filled({"sensitive": list(owned.sensitive)}),
    }


def owned_from_json(address: Address, data: Any) -> Owned:
    with _shaped(f"the record of {address}"):
        fields = _mapping(data)
        applied = fields.get("applied")
        return Owned(
            address,
            stack=_needed(fields, "stack"),
            env=_text(fields, "env"),
            created=_flag(fields, "created"),
            protect=_flag(fields, "protect"),
            applied=None if applied is None else resource_from_json(address, applied),
            run=_text(fields, "run"),
            at=_text(fields, "at"),
            sensitive=_texts(fields, "sensitive"),
        )


def change_to_json(change: Change, step: int, wave: int) -> Json:
    """One of `changes` in the plan's document (schemas/plan.v1.json), with all that an executor needs."""
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
        "sensitive": sensitive_paths(change),
        "diff": [diff_to_json(diff) for diff in change.diffs],
        "undo": undo_to_json(change.undo),
        "risks": [risk_to_json(risk) for risk in change.risks],
        "verified": {"by": change.verified, "errors": 0} if change.verified else None,
        "unchanged": change.unchanged,
        **_extras(change),
    }


def _extras(change: Change) -> Json:
    """What most changes do not have."""
    data: Json = {
        "unmanaged": list(change.unmanaged),
        "adopts": change.adopts,
        "created": change.created,
        "if_empty": change.if_empty,
        "keep_offsets": change.keep_offsets,
        "restart": change.restart,
        "effects": list(change.effects),
        "snapshots": list(change.snapshots),
        "drops": list(change.drops),
        "moved_from": None if change.source is None else str(change.source),
        "owner": None
        if change.owner is None
        else {"address": str(change.owner.address), **owned_to_json(change.owner)},
        "reassignment": None if change.reassignment is None else reassignment_to_json(change.reassignment),
        "topic_id": change.topic_id,
    }
    return _filled(data)


def reassignment_to_json(moved: Reassignment) -> Json:
    return {
        "partitions": [
            {"partition": p, "before": list(moved.before[p]), "after": list(moved.after[p])}
            for p in sorted(moved.after)
        ],
        "bytes": moved.bytes,
        "throttle": moved.throttle,
    }


def reassignment_from_json(data: Any) -> Reassignment:
    with _shaped("a reassignment"):
        fields = _mapping(data)
        each = [_mapping(one) for one in _sequence(fields, "partitions")]
        before, after = (
            {_integer(one, "partition", 0): _brokers(one, side) for one in each} for side in ("before", "after")
        )
        return Reassignment(before, after, _number(fields, "bytes"), _number(fields, "throttle"))


def _brokers(fields: Mapping[str, Any], name: str) -> tuple[int, ...]:
    brokers = tuple(_sequence(fields, name))
    if not brokers or not all(type(broker) is int for broker in brokers):
        raise ValueError(f"`{name}` names no brokers")
    return brokers


def sensitive_paths(change: Change) -> list[str]:
    """The paths of all secrets of a change, whether they change or not."""
    kept = {
        f"/config/{key}"
        for resource in (change.before, change.after)
        if isinstance(resource, Connector)
        for key in resource.secrets
    }
    return sorted(kept | {diff.path for diff in change.diffs if diff.sensitive})


def change_from_json(data: Any) -> Change:
    """The change that `data` describes; it says `step` and `wave` too, which are not part of a change."""
    with _shaped("a change"):
        fields = _mapping(data)
        address = Address.parse(_text(fields, "address"))
        moved = Address.parse(_text(fields, "moved_from")) if fields.get("moved_from") else None
        span = None if fields.get("source") is None else span_from_json(fields["source"])
        verified = _mapping(fields.get("verified") or {})
        return Change(
            address=address,
            action=_action(fields.get("actions")),
            before=_resource(moved or address, fields.get("before"), span),
            after=_resource(address, fields.get("after"), span),
            diffs=_each(fields, "diff", diff_from_json),
            reason=_text(fields, "reason"),
            needs=frozenset(map(Address.parse, _texts(fields, "depends_on"))),
            undo=undo_from_json(fields.get("undo", {})),
            risks=_each(fields, "risks", risk_from_json),
            span=span,
            unmanaged=_texts(fields, "unmanaged"),
            unchanged=_integer(fields, "unchanged", 0),
            adopts=_flag(fields, "adopts"),
            created=_flag(fields, "created"),
            source=moved,
            if_empty=_flag(fields, "if_empty"),
            keep_offsets=_flag(fields, "keep_offsets"),
            restart=_flag(fields, "restart"),
            effects=_texts(fields, "effects"),
            snapshots=_texts(fields, "snapshots"),
            drops=_texts(fields, "drops"),
            verified=_text(verified, "by"),
            owner=_owner(fields["owner"]) if fields.get("owner") else None,
            reassignment=reassignment_from_json(fields["reassignment"]) if fields.get("reassignment") else None,
            topic_id=_text(fields, "topic_id"),
        )


def _owner(data: Any) -> Owned:
    return owned_from_json(Address.parse(_text(_mapping(data), "address")), data)


def _action(names: Any) -> Action:
    for action, said in ACTIONS.items():
        if names == said:
            return action
    raise ValueError(f"{names!r} are no actions")


def _resource(address: Address, data: Any, span: Span | None) -> Resource | None:
    """The resource, which also knows where in a file it is declared."""
    if data is None:
        return None
    resource = resource_from_json(address, data)
    return replace(resource, origin=replace(resource.origin, span=span))


def span_to_json(span: Span) -> Json:
    data = {"path": span.path, "line": span.line, "column": span.column}
    return data | _filled({"end_line": span.end_line, "end_column": span.end_column})


def span_from_json(data: Any) -> Span:
    with _shaped("a place"):
        fields = _mapping(data)
        numbers = (_integer(fields, name, 0) for name in ("line", "column", "end_line", "end_column"))
        return Span(_text(fields, "path"), *numbers)


def entry_to_json(entry: Entry) -> Json:
    """One record of the journal; `run`, `stack` and `seq` are its key."""
    return {
        "event": entry.event,
        "at": entry.at,
        "wave": entry.wave,
        "items": [_item_to_json(item) for item in entry.items],
        "about": dict(entry.about),
    }


def entry_from_json(run: str, stack: str, seq: int, data: Any) -> Entry:
    with _shaped(f"entry {seq} of run {run}"):
        fields = _mapping(data)
        return Entry(
            run,
            stack,
            seq,
            event=_needed(fields, "event"),
            at=_text(fields, "at"),
            wave=_integer(fields, "wave", 0),
            items=_each(fields, "items", _item_from_json),
            about=_mapping(fields.get("about", {})),
        )


def _item_to_json(item: Item) -> Json:
    return {
        "step": item.step,
        "address": item.address,
        **({} if item.change is None else {"change": dict(item.change)}),
        **({} if item.captured is None else {"captured": dict(item.captured)}),
        **_filled({"outcome": item.outcome}),
    }


def _item_from_json(data: Any) -> Item:
    fields = _mapping(data)
    change, captured = fields.get("change"), fields.get("captured")
    return Item(
        step=_integer(fields, "step", 0),
        address=_text(fields, "address"),
        change=None if change is None else _mapping(change),
        captured=None if captured is None else _mapping(captured),
        outcome=_text(fields, "outcome"),
    )


@contextmanager
def _shaped(what: object) -> Iterator[None]:
    """Data of any other shape than the one expected ends in ValueError."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as cause:
        raise ValueError(f"{what} cannot be read: {cause}") from cause


def _filled(data: Mapping[str, Any]) -> Json:
    return {key: value for key, value in data.items() if value}


def _mapping(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError(f"{type(data).__name__} where there should be an object")
    return data


def _sequence(fields: Mapping[str, Any], name: str) -> Sequence[Any]:
    data = fields.get(name, [])
    if not isinstance(data, list | tuple):
        raise ValueError(f"`{name}` is no list")
    return data


def _each(fields: Mapping[str, Any], name: str, read: Callable[[Any], T]) -> tuple[T, ...]:
    return tuple(read(data) for data in _sequence(fields, name))


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    texts = tuple(_sequence(fields, name))
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"`{name}` holds what is no text")
    return texts


def _text(fields: Mapping[str, Any], name: str, usual: str = "") -> str:
    value = fields.get(name, usual)
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is no text")
    return value


def _needed(fields: Mapping[str, Any], name: str) -> str:
    if not _text(fields, name):
        raise ValueError(f"`{name}` is missing")
    return _text(fields, name)


def _words(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    data = _mapping(fields.get(name, {}))
    return {str(key): _text(data, key) for key in data}


def _integer(fields: Mapping[str, Any], name: str, usual: int) -> int:
    value = fields.get(name, usual)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"`{name}` is no integer")
    return value


def _number(fields: Mapping[str, Any], name: str) -> int | None:
    return None if fields.get(name) is None else _integer(fields, name, 0)


def _flag(fields: Mapping[str, Any], name: str, usual: bool = False) -> bool:
    value = fields.get(name, usual)
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` is neither true nor false")
    return value
