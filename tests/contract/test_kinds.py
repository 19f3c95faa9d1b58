"""What every kind of resource does, the two that kplan has and one that exists for this test alone.

The third one (`tests.fakes.grants`) goes through every command by its registration alone, on a server of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kplan.kinds import registry
from kplan.kinds.acl.binding import parse_binding
from kplan.kinds.codec import change_from_json, change_to_json, resource_from_json, resource_to_json
from kplan.kinds.key_order import read_key_orders
from kplan.kinds.quota.quota import Quota
from kplan.kinds.registry import KINDS
from kplan.kinds.schemas import read_schema
from kplan.kinds.subject.subject import Subject
from kplan.kinds.user.user import ScramUser
from kplan.language import schema
from kplan.model import Action, Address, Change, Connector, Resource, Secret, Target, Topic
from kplan.planning.undo import inverse
from tests.fakes.grants.kind import Grant, GrantKind, encode_part
from tests.shell import Ended

ROOT = Path(__file__).parents[2]
NAMES = ("topic", "connector", "user", "acl", "quota", "subject", "grant")
RESOURCES: dict[str, tuple[Resource, Resource]] = {
    "topic": (
        Topic("shop.orders", 3, 2, {"retention.ms": "86400000"}),
        Topic("shop.orders", 6, 2, {"retention.ms": "1000"}),
    ),
    "connector": (
        Connector("in", {"connector.class": "C", "a": "1"}),
        Connector("in", {"connector.class": "C", "a": "2"}),
    ),
    "user": (
        ScramUser("orders", {"SCRAM-SHA-512": 4096}, Secret("{{ var.a }}")),
        ScramUser("orders", {"SCRAM-SHA-512": 8192}, Secret("{{ var.a }}")),
    ),
    "acl": (
        parse_binding("User:alice/allow/Read/topic/shop.orders"),
        parse_binding("User:alice/allow/Read/topic/shop.orders"),
    ),
    "quota": (Quota("user=etl", {"consumer_byte_rate": 5.0}), Quota("user=etl", {"consumer_byte_rate": 12.5})),
    "subject": (
        Subject("orders-value", "avro", "aa" * 32, level="BACKWARD"),
        Subject("orders-value", "avro", "bb" * 32, level="FULL"),
    ),
    "grant": (Grant("User:alice/read/%2A", 3), Grant("User:alice/read/%2A", 5)),
}
KPLAN_YAML = "version: 1\nenvironments:\n  local: {simulated: {fail: [topic/bad]}}\n"
STACK = """\
version: 1
stack: shop

topics:
  shop.orders:

grants:
  User:alice:
    read: [shop.orders, "*"]
    limit: 3
    seal: first
"""


@pytest.fixture(autouse=True)
def _grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._kinds, "grant", GrantKind())


# -- what every kind does ---------------------------------------------------------------------------------------------
def test_every_registered_kind_is_tried_here() -> None:
    assert tuple(KINDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
class TestEveryKind:
    def test_a_resource_comes_back_from_its_encoding(self, name: str) -> None:
        for resource in RESOURCES[name]:
            encoded = json.loads(json.dumps(resource_to_json(resource)))
            assert resource_from_json(resource.address, encoded) == resource

    def test_a_change_comes_back_from_its_encoding(self, name: str) -> None:
        for change in changes(name):
            data = json.loads(json.dumps(change_to_json(change, 1, 1)))
            assert change_to_json(change_from_json(data), 1, 1) == data

    def test_each_attribute_is_read_by_its_path(self, name: str) -> None:
        comparison = KINDS[name].comparison
        for resource in RESOURCES[name]:
            attributes = comparison.attributes(resource)
            assert attributes
            assert {path: comparison.read_attribute(resource, path) for path in attributes} == attributes

    def test_what_is_as_declared_has_no_difference(self, name: str) -> None:
        comparison = KINDS[name].comparison
        for resource in RESOURCES[name]:
            compared = comparison.compare(resource, resource, resource)
            assert compared.diffs == () and not comparison.find_differing(resource, resource)

    def test_what_differs_has_a_difference_with_both_values(self, name: str) -> None:
        comparison = KINDS[name].comparison
        before, after = RESOURCES[name]
        diffs = comparison.compare(after, before, before).diffs
        assert bool(diffs) is (name != "acl")
        for diff in diffs:
            assert comparison.is_same(diff.path, diff.before, comparison.read_attribute(before, diff.path))
            assert comparison.is_same(diff.path, diff.after, comparison.read_attribute(after, diff.path))

    def test_every_change_has_an_undo_or_says_why_not(self, name: str) -> None:
        for change in changes(name):
            undo = KINDS[name].consequences.decide_undo(change, Target(connect_version="4.0.0"))
            assert undo.kind != "none" or undo.why, change.action
            assert undo.complete or undo.why, change.action

    def test_the_inverse_of_a_creation_deletes(self, name: str) -> None:
        creation = next(each for each in changes(name) if each.action is Action.CREATE)
        undo = KINDS[name].consequences.decide_undo(creation, Target(connect_version="4.0.0"))
        back = inverse(with_undo(creation, undo))
        assert back is not None and back.action is Action.DELETE and back.before == creation.after

    def test_a_change_has_a_phase_and_may_be_grouped(self, name: str) -> None:
        for change in changes(name):
            consequences = KINDS[name].consequences
            assert 0 < consequences.phase(change) < 150
            assert isinstance(hash(consequences.wave_key(change)), int)

    def test_what_a_reader_sees_has_words(self, name: str) -> None:
        for change in changes(name):
            encoded = resource_to_json(change.after or change.before or RESOURCES[name][0])
            assert KINDS[name].views.list_main_attributes(encoded)
            assert KINDS[name].wording.say_created(change) and KINDS[name].wording.say_creation_undone(change)

    def test_its_section_has_a_place_and_a_schema(self, name: str) -> None:
        section = KINDS[name].section
        assert section in read_key_orders().stack[()]
        assert section in read_schema("stack.v1")["properties"]
        assert name in read_schema("stack.v1")["$defs"]["removed"]["properties"]

    def test_its_addresses_are_parsed(self, name: str) -> None:
        address = RESOURCES[name][0].address
        assert registry.parse_address(str(address)) == address
        assert not KINDS[name].check_name(address.name)


def test_without_the_kind_its_addresses_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(registry._kinds, "grant")
    assert registry.find_unknown_kind("grant/a/b/c") == "grant"
    with pytest.raises(ValueError, match="topic/NAME or connector/NAME"):
        registry.parse_address("grant/a/b/c")
    assert read_schema("stack.v1") == schema.read_schema("stack.v1")


def test_a_star_in_a_name_is_not_a_glob() -> None:
    assert encode_part("*") == "%2A"
    assert encode_part("User:a b/c") == "User:a%20b%2Fc"


def changes(name: str) -> Iterator[Change]:
    """A change of each sort that the kind has."""
    before, after = RESOURCES[name]
    diffs = KINDS[name].comparison.compare(after, before, before).diffs
    yield Change(after.address, Action.CREATE, None, after)
    if name != "acl":  # two bindings of one name are the same
        yield Change(after.address, Action.UPDATE, before, after, diffs)
    yield Change(before.address, Action.DELETE, before, None)


def with_undo(change: Change, undo: Any) -> Change:
    from dataclasses import replace

    return replace(change, undo=undo)


# -- the third one, through every command -----------------------------------------------------------------------------
class Project:
    """A folder with a stack of topics and grants, and a kplan that knows both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("kplan.yaml", KPLAN_YAML)
        self.write("shop.yaml", STACK)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, "utf-8")

    def edit(self, old: str, new: str) -> None:
        text = (self.folder / "shop.yaml").read_text("utf-8")
        assert old in text
        self.write("shop.yaml", text.replace(old, new))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.fakes.grants", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("KPLAN_", "KAFKA_"))}
        return {**own, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}

    def kplan(self, *arguments: str, expect: int = 0, **more: str) -> Ended:
        run = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in run.stdout + run.stderr, run.stdout + run.stderr
        assert run.returncode == expect, f"{arguments} ended with {run.returncode}\n{run.stdout}{run.stderr}"
        return Ended(run.returncode, run.stdout, run.stderr)

    def limits(self) -> dict[str, int]:
        path = self.folder / "local.grants"
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def plan(self) -> Any:
        return self.kplan("plan", "shop.yaml", "--format", "json").json


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


ALL, ORDERS = "User:alice/read/%2A", "User:alice/read/shop.orders"


def test_it_is_validated_and_formatted(project: Project) -> None:
    project.kplan("validate", "shop.yaml")
    project.kplan("fmt", "--check", "shop.yaml")
    project.edit("    limit: 3\n", "    limits: 3\n")
    assert "did you mean `limit`" in project.kplan("validate", "shop.yaml", expect=4).all
    project.edit("    limits: 3\n", "    limit: 3000\n")
    assert "a limit that limits nothing\n" in project.kplan("validate", "shop.yaml").all


def test_fmt_orders_its_section_and_keys(project: Project) -> None:
    project.write("shop.yaml", "version: 1\nstack: shop\ngrants:\n  User:alice: {seal: s, read: [a]}\ntopics:\n  a:\n")
    project.kplan("fmt", "shop.yaml")
    text = (project.folder / "shop.yaml").read_text("utf-8")
    assert text.index("topics:") < text.index("grants:") and text.index("read:") < text.index("seal:")


def test_it_is_planned_applied_and_then_as_declared(project: Project) -> None:
    planned = project.plan()
    assert [(c["address"], c["undo"]["kind"]) for c in planned["changes"]] == [
        (f"grant/{ORDERS}", "delete"), (f"grant/{ALL}", "delete"), ("topic/shop.orders", "delete_if_empty"),
    ]  # fmt: skip
    project.kplan("plan", "shop.yaml", "--out", "plan.json")
    project.kplan("apply", "plan.json")
    assert project.limits() == {ORDERS: 3, ALL: 3}
    assert project.plan()["changes"] == []


def test_one_that_exists_is_adopted(project: Project) -> None:
    project.write("local.grants", json.dumps({ALL: 3}))
    actions = {c["address"]: c["actions"] for c in project.plan()["changes"]}
    assert actions[f"grant/{ALL}"] == ["adopt"] and actions[f"grant/{ORDERS}"] == ["create"]


def test_an_update_without_an_undo_says_so_and_comes_last(project: Project) -> None:
    project.kplan("apply", "shop.yaml", "--yes")
    project.edit("limit: 3", "limit: 5")
    project.edit("topics:\n", "topics:\n  shop.new:\n")
    changes = project.plan()["changes"]
    assert [c["address"] for c in changes] == ["topic/shop.new", f"grant/{ORDERS}", f"grant/{ALL}"]
    assert changes[1]["undo"] == {"kind": "none", "complete": False, "why": "a limit is never lowered"}
    assert "undo: none; a limit is never lowered" in project.kplan("plan", "shop.yaml").out


def test_what_no_server_tells_is_compared_with_what_was_applied(project: Project) -> None:
    project.kplan("apply", "shop.yaml", "--yes")
    project.edit("seal: first", "seal: second")
    assert [d["path"] for c in project.plan()["changes"] for d in c["diff"]] == ["/seal", "/seal"]
    project.kplan("apply", "shop.yaml", "--yes")
    assert project.plan()["changes"] == []


def test_it_leaves_with_its_line(project: Project) -> None:
    project.kplan("apply", "shop.yaml", "--yes")
    project.edit(', "*"]', "]")
    (change,) = project.plan()["changes"]
    assert (change["address"], change["reason"], change["risks"]) == (f"grant/{ALL}", "undeclared", [])
    project.kplan("apply", "shop.yaml", "--yes")
    assert project.limits() == {ORDERS: 3}


def test_it_can_be_removed_kept_and_not_moved(project: Project) -> None:
    project.kplan("apply", "shop.yaml", "--yes")
    project.edit(', "*"]', "]")
    kept = f"\nremoved:\n  - {{grant: {ALL}, keep: true}}\n"
    project.write("shop.yaml", (project.folder / "shop.yaml").read_text("utf-8") + kept)
    assert [c["actions"] for c in project.plan()["changes"]] == [["release"]]
    moved = f"moved:\n  - {{from: grant/{ALL}, to: grant/{ORDERS}}}\n"
    project.write("shop.yaml", STACK + moved)
    assert "a grant cannot be renamed" in project.kplan("validate", "shop.yaml", expect=4).all


def test_a_run_that_fails_puts_it_back(project: Project) -> None:
    project.edit("topics:\n", "topics:\n  bad:\n")
    project.kplan("apply", "shop.yaml", "--yes", expect=7)
    assert project.limits() == {}
    assert len(project.plan()["changes"]) == 4


def test_a_run_that_is_killed_is_recovered(project: Project) -> None:
    """It is killed while the server of grants has made them and has not answered."""
    with subprocess.Popen(
        project.command("apply", "shop.yaml", "--yes"),
        cwd=project.folder,
        env={**project.environment, "GRANTS_HANG": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        end = time.monotonic() + 60
        while not project.limits() and time.monotonic() < end:
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    assert project.limits() == {ORDERS: 3, ALL: 3}
    assert "was interrupted" in project.kplan("plan", "shop.yaml", expect=8).all
    project.kplan("recover", "--yes")
    assert project.limits() == {}
    project.kplan("apply", "shop.yaml", "--yes")
    assert project.plan()["changes"] == []


def test_it_is_destroyed_and_what_was_adopted_stays(project: Project) -> None:
    project.write("local.grants", json.dumps({ALL: 3, "User:other/read/x": 1}))
    project.kplan("apply", "shop.yaml", "--yes")
    project.kplan("destroy", "shop.yaml", "--yes")
    assert project.limits() == {ALL: 3, "User:other/read/x": 1}


def test_drift_status_and_list_show_it(project: Project) -> None:
    project.kplan("apply", "shop.yaml", "--yes")
    project.write("local.grants", json.dumps({ORDERS: 9, "User:other/read/x": 1}))
    differences = project.kplan("drift", "shop.yaml", "--format", "json", expect=2).json
    assert f"grant/{ORDERS}" in json.dumps(differences) and f"grant/{ALL}" in json.dumps(differences)
    status = project.kplan("status", "shop.yaml", expect=2).out
    assert "grants      1 of 2 there, 1 missing, 1 misconfigured" in status
    assert "grant/User:other/read/x" in project.kplan("list").out


def test_a_snapshot_holds_it_and_a_plan_is_made_from_that(project: Project) -> None:
    project.kplan("apply", "shop.yaml", "--yes")
    project.kplan("snapshot", "--out", "live.json")
    assert project.kplan("plan", "shop.yaml", "--live", "live.json", "--format", "json").json["changes"] == []
    project.edit("limit: 3", "limit: 4")
    changed = project.kplan("plan", "shop.yaml", "--live", "live.json", "--format", "json").json["changes"]
    assert [c["address"] for c in changed] == [f"grant/{ORDERS}", f"grant/{ALL}"]


@pytest.mark.parametrize("form", ["text", "concise", "md", "html", "json", "github", "junit", "sarif"])
def test_every_view_shows_it(project: Project, form: str) -> None:
    project.kplan("apply", "shop.yaml", "--yes")
    project.edit("limit: 3", "limit: 5")
    shown = project.kplan("plan", "shop.yaml", "--report", f"{form}=view", "--verbose").all
    shown += (project.folder / "view").read_text("utf-8")
    assert "limit" in shown and "User:alice/read" in shown
    assert "offsets" not in shown and "class" not in project.kplan("plan", "shop.yaml").out


def test_many_alike_are_folded(project: Project) -> None:
    project.edit('[shop.orders, "*"]', f"[{', '.join(f'o{n}' for n in range(20))}]")
    assert "and 19 more like it, in steps 2 to 20" in project.kplan("plan", "shop.yaml").out
    assert project.kplan("plan", "shop.yaml", "--verbose").out.count("+  grant/User:alice/read/o") == 20


def test_targets_and_completion_name_it(project: Project) -> None:
    planned = project.kplan("plan", "shop.yaml", "--target", "grant/User:alice/*", "--format", "json").json
    assert {c["kind"] for c in planned["changes"]} == {"grant"}
    words = project.kplan(
        _KPLAN_COMPLETE="bash_complete", COMP_WORDS="kplan plan shop.yaml --target grant", COMP_CWORD="4"
    ).out
    assert f"grant/{ORDERS}" in words


def test_the_graph_and_the_lineage_of_a_stack_have_it(project: Project) -> None:
    assert f"grant {ORDERS}" in project.kplan("graph", "shop.yaml").out


def test_a_kplan_without_the_kind_stops_this_stack_alone(project: Project) -> None:
    project.kplan("apply", "shop.yaml", "--yes")
    project.write("other.yaml", "version: 1\nstack: other\ntopics: {a: {}}\n")
    project.write("shop.yaml", "version: 1\nstack: shop\ntopics: {shop.orders: {}}\n")
    runs = {
        name: subprocess.run(
            [sys.executable, "-m", "kplan", "plan", name],
            cwd=project.folder,
            env=project.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for name in ("other.yaml", "shop.yaml")
    }
    assert runs["other.yaml"].returncode == 0, runs["other.yaml"].stderr
    assert runs["shop.yaml"].returncode == 1 and "K626" in runs["shop.yaml"].stderr


def test_the_fragments_are_schemas(project: Project) -> None:
    printed = yaml.safe_load(project.kplan("schema", "stack").out)
    assert printed["properties"]["grants"] and printed["$defs"]["grants"]
    assert Address("grant", "x")  # its kind is in the pattern of addresses
    assert "topic|connector|user|acl|quota|subject|grant" in json.dumps(printed["properties"]["moved"])
