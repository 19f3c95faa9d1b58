"""`quotas:` in stack files: a list, each entry with its entity and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from kplan.diagnostics import codes
from kplan.kinds.expansion import KEY, ExpansionContext
from kplan.kinds.language import Language
from kplan.kinds.quota.quota import CLIENT_KEYS, DEFAULT, IP_KEYS, RATES, Entity, Quota, check_name, name_entity
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.settings import rules
from kplan.model import Origin, frozen

ENTITY_KEYS = {"user": "user", "client_id": "client-id", "ip": "ip"}
FRACTIONS = ("request_percentage", "controller_mutation_rate")
MOST = 2.0**63  # brokers keep a long
QUOTA_KEYS = (*ENTITY_KEYS, *CLIENT_KEYS, *IP_KEYS, "protect", "ignore")


class QuotaLanguage(Language):
    leaves_with_its_line = True
    removal_words = ("quota",)
    key_order = {"stack": {("quotas", "*"): QUOTA_KEYS}}

    def expand(self, context: ExpansionContext) -> None:
        entries = context.block(context.document.data.get("quotas") or [], ("quotas",))
        for i, own in enumerate(entries or []):
            _expand_entry(context, ("quotas", i), own)

    def read_removal(self, entry: Mapping[str, Any]) -> tuple[str, bool] | None:
        name = entry.get("quota")
        if name is None:
            return None
        if problem := check_name(str(name)):
            raise ValueError(problem)
        return str(name), False


def _expand_entry(context: ExpansionContext, path: KEY, own: Mapping[str, Any]) -> None:
    entity = _read_entity(context, path, own)
    if entity is None:
        return
    allowed = IP_KEYS if "ip" in entity else CLIENT_KEYS
    values: dict[str, float] = {}
    for key in (*CLIENT_KEYS, *IP_KEYS):
        if own.get(key) is None:
            continue
        if key not in allowed:
            detail = f"{key} is not a quota of {'an IP address' if 'ip' in entity else 'users and clients'}"
            context.report(
                codes.K271, "a value that a quota cannot have", detail, (*path, key), f"write {', '.join(allowed)}"
            )
            return
        try:
            values[key] = _parse_rate(own[key]) if key in RATES else float(own[key])
            if problem := find_refusal(key, values[key]):
                raise ValueError(f"{own[key]}: {problem}")
        except (TypeError, ValueError) as e:
            context.report(
                codes.K271, "a value that a quota cannot have", str(e), (*path, key), "write a number, or 10MB/s"
            )
            return
    if not values:
        context.report(codes.K271, "a quota without limits", name_entity(entity), path, f"add {', '.join(allowed)}")
        return
    spans = {f"/limits/{key}": context.document.at(*path, key) for key in values}
    origin = Origin(context.document.at(*path), spans)
    context.add(Quota(name_entity(entity), frozen(values), origin=origin, rules=rules(own)))


def find_refusal(key: str, value: float) -> str:
    """Say why brokers refuse a limit, as `ClientQuotaControlManager.validateQuotaKeyValue` does; empty if they do not.

    Kafka 4.3 takes no 0, and fractions only of percentages and of the mutation rate.
    """
    if not 0 < value < MOST:
        return "a limit is greater than 0, and less than 2^63"
    return "it takes no fractions" if key not in FRACTIONS and value != int(value) else ""


def _parse_rate(value: Any) -> float:
    """Return bytes a second: `10MB/s`, `10MB`, or a number. Raises ValueError."""
    if isinstance(value, int | float):
        return float(value)
    return float(catalog.parse("retention.bytes", str(value).strip().removesuffix("/s")))


def _read_entity(context: ExpansionContext, path: KEY, own: Mapping[str, Any]) -> Entity | None:
    entity = {
        kind: None if own[key] == DEFAULT else str(own[key])
        for key, kind in ENTITY_KEYS.items()
        if own.get(key) is not None
    }
    if not entity or ("ip" in entity and len(entity) > 1):
        detail = "`ip` cannot be combined" if entity else "it has neither `user`, `client_id` nor `ip`"
        context.report(codes.K270, "a quota that names no entity", detail, path, "name a user, a client id or an IP")
        return None
    address = entity.get("ip")
    if address is not None:
        try:
            ip_address(address)
        except ValueError:
            detail = f"{address!r} is not an IP address"
            context.report(codes.K270, "a quota that names no entity", detail, (*path, "ip"), "write one address")
            return None
    return entity
