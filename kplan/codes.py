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
    close = get_close_matches(code.upper(), CODES, 1)
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

        A number or a boolean may be text only where a template stands for it: `"{{ var.partitions }}"`. `kplan schema`
        prints the schema, and an editor completes and checks with this first line of a file:
            # yaml-language-server: $schema=…/stack.v1.json
        """),
    _code("K107", "the file is not readable text", """
        The file is not UTF-8, or it holds a character that YAML forbids: a control character, a line separator that
        editors do not count, or a byte order mark in the middle.

        Save it as UTF-8 (with or without a byte order mark at its beginning). Where such a character is really meant,
        write it as an escape in double quotes, such as "\\u2028" or "\\x07".
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
)  # fmt: skip

_SERVERS = (
    _code("K301", "the server refuses this request", """
        Kafka or Connect understood the request and says that it is wrong; the same request would be refused again.
        The server's own words are in the message.

        Usual causes: a value that this version does not know, a policy of the cluster (`create.topic.policy.class`),
        more replicas than brokers. Change the stack, then plan again.
        """),
    _code("K310", "a server does not answer", """
        No connection, so the request was not sent and nothing has changed. kplan has tried several times
        (`retry:` in the environment).

        Check address and port from this very machine, and TLS: a plain connection to an encrypted port just hangs.
        A name in `advertised.listeners` that does not resolve here shows the same way. `kplan wait` waits until the
        servers are ready.
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
        User or password are wrong, or the user lacks a right. The message names the right where the server does.

        kplan needs Describe and DescribeConfigs to plan, and Create, Alter, AlterConfigs and Delete to apply. Without
        Describe a topic is invisible rather than refused. docs/permissions.md has the complete list as commands.
        """),
    _code("K314", "it is there already, or gone already", """
        Somebody else has created or deleted the same thing since it was read. This stops a run only where what is
        there now differs from what was planned.

        Plan again: a thing that is as declared is adopted, and one that is gone needs no deletion.
        """),
    _code("K315", "this server or client cannot do it", """
        The operation needs a newer server, or one that the client library lacks: STOPPED connectors need Kafka Connect
        3.6, a changed replication factor needs a reassignment by an operator.

        The message says which version or tool can. `kplan version` prints those in use.
        """),
    _code("K399", "kplan could not go on", """
        Something failed that has no code of its own; the message says what. Nothing was changed unless it says so.

        Run again with `--log-level debug` and look at the last lines. If the cause is in kplan itself, report it with
        them: secrets are never logged.
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
    _code("K520", "the saved plan no longer fits", """
        Between plan and apply something has changed: live state, a file, a variable's value, the cluster, or the plan
        was applied before. Nothing was done, not even the steps that still fit.

        The message names what has changed, from what to what. Make a new plan and have it reviewed: what was approved
        is no longer what would happen.
        """),
    _code("K601", "someone else holds this stack", """
        Another run is working on the stack. The message says who, on which machine and since when.

        Wait for it, or let kplan wait: `--lock-timeout 10m`. There is no command to unlock: the lock ends with the
        process that holds it, also when that is killed. If it was, `kplan recover` finishes its run.
        """),
    _code("K602", "the journal cannot be written or read", """
        kplan writes down what it is about to do before it does it, in the ledger's store: a Kafka topic or an SQLite
        file. Without that there would be no rollback, so it stops.

        Check rights and space of the topic `__kplan` or of the folder `.kplan`. A run that was under way is finished by
        `kplan recover` once the store works again.
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
)  # fmt: skip

CODES: Mapping[str, Code] = _table((*_FILES, *_SERVERS, *_RUNS))
