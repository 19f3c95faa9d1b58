"""Build environments: one cluster with its Connect, from `kplan.yaml` or from the process's environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.diagnostics.codes.code import Code
from kplan.kinds.connector.names import DEFAULT
from kplan.kinds.expansion import Override
from kplan.kinds.schemas import read_schema
from kplan.kinds.topic import configs as catalog
from kplan.language.durations import seconds
from kplan.language.source import Document
from kplan.language.template import Scope, TemplateProblem, find_paths, is_template, render
from kplan.model import STATE_TOPIC, File, Guards, Target
from kplan.model.policies import Policy
from kplan.patterns import late_pattern
from kplan.project import secrets as keeping
from kplan.project.overrides import read_overrides
from kplan.project.process import AUTO_CREATE, ProcessSettings, read_client, read_settings
from kplan.values import dataclass

INTEGER_KEYS = ("attempts", "brokers", "partitions", "replication_factor")  # a process's environment holds only texts
PUBLIC_SETTINGS = late_pattern(  # settings that errors may show though they come from outside
    r"(?:^|\.)(?:bootstrap\.servers|url|location|username|protocol|mechanisms?|ca|certificate|key|principal"
    r"|group_id|internal_topics|token_url|client_id|scope|proxy|region|role|profile)\Z"
)
PLACEHOLDER_URL = "http://replaced"  # in place of an address until templates are rendered
UNKNOWN_URL = "http://unknown"  # of a server that is not contacted
NOTIFY = "KPLAN_NOTIFY"  # a webhook, with or without a kplan.yaml
DEFAULT_TRIGGERS = ("failure", "rollback", "recovery")  # ends of runs that receivers are notified of
UNSET_VARIABLE = late_pattern(r"there is no '(\w+)' here")
OMITTED = object()
ANY_PLUGIN = "any"
OPTIONAL_SECTIONS = (
    "kafka",
    "connect",
    "schema_registry",
    "authorizer",
    "state",
    "timeouts",
    "retry",
    "reassign",
    "notify",
    "simulated",
)  # none is "not set"
SECRET_SECTIONS = ("kafka", "connect", "schema_registry", "notify", "variables")
ADDRESS_SETTINGS = (
    "bootstrap.servers",
    "url",
    "connect_url",
    "group_id",
    "internal_topics",
)  # plans and the state contain them
URL_SETTINGS = ("url", "webhook", "token_url", "proxy")
LINK_PLACEHOLDERS = ("name", "server", "env")
OIDC = "oidc"  # the only options of a Connect that are a block of their own
ADDRESS_KEYS = (("kafka", "bootstrap.servers"), ("connect", "url"))


@dataclass(frozen=True, slots=True)
class Simulated:
    """Hold what a simulated cluster is like: how many brokers it has, what fails on it, and what it cannot do."""

    brokers: int = 3
    fail: tuple[str, ...] = ()
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    connects: tuple[str, ...] = (DEFAULT,)  # aliases
    plugins: tuple[str, ...] | None = None  # classes beside the known ones; None is any
    tiered_storage: bool = True

    def has(self, capability: str) -> bool:
        """Whether the cluster has a capability, such as an `authorizer`, `scram` users or `quotas`."""
        return self.capabilities.get(capability, True)

    @property
    def missing(self) -> frozenset[str]:
        """Return the capabilities that it lacks."""
        return frozenset(name for name, is_there in self.capabilities.items() if not is_there)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Describe a webhook and its triggers: ends of runs, blocked plans, failed connectors, drift."""

    url: str = field(repr=False)  # its path often is a secret
    when: tuple[str, ...] = DEFAULT_TRIGGERS


@dataclass(frozen=True, slots=True)
class Environment:
    """Hold what is needed to reach one cluster. Paths are as written, relative to `folder`; times in seconds.

    `secrets` are the values that came from outside (`env.X`) or have a password-like key: they are masked.
    The state is in `sqlite` where that is given, else in the cluster's `kafka_topic`; a simulated cluster's is a file.
    """

    name: str
    folder: str = "."
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect: Mapping[str, Any] = field(default_factory=dict, repr=False)  # the default one
    other_connects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)  # by alias
    schema_registry: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sqlite: str = ""
    kafka_topic: str = STATE_TOPIC
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fills: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # path -> (value, KAFKA_TOPIC_…)
    guards: Guards = Guards()
    policies: tuple[Policy, ...] = ()  # the project's; those of other environments, too
    request_timeout: float = 30.0
    settle_timeout: float = 120.0
    session_timeout: float = 10.0  # a killed holder keeps the lock in Kafka for so long
    reassign_timeout: float = 3600.0  # for replicas that are moved to be in sync
    throttle: int | None = None  # bytes a second of a broker for replicas that are moved; None: any
    attempts: int = 3
    delay: float = 2.0
    notify: tuple[Receiver, ...] = ()
    simulated: Simulated | None = None
    principal: str = ""  # kplan's own, as the file says it
    is_super_user: bool = False  # whether kplan's own user is one, as the file says it
    login: Mapping[str, Any] = field(default_factory=dict)  # to a cloud's brokers, by its name
    login_check: bool = False  # whether a plan tries the password of every user
    allows_by_default: bool | None = None  # the brokers' `allow.everyone.if.no.acl.found`; None: not known
    file: File | None = None
    client_places: Mapping[str, Span] = field(default_factory=dict, repr=False)  # of `kafka:` ("") and its settings
    secrets: tuple[str, ...] = field(default=(), repr=False)
    passwords: tuple[str, ...] = field(default=(), repr=False)  # those of the secrets that are certainly secret
    providers: Mapping[str, keeping.Provider] = field(default_factory=dict, repr=False)  # of secrets, by name
    links: Mapping[str, str] = field(default_factory=dict)  # to a user interface, by kind
    overrides: Mapping[str, Mapping[str, Override]] = field(default_factory=dict)  # of resources, by section and name

    @property
    def bootstrap(self) -> str:
        return "simulated:9092" if self.simulated else self.kafka.get("bootstrap.servers", "")

    @property
    def has_brokers(self) -> bool:
        return bool(self.simulated or self.kafka)

    @property
    def has_connect(self) -> bool:
        return bool(self.simulated or self.connect)

    @property
    def connects(self) -> tuple[str, ...]:
        """Return the aliases of the Connect clusters, the default one's first."""
        if self.simulated:
            return self.simulated.connects
        return (DEFAULT, *self.other_connects) if self.connect else ()

    @property
    def connect_group_ids(self) -> Mapping[str, str]:
        """Return each Connect's `group.id`, as far as it is known, by alias; that of the default one is empty."""
        given = {"": self.connect, **self.other_connects}
        return {alias: str(options["group_id"]) for alias, options in given.items() if options.get("group_id")}

    @property
    def internal_topics(self) -> frozenset[str]:
        """Return the topics in which Connect's workers keep their state, as far as the file names them."""
        clusters = (self.connect, *self.other_connects.values())
        return frozenset(str(name) for options in clusters for name in options.get("internal_topics") or ())

    @property
    def has_registry(self) -> bool:
        return bool(self.simulated or self.schema_registry)

    @property
    def registry_url(self) -> str:
        """Return the registry's address as the workers of Connect reach it; empty where there is none."""
        if self.simulated:
            return "http://simulated:8081"
        url = self.schema_registry.get("connect_url") or self.schema_registry.get("url") or ""
        return ",".join(url) if isinstance(url, list) else str(url)

    @property
    def own_principal(self) -> str:
        """Return the principal of kplan's own user, as far as it is given or the client's settings show it; else
        empty.
        """
        if self.simulated:
            return self.principal or "User:kplan"
        if self.principal or not self.kafka:
            return self.principal
        from kplan.kinds.acl.permissions import UNKNOWN_PRINCIPALS, find_principal

        principal = find_principal(self.kafka)
        return "" if principal in UNKNOWN_PRINCIPALS else principal


def list_names(document: Document) -> tuple[str, ...]:
    return tuple(document.data.get("environments") or {})


def choose_default_name(document: Document | None, broken_names: Sequence[str] = ()) -> str:
    """Return the default environment's name. `broken_names`: those of the file that are not in the document."""
    if document is None:
        return "local"
    all_names = tuple(dict.fromkeys((*list_names(document), *broken_names)))
    return str(document.data.get("default") or (all_names[0] if len(all_names) == 1 else "local"))


def build_environment(
    document: Document,
    name: str,
    process: Mapping[str, str],
    file: File | None = None,
    folder: str = ".",
    offline_target: Target | None = None,
    broken_names: Sequence[str] = (),
    addresses: tuple[str, str] = ("", ""),
    outputs: keeping.ProviderOutputs | None = None,
) -> tuple[Environment | None, list[Diagnostic]]:
    """Build the environment `name` of a `kplan.yaml` that meets its schema. `broken_names`: further names in the file.

    `addresses` of brokers and Connect replace those of the file where they are not empty. With `offline_target` no
    server will be contacted: what `process` lacks to reach them is not a problem then, and `offline_target` has their
    addresses. `outputs` are those of the providers of secrets; without them, or offline, no provider is asked.
    """
    if name not in list_names(document):
        from kplan.language.variables import _nearest

        all_names = tuple(dict.fromkeys((*list_names(document), *broken_names)))
        return None, [
            error(
                codes.K205,
                "there is no such environment",
                name,
                help=f"known: {', '.join(all_names)}{_nearest(name, dict.fromkeys(all_names))}",
                span=document.key_at("environments"),
            )
        ]
    source = keeping.SecretSource(
        keeping.read_providers(document.data.get("secrets") or {}),
        folder,
        process,
        outputs or keeping.ProviderOutputs(),
        offline_target is not None or outputs is None,
    )
    reader = _Reader(document, process, offline_target, source)
    written = _replace_addresses(document.data["environments"][name] or {}, addresses, PLACEHOLDER_URL)
    data = reader.render_tree(written, ("environments", name))
    if not reader.problems:
        reader.problems += _check_rendered(document, name, data)
    if reader.problems:
        return None, reader.problems
    settings = read_settings(process)
    environment = _make_environment(name, _replace_addresses(data, addresses), reader, file, folder)
    return apply_settings(environment, settings), [*reader.problems, *settings.problems]


def _replace_addresses(data: Any, addresses: tuple[str, str], placeholder: str = "") -> Any:
    """Return the environment's data with these addresses of brokers and Connect, or with `placeholder`."""
    for (section, key), address in zip(ADDRESS_KEYS, addresses, strict=True):
        if address and isinstance(data, dict):
            own = data.get(section) or {}
            value = placeholder or address
            own = {**own, DEFAULT: {**own[DEFAULT], key: value}} if own.get(DEFAULT) else {**own, key: value}
            data = {**data, section: own}
            data = {k: v for k, v in data.items() if k != "simulated"}
    return data


def _check_rendered(document: Document, name: str, data: Any) -> list[Diagnostic]:
    """Check the data against the schema again after its templates are rendered."""
    from kplan.language import schema

    rendered = {**document.data, "environments": {name: data}}
    return list(schema.check(replace(document, data=rendered), read_schema("environments.v1")))


class _Reader:
    """Render `{{ env.X }}` and collect the values that came from there."""

    def __init__(
        self, document: Document, process: Mapping[str, str], unasked: Target | None, source: keeping.SecretSource
    ) -> None:
        self.document = document
        self.offline_target = unasked
        self.source = source
        self.scope = Scope({"env": dict(process)})
        self.problems: list[Diagnostic] = []
        self.secrets: list[str] = []
        self.passwords: list[str] = []  # those of providers

    def render_tree(self, data: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(data, dict):
            rendered = {key: self.render_tree(value, (*path, key)) for key, value in data.items()}
            return {key: value for key, value in rendered.items() if value is not OMITTED}
        if isinstance(data, list):
            items = [self.render_tree(value, (*path, i)) for i, value in enumerate(data)]
            return [item for item in items if item is not OMITTED]
        if not is_template(data):
            return data
        if keeping.PREFIX in data and (paths := find_paths(data, keeping.PREFIX)):
            return self.render_secrets(data, path, paths)
        try:
            value = render(data, self.scope)
        except TemplateProblem as e:
            if self.offline_target is not None and UNSET_VARIABLE.search(str(e)) and _is_optional_offline(path):
                return _make_placeholder(path, self.offline_target)
            self.report(
                path,
                codes.K201,
                "a template cannot be rendered",
                UNSET_VARIABLE.sub(r"the process's environment has no \1", str(e)),
                "set it, or write the value",
            )
            return None
        if value is None and path[2] in OPTIONAL_SECTIONS:
            return OMITTED  # `{{ env.CA | default(none) }}`
        if path[-1] in INTEGER_KEYS and isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
            return int(value)
        if isinstance(value, str) and len(value) >= 4 and not PUBLIC_SETTINGS.search(_find_key(path)):
            self.secrets.append(value)
        return value

    def render_secrets(self, text: str, path: tuple[str | int, ...], paths: Sequence[tuple[str, ...]]) -> Any:
        """Return the text with the secrets of providers in it."""
        if path[2] not in SECRET_SECTIONS or _find_key(path) in ADDRESS_SETTINGS:
            detail = ".".join(map(str, path[2:]))
            help = "plans and the state contain this setting; use `env.NAME` or write the value"
            self.report(path, codes.K209, "a sensitive value would be shown", detail, help)
            return None
        values: dict[tuple[str, ...], str] = {}
        try:
            for each in paths:
                value = self.source.find(each)
                if value is None:
                    return _make_placeholder(path, self.offline_target or Target())
                values[each] = value
            rendered = str(render(text, self.scope.with_names(secret=keeping.PathTree(values))))
        except keeping.SecretProblem as e:
            self.problems.append(e.at(self.document.at(*path)))
            return None
        except TemplateProblem as e:
            self.report(path, codes.K201, "a template cannot be rendered", str(e), e.help)
            return None
        self.source.outputs.learn([rendered])
        self.passwords += [value for value in (*values.values(), rendered) if len(value) >= 4]
        return rendered

    def report(self, path: tuple[str | int, ...], code: Code, summary: str, detail: str, help: str = "") -> None:
        self.problems.append(error(code, summary, detail, help=help, span=self.document.at(*path)))

    def read_seconds(self, data: Mapping[str, Any], path: tuple[str, ...], default: float) -> float:
        value = (data.get(path[-2]) or {}).get(path[-1])
        if value is None:
            return default
        try:
            return seconds(value)
        except ValueError as e:
            self.report(path, codes.K203, "not a duration", str(e))
            return default

    def read_throttle(self, data: Mapping[str, Any], path: tuple[str, ...]) -> int | None:
        """Return bytes a second; None if it is not set."""
        value = (data.get(path[-2]) or {}).get(path[-1])
        if value is None:
            return None
        try:
            rate = int(catalog.parse("retention.bytes", value))
        except ValueError as e:
            self.report(path, codes.K203, "not a size", str(e))
            return None
        if rate < 1024:
            self.report(path, codes.K203, "not a rate at which anything is copied", f"{value} a second", "write 50MiB")
        return rate


def _is_optional_offline(path: tuple[str | int, ...]) -> bool:
    """Return whether a plan can be made without the value at `path`."""
    if path[2] == "connect" and _find_key(path) in ("group_id", "internal_topics"):  # bindings and refusals need them
        return False
    is_optional = path[2] in ("kafka", "login", "connect", "schema_registry", "state", "notify")
    return is_optional or (path[2] == "variables" and len(path) == 4)


def _find_key(path: tuple[str | int, ...]) -> str:
    """Return the last key of the path, which is that of the list where the path ends at an item."""
    return next(part for part in reversed(path) if isinstance(part, str))


def _make_placeholder(path: tuple[str | int, ...], offline_target: Target) -> Any:
    """Return a placeholder for an unknown value. A variable is omitted, so the stack decides whether it is needed."""
    if path[2] == "variables":
        return OMITTED
    key = _find_key(path)
    alias = next((str(part) for part in path[3:4] if part not in (DEFAULT, key)), "")
    addresses = {
        ("kafka", "bootstrap.servers"): offline_target.bootstrap,
        ("connect", "url"): offline_target.find_connect(alias)[0],
    }
    return addresses.get((str(path[2]), key)) or (UNKNOWN_URL if key in URL_SETTINGS else "?")  # too short to be masked


def _make_simulated(options: Mapping[str, Any]) -> Simulated:
    return Simulated(
        int(options.get("brokers", 3)),
        tuple(options.get("fail") or ()),
        options.get("capabilities") or {},
        tuple(dict.fromkeys((DEFAULT, *(options.get("connects") or ())))),
        None if options.get("plugins") in (None, ANY_PLUGIN) else tuple(options["plugins"]),
        bool(options.get("tiered_storage", True)),
    )


def _make_environment(name: str, data: dict[str, Any], reader: _Reader, file: File | None, folder: str) -> Environment:
    at = ("environments", name)
    kafka = _read_client_settings(reader, (*at, "login"), data)
    connect, other_connects = split_connects(data.get("connect") or {})
    registry = data.get("schema_registry") or {}
    _refuse_same_connects(reader, (*at, "connect"), {DEFAULT: connect, **other_connects})
    logins = _read_token_logins(reader, at, connect, other_connects, registry)
    passwords = [*_collect_secrets(kafka, connect, *other_connects.values(), registry, *logins), *reader.passwords]
    state = data.get("state") or {}
    retry = data.get("retry") or {}
    authorizer = data.get("authorizer") or {}
    simulated = None if kafka or connect else _make_simulated(data.get("simulated") or {})
    return Environment(
        name=name,
        folder=folder,
        kafka=kafka,
        login=data.get("login") or {},
        connect=connect,
        other_connects=other_connects,
        schema_registry=registry,
        sqlite=str(state.get("sqlite") or ""),
        kafka_topic=str(state.get("kafka_topic") or STATE_TOPIC),
        variables=data.get("variables") or {},
        defaults=data.get("defaults") or {},
        guards=read_guards(data.get("guards") or {}),
        request_timeout=reader.read_seconds(data, (*at, "timeouts", "request"), 30.0),
        settle_timeout=reader.read_seconds(data, (*at, "timeouts", "settle"), 120.0),
        session_timeout=reader.read_seconds(data, (*at, "timeouts", "session"), 10.0),
        reassign_timeout=reader.read_seconds(data, (*at, "timeouts", "reassign"), 3600.0),
        throttle=reader.read_throttle(data, (*at, "reassign", "throttle")),
        attempts=int(retry.get("attempts", 3)),
        delay=reader.read_seconds(data, (*at, "retry", "delay"), 2.0),
        notify=tuple(
            Receiver(str(receiver["webhook"]), tuple(receiver.get("when") or DEFAULT_TRIGGERS))
            for receiver in data.get("notify") or ()
        ),
        simulated=simulated,
        principal=str(authorizer.get("principal") or ""),
        is_super_user=bool(authorizer.get("super_user")),
        login_check=bool(data.get("login_check")),
        allows_by_default=authorizer.get("allow_everyone_if_no_acl"),
        file=file,
        client_places=_find_client_places(reader.document, (*at, "kafka"), kafka),
        secrets=tuple(dict.fromkeys([*reader.secrets, *passwords, *_collect_webhook_secrets(data)])),
        passwords=tuple(passwords),
        providers=reader.source.providers,
        links=_read_links(reader, (*at, "links"), data.get("links") or {}),
        overrides=read_overrides(reader.document, at, data),
    )


def _read_links(reader: _Reader, path: tuple[str, ...], links: Mapping[str, str]) -> Mapping[str, str]:
    """Return the patterns of links; report the placeholders that have no meaning."""
    import difflib

    for kind, pattern in links.items():
        for placeholder in re.findall(r"\{([^{}]*)\}", pattern):
            if placeholder not in LINK_PLACEHOLDERS:
                close = difflib.get_close_matches(placeholder, LINK_PLACEHOLDERS, 1)
                known = ", ".join(f"{{{each}}}" for each in LINK_PLACEHOLDERS)
                help = f"did you mean {{{close[0]}}}?" if close else f"known: {known}"
                summary = "an unknown placeholder of a link"
                reader.report((*path, kind), codes.K203, summary, f"{{{placeholder}}} in {pattern}", help)
    return links


def _read_client_settings(reader: _Reader, path: tuple[str, ...], data: Mapping[str, Any]) -> dict[str, str]:
    """Return the Kafka client's settings with those that a login to a cloud needs; report others than these."""
    kafka = {key: _format_value(value) for key, value in (data.get("kafka") or {}).items() if value is not None}
    if not data.get("login"):
        return kafka
    if not kafka:
        reader.report(path, codes.K203, "a login without brokers", "", "name them: `kafka: {bootstrap.servers: …}`")
        return kafka
    protocol, mechanism = kafka.get("security.protocol", ""), kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms"))
    wrong = {
        f"security.protocol: {protocol}": protocol and protocol.upper() not in ("SASL_SSL", "SASL_PLAINTEXT"),
        f"sasl.mechanism: {mechanism}": mechanism and mechanism.upper() != "OAUTHBEARER",
        "sasl.oauthbearer.method: oidc": kafka.get("sasl.oauthbearer.method", "default").lower() != "default",
    }
    for setting in (text for text, is_wrong in wrong.items() if is_wrong):
        help = "remove it: `login:` sets SASL_SSL and OAUTHBEARER"
        reader.report(path, codes.K203, "a setting of the Kafka client contradicts the login", setting, help)
    usual = {"security.protocol": "SASL_SSL", **({} if mechanism else {"sasl.mechanism": "OAUTHBEARER"})}
    return {**usual, **kafka}


def split_connects(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    """Return the options of the default Connect, and those of the others by alias."""
    named = {key: value for key, value in data.items() if isinstance(value, dict) and key != OIDC}
    default = named.pop(DEFAULT, None)
    return default or {key: value for key, value in data.items() if key not in named}, named


def _read_token_logins(
    reader: _Reader,
    path: tuple[str, ...],
    connect: Mapping[str, Any],
    other_connects: Mapping[str, Mapping[str, Any]],
    registry: Mapping[str, Any],
) -> list[Mapping[str, Any]]:
    """Return the blocks `oidc:` of the servers, and their further parameters; report a second login next to one."""
    servers = {"connect": connect, **{f"connect.{alias}": each for alias, each in other_connects.items()}}
    servers["schema_registry"] = registry
    blocks: list[Mapping[str, Any]] = []
    for section, options in servers.items():
        login = options.get(OIDC)
        if not login:
            continue
        blocks += [login, {f"secret {key}": value for key, value in (login.get("parameters") or {}).items()}]
        others = [key for key in ("username", "password", "token") if options.get(key)]
        if others:
            detail = f"{section} has `{OIDC}` and `{others[0]}`"
            span = reader.document.key_at(*_find_login(reader.document, path, section))
            reader.problems.append(
                error(codes.K203, "two logins for one server", detail, help="remove one of the two", span=span)
            )
    return blocks


def _find_login(document: Document, path: tuple[str, ...], section: str) -> tuple[str, ...]:
    """Return the path of the section's `oidc:`; that of the default Connect has two forms."""
    plain = (*path, *section.split("."), OIDC)
    return plain if plain in document.spans else (*path, section, DEFAULT, OIDC)


def _refuse_same_connects(reader: _Reader, path: tuple[str, ...], connects: Mapping[str, Mapping[str, Any]]) -> None:
    """Report two aliases with one worker: a connector that moves between them would be deleted as its own source."""
    seen: dict[str, str] = {}
    for alias, options in connects.items():
        urls = options.get("url") or []
        for url in urls if isinstance(urls, list) else str(urls).split(","):
            if url == UNKNOWN_URL:
                continue
            other = seen.setdefault(url.strip().rstrip("/"), alias)
            if other != alias:
                detail = f"{alias} and {other}: {url.strip()}"
                reader.report(
                    (*path, alias), codes.K203, "two aliases name one Connect", detail, "remove one of the two"
                )


def _find_client_places(document: Document, path: tuple[str, ...], settings: Mapping[str, str]) -> dict[str, Span]:
    """Return the places of the client's settings by their names, and of their block under ""."""
    if path not in document.spans:
        return {}
    return {"": document.key_at(*path)} | {key: document.at(*path, key) for key in settings}


def _format_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _collect_secrets(*maps: Mapping[str, Any]) -> list[str]:
    """Return the values of passwords, and those within a URL."""
    from kplan.model import CREDENTIALS, is_sensitive_key

    secrets = [str(v) for m in maps for k, v in m.items() if is_sensitive_key(k)]
    urls = [
        secrets[0] for m in maps for v in m.values() for secrets in CREDENTIALS.finditer(str(v)) if "://" in secrets[0]
    ]
    secrets += [url.rstrip("@").partition("://")[2].partition(":")[2] for url in urls]
    return [value for value in secrets if len(value) >= 4]


def add_receiver(environment: Environment, process: Mapping[str, str]) -> Environment:
    """Add the receiver that KPLAN_NOTIFY names to the environment."""
    url = process.get(NOTIFY, "").strip()
    if not url:
        return environment
    secrets = _collect_webhook_secrets({"notify": [{"webhook": url}]})
    return replace(environment, notify=(*environment.notify, Receiver(url)),
                   secrets=tuple(dict.fromkeys([*environment.secrets, *secrets])))  # fmt: skip


def _collect_webhook_secrets(data: Mapping[str, Any]) -> list[str]:
    """Return what makes a webhook's address a secret: all that follows the host, as HTTP clients log it."""
    matches = (re.match(r"\w+://[^/]+(/.+)", str(match["webhook"])) for match in data.get("notify") or ())
    return [match[1] for match in matches if match]


GENERAL_GUARDS = ("create", "max_changes", "naming")  # each other key of `guards:` is a kind of resource


def read_guards(data: Mapping[str, Any]) -> Guards:
    """Read a `guards:` block."""
    max_share = data.get("max_changes")
    if isinstance(max_share, str):
        max_share = float(max_share.rstrip("% ")) / 100
    elif max_share is not None:
        max_share = float(max_share)
    return Guards(
        bool(data.get("create", True)),
        max_share,
        (data["naming"],) if data.get("naming") else (),
        {kind: (schema,) for kind, schema in data.items() if kind not in GENERAL_GUARDS and schema},
    )


def apply_settings(environment: Environment, settings: ProcessSettings) -> Environment:
    """Apply the variables of the process, which take precedence over kplan.yaml."""
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


def make_without_file(
    name: str, process: Mapping[str, str], folder: str, bootstrap: str = "", connect: str = ""
) -> tuple[Environment, list[Diagnostic]]:
    """Make the environment without a `kplan.yaml`: from these addresses and the KAFKA_* variables, or simulated.

    With `connect` alone there are no brokers: its topics, ledger and journal are not known.
    """
    settings = read_settings(process)
    problems = list(settings.problems)
    environment = Environment(name, folder=folder, simulated=Simulated())
    if bootstrap or connect:
        client, client_problems = read_client(process) if bootstrap else ({}, [])
        problems += client_problems
        kafka = {"bootstrap.servers": bootstrap, **client} if bootstrap else {}
        secrets = tuple(_collect_secrets(kafka, {"url": connect}))
        options = {"url": connect} if connect else {}
        environment = Environment(name, folder, kafka, options, secrets=secrets, passwords=secrets)
    return apply_settings(environment, settings), problems
