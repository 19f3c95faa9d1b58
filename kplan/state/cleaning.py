"""Remove values of sensitive settings from records of the state.

Earlier kplans wrote live values into the journal where only the ledger or a stack knew that they were secrets. The rule
is that of `sensitivity`; a value that the ledger shows plainly today is the stack's own text, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from kplan.kinds.connector.sensitivity import SHORTEST_INSIDE, Setting, each_text, literal, with_names
from kplan.kinds.registry import KINDS, parse_address
from kplan.model import Address, Connector, Owned, Secret, conceal
from kplan.values import dataclass

Json = Mapping[str, Any]
SENTENCE_KEYS = ("effects", "risks", "undo")  # of a change: sentences, which may quote a value


def find_settings(data: Json) -> Iterator[Setting]:
    """Yield the settings that a journal's record itself shows as secrets."""
    for item in _read_items(data):
        change = _as_map(item.get("change"))
        for address in _find_addresses(item):
            for config in _find_configs(change):
                yield from (Setting(address, key) for key, value in config.items() if isinstance(value, Mapping))
            for path in change.get("sensitive") or ():
                yield Setting(address, str(path).removeprefix("/config/"))


def find_connectors(data: Json) -> Iterator[Connector]:
    """Yield the connectors that a journal's record shows, for the plugins that they name."""
    for item in _read_items(data):
        change = _as_map(item.get("change"))
        for side in (change.get("before"), change.get("after")):
            block = _as_map(side)
            if address := next(_find_addresses(item), None):
                plain = {key: value for key, value in _as_map(block.get("config")).items() if isinstance(value, str)}
                if isinstance(block.get("class"), str):
                    yield Connector(address.name, {**plain, "connector.class": block["class"]})


@dataclass(slots=True)
class Cleaner:
    """Hold what is sensitive, and what the ledger shows plainly; `values` are the secrets found, by connector."""

    settings: frozenset[tuple[Address, str]]
    plain: Mapping[tuple[Address, str], str]
    mask: Callable[[Iterable[str], str], str]  # hides values in a sentence
    values: dict[Address, dict[str, str]] = field(default_factory=dict)  # value -> setting

    @classmethod
    def for_ledger(
        cls, settings: Iterable[Setting], ledger: Mapping[Address, Owned], mask: Callable[[Iterable[str], str], str]
    ) -> Cleaner:
        plain = {
            (address, path.removeprefix("/config/")): value
            for address, owned in ledger.items()
            if owned.applied is not None and KINDS[address.kind].holds_secrets
            for path, value in KINDS[address.kind].comparison.attributes(owned.applied).items()
            if isinstance(value, str)
        }
        return cls(frozenset((setting.connector, setting.key) for setting in settings), plain, mask)

    def clean_ledger_record(self, address: str, data: Json) -> Json:
        """Return the record without the values."""
        return {**data, "applied": self._clean_resource(_parse_address(address), data.get("applied"))}

    def learn_values(self, data: Json) -> None:
        """Remember the values in a journal's record: other records of its connector may quote them."""
        for item in _read_items(data):
            self._clean_change(item)

    def clean_journal_record(self, data: Json) -> Json:
        """Return the record without the values, once all records were learned."""
        return {**data, "items": [self._clean_item(item) for item in _read_items(data)]}

    def list_removed_settings(self, before: Json, after: Json) -> tuple[str, ...]:
        """Return the names of the settings whose values `before` holds and `after` does not."""
        texts = [set(_iterate_texts(data)) for data in (before, after)]
        removed = texts[0] - texts[1]
        keys = {
            key
            for values in self.values.values()
            for value, key in values.items()
            if any(value in text for text in removed)
        }
        return tuple(sorted(keys))

    # -- parts of a record ----------------------------------------------------------------------------------------
    def _clean_change(self, item: Json) -> dict[str, Any]:
        """Return the change of an item without the values under sensitive keys."""
        change = dict(_as_map(item.get("change")))
        address = next(_find_addresses(item), None)
        for side in ("before", "after"):
            if side in change:
                change[side] = self._clean_resource(address, change[side])
        if isinstance(change.get("diff"), list):
            change["diff"] = [self._clean_diff(address, difference) for difference in change["diff"]]
        if owner := _as_map(change.get("owner")):
            change["owner"] = {**owner, "applied": self._clean_resource(address, owner.get("applied"))}
        if change and address is not None:
            change["sensitive"] = sorted({*(change.get("sensitive") or ()), *_find_secret_paths(change)})
        return change

    def _clean_resource(self, address: Address | None, resource: Any) -> Any:
        block = _as_map(resource)
        if address is None or not KINDS[address.kind].holds_secrets or not isinstance(block.get("config"), Mapping):
            return resource
        config = {key: self._clean_value(address, key, value) for key, value in block["config"].items()}
        return {**block, "config": config}

    def _clean_diff(self, address: Address | None, diff: Any) -> Any:
        path = str(_as_map(diff).get("path", ""))
        if address is None or not KINDS[address.kind].holds_secrets or not path.startswith("/config/"):
            return diff
        key = path.removeprefix("/config/")
        return {**diff, **{side: self._clean_value(address, key, diff.get(side)) for side in ("before", "after")}}

    def _clean_value(self, address: Address, key: str, value: Any) -> Any:
        """Return the value, or what is stored of a secret."""
        if not isinstance(value, str) or not literal(value):
            return value
        is_secret = (address, key) in self.settings and self.plain.get((address, key)) != value
        if not is_secret and not isinstance(conceal(key, value), Secret):
            return value
        self.values.setdefault(address, {})[value] = key
        return {"sensitive": True}

    def _clean_item(self, item: Json) -> Json:
        """Return the item; what quotes the values of its connector is hidden as well."""
        change = self._clean_change(item)
        known_values = [self.values.get(address, {}) for address in _find_addresses(item)]
        own_values = {
            value: key for values in known_values for value, key in values.items() if len(value) >= SHORTEST_INSIDE
        }
        cleaned = {**item, **({"change": change} if change else {})}
        if not own_values:
            return cleaned

        def hide(text: str) -> str:
            return self.mask(own_values, text)

        if isinstance(item.get("outcome"), str):
            cleaned["outcome"] = hide(item["outcome"])
        if "captured" in item:
            cleaned["captured"] = with_names(item["captured"], own_values)
        if change:
            cleaned["change"] = {
                **change,
                **{key: each_text(change[key], hide) for key in SENTENCE_KEYS if key in change},
            }
        return cleaned


def _iterate_texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _iterate_texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _iterate_texts(value)


def _find_secret_paths(change: Json) -> Iterator[str]:
    for config in _find_configs(change):
        yield from (f"/config/{key}" for key, value in config.items() if isinstance(value, Mapping))


def _find_configs(change: Json) -> Iterator[Json]:
    for side in (change.get("before"), change.get("after"), _as_map(change.get("owner")).get("applied")):
        yield _as_map(_as_map(side).get("config"))


def _find_addresses(item: Json) -> Iterator[Address]:
    """Yield the address of an item, and the one that its connector was moved from."""
    for text in (item.get("address"), _as_map(item.get("change")).get("moved_from")):
        if isinstance(text, str) and text.startswith("connector/") and (address := _parse_address(text)):
            yield address


def _parse_address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except ValueError:
        return None


def _read_items(data: Json) -> Iterator[Json]:
    yield from map(_as_map, data.get("items") or ())


def _as_map(data: Any) -> Json:
    return data if isinstance(data, Mapping) else {}
