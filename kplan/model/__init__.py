"""What can exist: resources, the stack that declares them, the live state, and the changes between the two."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

from kplan.diagnostics import KplanError, Span
from kplan.model.policies import Policy
from kplan.patterns import late_pattern
from kplan.values import dataclass

EMPTY: Mapping[str, Any] = MappingProxyType({})

STATE_TOPIC = "__kplan"

# Keys whose literal value is taken for a secret. Connect returns literals in plain text.
SENSITIVE_KEY = late_pattern(
    r"password|passphrase|secret|token(?!ize|\.|_url\b)|credential|private\.key|api[._-]?key|jaas\.config|basic\.auth\.user\.info"
    r"|ssl\.key(?:\.pem|store\.key)",
    re.IGNORECASE,
)
CREDENTIALS = late_pattern(r"://[^/\s:@]*:[^@\s/]+@|\b(?:password|passwd|pwd|secret|token)=[^;&\s]+", re.IGNORECASE)
REFERENCE = late_pattern(r"\$\{[^}]*\}")  # Connect's own: resolved on the worker


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """KIND/NAME. A name may have several parts, with slashes between them; each kind says what its names are."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Secret:
    """A sensitive value: `ref` says where it comes from and may be shown, `value` never is.

    `ref` is the text with `{{ var.NAME }}` in place of what is sensitive. It is empty for a secret that was read from
    a server; of another tool's file, it names the place that holds the value. `value` is None where it is unknown: in
    a saved plan, or with the variable unset.
    `fingerprint` is a keyed digest, kept where a key is at hand: `SCHEME:DIGEST`. `matches` tells whether a value is
    the secret's, where it was read from a place that keeps digests alone.
    """

    ref: str = ""
    value: str | None = field(default=None, repr=False)
    fingerprint: str = ""
    matches: Callable[[str], bool] | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return "(sensitive)"

    def signed(self, key: str | None) -> Secret:
        """Return the same secret with its keyed digest; without a key there is none."""
        if not key or self.value is None:
            return self
        digest = hmac.new(key.encode(), self.value.encode(), hashlib.sha256).hexdigest()
        return replace(self, fingerprint=f"hmac:{digest[:32]}")

    def same_as(self, other: Secret) -> bool | None:
        """Whether both hold the same value; None where that cannot be known."""
        if self.value is not None and other.value is not None:
            return self.value == other.value
        for kept, given in ((self, other), (other, self)):
            if kept.matches is not None and given.value is not None:
                return kept.matches(given.value)
        if self.fingerprint and self.fingerprint.partition(":")[0] == other.fingerprint.partition(":")[0]:
            return self.fingerprint == other.fingerprint
        return None


Text = str | Secret
Config = Mapping[str, Text]


@lru_cache(maxsize=4_096)
def is_sensitive_key(key: str) -> bool:
    return bool(SENSITIVE_KEY.search(key))


def conceal(key: str, value: str) -> Text:
    """Return `value`, as a Secret where its key is that of a secret or it holds credentials, Connect's `${…}` left
    aside.
    """
    literal = (REFERENCE.sub("", value) if "$" in value else value).strip()
    if literal and (is_sensitive_key(key) or CREDENTIALS.search(literal)):
        return Secret(value=value)
    return value


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a declared resource comes from.

    `spans` and `sources` are keyed like a diff's path: `/partitions`, `/config/retention.ms`; a source is words such
    as `stack default` or `KAFKA_TOPIC_PARTITIONS`. `note` says what made it: `for table a.b of connector/c`.
    """

    span: Span | None = None
    spans: Mapping[str, Span] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def at(self, path: str) -> Span | None:
        """Return where the setting stands, or the one that brought it in: `transforms` for `transforms.route.type`."""
        while path not in self.spans and "." in path:
            path = path.rpartition(".")[0]
        return self.spans.get(path, self.span)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a stack says about a resource, rather than what it is: how it may be changed, and to whom it belongs."""

    protect: bool | None = None
    ignore: frozenset[str] = frozenset()
    accept: frozenset[str] = frozenset()
    restart: str = "never"  # never | on-change | always
    restart_failed: tuple[int, float] | None = None  # attempts, delay in seconds
    new_tables: str = "none"  # none | incremental
    drop: frozenset[str] = frozenset()  # with it, in its database: slot, publication, publication=NAME
    team: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    description: str = ""

    def has(self, selector: Mapping[str, str]) -> bool:
        """Whether the resource has each of these labels; `team` counts as one."""
        own = {"team": self.team, **self.labels}
        return all(own.get(key) == value for key, value in selector.items())


USUAL = Rules()  # nearly every topic's
NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class Resource:
    """What every kind of resource has. Each kind has a subclass, which names the kind of its addresses."""

    kind: ClassVar[str]

    name: str
    origin: Origin = field(default=NOWHERE, compare=False, repr=False, kw_only=True)
    rules: Rules = field(default=USUAL, compare=False, repr=False, kw_only=True)

    @property
    def address(self) -> Address:
        return Address(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class Topic(Resource):
    """`config` holds what is set on the topic itself; -1 partitions or replicas: the broker's own default."""

    kind: ClassVar[str] = "topic"

    partitions: int = 1
    replication_factor: int = -1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connector(Resource):
    """`config` is all that Connect stores but `name`. `feeds` and `reads` are names of topics."""

    kind: ClassVar[str] = "connector"

    config: Config = field(default_factory=dict)
    state: str = "running"  # running | paused | stopped
    feeds: tuple[str, ...] = field(default=(), compare=False)
    reads: tuple[str, ...] = field(default=(), compare=False)
    unique: tuple[str, ...] = field(default=(), compare=False)  # config keys that no other connector may share
    heartbeat: str = field(default="", compare=False)  # the topic that moves while the connector really works
    ddl: tuple[str, str] = field(default=("", ""), compare=False)  # path and text of a file that describes its tables

    @property
    def java_class(self) -> str:
        value = self.config.get("connector.class", "")
        return value if isinstance(value, str) else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(sorted(key for key, value in self.config.items() if isinstance(value, Secret)))


@dataclass(frozen=True, slots=True)
class Removal:
    """An entry of `removed:`. `keep` gives up ownership and leaves the thing there.

    With `is_prefix` it is about all resources that the stack owns whose names begin so.
    """

    address: Address
    accept: frozenset[str] = frozenset()
    keep: bool = False
    keep_offsets: bool = False
    span: Span | None = None
    drop: frozenset[str] | None = None  # None: as was applied last
    is_prefix: bool = False
    hard: bool = False  # what can be restored otherwise is removed for good

    def covers(self, address: Address) -> bool:
        """Whether the entry is about this resource."""
        if not self.is_prefix:
            return address == self.address
        return address.kind == self.address.kind and address.name.startswith(self.address.name)


@dataclass(frozen=True, slots=True)
class Move:
    """An entry of `moved:`, of connectors alone."""

    source: Address
    target: Address
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits on a run. `schemas` are JSON Schemas by kind; `max_changes` is a share (0..1), None: off."""

    create: bool = True
    max_changes: float | None = None
    naming: tuple[str, ...] = ()
    schemas: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    span: Span | None = None
    create_source: str = ""  # variable of the process that forbids creation; empty where a file does


@dataclass(frozen=True, slots=True)
class File:
    """A file that was read: `path` relative to the folder of `kplan.yaml`, `sha256` of its bytes in hex."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Stack:
    """What one file declares, expanded."""

    name: str
    env: str
    resources: Mapping[Address, Resource] = field(default_factory=dict)
    removed: tuple[Removal, ...] = ()
    moved: tuple[Move, ...] = ()
    guards: Guards = Guards()
    files: tuple[File, ...] = ()
    used_env: tuple[str, ...] = ()  # KAFKA_TOPIC_* variables that gave a default
    unset: Mapping[str, Span] = field(
        default_factory=dict
    )  # sensitive variables without a value, and where they are declared
    unset_env: Mapping[str, str] = field(default_factory=dict)  # by variable: what its `env:` names
    state_topic: str = STATE_TOPIC  # kplan's own: given up where the stack owns it, never deleted
    policies: tuple[Policy, ...] = ()  # the project's
    links: Mapping[str, str] = field(default_factory=dict)  # patterns of a user interface's addresses, by kind

    @property
    def path(self) -> str:
        return self.files[0].path if self.files else ""


@dataclass(frozen=True, slots=True)
class Owned:
    """A record of the ledger: which stack owns a resource, and what it was last set to (no secret's value).

    `sensitive` are the settings that were a secret once, and that `applied` does not show as one.
    """

    address: Address
    stack: str
    env: str
    created: bool
    protect: bool = False
    applied: Resource | None = None
    run: str = ""
    at: str = ""
    sensitive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster and its Connect, as they name themselves. `simulated` is the file of a simulated one.

    `snapshot` is when they were read (UTC), where that was not now but for a snapshot.
    """

    cluster_id: str = ""
    bootstrap: str = ""
    brokers: int = 0
    connect_url: str = ""
    connect_version: str = ""
    simulated: str = ""
    snapshot: str = ""
    connects: tuple[tuple[str, str, str], ...] = ()  # of further Connects: alias, URL, version

    def find_connect(self, alias: str) -> tuple[str, str]:
        """Return URL and version of a Connect; the alias is empty for the default one."""
        own = (self.connect_url, self.connect_version)
        return own if not alias else next(((url, version) for a, url, version in self.connects if a == alias), ("", ""))


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a live connector."""

    id: int
    state: str
    cause: str = ""  # the first and the last cause of the trace, on one line
    worker: str = ""
    trace: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Health:
    """How a live connector is: RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED or RESTARTING, and its tasks."""

    state: str
    tasks: tuple[Task, ...] = ()
    cause: str = ""
    trace: str = field(default="", compare=False, repr=False)

    @property
    def failed(self) -> tuple[Task, ...]:
        return tuple(task for task in self.tasks if task.state == "FAILED")


@dataclass(frozen=True, slots=True)
class Reader:
    """A consumer group that reads a topic."""

    group: str
    lag: int
    active: bool = True  # it has members that read the topic now


@dataclass(frozen=True, slots=True)
class Facts:
    """What a dangerous change of a topic would cost. Times are in milliseconds since 1970; None: not known.

    `unknown` says why something could not be read, keyed like these fields. `sinks` are names of connectors.
    """

    records: int | None = None  # at most: compaction and transactions leave gaps
    bytes: int | None = None  # of one replica of each partition
    last_write: int | None = None
    readers: tuple[Reader, ...] = ()
    first_write: int | None = None  # time of the oldest record
    sinks: tuple[str, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Live:
    """What the servers say. `names` are all topics there are; `resources` those that were asked for."""

    target: Target = Target()
    resources: Mapping[Address, Resource] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    hidden: frozenset[Address] = frozenset()  # there, but this user may not see them
    health: Mapping[Address, Health] = field(default_factory=dict)
    facts: Mapping[Address, Facts] = field(default_factory=dict)
    refused: Mapping[Address, KplanError] = field(default_factory=dict)  # why it is hidden, with the way out
    unread: Mapping[str, str] = field(
        default_factory=dict
    )  # by kind: why its server could not be read, where nothing here needs it
    state: str = ""  # the topic that holds kplan's own state
    internal: frozenset[str] = frozenset()  # topics of Connect's workers, as kplan.yaml names them
    principal: str = ""  # kplan's own user, as brokers see it; empty where it is not known, or a super user
    operations: frozenset[str] | None = None  # what it may do on the cluster; None where it was not asked
    allows_by_default: bool | None = None  # whether everybody may use what has no binding; None: not known
    ids: Mapping[Address, str] = field(default_factory=dict)  # of topics, where they were asked for
    unknown: Mapping[str, int] = field(default_factory=dict)  # by kind: how many are there that cannot be named


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REPLACE = "replace"
    MOVE = "move"
    ADOPT = "adopt"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class AttrDiff:
    """One attribute that differs. `cause`: `stack` changed, `drift` (someone changed it live), or `both`."""

    path: str
    before: Text | int | bool | None
    after: Text | int | bool | None
    cause: str = "stack"

    @property
    def sensitive(self) -> bool:
        return isinstance(self.before, Secret) or isinstance(self.after, Secret)

    @property
    def key(self) -> str:
        """Return the name of the config, or the path's last part."""
        return self.path.removeprefix("/config/").removeprefix("/")


@dataclass(frozen=True, slots=True)
class Risk:
    """`kind` is what `accept:` names; a caution or note has none and never blocks.

    A level that a later kplan wrote and this one does not know blocks like a danger where it has a kind.
    """

    code: str
    level: str  # note | caution | danger
    summary: str
    kind: str = ""
    accept: str = ""
    accepted: str | None = None  # stack | flag
    facts: Facts | None = None

    @property
    def blocks(self) -> bool:
        dangerous = self.level == "danger" or (self.level not in ("note", "caution") and bool(self.kind))
        return dangerous and self.accepted is None


@dataclass(frozen=True, slots=True)
class Undo:
    """What puts a change back. `complete` is False where something stays, and `why` says what."""

    kind: str = "none"  # delete_if_empty | delete | restore | recreate | record | none
    complete: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """What a change does in addition to its differences. Each kind has its own, as a subclass.

    `effects` are sentences; `verified` names the server's check that accepted the change.
    """

    effects: tuple[str, ...] = ()
    verified: str = ""


NO_OPTIONS = ChangeOptions()


@dataclass(frozen=True, slots=True)
class Change:
    """The difference for one resource. `before` is live and `after` desired; None: not there."""

    address: Address
    action: Action
    before: Resource | None = None
    after: Resource | None = None
    diffs: tuple[AttrDiff, ...] = ()
    reason: str = ""
    needs: frozenset[Address] = frozenset()
    undo: Undo = Undo()
    risks: tuple[Risk, ...] = ()
    span: Span | None = None
    unmanaged: tuple[str, ...] = ()  # set live, declared nowhere, left alone
    unchanged: int = 0  # attributes that are as they should be
    owner: Owned | None = None  # the ledger's record before
    created: bool = False  # kplan made it (the ledger says so, or this change does)
    options: ChangeOptions = NO_OPTIONS

    @property
    def source(self) -> Address | None:
        """Return the address that a moved resource had before."""
        return self.before.address if self.action is Action.MOVE and self.before is not None else None

    @property
    def adopts(self) -> bool:
        """Whether the resource exists and no stack owned it before."""
        return self.owner is None and self.action in (Action.UPDATE, Action.REPLACE, Action.ADOPT)

    @property
    def irreversible(self) -> bool:
        return not self.undo.complete

    @property
    def is_ledger_only(self) -> bool:
        """Whether the ledger alone changes; that does not count as a change."""
        return self.action in (Action.ADOPT, Action.RELEASE)

    @property
    def blocks(self) -> bool:
        return any(risk.blocks for risk in self.risks)


@dataclass(frozen=True, slots=True)
class Drift:
    """An attribute that is live not as it was applied last."""

    address: Address
    path: str
    applied: Text | int | bool | None
    live: Text | int | bool | None


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """Whether the database of a connector was looked into for a plan; `why` it was not."""

    connector: str
    checked: bool
    why: str = ""


def frozen(pairs: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Mapping[str, Any]:
    return MappingProxyType(dict(pairs))
