"""Which settings of live connectors are sensitive, and the live state in which each of them is a secret.

Sensitivity belongs to the setting. What the ledger, a stack, a plan or the plugin's own password types call sensitive
is concealed where live state comes in, before anything compares or prints it; what the name of a setting tells,
`model.conceal` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from kplan.language.template import values_in
from kplan.model import (
    REFERENCE,
    Address,
    Change,
    Config,
    Connector,
    Health,
    Live,
    Owned,
    Resource,
    Secret,
    Stack,
    Text,
    is_sensitive_key,
)
from kplan.patterns import late_pattern
from kplan.values import dataclass

KNOWN_OF_ALL = ("connector.class", "tasks.max", "topics", "topic.prefix")  # never a secret
SHORTEST_INSIDE = 4  # characters of a value that is looked for inside other texts
CAUSE_LENGTH = 400  # characters of each cause of a failure
CAUSED_BY = "; caused by "


@dataclass(frozen=True, slots=True)
class Setting:
    """A sensitive setting of a connector. `ref` is the text with its variables, where that is known."""

    connector: Address
    key: str
    ref: str = ""


# -- who calls a setting sensitive ------------------------------------------------------------------------------------
def of_ledger(ledger: Mapping[Address, Owned]) -> Iterator[Setting]:
    """Yield what was applied from sensitive variables, and what the records remember."""
    for address, owned in ledger.items():
        yield from of_record(address, owned)


def of_record(address: Address, owned: Owned | None) -> Iterator[Setting]:
    if owned is not None:
        yield from (Setting(address, key) for key in owned.sensitive)
        yield from _of_resource(address, owned.applied)


def of_stacks(stacks: Iterable[Stack]) -> Iterator[Setting]:
    """Yield what the stacks fill from sensitive variables, for a connector that is to move under both names."""
    for stack in stacks:
        sources = {move.target: move.source for move in stack.moved}
        for address, resource in stack.resources.items():
            yield from _of_resource(address, resource)
            if address in sources:
                yield from _of_resource(sources[address], resource)


def of_changes(changes: Iterable[Change]) -> Iterator[Setting]:
    """Yield what a plan knows as sensitive, for a connector that moves under both names."""
    for change in changes:
        for address in filter(None, (change.address, change.source)):
            yield from of_record(address, change.owner)
            yield from _of_resource(address, change.before)
            yield from _of_resource(address, change.after)


def of_passwords(passwords: Mapping[Address, Collection[str]]) -> Iterator[Setting]:
    """Yield what the connectors' plugins define as passwords."""
    for address, keys in passwords.items():
        yield from (Setting(address, key) for key in keys)


def of_connector(connector: Connector) -> Iterator[Setting]:
    """Yield every setting, where nothing says which of them are sensitive."""
    yield from (Setting(connector.address, key) for key in connector.config if key not in KNOWN_OF_ALL)


def _of_resource(address: Address, resource: Resource | None) -> Iterator[Setting]:
    if isinstance(resource, Connector):
        secrets = ((key, value) for key, value in resource.config.items() if isinstance(value, Secret))
        yield from (Setting(address, key, value.ref) for key, value in secrets)


def find_remembered_settings(change: Change) -> tuple[str, ...]:
    """Return the settings that were sensitive and that no longer show it once the change is applied."""
    if change.address.kind != "connector":
        return ()
    known = {setting.key for setting in of_changes([change])}
    said = change.after.secrets if isinstance(change.after, Connector) else ()
    return tuple(sorted(key for key in known - {*said} if not is_sensitive_key(key)))


# -- live state without them ------------------------------------------------------------------------------------------
def conceal_settings(live: Live, settings: Iterable[Setting]) -> Live:
    """Return the live state with a secret for the value of each sensitive setting."""
    keys: dict[Address, set[str]] = {}
    for setting in settings:
        keys.setdefault(setting.connector, set()).add(setting.key)
    changed: dict[Address, Resource] = {}
    for address in keys.keys() & live.resources.keys():
        resource = live.resources[address]
        if isinstance(resource, Connector):
            config = concealed_config(resource.config, keys[address])
            if config is not resource.config:
                changed[address] = replace(resource, config=config)
    return replace(live, resources={**live.resources, **changed}) if changed else live


def concealed_config(config: Config, keys: Collection[str]) -> Config:
    """Return the config with a secret for each of `keys`; a mere reference that Connect resolves stays as it is."""
    found = {key: Secret(value=value) for key in keys if isinstance(value := config.get(key), str) and literal(value)}
    return {**config, **found} if found else config


def with_known_secrets(stack: Stack, live: Live, ledger: Mapping[Address, Owned]) -> Stack:
    """Return the stack with a secret where it writes out the very value that a variable gave at the last apply."""
    sources = {move.target: move.source for move in stack.moved}
    changed: dict[Address, Resource] = {}
    for address, resource in stack.resources.items():
        there = address if address in live.resources else sources.get(address, address)
        now, owned = live.resources.get(there), ledger.get(there)
        applied = owned.applied if owned else None
        if isinstance(resource, Connector) and isinstance(now, Connector) and isinstance(applied, Connector):
            found = {
                key: Secret(value=value)
                for key, value in resource.config.items()
                if isinstance(value, str) and isinstance(applied.config.get(key), Secret)
                if isinstance(has := now.config.get(key), Secret) and Secret(value=value).same_as(has)
            }
            if found:
                changed[address] = replace(resource, config={**resource.config, **found})
    return replace(stack, resources={**stack.resources, **changed}) if changed else stack


def literal(value: Text | None) -> str:
    """Return the value without Connect's own references."""
    text = (value.value or "") if isinstance(value, Secret) else (value or "")
    return REFERENCE.sub("", text).strip()


def secret_values(live: Live, settings: Iterable[Setting]) -> Iterator[str]:
    """Yield the values of all secrets of `live`, and those of the variables inside them."""
    refs: dict[tuple[Address, str], set[str]] = {}
    for setting in settings:
        if setting.ref:
            refs.setdefault((setting.connector, setting.key), set()).add(setting.ref)
    for address, resource in live.resources.items():
        if isinstance(resource, Connector):
            for key, value in resource.config.items():
                if isinstance(value, Secret) and value.value:
                    yield value.value
                    for ref in refs.get((address, key), ()):
                        yield from values_in(ref, value.value)


# -- what an undo remembers -------------------------------------------------------------------------------------------
def without_values(captured: Any, change: Change) -> Any:
    """Return what was captured before a change, with the names of sensitive settings in place of their values.

    A connector's offsets may name its file or its database.
    """
    secrets = {
        value.value: key
        for resource in (change.after, change.before)
        if isinstance(resource, Connector)
        for key, value in resource.config.items()
        if isinstance(value, Secret) and value.value
    }
    return with_names(captured, secrets) if secrets else captured


def with_names(captured: Any, secrets: Mapping[str, str]) -> Any:
    """Return what was captured, with `(sensitive:NAME)` for each value; `secrets` are the settings' names by value."""
    longest_first = sorted(secrets.items(), key=lambda pair: len(pair[0]), reverse=True)

    def name_secrets(text: str) -> str:
        for value, key in longest_first:
            if text == value or (len(value) >= SHORTEST_INSIDE and value in text):
                text = text.replace(value, f"(sensitive:{key})")
        return text

    return each_text(captured, name_secrets)


def with_values(captured: Any, resources: Iterable[Resource]) -> Any:
    """Return what was captured, with the values of the connectors among `resources`; None where one is not known."""
    connectors = [resource for resource in resources if isinstance(resource, Connector)]
    config = {key: value for connector in connectors for key, value in connector.config.items()}
    unknown: list[str] = []

    def fill_secrets(text: str) -> str:
        for key in _NAMED.findall(text):
            value = config.get(key)
            known = value.value if isinstance(value, Secret) else value
            if known is None:
                unknown.append(key)
            text = text.replace(f"(sensitive:{key})", known or "")
        return text

    found = each_text(captured, fill_secrets)
    return None if unknown else found


_NAMED = late_pattern(r"\(sensitive:([^()\s]+)\)")


def each_text(data: Any, change: Callable[[str], str]) -> Any:
    """Return JSON data with each text in it changed; the names of its fields stay."""
    if isinstance(data, str):
        return change(data)
    if isinstance(data, Mapping):
        return {key: each_text(value, change) for key, value in data.items()}
    return [each_text(value, change) for value in data] if isinstance(data, list | tuple) else data


# -- causes of failures -----------------------------------------------------------------------------------------------
def with_masked_causes(live: Live, mask: Callable[[str], str]) -> Live:
    """Return the live state in which no cause of a failure holds a secret; causes are cut after that, not before."""
    unwell = {address: health for address, health in live.health.items() if _says_something(health)}
    if not unwell:
        return live
    return replace(live, health={**live.health, **{a: masked_causes(h, mask) for a, h in unwell.items()}})


def masked_causes(health: Health, mask: Callable[[str], str]) -> Health:
    tasks = tuple(replace(task, cause=cut_cause(mask(task.cause))) for task in health.tasks)
    return replace(health, tasks=tasks, cause=cut_cause(mask(health.cause)))


def cut_cause(text: str) -> str:
    """Return the first and the last cause, each no longer than CAUSE_LENGTH."""
    return CAUSED_BY.join(part[:CAUSE_LENGTH] for part in text.split(CAUSED_BY, 1))


def _says_something(health: Health) -> bool:
    return bool(health.cause or any(task.cause for task in health.tasks))
