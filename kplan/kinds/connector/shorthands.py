"""Settings that a connector's block writes as maps: its converters, transforms and predicates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kplan.kinds.expansion import KEY
from kplan.values import dataclass

CONVERTERS: Final = "converters"
CHAINS: Final = ("transforms", "predicates")  # maps by name; Connect runs transforms in the order of the names
SHORTHANDS: Final = (CONVERTERS, *CHAINS)
CONVERTER_CLASSES: Final[Mapping[str, str]] = {
    "string": "org.apache.kafka.connect.storage.StringConverter",
    "json": "org.apache.kafka.connect.json.JsonConverter",
    "bytes": "org.apache.kafka.connect.converters.ByteArrayConverter",
}  # of Apache Kafka, so that each worker has them


@dataclass(frozen=True, slots=True)
class ShortSetting:
    """One setting of Connect, and where the block says it, within the block."""

    key: str
    value: Any
    path: KEY


def list_settings(block: Mapping[str, Any]) -> Iterator[ShortSetting]:
    """Yield the settings that the block's maps stand for."""
    for side, converter in (block.get(CONVERTERS) or {}).items():
        yield from _list_converter(str(side), converter)
    for chain in CHAINS:
        links = block.get(chain) or {}
        if links:
            yield ShortSetting(chain, ",".join(map(str, links)), (chain,))
        for name, settings in links.items():
            for key, value in (settings or {}).items():
                yield ShortSetting(f"{chain}.{name}.{key}", value, (chain, name, key))


def _list_converter(side: str, converter: Any) -> Iterator[ShortSetting]:
    """Yield the settings of the converter of keys, values or headers: its class by name, or a map with `class`."""
    name, path = f"{side}.converter", (CONVERTERS, side)
    if not isinstance(converter, Mapping):
        yield ShortSetting(name, CONVERTER_CLASSES.get(str(converter), converter), path)
        return
    for key, value in converter.items():
        if key == "class":
            yield ShortSetting(name, CONVERTER_CLASSES.get(str(value), value), (*path, key))
        else:
            yield ShortSetting(f"{name}.{key}", value, (*path, key))


def find_place(block: Mapping[str, Any], key: str) -> KEY:
    """Return where the block says a setting of Connect, within the block; () where it does not."""
    if key in (block.get("config") or {}):
        return ("config", key)
    return next((setting.path for setting in list_settings(block) if setting.key == key), ())


def shorten(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a block that stand for those settings that can be written so, `config` with the rest.

    The maps give exactly these settings again, a value of `transforms` included.
    """
    rest, parts = dict(config), {}
    for part in (_shorten_converters(rest), *(_shorten_chain(rest, chain) for chain in CHAINS)):
        parts.update(part)
        for setting in list_settings(part):
            rest.pop(setting.key)
    return {**parts, **({"config": rest} if rest else {})}


def _shorten_converters(config: Mapping[str, Any]) -> dict[str, Any]:
    names = {java_class: name for name, java_class in CONVERTER_CLASSES.items()}
    converters: dict[str, Any] = {}
    for side in ("key", "value", "header"):
        name = f"{side}.converter"
        if not isinstance(config.get(name), str):
            continue
        java_class = names.get(config[name], config[name])
        own = {key.removeprefix(f"{name}."): value for key, value in config.items() if key.startswith(f"{name}.")}
        if "class" not in own and None not in own.values():
            converters[side] = {"class": java_class, **own} if own else java_class
    return {CONVERTERS: converters} if converters else {}


def _shorten_chain(config: Mapping[str, Any], chain: str) -> dict[str, Any]:
    value = config.get(chain)
    names = value.split(",") if isinstance(value, str) else []
    links: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, setting in config.items():
        if not key.startswith(f"{chain}."):
            continue
        name = next((name for name in names if key.startswith(f"{chain}.{name}.")), "")
        if not name or setting is None:
            return {}  # a setting of a transform that does not run, which only `config:` can hold
        links[name][key.removeprefix(f"{chain}.{name}.")] = setting
    links = {name: dict(sorted(link.items(), key=lambda item: item[0] != "type")) for name, link in links.items()}
    is_exact = len(links) == len(names) and all(name and name == name.strip() and "." not in name for name in names)
    return {chain: links} if names and is_exact else {}
