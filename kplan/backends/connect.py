"""Connectors of one Kafka Connect cluster, over its REST API.

Three things decide how this is written: Connect answers 500 for what passes by itself and 409 for two different
things, so failures are told apart by their words (`RULES`); a 201 or 200 says that a config was stored, not that it
works, so `settle` looks until every task has held; an answer that was lost says nothing, so live state decides.
https://kafka.apache.org/documentation/#connect_rest
"""

from __future__ import annotations

import difflib
import html
import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import NewConnectionError

from kplan.backends.base import Outcome, Progress, Reading
from kplan.diagnostics import (
    Busy,
    Conflict,
    Denied,
    Diagnostic,
    ErrorClass,
    KplanError,
    Rejected,
    Timeout,
    Unreachable,
    Unsupported,
    error,
    warning,
)
from kplan.model import Action, Address, Change, Config, Connector, Facts, Health, Secret, Target, Task, conceal, frozen
from kplan.secrets import Mask

log = logging.getLogger(__name__)
T = TypeVar("T")
Captured = Mapping[str, Any]

# --------------------------------------------------------------------------------------------------- what failures mean


class TaskFailed(KplanError):
    """A connector task failed after its configuration was changed."""

    code = "K512"

    def __init__(self, message: str, *, help: str = "") -> None:
        super().__init__(message, help=help)
        self.applied = None


class NotSettled(KplanError):
    """A connector did not get into its state in time."""

    code = "K513"

    def __init__(self, message: str, *, help: str = "") -> None:
        super().__init__(message, help=help)
        self.applied = None


NO_CLASS = "failed to find any class"
FORWARDING = "io error trying to forward"

# Status, words of the message in lower case, meaning; the first that fits counts. Status 0: any of 5xx.
# RestClient, HerderRequestHandler, DistributedHerder and Worker of Kafka 3.5 to 4.3; Timeout: it may have taken effect.
RULES: tuple[tuple[int, str, type[KplanError]], ...] = (
    (400, "must be in the stopped state", Busy),  # a stop is under way: KIP-875
    (400, "", Rejected),
    (404, "", Conflict),
    (405, "", Unsupported),
    (408, "", Timeout),
    (409, "already exists", Conflict),
    (409, "", Busy),  # rebalance, stale configuration, no known leader
    (425, "", Busy),
    (429, "", Busy),
    (500, "rebalance is expected", Busy),
    (500, "tasks haven't stopped completely", Busy),
    (500, NO_CLASS, Rejected),
    (500, "is expected to be", Rejected),  # offsets of another shape
    (500, FORWARDING, Timeout),  # for 10 s after the leader was killed
    (500, "request timed out", Timeout),  # after 90 s
    (501, "", Unsupported),
    (503, "", Busy),
    (0, "", Timeout),
)


def classify(status: int, message: str) -> type[KplanError]:
    """What an answer that is no success means. A 404 without Connect's own words comes from a worker that starts."""
    if status in (401, 403, 407):
        return Denied
    if status == 404 and not message:
        return Busy
    for known, words, kind in RULES:
        if (known == status or (known == 0 and status >= 500)) and words in message.lower():
            return kind
    return Rejected


def patient(failure: KplanError) -> bool:
    """Whether a rebalance or a start is behind it, so that it passes in the time that settling may take."""
    return isinstance(failure, Busy) or FORWARDING in failure.message.lower()


def said(body: str) -> str:
    """Connect's own message in an error's body; empty for what Jetty or a proxy answers."""
    try:
        data = json.loads(body)
    except ValueError:
        return ""
    message = data.get("message") if isinstance(data, dict) else None
    return concise(message) if isinstance(message, str) else ""


def title(body: str) -> str:
    """The title of an HTML page, which is all there is to say of it."""
    found = re.search(r"<title>(.*?)</title>", body, re.DOTALL | re.IGNORECASE)
    return " ".join(html.unescape(found[1]).split())[:200] if found else ""


def concise(message: str) -> str:
    """Connect's message without the list of all plugins and the hint at its own endpoint."""
    message = message.split(", available connectors are:")[0]
    return message.split("\nYou can also find the above list of errors")[0].strip()


def condense(trace: str | None) -> str:
    """The first line of a Java trace and its last cause, on one line, with short class names."""
    lines = [line.strip() for line in (trace or "").splitlines() if line.strip()]
    if not lines:
        return ""
    causes = [line.removeprefix("Caused by:").strip() for line in lines if line.startswith("Caused by:")]
    first = _short(lines[0])
    last = _short(causes[-1]) if causes else ""
    return first if not last or last in first else f"{first}; caused by {last}"


def _short(line: str) -> str:
    return re.sub(r"^(?:[a-z_][\w]*\.)+(?=[A-Z])", "", line)[:400]


# ------------------------------------------------------------------------------------------------------------- versions

FEATURES: Mapping[str, tuple[int, int]] = {
    "read_offsets": (3, 5),  # KIP-875
    "stop": (3, 6),  # KIP-875
    "offsets": (3, 6),  # KIP-875: alter and delete
    "initial_state": (3, 7),  # KIP-980
    "patch": (3, 8),  # KIP-477
}


def kafka_version(version: str) -> tuple[int, int] | None:
    """Major and minor of Apache Kafka. Confluent's 7.6.0-ccs is Kafka 3.6 (its versions are 4 ahead)."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if not found:
        return None
    major, minor = int(found[1]), int(found[2])
    return (major - 4 if re.search(r"-(ccs|ce)\b", version) else major), minor


def supports(version: str, feature: str) -> bool:
    """Whether a worker of `version` has one of `FEATURES`; an unknown version has none."""
    known = kafka_version(version)
    return known is not None and known >= FEATURES[feature]


# ------------------------------------------------------------------------------------------------------------- requests


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often something is tried: `attempts`, or for what a rebalance causes, `seconds`."""

    attempts: int
    delay: float
    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def pause(self, attempt: int) -> float:
        """Seconds before the next try: doubling up to 5, and three quarters to all of it at random."""
        return float(min(self.delay * 2**attempt, max(self.delay, 5)) * (0.75 + 0.25 * self.jitter()))

    def until(self, check: Callable[[], bool], seconds: float | None = None) -> bool:
        """Whether `check` came true in time; it is asked at least once."""
        end = self.clock() + (self.seconds if seconds is None else seconds)
        while not check():
            if self.clock() >= end:
                return False
            self.sleep(0.25)
        return True


class Rest:
    """Speaks with whichever worker answers. Every failure is a KplanError without a secret in it."""

    def __init__(self, urls: Sequence[str], session: requests.Session, verify: bool | str, timeout: float,
                 patience: Patience, mask: Mask) -> None:  # fmt: skip
        self.urls = tuple(urls)
        self.patience = patience
        self._session = session
        self._verify = verify
        self._timeout = timeout
        self._mask = mask
        self._first = 0

    @property
    def url(self) -> str:
        """The worker that is asked first."""
        return self.urls[self._first % len(self.urls)]

    def call(self, method: str, path: str, body: Any = None, *, done: Callable[[], bool] | None = None) -> Any:
        """The answer, after as many tries as it takes and patience allows.

        Where an answer was lost, `done` says whether the request took effect all the same; only if not, it is sent
        again. Without `done` sending it twice is harmless.
        """
        start, attempt = self.patience.clock(), 0
        while True:
            try:
                return self.once(method, path, body)
            except KplanError as failure:
                if failure.error_class is not ErrorClass.RETRIABLE:
                    raise
                if failure.applied is None and done is not None and done():
                    log.info("%s %s: the answer was lost, but it took effect", method, path)
                    return None
                pause = self.patience.pause(attempt)
                attempt += 1
                if not self._may_wait(failure, attempt, self.patience.clock() + pause - start):
                    raise
                log.warning("%s %s: %s; again in %.1f s", method, path, failure.message, pause)
                self.patience.sleep(pause)

    def _may_wait(self, failure: KplanError, attempt: int, elapsed: float) -> bool:
        return elapsed <= self.patience.seconds if patient(failure) else attempt < self.patience.attempts

    def once(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Any:
        """The answer to one request. A worker that refuses the connection is passed over for the next one."""
        refusals = []
        for offset in range(len(self.urls)):
            index = (self._first + offset) % len(self.urls)
            try:
                answer = self._send(method, self.urls[index], path, body, timeout or self._timeout)
            except Unreachable as failure:
                refusals.append(failure)
                continue
            except Timeout:
                self._first = (index + 1) % len(self.urls)
                raise
            self._first = index
            return answer
        raise refusals[0] if len(refusals) == 1 else Unreachable(
            "no Connect worker answers: " + "; ".join(failure.message for failure in refusals),
            help=refusals[0].help,
        )  # fmt: skip

    def _send(self, method: str, url: str, path: str, body: Any, timeout: float) -> Any:
        start = time.monotonic()
        status: object = "no answer"
        try:
            with _explained(url, self._mask):
                response = self._session.request(method, url + path, json=body, timeout=(min(timeout, 10), timeout),
                                                 verify=self._verify, allow_redirects=False)  # fmt: skip
                text = response.text
            status = response.status_code
        finally:
            log.debug("%s %s -> %s %.3f s", method, path, status, time.monotonic() - start)
        return self._answer(url, response.status_code, text)

    def _answer(self, url: str, status: int, text: str) -> Any:
        if status < 300:
            return self._parsed(url, text)
        message = said(text)
        kind = classify(status, message)
        words = self._mask.mask(message or title(text)) or "nothing more"
        raise kind(f"Connect ({urlsplit(url).netloc}) answers {status}: {words}",
                   code="K303" if NO_CLASS in message.lower() else "", help=_help(status, kind))  # fmt: skip

    def _parsed(self, url: str, text: str) -> Any:
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError:
            raise Unsupported(f"{url} does not answer like Kafka Connect: its answer is no JSON",
                              help="check `connect.url`")  # fmt: skip

    def close(self) -> None:
        self._session.close()


class _explained:
    """No exception of requests or urllib3 gets out of it, but Unreachable (it was not sent) or Timeout (it may be)."""

    def __init__(self, url: str, mask: Mask) -> None:
        self._url = url
        self._mask = mask

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, failure: BaseException | None, trace: object) -> None:
        if not isinstance(failure, requests.RequestException):
            return
        why = self._mask.mask(_cause(failure))
        if isinstance(failure, requests.exceptions.SSLError):
            refused = Unreachable(f"no TLS connection to {self._url}: {why}",
                                  help="check `connect.ca`, and that the URL is https")  # fmt: skip
            refused.error_class = ErrorClass.FATAL
            raise refused from None
        if _was_not_sent(failure):
            raise Unreachable(f"Connect does not answer at {self._url}: {why}",
                              help="check `connect.url`, and that the worker runs") from None  # fmt: skip
        raise Timeout(f"the answer of {self._url} was lost: {why}", help="see the log of the Connect worker") from None


def _was_not_sent(failure: requests.RequestException) -> bool:
    if isinstance(failure, requests.ConnectTimeout | requests.exceptions.ProxyError | ValueError):
        return True
    reason = getattr(failure.args[0], "reason", None) if failure.args else None
    return isinstance(reason, NewConnectionError)


def _cause(failure: requests.RequestException) -> str:
    """`Connection refused`, `Read timed out. (read timeout=30)`: the innermost words."""
    text = str((getattr(failure.args[0], "reason", None) if failure.args else None) or failure)
    errno = re.search(r"(?:\(\d+, '|\[Errno -?\d+\] )([^'\")]+)", text)
    return errno[1] if errno else text.rpartition(": ")[2].strip("'\"") or type(failure).__name__


def _help(status: int, kind: type[KplanError]) -> str:
    if status in (301, 302, 303, 307, 308):
        return "this address redirects; put the final one into `connect.url`"
    return {
        Denied: "check `connect.username` and `connect.password`, and what this user may do",
        Busy: "Connect rebalances or starts; try again",
        Unsupported: "see which version of Connect this needs",
    }.get(kind, "")


NAME = re.compile(r"[A-Za-z0-9._-]+\Z")


def path_of(name: str, *more: str) -> str:
    """`/connectors/NAME/…`. Raises Rejected for a name that Connect's REST API cannot address (facts: 3.2)."""
    if not NAME.match(name) or name in (".", ".."):
        raise Rejected(f"{name!r} is no name for a connector", help="use letters, digits, dot, underscore and hyphen")
    return "/".join(["/connectors", quote(name, safe=""), *more])


def plugin_path(java_class: str, *more: str) -> str:
    return "/".join(["/connector-plugins", quote(java_class, safe=""), *more])


# ------------------------------------------------------------------------------------------------ what the answers hold


def connector_of(name: str, data: Mapping[str, Any], mask: Mask) -> Connector:
    """The live connector of one entry of `GET /connectors?expand=info&expand=status`."""
    info = data.get("info") or {}
    raw = {str(key): str(value) for key, value in (info.get("config") or {}).items() if key != "name"}
    config = {key: conceal(key, value) for key, value in raw.items()}
    mask.add_config(config)
    topics = raw.get("topics", "") if info.get("type") == "sink" else ""
    reads = tuple(topic.strip() for topic in topics.split(",") if topic.strip())
    return Connector(name, frozen(config), state_of(data), reads=reads)


def state_of(data: Mapping[str, Any]) -> str:
    """FAILED, UNASSIGNED and RESTARTING are how it is, not what it is meant to be: those are `running`."""
    state = str(((data.get("status") or {}).get("connector") or {}).get("state", "")).lower()
    return state if state in ("paused", "stopped") else "running"


def health_of(data: Mapping[str, Any], mask: Mask) -> Health:
    """Connector and tasks as the workers report them; UNASSIGNED where there is no report yet."""
    status = data.get("status") or {}
    own = status.get("connector") or {}
    tasks = tuple(_task(task, mask) for task in status.get("tasks") or ())
    return Health(str(own.get("state", "UNASSIGNED")), tasks, mask.mask(condense(own.get("trace"))))


def _task(data: Mapping[str, Any], mask: Mask) -> Task:
    cause = mask.mask(condense(data.get("trace")))
    return Task(int(data.get("id", 0)), str(data.get("state", "UNASSIGNED")), cause, str(data.get("worker_id", "")))


def literal(config: Config) -> dict[str, str]:
    """The config as Connect is to store it. Raises Rejected where the value of a secret is not known."""
    unknown = unknown_keys(config)
    if unknown:
        raise Rejected(f"the value of {', '.join(unknown)} is not known here", code="K316",
                       help="set the variable that holds it, and run this again")  # fmt: skip
    return {key: value.value or "" if isinstance(value, Secret) else value for key, value in config.items()}


def unknown_keys(config: Config) -> list[str]:
    return sorted(key for key, value in config.items() if isinstance(value, Secret) and value.value is None)


def changed_keys(change: Change) -> frozenset[str]:
    """The keys of the config that this change sets, alters or removes.

    A secret without a value is changed where the plan says so: there was a digest or a value then.
    """
    before, after = _config(change.before), _config(change.after)
    named = {diff.path.removeprefix("/config/") for diff in change.diffs if diff.path.startswith("/config/")}
    return frozenset(key for key in before.keys() | after.keys() if _differs(key, before, after, named))


def _config(resource: object) -> Config:
    return resource.config if isinstance(resource, Connector) else {}


def _differs(key: str, before: Config, after: Config, named: Collection[str]) -> bool:
    old, new = before.get(key), after.get(key)
    if isinstance(old, Secret) and isinstance(new, Secret):
        same = old.same_as(new)
        return key in named if same is None else not same
    if isinstance(old, Secret) and old.value is not None and isinstance(new, str):
        return old.value != new
    if isinstance(new, Secret) and new.value is not None and isinstance(old, str):
        return new.value != old
    return old != new


def completed(config: Config, live: Mapping[str, str], changed: Collection[str]) -> dict[str, str]:
    """`config` with the live values of the secrets that are unknown here and do not change."""
    known = {k: live[k] for k in unknown_keys(config) if k in live and k not in changed}
    return literal({**config, **known})


# ----------------------------------------------------------------------------------------------------------- one change


@dataclass(slots=True)
class Job:
    """One change on its way. `sent` once a request that changes something was accepted."""

    rest: Rest
    version: str
    change: Change
    captured: Captured
    sent: bool = False
    note: str = ""

    def run(self) -> str:
        """The change is made, apart from settling; answers what there is to say about it."""
        try:
            self._run()
        except KplanError as failure:
            if self.sent:
                failure.applied = None
            raise
        return self.note

    def _run(self) -> None:
        change, after = self.change, self.change.after
        if change.action is Action.DELETE:
            self._delete(change.address.name)
        elif not isinstance(after, Connector) or change.is_ledger_only:
            return
        elif change.action is Action.CREATE:
            self._create(after, literal(after.config), self.captured.get("offsets"))
        elif change.action is Action.UPDATE:
            self._update(after)
        elif change.action is Action.REPLACE:
            self._replace(after)
        elif change.action is Action.MOVE and change.source is not None:
            self._move(change.source.name, after)

    def _send(self, method: str, path: str, body: Any = None, done: Callable[[], bool] | None = None) -> Any:
        answer = self.rest.call(method, path, body, done=done)
        self.sent = True
        return answer

    # -- create

    def _create(self, connector: Connector, config: Mapping[str, str], offsets: Sequence[Any] | None) -> None:
        """It is there with its offsets, and goes into its state."""
        if offsets and not supports(self.version, "initial_state"):
            raise Unsupported(f"Connect {self.version} cannot create a connector STOPPED, so its offsets cannot be "
                              "put back before it starts", help="this needs Connect 3.7 (KIP-980)")  # fmt: skip
        self._post(connector, config, "stopped" if offsets else connector.state)
        if offsets:
            self._put_offsets(connector.name, offsets)
            self._go(connector.name, connector.state, "stopped")

    def _post(self, connector: Connector, config: Mapping[str, str], state: str) -> None:
        """It is created. An "already exists" is our own where an answer was lost before and the config is ours."""
        name, looked = connector.name, False

        def ours() -> bool:
            nonlocal looked
            looked = True
            return self._live_config(name) == config

        body: dict[str, Any] = {"name": name, "config": config}
        if supports(self.version, "initial_state"):
            body["initial_state"] = state.upper()
        try:
            self._send("POST", "/connectors", body, ours)
        except Conflict:
            if not looked or not self.rest.patience.until(ours, 5):
                raise
            self.sent = True
        if "initial_state" not in body and state != "running":
            self._go(name, state, "running")

    def _put_offsets(self, name: str, offsets: Sequence[Any]) -> None:
        wanted = list(offsets)
        self._send("PATCH", path_of(name, "offsets"), {"offsets": wanted},
                   lambda: _same_offsets(self._offsets(name), wanted))  # fmt: skip

    # -- update

    def _update(self, after: Connector) -> None:
        """Config and state are as they should be. What is to rest rests before its config changes."""
        state = self.change.before.state if isinstance(self.change.before, Connector) else ""
        if after.state != "running":
            self._go(after.name, after.state, state)
        keys = changed_keys(self.change)
        if keys:
            self._put_config(after, keys)
        if after.state == "running":
            self._go(after.name, after.state, state)
            if self.change.restart:
                self._send("POST", path_of(after.name, "restart?includeTasks=true&onlyFailed=false"))

    def _put_config(self, after: Connector, keys: Collection[str]) -> None:
        name = after.name
        if not unknown_keys(after.config):
            config = literal(after.config)
            self._send("PUT", path_of(name, "config"), config, lambda: self._live_config(name) == config)
        elif supports(self.version, "patch"):
            self._patch_config(after, keys)
        else:
            config = completed(after.config, self._live_config(name) or {}, keys)
            self._send("PUT", path_of(name, "config"), config, lambda: self._live_config(name) == config)

    def _patch_config(self, after: Connector, keys: Collection[str]) -> None:
        """Only what changes is sent, so that secrets nobody knows here stay (KIP-477; null removes a key)."""
        new = literal({key: after.config[key] for key in keys if key in after.config})
        patch: dict[str, str | None] = {key: new.get(key) for key in sorted(keys)}

        def patched() -> bool:
            live = self._live_config(after.name)
            return live is not None and all(live.get(key) == value for key, value in patch.items())

        self._send("PATCH", path_of(after.name, "config"), patch, patched)

    def _go(self, name: str, state: str, now: str) -> None:
        """It is told to go into `state`, unless it is in it."""
        if state == now:
            return
        if state == "stopped" and not supports(self.version, "stop"):
            raise Unsupported(f"Connect {self.version} cannot stop a connector", help="this needs 3.6; use `paused`")
        self._send("PUT", path_of(name, {"running": "resume", "paused": "pause", "stopped": "stop"}[state]))

    # -- delete, replace, move

    def _delete(self, name: str) -> None:
        """It is gone, with its offsets unless they are kept. Being gone already is as good."""
        try:
            if not self.change.keep_offsets:
                self._drop_offsets(name)
            self._send("DELETE", path_of(name), done=lambda: self._live_config(name) is None)
        except Conflict as failure:
            log.info("DELETE %s: %s", path_of(name), failure.message)
            self.note = self.note or "was gone already"

    def _drop_offsets(self, name: str) -> None:
        """Its offsets are gone. Only of a STOPPED connector they can be: stop, offsets, delete (facts: 3.1)."""
        if not supports(self.version, "offsets"):
            self.note = f"its offsets stay: Connect {self.version} cannot delete them (3.6 can)"
            return
        self._send("PUT", path_of(name, "stop"))
        try:
            self._send("DELETE", path_of(name, "offsets"), done=lambda: self._offsets(name) == [])
        except KplanError as failure:
            if not isinstance(failure, Conflict):
                failure.help = "`keep_offsets: true` on its entry in `removed:` deletes the connector without them"
            raise

    def _replace(self, after: Connector) -> None:
        """Another one is there under the same name. Only to undo that, offsets are put back."""
        name = after.name
        config = completed(after.config, self._live_config(name) or {}, changed_keys(self.change))
        self._delete(name)
        if not self.rest.patience.until(lambda: self._live_config(name) is None):
            raise NotSettled(f"{name} was deleted and is still listed", help="see the log of the Connect worker")
        self._create(after, config, self.captured.get("offsets") if self.captured.get("restore") else None)

    def _move(self, source: str, after: Connector) -> None:
        """`after` is there with the offsets of `source`, which is gone. Can be done again after it was cut off."""
        if not supports(self.version, "initial_state"):
            raise Unsupported(f"Connect {self.version} cannot move a connector", help="this needs 3.7 (KIP-980)")
        live = self._live_config(source)
        if live is None:
            self._end_move(source, after)
            return
        config = completed(after.config, live, changed_keys(self.change))
        offsets = self._final_offsets(source)
        self._place(after, config)
        if offsets:
            self._put_offsets(after.name, offsets)
        self._go(after.name, after.state, "stopped")
        self._delete(source)

    def _end_move(self, source: str, after: Connector) -> None:
        """An earlier try came as far as deleting the source; what is left is the target's state."""
        if self._live_config(after.name) is None:
            raise Conflict(f"neither {source} nor {after.name} is there", help="make a new plan")
        self._go(after.name, after.state, "")

    def _final_offsets(self, name: str) -> list[Any]:
        """The offsets of a connector whose tasks have ended, so that they stay the last ones."""
        self._send("PUT", path_of(name, "stop"))
        if not self.rest.patience.until(lambda: self._has_stopped(name)):
            raise NotSettled(f"the tasks of {name} do not stop", help="see the log of the Connect worker")
        return self._offsets(name)

    def _place(self, after: Connector, config: Mapping[str, str]) -> None:
        """The target is there and STOPPED; the one that an earlier try made will do."""
        if self._live_config(after.name) != config:
            self._post(after, config, "stopped")
            return
        self._final_offsets(after.name)

    # -- live state

    def _live_config(self, name: str) -> dict[str, str] | None:
        """The stored config without `name`; None where there is no such connector."""
        try:
            data = self.rest.call("GET", path_of(name, "config"))
        except Conflict:
            return None
        return {str(key): str(value) for key, value in (data or {}).items() if key != "name"}

    def _offsets(self, name: str) -> list[Any]:
        return list((self.rest.call("GET", path_of(name, "offsets")) or {}).get("offsets") or [])

    def _has_stopped(self, name: str) -> bool:
        try:
            status = self.rest.call("GET", path_of(name, "status"))
        except Conflict:  # no status yet
            return False
        return state_of({"status": status}) == "stopped" and not status.get("tasks")


def _same_offsets(some: Sequence[Any], others: Sequence[Any]) -> bool:
    def canonical(offsets: Sequence[Any]) -> list[str]:
        return sorted(json.dumps(offset, sort_keys=True) for offset in offsets)

    return canonical(some) == canonical(others)


# ------------------------------------------------------------------------------------------------------------- settling


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a connector shows."""

    good: bool = False
    failure: str = ""
    words: str = "not listed yet"


def look(wanted: str, health: Health | None, expected: int) -> Look:
    """Whether it is as wanted: running (all `expected` tasks RUNNING), paused, stopped (no tasks) or gone."""
    if wanted == "gone":
        return Look(health is None, words="waiting until it is gone")
    if health is None:
        return Look()
    tasks = [task.state for task in health.tasks]
    words = f"waiting for {wanted.upper()}: {describe(health)}"
    if wanted == "stopped":
        return Look(health.state == "STOPPED" and not tasks, words=words)
    if wanted == "paused":
        return Look(health.state == "PAUSED" and not {"RUNNING", "RESTARTING"} & set(tasks), words=words)
    running = health.state == "RUNNING" and bool(tasks) and set(tasks) == {"RUNNING"} and len(tasks) == expected
    return Look(running, failure_of(health), words)


def describe(health: Health) -> str:
    """`RUNNING, 1/2 tasks RUNNING`."""
    running = sum(task.state == "RUNNING" for task in health.tasks)
    return (
        f"{health.state}, {running}/{len(health.tasks)} tasks RUNNING" if health.tasks else f"{health.state}, no task"
    )


def failure_of(health: Health) -> str:
    """What failed and why; empty where nothing did."""
    if health.state == "FAILED":
        return f"the connector: {health.cause or 'FAILED without a trace'}"
    return "; ".join(
        f"task {task.id}{' on ' + task.worker if task.worker else ''}: {task.cause or 'FAILED without a trace'}"
        for task in health.failed
    )


CHANGED_HOLD = 2  # a worker shows the old tasks as RUNNING for up to 0.6 s after a new config was accepted (measured)


@dataclass(slots=True)
class Watch:
    """One change that is settling. Its times are those of the injected clock."""

    change: Change
    wanted: str
    hold: float
    steady: float
    deadline: float
    beat: str = ""
    mark: int | None = None
    offsets: str | None = None
    alive: bool = False
    restarts: int = 0
    restart_delay: float = 0.0
    good_since: float | None = None
    bad_since: float | None = None
    last: Look = field(default_factory=Look)
    said: str = ""
    outcome: Outcome | None = None

    @property
    def name(self) -> str:
        return self.change.address.name

    def see(self, now: float, seen: Look) -> None:
        """Remembers since when it has been good or bad without a break."""
        self.last = seen
        self.good_since = (self.good_since if self.good_since is not None else now) if seen.good else None
        self.bad_since = (self.bad_since if self.bad_since is not None else now) if seen.failure else None

    def held(self, now: float) -> bool:
        return self.good_since is not None and (self.wanted != "running" or now - self.good_since >= self.hold)

    def words(self, now: float) -> str:
        """What it is waiting for."""
        return f"RUNNING, waiting for a record in {self.beat}" if self.held(now) and self.beat else self.last.words

    def failed(self, now: float) -> bool:
        """A FAILED that is left from before the change goes away within `steady` (measured: 0.15 s)."""
        return self.bad_since is not None and now - self.bad_since >= self.steady

    def restart_due(self, now: float) -> bool:
        return self.restarts > 0 and self.bad_since is not None and now - self.bad_since >= self.restart_delay

    def too_late(self) -> NotSettled:
        """Why its time is up."""
        if self.good_since is not None and self.beat and not self.alive:
            return NotSettled(f"{self.name} is RUNNING but does not work: nothing has arrived in its heartbeat topic "
                              f"{self.beat} since the change",
                              help="see the worker's and the database's log: a table that the role does not own under "
                                   "a filtered publication, a missing topic, a replication slot in use")  # fmt: skip
        return NotSettled(f"{self.name} is not {self.wanted} in time; last seen: {self.last.words}",
                          help="see the worker's log; `timeouts: {settle: …}` gives it longer")  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- validation

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
OFTEN = frozenset({"name", "connector.class", "connector.plugin.version", "tasks.max", "topics", "topics.regex"})
PLACEHOLDER = "kplan-does-not-know-this-value"
LOGIN = re.compile(r"password|authenticat|access denied|login|credential", re.IGNORECASE)


def unknown_properties(config: Config, known: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Keys that the plugin does not list, with the listed one that was perhaps meant.

    Debezium's validation lets misspelt keys pass (facts: 0.9).
    """
    candidates = sorted(name for name in known if "(" not in name)  # Debezium lists some patterns
    for key in sorted(config.keys() - known - OFTEN):
        alike = 0.92 if key.startswith(PASSED_ON) else 0.85 if key.startswith(HALF_PASSED_ON) else 0.7
        near = difflib.get_close_matches(key, candidates, 1, alike)
        if near or not key.startswith(PASSED_ON + HALF_PASSED_ON):
            yield key, near[0] if near else ""


def aliases(java_class: str) -> frozenset[str]:
    """The names under which Connect finds a plugin: whole, simple, and without `Connector`."""
    simple = java_class.rpartition(".")[2]
    return frozenset({java_class, simple, simple.removesuffix("Connector")})


def nearest_classes(java_class: str, installed: Iterable[str]) -> list[str]:
    """Up to three installed classes whose simple name is most like that of `java_class`."""
    simple = {name.rpartition(".")[2].lower(): name for name in sorted(installed)}
    wanted = java_class.rpartition(".")[2].lower()
    return [simple[name] for name in difflib.get_close_matches(wanted, simple, 3, 0.5)]


class Validator:
    """What Connect says to connectors that are not there yet. What is asked of a plugin is asked once."""

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
                yield _problem(error, after, "K315", "this version of Connect cannot do it",
                               f"{what} needs Connect {least}, this one is {self._version}", "/state",
                               "upgrade the workers, or do without")  # fmt: skip

    def _no_class(self, after: Connector) -> Diagnostic:
        near = nearest_classes(after.java_class, self._installed)
        words = " or ".join(f"`{name}`" for name in near) if near else f"one of {', '.join(self._installed)}"
        return _problem(error, after, "K303", "the connector's class is not installed on the Connect workers",
                        after.java_class or "there is no connector.class", "/config/connector.class",
                        f"did you mean {words}? Otherwise put the plugin under the workers' `plugin.path`")  # fmt: skip

    def _unchecked(self, after: Connector, failure: KplanError) -> Diagnostic:
        if isinstance(failure, Rejected):
            return _problem(error, after, "K302", "Connect rejected a connector", failure.message, "", failure.help)
        return _problem(warning, after, "K305", "Connect did not check a connector", failure.message, "",
                        failure.help or "`kplan apply` will find out")  # fmt: skip

    def _validate(self, change: Change, after: Connector) -> Mapping[str, Any]:
        live = {k: v.value for k, v in _config(change.before).items() if isinstance(v, Secret) and v.value is not None}
        changed = changed_keys(change)
        stand_in = {k: PLACEHOLDER if k in changed else live.get(k, PLACEHOLDER) for k in unknown_keys(after.config)}
        body = {**literal({**after.config, **stand_in}), "name": after.name}
        path = plugin_path(after.java_class, "config", "validate")
        return self._rest.once("PUT", path, body, self._timeout) or {}

    def _errors(self, after: Connector, answer: Mapping[str, Any]) -> Iterator[Diagnostic]:
        unknown = unknown_keys(after.config)
        for item in answer.get("configs") or ():
            value = item.get("value") or {}
            key = str(value.get("name", ""))
            for message in value.get("errors") or ():
                if key in unknown or (unknown and LOGIN.search(message)):
                    continue
                text = self._mask.mask(concise(str(message)))
                yield _problem(error, after, "K302", "Connect rejected a connector setting", f"{key}: {text}",
                               f"/config/{key}", "", f"Connect: {text}")  # fmt: skip

    def _misspelt(self, after: Connector, java_class: str, answer: Mapping[str, Any]) -> Iterator[Diagnostic]:
        listed = self._known_keys(java_class)
        if not listed:
            return
        asked = {str((item.get("value") or {}).get("name")) for item in answer.get("configs") or ()}
        for key, near in unknown_properties(after.config, listed | asked):
            help = (
                f"did you mean `{near}`?" if near else "Connect hands it on unchecked; see the plugin's documentation"
            )
            yield _problem(warning, after, "K304", "the plugin does not list this property",
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


def _problem(level: Callable[..., Diagnostic], after: Connector, code: str, summary: str, detail: str, path: str,
             help: str, label: str = "") -> Diagnostic:  # fmt: skip
    return level(code, summary, detail, help=help, span=after.origin.at(path), address=after.address, path=path,
                 label=label)  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- backend

VALIDATION_SECONDS = 30.0
Heartbeat = Callable[[Collection[str]], Mapping[str, int]]


class ConnectConnectors:
    """The connectors of one Connect cluster. `heartbeat` gives topics' end offsets (the sum of all partitions)."""

    kind = "connector"

    def __init__(
        self,
        urls: Sequence[str],
        *,
        username: str = "",
        password: str = "",
        ca: str = "",
        certificate: str = "",
        key: str = "",
        request_timeout: float = 30,
        settle_timeout: float = 120,
        attempts: int = 5,
        delay: float = 1,
        parallel: int = 6,
        steady: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        heartbeat: Heartbeat | None = None,
        mask: Mask | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.mask = Mask() if mask is None else mask
        self._parallel = max(parallel, 1)
        self._settle_timeout = settle_timeout
        self._steady = steady
        self._heartbeat = heartbeat
        self._marks: dict[Address, int] = {}
        self._version = ""
        self._patience = Patience(attempts, delay, settle_timeout, clock, sleep, jitter)
        plain, login = _without_login(urls)
        session = _session(username or login[0], password or login[1], certificate, key, self._parallel)
        self.mask.add([password, login[1]])
        self._rest = Rest(plain, session, ca or True, request_timeout, self._patience, self.mask)

    def identify(self) -> Target:
        """Who answers, at the first try: to wait for a worker is the caller's business."""
        data = self._rest.once("GET", "/")
        if not isinstance(data, dict) or "kafka_cluster_id" not in data:
            raise Unsupported(f"{self._rest.url} does not answer like Kafka Connect", help="check `connect.url`")
        self._version = str(data.get("version", ""))
        return Target(
            cluster_id=str(data["kafka_cluster_id"]), connect_url=self._rest.url, connect_version=self._version
        )

    @property
    def version(self) -> str:
        """The version of the worker that was asked first."""
        if not self._version:
            self._version = str((self._rest.call("GET", "/") or {}).get("version", ""))
        return self._version

    def read(self, names: Collection[str] | None) -> Reading:
        """The live connectors, by one request.

        Connect leaves out of it what has no status yet (for 0.2 s after a 201, and for longer on another worker), so
        where a wanted one is missing, the plain list is asked too.
        """
        listing = self._listing(self._rest.call)
        if names is not None and not set(names) <= listing.keys():
            listing = {**self._unreported(listing), **listing}
        wanted = listing.keys() if names is None else listing.keys() & set(names)
        found = {name: listing[name] for name in sorted(wanted)}
        return Reading(
            resources={Address("connector", n): connector_of(n, data, self.mask) for n, data in found.items()},
            names=frozenset(listing),
            health={Address("connector", n): health_of(data, self.mask) for n, data in found.items()},
        )

    def _listing(self, ask: Callable[[str, str], Any]) -> dict[str, Mapping[str, Any]]:
        return dict(ask("GET", "/connectors?expand=info&expand=status") or {})

    def _unreported(self, listing: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """The connectors that are there and were left out, with what is known of them."""
        found: dict[str, Mapping[str, Any]] = {}
        for name in self._rest.call("GET", "/connectors") or ():
            if name in listing or not NAME.match(name):
                continue
            try:
                found[name] = {"info": self._rest.call("GET", path_of(name))}
            except Conflict:
                continue
        return found

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """What Connect has against the configs that are new or change."""
        to_check = [change for change in changes if _is_checked(change)]
        if not to_check:
            return {}
        self._hide(to_check)
        validator = Validator(self._rest, self.mask, self.version, VALIDATION_SECONDS)
        with ThreadPoolExecutor(min(self._parallel, 8)) as pool:
            found = pool.map(validator.diagnostics, to_check)
            return {change.address: tuple(problems) for change, problems in zip(to_check, found, strict=True)}

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """The offsets of what is about to go, and whether it is there at all. A delete that keeps them needs none."""
        going = [c for c in changes if c.action in (Action.DELETE, Action.REPLACE, Action.MOVE) and not c.keep_offsets]
        with ThreadPoolExecutor(self._parallel) as pool:
            return dict(zip([c.address for c in going], pool.map(self._captured, going), strict=True))

    def _captured(self, change: Change) -> Mapping[str, Any]:
        if not supports(self.version, "read_offsets"):
            return {"existed": change.before is not None}
        name = (change.source or change.address).name
        try:
            data = self._rest.call("GET", path_of(name, "offsets")) or {}
        except Conflict:
            return {"existed": False}
        return {"existed": True, "offsets": list(data.get("offsets") or [])}

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Sends the changes, `parallel` at a time."""
        self._hide(changes)
        self._marks |= self._beats([change for change in changes if _must_beat(change)])

        def outcome(change: Change) -> Outcome:
            return self._act(change, captured.get(change.address, {}))

        with ThreadPoolExecutor(self._parallel) as pool:
            return dict(zip([c.address for c in changes], pool.map(outcome, changes), strict=True))

    def _act(self, change: Change, captured: Captured) -> Outcome:
        if change.is_ledger_only:
            return Outcome()
        try:
            note = Job(self._rest, self.version, change, captured).run()
        except KplanError as failure:
            return Outcome(failure)
        if change.action is Action.UPDATE and _must_beat(change):  # the old task may have beaten meanwhile
            self._marks |= self._beats([change])
        return Outcome(note=note)

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Looks at all of them at once, until each has held or failed."""
        waiting = [self._watch(change) for change in changes if not change.is_ledger_only]
        pause = 0.2
        while open_ := [watch for watch in waiting if watch.outcome is None]:
            self._look(open_, progress)
            if any(watch.outcome is None for watch in open_):
                self._patience.sleep(pause)
                pause = min(pause * 1.3, 1.0)
        done = {watch.change.address: watch.outcome or Outcome() for watch in waiting}
        return {change.address: done.get(change.address, Outcome()) for change in changes}

    def _watch(self, change: Change) -> Watch:
        after = change.after
        now = self._patience.clock()
        if not isinstance(after, Connector) or change.action is Action.DELETE:
            return Watch(change, "gone", 0, self._steady, now + self._settle_timeout)
        beat = after.heartbeat if self._heartbeat is not None and _must_beat(change) else ""
        seconds = max(self._settle_timeout, 3 * _beat_seconds(after) if beat else 0)
        updated = change.action is Action.UPDATE and (bool(changed_keys(change)) or change.restart)
        restarts, delay = after.rules.restart_failed or (0, 0.0)
        return Watch(
            change,
            after.state,
            hold=self._steady * (CHANGED_HOLD if updated else 1),
            steady=self._steady,
            deadline=now + seconds,
            beat=beat,
            mark=self._marks.pop(change.address, None),
            restarts=restarts,
            restart_delay=delay,
        )

    def _look(self, waiting: Sequence[Watch], progress: Progress) -> None:
        """One look at all of them; those that have come to an end have an outcome."""
        try:
            listing = self._listing(self._rest.once)
            names = set(self._rest.once("GET", "/connectors") or ()) if _needs_names(waiting, listing) else set()
            self._judge(waiting, listing, names | listing.keys(), progress)
        except KplanError as failure:
            self._bear(waiting, failure)

    def _bear(self, waiting: Sequence[Watch], failure: KplanError) -> None:
        """What may pass is waited for; nothing counts as having held over it."""
        now = self._patience.clock()
        for watch in waiting:
            watch.good_since = watch.bad_since = None
            if failure.error_class is not ErrorClass.RETRIABLE or now >= watch.deadline:
                watch.outcome = Outcome(_unknown(failure))

    def _judge(self, waiting: Sequence[Watch], listing: Mapping[str, Mapping[str, Any]], names: Collection[str],
               progress: Progress) -> None:  # fmt: skip
        now = self._patience.clock()
        for watch in waiting:
            watch.see(now, self._seen(watch, listing.get(watch.name), names))
        self._feel([watch for watch in waiting if watch.beat and not watch.alive and watch.held(now)])
        for watch in waiting:
            watch.outcome = self._verdict(watch, now)
            words = watch.words(now)
            if watch.outcome is None and words != watch.said:
                watch.said = words
                progress(watch.change.address, words)

    def _seen(self, watch: Watch, data: Mapping[str, Any] | None, names: Collection[str]) -> Look:
        """The look at one connector. A move has come to its end only when its source is gone."""
        if watch.wanted == "gone" and watch.name in names:
            return Look(words="waiting until it is gone")
        source = watch.change.source
        if source is not None and source.name in names and source.name != watch.name:
            return Look(words=f"waiting until {source.name} is gone")
        health = None if data is None else health_of(data, self.mask)
        return look(watch.wanted, health, len(((data or {}).get("info") or {}).get("tasks") or ()))

    def _verdict(self, watch: Watch, now: float) -> Outcome | None:
        if watch.held(now) and (watch.alive or not watch.beat):
            return Outcome()
        if watch.restart_due(now):
            self._restart(watch)
        elif watch.failed(now) and not watch.restarts:
            return Outcome(TaskFailed(watch.last.failure))
        return Outcome(watch.too_late()) if now >= watch.deadline else None

    def _restart(self, watch: Watch) -> None:
        """What failed is started again; one restart of the allowed ones is used up, whatever comes of it."""
        watch.restarts -= 1
        watch.bad_since = None
        log.warning("%s failed and is restarted, %d more times at most: %s", watch.name, watch.restarts,
                    watch.last.failure)  # fmt: skip
        self._rest.once("POST", path_of(watch.name, "restart?includeTasks=true&onlyFailed=true"))

    def _feel(self, watches: Sequence[Watch]) -> None:
        """Marks as alive whose heartbeat topic has grown since the change, or whose offsets move: a first snapshot
        of hours has no heartbeats. RUNNING is no proof (facts: 0.7)."""
        if not watches or self._heartbeat is None:
            return
        ends = self._heartbeat(sorted({watch.beat for watch in watches}))
        for watch in watches:
            end = ends.get(watch.beat, 0)
            watch.mark = end if watch.mark is None else watch.mark
            watch.alive = end > watch.mark or self._offsets_move(watch)

    def _offsets_move(self, watch: Watch) -> bool:
        """Whether the source's offsets have changed since the tasks held for the first time."""
        if not supports(self.version, "read_offsets"):
            return False
        data = self._rest.once("GET", path_of(watch.name, "offsets")) or {}
        now = json.dumps(data.get("offsets"), sort_keys=True)
        before, watch.offsets = watch.offsets or now, watch.offsets or now
        return now != before

    def _beats(self, changes: Sequence[Change]) -> dict[Address, int]:
        """The end of each one's heartbeat topic; none where it cannot be read, and settling then begins to count."""
        topics = {c.address: c.after.heartbeat for c in changes if isinstance(c.after, Connector)}
        if not topics or self._heartbeat is None:
            return {}
        try:
            ends = self._heartbeat(sorted(set(topics.values())))
        except KplanError as failure:
            log.warning("heartbeat topics cannot be read: %s", failure.message)
            return {}
        return {address: ends.get(topic, 0) for address, topic in topics.items()}

    def _hide(self, changes: Iterable[Change]) -> None:
        """The secrets of these changes are in no message."""
        for change in changes:
            self.mask.add_config(_config(change.before))
            self.mask.add_config(_config(change.after))

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """None: only topics have facts."""
        return {}

    def close(self) -> None:
        self._rest.close()


def _is_checked(change: Change) -> bool:
    if not isinstance(change.after, Connector) or change.is_ledger_only or change.action is Action.DELETE:
        return False
    return change.action is not Action.UPDATE or bool(changed_keys(change)) or _state(change) == "stopped"


def _state(change: Change) -> str:
    return change.after.state if isinstance(change.after, Connector) else ""


def _must_beat(change: Change) -> bool:
    """Whether it has to show by a heartbeat that it works: new, or with another config, and running."""
    after = change.after
    if not isinstance(after, Connector) or not after.heartbeat or after.state != "running":
        return False
    fresh = change.action in (Action.CREATE, Action.REPLACE, Action.MOVE)
    return fresh or (change.action is Action.UPDATE and bool(changed_keys(change)))


def _beat_seconds(connector: Connector) -> float:
    value = connector.config.get("heartbeat.interval.ms", "0")
    return int(value) / 1000 if isinstance(value, str) and value.isdecimal() else 0.0


def _needs_names(waiting: Iterable[Watch], listing: Collection[str]) -> bool:
    """What is gone from the listing may only lack a status; the plain list knows."""
    return any((watch.wanted == "gone" and watch.name not in listing) or watch.change.source for watch in waiting)


def _unknown(failure: KplanError) -> KplanError:
    """It was acted before, so a failure while looking does not mean that nothing happened."""
    failure.applied = None
    return failure


def _session(username: str, password: str, certificate: str, key: str, parallel: int) -> requests.Session:
    session = requests.Session()
    session.headers["Accept"] = "application/json"
    if username:
        session.auth = HTTPBasicAuth(username.encode(), password.encode())
    if certificate:
        session.cert = (certificate, key) if key else certificate
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=max(parallel, 10)))
    return session


def _without_login(urls: Sequence[str]) -> tuple[list[str], tuple[str, str]]:
    """The URLs as they may be shown, and the name and password that stood in the first that had one."""
    login = ("", "")
    plain = []
    for url in urls:
        parts = urlsplit(url)
        if parts.username and not login[0]:
            login = unquote(parts.username), unquote(parts.password or "")
        host = parts.netloc.rpartition("@")[2]
        plain.append(urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")))
    return plain, login


__all__ = ["FEATURES", "ConnectConnectors", "NotSettled", "TaskFailed", "classify", "condense", "supports"]
