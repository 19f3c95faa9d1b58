"""Bindings on a broker with StandardAuthorizer: planned, applied, undone, and what may never be lost.

kplan logs in as `kplan` by SCRAM, with exactly the rights of a `kplan` line; the harness's own user is a super user.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from kplan.diagnostics import Denied
from kplan.kinds.acl.binding import parse_binding
from kplan.kinds.quota.quota import Quota
from kplan.kinds.user.user import Credentials, ScramUser
from kplan.model import Action, Address, Change, frozen
from kplan.servers.kafka.acls import KafkaAcls, to_wire
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.logins import Logins
from kplan.servers.kafka.quotas import KafkaQuotas
from kplan.servers.kafka.users import KafkaUsers
from tests.faults import access as faults
from tests.services import ServiceMissing
from tests.services.fixtures import without
from tests.services.lines import expand
from tests.services.secure import SecureKafka
from tests.shell import Ended, Shell

pytestmark = pytest.mark.xdist_group("secure access")  # starts its own

PASSWORD = "canary-access-1"
OTHER = "canary-access-2"


@dataclass
class Access:
    """The broker, and what its super user sees and does."""

    kafka: SecureKafka

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.kafka.bootstrap})

    def read(self, principals: Collection[str] = ()) -> set[str]:
        """The names of all live bindings, or of those of some principals."""
        backend = KafkaAcls(Client({"bootstrap.servers": self.kafka.bootstrap}, 30, 3, 1, (), print))
        names = {address.name for address in backend.read(None).resources}
        return {name for name in names if not principals or name.partition("/")[0] in principals}

    def make(self, *names: str) -> None:
        """Create bindings behind kplan's back, and wait until the broker lists them."""
        for future in self.admin.create_acls([to_wire(parse_binding(name)) for name in names]).values():
            future.result(10)
        for _ in range(100):
            if set(names) <= self.read():
                return
            time.sleep(0.05)
        raise AssertionError(f"not listed: {names}")

    def drop(self, principals: Sequence[str]) -> None:
        """Delete all bindings of these principals."""
        anything: Any = None
        filters = [
            AclBindingFilter(
                ResourceType.ANY,
                anything,
                ResourcePatternType.ANY,
                who,
                anything,
                AclOperation.ANY,
                AclPermissionType.ANY,
            )
            for who in principals
        ]
        for future in self.admin.delete_acls(filters).values() if filters else ():
            future.result(10)

    def login(self, user: str = "kplan", password: str = PASSWORD) -> dict[str, str]:
        return {
            "bootstrap.servers": self.kafka.at("SCRAM"),
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": str(self.kafka.servers.file),
        }


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    try:
        with SecureKafka(tmp_path_factory.mktemp("certificates")) as kafka:
            kafka.add_user("kplan", PASSWORD)
            kafka.add_user("other", OTHER)
            made = Access(kafka)
            made.make(*RIGHTS)
            yield made
    except ServiceMissing as missing:
        without(missing)


# What these tests need of the line `kplan: {do: [plan, apply, access, quotas]}`, for all topics.
RIGHTS = (
    "User:kplan/allow/AlterConfigs/cluster",
    "User:kplan/allow/Alter/cluster",
    "User:kplan/allow/Create/topic-any",
    "User:kplan/allow/Alter/topic-any",
    "User:kplan/allow/AlterConfigs/topic-any",
    "User:kplan/allow/Delete/topic-any",
    "User:kplan/allow/Read/topic/__kplan",
    "User:kplan/allow/Write/topic/__kplan",
    "User:kplan/allow/Describe/group-any",
    "User:kplan/allow/Read/group-prefix/kplan.",
    "User:kplan/allow/Write/transactional-id-prefix/kplan.",
)


@pytest.fixture
def project(tmp_path: Path, access: Access) -> Iterator[Shell]:
    """A project whose environment `secure` logs in as kplan, and `super` as the harness's own user."""
    shell = Shell(tmp_path)
    kafka = json.dumps(access.login())
    shell.write(
        "kplan.yaml",
        f"""version: 1
default: secure
environments:
  secure:
    kafka: {kafka}
    timeouts: {{request: 10s, settle: 30s, session: 6s}}
  super:
    kafka: {{bootstrap.servers: "{access.kafka.bootstrap}"}}
    timeouts: {{request: 10s, settle: 30s, session: 6s}}
""",
    )
    before = access.read()
    yield shell
    later = access.read()
    access.drop(sorted({name.partition("/")[0] for name in later - before} - {"User:kplan"}))
    for name in (name for name in later - before if name.startswith("User:kplan/")):
        filters = [AclBindingFilter(*vars_of(name))]
        for future in access.admin.delete_acls(filters).values():
            future.result(10)


def vars_of(name: str) -> tuple[Any, ...]:
    wire = to_wire(parse_binding(name))
    return (
        wire.restype, wire.name, wire.resource_pattern_type, wire.principal, wire.host, wire.operation,
        wire.permission_type,
    )  # fmt: skip


def run(shell: Shell, line: str, *more: str, **env: str) -> Ended:
    """kplan with the words of a line, whatever its exit code."""
    return shell.kplan(*line.split(), *more, expect=None, **env)


def apply(shell: Shell, stack: str, text: str, *more: str, code: int = 0) -> Ended:
    shell.write(f"{stack}.yaml", f"version: 1\nstack: {stack}\n{text}")
    ended = run(shell, f"apply {stack}.yaml --yes", *more)
    assert ended.code == code, ended.all
    return ended


def test_the_line_for_kplan_grants_what_it_has_here() -> None:
    line = {"do": ["plan", "apply", "access", "quotas"]}
    assert set(RIGHTS) <= {binding.name for binding in expand("kplan", {"kplan": line}, {})}


# -- the path of a binding --------------------------------------------------------------------------------------------
def test_bindings_are_made_adopted_and_deleted_with_their_lines(access: Access, project: Shell) -> None:
    access.make("User:path/allow/Read/topic/path.a", "User:path/allow/Write/topic/foreign")
    ended = apply(project, "path", "access:\n  User:path: {consume: {topics: [path.a, 'path.b*'], group: path}}\n")
    assert "adopted" in ended.out
    mine = {
        "User:path/allow/Read/topic/path.a",
        "User:path/allow/Read/topic-prefix/path.b",
        "User:path/allow/Read/group/path",
    }
    assert access.read(["User:path"]) == mine | {"User:path/allow/Write/topic/foreign"}
    assert "No changes" in run(project, "plan path.yaml").out
    apply(project, "path", "access:\n  User:path: {consume: {topics: path.a, group: path}}\n")
    assert access.read(["User:path"]) == (mine - {"User:path/allow/Read/topic-prefix/path.b"}) | {
        "User:path/allow/Write/topic/foreign"
    }
    assert run(project, "destroy path.yaml --yes").code == 0
    assert access.read(["User:path"]) == {
        "User:path/allow/Read/topic/path.a",  # adopted: released
        "User:path/allow/Write/topic/foreign",
    }


def test_a_name_with_a_star_selects_only_itself(access: Access, project: Shell) -> None:
    access.make("User:star/allow/Read/group/a1", "User:star/allow/Read/group/ab")
    apply(
        project,
        "star",
        "access:\n  User:star:\n    allow: [{group: {name: 'a*', pattern: literal}, operations: [Read]}]\n",
    )
    assert "User:star/allow/Read/group/a%2A" in access.read(["User:star"])
    target = run(project, "plan star.yaml --target acl/User:star/allow/Read/group/a%2A")
    assert "No changes" in target.out, target.all
    apply(project, "star", "topics: {star.t: }\n")
    assert access.read(["User:star"]) == {"User:star/allow/Read/group/a1", "User:star/allow/Read/group/ab"}
    assert run(project, "destroy star.yaml --yes").code == 0


def test_foreign_bindings_are_never_touched(access: Access, project: Shell) -> None:
    """Live bindings at random, of the same principals and topics as the stack's, are as they were after everything."""
    choose = random.Random(7)
    operations = ("Read", "Write", "Describe", "Alter", "All", "Delete")
    for trial in range(4):
        foreign = {
            f"User:r{choose.randrange(3)}/{choose.choice(('allow', 'allow', 'deny'))}/{choose.choice(operations)}/"
            f"{choose.choice(('topic', 'topic-prefix', 'group', 'group-prefix'))}/rand.{choose.randrange(4)}"
            for _ in range(12)
        }
        access.make(*foreign)
        lines = "\n".join(
            f"  User:r{who}: {{produce: [rand.{choose.randrange(4)}, 'rand.{choose.randrange(4)}*']}}"
            for who in range(3)
        )
        principals = ["User:r0", "User:r1", "User:r2"]
        apply(project, "rand", f"access:\n{lines}\n")
        assert foreign <= access.read(principals)
        assert run(project, "destroy rand.yaml --yes").code == 0
        assert access.read(principals) == foreign, trial
        access.drop(principals)


def test_an_adopted_binding_survives_a_rollback(access: Access, project: Shell) -> None:
    access.make("User:back/allow/Read/topic/back.a")
    ended = apply(
        project,
        "back",
        "access:\n  User:back: {consume: {topics: [back.a, back.b], group: back}}\n"
        "  User:kplan:\n    deny: [{topic: back.t, operations: [Delete], hosts: 127.0.0.1}]\ntopics: {back.t: }\n",
        code=7,
    )
    assert "rolled back" in ended.all
    assert access.read(["User:back"]) == {"User:back/allow/Read/topic/back.a"}
    assert not {name for name in access.read(["User:kplan"]) if "deny" in name}


def test_a_revoked_binding_comes_back_in_a_rollback(access: Access, project: Shell) -> None:
    apply(project, "gone", "access:\n  User:gone: {produce: [gone.a, gone.b]}\n")
    before = access.read(["User:gone"])
    failing = "  User:kplan:\n    deny: [{topic: gone.t, operations: [Delete], hosts: 127.0.0.1}]\ntopics: {gone.t: }\n"
    ended = apply(project, "gone", f"access:\n  User:gone: {{produce: gone.a}}\n{failing}", code=7)
    assert "rolled back" in ended.all and len(before) == 2
    assert access.read(["User:gone"]) == before
    assert run(project, "destroy gone.yaml --yes").code == 0


# -- what is refused --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("deny", "lost"),
    [
        ("{cluster: true, operations: [Alter]}", "Alter on cluster"),
        ("{cluster: true, operations: [Describe]}", "Describe on cluster"),
        ("{topic: __kplan, operations: [Write]}", "Write on topic __kplan"),
        ("{group: 'kplan.*', operations: [Read]}", "Read on group kplan.own"),
        ("{transactional_id: '*', operations: [All]}", "Write on transactional id kplan.own"),
    ],
)
def test_kplan_does_not_take_away_what_it_needs_to_undo_it(
    access: Access, project: Shell, deny: str, lost: str
) -> None:
    ended = apply(project, "own", f"access:\n  User:kplan:\n    accept: [own-access]\n    deny: [{deny}]\n", code=4)
    assert "K446" in ended.err and lost in ended.err
    assert "deny" not in " ".join(access.read(["User:kplan"]))


def test_another_own_right_is_accepted_by_name_only(access: Access, project: Shell) -> None:
    text = "topics: {lose.t: }\naccess:\n  User:kplan:\n    deny: [{topic: lose.t, operations: [AlterConfigs]}]\n"
    ended = apply(project, "lose", text, code=3)
    assert "K440" in ended.all and "AlterConfigs on topic lose.t" in ended.all
    name = "change:acl/User:kplan/deny/AlterConfigs/topic/lose.t"
    assert apply(project, "lose", text, "--accept", "change:acl/*", code=3)
    apply(project, "lose", text, "--accept", name)
    assert run(project, "destroy lose.yaml --yes", "--accept", "delete:topic/lose.t").code == 0


def test_a_right_that_goes_with_a_deny_for_one_host_is_rolled_back_at_once(access: Access, project: Shell) -> None:
    text = (
        "topics: {host.t: }\naccess:\n  User:kplan:\n    deny: [{topic: host.t, operations: [All], hosts: 127.0.0.1}]\n"
    )
    ended = apply(project, "host", text, code=7)
    assert "can no longer" in ended.all and "rolled back" in ended.all
    assert "host.t" not in access.admin.list_topics(timeout=10).topics


def test_what_kplan_does_not_need_is_not_missed(access: Access, project: Shell) -> None:
    """kplan's own user could do everything by the bindings of everybody; its own bindings are enough."""
    everything = "{topic: '*', operations: [All]}, {cluster: true, operations: [All]}"
    apply(project, "all", f"topics: {{all.t: }}\naccess:\n  User:*:\n    allow: [{everything}]\n")
    ended = apply(project, "all", "topics: {all.t: }\n", "--accept", "delete:acl/*")
    assert "2 deleted" in ended.all and not access.read(["User:%2A"])
    assert run(project, "destroy all.yaml --yes", "--accept", "delete:topic/all.t").code == 0


def test_a_super_user_may_take_from_everybody_what_it_has_itself(access: Access, project: Shell) -> None:
    everything = "{topic: '*', operations: [All]}, {group: '*', operations: [All]}, {cluster: true, operations: [All]}"
    bindings = f"access:\n  User:*:\n    allow: [{everything}, {{transactional_id: '*', operations: [All]}}]\n"
    apply(project, "super", bindings)
    plain = {"bootstrap.servers": access.kafka.bootstrap}
    settings = f"version: 1\nenvironments:\n  secure: {{kafka: {json.dumps(plain)}, authorizer: {{%s}}}}\n"
    project.write("kplan.yaml", settings % "")
    refused = apply(project, "super", "", "--accept", "delete:acl/*", code=4)
    assert "K446" in refused.err and "super_user: true" in refused.err
    project.write("kplan.yaml", settings % "super_user: true")
    apply(project, "super", "", "--accept", "delete:acl/*")
    assert not access.read(["User:%2A"])


def test_an_empty_list_is_not_taken_for_none(access: Access, project: Shell, tmp_path: Path) -> None:
    """DescribeAcls answers `[]` without an error to who may not describe the cluster."""
    apply(project, "seen", "access:\n  User:seen: {produce: seen.a}\n")
    login = json.dumps(access.login("other", OTHER))
    project.write("kplan.yaml", f"version: 1\nenvironments:\n  secure:\n    kafka: {login}\n")
    access.make(
        "User:other/allow/Read/topic/__kplan",
        "User:other/allow/Describe/group-prefix/kplan.",
    )
    ended = run(project, "plan seen.yaml")
    assert ended.code == 1 and "K313" in ended.err and "Describe on Cluster" in ended.err, ended.all
    assert "User:seen/allow/Write/topic/seen.a" in access.read()


def test_a_deletion_that_brokers_refuse_is_no_success(access: Access) -> None:
    """Brokers answer item by item; who may not alter the cluster deletes nothing."""
    name = "User:kept/allow/Read/topic/kept.a"
    access.make(name)
    backend = KafkaAcls(Client(access.login("other", OTHER), 30, 3, 1, (), print))
    binding = parse_binding(name)
    change = Change(binding.address, Action.DELETE, binding, None)
    outcome = backend.act([change], backend.capture([change]))[binding.address]
    assert isinstance(outcome.error, Denied) and "Alter on Cluster" in f"{outcome.error.message} {outcome.error.help}"
    assert name in access.read()
    access.drop(["User:kept"])


def test_one_binding_has_one_stack(access: Access, project: Shell) -> None:
    apply(project, "one", "access:\n  User:both: {produce: both.a}\n")
    ended = apply(project, "two", "access:\n  User:both: {produce: both.a}\n", code=4)
    assert "K230" in ended.err and "belongs to stack one" in ended.err
    assert "K211" in run(project, "validate one.yaml two.yaml").all


# -- figures ----------------------------------------------------------------------------------------------------------
def test_a_thousand_bindings_are_planned_with_one_read_and_applied(access: Access, project: Shell) -> None:
    lines = "".join(
        f"  User:m{who}: {{produce: [{', '.join(f'many.{who}.{topic}' for topic in range(10))}]}}\n"
        for who in range(100)
    )
    project.write("many.yaml", f"version: 1\nstack: many\naccess:\n{lines}")
    planned = run(project, "plan many.yaml --log-level debug")
    assert planned.code == 0 and planned.all.count("describe acls (1)") == 1, planned.err[-2000:]
    started = time.monotonic()
    assert run(project, "apply many.yaml --yes").code == 0
    took = time.monotonic() - started
    names = [name for name in access.read() if name.startswith("User:m")]
    assert len(names) == 1000
    access.drop([f"User:m{who}" for who in range(100)])
    started = time.monotonic()
    for future in access.admin.create_acls([to_wire(parse_binding(name)) for name in names]).values():
        future.result(30)
    while len([name for name in access.read() if name.startswith("User:m")]) < 1000:
        time.sleep(0.05)
    print(f"1,000 bindings: kplan {took:.2f} s, bare client {time.monotonic() - started:.2f} s")
    assert run(project, "destroy many.yaml --yes").code == 0
    assert not [name for name in access.read() if name.startswith("User:m")]


def test_a_broker_refuses_who_has_one_binding_less(access: Access, project: Shell) -> None:
    """A client works with its bindings, and fails after they are revoked."""
    text = "topics: {use.t: }\naccess:\n  User:other:\n    allow: [{topic: use.t, operations: [Describe]}]\n"
    apply(project, "use", text)
    client = AdminClient(access.login("other", OTHER))
    assert "use.t" in client.list_topics("use.t", timeout=10).topics
    assert client.list_topics("use.t", timeout=10).topics["use.t"].error is None
    apply(project, "use", "topics: {use.t: }\n")
    assert client.list_topics("use.t", timeout=10).topics["use.t"].error is not None
    with pytest.raises(KafkaException):
        next(iter(client.create_topics([NewTopic("use.other", 1, 1)]).values())).result(10)
    assert run(project, "destroy use.yaml --yes").code == 0


# -- users ------------------------------------------------------------------------------------------------------------
def can_log_in(access: Access, user: str, password: str) -> bool | None:
    """Whether a new client of this user gets an answer; None: the broker does not say."""
    address = Address("user", user)
    login = Credentials(user, "SCRAM-SHA-512", password)
    return Logins(access.login()).check({address: login}).get(address)


def read_state(access: Access) -> bytes:
    """All that kplan keeps in Kafka."""
    consumer = Consumer(
        {"bootstrap.servers": access.kafka.bootstrap, "group.id": "reader", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition("__kplan", 0, 0)])
    read = b""
    while (message := consumer.poll(10)) is not None and message.error() is None:
        read += (message.key() or b"") + (message.value() or b"")
    consumer.close()
    return read


USER = """variables:
  word: {{sensitive: true}}
  old: {{sensitive: true}}
users:
  {name}:
    password: "{{{{ var.word }}}}"
    {more}
"""


def test_a_user_is_made_rotated_and_put_back(access: Access, project: Shell) -> None:
    project.secrets = ("canary-one", "canary-two")
    project.environment = {"KPLAN_VAR_word": "canary-one", "KPLAN_VAR_old": "canary-one"}
    apply(project, "people", USER.format(name="rotated", more="iterations: 8192"))
    assert can_log_in(access, "rotated", "canary-one") and not can_log_in(access, "rotated", "canary-two")
    assert "No changes" in run(project, "plan people.yaml").out
    # the new password, and the old one in `previous_password`; a later step fails, and the old one is back
    project.environment |= {"KPLAN_VAR_word": "canary-two"}
    loses = "access:\n  User:kplan:\n    deny: [{topic: people.t, operations: [Delete], hosts: 127.0.0.1}]\n"
    text = USER.format(name="rotated", more='iterations: 8192\n    previous_password: "{{ var.old }}"')
    failed = apply(project, "people", f"{text}{loses}topics: {{people.t: }}\n", code=7)
    assert "rolled back" in failed.all
    assert can_log_in(access, "rotated", "canary-one") and not can_log_in(access, "rotated", "canary-two")
    apply(project, "people", text)
    assert can_log_in(access, "rotated", "canary-two") and not can_log_in(access, "rotated", "canary-one")
    assert run(project, "destroy people.yaml --yes").code == 0
    assert not can_log_in(access, "rotated", "canary-two")
    project.assert_no_secret_on_disk()
    state = read_state(access)
    assert b"rotated" in state and not [word for word in project.secrets if word.encode() in state]


def test_a_password_that_was_changed_elsewhere_is_detected(access: Access, project: Shell) -> None:
    checked = (
        project.folder.joinpath("kplan.yaml")
        .read_text()
        .replace("    timeouts", "    login_check: true\n    timeouts", 1)
    )
    project.write("kplan.yaml", checked)
    project.environment = {"KPLAN_VAR_word": "canary-one", "KPLAN_VAR_old": "x"}
    apply(project, "drifted", USER.format(name="drifted", more="mechanism: SCRAM-SHA-512"))
    access.kafka.add_user("drifted", "somebody-elses")
    planned = run(project, "plan drifted.yaml")
    assert "password" in planned.out and "K451" in planned.out, planned.all
    assert "No changes" in run(project, "plan drifted.yaml --no-login-check").out
    assert run(project, "apply drifted.yaml --yes").code == 0
    assert can_log_in(access, "drifted", "canary-one")
    assert run(project, "destroy drifted.yaml --yes").code == 0


def test_a_user_of_somebody_else_is_taken_over_only_with_consent(access: Access, project: Shell) -> None:
    access.kafka.add_user("theirs", "somebody-elses")
    project.environment = {"KPLAN_VAR_word": "canary-one", "KPLAN_VAR_old": "x"}
    refused = apply(project, "theirs", USER.format(name="theirs", more="mechanism: SCRAM-SHA-512"), code=3)
    assert "K450" in refused.all and can_log_in(access, "theirs", "somebody-elses")
    apply(project, "theirs", USER.format(name="theirs", more="accept: [user]"))
    assert can_log_in(access, "theirs", "canary-one")
    released = run(project, "destroy theirs.yaml --yes")
    assert released.code == 0 and can_log_in(access, "theirs", "canary-one"), released.all


def test_two_mechanisms_are_set_one_after_the_other(access: Access, project: Shell) -> None:
    project.environment = {"KPLAN_VAR_word": "canary-one", "KPLAN_VAR_old": "x"}
    both = "mechanism: [SCRAM-SHA-256, SCRAM-SHA-512]"
    apply(project, "both", USER.format(name="both ways/1", more=both))
    users = KafkaUsers(Client({"bootstrap.servers": access.kafka.bootstrap}, 30, 3, 1, (), print))
    (user,) = users.read(["both%20ways%2F1"]).resources.values()
    assert isinstance(user, ScramUser) and dict(user.mechanisms) == {"SCRAM-SHA-256": 4096, "SCRAM-SHA-512": 4096}
    apply(project, "both", USER.format(name="both ways/1", more="mechanism: SCRAM-SHA-512"))
    (user,) = users.read(["both%20ways%2F1"]).resources.values()
    assert isinstance(user, ScramUser) and dict(user.mechanisms) == {"SCRAM-SHA-512": 4096}
    assert run(project, "destroy both.yaml --yes").code == 0
    assert not users.read(["both%20ways%2F1"]).resources


def test_a_password_is_compared_only_where_a_login_can_tell(access: Access, project: Shell) -> None:
    project.secrets = ("canary-one", "canary-two")
    project.environment = {"KPLAN_VAR_word": "canary-one", "KPLAN_VAR_old": "x"}
    apply(project, "told", USER.format(name="told", more="iterations: 4096"))
    project.write("told.yaml", f"version: 1\nstack: told\n{USER.format(name='told', more='iterations: 8192')}")
    assert "password: as declared" in run(project, "plan told.yaml").out
    assert "not compared (without a login check)" in run(project, "plan told.yaml --no-login-check").out
    other = USER.format(name="told", more="mechanism: [SCRAM-SHA-256, SCRAM-SHA-512]")
    apply(project, "told", other)  # the listener does not know SCRAM-SHA-256
    assert can_log_in(access, "told", "canary-one")
    assert run(project, "destroy told.yaml --yes").code == 0


def test_a_killed_rotation_is_put_back_with_the_old_password(access: Access, project: Shell) -> None:
    """The process ends after the password is set, while a binding settles; who recovers it needs the old password."""
    project.secrets = ("canary-one", "canary-two")
    project.environment = {"KPLAN_VAR_word": "canary-one", "KPLAN_VAR_old": "canary-one"}
    apply(project, "killed", USER.format(name="killed", more="iterations: 4096"))
    values = {"KPLAN_VAR_word": "canary-two", "KPLAN_VAR_old": "canary-one"}
    text = USER.format(name="killed", more='previous_password: "{{ var.old }}"')
    project.write("killed.yaml", f"version: 1\nstack: killed\n{text}access:\n  User:killed: {{produce: killed.t}}\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KPLAN_", "KAFKA_"))}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "kplan", "apply", "killed.yaml", "--yes"],
        cwd=project.folder,
        env={**kept, **values, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    seen = next((line for line in process.stdout if line.startswith("[1/")), "")
    process.kill()
    process.wait()
    assert "user/killed" in seen and can_log_in(access, "killed", "canary-two")
    project.environment = {}
    named = run(project, "recover --yes --lock-timeout 30s")
    assert named.code == 8 and "user/killed" in named.all and "KPLAN_VAR_old" in named.all, named.all
    project.environment = values
    assert run(project, "recover --yes").code == 0
    assert can_log_in(access, "killed", "canary-one") and not can_log_in(access, "killed", "canary-two")
    assert run(project, "destroy killed.yaml --yes --accept delete:*").code == 0


# -- quotas -----------------------------------------------------------------------------------------------------------
QUOTAS = """quotas:
  - {user: etl, consumer_byte_rate: 10MB/s, producer_byte_rate: 1000, request_percentage: 12.5,
     controller_mutation_rate: 5}
  - {user: etl, client_id: "a,b=c", consumer_byte_rate: 1MiB/s}
  - {user: default, client_id: default, consumer_byte_rate: 20MB/s}
  - {user: default, producer_byte_rate: 30MB/s}
  - {client_id: default, producer_byte_rate: 40MB/s}
  - {ip: 10.0.0.7, connection_creation_rate: 10}
  - {ip: default, connection_creation_rate: 100}
"""


def test_quotas_of_every_entity_are_set_changed_and_removed(access: Access, project: Shell) -> None:
    backend = KafkaQuotas(Client({"bootstrap.servers": access.kafka.bootstrap}, 30, 3, 1, (), print))

    def read() -> dict[str, dict[str, float]]:
        quotas = (quota for quota in backend.read(None).resources.values() if isinstance(quota, Quota))
        return {quota.name: dict(quota.values) for quota in quotas}

    try:
        applied = apply(project, "limits", QUOTAS)
        assert "validate_only" in applied.out and len(read()) == 7
        assert read()["user=etl"] == {
            "consumer_byte_rate": 10e6, "producer_byte_rate": 1000, "request_percentage": 12.5,
            "controller_mutation_rate": 5,
        }  # fmt: skip
        assert read()["user=etl,client-id=a%2Cb%3Dc"] == {"consumer_byte_rate": 1048576}
        assert "No changes" in run(project, "plan limits.yaml").out
        changed = (
            QUOTAS.replace("10MB/s", "5MB/s")
            .replace(", producer_byte_rate: 1000", "")
            .replace("  - {ip: default, connection_creation_rate: 100}\n", "")
        )
        lowered = apply(project, "limits", changed)
        assert "K455" in lowered.out and "ip-default" not in read()
        assert read()["user=etl"] == {
            "consumer_byte_rate": 5e6,
            "request_percentage": 12.5,
            "controller_mutation_rate": 5,
        }
        assert run(project, "destroy limits.yaml --yes").code == 0
        assert read() == {}
    finally:
        backend.close()


def test_quotas_of_others_are_left_and_a_changed_one_is_drift(access: Access, project: Shell) -> None:
    """An adopted quota stays when its stack goes, and so does a limit that no stack declares."""
    backend = KafkaQuotas(Client({"bootstrap.servers": access.kafka.bootstrap}, 30, 3, 1, (), print))

    def make(name: str, **values: float) -> None:
        quota = Quota(name, frozen(values))
        assert backend.act([Change(quota.address, Action.CREATE, None, quota)], {})[quota.address].ok
        assert backend.settle([Change(quota.address, Action.CREATE, None, quota)], lambda a, w: None)

    def read() -> dict[str, dict[str, float]]:
        quotas = (quota for quota in backend.read(None).resources.values() if isinstance(quota, Quota))
        return {quota.name: dict(quota.values) for quota in quotas}

    try:
        make("user=theirs", producer_byte_rate=1000, request_percentage=7)
        make("user=foreign", producer_byte_rate=1)
        text = "quotas:\n  - {user: theirs, producer_byte_rate: 1000}\n  - {user: mine, consumer_byte_rate: 2000}\n"
        apply(project, "shared", text)
        make("user=mine", consumer_byte_rate=9999)
        drift = run(project, "drift shared.yaml")
        assert "quota/user=mine" in drift.all and "9999" in drift.all and "foreign" not in drift.all, drift.all
        apply(project, "shared", text)
        assert read()["user=mine"] == {"consumer_byte_rate": 2000}
        assert run(project, "destroy shared.yaml --yes").code == 0
        assert read() == {
            "user=theirs": {"producer_byte_rate": 1000, "request_percentage": 7},
            "user=foreign": {"producer_byte_rate": 1},
        }
    finally:
        for name, values in read().items():
            gone = Quota(name, frozen(values))
            backend.act([Change(gone.address, Action.DELETE, gone, None)], {})
        backend.close()


# -- what is there already --------------------------------------------------------------------------------------------
def test_what_is_live_is_imported_and_adopted_without_a_change(access: Access, project: Shell) -> None:
    hosts = [f"User:imp/allow/Describe/topic/imp.c/host={host}" for host in ("10.0.0.7", "10.0.0.8")]
    access.make(
        "User:imp/allow/Write/topic-prefix/imp.events.",
        *(f"User:imp/allow/Read/{each}" for each in ("topic/imp.a", "topic/imp.b", "group/imp")),
        "User:imp/deny/All/topic/imp.secret",
        *hosts,
        "User:imp2/allow/Read/topic/imp.a/host=client.example",
    )
    access.kafka.add_user("imp", "canary-imp-1")
    backend = KafkaQuotas(Client({"bootstrap.servers": access.kafka.bootstrap}, 30, 3, 1, (), print))
    quota = Quota("user=imp", frozen({"consumer_byte_rate": 10e6, "request_percentage": 12.5}))
    make = Change(quota.address, Action.CREATE, None, quota)
    assert backend.act([make], {})[quota.address].ok and backend.settle([make], lambda a, w: None)
    before = access.read(["User:imp", "User:imp2"])
    ended = run(project, "import acl/User:imp* user/imp quota/user=imp --stack imp --out imp.yaml")
    assert ended.code == 0, ended.all
    assert "0 topics and 0 connectors; 1 user, 7 bindings, 1 quota: imp.yaml" in ended.err
    assert "host=client.example is left out: 'client.example' is not an IP address" in ended.err
    text = (project.folder / "imp.yaml").read_text()
    assert "No broker returns a password" in text
    assert text.endswith(f"\n{IMPORTED}")
    planned = run(project, "plan imp.yaml --detailed-exitcode", IMP_PASSWORD="canary-imp-1")
    assert planned.code == 0 and "9 to adopt" in planned.out and "password: as declared" in planned.out, planned.all
    unchecked = run(project, "plan imp.yaml --detailed-exitcode --no-login-check", IMP_PASSWORD="canary-imp-2")
    assert unchecked.code == 0 and "9 to adopt" in unchecked.out, unchecked.all
    assert run(project, "apply imp.yaml --yes", IMP_PASSWORD="canary-imp-1").code == 0
    assert "No changes" in run(project, "plan imp.yaml", IMP_PASSWORD="canary-imp-1").out
    healthy = run(project, "status imp.yaml --logins", IMP_PASSWORD="canary-imp-1")
    assert healthy.code == 0 and "imp  login works" in healthy.out and "User:imp  7 of 7 there" in healthy.out
    refused = run(project, "status imp.yaml --logins", IMP_PASSWORD="canary-imp-2")
    assert refused.code == 2 and "imp  login refused" in refused.out, refused.all
    everything = run(project, "import --stack rest --out rest.yaml")
    assert f"{len(RIGHTS)} bindings of User:kplan are left out: used by kplan or brokers" in everything.err
    assert "user/kplan is left out: used by kplan or brokers" in everything.err
    assert "7 bindings of User:imp are left out: stack imp owns it" in everything.err
    assert run(project, "destroy imp.yaml --yes", IMP_PASSWORD="canary-imp-1").code == 0
    assert access.read(["User:imp", "User:imp2"]) == before  # adopted: released
    assert backend.act([Change(quota.address, Action.DELETE, quota, None)], {})[quota.address].ok
    backend.close()


IMPORTED = """\
users:
  imp: {mechanism: SCRAM-SHA-512, iterations: 4096, password: "{{ var.imp_password }}"}

access:
  User:imp:
    produce: [imp.events.*]
    consume: {topics: [imp.a, imp.b], group: imp}
    allow: [{topic: imp.c, operations: [Describe], hosts: [10.0.0.7, 10.0.0.8]}]
    deny: [{topic: imp.secret, operations: [All]}]

quotas: [{user: imp, consumer_byte_rate: 10MB/s, request_percentage: 12.5}]
"""


def test_bindings_that_the_client_does_not_know_are_left_alone_and_counted(access: Access, project: Shell) -> None:
    """librdkafka does not know delegation tokens; kafka-python does."""
    from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern
    from kafka.admin import ResourceType as Type

    token = ResourcePattern(Type.DELEGATION_TOKEN, "token")
    binding = ("User:odd", "*", ACLOperation.DESCRIBE, ACLPermissionType.ALLOW)
    other = KafkaAdminClient(bootstrap_servers=access.kafka.bootstrap)
    before = access.read()
    try:
        other.create_acls([ACL(*binding, token)])
        access.make("User:odd/allow/Read/topic/odd.t")
        assert access.read() == before | {"User:odd/allow/Read/topic/odd.t"}
        counted = "1 binding of a type, or with an operation, that this kplan does not know"
        planned = apply(project, "odd", "access:\n  User:odd: {produce: odd.t}\n")
        assert "K344" in planned.err and f"{counted}: left alone" in planned.err
        assert f"not listed: {counted}" in run(project, "list --kind acl --unowned").err
        ended = run(project, "import acl/User:odd/* --out odd2.yaml")
        assert f"left out: {counted}" in ended.err and "1 binding: odd2.yaml" in ended.err
        assert run(project, "destroy odd.yaml --yes").code == 0
        assert other.describe_acls(ACLFilter(*binding, token))[0]
    finally:
        other.delete_acls([ACLFilter(*binding, token)])
        other.close()


def test_only_a_stack_with_quotas_needs_the_extra(access: Access, project: Shell) -> None:
    hidden = project.write("hidden/sitecustomize.py", "import sys\nsys.modules['kafka'] = None\n")
    path = f"{hidden.parent}:{Path(__file__).parents[2]}"
    project.write("plain.yaml", "version: 1\nstack: plain\ntopics: {plain.t: }\n")
    project.write("limited.yaml", "version: 1\nstack: limited\nquotas: [{user: a, producer_byte_rate: 1}]\n")
    planned = project.kplan("plan", "plain.yaml", PYTHONPATH=path)
    assert "plain.t" in planned.out
    refused = project.kplan("plan", "limited.yaml", expect=4, PYTHONPATH=path)
    assert "K342" in refused.err and "pip install 'kplan[admin]'" in refused.err


# -- a death ----------------------------------------------------------------------------------------------------------
def test_a_death_at_any_point_is_recovered(access: Access) -> None:
    """Some points of `python -m tests.faults.access`, which tries all of them."""
    trials = faults.Trials(access.kafka)
    points = list(enumerate(trials.list_points(), 1))
    changing = [
        each for each in points if each[1].startswith(("create_acls", "alter_user", "delete_acls", "journal did"))
    ]
    outcomes = faults.run(trials, changing[:: len(changing) // 3][:3])
    assert len(outcomes) == 3
    assert not [each for each in outcomes if each.is_lost], "\n".join(each.output for each in outcomes)
