"""One change's job: the requests that make it, each of which may have to be sent twice."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kplan.diagnostics import Conflict, KplanError, Unsupported
from kplan.kinds.connector.options import connector_options, drops_of, keeps_offsets
from kplan.model import Action, Change, Connector
from kplan.servers.connect.documents import changed_keys, completed, literal, state_of, unknown_keys
from kplan.servers.connect.errors import NotSettled
from kplan.servers.connect.rest import Rest, path_of, supports

log = logging.getLogger("kplan.servers.connect")  # one name for all that is done with Connect
Captured = Mapping[str, Any]


@dataclass(slots=True)
class Job:
    """One change on its way, `sent` once a request that changes something was accepted."""

    rest: Rest
    version: str
    change: Change
    captured: Captured
    drop: Callable[[Change], str] = lambda change: ""  # in the database, between a deletion and what follows it
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
            if drops_of(change) and change.reason != "undo":
                self.note = self.drop(change)  # a replacement that was cut off, somewhere after the deletion
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
        """It is created; "already exists" is our own doing where an answer was lost before and the config is ours."""
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
        """Config and state are as they should be, and what is to rest rests before its config changes."""
        state = self.change.before.state if isinstance(self.change.before, Connector) else ""
        if self.captured.get("restore") and self._restored(after.name, self.captured.get("offsets") or []):
            state = "stopped"
        if after.state != "running":
            self._go(after.name, after.state, state)
        keys = changed_keys(self.change)
        if keys:
            self._put_config(after, keys)
        if after.state == "running":
            self._go(after.name, after.state, state)
            if connector_options(self.change).restart:
                self._send("POST", path_of(after.name, "restart?includeTasks=true&onlyFailed=false"))

    def _restored(self, name: str, offsets: Sequence[Any]) -> bool:
        """Whether it had lost its offsets, in a deletion that was cut off, and has them again; it is STOPPED then."""
        if not offsets or not supports(self.version, "offsets") or self._offsets(name):
            return False
        self._final_offsets(name)
        self._put_offsets(name, offsets)
        return True

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
        """It is gone, with its offsets unless they are kept; being gone already is as good."""
        try:
            if not keeps_offsets(self.change):
                self._drop_offsets(name)
            self._send("DELETE", path_of(name), done=lambda: self._live_config(name) is None)
        except Conflict as failure:
            log.info("DELETE %s: %s", path_of(name), failure.message)
            self.note = self.note or "was gone already"

    def _drop_offsets(self, name: str) -> None:
        """Its offsets are gone, or the note says why they stay."""
        # KIP-875: only a STOPPED connector's can be deleted, and none after it is gone, so: stop, offsets, delete.
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
        """Another one is there under the same name, with the earlier offsets only where that undoes a replacement."""
        name = after.name
        config = completed(after.config, self._live_config(name) or {}, changed_keys(self.change))
        self._delete(name)
        if not self.rest.patience.until(lambda: self._live_config(name) is None):
            raise NotSettled(f"{name} was deleted and is still listed", help="see the log of the Connect worker")
        if drops_of(self.change):
            self.note = self.drop(self.change)
        self._create(after, config, self.captured.get("offsets") if self.captured.get("restore") else None)

    def _move(self, source: str, after: Connector) -> None:
        """`after` is there with the offsets of `source`, which is gone, also where an earlier try was cut off."""
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
