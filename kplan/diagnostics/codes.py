"""The code table: what each code of a diagnostic means, why it happens and the way out. `kplan explain` prints it.

Families: K1 YAML and schema, K2 expansion and references, K3 said by the servers, K4 risk, K5 apply and rollback,
K6 lock, ledger and files. A code is never given a second meaning, and never taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from textwrap import dedent
from types import MappingProxyType

FAMILIES: Mapping[str, str] = MappingProxyType({
    "K1": "YAML and schema",
    "K2": "expansion and references",
    "K3": "said by the servers",
    "K4": "risk",
    "K5": "apply and rollback",
    "K6": "lock, ledger and files",
})  # fmt: skip


_DIGITS = str.maketrans("OIL", "011")  # what people type for them


@dataclass(frozen=True, slots=True)
class Code:
    """`title` is one line; `text` tells the cause, shows an example and gives the way out, in 2 to 8 lines."""

    code: str
    title: str
    text: str

    @property
    def family(self) -> str:
        return FAMILIES[self.code[:2]]


def _code(code: str, title: str, text: str) -> Code:
    return Code(code, title, dedent(text).strip())


def _table(codes: Iterable[Code]) -> Mapping[str, Code]:
    table: dict[str, Code] = {}
    for each in codes:
        if each.code in table:
            raise ValueError(f"{each.code} is in the table twice")
        table[each.code] = each
    return MappingProxyType(dict(sorted(table.items())))


def similar(code: str) -> str:
    """The code that was probably meant, or nothing."""
    close = get_close_matches(code.upper().translate(_DIGITS), CODES, 1)
    return close[0] if close else ""


_FILES = (
    _code("K100", "the files have errors", """
        kplan read the files, found errors in them, and did nothing. Each error is printed with its own code and place.

        All errors are told at once, so one round of corrections is usually enough. `kplan validate STACK` checks
        again without asking any server, and `kplan explain CODE` tells about one of them.
        """),
    _code("K101", "bad YAML syntax", """
        The file is not YAML, or YAML of a kind that kplan does not read: several documents in one file, a tag such as
        `!!python/object`, a map as a key, an alias without its anchor, or an empty file.

            partitions: {{ var.n }}        # two maps to YAML
            partitions: "{{ var.n }}"      # a template

        Look at the line above the place, too: a missing quote, bracket or space of indentation shows late.
        """),
    _code("K102", "duplicate key", """
        One map has a key twice. Most YAML readers keep the last one silently, so half of what is written would be lost.

            topics:
              orders: {partitions: 3}
              orders: {config: {retention.ms: 1d}}

        Merge the two, or rename one. Keys that come from a merge (`<<: *base`) may be repeated: the map's own win.
        """),
    _code("K103", "ambiguous plain value", """
        The value has no quotes and means different things to different YAML readers. Version 1.1 takes `no` for false,
        `0123` for 83, `12:30` for 750 and `2024-01-02` for a date; version 1.2 does not. kplan does not guess.

            country: no          # write "no", or false
            partitions: 1_000    # write 1000

        Put text in quotes, and write numbers and booleans plainly: 1000, 1.5, true, false. A key is always text.
        """),
    _code("K104", "unknown topic config", """
        Kafka has no topic config of this name. A broker would refuse the topic; kplan says so before anything is done.

            config: {retenton.ms: 7d}      # retention.ms

        That holds for a key without a value, too: YAML reads `{retention.ms:7d}` as the key `retention.ms:7d`, since a
        blank is missing after the colon, and `{cleanup.policy: compact,delete}` as two keys.

        Check the spelling: the message names the nearest one. Configs of brokers, such as `log.retention.ms`, have
        another name on topics. Some old ones, such as `message.format.version`, are gone since Kafka 4.
        """),
    _code("K105", "nested too deeply, or aliases grow too large", """
        The file has more than 100 levels, an alias that contains itself, or aliases of aliases that multiply: ten
        lines can stand for billions of values ("billion laughs").

            a: &a [x, x, x, x, x]
            b: &b [*a, *a, *a, *a, *a]     # and so on

        Write the values out, use `defaults:`, or make topics with `for_each:`.
        """),
    _code("K106", "the file does not fit its schema", """
        The YAML is fine, but a key is unknown or missing, or a value has the wrong type or form.

            topics:
              orders: {partition: "6"}     # partitions: 6

        The keys under `kafka:` of an environment are librdkafka's: one that the installed librdkafka does not have is
        unknown.

        A number or a boolean may be text only where a template stands for it: `"{{ var.partitions }}"`. `kplan schema`
        prints the schema, and an editor completes and checks with this first line of a file:

            # yaml-language-server: $schema=…/stack.v1.json
        """),
    _code("K107", "a file or folder cannot be read", """
        There is no such file, its permissions do not allow reading it, or it is a link out of its folder: check the
        path and its permissions. A folder without stacks has no .yaml, .yml or .json file itself; kplan does not read
        the folders below it, and the message names those with stacks.

            $ kplan plan .          # kplan plan stacks

        Or the file is not UTF-8 text, or it holds a character that YAML forbids: a control character, a line separator
        that editors do not count, or a byte order mark in the middle. Save it as UTF-8 (with or without a byte order
        mark at its beginning). Where such a character is really meant, write it as an escape in double quotes, such as
        "\\u2028" or "\\x07".
        """),
    _code("K108", "a value that Kafka or Connect refuses", """
        A config exists, but its value has the wrong type, is out of range, or contradicts another one.

            config: {cleanup.policy: compacted}              # compact
            config: {retention.ms: 7 days}                   # 7d
            config: {min.compaction.lag.ms: 2d, max.compaction.lag.ms: 1d}

        The message says what is allowed. Durations take ms, s, m, h, d and w; sizes take KiB, MiB, GiB, KB, MB and GB.
        """),
    _code("K109", "illegal name of a topic or connector", """
        A topic's name has 1 to 249 characters of a-z, A-Z, 0-9, `.`, `_` and `-`, and is not `.` or `..`. A
        connector's name has the same characters, for Connect's REST interface cannot reach other names.

            "orders/{{ var.region }}": {}      # orders.eu

        Look at what a template made of the name: `kplan show --stack STACK` prints the final ones.
        """),
    _code("K110", "names that differ only in `.` and `_`", """
        Kafka makes `_` of `.` in the names of metrics, so `client.orders` and `client_orders` would share theirs, and
        the broker refuses the second topic.

        Rename one of them, and use either `.` or `_` as the separator of all names. Prefixes count as well:
        `client_2.kbe.x` and `client.2_kbe.x` collide.
        """),
    _code("K111", "more in-sync replicas than replicas", """
        `min.insync.replicas` is greater than the replication factor. Kafka accepts such a topic without a word, and
        then refuses every write with acks=all, Debezium's among them.

            replication_factor: 1
            config: {min.insync.replicas: 2}

        Usual pairs are 3 and 2 in production, and 1 and 1 on a single broker. Look at the defaults of the environment.
        """),
    _code("K112", "stacks in folders below are not read", """
        A folder stands for the files that are directly in it, so stacks in folders below are neither planned nor
        applied with it.

            kplan plan stacks stacks/search                  # both folders

        Name each folder that is meant, or move the files up.
        """),
    _code("K113", "this file is not a stack", """
        A stack file is expected, and the file is of another kind: a saved plan or a view of one, kplan.yaml, a Strimzi
        manifest, a connector's JSON, Terraform, a Helm template, a script, and so on.

            kplan plan strimzi.yaml
            kplan import --file strimzi.yaml --out stack.yaml

        The message says what the file is, and which command takes it. `kplan import` reads other tools' files;
        `kplan apply plan.json` applies a saved plan, which is the only file of that command then.
        """),
)  # fmt: skip

_EXPANSION = (
    _code("K201", "a template cannot be rendered", """
        What stands between `{{` and `}}` names something that is not there, or does what a template may not do.

            retention.ms: "{{ var.retension }}"      # the variable is called retention
            bootstrap.servers: "{{ env.KAFKA }}"     # the process's environment has no KAFKA

        In a stack there are `var`, `each` (with `for_each`), `kplan.env` and `kplan.stack`; `env` is in `kplan.yaml`
        only. A sensitive variable may be used plainly, not cut or changed: kplan must be able to trace it.
        """),
    _code("K202", "a variable has no value", """
        The stack declares a variable, nobody gives it a value, and it has no `default:`.

            variables:
              client_id: {type: integer}

        Give it one: `--var client_id=2`, a file with `--var-file`, KPLAN_VAR_client_id, the variable under its `env:`,
        `variables:` of the environment, or a `default:`. The first of these that is there wins.
        """),
    _code("K203", "a value that a variable or setting may not have", """
        A variable's value has the wrong type, or is outside of its `minimum`, `maximum`, `enum` or `pattern`; or a
        time in `kplan.yaml` is no duration; or a KAFKA_* variable of the process has a value that it may not have
        (booleans are 1/true/yes/on and 0/false/no/off); or librdkafka refuses a setting under `kafka:`, or several
        of them together. The message says where the value comes from. An entry of
        `tables:` or `columns:` that is a pattern has to be a regular expression.

            partitions: {type: integer, minimum: 1, env: KAFKA_TOPIC_PARTITIONS}      # KAFKA_TOPIC_PARTITIONS=0

        Give another value. Lists and maps from outside are written as JSON: --var 'tables=["a", "b"]'.
        """),
    _code("K204", "no stack declares this variable", """
        `--var NAME=VALUE` names a variable that none of the stacks declares, so it would have no effect. A name in a
        `--var-file` that no stack declares is a warning, because several stacks may share the file.

        Check the spelling; the message names the nearest one. Or declare it under `variables:`.
        """),
    _code("K205", "there is no such environment", """
        `--env`, or `default:` in `kplan.yaml`, names an environment that the file does not have.

        The message lists those that are known. Without a `kplan.yaml` in the stack's folder or above there is only
        `local`, a simulated cluster; with `--bootstrap HOST:PORT` any cluster can be used without one. Beside a
        `kplan.yaml`, `--bootstrap` and `--connect` replace the addresses of the chosen environment alone.
        """),
    _code("K206", "a connector has no such key", """
        A connector block takes kplan's own keys (`state`, `tables`, `restart` and so on) and the parameters of its
        template. This key is neither, or the connector has no template and therefore no `tables:`.

            connectors:
              kbe: {template: debezium-mysql, max.batch.size: 4096}

        A property of Connect itself stands under `config:`. `kplan schema template` shows how templates are written.
        """),
    _code("K207", "there is no such template", """
        `template:` names no built-in template, and there is no templates/NAME.yaml beside the stack.

        The message lists the built-in ones. A connector without a template has a `class:` instead.
        """),
    _code("K208", "templates extend each other", """
        A template's `extends:` leads back to itself, or over more than eight others.

            templates/a.yaml    extends: b
            templates/b.yaml    extends: a

        Take one `extends:` away. The message shows the way round.
        """),
    _code("K209", "a sensitive value would be shown", """
        A sensitive variable is used where its value would be printed in every plan: in a name, in a topic's config, or
        in something else than a connector's settings.

            topics:
              "orders.{{ var.db_password }}": {}

        Use another variable there, or take `sensitive: true` away from this one if it is no secret.
        """),
    _code("K210", "a secret is written in the stack", """
        A setting whose name says that it is a secret (password, token, credentials) has a plain value, which anyone who
        reads the repository can read.

            password: hunter2                              # wrong
            password: "{{ var.db_password }}"              # a variable with `sensitive: true`
            password: "${file:/run/db.properties:pw}"      # the Connect worker looks it up

        If that value was ever pushed, change it in the database as well.
        """),
    _code("K211", "declared twice", """
        One topic, connector, table or stack name is declared in two places: twice in a stack, by two stacks, or by a
        table and a topic block. kplan cannot know which one is meant.

        Keep one. A table whose topic is declared elsewhere takes `ignore_topic: true`. A stack's name is its identity
        in the ledger, so each file needs its own.
        """),
    _code("K212", "bad stack name", """
        `stack:` has 1 to 63 characters of a-z, 0-9 and `-`, after its templates are rendered. The ledger and the lock
        are kept under this name.

            stack: "Client {{ var.client_id }}"      # client-{{ var.client_id }}
        """),
    _code("K213", "a guard is not met", """
        `guards:` of the stack or of the environment demand something that a resource does not have: a name that
        matches `naming`, limits on partitions or replicas, settings that must be there. With `create: false`, or with
        KAFKA_TOPIC_AUTO_CREATE=false in the process's environment, every missing topic is reported.

            guards: {naming: '^cdc\\.', topic: {partitions: {maximum: 200}}}

        Change the resource, or the guard where it is wrong. Topics that a template makes for itself need not match
        `naming`: their names are the connector's. A guard that is no regular expression or JSON Schema is told too.
        """),
    _code("K214", "this cannot be moved", """
        `moved:` gives a connector a new name and keeps its offsets. It needs the new name declared, the old one not
        declared any more, and each name in one entry only.

            moved: [{from: connector/kbe-old, to: connector/kbe}]

        Kafka cannot rename a topic: declare the new one, copy the records, then list the old one under `removed:`.
        """),
    _code("K215", "a sink reads a topic that nobody here feeds", """
        A sink connector names a topic that this stack neither declares nor feeds by a connector. This is a warning:
        another stack or an application may do both.

        Look for a typing error in the name. With `topics.regex` nothing is checked.
        """),
    _code("K216", "a pattern of tables has no topics", """
        An entry of `tables:` is a regular expression, so kplan cannot tell which tables, and therefore which topics,
        it stands for.

            tables: ["public\\\\..*", "!public\\\\.audit_.*"]

        List the tables one by one, or keep the pattern and name the topics, with their settings, under the connector's
        own `topics:`. With `!` before it, an entry says what the patterns leave out.
        """),
    _code("K217", "an old name", """
        A Debezium setting, or one of its values, has another name since Debezium 2. kplan sends the new one, and this
        warning goes away when the stack says it too. A connector without a template is sent as it is written.

            table.whitelist: public.orders       # table.include.list
            snapshot: schema_only                # no_data
        """),
    _code("K218", "this environment has no Connect", """
        The stack has connectors, and the environment names brokers but no Kafka Connect.

            prod:
              kafka: {bootstrap.servers: "kafka:9092"}
              connect: {url: "http://connect:8083"}

        Add `connect:`. Without a `kplan.yaml` it is `--connect URL` or KAFKA_CONNECT_URL.
        """),
    _code("K219", "a sensitive variable has no value", """
        A variable with `sensitive: true` is unset. `validate` takes it as unknown, so that a pull request can be
        checked without secrets; `plan` and `apply` ask the servers and need it.

        Set KPLAN_VAR_NAME, or the variable under its `env:`. Both stay out of the shell's history, unlike `--var`.
        """),
    _code("K220", "a wrong for_each", """
        `for_each` takes a list or a map, and each entry makes one resource, so no key may come twice.

            "app.{{ each.key }}.events":
              for_each: [orders, billing, orders]

        Correct the list. `each.key` and `each.value` are the same for a list, and key and value for a map.
        """),
    _code("K221", "a template's parameter is missing or wrong", """
        A connector template says what it needs, and this connector leaves something out or gives a value that the
        template does not take.

            kbe: {template: debezium-mysql, topic_prefix: kbe}      # `database` is missing

        The message names it with its meaning. Settings that the template does not know stand under `config:`.
        """),
    _code("K222", "declared and removed at once", """
        A resource has a block in the stack and an entry under `removed:`. One says that it should exist, the other one
        that it should not.

        Keep one of the two. A table counts as a declaration of its topic.
        """),
    _code("K223", "two connectors share what only one may have", """
        Two connectors have the same topic prefix or schema history topic, or on one server the same slot or server id:
        they would disconnect each other, or write over each other's offsets and history. Or one of them sets a shared
        publication to its own tables (`publication_mode: filtered`), and the other has others.

            a: {template: debezium-postgres, slot: cdc}
            b: {template: debezium-postgres, slot: cdc}

        Give each its own; left out, templates make slots, publications and server ids from the connector's name. What
        runs without being in the stack counts, too. Two without a template that run so already are a warning.
        """),
    _code("K224", "a connector has neither template nor class", """
        kplan cannot tell what kind of connector this is.

            template: debezium-postgres
            class: org.apache.kafka.connect.file.FileStreamSinkConnector

        Write one of the two. With `class:` all settings stand under `config:`.
        """),
    _code("K225", "one replica on a cluster of several brokers", """
        A topic has `replication_factor: 1` although the cluster has three brokers or more. This is a warning: the disk
        of one broker is the only copy, and the topic cannot be used while that broker is away.

            defaults: {topic: {replication_factor: 3, config: {min.insync.replicas: 2}}}

        For production set it in the environment's `defaults:`, so that one stack fits every environment.
        """),
    _code("K226", "a connector writes to topics that nothing here declares", """
        Debezium would write to topics that are not in the stack: those of tables that only `table.include.list` under
        `config:` names, of every table where there is no list, of a table that has the same name in another captured
        database, or a topic of its own such as the heartbeats'. This is a warning, for another stack may declare them.

            tables: [public.orders]                       # the table and its topic
            topics: {client_2.public.orders: {}}          # or the topic alone

        Where brokers make topics by themselves, they get the brokers' settings. Where they do not, the connector stays
        RUNNING and writes nothing any more, not even for its other tables.
        """),
    _code("K227", "a transform decides the topic", """
        A transform of the connector sends records to a topic that kplan cannot work out: by a field of the record, by
        the time, by a script, or by a regular expression that only Java reads. So the stack has to name the topics.

            topics: {outbox.event.order: {partitions: 6}, outbox.event.customer: {}}
            tables: {orders: {topic: shop.orders}}        # or that of one table

        RegexRouter, ByLogicalTableRouter, ToLogicalTopicRouter, predicates of TopicNameMatches, and an outbox router
        with a fixed topic are followed. As a warning it is about a transform that kplan does not know, or about one
        that sends heartbeats or transactions to a table's topic as well.
        """),
    _code("K239", "a connector cannot be asked for an incremental snapshot", """
        `new_tables: {snapshot: incremental}` asks the connector, through its topic of signals, to read the rows that a
        newly listed table already has, and waits for its notification that this is done. The connector lacks what that
        takes: a topic of signals, a table of signals in the database (or `read.only: true`, where the engine has it),
        and a topic of notifications. Or kplan cannot name the tables as the signal needs it: a connector for several
        databases of SQL Server, patterns of MongoDB's collections, a class that kplan does not know.

        With a template, `signal: {topic: NAME, table: SCHEMA.TABLE}` sets all of it; make that table first
        (https://debezium.io/documentation/reference/stable/configuration/signalling.html).
        """),
    _code("K240", "this cannot be dropped", """
        `drop` is for slot and publication of a Debezium connector for PostgreSQL. MySQL and MariaDB keep nothing
        for a connector; what SQL Server, Oracle and MongoDB keep, a DBA takes away. `publication=NAME` names the
        connector's own publication.

            on_delete: {drop: [slot, publication]}

        Leave it out: the plan that deletes the connector prints the statements for its database (K413).
        """),
    _code("K241", "another connector needs what is to be dropped", """
        A slot or publication that goes with a deleted connector is named by another connector of the same database,
        which would fail, or read nothing any more.

        Give each connector its own, or take `drop` away.
        """),
    _code("K242", "offsets are kept of a slot that is dropped", """
        `keep_offsets: true` leaves a deleted connector's position in Connect, so that one of its name goes on from
        there. Without its replication slot PostgreSQL no longer has what comes after that position.

        Keep both, or neither.
        """),
    _code("K244", "connection variables have no effect", """
        KAFKA_BOOTSTRAP_SERVERS, KAFKA_CONNECT_URL, KAFKA_USE_SSL, KAFKA_SECURITY_PROTOCOL, KAFKA_SSL_* and KAFKA_SASL_*
        describe a cluster where there is no `kplan.yaml`. They never change an environment of a `kplan.yaml`, and a
        simulated cluster needs none of them. The message names those that are set and unused. It is an error where the
        environment is simulated and no `--env` (or KPLAN_ENV) asks for it: a run would change no real cluster.

            $ KAFKA_BOOTSTRAP_SERVERS=kafka:9092 kplan apply shop.yaml      # kplan.yaml: default: local

        Choose the environment with `--env`, or name the variable in it: `bootstrap.servers: "{{ env.NAME }}"`. Unset
        variables that are not meant. docs/environments.md lists all variables, and when each counts.
        """),
    _code("K246", "Connect is named without brokers", """
        `--connect`, KAFKA_CONNECT_URL or `connect:` names Kafka Connect, and no brokers are named. Topics, the ledger
        and the journal are in Kafka, so only `kplan wait`, `kplan list` and `kplan connector` work without brokers.

            $ kplan list --connect http://connect:8083

        Give `--bootstrap HOST:PORT` (or KAFKA_BOOTSTRAP_SERVERS, or `kafka:` of the environment) as well.
        """),
    _code("K247", "a derived name loses letters", """
        With `client:` a connector's name is CLIENT_KEY_connector in lower case, and each run of other characters than
        a-z and 0-9 becomes one `_`. Letters such as `ü` are lost.

            client: Müller      # m_ller_orders_connector

        The name stays as it is, because another name would be another connector with other offsets. Write `name:` with
        the name that you want; for a connector that exists already, write the derived name, or use `moved:`.
        """),
    _code("K243", "a stack cannot declare kplan's own state", """
        `__kplan`, or the topic that `state: {kafka_topic: …}` names, holds who owns what. kplan creates it and keeps
        its settings; a stack that set other ones could lose all of it.

        Remove the topic from the stack. A stack that an earlier kplan let own it gives it up with its next apply, and
        the topic stays.
        """),
    _code("K245", "a file is there already", """
        `kplan init` would have to change a file that is there: the stack of that name, or a kplan.yaml that should get
        another environment. It has written nothing.

        Give the stack another name with `--name`, or have its file replaced with `--force`. kplan.yaml is never
        replaced: write the environment into it, and leave `--bootstrap` out.
        """),
    _code("K228", "a setting of columns that this connector does not have", """
        A table says something of its columns that the connector cannot do: MongoDB's can exclude fields, and that is
        all; a connector of an own template what stands under the template's `columns:`. Or a name has a character at
        which Debezium cuts the list: a comma in a field of MongoDB, and a comma, semicolon, colon or blank at `key:`.

        Take it away, or use a transform under `config:`.
        """),
    _code("K229", "a connector's own topic would lose what the connector needs", """
        The stack itself gives a topic that a connector keeps for itself settings that break it. Debezium reads a schema
        history from its beginning at each start, so it has one partition, `cleanup.policy: delete`, and `retention.ms`
        and `retention.bytes` -1; of a topic of signals only the first partition is read.

        Take these settings away; the template sets them. Defaults do not reach such topics.
        """),
    _code("K230", "another stack owns this", """
        The ledger says that another stack owns the resource. If both wrote it, each would undo what the other one did.

        Remove it here. Or give it over: list it in the other stack under `removed:` with `keep: true`, apply that, then
        apply this stack, which adopts it.
        """),
    _code("K231", "this stack's name belongs to another environment", """
        The same stack was applied to this cluster from another environment of `kplan.yaml`. With one name, each of the
        two would take the other one's topics for its own leavings and plan to delete them.

            stack: "orders-{{ kplan.env }}"

        Give each environment its own name, and its own prefix of topics.
        """),
    _code("K232", "partitions cannot be taken away", """
        Kafka can add partitions to a topic and never remove any: the records in them would have nowhere to go.

        Declare the number that the topic has. If it must be smaller, make a new topic and let readers and writers
        change over, or delete it with all its records: `--replace topic/NAME`, which is a danger (K403).
        """),
    _code("K233", "this would be another connector", """
        `connector.class` or `topic.prefix` differs from the connector that runs. Debezium keeps its offsets under the
        prefix, so this connector would not find them and would start from the beginning, into other topics.

        Declare it under a new name beside the old one, and list the old one under `removed:`. Or make it anew without
        its offsets: `--replace connector/NAME`, which is a danger (K407).
        """),
    _code("K234", "an internal topic is never deleted or emptied", """
        Names that begin with `__` or `_confluent`, `_schemas`, and names that end like those of Connect's own topics
        (`connect-configs`, `connect-offsets`, `connect-status`) hold the state of Kafka, Connect, a schema registry or
        kplan. kplan neither deletes nor replaces them, and sets no policy that deletes their records. The only ones it
        deletes are those that begin with `__` and that a connector template created, such as a heartbeat topic.

        Take the entry out of `removed:`, or the setting out of the topic. With `keep: true` an entry gives up ownership
        and deletes nothing. Connect does not report the names of its own topics: with names unlike these, set
        `protect: true` on them.
        """),
    _code("K235", "changes wait for each other", """
        Each of these changes needs another one of them to be done first, so there is no order in which they could be.

        Apply one of them first with `--target ADDRESS`, then the rest. The message names them.
        """),
    _code("K236", "a step needs what was excluded", """
        `--exclude` leaves out something that a remaining step cannot do without, such as the topic that a new connector
        writes to.

            kplan plan STACK --exclude topic/shop.public.orders

        Exclude both, or neither. `--target` has no such problem: it brings along what the target needs.
        """),
    _code("K237", "a pattern matches nothing", """
        A pattern of `--target`, `--exclude` or `--replace` fits no resource of the stacks and no change, so the run
        would not do what was asked. Of a list (`@FILE`), which may be meant for several stacks, a pattern that matches
        nothing is a warning where another one matches. `--accept` with a step that cannot be is a warning as well.

            $ kplan apply shop.yaml --target topic/shop.ordres      # topic/shop.orders

        An address is topic/NAME or connector/NAME with the final name, as `kplan show --stack STACK` prints it. `*`,
        `?` and `[…]` are wildcards; put them in quotes, or the shell takes them for names of files.
        """),
    _code("K248", "a key without a value", """
        YAML read a key where you wrote a key and a value, or an item of a list. A colon needs a blank after it, and in
        `{…}` a comma ends the value.

            config: {tasks.max:1}          # {tasks.max: 1}
            config: {topics: a.b,c.d}      # {topics: "a.b,c.d"} or {topics: [a.b, c.d]}

        Write it as the message says. Without this error the setting would be lost.
        """),
    _code("K249", "a setting that has no effect", """
        Under a connector's `config:`, null leaves out a setting that the template would make. The template makes none
        of this name, so the line does nothing.

            config: {decimal.handling.mod: null}    # decimal.handling.mode

        It is the same for a setting that another one turns off: `heartbeat.action.query` without heartbeats, and
        `errors.deadletterqueue.*` at a source.

        Check the spelling, give it a value, or remove the line.
        """),
    _code("K250", "stacks wait for each other", """
        Several stacks are planned together, and each is applied as a whole, in the order of what needs what: a topic is
        made before a connector of another stack that uses it, and deleted after that. Here a stack needs something of
        another one that in turn needs something of the first.

            a -> b -> a: connector/x of a after topic/t of b; connector/y of b after topic/u of a

        Make them one stack: inside one, each step has its own place. Or apply what waits for nothing by itself first,
        as the message says, and then all of them:

            kplan apply stacks/ --target topic/t
        """),
    _code("K251", "one stack removes what another one declares", """
        An address is listed under `removed` in one stack and declared in another one, so the one would delete what the
        other one wants to be there.

        To move it to the other stack, with all that is in it, let the first one give it up:

            removed: [{topic: shop.orders, keep: true}]

        Applied together, the first stack gives it up before the other one takes it over. Otherwise take it out of one
        of the two.
        """),
    _code("K252", "two sinks share a consumer group", """
        Two sink connectors have the same `consumer.override.group.id` and read the same topic. Brokers give each
        partition to one member of a group, so each of the two connectors gets a part of the records.

        Leave the setting out: Connect gives each sink the group `connect-NAME`. Connectors that are to share the work
        are better one connector with more tasks (`tasks.max`).
        """),
    _code("K253", "settings and the list that they belong to differ", """
        Connect reads the settings of a transform, a predicate or a group of new topics only if its name is in the list,
        and a group in the list needs settings. Here one of the two is missing.

            transforms: unwrap
            transforms.route.regex: (.*)     # never used: transforms: "unwrap,route"

        Complete the list, or remove the settings.
        """),
    _code("K254", "a setting that its class does not list", """
        A transform, predicate or converter of Kafka 4.3 or Debezium 3 does not have this setting. Connect accepts it
        and ignores it, so records are other than you expect.

            transforms.unwrap.drop.tombstones: "true"     # delete.tombstone.handling.mode: drop
            transforms.fields.blacklist: card             # exclude

        Use the name in the message. For other classes Connect's own list decides when a plan is made (K304).
        """),
    _code("K255", "a dead letter topic that nothing here declares", """
        A sink names a dead letter topic that no stack declares. Connect creates it when the sink starts, with one
        partition and, unless the connector says otherwise, three copies; with fewer brokers the sink fails.

            dead_letter: {topic: shop.dead}      # declares the topic and sets the connector's settings

        Declare it like this or under `topics:`, or leave it where someone else creates it.
        """),
    _code("K256", "deleted keys stay in a compacted topic", """
        The topic of a table is compacted, and the connector writes no tombstone when a row is deleted, because
        `tombstones` is false or a transform drops them. Compaction removes a key only after a tombstone, so the last
        record of a deleted row stays for ever.

        Let tombstones through, or set `cleanup.policy` to `delete` or `"compact,delete"`.
        """),
)  # fmt: skip

_SERVERS = (
    _code("K238", "the stack asks for too much", """
        A stack may have 100,000 topics and connectors, and its values and templates may handle 10 million characters
        and elements. More is taken for a mistake, or for an attempt to keep kplan busy.

        Look for what multiplies: `for_each` with many tables, a long list in a template that is used for every topic.
        What is meant can be split into several stacks.
        """),
    _code("K301", "the server refuses this request", """
        Kafka or Connect understood the request and says that it is wrong; the same request would be refused again.
        The server's own words are in the message.

        Usual causes: a value that this version does not know, a policy of the cluster (`create.topic.policy.class`),
        more replicas than brokers. Change the stack, then plan again.
        """),
    _code("K302", "Connect rejected a connector's settings", """
        Connect checked the configuration before anything was changed, and the connector's own code refused it. The
        plugin's words are in the message, at the line of the setting where it named one.

            database: {hostname: pg-pord}      # Unable to connect: unknown host "pg-pord"

        A database connector logs in for this check, from the worker's machine: names, ports, rights and certificates
        count as they are there. `--offline` leaves the check out.
        """),
    _code("K303", "Connect has no such connector class", """
        The worker does not know the Java class: the plugin is not installed on it, or the name is wrong. A template
        names the class of its database.

            class: io.debezium.connector.postgresql.PostgresConector      # Connector

        Install the plugin under the worker's `plugin.path` on every worker and restart them. The message names classes
        that are installed and look alike.
        """),
    _code("K304", "the plugin does not list this property", """
        A warning: the connector's plugin says which properties it has, and this one is not among them. Connect hands
        it on without a check, so a typing error would have no effect and no message.

            config: {max.bach.size: 4096}      # max.batch.size

        It is the same for a setting of a transform, a predicate or a converter that its class does not list.

        Correct it, or leave it if the plugin takes properties that it does not list.
        """),
    _code("K305", "Connect did not check a connector", """
        A warning: the check of a changed connector ended in an error or took too long, so whether Connect takes the
        configuration shows in the apply only.

        The message has the reason. A database that does not answer is the usual one: the connector logs in for the
        check.
        """),
    _code("K310", "a server does not answer", """
        No connection, so the request was not sent and nothing has changed. kplan has tried as often as `retry:
        {attempts: 3, delay: 2s}` of the environment says, unless the server was silent for the whole
        `timeouts: {request: 30s}`. `kplan apply --wait 60s` waits for servers that are starting.

        Check address and port from this very machine, and TLS: a plain connection to an encrypted port just hangs.
        A name in `advertised.listeners` that does not resolve here shows the same way.
        """),
    _code("K311", "no answer in time", """
        The request was sent, and no answer came, so it may or may not have taken effect. kplan reads again before
        it decides, and never repeats such a request blindly.

        If the run has ended, `kplan recover --list` tells about steps without an outcome, and `kplan plan` shows how
        things are. Slow servers: raise `timeouts: {request: 60s}` in the environment.
        """),
    _code("K312", "refused for now", """
        The server is in the middle of something: a rebalance of Connect, no leader or controller, a quota. The request
        has not taken effect, and the same one will probably be accepted later.

        kplan has tried again with growing pauses. If it goes on, look at the health of brokers and workers, or raise
        `retry: {attempts: 10, delay: 5s}` in the environment.
        """),
    _code("K313", "not allowed", """
        User or password are wrong, or the user lacks a right. For a right that the brokers miss, the message names the
        ACL and the line of kafka-acls.sh that grants it; docs/permissions.md lists all that kplan needs.

        Without Describe a topic is invisible rather than refused, so kplan asks for it by name. Connect has no rights
        of its own: 401 means that it does not know the login, 403 that something before it forbids the request.
        """),
    _code("K314", "it is there already, or gone already", """
        Another client has created or deleted the same thing since it was read. A topic that another client has
        created exactly as planned does not stop the run: the stack adopts it, and undo and `destroy` leave it. This
        error means that what is there differs from the plan; the message names the differences.

        Plan again: the plan shows what it would change of a thing that is there, and one that is gone needs no
        deletion.
        """),
    _code("K315", "this server or client cannot do it", """
        The operation needs a newer server, or one that the client library lacks: STOPPED connectors need Kafka Connect
        3.6, a changed replication factor needs a plan that was made with the servers at hand.

        The message says which version or tool can. `kplan version` prints those in use.
        """),
    _code("K316", "the value of a secret is not known", """
        A connector must be sent with a secret whose value is at hand neither in a variable nor in Connect: after a
        crash, when a changed password is put back, or a deleted connector is made again.

        Set the variable that holds it (KPLAN_VAR_NAME, or the one under its `env:`) and run the same command again.
        """),
    _code("K317", "no secure connection", """
        One side refuses the other's certificate, so nothing was sent. The message says which server it is and what is
        wrong: expired, made for another name, signed by an authority that is not trusted here, or none of yours.

            kafka:   {ssl.ca.location: ca.pem, ssl.certificate.location: me.pem, ssl.key.location: me.key}
            connect: {ca: ca.pem, certificate: me.pem, key: me.key}

        There is no setting to skip the check; a server with a certificate of its own is trusted by naming that as `ca`.
        """),
    _code("K318", "a database's driver is not installed", """
        `kplan discover` logs in to the database that a connector reads, which takes a Python package of that database.
        A plan looks into it too where the package is there, and goes without where it is not.

            pip install 'kplan[postgres]'        # PostgreSQL
            pip install 'kplan[mysql]'           # MySQL and MariaDB
        """),
    _code("K319", "there is no such database", """
        The database server answers, and has no database of the name that the connector says. The connector would fail
        at its first start.

        Look at `database: {name: …}` of the connector, and at upper and lower case in it, or create the database.
        """),
    _code("K320", "the database cannot be looked into", """
        `kplan discover` knows how PostgreSQL, MySQL and MariaDB list their tables, and needs host and user as the stack
        says them: what is written as `${file:…}` only the Connect worker can resolve.

        Name the address with `--host HOST:PORT`, and the password's environment variable with `--password-env NAME`.
        """),
    _code("K321", "there is no such connector", """
        CONNECTOR is the name that the connector has in Connect: its `name:`, one made of `client:` and the key, or the
        key itself.

        `kplan show --stack STACK` prints the names that a stack declares, `kplan list 'connector/*'` those in Connect.
        """),
    _code("K322", "a captured table cannot be read", """
        Before a connector is made, or gets more tables, kplan looks into its database, as the connector logs in. A
        table that the stack names is not there, or the connector's user may not read it although its rows are wanted.
        Debezium would say nothing of a missing table, and fail at one that it may not read; without its table of
        signals it hangs.

        Correct the name, create the table, or run the GRANT of the message. `--offline` plans without looking.
        """),
    _code("K323", "the connector's user lacks a right in the database", """
        The connector would fail, or go on RUNNING while nothing arrives any more. On PostgreSQL it needs REPLICATION;
        to make its publication, CREATE on the database and each table's ownership (`publication_mode: filtered`), or to
        be a superuser (`all_tables`). On MySQL and MariaDB it needs REPLICATION SLAVE and REPLICATION CLIENT.

        Run the statement of the message; or let a DBA make the publication and write `publication_mode: disabled`.
        """),
    _code("K324", "the database is not set up for the connector", """
        Its log cannot be read as things are: PostgreSQL's `wal_level` is not logical, no replication slot is free, the
        slot is in use or another database's, the publication is missing or for all tables; MySQL's or MariaDB's binary
        log is off or not ROW and FULL, or `server_id` is taken.

        The message says what there is, and the help what there should be.
        """),
    _code("K325", "changes of a captured table are lost or refused", """
        The connector would work, and something would go wrong with one table: it is not in a publication that somebody
        else keeps, it is unlogged, or it has neither a primary key nor a replica identity. The last is worse than it
        sounds: PostgreSQL refuses every UPDATE and DELETE of such a table once it is in a publication, those of your
        application too.

        Run the statement of the message before you apply. This is a warning and blocks nothing.
        """),
    _code("K326", "what is to be dropped cannot be dropped", """
        A connector is to be deleted, and its replication slot or publication with it (`drop`). kplan does that as the
        connector's own user, after the connector is gone, so it looks beforehand whether it could: the database does
        not answer from here, the driver or the password is not at hand, the user has no REPLICATION, or somebody else
        owns the publication.

        Grant what is missing, or leave `drop` out and run the SQL of the message once the connector is gone.
        """),
    _code("K327", "the client that moves replicas is not installed", """
        A topic that is there is to have another replication factor. Brokers then move replicas between them, which
        librdkafka cannot ask for; kplan does it through a second client, an extra.

            pip install 'kplan[reassign]'

        Or let an operator do it: the message has the JSON that `kafka-reassign-partitions.sh` takes.
        """),
    _code("K328", "replicas cannot be moved with this login", """
        Replicas are moved through a second client, which knows PLAIN and SCRAM logins and certificates as PEM files,
        and not every setting of librdkafka: not OAUTHBEARER, GSSAPI, key stores or engines. What it would have to leave
        out decides who is trusted, so it refuses.

        Use a login that it knows, in an environment of its own, or `kafka-reassign-partitions.sh`.
        """),
    _code("K329", "replicas cannot be moved now", """
        Another reassignment of the topic is under way, or a broker that keeps replicas is down, so that they would
        never be in sync.

        Wait for the one (`kafka-reassign-partitions.sh --list`), start the other, then plan again.
        """),
    _code("K330", "partitions and replicas change at once", """
        A topic is to get partitions, which nothing takes away again, and another replication factor, which can be put
        back. In one step neither would be sure.

        Apply the partitions first, with the replication factor that the topic has, and then the replication factor.
        """),
    _code("K332", "Connect works on another cluster", """
        The workers under `connect: {url: …}` store their state in another Kafka cluster than the one that
        `kafka: {bootstrap.servers: …}` names, so the topics would be made here and the connectors would write there.

        Correct one of the two in `kplan.yaml`. Cluster ids are in the message.
        """),
    _code("K333", "an answer is too large", """
        kplan reads at most 128 MiB of an answer of Connect (2,000 connectors with 64 KiB each of settings, states and
        traces), and 64 MiB of one of GitHub or GitLab. This answer is larger, or does not end.

        Look at what answers at the address of the message, with `curl`. The address is probably wrong.
        """),
    _code("K334", "the port belongs to something else", """
        Something answers at the address, and it is not what the setting needs. `bootstrap.servers` needs a broker's
        port: not a KRaft controller's, and not Connect's, which speaks HTTP. `connect: {url: …}` needs Connect's, and
        not a broker's. Or the listener has no SASL, and `security.protocol` says that it has.

        `listeners` in a broker's server.properties names its ports; those of `controller.listener.names` are the
        controller's.
        """),
    _code("K335", "Connect could not be read", """
        The environment has a Connect that does not answer. No connector is declared, owned, removed or moved here, so
        the plan is made without it. Which sink connectors read the topics is not known: a change that would cut readers
        off is a danger, and needs to be accepted.

        Start the worker or correct `connect: {url: …}`. With a connector in the stack this is the error K310.
        """),
    _code("K399", "kplan could not go on", """
        Something failed that has no code of its own; the message says what. Nothing was changed unless it says so.

        Run again with `--log-level debug` and look at the last lines. If the cause is in kplan itself, report it with
        them: secrets are never logged.
        """),
)  # fmt: skip

_RISKS = (
    _code("K401", "a topic with records would be deleted", """
        The records are lost; nothing can bring them back. The message says how many there may be, when the last one was
        written, and who reads them: consumer groups with their lag (`idle`: no member reads now) and sink connectors.
        What could not be read counts as dangerous, and the message says why it could not.

            removed:
              - {topic: dc.old, accept: [data-loss]}

        Accept it with `accept: [data-loss]`, or for one run with `--accept delete:topic/dc.old`. An empty topic that
        nobody reads is deleted without being asked about, unless records arrive before the apply.
        """),
    _code("K402", "readers would be cut off", """
        The topic is empty, but someone reads it: consumer groups with members, or sink connectors that this plan leaves
        as they are. They would fail, or wait for a topic that does not come. It is the same where the groups could not
        be read; the message says why.

        Stop the readers, or accept it with `accept: [readers]`, or for one run with `--accept delete:topic/NAME`.
        """),
    _code("K403", "a topic would be deleted and made anew", """
        `--replace` was asked for. All records and all positions of readers are lost, also where the new topic has the
        same settings.

        Accept it with `accept: [replace]` on the topic, or for one run with `--accept replace:topic/NAME`.
        """),
    _code("K404", "something left the stack without being listed as removed", """
        kplan owns a topic or connector that the stack no longer declares, and no entry under `removed:` says that it
        should go. This is how a lost line, a wrong branch or a renamed variable looks.

            removed:
              - {topic: dc.old}

        Write that entry if it was meant, or `{topic: dc.old, keep: true}` to leave it there. For one run:
        `--accept delete:topic/dc.old`. An entry's `accept: [orphan]` is not needed: with the entry it is no orphan.
        """),
    _code("K405", "older records would be deleted", """
        With a smaller `retention.ms` or `retention.bytes` brokers delete, within minutes and for good, what is older or
        more. Putting the old value back does not bring the records back.

            retention.ms: 7d -> 1d       # a danger where the oldest record is older than a day

        Accept it with `accept: [data-loss]` on the topic, or for one run with `--accept change:topic/NAME`. It is no
        danger where everything stored is within the new limit. Brokers do not tell this client how many bytes they
        store, so a smaller `retention.bytes` is one unless the topic is empty.
        """),
    _code("K406", "another cleanup policy deletes records", """
        `compact`, where it was not on before, removes all but the last record of each key; `delete`, where it was not
        on before, removes what is older than `retention.ms` or more than `retention.bytes`. A compacted topic also
        refuses records without a key. `delete` on a compacted topic is a danger however young its records are: the
        topic holds the last value of each key for ever, and from then on values expire.

        Accept it with `accept: [data-loss]` on the topic, or for one run with `--accept change:topic/NAME`. Taking one
        of two policies away is no danger, nor is any policy for an empty topic.
        """),
    _code("K407", "a connector would lose its offsets", """
        `--replace` deletes the connector with its offsets and makes it anew, so it starts from the beginning: a source
        takes its snapshot again, and a sink writes everything again.

        Accept it with `accept: [offsets]` on the connector, or for one run with `--accept replace:connector/NAME`.
        """),
    _code("K408", "a connector would miss changes, or read all again", """
        Another replication slot or another database: what changed between the old place and the new one is missed, or
        everything is read again. `snapshot.mode: always` reads everything again at each start; `initial_only` ends
        after the snapshot, so a running connector captures nothing more; of own modes kplan knows nothing.

        Accept it with `accept: [snapshot]` on the connector, or for one run with `--accept change:connector/NAME`. Take
        a snapshot after a change of place.
        """),
    _code("K409", "records would be less safe", """
        Fewer replicas, a smaller `min.insync.replicas`, or `unclean.leader.election.enable: true`: a broker that is
        lost at the wrong moment takes confirmed records with it.

        Accept it with `accept: [durability]` on the topic, or for one run with `--accept change:topic/NAME`.
        """),
    _code("K410", "it is protected", """
        The resource has `protect: true`, in the stack or in the ledger from an earlier apply. Taking the block away
        does not take the protection away, and no `accept:` or `--accept` overrides it.

            sys.config: {protect: false}

        Apply this first; afterwards it can be removed.
        """),
    _code("K411", "more partitions move keys", """
        Kafka chooses the partition by the hash of the key and the number of partitions. With more partitions a key goes
        to another one from now on, so the order of its old and new records is not kept, and a join of two topics by key
        may miss. In a compacted topic the old record stays for good. This is a caution: it is shown first and blocks
        nothing. An empty topic has none.

        Partitions cannot be taken away again. Where the order matters, let readers catch up before, or make a new
        topic.
        """),
    _code("K412", "one broker away stops all writes", """
        `min.insync.replicas` is as large as the replication factor, so with one broker away no write with acks=all is
        accepted. This is a caution and blocks nothing.

        The usual pair is replication factor 3 and min.insync.replicas 2.
        """),
    _code("K413", "what outlives a deleted connector", """
        A connector is deleted, and something of it stays: its offsets, with `keep_offsets: true`, and in the database
        what it or a DBA made for it, such as PostgreSQL's replication slot and publication, SQL Server's change tables
        and the table of signals. A slot that nobody reads keeps write-ahead log until the disk is full.

        Run the statements of the message in the database, unless another connector goes on with these things. The
        connector's own topics, its schema history too, have steps of their own. This is a caution and blocks nothing.
        """),
    _code("K414", "records get another schema", """
        How numbers, binary values or times are written changes, so records from now on have another schema than those
        before. Readers, and a schema registry that checks compatibility, may refuse them.

        Look at the readers first. This is a caution and blocks nothing.
        """),
    _code("K415", "the old publication stays", """
        The connector uses another publication of PostgreSQL; the slot goes on from where it is. The old publication
        stays in the database until you drop it.

        This is a caution and blocks nothing. Changes of tables that the new publication does not hold are not captured.
        """),
    _code("K416", "the snapshot mode takes effect later", """
        With most modes `snapshot.mode` is looked at when a connector starts without offsets. This one has offsets, so
        nothing is read again because of this change. Modes for which that is not so are a danger (K408).

        This is a caution and blocks nothing. To read tables again, send an execute-snapshot signal.
        """),
    _code("K417", "a connector or one of its tasks is not running", """
        A warning about health: a declared connector is FAILED or UNASSIGNED, or a task has failed. That is no
        difference from what the stack says, so a plan does not repair it.

        The message has the cause. Remove it, then restart what has failed; `restart_failed:` lets kplan do so while it
        waits for a change of this connector to settle.

            $ kplan connector restart NAME --failed-only
        """),
    _code("K418", "another server id", """
        MySQL and MariaDB allow each number (`database.server.id`) once among all replicas. If another one has the new
        number already, the server disconnects one of them again and again.

        Take a free number, or leave it out: templates make one from the connector's name. This is a caution and blocks
        nothing.
        """),
    _code("K419", "more changes than the guard allows in one run", """
        `guards: {max_changes: 30%}` limits how many of the managed resources one run may update or delete. It is looked
        at from ten managed resources on; what is created does not count, and `destroy` is not limited.

        Look for the reason: a changed default touches every topic. If all of it is meant, allow it for one run with
        `--accept max_changes`, or apply parts of it with `--target`.
        """),
    _code("K420", "a connector goes on from an earlier one's offsets", """
        Connect keeps offsets by the connector's name, also after it was deleted by hand or with `keep_offsets: true`.
        A new connector of that name goes on from there: it takes no snapshot, and what is gone meanwhile (a slot, old
        WAL or binlogs) makes it fail. This is a caution and blocks nothing; an undo leaves the offsets there.

        To start from the beginning, give it another name, or stop it and send DELETE /connectors/NAME/offsets to
        Connect. It is known from the ledger, the journal, and for sinks from their consumer group; Connect itself tells
        nothing of offsets whose connector is gone.
        """),
    _code("K421", "rows of a new table are not captured", """
        A table was added to a connector that runs already. Debezium captures its changes from now on; the rows that are
        in it already come only with an incremental snapshot. This is a note.

        Send an execute-snapshot signal for that table, through the connector's signal table or signal topic.
        """),
    _code("K422", "changes of a table are no longer captured", """
        A table left the list of a connector that runs. What changes in it from now on is not written to its topic; if
        it comes back later, what happened in between is missing. This is a note.

        Records that are in its topic already stay, unless the plan deletes the topic.
        """),
    _code("K423", "a slot or publication is dropped in the database", """
        Somebody asked for it with `drop`: in the stack, under `removed`, or for this run. It is dropped as the
        connector's own user once the connector is gone, all of it or nothing, and nothing brings it back: a later
        connector takes a new snapshot. The step stands below the line. This is a caution and blocks nothing.

        Take `drop` away if something else uses the slot or the publication.
        """),
    _code("K430", "replicas are copied between brokers", """
        A topic gets more replicas, and brokers copy all that it holds to where they are to be. That takes their network
        and disks from readers and writers. This is a caution and blocks nothing.

            reassign: {throttle: 50MiB}        # in the environment: bytes a second, for each broker
            timeouts: {reassign: 4h}           # 1h, if nothing is said

        A throttle must be wider than what is written to the topic, or the copies never catch up.
        """),
)  # fmt: skip

_RUNS = (
    _code("K400", "the plan is blocked", """
        The plan has a danger that nobody has accepted, would delete something under `protect`, or changes more than
        `guards: {max_changes: …}` allows. The whole plan is printed, and then the words that would allow each step.

            accept: [data-loss]                              # in the stack, reviewed with it
            kplan plan STACK --accept delete:topic/dc.old    # for one run

        Leave the step out with `--exclude ADDRESS`. `protect` ends only by an applied `protect: false`.
        """),
    _code("K512", "a connector does not run after its change", """
        Connect accepted the configuration, and then the connector or one of its tasks failed. The message has the cause
        that the worker gives. For a Debezium connector the help names its database, which may be down.

        Mend the cause and run again: the step was undone with all others.
        """),
    _code("K513", "the end is not as planned", """
        The servers accepted all steps, but reading again after the last one found another value than the plan's, or
        found a resource missing that should be there or the other way round. The run is rolled back, unless it was
        started with `--on-failure stop`.

        The message names what differs. Look for another tool or person that manages the same things, then plan again.
        """),
    _code("K514", "a connector does not get into its state, or does not work", """
        Connect accepted the change, but the connector was not running, paused, stopped or gone in time, or it is
        RUNNING without working: nothing has arrived in its heartbeat topic since the change. The run is rolled back,
        unless it was started with `--on-failure stop`. A restart does not resume what is paused or stopped.

        See the worker's log, and the database's where the heartbeat is missing: a missing topic, a table that the role
        does not own, a replication slot in use. A slow rebalance or start needs more time: `timeouts: {settle: 5m}` in
        the environment.
        """),
    _code("K515", "the apply was interrupted", """
        Ctrl-C, or a signal to end, came while steps were being done. The running wave was finished, and everything was
        put back; what could not be is named. Interrupted a second time, kplan stops where it is, and `kplan recover`
        puts the rest back.
        """),
    _code("K516", "rows that a table already had were not read", """
        A table was added to a connector with `new_tables: {snapshot: incremental}`. The connector runs with it, was
        asked by a signal to read the rows that were there before, and told that this was stopped, or did not succeed
        for every table: Debezium reads a table in chunks by its primary key, so one without a key is not read
        (https://debezium.io/documentation/reference/stable/configuration/signalling.html).

        The step has failed, and the apply is rolled back: see the worker's log. Give the table a primary key, or leave
        `new_tables` out; then only later changes are captured.
        """),
    _code("K517", "what outlives a connector could not be dropped", """
        The connector is deleted, and its slot or publication is still there: the slot is in use by somebody else, a
        right is missing, or the database does not answer. Nothing of it was dropped, so the apply is rolled back and
        the connector made again with its offsets; where that cannot be known, it is left, by name, with exit code 8.

        Mend the cause and apply again, or leave `drop` out and run the SQL of the message.
        """),
    _code("K520", "the saved plan no longer fits", """
        Between plan and apply something has changed: live state, a file, a variable's value, the cluster, or the plan
        was applied before. Nothing was done, not even the steps that still fit.

        The message names what has changed, from what to what. Make a new plan and have it reviewed: what was approved
        is no longer what would happen.
        """),
    _code("K521", "this is no plan that can be applied", """
        The file is no saved plan, it was saved by a kplan with another major version of the format, or it holds plans
        for several environments.

        A plan is saved with `kplan plan STACK --out plan.json`. Make it again with this version.
        """),
    _code("K522", "the saved plan was changed by hand", """
        The plan's digest does not match what is in the file, so it is not what was planned and reviewed. Nothing was
        done.

        Make the plan again and apply the file as it was written. To change what happens, change the stack.
        """),
    _code("K523", "the saved plan is not signed with this key", """
        KPLAN_KEY is set here, so only plans that were signed with it are applied. This one has no signature, or one
        that does not fit: it was made without the key, with another one, or changed since. A digest alone can be
        computed anew by whoever changes the file.

        Set KPLAN_KEY to the same value where plans are made and where they are applied, and make the plan again.
        """),
    _code("K524", "the plan asks for what is never done", """
        The file of a saved plan may have been changed by somebody, so what it says is judged when it is applied. It
        deletes, replaces or empties an internal topic or a protected one; or it deletes what no stack owns, or records
        of it, and the stack's own file, as it is here, does not list that under `removed` or declare it. Nothing was
        done.

        Make the plan again from the stack. Where plans are applied on another machine, have the stack's files there, or
        set KPLAN_KEY where plans are made and where they are applied: a signed plan is what kplan wrote.
        """),
    _code("K527", "replicas are not in sync in time", """
        Brokers took the reassignment, and when its time was over some new replica had not caught up: much data, a
        narrow throttle, a slow or dead broker. It is put back, unless the run was started with `--on-failure stop`.

            timeouts: {reassign: 4h}
            reassign: {throttle: 100MiB}

        Look for the broker that is behind: `kafka-topics.sh --describe --under-replicated-partitions`.
        """),
    _code("K528", "a throttle of replication may be left", """
        After replicas were moved, brokers did not answer when the throttle was to be taken away. It slows down the
        named replicas until somebody removes it. kplan tries it again when the run is rolled back or recovered.

        Otherwise: `kafka-configs.sh --alter --entity-type brokers --entity-name N --delete-config
        leader.replication.throttled.rate,follower.replication.throttled.rate`
        """),    _code("K530", "the servers were not ready in time", """
        `--wait` waits for Kafka, and for Connect where a stack has connectors, before the plan is made. They did not
        answer in that time. Nothing was planned or changed. The message has the last cause.

        Look at the server's log, or wait longer: `kplan apply STACK --yes --wait 5m`.
        """),

    _code("K601", "someone else holds this stack", """
        Another run is working on the stack. The message says who, on which machine and since when.

        Wait for it, or let kplan wait: `--lock-timeout 10m`. There is no command to unlock: the lock ends with the
        process that holds it, also when that is killed. If it was, `kplan recover` finishes its run.
        """),
    _code("K602", "the journal cannot be written or read", """
        kplan writes down what it is about to do before it does it, in the store that holds the ledger as well. Without
        that there would be no rollback, so it stops.

        The store is `.kplan/ENV.db` beside `kplan.yaml`, unless the environment's `state:` says otherwise: check its
        rights and the space there. A run that was under way is finished by `kplan recover` once the store works again.
        """),
    _code("K603", "declined", """
        The question was answered with no, or there was no terminal to ask on. Nothing was changed.

        In a pipeline, save the plan, review it and apply exactly that: `kplan plan --out plan.json`, then
        `kplan apply plan.json`. Or pass `--yes`, which accepts no danger.
        """),
    _code("K604", "interrupted before any change", """
        The run was stopped (Ctrl-C or SIGTERM) before its first step. There is nothing to undo; run it again when you
        like. After the first step an interruption rolls back instead.
        """),
    _code("K605", "an earlier run was interrupted", """
        A run of this stack began and has no end: its process was killed, or a rollback could not be completed. The
        cluster may be between the old state and the new one, so nothing else is done with this stack before that is
        settled.

            kplan recover --list
            kplan recover RUN

        It puts back what the run did, from any machine that reaches the same servers and the same store.
        """),
    _code("K606", "there is no such run", """
        `kplan recover RUN` or `kplan show RUN` names no run that the store knows, or one that is not open any more; or
        `kplan show` names a file that is not there.

        `kplan show` lists the runs of an environment, `kplan recover --list` those without an end. With `--env` another
        environment is asked.
        """),
    _code("K607", "this is no snapshot of a cluster", """
        The file after `--live` is not what `kplan snapshot` writes: it is missing, cut off, changed by hand in a way
        that makes no sense, or something else, such as a saved plan. The message says what is wrong with it.

            kplan snapshot --out live.json
            kplan plan --live live.json STACK
        """),
    _code("K608", "the snapshot is of a newer format", """
        It was taken with a kplan whose format of snapshots has another major version.

        Take it again with this kplan, or plan with the one that took it. In CI both should be the same version.
        """),
    _code("K609", "the snapshot is of another environment", """
        A snapshot holds the live state of one environment, and the plan would be for another. What is missing there
        would be planned to be created here.

        Name the snapshot's environment with `--env`, or take a snapshot of the one that is meant.
        """),
    _code("K610", "secrets are not compared with a snapshot", """
        A snapshot holds no secret, so nobody can tell whether a password that the stack sets is the live one. It
        counts as equal: the plan shows no change for it, and a new value alone makes no step.

        Where a connector changes for another reason, `kplan apply` sets the value that the stack says. To have secrets
        compared, plan with the servers.
        """),
    _code("K611", "a file cannot be written", """
        A report or a saved plan was to be written, and its place is full, read-only or gone. The plan itself was made,
        an apply has not begun, and nothing was changed. Other reports of the same run are written.

        Make room there, or name another place with `--out FILE` or `--report KIND=FILE`.
        """),
    _code("K614", "the token may not do this on the hosting service", """
        GitHub or GitLab knows the token and refuses, or hides what it may not see behind a 404. The message says which
        permission it takes.

        GitHub: `permissions: {pull-requests: write}` in the job; a pull request from a fork never gets it. GitLab: a
        project access token with the scope `api` as KPLAN_GITLAB_TOKEN; CI_JOB_TOKEN cannot comment.
        """),
    _code("K615", "the hosting service did not do it", """
        GitHub or GitLab refused a request, or what was asked for is not there, such as the plan of a merged request:
        files of finished jobs expire, and one that comes from a fork is not trusted.

        The message has the service's own words. Without a reviewed plan, plan on the main branch, have that reviewed,
        and apply it.
        """),
    _code("K616", "what to comment, or where, is not known", """
        `kplan comment` and `kplan fetch` find service, repository, request and token in the variables that jobs of
        GitHub Actions and GitLab CI have; one is missing, or the file to be shown is no plan in Markdown.

            kplan plan STACK --report md=plan.md
            kplan comment plan.md --service github --request 17
        """),
    _code("K617", "a write of the state has no end", """
        Whoever reads the state waits for the end of each write that has begun, and one has none, although brokers end
        what is open for longer than 15 seconds. Kafka leaves it so where a cluster of one broker is killed while it
        ends a transaction: once it is back it counts the transaction as complete, and its records as open.

            kplan recover

        That takes the lock of the stack whose write it was, which ends it: what was written is kept, as kplan had been
        told. `kafka-transactions.sh abort` would make readers go on as well, and would throw it away.
        """),
    _code("K618", "the run was somewhere else", """
        An interrupted run is ended where it was: on its cluster, with its Connect, by a login that sees all of it.
        The journal says where that is, and this is another place: another environment keeps its state in the same topic
        or file, or `--connect` is missing. To take what cannot be seen here for absent would lose the run.

            kplan recover RUN --env NAME
        """),
    _code("K619", "a record of the state is damaged", """
        `kplan state clean` and `kplan state sign` read every record of the ledger and the journal, and cannot read this
        one: it was written by a newer kplan, cut off, or changed by something else. Whether it holds the value of a
        secret is not known, and it is left as it is.

        With a newer kplan's record, use that kplan. Otherwise find out what the record was. In Kafka, produce an empty
        value for its key to remove it; in SQLite, delete its row.
        """),
    _code("K620", "an open run keeps its values", """
        An earlier kplan wrote the value of a sensitive setting into the journal of this run, and the run has no end.
        The record is the only place from which that value can be put back, so `kplan state clean` leaves it.

            kplan recover RUN
            kplan state clean
        """),
    _code("K621", "a record of the state is not signed", """
        KPLAN_KEY is set here, and a record of the ledger or a journal has no signature, or one of another key or of
        other content. The stack of that record stops, and so does a plan that is about its address. Others go on.

        Sign a state that was written without the key. First look at what is listed: what is signed counts as true.
        After that `kplan recover`, also with `--forget`, works on a run whose records were not signed. To drop a record
        instead, produce an empty value for its key in Kafka, or delete its row in SQLite.

            kplan state sign --verbose
        """),
    _code("K622", "there is no key to sign with", """
        `kplan state sign` signs the records of the ledger and the journal with KPLAN_KEY, and that variable is empty or
        not set. Set it to the same secret wherever kplan plans and applies.

            KPLAN_KEY=… kplan state sign
        """),
    _code("K623", "a record of the state cannot be read", """
        A record of the ledger or of a journal is damaged, or a newer kplan wrote it. The message names the record and
        its stack. That stack stops, because what it owns or what its last run left is not known. Every other stack
        goes on, unless it is about the very address of that record: who owns it is not known.

        Use the newer kplan for that stack. A damaged record of `__kplan` is corrected by a record with the same key,
        or removed by one with an empty value. `kplan recover --list` shows all records that cannot be read.
        """),
    _code("K624", "the lock of the stack was lost", """
        A run holds the lock of its stack in Kafka as long as the brokers hear from it within `timeouts: session`. A run
        that loses the lock because brokers were away takes it again, if nobody else had it meanwhile. This run could
        not: another run has or had the lock, the brokers did not answer in time, or this process itself did not run.

        It changes nothing more. `kplan recover --list` shows what it did, `kplan recover` puts that back.
        """),
    _code("K625", "the state was lost", """
        The stack owned resources when the plan was made, and the state has no record of them any more: somebody has
        deleted or emptied the state's topic or file. Protection and ownership that only the state knew are gone.

        Restore the state if you can. Otherwise plan again: the new plan adopts what is there (`=`), and what was in the
        stack once and is no longer declared is not known to kplan any more.
        """),
    _code("K630", "a file of no known format", """
        `kplan import --file` tells a file's format by its content, and this one is of none that it knows.

        It reads Connect JSON, Strimzi, Jikkou, kafka-gitops, JulieOps, topicctl, Terraform, lists of topics and the
        output of `kafka-topics.sh --describe`. `--file-format NAME` says what a file is.
        """),
    _code("K631", "a file cannot be imported", """
        The file is damaged, or holds something else than its format allows: a topic without a name, partitions that are
        no number, half a line. Nothing is taken from a file that is half understood.

        The message has the place. Correct the file, or take the part out that is not to be imported.
        """),
    _code("K632", "nothing of that name to import", """
        A GLOB of `kplan import` matches no topic and no connector, by name (`shop.*`) or address (`topic/shop.*`).

            kplan list 'shop.*'      # what is there
            kplan import 'shop.*'    # quoted, or the shell looks for files

        Internal topics, those of Connect and of registries among them, are taken only by their very name.
        """),
    _code("K633", "nothing to import", """
        There is no topic and no connector that a stack could have: the cluster is empty but for internal topics, or all
        that the files hold is of other kinds, made by loops, or has names that a stack cannot say.

        The lines under the message say what was there and why it was left out. Nothing is written.
        """),
)  # fmt: skip

CODES: Mapping[str, Code] = _table((*_FILES, *_EXPANSION, *_SERVERS, *_RISKS, *_RUNS))
