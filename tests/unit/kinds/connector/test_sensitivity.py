"""What is sensitive about a connector's settings, and what stays of them where live state comes in."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kplan.kinds.connector import sensitivity
from kplan.kinds.connector.sensitivity import Setting
from kplan.language.template import values_in
from kplan.model import (
    Action,
    Address,
    AttrDiff,
    Change,
    Connector,
    Health,
    Live,
    Move,
    Owned,
    Resource,
    Secret,
    Stack,
    Task,
)
from kplan.model.masks import Mask
from kplan.planning.document import to_json
from kplan.planning.pipeline import Options, make
from kplan.servers.base import Cluster
from kplan.servers.connect.documents import changed_keys
from kplan.servers.connect.errors import condense
from kplan.servers.simulated import SimulatedConnectors, SimulatedTopics
from kplan.state.sqlite import SqliteStore
from tests.shell import Shell

A, B = Address("connector", "a"), Address("connector", "b")
OLD, FILE = "an old value", "${file:/run/db.properties:word}"


def live(**config: str) -> Live:
    return Live(resources={A: Connector("a", dict(config))})


def owned(*sensitive: str, **applied: str | Secret) -> dict[Address, Owned]:
    return {A: Owned(A, "s", "dev", True, applied=Connector("a", dict(applied)), sensitive=sensitive)}


@pytest.mark.parametrize(
    "settings",
    [
        list(sensitivity.of_ledger(owned(hook=Secret("{{ var.s }}")))),
        list(sensitivity.of_ledger(owned("hook"))),
        list(sensitivity.of_stacks([Stack("s", "dev", {A: Connector("a", {"hook": Secret("{{ var.s }}")})})])),
        list(
            sensitivity.of_stacks(
                [Stack("s", "dev", {B: Connector("b", {"hook": Secret("{{ var.s }}")})}, moved=(Move(A, B),))]
            )
        ),
        list(sensitivity.of_passwords({A: ["hook"]})),
        list(sensitivity.of_changes([Change(B, Action.MOVE, Connector("a", {"hook": Secret()}), None)])),
    ],
    ids=["reference", "memory", "stack", "move", "password type", "plan"],
)
def test_what_anybody_calls_sensitive_is_concealed(settings: list[Setting]) -> None:
    bare = sensitivity.conceal_settings(live(hook=OLD, plain="x"), settings)
    config = bare.resources[A].config
    assert config["hook"] == Secret(value=OLD) and config["plain"] == "x"
    assert OLD not in repr(bare)


def test_a_reference_that_connect_resolves_is_shown() -> None:
    bare = sensitivity.conceal_settings(live(hook=FILE), [Setting(A, "hook")])
    assert bare.resources[A].config["hook"] == FILE


def test_the_values_of_variables_inside_a_setting_are_known_to_the_mask() -> None:
    settings = [Setting(A, "file", "/var/{{ var.s }}/x")]
    bare = sensitivity.conceal_settings(live(file="/var/canary/x"), settings)
    assert set(sensitivity.secret_values(bare, settings)) == {"/var/canary/x", "canary"}


@pytest.mark.parametrize(
    ("ref", "text", "values"),
    [
        ("{{ var.a }}", "one", ("one",)),
        ("http://{{ var.a }}:{{ var.b }}@h", "http://u:p@h", ("u", "p")),
        ("no variable", "no variable", ()),
        ("/x/{{ var.a }}", "/y/one", ()),
        ("{{ var.a }}" * 9, "x" * 5000, ()),
    ],
)
def test_values_are_found_by_the_text_around_their_variables(ref: str, text: str, values: tuple[str, ...]) -> None:
    assert values_in(ref, text) == values


def test_what_was_sensitive_and_no_longer_shows_it_is_remembered() -> None:
    before = Connector("a", {"hook": Secret(value=OLD), "gone": Secret(value=OLD), "db.password": Secret(value=OLD)})
    after = Connector("a", {"hook": "plain", "new": Secret("{{ var.s }}", "x")})
    change = Change(A, Action.UPDATE, before, after, owner=owned("earlier")[A])
    assert sensitivity.find_remembered_settings(change) == ("earlier", "gone", "hook")
    again = replace(change, after=Connector("a", {"hook": Secret("{{ var.s }}", "x")}))
    assert sensitivity.find_remembered_settings(again) == ("earlier", "gone")


def test_a_long_cause_is_cut_after_it_was_masked() -> None:
    """A secret that begins before the cut and ends behind it would stay in part."""
    trace = f"org.apache.ConnectException: {'x' * 365} /nonexistent/canary-value-of-a-setting/x\n\tat a.b.C"
    health = Health("RUNNING", (Task(0, "FAILED", condense(trace)),))
    masked = sensitivity.with_masked_causes(Live(health={A: health}), Mask(["canary-value-of-a-setting"]).mask)
    cause = masked.health[A].tasks[0].cause
    assert len(cause) <= sensitivity.CAUSE_LENGTH and "canary" not in cause


def test_offsets_are_written_with_names_and_read_with_live_values() -> None:
    captured = {"existed": True, "offsets": [{"partition": {"filename": "/x/canary"}, "offset": {"position": 4}}]}
    config = {"file": Secret("/x/{{ var.s }}", "/x/canary")}
    written = sensitivity.without_values(captured, Change(A, Action.DELETE, Connector("a", config)))
    assert "canary" not in repr(written) and written["offsets"][0]["offset"] == {"position": 4}
    assert sensitivity.with_values(written, [Connector("c", config)]) == captured
    assert sensitivity.with_values(written, []) is None
    assert sensitivity.with_values(captured, []) == captured


STACK = """
version: 1
stack: shop
variables:
  s: {{type: string, sensitive: true}}
connectors:
  shop:
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    config: {{topic: shop.lines, file: /in, {settings}}}
"""


def test_a_secret_that_the_stack_writes_out_stays_a_secret(tmp_path: Path) -> None:
    """Its value is in the stack's file now, and still in no plan, no journal and no import."""
    shell = Shell(tmp_path, secrets=(OLD,))
    shell.write("kplan.yaml", "version: 1\ndefault: dev\nenvironments:\n  dev: {simulated: {brokers: 3}}\n")
    shell.write("stack.yaml", STACK.format(settings='hook: "{{ var.s }}"'))
    shell.kplan("apply", "stack.yaml", "--yes", KPLAN_VAR_s=OLD)
    plain = STACK.format(settings=f"hook: {OLD}, batch.size: 7")
    shell.write(
        "stack.yaml", plain.replace("  s: {type: string, sensitive: true}", "  unused: {type: string, default: x}")
    )
    shell.kplan("plan", "stack.yaml", "--format", "json", "--out", "plan.json")
    shell.kplan("apply", "plan.json")
    assert "No changes." in shell.kplan("plan", "stack.yaml").out
    shell.kplan("import", "connector/shop", "--stack", "shop")
    shell.kplan("connector", "config", "shop")
    shell.write("stack.yaml", "")
    shell.assert_no_secret_on_disk()


class WithPasswords(SimulatedConnectors):
    """A worker whose plugin defines `hook` as a password."""

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        return {resource.address: ["hook"] for resource in resources}


def test_a_password_of_the_plugin_is_hidden_although_nobody_declared_it(tmp_path: Path) -> None:
    """Somebody set it live; the plan takes it out, and the ledger remembers the setting."""
    path = tmp_path / "cluster.db"
    cluster = Cluster.of(SimulatedTopics(path), WithPasswords(path))
    source = {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "topic": "t"}
    there = Connector("a", {**source, "hook": OLD})
    assert cluster.connectors is not None
    assert cluster.connectors.act([Change(A, Action.CREATE, None, there)], {})[A].ok
    plan = make(Stack("s", "dev", {A: Connector("a", source)}), cluster, SqliteStore(path), Options())
    (change,) = plan.changes
    assert [(d.key, d.after) for d in change.diffs] == [("hook", None)]
    assert OLD not in json.dumps(to_json(plan)) and cluster.mask.mask(OLD) == "(sensitive)"
    assert sensitivity.find_remembered_settings(change) == ("hook",)


def test_a_setting_that_is_plain_now_does_not_count_as_changed_where_its_secret_is_not_known() -> None:
    """A journal knows no secret: the undo of another setting sends neither of both."""
    before = Connector("a", {"hook": Secret(), "batch.size": "1"})
    after = Connector("a", {"hook": "plain", "batch.size": "2"})
    change = Change(A, Action.UPDATE, before, after, (AttrDiff("/config/batch.size", "1", "2"),))
    assert changed_keys(change) == {"batch.size"}
    hook = AttrDiff("/config/hook", Secret(), "plain")
    assert changed_keys(replace(change, diffs=(*change.diffs, hook))) == {"batch.size", "hook"}
