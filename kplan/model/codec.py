"""Values, rules, differences, risks, facts and the journal's entries as JSON without secrets, and back.

A secret becomes `{"sensitive": true, "ref": "{{ var.NAME }}", "fingerprint": "hmac:…"}`: its value is never written,
so what is read back has `value=None`. Sets are sorted; what has an order keeps it. What is empty or usual is left out,
so that two documents of the same world are equal. Whatever is read may come from a stranger: a `…_from_json` raises
ValueError, and nothing else, for data of another shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplan.diagnostics import Span
from kplan.model import USUAL, AttrDiff, Config, Facts, Reader, Risk, Rules, Secret, Target, Text, Undo
from kplan.model.fields import (
    Json,
    drop_empty,
    expect_shape,
    read_each,
    read_flag,
    read_integer,
    read_list,
    read_mapping,
    read_optional_integer,
    read_required_text,
    read_text,
    read_text_map,
    read_texts,
)
from kplan.model.journal import Entry, Item


def text_to_json(value: Text | int | bool | None) -> Any:
    """Return a value, or what may be said of a secret."""
    if not isinstance(value, Secret):
        return value
    return {"sensitive": True, **drop_empty({"fingerprint": value.fingerprint, "ref": value.ref})}


def text_from_json(data: Any) -> Text | int | bool | None:
    if data is None or isinstance(data, str | int):
        return data
    if isinstance(data, Mapping):
        return Secret(ref=read_text(data, "ref"), fingerprint=read_text(data, "fingerprint"))
    raise ValueError(f"{type(data).__name__} is not a value of an attribute")


def config_to_json(config: Config) -> Json:
    return {key: text_to_json(config[key]) for key in sorted(config)}


def config_from_json(data: Any) -> dict[str, Text]:
    values = {str(key): text_from_json(value) for key, value in read_mapping(data).items()}
    config = {key: value for key, value in values.items() if isinstance(value, str | Secret)}
    if len(config) != len(values):
        raise ValueError("a config holds a value that is not text")
    return config


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
        "team": rules.team,
        "labels": dict(sorted(rules.labels.items())),
        "description": rules.description,
    }
    return {key: value for key, value in data.items() if value is False or (value and value != getattr(USUAL, key))}


def rules_from_json(data: Any) -> Rules:
    fields = read_mapping(data)
    restarts = fields.get("restart_failed")
    return Rules(
        protect=read_flag(fields, "protect") if "protect" in fields else None,
        ignore=frozenset(read_texts(fields, "ignore")),
        accept=frozenset(read_texts(fields, "accept")),
        restart=read_text(fields, "restart", "never"),
        restart_failed=None if restarts is None else _restarts(restarts),
        new_tables=read_text(fields, "new_tables", "none"),
        drop=frozenset(read_texts(fields, "drop")),
        team=read_text(fields, "team"),
        labels=read_text_map(fields, "labels"),
        description=read_text(fields, "description"),
    )


def _restarts(data: Any) -> tuple[int, float]:
    attempts, delay = data
    return int(attempts), float(delay)


def facts_to_json(facts: Facts | None) -> Json | None:
    """Encode facts: None stays None, and so does each number that is not known."""
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
    with expect_shape("facts"):
        fields = read_mapping(data)
        return Facts(
            records=read_optional_integer(fields, "records"),
            bytes=read_optional_integer(fields, "bytes"),
            last_write=read_optional_integer(fields, "last_write"),
            readers=tuple(_reader(read_mapping(reader)) for reader in read_list(fields, "readers")),
            first_write=read_optional_integer(fields, "first_write"),
            sinks=read_texts(fields, "sinks"),
            unknown=read_text_map(fields, "unknown"),
        )


def _reader(fields: Mapping[str, Any]) -> Reader:
    return Reader(
        read_required_text(fields, "group"), read_integer(fields, "lag", 0), read_flag(fields, "active", True)
    )


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
    with expect_shape("a risk"):
        fields = read_mapping(data)
        return Risk(
            code=read_required_text(fields, "code"),
            level=read_required_text(fields, "level"),
            summary=read_text(fields, "summary"),
            kind=read_text(fields, "kind"),
            accept=read_text(fields, "accept"),
            accepted=None if fields.get("accepted") is None else read_text(fields, "accepted"),
            facts=facts_from_json(fields.get("facts")),
        )


def undo_to_json(undo: Undo) -> Json:
    return {"kind": undo.kind, "complete": undo.complete, **drop_empty({"why": undo.why})}


def undo_from_json(data: Any) -> Undo:
    with expect_shape("an undo"):
        fields = read_mapping(data)
        return Undo(read_text(fields, "kind", "none"), read_flag(fields, "complete"), read_text(fields, "why"))


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
    with expect_shape("a difference"):
        fields = read_mapping(data)
        before, after = text_from_json(fields.get("before")), text_from_json(fields.get("after"))
        return AttrDiff(read_required_text(fields, "path"), before, after, read_text(fields, "cause", "stack"))


def span_to_json(span: Span) -> Json:
    data = {"path": span.path, "line": span.line, "column": span.column}
    return data | drop_empty({"end_line": span.end_line, "end_column": span.end_column})


def span_from_json(data: Any) -> Span:
    with expect_shape("a place"):
        fields = read_mapping(data)
        numbers = (read_integer(fields, name, 0) for name in ("line", "column", "end_line", "end_column"))
        return Span(read_text(fields, "path"), *numbers)


def entry_to_json(entry: Entry) -> Json:
    """Return one record of the journal; `run`, `stack` and `seq` are its key."""
    return {
        "event": entry.event,
        "at": entry.at,
        "wave": entry.wave,
        "items": [_item_to_json(item) for item in entry.items],
        "about": dict(entry.about),
    }


def entry_from_json(run: str, stack: str, seq: int, data: Any) -> Entry:
    with expect_shape(f"entry {seq} of run {run}"):
        fields = read_mapping(data)
        return Entry(
            run,
            stack,
            seq,
            event=read_required_text(fields, "event"),
            at=read_text(fields, "at"),
            wave=read_integer(fields, "wave", 0),
            items=read_each(fields, "items", _item_from_json),
            about=read_mapping(fields.get("about", {})),
        )


def _item_to_json(item: Item) -> Json:
    return {
        "step": item.step,
        "address": item.address,
        **({} if item.change is None else {"change": dict(item.change)}),
        **({} if item.captured is None else {"captured": dict(item.captured)}),
        **drop_empty({"outcome": item.outcome}),
    }


def _item_from_json(data: Any) -> Item:
    fields = read_mapping(data)
    change, captured = fields.get("change"), fields.get("captured")
    return Item(
        step=read_integer(fields, "step", 0),
        address=read_text(fields, "address"),
        change=None if change is None else read_mapping(change),
        captured=None if captured is None else read_mapping(captured),
        outcome=read_text(fields, "outcome"),
    )


# -- further Connects -------------------------------------------------------------------------------------------------
CONNECT_KEYS = ("alias", "url", "version")


def connects_to_json(target: Target) -> list[dict[str, str]]:
    """Return the Connects beside the default one."""
    return [dict(zip(CONNECT_KEYS, each, strict=True)) for each in target.connects]


def connects_from_json(data: Any) -> tuple[tuple[str, str, str], ...]:
    """Return what `connects_to_json` wrote. Raises KeyError or TypeError for data of another shape."""
    return tuple((str(each["alias"]), str(each["url"]), str(each["version"])) for each in data or ())
