"""Validation: what Connect says to a connector before it is there."""

from __future__ import annotations

import difflib
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from kplan.diagnostics import Diagnostic, KplanError, Rejected, codes, error, warning
from kplan.diagnostics.codes.code import Code
from kplan.kinds.connector import transforms
from kplan.kinds.connector.debezium.engines import engine_by_simple_name
from kplan.model import Action, Change, Config, Connector, Secret
from kplan.model.masks import Mask
from kplan.servers.connect.documents import changed_keys, config_of, literal, unknown_keys
from kplan.servers.connect.errors import concise
from kplan.servers.connect.rest import FEATURES, Rest, plugin_path, supports

log = logging.getLogger("kplan.servers.connect")  # one name for all that is done with Connect

# Keys with these beginnings are handed on to what the plugin does not list, so only what looks misspelt is told.
PASSED_ON = (
    "transforms.", "predicates.", "schema.history.internal.", "producer.override.", "consumer.override.",
    "admin.override.", "topic.creation.", "key.converter.", "value.converter.", "header.converter.", "signal.",
    "notification.", "driver.", "converters.", "post.processors.", "errors.deadletterqueue.", "column.", "datatype.",
    "snapshot.select.statement.overrides.", "snapshot.mode.custom.", "incremental.snapshot.", "internal.", "offset.",
    "config.providers.", "source.cluster.", "target.cluster.", "source.consumer.", "source.admin.",
    "producer.", "consumer.", "admin.", "openlineage.", "custom.metric.", "mongodb.", "kafka.",
)  # fmt: skip
HALF_PASSED_ON = ("database.",)  # the JDBC driver's in old Debezium
OFTEN = frozenset({
    "name", "connector.class", "connector.plugin.version", "tasks.max", "topics", "topics.regex",
    "binary.handling.mode", "capture.scope", "capture.target",  # Debezium 3.6 heeds them and does not always list them
    # Those of its naming strategy it never lists, only the old `heartbeat.topics.prefix` (3.7, measured).
    "topic.cache.size", "topic.delimiter", "topic.heartbeat.name", "topic.heartbeat.prefix", "topic.transaction",
})  # fmt: skip
VALIDATION_SECONDS = 30.0
PLACEHOLDER = "kplan-does-not-know-this-value"
LOGIN = re.compile(r"password|authenticat|access denied|login|credential", re.IGNORECASE)


def unknown_properties(config: Config, known: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Keys that the plugin does not list, with the listed one that was perhaps meant."""
    # Validation does not find them: Debezium 3.7 answers error_count 0 to misspelt keys (measured).
    candidates = sorted(name for name in known if "(" not in name)  # Debezium lists some patterns
    for key in sorted(config.keys() - known - OFTEN):
        alike = 0.92 if key.startswith(PASSED_ON) else 0.85 if key.startswith(HALF_PASSED_ON) else 0.7
        near = difflib.get_close_matches(key, candidates, 1, alike)
        if near or not key.startswith(PASSED_ON + HALF_PASSED_ON):
            yield key, near[0] if near else ""


def unlisted_settings(config: Mapping[str, str], asked: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Yield settings of transforms, predicates and converters that their classes do not list, with the nearest one.

    `asked` are the properties of Connect's answer: it lists those of every class that the connector names. A class
    that lists none may take any.
    """
    for key, prefix, java_class in transforms.owned(config):
        own = {each for each in asked if each.startswith(prefix)} - {f"{prefix}{name}" for name in transforms.OF_ALL}
        if key in asked or not own or key.removeprefix(prefix).startswith(transforms.PASSES_ON):
            continue
        near = difflib.get_close_matches(key, sorted(own), 1, 0.8)
        if transforms.known_settings(java_class) is None and (near or prefix.startswith(tuple(transforms.COMMON))):
            yield key, near[0] if near else ""  # a converter hands on what is its client's


def aliases(java_class: str) -> frozenset[str]:
    """The names under which Connect finds a plugin: whole, simple, and without `Connector`."""
    simple = java_class.rpartition(".")[2]
    return frozenset({java_class, simple, simple.removesuffix("Connector")})


def nearest_classes(java_class: str, installed: Iterable[str]) -> list[str]:
    """Up to three installed classes whose simple name is like that of `java_class`; none where nothing is."""
    simple = {name.rpartition(".")[2].lower(): name for name in sorted(installed)}
    wanted = java_class.rpartition(".")[2].lower()
    near = difflib.get_close_matches(wanted, simple, 3, 0.8)
    stem = _SUFFIX.sub("", wanted)  # `Connector` alone makes names alike that are not
    near += [each for each in simple if difflib.SequenceMatcher(None, stem, _SUFFIX.sub("", each)).ratio() >= 0.7]
    return [simple[each] for each in dict.fromkeys(near)][:3]


_SUFFIX = re.compile(r"(?:source|sink)?connector\Z")


def is_checked(change: Change) -> bool:
    """Whether the desired config is new, changes, or is to be stopped."""
    if not isinstance(change.after, Connector) or change.is_ledger_only or change.action is Action.DELETE:
        return False
    return change.action is not Action.UPDATE or bool(changed_keys(change)) or _state(change) == "stopped"


def _state(change: Change) -> str:
    return change.after.state if isinstance(change.after, Connector) else ""


class Validator:
    """What Connect says to connectors that are not there yet, asking each plugin only once for its properties."""

    def __init__(self, rest: Rest, mask: Mask, version: str, timeout: float) -> None:
        self._rest = rest
        self._mask = mask
        self._version = version
        self._timeout = timeout
        self._known: dict[str, frozenset[str]] = {}
        self._turn = threading.Lock()
        self._installed = sorted(plugin["class"] for plugin in rest.call("GET", "/connector-plugins") or ())

    def diagnostics(self, change: Change) -> list[Diagnostic]:
        """Everything that Connect and its list of known properties have against the desired config."""
        after = change.after
        assert isinstance(after, Connector)
        found = list(self._unsupported(change, after))
        java_class = next((name for name in self._installed if after.java_class in aliases(name)), None)
        if java_class is None:
            return [*found, self._no_class(after)]
        try:
            answer = self._validate(change, after)
        except KplanError as failure:
            return [*found, self._unchecked(after, failure)]
        found += self._errors(after, answer)
        return [*found, *self._misspelt(after, java_class, answer)]

    def _unsupported(self, change: Change, after: Connector) -> Iterator[Diagnostic]:
        needs = [("initial_state", "moving a connector", change.action is Action.MOVE),
                 ("stop", "`state: stopped`", after.state == "stopped")]  # fmt: skip
        for feature, what, wanted in needs:
            if wanted and not supports(self._version, feature):
                least = "{}.{}".format(*FEATURES[feature])
                yield _problem(error, after, codes.K315, "this version of Connect cannot do it",
                               f"{what} needs Connect {least}, this one is {self._version}", "/state",
                               "upgrade the workers, or do without")  # fmt: skip

    def _no_class(self, after: Connector) -> Diagnostic:
        near = nearest_classes(after.java_class, self._installed)
        if near:
            words = f"did you mean {' or '.join(f'`{name}`' for name in near)}?"
        else:
            words = f"installed: {', '.join(self._installed) or 'nothing'}."
        return _problem(error, after, codes.K303, "the connector's class is not installed on the Connect workers",
                        after.java_class or "there is no connector.class", "/config/connector.class",
                        f"{words} Otherwise put the plugin under the workers' `plugin.path`")  # fmt: skip

    def _unchecked(self, after: Connector, failure: KplanError) -> Diagnostic:
        if isinstance(failure, Rejected):
            return _problem(error, after, codes.K302, "Connect rejected a connector", failure.message, "", failure.help)
        return _problem(warning, after, codes.K305, "Connect did not check a connector", failure.message, "",
                        failure.help or "`kplan apply` will find out")  # fmt: skip

    def _validate(self, change: Change, after: Connector) -> Mapping[str, Any]:
        live = {
            k: v.value for k, v in config_of(change.before).items() if isinstance(v, Secret) and v.value is not None
        }
        changed = changed_keys(change)
        stand_in = {k: PLACEHOLDER if k in changed else live.get(k, PLACEHOLDER) for k in unknown_keys(after.config)}
        body = {**literal({**after.config, **stand_in}), "name": after.name}
        path = plugin_path(after.java_class, "config", "validate")
        return self._rest.once("PUT", path, body, self._timeout) or {}

    def _errors(self, after: Connector, answer: Mapping[str, Any]) -> Iterator[Diagnostic]:
        """One problem for each text, at the first of its settings that the stack has."""
        for text, keys in self._refused(after, answer).items():
            key = next((key for key in keys if key in after.config), keys[0])
            detail = f"{', '.join(sorted(keys, key=lambda each: each != key))}: {text}"
            yield _problem(error, after, codes.K302, "Connect rejected a connector setting", detail, f"/config/{key}",
                           _way_out(after, text))  # fmt: skip

    def _refused(self, after: Connector, answer: Mapping[str, Any]) -> dict[str, list[str]]:
        """The settings that Connect has each error text for; a value that kplan does not know is not judged."""
        unknown = unknown_keys(after.config)
        found: dict[str, list[str]] = {}
        for item in answer.get("configs") or ():
            value = item.get("value") or {}
            key = str(value.get("name", ""))
            for message in value.get("errors") or ():
                if key not in unknown and not (unknown and LOGIN.search(message)):
                    found.setdefault(self._mask.mask(concise(str(message))), []).append(key)
        return {text: list(dict.fromkeys(keys)) for text, keys in found.items()}

    def _misspelt(self, after: Connector, java_class: str, answer: Mapping[str, Any]) -> Iterator[Diagnostic]:
        listed = self._known_keys(java_class)
        if not listed:
            return
        asked = {str((item.get("value") or {}).get("name")) for item in answer.get("configs") or ()}
        plain = {key: value for key, value in after.config.items() if isinstance(value, str)}
        told = {found.key for found in transforms.findings(plain)}  # the stack has a warning already
        unknown = dict(unknown_properties(after.config, listed | asked)) | dict(unlisted_settings(plain, asked))
        for key, near in unknown.items():
            if key in told:
                continue
            help = (
                f"did you mean `{near}`?" if near else "Connect hands it on unchecked; see the plugin's documentation"
            )
            yield _problem(warning, after, codes.K304, "the plugin does not list this property",
                           f"{key} is unknown to {java_class}", f"/config/{key}", help)  # fmt: skip

    def _known_keys(self, java_class: str) -> frozenset[str]:
        """The plugin's properties (KIP-769); none where the worker cannot tell."""
        with self._turn:
            if java_class not in self._known:
                try:
                    listed = self._rest.once("GET", plugin_path(java_class, "config"))
                except KplanError as failure:
                    log.warning("the properties of %s are not known: %s", java_class, failure.message)
                    listed = ()
                self._known[java_class] = frozenset(str(item["name"]) for item in listed or ())
            return self._known[java_class]


def _way_out(after: Connector, text: str) -> str:
    """What to do where the plugin's own words lead astray; nothing otherwise."""
    engine = engine_by_simple_name(after.java_class)
    failures = engine.misleading_failures if engine is not None else {}
    return next((help for words, help in failures.items() if words in text), "")


def _problem(level: Callable[..., Diagnostic], after: Connector, code: Code, summary: str, detail: str, path: str,
             help: str) -> Diagnostic:  # fmt: skip
    return level(code, summary, detail, help=help, span=after.origin.at(path), address=after.address, path=path)
