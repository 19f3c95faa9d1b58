"""Other tools as data: how each is found, what it reads, its commands, and what it does in the time it takes.

Nothing here starts a program. `sides` runs the commands, in turns with kplan's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.measure import KPLAN
from tests.services.kafka import java_command

Words = tuple[str, ...]
Commands = tuple[Words, ...]
PROVIDERS = "peers.local/mongey"
FILE_SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"


@dataclass(frozen=True, slots=True)
class Work:
    """So many topics with a prefix, or so many connectors, on servers of this machine.

    `others` are prefixes of topics on the same brokers that a tool must leave alone.
    """

    bootstrap: str
    prefix: str
    count: int
    retention_ms: int = 604_800_000
    others: tuple[str, ...] = ()
    connect: str = ""
    tools: Path = Path()

    @property
    def names(self) -> list[str]:
        return [f"{self.prefix}{number:05}" for number in range(self.count)]

    @property
    def connector_config(self) -> dict[str, str]:
        return {"connector.class": FILE_SOURCE, "file": "/dev/null", "topic": "lines", "tasks.max": "1"}


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool. A job that `jobs` lacks is one that it cannot do.

    The jobs: validate, plan, create, change (one config), destroy; connectors-plan and connectors-create.
    `most` limits the number of topics of a job. `needs` are the programs that DIR or DIR/bin must hold. `attempts` is
    how often a command is started, at most, until it succeeds.
    """

    name: str
    needs: Words
    version: Words
    write: Callable[[Work], Mapping[str, str]]
    jobs: Mapping[str, Callable[[Work], Commands]]
    build: str
    duties: str
    most: Mapping[str, int] = field(default_factory=dict)
    environment: Callable[[Work], Mapping[str, str]] = lambda work: {}
    unchanged: str = ""  # what its plan prints if nothing changes
    attempts: int = 1


def find_program(tools: Path | None, name: str) -> Path | None:
    """Return the executable of this name in the folder of tools, if there is one."""
    places = () if tools is None else (tools / name, tools / "bin" / name)
    return next((path for path in places if path.is_file() and path.stat().st_mode & 0o111), None)


def find_peers(tools: Path | None) -> tuple[list[Peer], list[str]]:
    """Return the tools that the folder holds, and a sentence for each that it lacks."""
    present, absent = [], []
    for peer in PEERS:
        missing = [name for name in peer.needs if find_program(tools, name) is None]
        if not missing:
            present.append(peer)
        elif tools is None:
            absent.append(f"{peer.name}: no folder of tools was given (`make bench PEERS=DIR`).")
        else:
            absent.append(
                f"{peer.name}: the folder of tools does not hold {', '.join(f'`{name}`' for name in missing)}."
            )
    return present, absent


def resolve_command(words: Words, tools: Path | None) -> list[str]:
    """Return the command with the path of its program where the folder of tools holds that."""
    program = find_program(tools, words[0])
    return [str(program) if program else words[0], *words[1:]]


def _once(*words: str) -> Callable[[Work], Commands]:
    return lambda work: (words,)


# -- files of each tool -----------------------------------------------------------------------------------------------
def write_kplan(work: Work) -> dict[str, str]:
    head = f"version: 1\nstack: {work.prefix.strip('.').replace('.', '-')}\n"
    if work.connect:
        block = f"{{class: {FILE_SOURCE}, config: {{file: /dev/null, topic: lines, tasks.max: 1}}}}"
        lines = "".join(f"  {name}: {block}\n" for name in work.names)
        return {"stack.yaml": f"{head}connectors:\n{lines}"}
    lines = "".join(f"  {name}:\n" for name in work.names)
    defaults = f"defaults: {{topic: {{config: {{retention.ms: {work.retention_ms}}}}}}}\n"
    return {"stack.yaml": f"{head}{defaults}topics:\n{lines}"}


def write_gafkalo(work: Work) -> dict[str, str]:
    connect = f"  connect:\n    url: {work.connect}\n" if work.connect else ""
    config = (
        f'connections:\n  kafka:\n    bootstrapBrokers: ["{work.bootstrap}"]\n{connect}'
        'kafkalo:\n  input_dirs: ["wanted.yaml"]\n'
    )
    if work.connect:
        settings = json.dumps(work.connector_config)
        lines = "".join(f"  - name: {name}\n    config: {settings}\n" for name in work.names)
        return {"config.yaml": config, "wanted.yaml": f"connectors:\n{lines}"}
    lines = "".join(
        f"  - name: {name}\n    partitions: 1\n    replication_factor: 1\n"
        f'    configs:\n      retention.ms: "{work.retention_ms}"\n'
        for name in work.names
    )
    return {"config.yaml": config, "wanted.yaml": f"topics:\n{lines}"}


def write_topicctl(work: Work) -> dict[str, str]:
    place = "  environment: bench\n  region: here\n"
    cluster = f'meta:\n  name: bench\n{place}spec:\n  bootstrapAddrs: ["{work.bootstrap}"]\n'
    topics = [
        f"meta:\n  name: {name}\n  cluster: bench\n{place}spec:\n  partitions: 1\n  replicationFactor: 1\n"
        f"  retentionMinutes: {work.retention_ms // 60_000}\n  placement:\n    strategy: any\n"
        for name in work.names
    ]
    return {"cluster.yaml": cluster, "topics.yaml": "---\n".join(topics)}


def write_terraform(work: Work) -> dict[str, str]:
    """Write the resources, and the state that has them: a plan of unchanged topics needs no create of its own."""
    kind = "kafka-connect" if work.connect else "kafka"
    brokers = f'bootstrap_servers = ["{work.bootstrap}"]\n  tls_enabled = false'
    provider = f'url = "{work.connect}"' if work.connect else brokers
    resource = "kafka-connect_connector" if work.connect else "kafka_topic"
    bodies, instances = [], []
    for number, name in enumerate(work.names):
        settings = {"name": name, **work.connector_config} if work.connect else {"retention.ms": str(work.retention_ms)}
        sizes = {} if work.connect else {"partitions": 1, "replication_factor": 1}
        lines = [f"  name = {json.dumps(name)}", *(f"  {key} = {value}" for key, value in sizes.items())]
        lines += ["  config = {", *(f"    {json.dumps(k)} = {json.dumps(v)}" for k, v in settings.items()), "  }"]
        bodies.append(f'resource "{resource}" "r{number}" {{\n  provider = {kind}\n' + "\n".join(lines) + "\n}\n")
        attributes = {"id": name, "name": name, **sizes, "config": settings}
        instances.append({
            "mode": "managed", "type": resource, "name": f"r{number}",
            "provider": f'provider["{PROVIDERS}/{kind}"]',
            "instances": [{"schema_version": 0, "attributes": attributes}],
        })  # fmt: skip
    requires = f'terraform {{\n  required_providers {{\n    {kind} = {{ source = "{PROVIDERS}/{kind}" }}\n  }}\n}}\n'
    head = f'{requires}provider "{kind}" {{\n  {provider}\n}}\n'
    state = {"version": 4, "terraform_version": "1.5.7", "serial": 1, "lineage": "bench", "outputs": {}}
    found = [find_program(work.tools, f"terraform-provider-{each}") for each in ("kafka", "kafka-connect")]
    folder = next((path.parent for path in found if path), work.tools)
    overrides = "".join(
        f'    "{PROVIDERS}/{each}" = {json.dumps(str(folder))}\n' for each in ("kafka", "kafka-connect")
    )
    return {
        "main.tf": head + "".join(bodies),
        "unchanged.tfstate": json.dumps({**state, "resources": instances}),
        "terraform.rc": f"provider_installation {{\n  dev_overrides {{\n{overrides}  }}\n  direct {{}}\n}}\n",
    }


def write_kafka_gitops(work: Work) -> dict[str, str]:
    """Write the wanted state, and one without topics. It deletes all topics that a file lacks and does not exclude."""
    excluded = "".join(f"        - {json.dumps(prefix)}\n" for prefix in ("_", *work.others))
    head = f"settings:\n  topics:\n    blacklist:\n      prefixed:\n{excluded}"
    lines = "".join(
        f'  {name}:\n    partitions: 1\n    replication: 1\n    configs:\n      retention.ms: "{work.retention_ms}"\n'
        for name in work.names
    )
    client = f"bootstrap.servers={work.bootstrap}\n"  # its 0.2.15 ends with an error without a file of the client
    files = {"state.yaml": f"{head}topics:\n{lines}", "nothing.yaml": f"{head}topics: {{}}\n"}
    return {**files, "client.properties": client}


def write_jikkou(work: Work) -> dict[str, str]:
    """Write the topics, and the same ones marked for deletion; or the connectors."""
    context = {"configFile": "jikkou.conf" if work.connect else None, "configProps": {}}
    settings = json.dumps({"currentContext": "bench", "bench": context})
    if work.connect:
        config = {key: work.connector_config[key] for key in ("file", "topic")}
        spec = json.dumps({"connectorClass": FILE_SOURCE, "tasksMax": 1, "config": config, "state": "RUNNING"})
        documents = [
            f"apiVersion: kafka.jikkou.io/v1\nkind: KafkaConnector\nmetadata:\n  name: {name}\n"
            f"  labels: {{kafka.jikkou.io/connect-cluster: bench}}\nspec: {spec}\n"
            for name in work.names
        ]
        provider = {
            "enabled": True, "type": "io.jikkou.kafka.connect.KafkaConnectExtensionProvider",
            "config": {"clusters": [{"name": "bench", "url": work.connect, "authMethod": "none"}]},
        }  # fmt: skip
        servers = json.dumps({"jikkou": {"provider": {"kafkaconnect": provider}}})
        return {"connectors.yaml": "---\n".join(documents), "jikkou.conf": servers, "jikkou.json": settings}
    head = "apiVersion: kafka.jikkou.io/v1\nkind: KafkaTopicList\nitems:\n"
    spec = f"spec: {{partitions: 1, replicas: 1, configs: {{retention.ms: {work.retention_ms}}}}}"
    kept = "".join(f"  - metadata: {{name: {name}}}\n    {spec}\n" for name in work.names)
    mark = "annotations: {jikkou.io/delete: true}"
    marked = "".join(f"  - metadata: {{name: {name}, {mark}}}\n    {spec}\n" for name in work.names)
    return {"topics.yaml": head + kept, "nothing.yaml": head + marked, "jikkou.json": settings}


def write_connectctl(work: Work) -> dict[str, str]:
    listed = [{"name": name, "config": {"name": name, **work.connector_config}} for name in work.names]
    return {"connectors.json": json.dumps(listed, indent=1)}


# -- the tools --------------------------------------------------------------------------------------------------------
def _topics_tool(work: Work, *words: str) -> Words:
    main = "org.apache.kafka.tools.TopicCommand"
    return (*java_command("-Xmx256m"), main, "--bootstrap-server", work.bootstrap, *words)


def _create_one_by_one(work: Work) -> Commands:
    config = ("--config", f"retention.ms={work.retention_ms}")
    return tuple(_topics_tool(work, "--create", "--topic", name, "--partitions", "1", *config) for name in work.names)


def _run_kplan(command: str, *more: str) -> Callable[[Work], Commands]:
    def build(work: Work) -> Commands:
        connect = ("--connect", work.connect) if work.connect else ()
        return ((*KPLAN, command, "stack.yaml", *more, "--bootstrap", work.bootstrap, *connect),)

    return build


_APPLY = _run_kplan("apply", "--yes", "--brief")
_TERRAFORM_APPLY = ("terraform", "apply", "-auto-approve", "-input=false", "-no-color")
_TERRAFORM_PLAN = ("terraform", "plan", "-input=false", "-no-color", "-detailed-exitcode", "-state=unchanged.tfstate")
_GAFKALO = ("gafkalo", "--config", "config.yaml")
_GITOPS = ("kafka-gitops", "-c", "client.properties")
_TOPICCTL_APPLY = ("topicctl", "apply", "--skip-confirm", "--sleep-loop-duration=0s", "--cluster-config=cluster.yaml",
                   "topics.yaml")  # fmt: skip
_TOPICCTL_CHECK = ("topicctl", "check", "--validate-only", "--cluster-config=cluster.yaml", "topics.yaml")


def _manage_connectors(work: Work) -> Commands:
    files = ("--files", "connectors.json", "--once", "--sync-error-retry-period=200ms")
    return (("connectctl", "connectors", "manage", "--cluster", work.connect, *files),)


OURS = Peer(
    "kplan", (), (*KPLAN, "--version"), write_kplan,
    {
        "validate": lambda work: ((*KPLAN, "validate", "stack.yaml"),),
        "plan": _run_kplan("plan"), "create": _APPLY, "change": _APPLY,
        "destroy": _run_kplan("destroy", "--yes", "--brief"),
        "connectors-plan": _run_kplan("plan"), "connectors-create": _APPLY,
    },
    "`make setup`",
    "The brokers judge the changes first. It takes a lock, writes a journal and the ledger in transactions, waits "
    "until the changes are visible or the tasks run, and reads everything back. It can roll the changes back.",
    unchanged="(?i)no changes",
)  # fmt: skip

PEERS: tuple[Peer, ...] = (
    Peer(
        "gafkalo", ("gafkalo",), ("gafkalo", "--help"), write_gafkalo,
        {
            "validate": _once(*_GAFKALO, "lint"), "plan": _once(*_GAFKALO, "plan"),
            "create": _once(*_GAFKALO, "apply"), "change": _once(*_GAFKALO, "apply"),
            "connectors-plan": _once(*_GAFKALO, "plan"), "connectors-create": _once(*_GAFKALO, "apply"),
        },
        "with Go, from the source of `kmetaxas/gafkalo`",
        "One request for each topic; a plan has the brokers judge new topics. No lock, no journal, no wait for "
        "visibility or tasks, no reading back, no deletion. An error of one topic does not change the exit code.",
        unchanged=r"(?s)## Topics\s+## Schemas.*## Connectors\s+##",
    ),
    Peer(
        "topicctl", ("topicctl",), ("topicctl", "--version"), write_topicctl,
        {
            "validate": _once(*_TOPICCTL_CHECK),
            "plan": _once(*_TOPICCTL_APPLY, "--dry-run"),
            "create": _once(*_TOPICCTL_APPLY), "change": _once(*_TOPICCTL_APPLY),
        },
        "with Go, from the source of `segmentio/topicctl`",
        "One topic after the other. It checks the file, reads a new topic back for its placement and leaders, and has "
        "a lock only with ZooKeeper. No journal; it deletes one topic by its name, after a question. Its plan is a dry "
        "run. Its pause after each new topic is turned off here.",
        unchanged=r"(?s)\A(?!.*(?:different values|Would create)).*Apply completed",
    ),
    Peer(
        "terraform", ("terraform", "terraform-provider-kafka"), ("terraform", "version"), write_terraform,
        {
            "validate": _once("terraform", "validate", "-no-color"),
            "plan": _once(*_TERRAFORM_PLAN),
            "create": _once(*_TERRAFORM_APPLY), "change": _once(*_TERRAFORM_APPLY),
            "destroy": _once("terraform", "destroy", "-auto-approve", "-input=false", "-no-color"),
        },
        "`go install github.com/hashicorp/terraform@v1.5.7`; the provider with Go, from the source of "
        "`Mongey/terraform-provider-kafka`",
        "It checks the types of the file, locks and writes a state file on this machine, and has ten resources under "
        "way at a time. After each request the provider waits one second, or three after a deletion, and then until "
        "the brokers show it. No rollback.",
        environment=lambda work: {"TF_CLI_CONFIG_FILE": "terraform.rc", "CHECKPOINT_DISABLE": "1"},
        unchanged="No changes",
    ),
    Peer(
        "terraform (connectors)", ("terraform", "terraform-provider-kafka-connect"), ("terraform", "version"),
        write_terraform,
        {"connectors-plan": _once(*_TERRAFORM_PLAN), "connectors-create": _once(*_TERRAFORM_APPLY)},
        "terraform as above; the provider with Go, from the source of `Mongey/terraform-provider-kafka-connect`",
        "Ten connectors under way at a time, and its state file. It repeats a request that a rebalance of the workers "
        "refuses, and reads each connector back. It does not wait for tasks.",
        environment=lambda work: {"TF_CLI_CONFIG_FILE": "terraform.rc", "CHECKPOINT_DISABLE": "1"},
        unchanged="No changes",
    ),
    Peer(
        "kafka-gitops", ("kafka-gitops",), ("kafka-gitops", "--version"), write_kafka_gitops,
        {
            "validate": _once(*_GITOPS, "-f", "state.yaml", "validate"),
            "plan": _once(*_GITOPS, "--skip-acls", "-f", "state.yaml", "plan"),
            "create": _once(*_GITOPS, "--skip-acls", "--no-delete", "-f", "state.yaml", "apply"),
            "change": _once(*_GITOPS, "--skip-acls", "--no-delete", "-f", "state.yaml", "apply"),
            "destroy": _once(*_GITOPS, "--skip-acls", "-f", "nothing.yaml", "apply"),
        },
        "a release of its project, with an executable `kafka-gitops` that starts its jar",
        "A new client and one request for each topic. It checks the file. No lock, no journal, no wait for visibility, "
        "no reading back. It deletes every topic that its file lacks and does not exclude.",
        environment=lambda work: {"KAFKA_BOOTSTRAP_SERVERS": work.bootstrap},
        unchanged="no necessary changes",
    ),
    Peer(
        "jikkou", ("jikkou",), ("jikkou", "--version"), write_jikkou,
        {
            "validate": _once("jikkou", "validate", "-f", "topics.yaml"),
            "plan": _once("jikkou", "diff", "-f", "topics.yaml"),
            "create": _once("jikkou", "create", "-f", "topics.yaml"),
            "change": _once("jikkou", "update", "-f", "topics.yaml"),
            "destroy": _once("jikkou", "delete", "-f", "nothing.yaml"),
            "connectors-plan": _once("jikkou", "diff", "-f", "connectors.yaml"),
            "connectors-create": _once("jikkou", "create", "-f", "connectors.yaml"),
        },
        "a release of its project; or with Maven and Java 25, from the source of `streamthoughts/jikkou`, and an "
        "executable `jikkou` that starts its jar, which takes longer to start than the programs of its releases",
        "It checks the file with rules of its own, and creates all topics in one request. No lock, no journal, no wait "
        "for visibility or tasks, no reading back.",
        environment=lambda work: {
            "JIKKOU_DEFAULT_KAFKA_BOOTSTRAP_SERVERS": work.bootstrap, "JIKKOUCONFIG": "jikkou.json",
        },
        unchanged=r'(?s)\A(?!.*op: "(?:CREATE|UPDATE|REPLACE|DELETE)").*op: "NONE"',
    ),
    Peer(
        "kafka-topics.sh", (), (), lambda work: {},
        {
            "plan": lambda work: (_topics_tool(work, "--describe"),),
            "create": _create_one_by_one,
            "destroy": lambda work: (_topics_tool(work, "--delete", "--topic", f"{work.prefix}.*"),),
        },
        "the jars that the tests download; `org.apache.kafka.tools.TopicCommand` is what the script starts",
        "Its plan only prints the topics and compares nothing. It creates one topic for each start of the JVM, and "
        "deletes those of a pattern at once. No file, no lock, no journal, no wait for visibility.",
        most={"create": 10, "change": 0, "destroy": 0},
    ),
    Peer(
        "connectctl", ("connectctl",), ("connectctl", "version"), write_connectctl,
        {"connectors-plan": _manage_connectors, "connectors-create": _manage_connectors},
        "with Go, from the source of `90poe/connectctl`",
        "One connector after the other. It has no plan: what is measured is a run that finds nothing to do. It fails "
        "if a rebalance of the workers refuses a request, and is then started again. No lock, no journal, no wait for "
        "tasks.",
        attempts=20,
    ),
)  # fmt: skip
