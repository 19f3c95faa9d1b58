"""Settings that no two connectors may share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kplan.diagnostics import Diagnostic, codes, error, warning
from kplan.kinds.connector.debezium.engine import Engine
from kplan.kinds.connector.debezium.engines import ENGINES
from kplan.kinds.connector.tables import split
from kplan.model import Action, Change, Connector, Live, Stack
from kplan.values import dataclass

# By setting that is one server's, so that two servers may have the same: its engine's port, where none is said.
_PORTS = {setting: str(engine.port) for engine in ENGINES.values() for setting in engine.unique_on_server}
_SHAREABLE = {engine.shareable.setting: engine for engine in ENGINES.values() if engine.shareable is not None}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a connector has for itself: a setting's value, on a server where it is one of that server's.

    `where` is empty where the setting is Kafka's, or where the server is not said in plain words.
    """

    key: str
    value: str
    where: tuple[str, ...] = ()

    def clashes(self, other: Claim) -> bool:
        """Whether it is, or may be, the same thing."""
        same = (self.key, self.value) == (other.key, other.value)
        return same and (not self.where or not other.where or self.where == other.where)


def claim(connector: Connector, key: str) -> Claim | None:
    """Return what the connector has for itself by `key`; None where that is not known."""
    value = connector.config.get(key)
    if not isinstance(value, str):
        return None
    if (engine := _SHAREABLE.get(key)) is not None:
        place = _join_known(_server(connector, str(engine.port)), _plain(connector, "database.dbname"))
        return Claim(key, value, place)
    return Claim(key, value, _join_known(_server(connector, _PORTS[key])) if key in _PORTS else ())


def _join_known(*parts: str) -> tuple[str, ...]:
    return parts if all(parts) else ()


def _server(connector: Connector, port: str) -> str:
    host = _plain(connector, "database.hostname").lower()
    given = _plain(connector, "database.port") if "database.port" in connector.config else port
    return f"{host}:{given}" if host and given else ""


def _plain(connector: Connector, key: str) -> str:
    """Return a setting that is written out; empty where Connect, or a variable, puts something in its place."""
    value = connector.config.get(key)
    return value if isinstance(value, str) and "${" not in value else ""


def unique(stack: Stack, live: Live, changes: Sequence[Change], offline: bool = False) -> list[Diagnostic]:
    """Return an error for each thing that no two connectors may share (slot, server id, prefix, history topic) and do.

    A warning where one has no template and both may run so already: such a connector is adopted as it is.
    """
    going = {c.address for c in changes if c.action is Action.DELETE} | {c.source for c in changes if c.source}
    others = {
        address: resource
        for address, resource in live.resources.items()
        if isinstance(resource, Connector) and address not in stack.resources and address not in going
    }
    taken: dict[tuple[str, str], list[Connector]] = {}
    for each in others.values():
        for key, value in each.config.items():
            if isinstance(value, str):
                taken.setdefault((key, value), []).append(each)
    found = []
    for resource in stack.resources.values():
        if not isinstance(resource, Connector):
            continue
        for mine in _claims(resource):
            there = taken.setdefault((mine.key, mine.value), [])
            other = next((one for one in there if _shares(resource, mine, one)), None)
            there.append(resource)
            if other is not None:
                declared = [one for one in (resource, other) if one.address not in others]
                runs = offline or all(_runs_so(one, mine.key, live) for one in declared)
                tell = error if not runs or all(map(_has_template, declared)) else warning
                found.append(_problem(resource, mine, other, tell))
    return found


def _claims(connector: Connector) -> Iterator[Claim]:
    shareable = [engine.shareable for engine in _SHAREABLE.values() if engine.shareable is not None]
    for key in (*connector.unique, *(each.setting for each in shareable if each.beside in connector.unique)):
        if (found := claim(connector, key)) is not None:
            yield found


def _shares(connector: Connector, mine: Claim, other: Connector) -> bool:
    """Tell whether both claim the same thing; one that is shareable only where a connector rewrites it for the tables
    that it alone captures."""
    theirs = claim(other, mine.key)
    if other.address == connector.address or theirs is None or not mine.clashes(theirs):
        return False
    engine = _SHAREABLE.get(mine.key)
    if engine is None or engine.shareable is None:
        return True
    setting, value = engine.shareable.rewritten_by
    is_rewritten = value in [each.config.get(setting) for each in (connector, other)]
    return is_rewritten and _tables(connector, engine) != _tables(other, engine)


def _tables(connector: Connector, engine: Engine) -> set[str]:
    value = connector.config.get(engine.table_list)
    return set(split(value)) if isinstance(value, str) else set()


def _has_template(connector: Connector) -> bool:
    return any(source.startswith("template ") for source in connector.origin.sources.values())


def _runs_so(connector: Connector, key: str, live: Live) -> bool:
    now = live.resources.get(connector.address)
    return isinstance(now, Connector) and now.config.get(key) == connector.config.get(key)


def _problem(connector: Connector, mine: Claim, other: Connector, tell: Callable[..., Diagnostic]) -> Diagnostic:
    place = other.origin.at(f"/config/{mine.key}")
    what = f"{mine.key} {mine.value}: {other.address} has it too" + (f", at {place}" if place else "")
    help = "give each its own"
    engine = _SHAREABLE.get(mine.key)
    if engine is not None and engine.shareable is not None:
        what += f"; {engine.shareable.consequence}"
        help += f", or {engine.shareable.remedy}"
    return tell(
        codes.K223,
        "two connectors share what only one may have",
        what,
        help=help,
        span=connector.origin.at(f"/config/{mine.key}"),
        address=connector.address,
        path=f"/config/{mine.key}",
    )


def unique_offline(stacks: Sequence[Stack]) -> list[Diagnostic]:
    """Return the same, among the stacks alone."""
    together = Stack("", "", {a: r for stack in stacks for a, r in stack.resources.items()})
    return unique(together, Live(), (), offline=True)
