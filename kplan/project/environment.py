"""Environments: one cluster with its Connect, from `kplan.yaml` or from the process's environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.diagnostics.codes.code import Code
from kplan.kinds.topic import configs as catalog
from kplan.language.durations import seconds
from kplan.language.source import Document
from kplan.language.template import Scope, TemplateProblem, is_template, render
from kplan.model import STATE_TOPIC, File, Guards, Target
from kplan.project.process import AUTO_CREATE, ProcessSettings, read_client, read_settings

INTEGERS = ("attempts", "brokers", "partitions", "replication_factor")  # a process's environment holds texts alone
SHOWN = re.compile(  # settings that may be told though they come from outside: errors are about them
    r"(?:^|\.)(?:bootstrap\.servers|url|location|username|protocol|mechanisms?|ca|certificate|key)\Z"
)
REPLACED = "http://replaced"  # stands for an address until templates are rendered
NOTIFY = "KPLAN_NOTIFY"  # a webhook, with or without a kplan.yaml
ENDS = ("failure", "rollback", "recovery")  # of runs, that receivers are told of
UNSET = re.compile(r"there is no '(\w+)' here")
LEFT_OUT = object()
OPTIONAL = ("kafka", "connect", "state", "timeouts", "retry", "reassign", "notify", "simulated")  # none is "not set"
ADDRESSES = (("kafka", "bootstrap.servers"), ("connect", "url"))


@dataclass(frozen=True, slots=True)
class Simulated:
    brokers: int = 3
    fail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receiver:
    """A webhook, and what it is told of: ends of runs, blocked plans, failed connectors, drift."""

    url: str = field(repr=False)  # its path often is a secret
    when: tuple[str, ...] = ENDS


@dataclass(frozen=True, slots=True)
class Environment:
    """What is needed to reach one cluster. Paths are as written, relative to `folder`; times in seconds.

    `secrets` are the values that came from outside (`env.X`) or stand under a password-like key: they are masked.
    The state is in `sqlite` where that is given, else in the cluster's `kafka_topic`; a simulated cluster's is a file.
    """

    name: str
    folder: str = "."
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sqlite: str = ""
    kafka_topic: str = STATE_TOPIC
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fills: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # path -> (value, KAFKA_TOPIC_…)
    guards: Guards = Guards()
    request_timeout: float = 30.0
    settle_timeout: float = 120.0
    session_timeout: float = 10.0  # how long a killed holder keeps the lock in Kafka
    reassign_timeout: float = 3600.0  # for replicas that are moved to be in sync
    throttle: int | None = None  # bytes a second of a broker for replicas that are moved; None: any
    attempts: int = 3
    delay: float = 2.0
    notify: tuple[Receiver, ...] = ()
    simulated: Simulated | None = None
    file: File | None = None
    client_places: Mapping[str, Span] = field(default_factory=dict, repr=False)  # of `kafka:` ("") and its settings
    secrets: tuple[str, ...] = field(default=(), repr=False)
    passwords: tuple[str, ...] = field(default=(), repr=False)  # those of the secrets that are certainly some

    @property
    def bootstrap(self) -> str:
        return "simulated:9092" if self.simulated else self.kafka.get("bootstrap.servers", "")

    @property
    def has_brokers(self) -> bool:
        return bool(self.simulated or self.kafka)

    @property
    def has_connect(self) -> bool:
        return bool(self.simulated or self.connect)


def names(document: Document) -> tuple[str, ...]:
    return tuple(document.data.get("environments") or {})


def default_name(document: Document | None, besides: Sequence[str] = ()) -> str:
    """The environment that counts where none is named. `besides`: those of the file that are not in the document."""
    if document is None:
        return "local"
    known = tuple(dict.fromkeys((*names(document), *besides)))
    return str(document.data.get("default") or (known[0] if len(known) == 1 else "local"))


def build(
    document: Document,
    name: str,
    process: Mapping[str, str],
    file: File | None = None,
    folder: str = ".",
    unasked: Target | None = None,
    besides: Sequence[str] = (),
    addresses: tuple[str, str] = ("", ""),
) -> tuple[Environment | None, list[Diagnostic]]:
    """The environment `name` of a `kplan.yaml` that meets its schema. `besides`: names that it has as well.

    `addresses` of brokers and Connect replace those of the file where they are not empty. With `unasked` no server
    will be asked: what `process` lacks to reach them is no problem then, and their addresses are those of `unasked`.
    """
    if name not in names(document):
        from kplan.language.variables import _nearest

        known = tuple(dict.fromkeys((*names(document), *besides)))
        return None, [
            error(
                codes.K205,
                "there is no such environment",
                name,
                help=f"known: {', '.join(known)}{_nearest(name, dict.fromkeys(known))}",
                span=document.key_at("environments"),
            )
        ]
    reader = _Reader(document, process, unasked)
    written = _with_addresses(document.data["environments"][name] or {}, addresses, REPLACED)
    data = reader.tree(written, ("environments", name))
    if not reader.problems:
        reader.problems += _misfits(document, name, data)
    if reader.problems:
        return None, reader.problems
    settings = read_settings(process)
    environment = _from_data(name, _with_addresses(data, addresses), reader, file, folder)
    return with_settings(environment, settings), [*reader.problems, *settings.problems]


def _with_addresses(data: Any, addresses: tuple[str, str], stand_in: str = "") -> Any:
    """The environment's data with these addresses of brokers and Connect, or with `stand_in` in their places."""
    for (section, key), address in zip(ADDRESSES, addresses, strict=True):
        if address and isinstance(data, dict):
            data = {**data, section: {**(data.get(section) or {}), key: stand_in or address}}
            data = {k: v for k, v in data.items() if k != "simulated"}
    return data


def _misfits(document: Document, name: str, data: Any) -> list[Diagnostic]:
    """What does not meet the schema now that its templates are rendered."""
    from kplan.language import schema

    rendered = {**document.data, "environments": {name: data}}
    return list(schema.check(replace(document, data=rendered), schema.read_schema("environments.v1")))


class _Reader:
    """Renders `{{ env.X }}` and remembers what came from there."""

    def __init__(self, document: Document, process: Mapping[str, str], unasked: Target | None = None) -> None:
        self.document = document
        self.unasked = unasked
        self.scope = Scope({"env": dict(process)})
        self.problems: list[Diagnostic] = []
        self.secrets: list[str] = []

    def tree(self, data: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(data, dict):
            found = {key: self.tree(value, (*path, key)) for key, value in data.items()}
            return {key: value for key, value in found.items() if value is not LEFT_OUT}
        if isinstance(data, list):
            items = [self.tree(value, (*path, i)) for i, value in enumerate(data)]
            return [item for item in items if item is not LEFT_OUT]
        if not is_template(data):
            return data
        try:
            value = render(data, self.scope)
        except TemplateProblem as e:
            if self.unasked is not None and UNSET.search(str(e)) and _not_needed(path):
                return _stand_in(path, self.unasked)
            self.problem(
                path,
                codes.K201,
                "a template cannot be rendered",
                UNSET.sub(r"the process's environment has no \1", str(e)),
                "set it, or write the value",
            )
            return None
        if value is None and path[2] in OPTIONAL:
            return LEFT_OUT  # `{{ env.CA | default(none) }}`
        if path[-1] in INTEGERS and isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
            return int(value)
        if isinstance(value, str) and len(value) >= 4 and not SHOWN.search(str(path[-1])):
            self.secrets.append(value)
        return value

    def problem(self, path: tuple[str | int, ...], code: Code, summary: str, detail: str, help: str = "") -> None:
        self.problems.append(error(code, summary, detail, help=help, span=self.document.at(*path)))

    def seconds(self, data: Mapping[str, Any], path: tuple[str, ...], default: float) -> float:
        value = (data.get(path[-2]) or {}).get(path[-1])
        if value is None:
            return default
        try:
            return seconds(value)
        except ValueError as e:
            self.problem(path, codes.K203, "not a duration", str(e))
            return default

    def throttle(self, data: Mapping[str, Any], path: tuple[str, ...]) -> int | None:
        """Bytes a second; None where nothing is said."""
        value = (data.get(path[-2]) or {}).get(path[-1])
        if value is None:
            return None
        try:
            found = int(catalog.parse("retention.bytes", value))
        except ValueError as e:
            self.problem(path, codes.K203, "not a size", str(e))
            return None
        if found < 1024:
            self.problem(path, codes.K203, "not a rate at which anything is copied", f"{value} a second", "write 50MiB")
        return found


def _not_needed(path: tuple[str | int, ...]) -> bool:
    """Whether a plan can be made without what stands there."""
    return path[2] in ("kafka", "connect", "state", "notify") or (path[2] == "variables" and len(path) == 4)


def _stand_in(path: tuple[str | int, ...], unasked: Target) -> Any:
    """For what is not known here. A variable is left out, so that the stack tells whether it is needed."""
    if path[2] == "variables":
        return LEFT_OUT
    key = next(part for part in reversed(path) if isinstance(part, str))
    known = {"bootstrap.servers": unasked.bootstrap, "url": unasked.connect_url}
    return known.get(key) or ("http://unknown" if key in ("url", "webhook") else "?")  # too short to be masked


def _from_data(name: str, data: dict[str, Any], reader: _Reader, file: File | None, folder: str) -> Environment:
    at = ("environments", name)
    kafka = {key: _text(value) for key, value in (data.get("kafka") or {}).items() if value is not None}
    connect = data.get("connect") or {}
    state = data.get("state") or {}
    retry = data.get("retry") or {}
    simulated = None
    if not kafka and not connect:
        options = data.get("simulated") or {}
        simulated = Simulated(int(options.get("brokers", 3)), tuple(options.get("fail") or ()))
    return Environment(
        name=name,
        folder=folder,
        kafka=kafka,
        connect=connect,
        sqlite=str(state.get("sqlite") or ""),
        kafka_topic=str(state.get("kafka_topic") or STATE_TOPIC),
        variables=data.get("variables") or {},
        defaults=data.get("defaults") or {},
        guards=guards(data.get("guards") or {}),
        request_timeout=reader.seconds(data, (*at, "timeouts", "request"), 30.0),
        settle_timeout=reader.seconds(data, (*at, "timeouts", "settle"), 120.0),
        session_timeout=reader.seconds(data, (*at, "timeouts", "session"), 10.0),
        reassign_timeout=reader.seconds(data, (*at, "timeouts", "reassign"), 3600.0),
        throttle=reader.throttle(data, (*at, "reassign", "throttle")),
        attempts=int(retry.get("attempts", 3)),
        delay=reader.seconds(data, (*at, "retry", "delay"), 2.0),
        notify=tuple(
            Receiver(str(each["webhook"]), tuple(each.get("when") or ENDS)) for each in data.get("notify") or ()
        ),
        simulated=simulated,
        file=file,
        client_places=_client_places(reader.document, (*at, "kafka"), kafka),
        secrets=tuple(dict.fromkeys([*reader.secrets, *_secrets(kafka, connect), *_of_webhooks(data)])),
        passwords=tuple(_secrets(kafka, connect)),
    )


def _client_places(document: Document, path: tuple[str, ...], settings: Mapping[str, str]) -> dict[str, Span]:
    """Return where the settings of the client stand, by their names; under "" where the block of them stands."""
    if path not in document.spans:
        return {}
    return {"": document.key_at(*path)} | {key: document.at(*path, key) for key in settings}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _secrets(*maps: Mapping[str, Any]) -> list[str]:
    """The values of passwords, and those within a URL."""
    from kplan.model import CREDENTIALS, is_sensitive_key

    found = [str(v) for m in maps for k, v in m.items() if is_sensitive_key(k)]
    urls = [found[0] for m in maps for v in m.values() for found in CREDENTIALS.finditer(str(v)) if "://" in found[0]]
    found += [url.rstrip("@").partition("://")[2].partition(":")[2] for url in urls]
    return [value for value in found if len(value) >= 4]


def with_receiver(environment: Environment, process: Mapping[str, str]) -> Environment:
    """The environment, whose receivers have the one that KPLAN_NOTIFY names among them."""
    url = process.get(NOTIFY, "").strip()
    if not url:
        return environment
    secrets = _of_webhooks({"notify": [{"webhook": url}]})
    return replace(environment, notify=(*environment.notify, Receiver(url)),
                   secrets=tuple(dict.fromkeys([*environment.secrets, *secrets])))  # fmt: skip


def _of_webhooks(data: Mapping[str, Any]) -> list[str]:
    """What makes a webhook's address a secret: all that follows the host, as HTTP clients log it."""
    found = (re.match(r"\w+://[^/]+(/.+)", str(each["webhook"])) for each in data.get("notify") or ())
    return [each[1] for each in found if each]


GENERAL_GUARDS = ("create", "max_changes", "naming")  # each other key of `guards:` is a kind of resource


def guards(data: Mapping[str, Any]) -> Guards:
    """A `guards:` block as data."""
    share = data.get("max_changes")
    if isinstance(share, str):
        share = float(share.rstrip("% ")) / 100
    elif share is not None:
        share = float(share)
    return Guards(
        bool(data.get("create", True)),
        share,
        (data["naming"],) if data.get("naming") else (),
        {kind: (schema,) for kind, schema in data.items() if kind not in GENERAL_GUARDS and schema},
    )


def with_settings(environment: Environment, settings: ProcessSettings) -> Environment:
    """The environment with what variables of the process set, which goes before what kplan.yaml says."""
    guards, request = environment.guards, settings.request_timeout or environment.request_timeout
    if settings.create is False and guards.create:
        guards = replace(guards, create=False, create_source=AUTO_CREATE)
    return replace(
        environment,
        fills=settings.fills,
        guards=guards,
        request_timeout=request,
        settle_timeout=max(environment.settle_timeout, request if settings.request_timeout else 0.0),
        attempts=environment.attempts if settings.attempts is None else settings.attempts,
        delay=environment.delay if settings.delay is None else settings.delay,
    )


def without_file(
    name: str, process: Mapping[str, str], folder: str, bootstrap: str = "", connect: str = ""
) -> tuple[Environment, list[Diagnostic]]:
    """The environment without a `kplan.yaml`: of these addresses and the KAFKA_* variables, or a simulated one.

    With `connect` alone there are no brokers: its topics, ledger and journal are not known.
    """
    settings = read_settings(process)
    problems = list(settings.problems)
    environment = Environment(name, folder=folder, simulated=Simulated())
    if bootstrap or connect:
        client, wrong = read_client(process) if bootstrap else ({}, [])
        problems += wrong
        kafka = {"bootstrap.servers": bootstrap, **client} if bootstrap else {}
        secrets = tuple(_secrets(kafka, {"url": connect}))
        options = {"url": connect} if connect else {}
        environment = Environment(name, folder, kafka, options, secrets=secrets, passwords=secrets)
    return with_settings(environment, settings), problems
