"""Records of the state that hold values of sensitive settings, in the form that they have without them.

Earlier kplans wrote live values into the journal where only the ledger or a stack knew that they were secrets. The rule
is that of `sensitivity`; a value that the ledger shows plainly today is the stack's own text, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kplan.kinds.connector.sensitivity import SHORTEST_INSIDE, Setting, each_text, literal, with_names
from kplan.kinds.registry import KINDS, parse_address
from kplan.model import Address, Connector, Owned, Secret, conceal

Json = Mapping[str, Any]
TEXTS = ("effects", "risks", "undo")  # of a change: sentences, which may quote a value


def settings_in(data: Json) -> Iterator[Setting]:
    """Yield the settings that a journal's record itself shows as secrets."""
    for item in _items(data):
        change = _map(item.get("change"))
        for address in _addresses(item):
            for config in _configs(change):
                yield from (Setting(address, key) for key, value in config.items() if isinstance(value, Mapping))
            for path in change.get("sensitive") or ():
                yield Setting(address, str(path).removeprefix("/config/"))


def connectors_in(data: Json) -> Iterator[Connector]:
    """Yield the connectors that a journal's record shows, for the plugins that they name."""
    for item in _items(data):
        change = _map(item.get("change"))
        for side in (change.get("before"), change.get("after")):
            block = _map(side)
            if address := next(_addresses(item), None):
                plain = {key: value for key, value in _map(block.get("config")).items() if isinstance(value, str)}
                if isinstance(block.get("class"), str):
                    yield Connector(address.name, {**plain, "connector.class": block["class"]})


@dataclass(slots=True)
class Cleaner:
    """What is sensitive, and what the ledger shows plainly; `values` are those that were found, by connector."""

    settings: frozenset[tuple[Address, str]]
    plain: Mapping[tuple[Address, str], str]
    mask: Callable[[Iterable[str], str], str]  # hides values in a sentence
    values: dict[Address, dict[str, str]] = field(default_factory=dict)  # value -> setting

    @classmethod
    def of(
        cls, settings: Iterable[Setting], ledger: Mapping[Address, Owned], mask: Callable[[Iterable[str], str], str]
    ) -> Cleaner:
        plain = {
            (address, path.removeprefix("/config/")): value
            for address, owned in ledger.items()
            if owned.applied is not None and KINDS[address.kind].holds_secrets
            for path, value in KINDS[address.kind].comparison.attributes(owned.applied).items()
            if isinstance(value, str)
        }
        return cls(frozenset((each.connector, each.key) for each in settings), plain, mask)

    def ledger_record(self, address: str, data: Json) -> Json:
        """Return the record without the values."""
        return {**data, "applied": self._resource(_address(address), data.get("applied"))}

    def learn(self, data: Json) -> None:
        """Remember the values in a journal's record: other records of its connector may quote them."""
        for item in _items(data):
            self._change(item)

    def journal_record(self, data: Json) -> Json:
        """Return the record without the values, once all records were learned."""
        return {**data, "items": [self._item(item) for item in _items(data)]}

    def named(self, before: Json, after: Json) -> tuple[str, ...]:
        """Return the names of the settings whose values `before` holds and `after` does not."""
        texts = [set(_texts(data)) for data in (before, after)]
        gone = texts[0] - texts[1]
        keys = {
            key for values in self.values.values() for value, key in values.items() if any(value in t for t in gone)
        }
        return tuple(sorted(keys))

    # -- parts of a record ----------------------------------------------------------------------------------------
    def _change(self, item: Json) -> dict[str, Any]:
        """The change of an item without the values, where they are under their keys."""
        change = dict(_map(item.get("change")))
        address = next(_addresses(item), None)
        for side in ("before", "after"):
            if side in change:
                change[side] = self._resource(address, change[side])
        if isinstance(change.get("diff"), list):
            change["diff"] = [self._diff(address, each) for each in change["diff"]]
        if owner := _map(change.get("owner")):
            change["owner"] = {**owner, "applied": self._resource(address, owner.get("applied"))}
        if change and address is not None:
            change["sensitive"] = sorted({*(change.get("sensitive") or ()), *_secret_paths(change)})
        return change

    def _resource(self, address: Address | None, resource: Any) -> Any:
        block = _map(resource)
        if address is None or not KINDS[address.kind].holds_secrets or not isinstance(block.get("config"), Mapping):
            return resource
        config = {key: self._value(address, key, value) for key, value in block["config"].items()}
        return {**block, "config": config}

    def _diff(self, address: Address | None, diff: Any) -> Any:
        path = str(_map(diff).get("path", ""))
        if address is None or not KINDS[address.kind].holds_secrets or not path.startswith("/config/"):
            return diff
        key = path.removeprefix("/config/")
        return {**diff, **{side: self._value(address, key, diff.get(side)) for side in ("before", "after")}}

    def _value(self, address: Address, key: str, value: Any) -> Any:
        """The value, or what is stored of a secret."""
        if not isinstance(value, str) or not literal(value):
            return value
        known = (address, key) in self.settings and self.plain.get((address, key)) != value
        if not known and not isinstance(conceal(key, value), Secret):
            return value
        self.values.setdefault(address, {})[value] = key
        return {"sensitive": True}

    def _item(self, item: Json) -> Json:
        """The item; what quotes the values of its connector is hidden as well."""
        change = self._change(item)
        known = [self.values.get(address, {}) for address in _addresses(item)]
        own = {value: key for values in known for value, key in values.items() if len(value) >= SHORTEST_INSIDE}
        kept = {**item, **({"change": change} if change else {})}
        if not own:
            return kept

        def hidden(text: str) -> str:
            return self.mask(own, text)

        if isinstance(item.get("outcome"), str):
            kept["outcome"] = hidden(item["outcome"])
        if "captured" in item:
            kept["captured"] = with_names(item["captured"], own)
        if change:
            kept["change"] = {**change, **{key: each_text(change[key], hidden) for key in TEXTS if key in change}}
        return kept


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)


def _secret_paths(change: Json) -> Iterator[str]:
    for config in _configs(change):
        yield from (f"/config/{key}" for key, value in config.items() if isinstance(value, Mapping))


def _configs(change: Json) -> Iterator[Json]:
    for side in (change.get("before"), change.get("after"), _map(change.get("owner")).get("applied")):
        yield _map(_map(side).get("config"))


def _addresses(item: Json) -> Iterator[Address]:
    """The address of an item, and where its connector comes from."""
    for text in (item.get("address"), _map(item.get("change")).get("moved_from")):
        if isinstance(text, str) and text.startswith("connector/") and (address := _address(text)):
            yield address


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except ValueError:
        return None


def _items(data: Json) -> Iterator[Json]:
    yield from map(_map, data.get("items") or ())


def _map(data: Any) -> Json:
    return data if isinstance(data, Mapping) else {}
