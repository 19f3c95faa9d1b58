"""Nothing of a file is lost in silence: it is carried over, or a note says that it is not and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kplan.diagnostics import Invalid
from kplan.importers.files import parse_all
from kplan.importers.resources import ImportedResources
from kplan.model import Secret
from tests.shell import Ended, Shell

DESCRIBED = "Topic: {}\tPartitionCount: 1\tReplicationFactor: 1\tConfigs: \n"


def imported(folder: Path, *arguments: str, expect: int = 0, **files: str) -> Ended:
    """`kplan import` of files, whose names have `__` for the dot."""
    shell = Shell(folder)
    given = []
    for key, text in files.items():
        name = key.replace("__", ".")
        shell.write(name, text)
        given += ["--file", name]
    return shell.kplan("import", *given, *arguments, expect=expect)


def test_internal_topics_of_a_file_are_left_out_with_a_note(tmp_path: Path) -> None:
    text = DESCRIBED.format("orders") + DESCRIBED.format("__consumer_offsets") + DESCRIBED.format("connect-configs")
    ended = imported(tmp_path, topics__txt=text)
    assert "orders" in ended.out and "1 topic and" in ended.err
    assert "internal topics are left out" in ended.err and ": __consumer_offsets, connect-configs" in ended.err
    assert "topics:\n  connect-configs:" in imported(tmp_path, "connect-configs", topics__txt=text).out


# -- Debezium's old names
def debezium(connector: str, **config: str) -> str:
    plugin = f"io.debezium.connector.{connector}"
    return json.dumps({"name": "c", "config": {"connector.class": plugin, **config}})


LEGACY = (
    ("postgresql.PostgresConnector", "schema.whitelist", "inv,app", "schema.include.list: inv,app"),
    ("postgresql.PostgresConnector", "schema.blacklist", "inv", "schema.exclude.list: inv"),
    ("sqlserver.SqlServerConnector", "schema.whitelist", "dbo", "schema.include.list: dbo"),
    ("postgresql.PostgresConnector", "toasted.value.placeholder", "gone", "unavailable.value.placeholder: gone"),
    ("mongodb.MongoDbConnector", "initial.sync.max.threads", "4", "snapshot.max.threads: 4"),
    (
        "mysql.MySqlConnector",
        "event.deserialization.failure.handling.mode",
        "warn",
        "event.processing.failure.handling.mode: warn",
    ),
)


@pytest.mark.parametrize(("connector", "key", "value", "today"), LEGACY)
def test_an_old_name_is_that_of_today_and_told(
    connector: str, key: str, value: str, today: str, tmp_path: Path
) -> None:
    ended = imported(tmp_path, c__json=debezium(connector, **{key: value}))
    assert today in ended.out.replace('"', "")
    assert f"{key} is {today.partition(':')[0]} today" in ended.err


def test_an_exported_snapshot_is_an_initial_one(tmp_path: Path) -> None:
    ended = imported(
        tmp_path, c__json=debezium("postgresql.PostgresConnector", **{"snapshot.mode": "exported", "topic.prefix": "p"})
    )
    assert "exported" not in ended.out.partition("version: 1")[2]
    assert "snapshot.mode: exported is initial today" in ended.err


def test_what_debezium_has_no_more_is_left_out_and_told(tmp_path: Path) -> None:
    ended = imported(tmp_path, c__json=debezium("mysql.MySqlConnector", **{"source.struct.version": "v1"}))
    assert "source.struct.version" not in ended.out.partition("version: 1")[2]
    assert "source.struct.version is left out" in ended.err


def found(**files: str) -> tuple[ImportedResources, str]:
    """What the files hold, and all notes of it."""
    result = parse_all([(key.replace("__", ".").replace("_in_", "/"), text.encode()) for key, text in files.items()])
    return result, "\n".join(map(str, result.notes))


# -- Connect
PAUSED = {
    "a": {
        "info": {"name": "a", "config": {"connector.class": "X"}, "tasks": [], "type": "sink"},
        "status": {"name": "a", "connector": {"state": "PAUSED", "worker_id": "w"}, "tasks": [], "type": "sink"},
    },
    "b": {
        "info": {"name": "b", "config": {"connector.class": "X"}},
        "status": {"name": "b", "connector": {"state": "FAILED", "worker_id": "w"}, "tasks": []},
    },
    "c": {"info": {"name": "c", "config": {"connector.class": "X"}}},
}


def test_a_paused_connector_stays_paused(tmp_path: Path) -> None:
    result, notes = found(c__json=json.dumps(PAUSED))
    assert {name: each.state for name, each in result.connectors.items()} == {
        "a": "paused",
        "b": "running",
        "c": "running",
    }
    assert "connector/c: the file does not say whether it is paused" in notes and "connector/a" not in notes
    assert "state: paused" in imported(tmp_path, c__json=json.dumps(PAUSED)).out


# -- topicctl
def test_a_cluster_of_topicctl_is_no_topic() -> None:
    cluster = "meta: {name: c, environment: e}\nspec: {bootstrapAddrs: [kafka:9092]}\n"
    result, notes = found(cluster__yaml=cluster, t__yaml="meta: {name: t}\nspec: {partitions: 2}\n")
    assert list(result.topics) == ["t"] and "cluster.yaml:2: a cluster is not carried over" in notes


# -- Terraform
RESOURCE = """
resource "kafka_topic" "a" {
  name               = "a"
  partitions         = var.partitions
  replication_factor = 1
}
"""
VARIABLE = 'variable "partitions" {\n  default = 6\n}\n'


def test_variables_of_other_files_of_the_folder_count() -> None:
    result, notes = found(main__tf=RESOURCE, variables__tf=VARIABLE)
    assert result.topics["a"].partitions == 6
    assert "defaults of variables count (var.partitions)" in notes
    result, notes = found(main__tf=RESOURCE, other_in_variables__tf=VARIABLE)
    assert result.topics["a"].partitions == -1 and "only Terraform knows var.partitions" in notes


def test_a_tfvars_file_sets_variables() -> None:
    result, notes = found(main__tf=RESOURCE, variables__tf=VARIABLE, env_in_prod__tfvars="partitions = 12\n")
    assert result.topics["a"].partitions == 12 and not notes
    result, notes = found(main__tf=RESOURCE, variables__tf=VARIABLE, p__tfvars__json='{"partitions": 9}')
    assert result.topics["a"].partitions == 9 and not notes


POSTGRES = """
variable "url" {
  sensitive = true
  default   = "a-default"
}
resource "kafka-connect_connector" "c" {
  name = "c"
  config = {
    "name"              = "c"
    "connector.class"   = "io.debezium.connector.postgresql.PostgresConnector"
    "topic.prefix"      = "shop"
    "database.hostname" = "db"
    "database.user"     = "cdc"
    "database.dbname"   = "shop"
    "database.password" = data.vault_generic_secret.db.data["password"]
    "some.extra"        = var.url
  }
  lifecycle {
    prevent_destroy = true
    ignore_changes  = [config["tasks.max"], config_sensitive["database.password"]]
  }
}
"""


def test_a_password_that_only_terraform_knows_is_a_variable(tmp_path: Path) -> None:
    result, _ = found(main__tf=POSTGRES)
    config = result.connectors["c"].config
    assert isinstance(config["database.password"], Secret) and isinstance(config["some.extra"], Secret)
    ended = imported(tmp_path, main__tf=POSTGRES)
    assert "template: debezium-postgres" in ended.out and "a-default" not in ended.all
    assert "protect: true" in ended.out and "ignore: [database.password, tasks.max]" in ended.out


@pytest.mark.parametrize(
    ("changes", "ignored", "noted"),
    [
        ("[config]", {"retention.ms", "segment.ms"}, ""),
        ('[config["retention.ms"]]', {"retention.ms"}, ""),
        ("[partitions, config]", {"retention.ms", "segment.ms"}, "ignore_changes of partitions"),
        ("all", {"retention.ms", "segment.ms"}, "ignore_changes of partitions and replicas"),
    ],
)
def test_settings_whose_changes_are_ignored_stay_so(changes: str, ignored: set[str], noted: str) -> None:
    config = 'config = {\n "retention.ms" = "1000"\n "segment.ms" = "1000"\n }\n'
    text = f'resource "kafka_topic" "a" {{\n name = "a"\n partitions = 1\n replication_factor = 1\n {config}'
    result, notes = found(main__tf=f"{text} lifecycle {{\n ignore_changes = {changes}\n }}\n}}\n")
    assert result.topics["a"].rules.ignore == ignored
    assert noted in notes if noted else not notes


def test_ignored_settings_stand_in_the_stack(tmp_path: Path) -> None:
    topic = {"name": "a", "partitions": 1, "replication_factor": 1, "config": {"retention.ms": "86400000"}}
    body = {**topic, "lifecycle": {"ignore_changes": ["config"]}}
    ended = imported(tmp_path, main__tf__json=json.dumps({"resource": {"kafka_topic": {"a": body}}}))
    assert "ignore: [retention.ms]" in ended.out


BLOCKS = """
output "names" {
  value = "a"
}
moved {
  from = kafka_topic.b
  to   = kafka_topic.a
}
import {
  to = kafka_topic.a
  id = "a"
}
check "health" {
  assert {
    condition     = true
    error_message = "x"
  }
}
"""


def test_every_block_of_terraform_is_noted() -> None:
    _, notes = found(main__tf=RESOURCE + BLOCKS)
    for line in ("main.tf:8: output names", "main.tf:11: moved", "main.tf:15: import", "main.tf:19: check health"):
        assert f"{line} is not carried over" in notes


def test_a_resource_of_another_provider_is_noted() -> None:
    _, notes = found(main__tf=RESOURCE.replace('"a"\n', '"a"\n  provider = kafka.other\n', 1))
    assert "provider is not carried over" in notes


# -- nothing is left
CONNECTOR = "metadata: {name: NAME, labels: {kafka.jikkou.io/connect-cluster: CLUSTER}}\n"
SPEC = "spec: {connectorClass: X, tasksMax: 1, config: {topics: t}, state: PAUSED}\n"


@pytest.mark.parametrize("kind", ["KafkaConnectorList", "ResourceList"])
def test_a_list_of_jikkou_holds_connectors(kind: str) -> None:
    own = "kind: KafkaConnector, " if kind == "ResourceList" else ""
    items = f"items: [{{{own}metadata: {{name: c}}, spec: {{connectorClass: X, state: PAUSED}}}}]\n"
    result, notes = found(c__yaml=f"apiVersion: kafka.jikkou.io/v1beta1\nkind: {kind}\n{items}")
    assert result.connectors["c"].state == "paused" and not notes


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("c.json", '{"name": "a b/c", "config": {"connector.class": "X"}}', "connector 'a b/c' is left out"),
        (
            "main.tf",
            RESOURCE.replace("name  ", "for_each = data.a.b\n  name  "),
            "count or for_each is known to Terraform alone",
        ),
        ("j.yaml", "apiVersion: kafka.jikkou.io/v1\nkind: KafkaUser\nmetadata: {name: u}\n", "KafkaUser u"),
        ("d.txt", DESCRIBED.format("a").replace("\n", "\tMarkedForDelete: true\n"), "it was being deleted"),
        ("n.yaml", "kafka: {topics: {a: {name: a b, partitions: 1}}}\n", "topic 'a b'"),
        ("i.txt", DESCRIBED.format("__consumer_offsets"), "internal topics are left out"),
    ],
)
def test_an_import_of_nothing_says_why(name: str, text: str, why: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write(name, text)
    ended = shell.kplan("import", "--file", name, "--out", "out.yaml", expect=4)
    assert "K633" in ended.err and "K630" not in ended.err and why in " ".join(ended.err.split())
    assert not (tmp_path / "out.yaml").exists()


def test_an_import_of_an_empty_cluster_says_so(tmp_path: Path) -> None:
    assert "K633" in Shell(tmp_path).kplan("import", "--out", "out.yaml", expect=4).err
    assert not (tmp_path / "out.yaml").exists()


def test_standard_input_is_a_file(tmp_path: Path) -> None:
    text = DESCRIBED.format("orders")
    assert "orders: {replication_factor: 1}" in Shell(tmp_path).kplan("import", "--file", "-", stdin=text).out


# -- the rest
def test_a_topic_that_is_being_deleted_is_left_out() -> None:
    text = DESCRIBED.format("a").replace("\n", "\tMarkedForDelete: true\n") + DESCRIBED.format("b")
    result, notes = found(t__txt=text)
    assert list(result.topics) == ["b"] and "topic/a is left out: it was being deleted" in notes


def test_connectors_of_several_connect_clusters_are_noted() -> None:
    head = "---\napiVersion: kafka.jikkou.io/v1beta1\nkind: KafkaConnector\n"
    one = head + CONNECTOR.replace("NAME", "a").replace("CLUSTER", "east") + SPEC
    two = head + CONNECTOR.replace("NAME", "b").replace("CLUSTER", "west") + SPEC
    assert "Connect cluster" not in found(a__yaml=one)[1]
    assert "one stack is about one Connect cluster, and this is of 2" in found(a__yaml=one, b__yaml=two)[1]
    kind = (
        "---\napiVersion: kafka.strimzi.io/v1\nkind: {}\nmetadata: {{name: {}, labels: {{strimzi.io/cluster: {}}}}}\n"
    )
    topic = "spec: {partitions: 1, replicas: 1}\n"
    strimzi = kind.format("KafkaTopic", "t", "x") + topic + kind.format("KafkaTopic", "u", "y") + topic
    assert "one Kafka cluster, and this is of 2" in found(s__yaml=strimzi)[1]


def test_special_topics_of_julie_are_carried_over() -> None:
    special = "special_topics:\n  - {name: __hb.x, config: {num.partitions: 1}}\n  - {name: b, dataType: avro}\n"
    result, notes = found(t__yaml=f"context: c\nprojects: [{{name: p, topics: [{{name: t}}]}}]\n{special}")
    assert list(result.topics) == ["c.p.t", "__hb.x", "b"]
    assert "access control" not in notes and "topic/b: its dataType is not carried over" in notes


def test_a_blacklist_of_kafka_gitops_is_noted() -> None:
    topics = "{defaults: {replication: 2, other: 1}, blacklist: {prefixed: [_x]}}"
    notes = found(state__yaml=f"settings: {{topics: {topics}}}\ntopics: {{a: {{partitions: 1}}}}\n")[1]
    assert "settings.topics.blacklist is not carried over" in notes
    assert "settings.topics.defaults.other is not carried over" in notes


AMBIGUOUS = """apiVersion: kafka.strimzi.io/v1
kind: KafkaTopic
metadata:
  name: a
  labels: {critical: yes, "on": since, since: 2024-01-02}
spec:
  partitions: 1
  replicas: 1
  config: {retention.ms: 1_000, preallocate: on}
"""


def test_values_that_yaml_readers_read_differently_are_read_and_noted(tmp_path: Path) -> None:
    result, notes = found(a__yaml=AMBIGUOUS)
    assert result.topics["a"].config == {"retention.ms": "1000", "preallocate": "true"}
    for place, kind in (("5: column 22", "a boolean"), ("5: column 47", "text"), ("9: column 26", "a number")):
        assert f"a.yaml:{place}: YAML readers differ about this value, and it is {kind} here" in notes
    assert "retention.ms: 1s" in imported(tmp_path, a__yaml=AMBIGUOUS).out


def test_an_ambiguous_password_is_shown_nowhere(tmp_path: Path) -> None:
    text = "meta: x\nname: c\nconfig:\n  connector.class: X\n  database.password: 019_283\n"
    ended = imported(tmp_path, c__yaml=text)
    assert "019_283" not in ended.all and "019283" not in ended.all and "c.yaml:5: column 22" in ended.err


def test_a_duration_in_a_list_of_topics_is_carried_over(tmp_path: Path) -> None:
    config = "{retention.ms: 7d, segment.bytes: 1GiB, flush.ms: soon}"
    ended = imported(
        tmp_path, t__yaml=f"kafka: {{topics: {{a: {{partitions: 1, replication_factor: 1, config: {config}}}}}}}\n"
    )
    assert "retention.ms: 7d" in ended.out and "segment.bytes: 1GiB" in ended.out
    assert "flush.ms: " not in ended.out.partition("version: 1")[2] and "topic/a: flush.ms (K108" in ended.err


# -- folders, and what the shell makes of them
TOPIC = 'resource "kafka_topic" "x" {\n  name = "NAME"\n  partitions = 1\n  replication_factor = 1\n}\n'


def test_a_folder_is_its_files_and_what_has_no_known_format_is_noted(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("estate/a/main.tf", TOPIC.replace("NAME", "from.terraform"))
    shell.write("estate/b/topics.yaml", "kafka:\n  topics:\n    from.yaml: {partitions: 2}\n")
    shell.write("estate/compose.yaml", "services:\n  web: {image: nginx}\nvolumes: {}\n")
    shell.write("estate/.git/config.json", "{")
    shell.write("estate/readme.md", "words")
    ended = shell.kplan("import", "--file", "estate")
    assert "from.terraform:" in ended.out and "from.yaml:" in ended.out
    assert "note: estate/compose.yaml: left out: a file of no known format" in ended.err
    assert ".git" not in ended.err and "readme" not in ended.err


def test_a_folder_with_a_damaged_file_is_refused(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("estate/topics.yaml", "kafka:\n  topics:\n    a: {partitions: [1]}\n")
    assert "estate/topics.yaml:3" in shell.kplan("import", "--file", "estate", expect=4).err


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "there are no files of" in Shell(tmp_path).kplan("import", "--file", "empty", expect=64).err


def test_files_that_the_shell_named_after_the_first_are_files(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for name in ("a", "b", "c"):
        shell.write(f"{name}.tf", TOPIC.replace("NAME", f"shop.{name}").replace('"x"', f'"{name}"'))
    ended = shell.kplan("import", "--file", "a.tf", "b.tf", "c.tf", "shop.[ab]")
    assert "shop.a:" in ended.out and "shop.b:" in ended.out and "shop.c" not in ended.out


# -- access
ACL = """\
resource "kafka_acl" "x" {
  acl_principal                = "User:a"
  acl_host                     = "*"
  acl_operation                = "OPERATION"
  acl_permission_type          = "Allow"
  resource_name                = NAME
  resource_type                = "TransactionalID"
  resource_pattern_type_filter = "Prefixed"
}
"""


def test_a_binding_with_a_name_that_only_terraform_knows_is_left_out(tmp_path: Path) -> None:
    text = ACL.replace("OPERATION", "Write").replace("NAME", "aws_x.y.name") + TOPIC.replace("NAME", "t")
    ended = imported(tmp_path, main__tf=text)
    assert "kafka_acl.x: resource_name is left out: only Terraform knows" in ended.err and "access" not in ended.out


def test_an_unknown_operation_is_an_error_at_its_resource(tmp_path: Path) -> None:
    text = ACL.replace("OPERATION", "Raed").replace("NAME", '"t"')
    ended = imported(tmp_path, main__tf=text, expect=4)
    assert "main.tf:1" in ended.err and "'Raed' is not a word of Kafka's bindings" in ended.err


def test_what_only_a_state_knows_is_asked_for(tmp_path: Path) -> None:
    text = TOPIC.replace("NAME", "t") + TOPIC.replace('"x"', '"y"').replace(
        "  name", "  count = length(data.aws_x.y.ids)\n  name", 1
    )
    assert "terraform show -json" in imported(tmp_path, main__tf=text).err


def test_a_resource_without_instances_is_noted(tmp_path: Path) -> None:
    text = TOPIC.replace("NAME", "t") + TOPIC.replace('"x"', '"y"').replace("  name", "  count = 0\n  name", 1)
    assert "kafka_topic.y is left out: its count is 0" in imported(tmp_path, main__tf=text).err


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    text = json.dumps({"version": 3, "terraform_version": "0.11.0", "resources": []})
    ended = imported(tmp_path, state__json=text, expect=4)
    assert "a state of version 3: 4 is known" in ended.err and "terraform show -json" in ended.err


# -- modules of Terraform
def test_modules_that_call_each_other_are_an_error_with_a_place() -> None:
    call = 'module "m" {{ source = "../{}" }}\n'.format
    topic = 'resource "kafka_topic" "t" {\n name = "t"\n partitions = 1\n replication_factor = 1\n}\n'
    files = {"root/main.tf": topic, "a/main.tf": call("b"), "b/main.tf": topic + call("a")}
    with pytest.raises(Invalid) as raised:
        parse_all([(path, text.encode()) for path, text in files.items()])
    [problem] = raised.value.diagnostics
    assert "in a circle" in problem.detail and problem.span is not None
    assert (problem.span.path, problem.span.line) == ("a/main.tf", 1)


def test_a_called_folder_is_not_read_on_its_own() -> None:
    inner = 'variable "name" {}\nresource "kafka_topic" "t" {\n name = var.name\n partitions = 1\n}\n'
    outer = 'module "m" {\n source = "./inner"\n name = "shop"\n}\n'
    imported = parse_all([("inner/main.tf", inner.encode()), ("main.tf", outer.encode())])
    assert list(imported.topics) == ["shop"] and not imported.notes


# -- access that no ACL says
def test_each_role_of_julie_is_named_with_its_place(tmp_path: Path) -> None:
    roles = '  rbac:\n  - ResourceOwner:\n    - principal: "User:o"\n  - DeveloperRead:\n    - principal: "User:r"\n'
    text = f"context: shop\nprojects:\n- name: orders\n{roles}  topics:\n  - name: created\n"
    ended = imported(tmp_path, topology__yaml=text)
    assert "topology.yaml:6: role ResourceOwner of User:o on project orders is not carried over" in ended.err
    assert "topology.yaml:8: role DeveloperRead of User:r on project orders is not carried over" in ended.err


def test_a_topology_of_julie_may_be_its_platform_alone(tmp_path: Path) -> None:
    text = 'context: c\nplatform:\n  ksql:\n    instances: [{principal: "User:k", ksqlDbId: a}]\n'
    ended = imported(tmp_path, platform__yaml=text)
    assert "4 bindings" in ended.err and "ksql is not carried over" not in ended.err


def test_a_namespace_of_ns4kafka_may_be_in_a_later_file(tmp_path: Path) -> None:
    spec = "{resourceType: TOPIC, resource: a., resourcePatternType: PREFIXED, permission: OWNER, grantedTo: shop}"
    entry = f"apiVersion: v1\nkind: AccessControlEntry\nmetadata: {{name: acl-1}}\nspec: {spec}\n"
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\nspec: {kafkaUser: svc}\n"
    ended = imported(tmp_path, a__yaml=entry, b__yaml=namespace)
    assert "3 bindings" in ended.err and "not carried over" not in ended.err
    assert "User:svc:" in ended.out


def test_an_unknown_word_of_an_access_control_entry_is_an_error_with_its_place(tmp_path: Path) -> None:
    spec = "{resourceType: TOPIC, resource: a, resourcePatternType: LITERAL, permission: ADMIN, grantedTo: shop}"
    entry = f"apiVersion: v1\nkind: AccessControlEntry\nmetadata: {{name: acl-1}}\nspec: {spec}\n"
    ended = imported(tmp_path, expect=4, a__yaml=entry)
    assert "a.yaml:4:84" in ended.err and "permission is ADMIN" in ended.err and "OWNER, READ, WRITE" in ended.err


def test_an_access_control_entry_is_named_with_what_it_grants(tmp_path: Path) -> None:
    spec = "{resourceType: TOPIC, resource: a, resourcePatternType: LITERAL, permission: READ, grantedTo: billing}"
    topic = "apiVersion: v1\nkind: Topic\nmetadata: {name: a}\nspec: {partitions: 3}\n"
    entry = f"apiVersion: v1\nkind: AccessControlEntry\nmetadata: {{name: acl-1}}\nspec: {spec}\n"
    ended = imported(tmp_path, namespace__yaml=f"{topic}---\n{entry}")
    assert "acl-1 is not carried over: READ of LITERAL TOPIC a for namespace billing" in ended.err


LOOPED = """
variable "topics" {
  type    = map(object({ partitions = number, days = optional(number, 7) }))
  default = { orders = { partitions = 6 }, bills = { partitions = 3, days = 1 } }
}
resource "kafka_topic" "t" {
  for_each   = var.topics
  name       = "shop.${each.key}"
  partitions = each.value.partitions
  config     = { "retention.ms" = each.value.days * 86400000 }
}
resource "kafka_topic" "shard" {
  count = 2
  name  = format("shard-%02d", count.index)
}
resource "kafka_acl" "a" {
  for_each            = toset(["alice"])
  resource_name       = kafka_topic.t["orders"].name
  resource_type       = "Topic"
  acl_principal       = "User:${each.value}"
  acl_operation       = "Read"
  acl_permission_type = "Allow"
}
resource "kafka_acl" "b" {
  for_each            = kafka_topic.shard[*].id
  resource_name       = each.value
  resource_type       = "Topic"
  acl_principal       = "User:bob"
  acl_operation       = "Write"
  acl_permission_type = "Allow"
}
"""


def test_optional_attributes_and_names_of_looped_resources_are_known() -> None:
    result, notes = found(main__tf=LOOPED)
    topics = {name: (topic.partitions, topic.config.get("retention.ms")) for name, topic in result.topics.items()}
    assert topics == {
        "shop.orders": (6, "604800000"), "shop.bills": (3, "86400000"), "shard-00": (-1, None), "shard-01": (-1, None),
    }  # fmt: skip
    assert {(each.principal, each.resource_name) for each in result.bindings.values()} == {
        ("User:alice", "shop.orders"), ("User:bob", "shard-00"), ("User:bob", "shard-01"),
    }  # fmt: skip
    assert "only Terraform knows" not in notes


def test_a_resource_that_loops_over_itself_is_left_out_with_a_note() -> None:
    text = LOOPED + 'resource "kafka_topic" "x" {\n for_each = kafka_topic.x\n name = each.key\n}\n'
    _, notes = found(main__tf=text)
    assert "kafka_topic.x is left out" in notes


AIVEN = """
variable "pw" { sensitive = true }
resource "aiven_kafka_connector" "c" {
  service_name   = "k"
  connector_name = "os"
  config = {
    "connector.class"     = "org.example.Sink"
    "connection.password" = var.pw
  }
}
resource "aiven_kafka_topic" "t" {
  topic_name             = "t"
  partitions             = 5
  replication            = 3
  termination_protection = true
  owner_user_group_id    = "ug"
}
"""


def test_a_secret_of_aivens_connector_is_a_variable_and_all_else_is_noted(tmp_path: Path) -> None:
    ended = imported(tmp_path, main__tf=AIVEN)
    assert 'connection.password: "{{ var.connection_password }}"' in ended.out
    assert "t: {partitions: 5, replication_factor: 3, protect: true}" in ended.out
    assert "aiven_kafka_topic.t: owner_user_group_id is not carried over" in ended.err


def test_a_pattern_in_quotation_marks_names_files(tmp_path: Path) -> None:
    (tmp_path / "a.tf").write_text(LOOPED)
    shell = Shell(tmp_path)
    assert "4 topics" in shell.kplan("import", "--file", "*.tf").err
    assert "4 topics" in shell.kplan("import", "--file", f"{tmp_path}/**/*.tf").err
    assert "x*.tf names no file" in shell.kplan("import", "--file", "x*.tf", expect=64).err


COMMANDS = """#!/bin/bash
$KAFKA_HOME/bin/kafka-topics.sh --bootstrap-server $BOOTSTRAP --create --topic a.b --partitions 3
kafka-acls --bootstrap-server=$B --command-config "$F" --add --allow-principal User:x --operation Read --topic a.b
kafka-topics --bootstrap-server $BOOTSTRAP --create --topic $NAME
curl -X PUT $CONNECT_URL/connectors/fs/config -d '{"connector.class": "FileStreamSink", "topics": "a.b", "file": "/x"}'
cat <<EOF | curl -d @- connect:8083/connectors
{"name": "hs", "config": {"connector.class": "FileStreamSink", "topics": "a.b", "file": "/y"}}
EOF
"""


def test_which_cluster_a_command_is_about_need_not_be_known(tmp_path: Path) -> None:
    ended = imported(tmp_path, setup__sh=COMMANDS)
    assert "1 topic and 2 connectors" in ended.err and "1 binding" in ended.err
    assert [line for line in ended.err.splitlines() if "left out" in line] == [
        "note: setup.sh:4: a command of kafka-topics is left out: only the shell knows $NAME"
    ]


OPERATORS = """
apiVersion: kafka.strimzi.io/v1
kind: KafkaTopic
metadata: {name: a}
spec: {partitions: 3, replicas: 3}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
---
apiVersion: platform.confluent.io/v1beta1
kind: KafkaTopic
metadata: {name: b}
spec: {partitionCount: 6, replicas: 3, configs: {retention.ms: 1000}}
"""


def test_a_file_may_have_objects_of_two_operators() -> None:
    result, notes = found(all__yaml=OPERATORS)
    assert {name: topic.partitions for name, topic in result.topics.items()} == {"a": 3, "b": 6}
    assert notes.startswith("all.yaml:8: Deployment d is not carried over") and notes.count("not carried over") == 1


S3 = {
    "connector.class": "io.confluent.connect.s3.S3SinkConnector",
    "topics": "a",
    "s3.bucket.name": "lake",
    "flush.size": "1000",
    "format.class": "io.confluent.connect.s3.format.json.JsonFormat",
    "storage.class": "io.confluent.connect.s3.storage.S3Storage",
    "partitioner.class": "io.confluent.connect.storage.partitioner.DailyPartitioner",
    "tasks.max": "4",
}


def test_a_java_class_becomes_the_word_of_a_template_that_makes_it(tmp_path: Path) -> None:
    ended = imported(tmp_path, s3__json=json.dumps({"name": "s3", "config": S3}))
    assert "template: s3-sink" in ended.out and "format: json" in ended.out and "partition: {by: daily}" in ended.out
    other = {**S3, "format.class": "org.example.OwnFormat"}
    ended = imported(tmp_path, s3__json=json.dumps({"name": "s3", "config": other}))
    assert "s3-sink needs `format`" in ended.err and "format.class: org.example.OwnFormat" in ended.out


PLAY = """
- hosts: kafka
  tasks:
    - kafka_topic: {name: "{{ item.name }}", partitions: "{{ item['p'] }}", options: "{{ item.options }}"}
      loop: [{name: a, p: 1, options: {retention.ms: 1000}}, {name: b, p: 2, options: {}}]
    - kafka_topic: {name: "x.{{ item }}", partitions: 1}
      with_items: [c, d]
    - kafka_topic: {name: "{{ item.other }}", partitions: 1}
      loop: [{name: e}]
    - kafka_topic: {name: "{{ item }}", partitions: 1}
      loop: "{{ names }}"
"""


def test_a_loop_of_ansible_over_literals_is_followed() -> None:
    result, notes = found(play__yaml=PLAY)
    assert {name: topic.partitions for name, topic in result.topics.items()} == {"a": 1, "b": 2, "x.c": 1, "x.d": 1}
    assert result.topics["a"].config == {"retention.ms": "1000"}
    assert "play.yaml:8: an entry of kafka_topic is left out: it has a template of Ansible's" in notes
    assert "play.yaml:10: a task with kafka_topic is left out: only Ansible knows its `loop`" in notes


def test_a_folder_with_a_chart_names_its_templates_and_what_renders_them(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("chart/values.yaml", "topics: [{name: a, partitions: 1}]\n")
    shell.write("chart/templates/t.yaml", "{{- range .Values.topics }}\nkind: KafkaTopic\n{{- end }}\n")
    shell.write("chart/dump.sh", "#!/bin/sh\nkafka-topics --create --topic b --partitions 2\n")
    ended = shell.kplan("import", "--file", "chart")
    assert "b: {partitions: 2}" in ended.out
    assert "chart/values.yaml: left out: a file of no known format" in ended.err
    assert "chart/templates/t.yaml: left out: it is a Helm template: render it first: `helm template" in ended.err


LOOPS = """#!/bin/bash
TOPICS="a b"
for t in $TOPICS c.d; do
  for p in x y; do
    kafka-topics --create --topic "$t.$p" --partitions 2
  done
done
for pair in a:1 b:2; do kafka-topics --create --topic ${pair%%:*}; done
for t in $(cat topics.txt); do
  kafka-topics --create --topic $t
done
for t in topics/*; do kafka-topics --create --topic z; done
for t in one; do
  if true; then kafka-topics --create --topic $t.if; fi
done
kafka-topics --create --topic end
"""


def test_a_loop_of_a_script_over_words_that_it_says_is_followed() -> None:
    result, notes = found(setup__sh=LOOPS)
    expected = {f"{t}.{p}" for t in ("a", "b", "c.d") for p in "xy"}
    assert result.topics.keys() == expected | {"one.if", "end"}
    assert "setup.sh:8: a command of kafka-topics is left out: only the shell knows ${pair%%:*}" in notes
    assert "setup.sh:10: a command of kafka-topics is left out: it is in a loop or a function" in notes
    assert "setup.sh:12: a command of kafka-topics is left out: it is in a loop or a function" in notes


MIRROR = {
    "connector.class": "org.apache.kafka.connect.mirror.MirrorCheckpointConnector",
    "source.cluster.alias": "s",
    "target.cluster.alias": "t",
    "source.cluster.bootstrap.servers": "s:9092",
    "target.cluster.bootstrap.servers": "t:9092",
    "groups": ".*",
    "topics": "shop.orders",
}


def test_the_topics_of_a_mirrors_checkpoints_are_not_read_from_this_cluster(tmp_path: Path) -> None:
    imported(tmp_path, "--out", "stack.yaml", mirror__json=json.dumps({"name": "m", "config": MIRROR}))
    assert "K215" not in Shell(tmp_path).kplan("validate", "stack.yaml").all
