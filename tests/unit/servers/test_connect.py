"""The Connect backend against a server that answers like Connect 4.3.1, and that can be told to misbehave.

The shapes of all answers were recorded from a real worker. Time is fake, so that nothing here waits.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from kplan.diagnostics import (
    Busy,
    Conflict,
    Denied,
    KplanError,
    Rejected,
    Severity,
    Span,
    Timeout,
    Unreachable,
    Unsupported,
)
from kplan.kinds.connector.options import ConnectorOptions
from kplan.model import Action, Address, AttrDiff, Change, Connector, Origin, Rules, Secret
from kplan.servers.access import Access, Pacing
from kplan.servers.base import Outcome
from kplan.servers.connect.connectors import ConnectConnectors
from kplan.servers.connect.errors import NotSettled, TaskFailed
from tests.fakes.clock import FakeTime
from tests.fakes.connect import (
    CLASS,
    EXPECTED,
    FORWARD,
    JETTY,
    LOST,
    REBALANCE,
    RESET,
    SINK,
    STOPPED_FIRST,
    FakeConnect,
    serving_connect,
)

CANARY = "canary-5ecret"


@pytest.fixture
def fake() -> FakeConnect:
    return FakeConnect()


@pytest.fixture
def url(fake: FakeConnect) -> Iterator[str]:
    with serving_connect(fake) as url:
        yield url


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


Make = Callable[..., ConnectConnectors]


def _take(kind: type[Access | Pacing], options: dict[str, Any]) -> dict[str, Any]:
    """Take the options out that are fields of `kind`."""
    return {field.name: options.pop(field.name) for field in fields(kind) if field.name in options}


@pytest.fixture
def make(url: str, fake_time: FakeTime) -> Iterator[Make]:
    made: list[ConnectConnectors] = []

    def build(urls: Collection[str] = (), **options: Any) -> ConnectConnectors:
        usual = {"clock": fake_time.clock, "sleep": fake_time.sleep, "request_timeout": 5, "jitter": lambda: 1.0}
        given = {**usual, **options}
        access = Access(list(urls or (url,)), **_take(Access, given))
        made.append(ConnectConnectors(access, Pacing(**_take(Pacing, given)), **given))
        return made[-1]

    yield build
    for backend in made:
        backend.close()


@pytest.fixture
def backend(make: Make) -> ConnectConnectors:
    return make()


def connector(name: str = "cdc", state: str = "running", **config: str | Secret) -> Connector:
    return Connector(name, {"connector.class": CLASS, **{k.replace("_", "."): v for k, v in config.items()}}, state)


def change(action: Action, before: Connector | None, after: Connector | None, **fields: Any) -> Change:
    return Change(((after or before) or connector()).address, action, before, after, **fields)


def act(backend: ConnectConnectors, step: Change, captured: Mapping[str, Any] | None = None) -> Outcome:
    return backend.act([step], {step.address: captured} if captured else {})[step.address]


def settle(backend: ConnectConnectors, step: Change) -> Outcome:
    return backend.settle([step], lambda address, words: None)[step.address]


class TestIdentify:
    def test_it_says_who_the_server_is(self, backend: ConnectConnectors, url: str) -> None:
        target = backend.identify()
        assert (target.cluster_id, target.connect_version) == ("QoGeIyCnQp6G29BSHsm6eQ", "4.3.1")
        assert target.connect_url == url

    def test_a_worker_that_refuses_is_passed_over(self, make: Make, url: str) -> None:
        backend = make(["http://127.0.0.1:1", url])
        assert backend.identify().connect_url == url

    def test_nobody_there(self, make: Make, fake_time: FakeTime) -> None:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1") as failure:
            make(["http://127.0.0.1:1"]).identify()
        assert "Connection refused" in failure.value.message and failure.value.help
        assert fake_time.slept == [], "whoever waits for a worker does so himself"

    def test_an_unknown_host(self, make: Make) -> None:
        with pytest.raises(Unreachable):
            make(["http://no-such-host.invalid:8083"]).identify()

    def test_a_wrong_password(self, make: Make, fake: FakeConnect) -> None:
        fake.fault("GET /$", (401, "<html><title>Error 401 Unauthorized</title></html>"))
        with pytest.raises(Denied, match="Unauthorized"):
            make().identify()

    @pytest.mark.parametrize("body", ["<html>hello</html>", "<3"])
    def test_another_server(self, backend: ConnectConnectors, fake: FakeConnect, body: str) -> None:
        fake.fault("GET /$", (200, body))
        with pytest.raises(Unsupported, match="Kafka Connect"):
            backend.identify()

    def test_a_redirect_is_not_followed(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.fault("GET /$", (302, "<html></html>"))
        with pytest.raises(Rejected) as failure:
            backend.identify()
        assert "redirects" in failure.value.help

    def test_name_and_password_of_a_url_are_used_and_not_shown(self, make: Make, fake: FakeConnect, url: str) -> None:
        backend = make([url.replace("//", f"//ann:{CANARY}@")])
        assert backend.identify().connect_url == url
        assert fake.headers[-1]["Authorization"].startswith("Basic ")

    def test_a_certificate_that_nobody_trusts(self, make: Make, url: str, fake_time: FakeTime) -> None:
        with pytest.raises(KplanError, match="TLS") as failure:
            make([url.replace("http", "https")]).read(None)
        assert "http://" in failure.value.help and fake_time.slept == []


class TestRead:
    def test_everything_by_one_request(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        for name in ("a", "b"):
            fake.put(name, {"connector.class": CLASS, "password": CANARY, "b.password": "${env:X}"}, hidden=0)
        reading = backend.read(None)
        assert fake.requests == ["GET /connectors?expand=info&expand=status"]
        assert reading.names == {"a", "b"}
        found = reading.resources[Address("connector", "a")]
        assert found == connector("a", password=Secret(value=CANARY), b_password="${env:X}")
        assert CANARY not in repr(reading)

    @pytest.mark.parametrize("state", ["RUNNING", "PAUSED", "STOPPED", "FAILED", "UNASSIGNED", "RESTARTING"])
    def test_health_is_no_state(self, backend: ConnectConnectors, fake: FakeConnect, state: str) -> None:
        fake.put("a", {}, state, hidden=0)
        reading = backend.read(["a"])
        expected = state.lower() if state in ("PAUSED", "STOPPED") else "running"
        assert reading.resources[Address("connector", "a")].state == expected  # type: ignore[union-attr]
        assert reading.health[Address("connector", "a")].state == state

    def test_what_a_sink_reads(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("a", {"connector.class": SINK, "topics": "x, y"}, hidden=0)
        found = backend.read(["a"]).resources[Address("connector", "a")]
        assert isinstance(found, Connector) and found.reads == ("x", "y")

    def test_a_cause_has_no_secret(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("a", {"password": CANARY}, hidden=0)
        fake.connectors["a"].trace = f"a.b.C: login {CANARY} refused\n\tat x\nCaused by: d.E: because {CANARY}"
        task = backend.read(None).health[Address("connector", "a")].failed[0]
        assert task.cause == "C: login (sensitive) refused; caused by E: because (sensitive)"
        assert task.worker == "w:8083"

    def test_absent_ones_are_left_out(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("a", {}, hidden=0)
        reading = backend.read(["b"])
        assert (dict(reading.resources), reading.names) == ({}, {"a"})

    def test_one_without_a_status_is_there_all_the_same(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("a", {"x": "1"}, hidden=9)
        reading = backend.read(["a"])
        assert reading.resources[Address("connector", "a")] == Connector("a", {"x": "1"})
        assert reading.health[Address("connector", "a")].state == "UNASSIGNED"

    @pytest.mark.parametrize(
        "faults", [[REBALANCE], [EXPECTED] * 4, [FORWARD] * 8, [JETTY, (503, "starting")], [RESET]]
    )
    def test_what_passes_is_waited_for(self, backend: ConnectConnectors, fake: FakeConnect, faults: list[Any]) -> None:
        fake.put("a", {}, hidden=0)
        fake.fault("expand", *faults)
        assert backend.read(None).names == {"a"}

    def test_what_does_not_pass_ends(self, backend: ConnectConnectors, fake: FakeConnect, fake_time: FakeTime) -> None:
        fake.fault("expand", *[REBALANCE] * 999)
        with pytest.raises(Busy, match="worker rebalance"):
            backend.read(None)
        assert 100 < fake_time.now <= 120, "as long as settling may take"
        assert fake_time.slept[:4] == [1, 2, 4, 5]

    def test_lost_answers_are_counted(self, make: Make, fake: FakeConnect, fake_time: FakeTime) -> None:
        fake.fault("expand", *[RESET] * 99)
        with pytest.raises(Timeout):
            make(attempts=3).read(None)
        assert len(fake_time.slept) == 2

    def test_no_answer_in_time_is_a_timeout(self, make: Make, fake: FakeConnect) -> None:
        slow = fake.answer
        fake.answer = lambda *call: (time.sleep(0.5), slow(*call))[1]  # type: ignore[method-assign]
        with pytest.raises(Timeout, match="lost") as failure:
            make(request_timeout=0.1, attempts=1).read(None)
        assert failure.value.applied is None


class TestCreate:
    def test_it_is_posted_with_its_state(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        assert act(backend, change(Action.CREATE, None, connector(state="paused", a=Secret(value="1")))).ok
        assert fake.connectors["cdc"].state == "PAUSED"
        assert fake.connectors["cdc"].config == {"connector.class": CLASS, "a": "1", "name": "cdc"}

    def test_on_an_old_worker_it_is_paused_afterwards(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.version = "3.6.0"
        assert act(backend, change(Action.CREATE, None, connector(state="paused"))).ok
        assert fake.requests[1:] == ["POST /connectors", "PUT /connectors/cdc/pause"]

    def test_one_that_is_there_is_a_conflict(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", dict(connector().config))  # type: ignore[arg-type]
        outcome = act(backend, change(Action.CREATE, None, connector()))
        assert isinstance(outcome.error, Conflict) and outcome.error.applied is False

    @pytest.mark.parametrize("lost", [LOST, (500, "Request timed out. The worker is busy"), RESET])
    def test_after_a_lost_answer_live_state_decides(
        self, backend: ConnectConnectors, fake: FakeConnect, lost: tuple[int, str]
    ) -> None:
        fake.fault("POST /connectors", lost)
        assert act(backend, change(Action.CREATE, None, connector())).ok
        assert list(fake.connectors) == ["cdc"]
        assert fake.requests.count("POST /connectors") == (1 if lost is LOST else 2)

    def test_one_that_came_late_is_our_own(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        """The lost request is still on its way while we look, so that the second one is refused."""
        fake.fault("POST /connectors", RESET)
        fake.fault("GET /connectors/cdc/config", (404, "Connector cdc not found"))
        fake.put("cdc", dict(connector().config))  # type: ignore[arg-type]
        assert act(backend, change(Action.CREATE, None, connector())).ok

    def test_somebody_elses_is_not_our_own(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.fault("POST /connectors", RESET)
        fake.put("cdc", {"other": "config"})
        assert isinstance(act(backend, change(Action.CREATE, None, connector())).error, Conflict)

    def test_offsets_are_put_back_before_it_starts(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        offsets = [{"partition": {"server": "p"}, "offset": {"lsn": 7}}]
        assert act(backend, change(Action.CREATE, None, connector()), {"offsets": offsets}).ok
        assert fake.requests[1:] == [
            "POST /connectors",
            "PATCH /connectors/cdc/offsets",
            "PUT /connectors/cdc/resume",
        ]
        assert fake.bodies[1][1]["initial_state"] == "STOPPED"
        assert fake.connectors["cdc"].offsets == offsets

    def test_no_offsets_no_patch(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        assert act(backend, change(Action.CREATE, None, connector()), {"offsets": []}).ok
        assert fake.requests[1:] == ["POST /connectors"]

    def test_a_failure_on_the_way_may_have_taken_effect(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.fault("PATCH", (500, "The value for the 'x' key in the offset is expected to be a Long value"))
        outcome = act(backend, change(Action.CREATE, None, connector()), {"offsets": [{"partition": {}, "offset": {}}]})
        assert isinstance(outcome.error, Rejected) and outcome.error.applied is None

    def test_an_invalid_config(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        message = (
            f"Connector configuration is invalid and contains the following 1 error(s):\nbad {CANARY}\nYou can also"
        )
        fake.fault("POST", (400, message))
        error = act(backend, change(Action.CREATE, None, connector(password=Secret(value=CANARY)))).error
        assert isinstance(error, Rejected) and error.applied is False
        assert error.message.endswith("bad (sensitive)\nYou can also")

    def test_a_missing_class_has_its_own_code(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.fault("POST", (500, "Failed to find any class that implements Connector, available connectors are: many"))
        error = act(backend, change(Action.CREATE, None, connector())).error
        assert error is not None and error.code == "K303" and "many" not in error.message

    def test_a_secret_that_is_not_known_is_not_sent(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        error = act(backend, change(Action.CREATE, None, connector(password=Secret("{{ var.p }}")))).error
        assert isinstance(error, Rejected) and "password" in error.message and "POST /connectors" not in fake.requests

    @pytest.mark.parametrize("name", ["a/b", "a b", "..", ".", "", "ä"])
    def test_a_name_that_cannot_be_addressed(self, backend: ConnectConnectors, name: str) -> None:
        step = change(Action.UPDATE, connector(name), connector(name, a="1"))
        assert isinstance(act(backend, step).error, Rejected)

    def test_each_is_answered_for_itself(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("b", {})
        steps = [change(Action.CREATE, None, connector(name)) for name in "abc"]
        outcomes = backend.act(steps, {})
        assert [outcomes[step.address].ok for step in steps] == [True, False, True]


class TestUpdate:
    @pytest.fixture(autouse=True)
    def live(self, fake: FakeConnect) -> None:
        fake.put("cdc", {"connector.class": CLASS, "a": "1", "password": CANARY}, hidden=0)
        fake.version = "4.3.1"

    before = connector(a="1", password=Secret(value=CANARY))

    def update(self, backend: ConnectConnectors, after: Connector, **fields: Any) -> Outcome:
        return act(backend, change(Action.UPDATE, self.before, after, **fields))

    def test_the_whole_config_is_put(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        assert self.update(backend, connector(b="2", password=Secret(value=CANARY))).ok
        assert fake.requests[1:] == ["PUT /connectors/cdc/config"]
        assert fake.connectors["cdc"].config == {"connector.class": CLASS, "b": "2", "password": CANARY, "name": "cdc"}

    def test_only_the_state(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        assert self.update(backend, replace(self.before, state="stopped")).ok
        assert fake.requests[1:] == ["PUT /connectors/cdc/stop"]

    def test_what_is_to_rest_rests_first(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        assert self.update(backend, connector(state="paused", b="2")).ok
        assert fake.requests[1:] == ["PUT /connectors/cdc/pause", "PUT /connectors/cdc/config"]

    def test_what_is_to_run_runs_last(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        step = change(
            Action.UPDATE,
            replace(self.before, state="stopped"),
            connector(b="2"),
            options=ConnectorOptions(restart=True),
        )
        assert act(backend, step).ok
        assert fake.requests[1:] == [
            "PUT /connectors/cdc/config",
            "PUT /connectors/cdc/resume",
            "POST /connectors/cdc/restart?includeTasks=true&onlyFailed=false",
        ]

    def test_a_secret_nobody_knows_here_stays(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        after = connector(b="2", password=Secret("{{ var.p }}"))
        assert self.update(backend, after, diffs=(AttrDiff("/config/b", None, "2"),)).ok
        assert fake.bodies[-1] == ("PATCH /connectors/cdc/config", {"a": None, "b": "2"})
        assert fake.connectors["cdc"].config["password"] == CANARY

    def test_an_old_worker_gets_it_back_from_its_own_config(
        self, backend: ConnectConnectors, fake: FakeConnect
    ) -> None:
        fake.version = "3.7.0"
        assert self.update(backend, connector(b="2", password=Secret("{{ var.p }}"))).ok
        assert fake.bodies[-1][0] == "PUT /connectors/cdc/config" and fake.bodies[-1][1]["password"] == CANARY

    @pytest.mark.parametrize("version", ["3.7.0", "4.3.1"])
    def test_a_changed_secret_nobody_knows_here_is_refused(
        self, backend: ConnectConnectors, fake: FakeConnect, version: str
    ) -> None:
        fake.version = version
        after = connector(a="1", password=Secret("{{ var.p }}"))
        diff = AttrDiff("/config/password", Secret(fingerprint="1"), Secret(fingerprint="2"))
        assert isinstance(self.update(backend, after, diffs=(diff,)).error, Rejected)

    def test_nothing_different_is_not_put(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        assert self.update(backend, self.before).ok
        assert fake.requests[1:] == []

    def test_a_lost_answer_is_not_repeated_if_it_took_effect(
        self, backend: ConnectConnectors, fake: FakeConnect
    ) -> None:
        fake.fault("PUT", LOST)
        assert self.update(backend, connector(b="2")).ok
        assert fake.requests[1:] == ["PUT /connectors/cdc/config", "GET /connectors/cdc/config"]

    def test_a_lost_answer_is_repeated_if_it_did_not(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.fault("PUT", RESET, REBALANCE)
        assert self.update(backend, connector(b="2")).ok
        assert fake.connectors["cdc"].config["b"] == "2"


class TestDelete:
    step = change(Action.DELETE, connector(), None)

    def test_with_its_offsets(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", {})
        assert act(backend, self.step).ok
        assert fake.requests[1:] == [
            "PUT /connectors/cdc/stop",
            "DELETE /connectors/cdc/offsets",
            "DELETE /connectors/cdc",
        ]

    def test_without_its_offsets(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", {})
        assert act(backend, replace(self.step, options=ConnectorOptions(keep_offsets=True))).ok
        assert fake.requests[1:] == ["DELETE /connectors/cdc"]

    def test_gone_already_is_as_good(self, backend: ConnectConnectors) -> None:
        outcome = act(backend, self.step)
        assert outcome.ok and outcome.note == "was gone already"

    def test_tasks_that_still_run_are_waited_for(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", {})
        fake.fault("DELETE .*/offsets", STOPPED_FIRST, STOPPED_FIRST)
        assert act(backend, self.step).ok and not fake.connectors

    def test_a_lost_answer(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", {})
        fake.fault("DELETE /connectors/cdc$", LOST)
        assert act(backend, self.step).ok

    def test_offsets_that_cannot_be_deleted(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", {})
        fake.fault("DELETE .*/offsets", (500, "Failed to find any class that implements Connector"))
        error = act(backend, self.step).error
        assert error is not None and "keep_offsets" in error.help and "cdc" in fake.connectors
        assert error.applied is None, "it was stopped"

    def test_an_old_worker_keeps_the_offsets_and_it_is_said(
        self, backend: ConnectConnectors, fake: FakeConnect
    ) -> None:
        fake.version = "3.5.0"
        fake.put("cdc", {})
        outcome = act(backend, self.step)
        assert outcome.ok and "offsets stay" in outcome.note and not fake.connectors


class TestReplaceAndMove:
    offsets = [{"partition": {"server": "p"}, "offset": {"lsn": 7}}]

    def test_a_replacement_begins_anew(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", {"connector.class": CLASS, "password": CANARY}, offsets=self.offsets)
        before = connector(password=Secret(value=CANARY))
        after = connector(password=Secret("{{ var.p }}"), b="2")
        step = change(Action.REPLACE, before, after)
        assert act(backend, step, {"offsets": self.offsets}).ok
        entry = fake.connectors["cdc"]
        assert entry.offsets == [] and entry.config["password"] == CANARY and entry.config["b"] == "2"

    def test_to_undo_one_the_offsets_are_put_back(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", {"connector.class": CLASS})
        step = change(Action.REPLACE, connector(), connector(a="1"))
        assert act(backend, step, {"offsets": self.offsets, "restore": True}).ok
        assert fake.connectors["cdc"].offsets == self.offsets

    def move(self) -> Change:
        source = connector("old", password=Secret(value=CANARY))
        return change(Action.MOVE, source, replace(source, name="new"))

    def test_a_move_takes_the_offsets_along(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("old", {"connector.class": CLASS, "password": CANARY}, offsets=self.offsets)
        assert act(backend, self.move()).ok
        assert list(fake.connectors) == ["new"]
        assert (fake.connectors["new"].offsets, fake.connectors["new"].state) == (self.offsets, "RUNNING")
        started = fake.requests.index("PUT /connectors/new/resume")
        assert fake.requests.index("PATCH /connectors/new/offsets") < started
        assert started < fake.requests.index("DELETE /connectors/old")

    @pytest.mark.parametrize("cut", ["POST /connectors$", "PATCH", "PUT .*/resume", "DELETE /connectors/old$"])
    def test_a_move_that_was_cut_off_can_be_done_again(self, make: Make, fake: FakeConnect, cut: str) -> None:
        fake.put("old", {"connector.class": CLASS, "password": CANARY}, offsets=self.offsets)
        fake.fault(cut, (400, "cut"))
        assert not act(make(), self.move()).ok
        assert act(make(), self.move()).ok
        assert list(fake.connectors) == ["new"]
        assert (fake.connectors["new"].offsets, fake.connectors["new"].state) == (self.offsets, "RUNNING")

    def test_no_entry_under_removed_is_advised(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("old", {"connector.class": CLASS, "password": CANARY}, offsets=self.offsets)
        fake.fault("DELETE .*/offsets", (500, "Failed to find any class that implements Connector"))
        error = act(backend, self.move()).error
        assert error is not None and "removed:" not in error.help

    def test_the_way_back(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("old", {"connector.class": CLASS, "password": CANARY}, offsets=self.offsets)
        there = self.move()
        assert there.before is not None and there.source is not None
        back = replace(there, address=there.source, before=there.after, after=there.before)
        assert act(backend, there).ok and act(backend, back).ok
        assert list(fake.connectors) == ["old"] and fake.connectors["old"].offsets == self.offsets

    def test_a_target_that_is_somebody_elses(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("old", {"connector.class": CLASS, "password": CANARY})
        fake.put("new", {"other": "config"})
        assert isinstance(act(backend, self.move()).error, Conflict)
        assert set(fake.connectors) == {"old", "new"}

    def test_an_old_worker_cannot_move(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.version = "3.6.0"
        fake.put("old", {})
        assert isinstance(act(backend, self.move()).error, Unsupported)


class TestCapture:
    def test_offsets_of_what_goes(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        offsets = [{"partition": {"server": "p"}, "offset": {"lsn": 7}}]
        for name in ("a", "b", "c", "d"):
            fake.put(name, {}, offsets=offsets)
        move = change(Action.MOVE, connector("a"), connector("moved"))
        steps = [
            change(Action.DELETE, connector("b"), None),
            change(Action.REPLACE, connector("c"), connector("c")),
            change(Action.UPDATE, connector("d"), connector("d", a="1")),
            change(Action.CREATE, None, connector("e")),
            change(Action.DELETE, connector("gone"), None),
            move,
        ]
        kept = {"existed": True, "offsets": offsets}
        assert backend.capture(steps) == {
            Address("connector", "b"): kept,
            Address("connector", "c"): kept,
            Address("connector", "gone"): {"existed": False},
            Address("connector", "moved"): kept,
        }

    def test_offsets_that_are_kept_need_none(self, backend: ConnectConnectors) -> None:
        assert (
            backend.capture([change(Action.DELETE, connector(), None, options=ConnectorOptions(keep_offsets=True))])
            == {}
        )


NOT_AUTHORIZED = (
    "org.apache.kafka.connect.errors.ConnectException: Unrecoverable exception from producer send callback\n\tat a\n"
    "Caused by: org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized to access topics: [t]\n"
)
TRACE = "org.x.ConnectException: it failed\n\tat a\nCaused by: org.y.PSQLException: no publication\n"


class TestSettle:
    def test_running_has_to_hold(self, backend: ConnectConnectors, fake: FakeConnect, fake_time: FakeTime) -> None:
        fake.put("cdc", {}, hidden=3)
        seen: list[str] = []
        step = change(Action.CREATE, None, connector())
        assert backend.settle([step], lambda address, words: seen.append(f"{address} {words}"))[step.address].ok
        assert fake_time.now >= 1.0
        assert seen == [
            "connector/cdc not listed yet",
            "connector/cdc running; watching 1 s for an early failure",
        ]

    def test_a_task_that_fails_after_the_201(
        self, backend: ConnectConnectors, fake: FakeConnect, fake_time: FakeTime
    ) -> None:
        fake.put("cdc", {}, hidden=0)
        fake_time.at(0.8, lambda: setattr(fake.connectors["cdc"], "trace", TRACE))
        error = settle(backend, change(Action.CREATE, None, connector())).error
        assert isinstance(error, TaskFailed) and error.code == "K512" and error.applied is None
        assert error.message == "task 0 on w:8083: ConnectException: it failed; caused by PSQLException: no publication"

    @pytest.mark.parametrize(
        ("java_class", "config", "named"),
        [
            ("postgresql.PostgresConnector", {"dbname": "shop", "port": "5433"}, "PostgreSQL database shop at db:5433"),
            ("mariadb.MariaDbConnector", {}, "MariaDB at db:3306"),
            ("mariadb.MariaDbConnector", {"hostname": "${file:/run/db:host}"}, ""),
            ("sqlserver.SqlServerConnector", {"port": "1433"}, ""),
        ],
    )
    def test_a_failed_task_comes_with_the_database_that_it_reads(
        self, backend: ConnectConnectors, fake: FakeConnect, java_class: str, config: dict[str, str], named: str
    ) -> None:
        fake.put("cdc", {}, hidden=0)
        fake.connectors["cdc"].trace = TRACE
        settings = {"hostname": "db", **config}
        reads = connector(connector_class=f"io.debezium.connector.{java_class}",
                          **{f"database_{key}": value for key, value in settings.items()})  # fmt: skip
        error = settle(backend, change(Action.CREATE, None, reads)).error
        assert isinstance(error, TaskFailed)
        assert error.help == (f"it reads {named}: see that this answers" if named else "")

    def test_a_failure_from_before_the_change_is_none(
        self, backend: ConnectConnectors, fake: FakeConnect, fake_time: FakeTime
    ) -> None:
        fake.put("cdc", {}, hidden=0)
        fake.connectors["cdc"].trace = TRACE
        fake_time.at(0.4, lambda: setattr(fake.connectors["cdc"], "trace", ""))
        assert settle(backend, change(Action.UPDATE, connector(), connector(a="1"))).ok

    def test_a_connector_that_fails_itself(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", {}, "FAILED", hidden=0)
        error = settle(backend, change(Action.CREATE, None, connector())).error
        assert isinstance(error, TaskFailed) and error.message.startswith("the connector")

    @pytest.mark.parametrize(("live", "state"), [("PAUSED", "paused"), ("STOPPED", "stopped")])
    def test_at_rest(self, backend: ConnectConnectors, fake: FakeConnect, live: str, state: str) -> None:
        fake.put("cdc", {}, live, hidden=2)
        assert settle(backend, change(Action.CREATE, None, connector(state=state))).ok

    @pytest.mark.parametrize("state", ["running", "paused", "stopped"])
    def test_too_late(self, make: Make, fake: FakeConnect, fake_time: FakeTime, state: str) -> None:
        fake.put("cdc", {}, "UNASSIGNED", hidden=0)
        error = settle(make(settle_timeout=20), change(Action.CREATE, None, connector(state=state))).error
        assert isinstance(error, NotSettled) and error.code == "K514" and "UNASSIGNED" in error.message
        assert 20 <= fake_time.now < 22

    def test_gone(self, backend: ConnectConnectors, fake: FakeConnect, fake_time: FakeTime) -> None:
        fake.put("cdc", {}, hidden=999)
        fake_time.at(3, fake.connectors.clear)
        assert settle(backend, change(Action.DELETE, connector(), None)).ok
        assert fake_time.now >= 3, "without a status it is still there"

    def test_a_move_waits_for_both(self, backend: ConnectConnectors, fake: FakeConnect, fake_time: FakeTime) -> None:
        fake.put("new", {}, hidden=0)
        fake.put("old", {}, hidden=0)
        fake_time.at(5, lambda: fake.connectors.pop("old") and None)
        step = change(Action.MOVE, connector("old"), connector("new"))
        assert settle(backend, step).ok and fake_time.now >= 5

    def test_a_rebalance_while_looking(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", {}, hidden=0)
        fake.fault("expand", REBALANCE, EXPECTED, FORWARD, RESET)
        assert settle(backend, change(Action.CREATE, None, connector())).ok

    def test_not_allowed_to_look(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.fault("expand", (403, "no"))
        error = settle(backend, change(Action.CREATE, None, connector())).error
        assert isinstance(error, Denied) and error.applied is None, "it was acted before"

    def test_failed_tasks_are_restarted_as_often_as_asked(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.put("cdc", {}, hidden=0)
        fake.connectors["cdc"].trace = TRACE
        after = replace(connector(), rules=Rules(restart_failed=(3, 10.0)))
        error = settle(backend, change(Action.CREATE, None, after)).error
        assert isinstance(error, TaskFailed) and fake.connectors["cdc"].restarts == 3
        assert "POST /connectors/cdc/restart?includeTasks=true&onlyFailed=true" in fake.requests

    def test_a_restart_that_helps(self, backend: ConnectConnectors, fake: FakeConnect, fake_time: FakeTime) -> None:
        fake.put("cdc", {}, hidden=0)
        fake.connectors["cdc"].trace = TRACE
        fake_time.at(15, lambda: setattr(fake.connectors["cdc"], "trace", ""))
        after = replace(connector(), rules=Rules(restart_failed=(3, 10.0)))
        assert settle(backend, change(Action.CREATE, None, after)).ok
        assert fake.connectors["cdc"].restarts == 1

    @pytest.mark.parametrize("granted_at", [0.5, 5, 15])
    def test_brokers_may_learn_of_the_bindings_of_the_run_a_little_later(
        self, backend: ConnectConnectors, fake: FakeConnect, fake_time: FakeTime, granted_at: float
    ) -> None:
        fake.put("cdc", {}, hidden=0)
        fake.connectors["cdc"].trace = NOT_AUTHORIZED
        fake_time.at(granted_at, lambda: setattr(fake.connectors["cdc"], "trace", ""))
        backend.watch([Address("acl", "User:cdc/allow/Write/topic/t"), Address("connector", "cdc")], "")
        assert settle(backend, change(Action.CREATE, None, connector())).ok
        assert fake_time.now < granted_at + 15

    def test_a_connector_that_stays_refused_fails_when_its_time_is_up(
        self, make: Make, fake: FakeConnect, fake_time: FakeTime
    ) -> None:
        backend = make(settle_timeout=20)
        fake.put("cdc", {}, hidden=0)
        fake.connectors["cdc"].trace = NOT_AUTHORIZED
        backend.watch([Address("acl", "User:cdc/allow/Write/topic/t")], "")
        error = settle(backend, change(Action.CREATE, None, connector())).error
        assert isinstance(error, TaskFailed) and "TopicAuthorizationException" in error.message
        assert 20 <= fake_time.now < 22 and fake.connectors["cdc"].restarts > 5

    @pytest.mark.parametrize(("trace", "kind"), [(TRACE, "acl"), (NOT_AUTHORIZED, "topic")])
    def test_other_failures_and_other_runs_are_not_waited_for(
        self, backend: ConnectConnectors, fake: FakeConnect, fake_time: FakeTime, trace: str, kind: str
    ) -> None:
        fake.put("cdc", {}, hidden=0)
        fake.connectors["cdc"].trace = trace
        backend.watch([Address(kind, "User:cdc/allow/Write/topic/t")], "")
        assert isinstance(settle(backend, change(Action.CREATE, None, connector())).error, TaskFailed)
        assert fake.connectors["cdc"].restarts == 0 and fake_time.now < 10

    def test_a_wave_is_looked_at_by_one_request_at_a_time(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        steps = [change(Action.CREATE, None, connector(f"c{number}")) for number in range(20)]
        for step in steps:
            fake.put(step.address.name, {}, hidden=0)
        assert all(outcome.ok for outcome in backend.settle(steps, lambda *_: None).values())
        assert len(fake.requests) < 10


class TestHeartbeat:
    """RUNNING is no proof that it works (facts: 0.7)."""

    after = replace(connector(a="1"), heartbeat="__debezium-heartbeat.p")
    step = change(Action.UPDATE, connector(), after)

    @pytest.fixture
    def ends(self) -> dict[str, int]:
        return {"__debezium-heartbeat.p": 5}

    @pytest.fixture
    def beating(self, make: Make, fake: FakeConnect, ends: dict[str, int]) -> ConnectConnectors:
        fake.put("cdc", {"connector.class": CLASS}, hidden=0)
        return make(
            settle_timeout=40, heartbeat=lambda topics: {topic: ends[topic] for topic in topics if topic in ends}
        )

    def test_it_moves(self, beating: ConnectConnectors, ends: dict[str, int], fake_time: FakeTime) -> None:
        assert act(beating, self.step).ok
        fake_time.at(7, lambda: ends.update({self.after.heartbeat: 6}))
        assert settle(beating, self.step).ok
        assert fake_time.now >= 7

    def test_it_does_not(self, beating: ConnectConnectors, fake_time: FakeTime) -> None:
        assert act(beating, self.step).ok
        error = settle(beating, self.step).error
        assert isinstance(error, NotSettled) and "RUNNING but does not work" in error.message
        assert self.after.heartbeat in error.message and fake_time.now >= 40

    def test_a_beat_from_before_does_not_count(self, beating: ConnectConnectors, ends: dict[str, int]) -> None:
        ends[self.after.heartbeat] = 900
        assert act(beating, self.step).ok
        assert not settle(beating, self.step).ok

    def test_a_beat_of_the_task_from_before_does_not_count(
        self, beating: ConnectConnectors, fake: FakeConnect, ends: dict[str, int], fake_time: FakeTime
    ) -> None:
        fake.old_tasks["cdc"] = self.step.before.config  # type: ignore[union-attr, assignment]
        fake_time.at(5, lambda: ends.update({self.after.heartbeat: 6}))
        fake_time.at(6, fake.old_tasks.clear)
        fake_time.at(7, lambda: ends.update({self.after.heartbeat: 7}))  # it stops, and beats once more
        assert act(beating, self.step).ok and not settle(beating, self.step).ok

    def test_a_first_snapshot_moves_the_offsets_instead(
        self, beating: ConnectConnectors, fake: FakeConnect, fake_time: FakeTime
    ) -> None:
        fake_time.at(9, lambda: setattr(fake.connectors["cdc"], "offsets", [{"partition": {}, "offset": {"lsn": 1}}]))
        assert act(beating, self.step).ok and settle(beating, self.step).ok
        assert fake_time.now >= 9

    def test_a_topic_that_is_not_there_yet(
        self, beating: ConnectConnectors, ends: dict[str, int], fake_time: FakeTime
    ) -> None:
        ends.clear()
        fake_time.at(4, lambda: ends.update({self.after.heartbeat: 1}))
        assert act(beating, self.step).ok and settle(beating, self.step).ok

    def test_a_slow_heart_gets_its_time(
        self, beating: ConnectConnectors, ends: dict[str, int], fake_time: FakeTime
    ) -> None:
        config = {**self.after.config, "heartbeat.interval.ms": "60000"}
        step = replace(self.step, after=replace(self.after, config=config))
        fake_time.at(100, lambda: ends.update({self.after.heartbeat: 6}))
        assert act(beating, step).ok and settle(beating, step).ok

    @pytest.mark.slow
    def test_many_tables_get_the_time_to_be_read(
        self, beating: ConnectConnectors, ends: dict[str, int], fake_time: FakeTime
    ) -> None:
        config = {**self.after.config, "table.include.list": ",".join(f"public\\.t{n}" for n in range(1000))}
        step = replace(self.step, after=replace(self.after, config=config))
        fake_time.at(150, lambda: ends.update({self.after.heartbeat: 6}))
        assert act(beating, step).ok and settle(beating, step).ok

    @pytest.mark.parametrize("after", [replace(after, heartbeat=""), replace(after, state="paused"),
                                       replace(after, config={**after.config, "snapshot.mode": "initial_only"}),
                                       replace(connector(), heartbeat="h", state="running")])  # fmt: skip
    def test_what_need_not_beat(self, beating: ConnectConnectors, after: Connector) -> None:
        before = replace(connector(), state="stopped")
        step = change(Action.UPDATE, before, after)
        assert act(beating, step).ok and settle(beating, step).ok

    def test_after_a_crash_it_is_counted_from_now(
        self, beating: ConnectConnectors, ends: dict[str, int], fake_time: FakeTime
    ) -> None:
        fake_time.at(15, lambda: ends.update({self.after.heartbeat: 6}))
        assert settle(beating, self.step).ok
        assert fake_time.now >= 9


class TestCheck:
    def check(
        self, backend: ConnectConnectors, after: Connector, before: Connector | None = None, **fields: Any
    ) -> list[Any]:
        step = change(Action.UPDATE if before else Action.CREATE, before, after, **fields)
        return list(backend.check([step])[step.address])

    def test_nothing_wrong(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        assert self.check(backend, connector(file="x")) == []
        assert fake.bodies[-2][1] == {"connector.class": CLASS, "file": "x", "name": "cdc"}

    def test_only_what_changes_its_config(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        steps = [
            change(Action.DELETE, connector("a"), None),
            change(Action.UPDATE, connector("b"), replace(connector("b"), state="paused")),
            change(Action.ADOPT, connector("c"), connector("c", x="1")),
        ]
        assert backend.check(steps) == {} and fake.requests == []

    def test_an_error_has_its_place(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.validation = {"database.hostname": "unknown host {database_hostname} for {database_password}"}
        span = Span("stacks/a.yaml", 8, 26)
        after = connector(database_hostname="pg-pord", database_password=Secret(value=CANARY))
        found = self.check(backend, replace(after, origin=Origin(spans={"/config/database.hostname": span})))
        assert [(d.code, d.severity, d.path, d.span) for d in found] == [
            ("K302", Severity.ERROR, "/config/database.hostname", span)
        ]
        assert (found[0].label, found[0].detail) == ("", "database.hostname: unknown host pg-pord for (sensitive)")
        assert found[0].address == "connector/cdc" and CANARY not in repr(found)

    def test_one_text_is_one_error(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        words = "Must configure one of topics or topics.regex"
        fake.validation = {"table.include.list": words, "file": words, "database.hostname": "Missing"}
        span = Span("stacks/a.yaml", 8, 26)
        after = replace(connector(file="x"), origin=Origin(spans={"/config/file": span}))
        assert [(d.code, d.path, d.detail, d.span) for d in self.check(backend, after)] == [
            ("K302", "/config/file", f"file, table.include.list: {words}", span),
            ("K302", "/config/database.hostname", "database.hostname: Missing", None),
        ]

    def test_a_class_that_nothing_is_like(self, backend: ConnectConnectors) -> None:
        (found,) = self.check(backend, connector(connector_class="com.example.NoSuch"))
        assert "did you mean" not in found.help
        assert found.help.startswith("installed: ") and CLASS in found.help

    def test_a_class_that_is_not_installed(self, backend: ConnectConnectors) -> None:
        found = self.check(backend, connector(connector_class="org.example.GodSourceConnector"))
        assert [(d.code, d.path) for d in found] == [("K303", "/config/connector.class")]
        assert f"did you mean `{CLASS}`" in found[0].help

    @pytest.mark.parametrize("java_class", ["GoodSourceConnector", "GoodSource"])
    def test_a_short_class_name(self, backend: ConnectConnectors, java_class: str) -> None:
        assert self.check(backend, connector(connector_class=java_class)) == []

    @pytest.mark.parametrize(
        ("key", "near"),
        [("table.includelist", "table.include.list"), ("database.hostnam", "database.hostname"), ("zzz", None)],
    )
    def test_a_property_that_the_plugin_does_not_list(
        self, backend: ConnectConnectors, key: str, near: str | None
    ) -> None:
        found = self.check(backend, connector(**{key: "x"}))
        assert [(d.code, d.severity, d.path) for d in found] == [("K304", Severity.WARNING, f"/config/{key}")]
        assert (f"`{near}`" in found[0].help) if near else "did you mean" not in found[0].help

    @pytest.mark.parametrize("key", ["transforms.a.type", "database.useSSL", "schema.history.internal.kafka.topic",
                                     "producer.override.linger.ms", "topic.creation.default.partitions", "driver.x",
                                     "key.converter.schemas.enable", "signal.kafka.topic", "topics",
                                     "topic.heartbeat.prefix", "topic.transaction"])  # fmt: skip
    def test_what_is_handed_on(self, backend: ConnectConnectors, key: str) -> None:
        assert self.check(backend, connector(**{key: "x"})) == []

    def test_a_secret_that_is_not_known(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.validation = {"database.password": "wrong", "database.hostname": "FATAL: password authentication failed",
                           "topic": "missing"}  # fmt: skip
        found = self.check(backend, connector(database_password=Secret("{{ var.p }}")))
        assert [d.path for d in found] == ["/config/topic"]

    def test_an_unchanged_one_is_known_from_live(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        before = connector(database_password=Secret(value=CANARY))
        self.check(backend, connector(database_password=Secret("{{ var.p }}"), file="x"), before)
        bodies = [body for call, body in fake.bodies if "validate" in call]
        assert bodies[0]["database.password"] == CANARY

    def test_no_answer_is_a_warning(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.fault("validate", RESET)
        found = self.check(backend, connector())
        assert [(d.code, d.severity) for d in found] == [("K305", Severity.WARNING)]

    def test_many_at_a_time(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        steps = [change(Action.CREATE, None, connector(f"c{number}")) for number in range(10)]
        assert all(found == () for found in backend.check(steps).values())
        assert fake.requests.count("GET /connector-plugins") == 1
        assert sum("/config" in call and call.startswith("GET") for call in fake.requests) == 1

    def test_what_an_old_worker_cannot_do(self, backend: ConnectConnectors, fake: FakeConnect) -> None:
        fake.version = "3.5.0"
        found = self.check(backend, replace(connector(), state="stopped"))
        assert [(d.code, d.path) for d in found] == [("K315", "/state")]


class TestWords:
    """Nothing that is said holds a secret, and no body is logged."""

    def test_no_secret_in_logs_and_errors(
        self, make: Make, fake: FakeConnect, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        backend = make(username="ann", password=CANARY + "-login", attempts=2)
        secret = connector(database_password=Secret(value=CANARY), file="not-secret-but-a-body")
        for fault in (REBALANCE, RESET, (400, f"no {CANARY}"), (500, f"<html><title>{CANARY}</title></html>")):
            fake.fault("POST", fault, (400, f"{CANARY}"))
            error = act(backend, change(Action.CREATE, None, secret)).error
            assert error is not None and CANARY not in error.message + error.help + repr(error.__cause__)
        assert CANARY not in caplog.text and "not-secret-but-a-body" not in caplog.text
        ours = [record.getMessage() for record in caplog.records if record.name == "kplan.servers.connect"]
        assert any(re.fullmatch(r"POST /connectors -> 400 \d\.\d{3} s", line) for line in ours)

    def test_only_topics_have_facts(self, backend: ConnectConnectors) -> None:
        assert backend.facts(["x"]) == {}
