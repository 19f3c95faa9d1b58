"""Forecast what topics store once a plan's changes have had their effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, fields
from typing import Any

from kplan.diagnostics import KplanError
from kplan.kinds.registry import KINDS, consequences_of
from kplan.model import Address, Change
from kplan.model.forecast import Forecast, Storage, StorageForecast, StorageState
from kplan.planning.reading import start_call
from kplan.servers.base import Cluster


def start_reading(changes: Sequence[Change], cluster: Cluster) -> Future[StorageState | None] | None:
    """Ask what the topics that change store; None where no change decides how much is stored."""
    acting = [change for change in changes if not change.is_ledger_only]
    if not any(KINDS[change.address.kind].views.holds_records for change in acting):
        return None
    names = [change.address.name for change in acting if consequences_of(change).changes_storage(change)]

    def read() -> StorageState | None:
        try:
            return cluster.read_storage(names)
        except KplanError as failure:
            return StorageState(dict.fromkeys(names, Storage(unknown=failure.message)))

    return start_call(read)


def make_forecast(changes: Sequence[Change], state: StorageState | None, now: int | None) -> Forecast | None:
    """Return the forecast of these changes; None where nothing is known that is worth a word."""
    if state is None or not changes:
        return None
    storage = {}
    for change in changes:
        known = state.topics.get(change.address.name)
        if known is not None and (found := consequences_of(change).forecast(change, known, now)) is not None:
            storage[str(change.address)] = found
    return Forecast(storage, state.replicas) if storage or state.replicas else None


# -- the document -----------------------------------------------------------------------------------------------------
def encode_storage_of(forecast: Forecast | None, address: Address) -> dict[str, Any]:
    """Return the key of a change that has a forecast, without what is as usual."""
    storage = forecast.storage.get(str(address)) if forecast else None
    return {"storage": encode_storage(storage)} if storage else {}


def encode_storage(storage: StorageForecast) -> dict[str, Any]:
    """Return a forecast as JSON, without what is as usual."""
    usual = StorageForecast()
    return {key: value for key, value in asdict(storage).items() if value != getattr(usual, key)}


def encode_forecast(forecast: Forecast) -> dict[str, Any]:
    """Return what a plan says of its brokers."""
    return {"replicas": {str(broker): number for broker, number in sorted(forecast.replicas.items())}}


def decode_forecast(document: Mapping[str, Any]) -> Forecast | None:
    """Return the forecast of a plan's document; None where there is none. Raises as reading a plan does."""
    known = {field.name for field in fields(StorageForecast)}
    storage = {
        str(change["address"]): StorageForecast(**{k: v for k, v in change["storage"].items() if k in known})
        for change in document["changes"]
        if "storage" in change
    }
    replicas = (document.get("forecast") or {}).get("replicas", {})
    found = Forecast(storage, {int(broker): int(number) for broker, number in replicas.items()})
    return found if storage or replicas else None
