"""The requests of one change, each of which may have to be sent twice."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Conflict, KplanError, Unsupported
from kplan.kinds.connector.names import local_name, name_in_connect
from kplan.kinds.connector.options import connector_options, drops_of, keeps_offsets
from kplan.model import Action, Change, Connector
from kplan.servers.connect.documents import changed_keys, complete_secrets, state_of, to_literal, unknown_keys
from kplan.servers.connect.errors import NotSettled
from kplan.servers.connect.rest import path_of, supports
from kplan.servers.rest import Rest
from kplan.values import dataclass

log = logging.getLogger("kplan.servers.connect")  # one name for all work with Connect
Captured = Mapping[str, Any]


@dataclass(slots=True)
class Job:
    """One change in progress, `sent` once a request that changes something was accepted."""

    rest: Rest
    version: str
    change: Change
    captured: Captured
    drop: Callable[[Change], str] = lambda change: ""  # in the database, after a deletion
    there: Job | None = None  # the requests to another Connect, from which the connector moves
    sent: bool = False
    note: str = ""

    def run(self) -> str:
        """Make the change, without settling; return a note about it."""
        try:
            self._dispatch()
        except KplanError as failure:
            if self.sent:
                failure.applied = None
            raise
        return self.note

    def _dispatch(self) -> None:
        change, after = self.change, self.change.after
        if change.action is Action.DELETE:
            self._delete(change.address.name)
        elif not isinstance(after, Connector) or change.is_ledger_only:
            return
        elif change.action is Action.CREATE:
            if drops_of(change) and change.reason != "undo":
                self.note = self.drop(change)  # a replacement that was interrupted after the deletion
            self._create(after, to_literal(after.config), self.captured.get("offsets"))
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
        """Create it with its offsets, and set its state."""
        if offsets and not supports(self.version, "initial_state"):
            raise Unsupported(f"Connect {self.version} cannot create a connector STOPPED, so its offsets cannot be "
                              "put back before it starts", help="this needs Connect 3.7 (KIP-980)")  # fmt: skip
        self._post(connector, config, "stopped" if offsets else connector.state)
        if offsets:
            self._put_offsets(connector.name, offsets)
            self._set_state(connector.name, connector.state, "stopped")

    def _post(self, connector: Connector, config: Mapping[str, str], state: str) -> None:
        """Create it; "already exists" is accepted where an earlier answer was lost and the config is ours."""
        name, has_looked = name_in_connect(connector), False

        def is_ours() -> bool:
            nonlocal has_looked
            has_looked = True
            return self._read_config(name) == config

        body: dict[str, Any] = {"name": name, "config": config}
        if supports(self.version, "initial_state"):
            body["initial_state"] = state.upper()
        try:
            self._send("POST", "/connectors", body, is_ours)
        except Conflict:
            if not has_looked or not self.rest.patience.wait_until(is_ours, 5):
                raise
            self.sent = True
        if "initial_state" not in body and state != "running":
            self._set_state(name, state, "running")

    def _put_offsets(self, name: str, offsets: Sequence[Any]) -> None:
        expected = list(offsets)
        self._send("PATCH", path_of(name, "offsets"), {"offsets": expected},
                   lambda: _are_same_offsets(self._read_offsets(name), expected))  # fmt: skip

    # -- update

    def _update(self, after: Connector) -> None:
        """Set config and state; what should pause or stop does so before its config changes."""
        state = self.change.before.state if isinstance(self.change.before, Connector) else ""
        if self.captured.get("restore") and self._restore_offsets(after.name, self.captured.get("offsets") or []):
            state = "stopped"
        if after.state != "running":
            self._set_state(after.name, after.state, state)
        keys = changed_keys(self.change)
        if keys:
            self._put_config(after, keys)
        if after.state == "running":
            self._set_state(after.name, after.state, state)
            if connector_options(self.change).restart:
                self._send("POST", path_of(after.name, "restart?includeTasks=true&onlyFailed=false"))

    def _restore_offsets(self, name: str, offsets: Sequence[Any]) -> bool:
        """Restore offsets lost in an interrupted deletion; return whether that was needed: it is STOPPED then."""
        if not offsets or not supports(self.version, "offsets") or self._read_offsets(name):
            return False
        self._stop_and_read_offsets(name)
        self._put_offsets(name, offsets)
        return True

    def _put_config(self, after: Connector, keys: Collection[str]) -> None:
        name = after.name
        if not unknown_keys(after.config):
            config = to_literal(after.config)
            self._send("PUT", path_of(name, "config"), config, lambda: self._read_config(name) == config)
        elif supports(self.version, "patch"):
            self._patch_config(after, keys)
        else:
            config = complete_secrets(after.config, self._read_config(name) or {}, keys)
            self._send("PUT", path_of(name, "config"), config, lambda: self._read_config(name) == config)

    def _patch_config(self, after: Connector, keys: Collection[str]) -> None:
        """Send only what changes, so that secrets unknown here stay (KIP-477; null removes a key)."""
        new = to_literal({key: after.config[key] for key in keys if key in after.config})
        patch: dict[str, str | None] = {key: new.get(key) for key in sorted(keys)}

        def is_patched() -> bool:
            live = self._read_config(after.name)
            return live is not None and all(live.get(key) == value for key, value in patch.items())

        self._send("PATCH", path_of(after.name, "config"), patch, is_patched)

    def _set_state(self, name: str, state: str, current: str) -> None:
        """Request `state`, unless it is the current one."""
        if state == current:
            return
        if state == "stopped" and not supports(self.version, "stop"):
            raise Unsupported(f"Connect {self.version} cannot stop a connector", help="this needs 3.6; use `paused`")
        self._send("PUT", path_of(name, {"running": "resume", "paused": "pause", "stopped": "stop"}[state]))

    # -- delete, replace, move

    def _delete(self, name: str) -> None:
        """Delete it, with its offsets unless they are kept; a missing one is accepted."""
        try:
            if not keeps_offsets(self.change):
                self._drop_offsets(name)
            self._send("DELETE", path_of(name), done=lambda: self._read_config(name) is None)
        except Conflict as failure:
            log.info("DELETE %s: %s", path_of(name), failure.message)
            self.note = self.note or "was gone already"

    def _drop_offsets(self, name: str) -> None:
        """Delete its offsets, or note why they stay."""
        # KIP-875: offsets can only be deleted while the connector exists and is STOPPED, so: stop, offsets, delete.
        if not supports(self.version, "offsets"):
            self.note = f"its offsets stay: Connect {self.version} cannot delete them (3.6 can)"
            return
        self._send("PUT", path_of(name, "stop"))
        try:
            self._send("DELETE", path_of(name, "offsets"), done=lambda: self._read_offsets(name) == [])
        except KplanError as failure:
            if not isinstance(failure, Conflict) and self.change.action is Action.DELETE:
                failure.help = "`keep_offsets: true` on its entry in `removed:` deletes the connector without them"
            raise

    def _replace(self, after: Connector) -> None:
        """Recreate it under the same name; with the earlier offsets only where that undoes a replacement."""
        name = after.name
        config = complete_secrets(after.config, self._read_config(name) or {}, changed_keys(self.change))
        self._delete(name)
        if not self.rest.patience.wait_until(lambda: self._read_config(name) is None):
            raise NotSettled(f"{name} was deleted and is still listed", help="see the log of the Connect worker")
        if drops_of(self.change):
            self.note = self.drop(self.change)
        self._create(after, config, self.captured.get("offsets") if self.captured.get("restore") else None)

    def _move(self, source: str, after: Connector) -> None:
        """Create `after` with the offsets of `source`, and delete that, even after an interrupted attempt."""
        if not supports(self.version, "initial_state"):
            raise Unsupported(f"Connect {self.version} cannot move a connector", help="this needs 3.7 (KIP-980)")
        there = self.there or self
        live = there._read_config(source)
        if live is None:
            self._end_move(source, after)
            return
        self._refuse_same_connect(source, after)
        config = complete_secrets(after.config, live, changed_keys(self.change))
        offsets = there._stop_and_read_offsets(source)
        self.sent = True
        self._create_target(after, config)
        if offsets:
            self._put_offsets(after.name, offsets)
        self._set_state(after.name, after.state, "stopped")
        there._delete(source)
        self.note = self.note or there.note

    def _refuse_same_connect(self, source: str, after: Connector) -> None:
        """Raise Conflict where two aliases name one Connect: source and target would be one connector."""
        if self.there is None or local_name(source) != name_in_connect(after):
            return
        here, there = self._read_worker(after.name), self.there._read_worker(source)
        if here and here == there:
            raise Conflict(
                f"{source} and {after.name} are one connector, on worker {here}",
                help="two aliases in kplan.yaml name the same Connect: remove one",
            )

    def _end_move(self, source: str, after: Connector) -> None:
        """Finish an earlier attempt that deleted the source: only the target's state is left."""
        if self._read_config(after.name) is None:
            raise Conflict(f"neither {source} nor {after.name} is there", help="make a new plan")
        self._set_state(after.name, after.state, "")

    def _stop_and_read_offsets(self, name: str) -> list[Any]:
        """Return the offsets of a connector whose tasks have ended, so that they do not change any more."""
        self._send("PUT", path_of(name, "stop"))
        if not self.rest.patience.wait_until(lambda: self._has_stopped(name)):
            raise NotSettled(f"the tasks of {name} do not stop", help="see the log of the Connect worker")
        return self._read_offsets(name)

    def _create_target(self, after: Connector, config: Mapping[str, str]) -> None:
        """Create the target STOPPED, or stop the one of an earlier attempt."""
        if self._read_config(after.name) != config:
            self._post(after, config, "stopped")
            return
        self._stop_and_read_offsets(after.name)

    # -- live state

    def _read_config(self, name: str) -> dict[str, str] | None:
        """Return the stored config without `name`; None where there is no such connector."""
        try:
            data = self.rest.call("GET", path_of(name, "config"))
        except Conflict:
            return None
        return {str(key): str(value) for key, value in (data or {}).items() if key != "name"}

    def _read_offsets(self, name: str) -> list[Any]:
        return list((self.rest.call("GET", path_of(name, "offsets")) or {}).get("offsets") or [])

    def _read_worker(self, name: str) -> str:
        """Return the id of the worker that runs the connector; empty where there is none."""
        try:
            status = self.rest.call("GET", path_of(name, "status"))
        except Conflict:
            return ""
        return str((status.get("connector") or {}).get("worker_id", ""))

    def _has_stopped(self, name: str) -> bool:
        try:
            status = self.rest.call("GET", path_of(name, "status"))
        except Conflict:  # no status yet
            return False
        return state_of({"status": status}) == "stopped" and not status.get("tasks")


def _are_same_offsets(some: Sequence[Any], other_offsets: Sequence[Any]) -> bool:
    def sort_offsets(offsets: Sequence[Any]) -> list[str]:
        return sorted(json.dumps(offset, sort_keys=True) for offset in offsets)

    return sort_offsets(some) == sort_offsets(other_offsets)
