"""What the commands of Kafka's tools, and requests to Connect, create.

Source: TopicCommand, ConfigCommand and AclCommand of Kafka 4.3; Connect's REST API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from kplan.diagnostics import Invalid, Span
from kplan.importers import connect
from kplan.importers.grants import add_binding, add_quota, add_user
from kplan.importers.reading import file_error
from kplan.importers.resources import ImportedResources
from kplan.kinds.acl.operations import ANY_HOST, CLUSTER_NAME
from kplan.kinds.user.user import MECHANISMS
from kplan.language import source
from kplan.model import Topic

Options = Mapping[str, Sequence[str]]
CONNECTIONS: Final = frozenset(
    ("--bootstrap-server", "--bootstrap-controller", "--zookeeper", "--command-config", "--authorizer-properties")
)
FLAGS: Final = frozenset(
    ("--create", "--alter", "--add", "--force", "--if-not-exists", "--cluster", "--producer", "--consumer")
    + ("--idempotent", "--user-defaults", "--client-defaults", "--entity-default", "--describe", "--list", "--delete")
    + ("--remove", "--version", "--help")
)
SETTING: Final = re.compile(r"([^=,\[\]]+)=(\[[^\]]*\]|[^,]*)")  # of --add-config: `a=b,c=[d,e]`
CONNECTORS: Final = re.compile(r"/connectors/?(?:([^/?]+)/config/?)?(?:\?.*)?$")
ADDRESS: Final = re.compile(r"\w+://|\$|[\w.-]+:(?:\d|\$)")  # how an address begins: `http://…`, `$URL`, `host:8083`
DATA: Final = ("-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--json")
SHORT: Final = re.compile(r"(-[dX])(.+)", re.DOTALL)
MAX_OPTIONS: Final = 1000


def add_topics(words: Sequence[str], text: str, span: Span, imported: ImportedResources) -> None:
    """Add what `kafka-topics` creates. Raises Invalid."""
    options = _read_options(words)
    names = options.get("--topic", ())
    if "--create" in options:
        config = dict(setting for text in options.get("--config", ()) for setting in _read_settings(text))
        partitions, factor = (_read_count(options, each, span) for each in ("--partitions", "--replication-factor"))
        for name in names:
            imported.add(Topic(name, partitions, factor, config), span)
        known = {"--create", "--topic", "--config", "--partitions", "--replication-factor", "--if-not-exists"}
        _note_others("kafka-topics", options, known, span, imported)
    elif "--alter" in options and names and names[0] in imported.topics and "--partitions" in options:
        count = _read_count(options, "--partitions", span)
        imported.topics[names[0]] = replace(imported.topics[names[0]], partitions=count)
    elif {"--alter", "--delete"} & options.keys():
        imported.note(f"a command of kafka-topics is left out: it changes {', '.join(names) or 'topics'}", span)


def add_configs(words: Sequence[str], text: str, span: Span, imported: ImportedResources) -> None:
    """Add what `kafka-configs` sets: configs of topics, mechanisms of users, quotas. Raises Invalid."""
    options = _read_options(words)
    settings = dict(setting for text in options.get("--add-config", ()) for setting in _read_settings(text))
    if "--alter" not in options or not settings:
        return
    entity = _read_entity(options)
    topic = entity.get("topics")
    if "topics" in entity and topic in imported.topics:
        present = imported.topics[topic]
        imported.topics[topic] = replace(present, config={**present.config, **settings})
    elif "topics" in entity or not entity.keys() <= {"users", "clients", "ips"}:
        what = f"topic {topic}, which the script does not create" if topic else ", ".join(entity) or "no entity"
        imported.note(f"a command of kafka-configs is left out: it is about {what}", span)
    else:
        mechanisms = {key: value for key, value in settings.items() if key in MECHANISMS}
        for mechanism, value in mechanisms.items():
            iterations = re.search(r"iterations=(\d+)", value)
            add_user(imported, span, str(entity.get("users")), mechanism, iterations and iterations[1])
        quotas = {key: value for key, value in settings.items() if key not in MECHANISMS}
        words_of_entity = {"users": "user", "clients": "client-id", "ips": "ip"}
        if quotas:
            add_quota(imported, span, {words_of_entity[kind]: name for kind, name in entity.items()}, quotas)


def add_bindings(words: Sequence[str], text: str, span: Span, imported: ImportedResources) -> None:
    """Add what `kafka-acls --add` grants and denies. Raises Invalid."""
    options = _read_options(words)
    if "--add" not in options:
        if "--remove" in options:
            imported.note("a command of kafka-acls is left out: it removes bindings", span)
        return
    pattern = next(iter(options.get("--resource-pattern-type", ())), "literal")
    for permission in ("allow", "deny"):
        hosts = options.get(f"--{permission}-host", ()) or (ANY_HOST,)
        for principal in options.get(f"--{permission}-principal", ()):
            for operation, kind, name in _list_rights(options):
                of_resource = "literal" if kind == "cluster" else pattern
                for host in hosts:
                    add_binding(imported, span, principal, operation, kind, name, permission=permission,
                                pattern=of_resource, host=host)  # fmt: skip


def _list_rights(options: Options) -> Iterator[tuple[str, str, str]]:
    """Yield operation, type and name of each right, with those that `--producer` and `--consumer` stand for."""
    topics, groups = options.get("--topic", ()), options.get("--group", ())
    ids = options.get("--transactional-id", ())
    if "--producer" in options:
        yield from ((operation, "topic", name) for name in topics for operation in ("Write", "Describe", "Create"))
        yield from ((operation, "transactionalid", name) for name in ids for operation in ("Write", "Describe"))
        if "--idempotent" in options:
            yield "IdempotentWrite", "cluster", CLUSTER_NAME
    if "--consumer" in options:
        yield from ((operation, "topic", name) for name in topics for operation in ("Read", "Describe"))
        yield from (("Read", "group", name) for name in groups)
    if {"--producer", "--consumer"} & options.keys():
        return
    for operation in options.get("--operation", ()) or ("All",):
        yield from ((operation, "topic", name) for name in topics)
        yield from ((operation, "group", name) for name in groups)
        yield from ((operation, "transactionalid", name) for name in ids)
        if "--cluster" in options:
            yield operation, "cluster", CLUSTER_NAME


def add_connector(words: Sequence[str], text: str, span: Span, imported: ImportedResources) -> None:
    """Add the connector of a `curl` that sends one to Connect. Raises Invalid where that is not JSON."""
    parts = [part for word in words for part in _split_short(word)]
    place = next((match for word in parts if ADDRESS.match(word) and (match := CONNECTORS.search(word))), None)
    body = next((parts[i + 1] for i, word in enumerate(parts[:-1]) if word in DATA), "")
    if place is None or not body:
        return
    if body.startswith("@"):
        body = text if body in ("@-", "@/dev/stdin") else ""
    if not body.strip():
        imported.note("a request to Connect is left out: its JSON is in a file; give that with --file", span)
        return
    wrapped = f'{{"name": "{place[1]}", "config": {body}}}' if place[1] else body
    document, problems = source.load(wrapped, span.path, max(0, span.line - 1))
    if document is None or problems:
        raise file_error("what it sends to Connect is not JSON", span)
    try:
        connect.parse([document], imported)
    except Invalid as failure:
        raise Invalid([problem.with_span(span) for problem in failure.diagnostics]) from failure


def _split_short(word: str) -> Sequence[str]:
    """Return the option and its value of a word such as `-XPOST`."""
    match = SHORT.fullmatch(word)
    return match.groups() if match else (word,)


# -- options ----------------------------------------------------------------------------------------------------------
def _read_options(words: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each option; `--a b` and `--a=b` are the same, and a flag has none."""
    options: dict[str, list[str]] = {}
    option = ""
    for word in words[:MAX_OPTIONS]:
        if word.startswith("--"):
            option, separator, value = word.partition("=")
            options.setdefault(option, [])
            if separator:
                options[option].append(value)
            option = "" if separator or option in FLAGS else option
        elif option:
            options[option].append(word)
            option = ""
    return {option: values for option, values in options.items() if option not in CONNECTIONS}


def drop_connections(words: Sequence[str]) -> list[str]:
    """Return the words without the options that only tell which cluster is meant, and as whom."""
    kept: list[str] = []
    is_value = False
    for word in words:
        option = word.partition("=")[0]
        if is_value and not word.startswith("--"):
            is_value = False
        elif option in CONNECTIONS:
            is_value = option == word
        else:
            kept.append(word)
            is_value = False
    return kept


def _read_settings(text: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of `a=b,c=[d,e]`."""
    for key, value in SETTING.findall(text):
        yield key.strip(), value.strip().removeprefix("[").removesuffix("]")


def _read_count(options: Options, option: str, span: Span) -> int:
    """Return the number of partitions or replicas; -1, the brokers' own, without the option. Raises Invalid."""
    value = next(iter(options.get(option, ())), "-1")
    if re.fullmatch(r"-1|[1-9]\d{0,5}", value) is None:
        raise file_error(f"{option} {value} is not a number", span)
    return int(value)


def _read_entity(options: Options) -> dict[str, str | None]:
    """Return the names of the entity by their types; None is the default."""
    names = list(options.get("--entity-name", ()))
    entity: dict[str, str | None] = {}
    for kind in options.get("--entity-type", ()):
        entity[kind] = names.pop(0) if names else None
    for option, kind in (("--topic", "topics"), ("--user", "users"), ("--client", "clients"), ("--ip", "ips")):
        entity |= dict.fromkeys([kind], options[option][0]) if options.get(option) else {}
    for option, kind in (("--user-defaults", "users"), ("--client-defaults", "clients")):
        entity |= {kind: None} if option in options else {}
    return entity


def _note_others(program: str, options: Options, known: set[str], span: Span, imported: ImportedResources) -> None:
    for option in options.keys() - known:
        imported.note(f"{option} of {program} is not carried over", span)


COMMANDS: Final[Mapping[str, Callable[[Sequence[str], str, Span, ImportedResources], None]]] = {
    "kafka-topics": add_topics,
    "kafka-configs": add_configs,
    "kafka-acls": add_bindings,
    "curl": add_connector,
}
