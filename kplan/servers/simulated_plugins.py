"""The plugins of a simulated Connect, and what Connect and they refuse of a connector's settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Final

from kplan.diagnostics import Rejected, codes
from kplan.kinds.connector.names import CONNECTOR_NAME, NAME_CHARACTERS, alias_of, name_in_connect
from kplan.model import Config, Connector, Text
from kplan.values import dataclass

STATES = ("running", "paused", "stopped")
NO_CLASS = "Failed to find any class"
JAVA_NAME = re.compile(r"(?:[A-Za-z_]\w*\.)*(?:[A-Za-z_]\w*\$)*[A-Z]\w*")
SHORT_NAME = re.compile(r"[A-Z]\w*(?:Connector|Source|Sink)")  # Connect finds a class by such a name, too
MAX_DIFFERENT_LETTERS: Final = 3  # of two names of which one may be the other, misspelt
# Transforms, predicates and converters that come with Kafka and Debezium, or that kplan itself writes for `schemas:`.
KNOWN_PACKAGES = ("org.apache.kafka.connect.", "io.debezium.", "io.confluent.connect.", "io.apicurio.registry.")
CONVERTERS = ("key.converter", "value.converter", "header.converter")


@cache
def list_plugins() -> Mapping[str, Sequence[str]]:
    """Return the connector classes that are installed, and the settings that each insists on."""
    from kplan.kinds.connector.debezium.engines import ENGINES

    return {
        **{engine.java_class: engine.required for engine in ENGINES.values()},
        "org.apache.kafka.connect.file.FileStreamSinkConnector": (),
        "org.apache.kafka.connect.file.FileStreamSourceConnector": ("topic",),
        "org.apache.kafka.connect.mirror.MirrorCheckpointConnector": (),
        "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector": (),
        "org.apache.kafka.connect.mirror.MirrorSourceConnector": (),
    }


@dataclass(frozen=True, slots=True)
class Plugins:
    """The classes of a simulated Connect: those it knows, and `others`. None is any class with a plausible name."""

    others: tuple[str, ...] | None = None

    def find_connector(self, name: str) -> str | None:
        """Return the class that Connect finds by its full name, its simple name, or that without `Connector`."""
        for java_class in (*list_plugins(), *(self.others or ())):
            if name in _list_names(java_class):
                return java_class
        return name if self.others is None and _is_plausible_connector(name) else None

    def has_part(self, name: str) -> bool:
        """Whether there is such a transform, predicate or converter."""
        if "${" in name:  # a worker's provider of configs knows it
            return True
        if self.others is None:
            return JAVA_NAME.fullmatch(name) is not None
        known = name.startswith(KNOWN_PACKAGES) or "." not in name
        is_listed = any(name in _list_names(each) for each in self.others)
        return (known and JAVA_NAME.fullmatch(name) is not None) or is_listed


def _list_names(java_class: str) -> tuple[str, ...]:
    simple_name = java_class.rpartition(".")[2]
    return java_class, simple_name, simple_name.removesuffix("Connector")


def _is_plausible_connector(name: str) -> bool:
    """Whether the class may exist: it is no misspelt name of a known class, and has none in another package."""
    pattern = JAVA_NAME if "." in name else SHORT_NAME
    return pattern.fullmatch(name) is not None and not any(_is_mistake(name, each) for each in list_plugins())


def _is_mistake(name: str, java_class: str) -> bool:
    name, known = name.lower(), java_class.lower()
    if "." not in name:
        return any(_count_different_letters(name, each.lower()) <= MAX_DIFFERENT_LETTERS
                   for each in _list_names(java_class)[1:])  # fmt: skip
    parts, known_parts = name.split("."), known.split(".")
    if parts[-1] == known_parts[-1] and parts[:2] == known_parts[:2]:
        return True
    return _count_different_letters(name, known) <= MAX_DIFFERENT_LETTERS


def _count_different_letters(name: str, other: str) -> int:
    """Return how many letters only one of the names has, in the order of the other's."""
    matching = sum(block.size for block in difflib.SequenceMatcher(None, name, other).get_matching_blocks())
    return len(name) + len(other) - 2 * matching


class SettingRejected(Rejected):
    """Connect rejected a connector's settings."""

    entry = codes.K302

    def __init__(self, key: str, message: str, help: str = "") -> None:
        super().__init__(message, help=help)
        self.key = key


class ClassMissing(Rejected):
    """Connect has no such connector class."""

    entry = codes.K303
    key = "connector.class"


def find_connector_problems(connector: Connector, aliases: Collection[str], plugins: Plugins) -> list[Rejected]:
    """Return what Connect 4.3.1 and its connectors refuse, in their words (tests/contract/test_connectors.py).

    `aliases` are those of further Connects.
    """
    name = name_in_connect(connector) if alias_of(connector.name) in aliases else connector.name
    if not CONNECTOR_NAME.match(name):
        return [Rejected(f"{connector.name!r} is not a name of a connector: {NAME_CHARACTERS} are allowed")]
    if connector.state not in STATES:
        return [Rejected(f"{connector.state!r} is not a state of a connector: {', '.join(STATES)}")]
    if not connector.java_class:
        return [ClassMissing("Connector config contains no connector type")]
    plugin = plugins.find_connector(connector.java_class)
    if plugin is None:
        return [_make_class_missing(connector.java_class, plugins)]
    problems = [SettingRejected(key, words) for key, words in _find_refused_settings(plugin, connector.config)]
    return [*problems, *_find_missing_parts(connector.config, plugins)]


def _make_class_missing(name: str, plugins: Plugins) -> ClassMissing:
    known = [*list_plugins(), *(plugins.others or ())]
    similar_classes = [each for each in known if _is_mistake(name, each)]
    suggestion = f"did you mean {' or '.join(similar_classes)}? " if similar_classes else ""
    message = f"the simulated Connect: {NO_CLASS} that implements Connector and which name matches {name}"
    return ClassMissing(message, help=f"{suggestion}{_describe_setting(name, plugins)}")


def _describe_setting(name: str, plugins: Plugins) -> str:
    """Return what in kplan.yaml gives the simulated Connect the class."""
    if JAVA_NAME.fullmatch(name) is None:
        return "it is not the name of a Java class, such as io.confluent.connect.s3.S3SinkConnector"
    setting = f"`simulated: {{plugins: [{', '.join((*(plugins.others or ()), name))}]}}`"
    any_class = "" if plugins.others is None else ", or `plugins: any`"
    return f"if your Connect has this class, write {setting}{any_class} in kplan.yaml"


def _find_missing_parts(config: Config, plugins: Plugins) -> Iterator[SettingRejected]:
    """Yield the refusals of transforms, predicates and converters (`ConfigDef.parseType` of a class)."""
    keys = [f"{part}.{alias}.type" for part in ("transforms", "predicates") for alias in _list_aliases(config, part)]
    for key in (*keys, *CONVERTERS):
        name = config.get(key)
        if isinstance(name, str) and name and not plugins.has_part(name):
            message = f"Invalid value {name} for configuration {key}: Class {name} could not be found."
            yield SettingRejected(key, f"the simulated Connect: {message}", _describe_setting(name, plugins))


def _list_aliases(config: Config, part: str) -> list[str]:
    return [alias for each in str(config.get(part, "")).split(",") if (alias := each.strip())]


def _find_refused_settings(plugin: str, config: Config) -> Iterator[tuple[str, str]]:
    for key in list_plugins().get(plugin, ()):
        if key not in config and plugin.startswith("org.apache.kafka."):
            yield key, f'Missing required configuration "{key}" which has no default value.'
        elif not config.get(key):
            yield key, f"The '{key}' value is invalid: A value is required"
    if is_sink_class(plugin):
        yield from _find_refused_topics(config)
    for key in ("tasks.max", "batch.size") if ".connect.file." in plugin else ("tasks.max",):
        yield from _find_refused_count(key, config.get(key, "1"))
    if (tolerance := config.get("errors.tolerance", "none")) not in ("none", "all"):
        message = f"Invalid value {tolerance} for configuration errors.tolerance: String must be one of: none, all"
        yield "errors.tolerance", message
    for alias in _list_aliases(config, "transforms"):
        if f"transforms.{alias}.type" not in config:
            key = f"transforms.{alias}.type"
            yield key, f'Missing required configuration "{key}" which has no default value.'


def is_sink_class(java_class: str) -> bool:
    """Whether the class is one of a sink, as its name shows."""
    return java_class.endswith(("SinkConnector", "Sink"))


def _find_refused_topics(config: Config) -> Iterator[tuple[str, str]]:
    topic_settings = [key for key in ("topics", "topics.regex") if config.get(key)]
    if not topic_settings:
        yield "topics", "Must configure one of topics or topics.regex"
    elif len(topic_settings) == 2:
        yield "topics", "topics and topics.regex are mutually exclusive options, but both are set."


def _find_refused_count(key: str, value: Text) -> Iterator[tuple[str, str]]:
    text = str(value).strip()
    if not re.fullmatch(r"[+-]?\d{1,10}", text):
        yield key, f"Invalid value {value} for configuration {key}: Not a number of type INT"
    elif key == "tasks.max" and int(text) < 1:
        yield key, f"Invalid value {value} for configuration {key}: Value must be at least 1"
