"""Validation: what Connect reports about a connector before it is created."""

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
from kplan.kinds.connector.names import name_in_connect
from kplan.model import Action, Change, Config, Connector, Secret
from kplan.model.masks import Mask
from kplan.servers.connect.documents import changed_keys, config_of, to_literal, unknown_keys
from kplan.servers.connect.errors import remove_lists
from kplan.servers.connect.rest import FEATURES, plugin_path, supports
from kplan.servers.rest import Rest

log = logging.getLogger("kplan.servers.connect")  # one name for all work with Connect

# The plugin passes on keys with these prefixes without listing them, so only likely misspellings are reported.
PASSED_ON_PREFIXES = (
    "transforms.", "predicates.", "schema.history.internal.", "producer.override.", "consumer.override.",
    "admin.override.", "topic.creation.", "key.converter.", "value.converter.", "header.converter.", "signal.",
    "notification.", "driver.", "converters.", "post.processors.", "errors.deadletterqueue.", "column.", "datatype.",
    "snapshot.select.statement.overrides.", "snapshot.mode.custom.", "incremental.snapshot.", "internal.", "offset.",
    "config.providers.", "source.cluster.", "target.cluster.", "source.consumer.", "source.admin.",
    "producer.", "consumer.", "admin.", "openlineage.", "custom.metric.", "mongodb.", "kafka.",
    # Of Iceberg's catalog, file system, clients and tables; its sink 1.9.1 lists none of these (measured).
    "iceberg.catalog.", "iceberg.hadoop.", "iceberg.kafka.", "iceberg.table.", "iceberg.tables.auto-create-props.",
    "iceberg.tables.write-props.",
)  # fmt: skip
PARTLY_PASSED_ON_PREFIXES = ("database.",)  # the JDBC driver's in old Debezium
COMMON_KEYS = frozenset({
    "name", "connector.class", "connector.plugin.version", "tasks.max", "topics", "topics.regex",
    "binary.handling.mode", "capture.scope", "capture.target",  # Debezium 3.6 heeds them and does not always list them
    # Those of its naming strategy it never lists, only the old `heartbeat.topics.prefix` (3.7, measured).
    "topic.cache.size", "topic.delimiter", "topic.heartbeat.name", "topic.heartbeat.prefix", "topic.transaction",
})  # fmt: skip
VALIDATION_TIMEOUT_S = 30.0
PLACEHOLDER = "kplan-does-not-know-this-value"
LOGIN = re.compile(r"password|authenticat|access denied|login|credential", re.IGNORECASE)


def find_unknown_properties(config: Config, known: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Yield keys that the plugin does not list, each with the most similar listed one."""
    # Validation does not find them: Debezium 3.7 answers error_count 0 to misspelt keys (measured).
    candidates = sorted(name for name in known if "(" not in name)  # Debezium lists some patterns
    for key in sorted(config.keys() - known - COMMON_KEYS):
        min_similarity = (
            0.92 if key.startswith(PASSED_ON_PREFIXES) else 0.85 if key.startswith(PARTLY_PASSED_ON_PREFIXES) else 0.7
        )
        matches = difflib.get_close_matches(key, candidates, 1, min_similarity)
        if matches or not key.startswith(PASSED_ON_PREFIXES + PARTLY_PASSED_ON_PREFIXES):
            yield key, matches[0] if matches else ""


def find_unlisted_settings(config: Mapping[str, str], properties: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Yield settings of transforms, predicates and converters that their classes do not list, with the nearest one.

    `properties` are those of Connect's answer: it lists those of every class that the connector names. A class that
    lists none may accept any.
    """
    for key, prefix, java_class in transforms.find_owned_settings(config):
        listed = {each for each in properties if each.startswith(prefix)} - {
            f"{prefix}{name}" for name in transforms.OF_ALL
        }
        if key in properties or not listed or key.removeprefix(prefix).startswith(transforms.PASSES_ON):
            continue
        matches = difflib.get_close_matches(key, sorted(listed), 1, 0.8)
        if transforms.known_settings(java_class) is None and (matches or prefix.startswith(tuple(transforms.COMMON))):
            yield key, matches[0] if matches else ""  # a converter passes on the settings of its client


def list_aliases(java_class: str) -> frozenset[str]:
    """Return the names by which Connect finds a plugin: full, simple, and without `Connector`."""
    simple = java_class.rpartition(".")[2]
    return frozenset({java_class, simple, simple.removesuffix("Connector")})


def find_nearest_classes(java_class: str, installed: Iterable[str]) -> list[str]:
    """Return up to three installed classes with a simple name similar to that of `java_class`."""
    simple = {name.rpartition(".")[2].lower(): name for name in sorted(installed)}
    wanted = java_class.rpartition(".")[2].lower()
    matches = difflib.get_close_matches(wanted, simple, 3, 0.8)
    stem = _SUFFIX.sub("", wanted)  # `Connector` alone makes different names similar
    matches += [each for each in simple if difflib.SequenceMatcher(None, stem, _SUFFIX.sub("", each)).ratio() >= 0.7]
    return [simple[each] for each in dict.fromkeys(matches)][:3]


_SUFFIX = re.compile(r"(?:source|sink)?connector\Z")


def needs_check(change: Change) -> bool:
    """Return whether the declared config is new, changes, or is to be stopped."""
    if not isinstance(change.after, Connector) or change.is_ledger_only or change.action is Action.DELETE:
        return False
    return change.action is not Action.UPDATE or bool(changed_keys(change)) or _state(change) == "stopped"


def _state(change: Change) -> str:
    return change.after.state if isinstance(change.after, Connector) else ""


class Validator:
    """Validates connectors that do not exist yet; asks for the properties of each plugin only once."""

    def __init__(self, rest: Rest, mask: Mask, version: str, timeout: float) -> None:
        self._rest = rest
        self._mask = mask
        self._version = version
        self._timeout = timeout
        self._known: dict[str, frozenset[str]] = {}
        self._turn = threading.Lock()
        self._installed = sorted(plugin["class"] for plugin in rest.call("GET", "/connector-plugins") or ())

    def validate(self, change: Change) -> list[Diagnostic]:
        """Return what Connect and its list of known properties object to in the declared config."""
        after = change.after
        assert isinstance(after, Connector)
        diagnostics = list(self._find_unsupported(change, after))
        java_class = next((name for name in self._installed if after.java_class in list_aliases(name)), None)
        if java_class is None:
            return [*diagnostics, self._missing_class(after)]
        try:
            answer = self._request_validation(change, after)
        except KplanError as failure:
            return [*diagnostics, self._validation_failure(after, failure)]
        diagnostics += self._find_errors(after, answer)
        return [*diagnostics, *self._find_misspelt(after, java_class, answer)]

    def _find_unsupported(self, change: Change, after: Connector) -> Iterator[Diagnostic]:
        needs = [("initial_state", "moving a connector", change.action is Action.MOVE),
                 ("stop", "`state: stopped`", after.state == "stopped")]  # fmt: skip
        for feature, action, is_needed in needs:
            if is_needed and not supports(self._version, feature):
                min_version = "{}.{}".format(*FEATURES[feature])
                yield _problem(error, after, codes.K315, "this version of Connect cannot do it",
                               f"{action} needs Connect {min_version}, this one is {self._version}", "/state",
                               "upgrade the workers, or do without")  # fmt: skip

    def _missing_class(self, after: Connector) -> Diagnostic:
        """Return the error of a class that is not installed."""
        similar_classes = find_nearest_classes(after.java_class, self._installed)
        if similar_classes:
            advice = f"did you mean {' or '.join(f'`{name}`' for name in similar_classes)}?"
        else:
            advice = f"installed: {', '.join(self._installed) or 'nothing'}."
        return _problem(error, after, codes.K303, "the connector's class is not installed on the Connect workers",
                        after.java_class or "there is no connector.class", "/config/connector.class",
                        f"{advice} Otherwise put the plugin under the workers' `plugin.path`")  # fmt: skip

    def _validation_failure(self, after: Connector, failure: KplanError) -> Diagnostic:
        """Return the diagnostic where Connect did not validate the config."""
        if isinstance(failure, Rejected):
            return _problem(error, after, codes.K302, "Connect rejected a connector", failure.message, "", failure.help)
        return _problem(warning, after, codes.K305, "Connect did not check a connector", failure.message, "",
                        failure.help or "`kplan apply` will find out")  # fmt: skip

    def _request_validation(self, change: Change, after: Connector) -> Mapping[str, Any]:
        live = {
            k: v.value for k, v in config_of(change.before).items() if isinstance(v, Secret) and v.value is not None
        }
        changed = changed_keys(change)
        stand_in = {k: PLACEHOLDER if k in changed else live.get(k, PLACEHOLDER) for k in unknown_keys(after.config)}
        body = {**to_literal({**after.config, **stand_in}), "name": name_in_connect(after)}
        path = plugin_path(after.java_class, "config", "validate")
        return self._rest.send_once("PUT", path, body, self._timeout) or {}

    def _find_errors(self, after: Connector, answer: Mapping[str, Any]) -> Iterator[Diagnostic]:
        """Yield one problem for each error text, at the first of its settings that the stack has."""
        for text, keys in self._group_errors(after, answer).items():
            key = next((key for key in keys if key in after.config), keys[0])
            detail = f"{', '.join(sorted(keys, key=lambda each: each != key))}: {text}"
            yield _problem(error, after, codes.K302, "Connect rejected a connector setting", detail, f"/config/{key}",
                           _find_remedy(after, text))  # fmt: skip

    def _group_errors(self, after: Connector, answer: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return the settings of each error text; a value that kplan does not know is not judged."""
        unknown = unknown_keys(after.config)
        keys_by_text: dict[str, list[str]] = {}
        for item in answer.get("configs") or ():
            value = item.get("value") or {}
            key = str(value.get("name", ""))
            for message in value.get("errors") or ():
                if key not in unknown and not (unknown and LOGIN.search(message)):
                    keys_by_text.setdefault(self._mask.mask(remove_lists(str(message))), []).append(key)
        return {text: list(dict.fromkeys(keys)) for text, keys in keys_by_text.items()}

    def _find_misspelt(self, after: Connector, java_class: str, answer: Mapping[str, Any]) -> Iterator[Diagnostic]:
        listed = self._known_keys(java_class)
        if not listed:
            return
        properties = {str((item.get("value") or {}).get("name")) for item in answer.get("configs") or ()}
        plain = {key: value for key, value in after.config.items() if isinstance(value, str)}
        reported = {found.key for found in transforms.findings(plain)}  # the stack already has a warning
        unknown = dict(find_unknown_properties(after.config, listed | properties)) | dict(
            find_unlisted_settings(plain, properties)
        )
        for key, similar_key in unknown.items():
            if key in reported:
                continue
            help = (
                f"did you mean `{similar_key}`?"
                if similar_key
                else "Connect hands it on unchecked; see the plugin's documentation"
            )
            yield _problem(warning, after, codes.K304, "the plugin does not list this property",
                           f"{key} is unknown to {java_class}", f"/config/{key}", help)  # fmt: skip

    def _known_keys(self, java_class: str) -> frozenset[str]:
        """Return the plugin's properties (KIP-769); none where the worker cannot list them."""
        with self._turn:
            if java_class not in self._known:
                try:
                    listed = self._rest.send_once("GET", plugin_path(java_class, "config"))
                except KplanError as failure:
                    log.warning("the properties of %s are not known: %s", java_class, failure.message)
                    listed = ()
                self._known[java_class] = frozenset(str(item["name"]) for item in listed or ())
            return self._known[java_class]


def _find_remedy(after: Connector, text: str) -> str:
    """Return the remedy where the plugin's own message is misleading; nothing otherwise."""
    engine = engine_by_simple_name(after.java_class)
    failures = engine.misleading_failures if engine is not None else {}
    return next((help for words, help in failures.items() if words in text), "")


def _problem(level: Callable[..., Diagnostic], after: Connector, code: Code, summary: str, detail: str, path: str,
             help: str) -> Diagnostic:  # fmt: skip
    return level(code, summary, detail, help=help, span=after.origin.at(path), address=after.address, path=path)
