"""What kplan's user must be allowed to do: the one list of which errors, docs/permissions.md and the tests are made.

Kafka itself takes Describe as allowed to whoever may Read, Write, Alter or Delete, and DescribeConfigs to whoever may
AlterConfigs (https://kafka.apache.org/documentation/#operations_in_kafka).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

PREFIX = "PREFIX."  # stands for the beginning of the topics' names
HEARTBEAT = "__debezium-heartbeat."
STATE = "__kplan"  # stands for the topic that holds the state; its groups and transactions begin with `kplan.`


@dataclass(frozen=True, slots=True)
class Acl:
    """A right that an ACL gives, in the words of kafka-acls.sh. `kind` is Topic, Group, TransactionalId or Cluster."""

    operation: str
    kind: str
    name: str = ""
    prefixed: bool = False

    def __str__(self) -> str:
        words = " ".join(filter(None, (f"{self.operation} on {self.kind}", self.name)))
        return f"{words} (prefixed)" if self.prefixed else words

    def command(self, principal: str, bootstrap: str) -> str:
        """The line that grants it, for whoever may; ADMIN.properties holds that person's login."""
        flag = {"Topic": "--topic", "Group": "--group", "TransactionalId": "--transactional-id"}.get(self.kind)
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config", "ADMIN.properties", "--add"]
        words += ["--allow-principal", principal, "--operation", self.operation]
        words += [flag, self.name] if flag else ["--cluster"]
        words += ["--resource-pattern-type", "prefixed"] if self.prefixed else []
        return shlex.join(words)


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that a user does with kplan, and each right it takes with what that is for."""

    name: str
    title: str
    needs: Mapping[Acl, str]

    def at(self, prefix: str = PREFIX, state: str = STATE) -> Mapping[Acl, str]:
        """The same rights for topics of this prefix and for this topic of the state."""
        names = {PREFIX: prefix, STATE: state, group_prefix(STATE): group_prefix(state)}
        return {replace(acl, name=names.get(acl.name, acl.name)): why for acl, why in self.needs.items()}


def group_prefix(state: str) -> str:
    """How the consumer groups and transactional ids begin that belong to the topic of the state."""
    return state.removeprefix("__") + "."


def _topics(name: str) -> dict[Acl, str]:
    return {
        Acl("Create", "Topic", name, True): "create a topic",
        Acl("Alter", "Topic", name, True): "add partitions; see that a topic is there, and how many records it holds",
        Acl("AlterConfigs", "Topic", name, True): "change a topic's settings, and see them",
        Acl("Delete", "Topic", name, True): "delete a topic, and take back one that a failed apply has made",
    }


ACTIVITIES: tuple[Activity, ...] = (
    Activity("look", "plan without the brokers' check (`kplan plan --offline`)", {
        Acl("Describe", "Topic", PREFIX, True): "see that a topic is there, and how many records it holds",
        Acl("DescribeConfigs", "Topic", PREFIX, True): "see a topic's settings",
    }),
    Activity("topics", "plan, apply, destroy and recover topics", _topics(PREFIX)),
    Activity("connectors", "do the same with a Debezium connector's topics, its heartbeat among them", {
        **_topics(PREFIX),
        Acl("Create", "Topic", HEARTBEAT, True): "create the heartbeat's topic",
        Acl("AlterConfigs", "Topic", HEARTBEAT, True): "change its settings, and see them",
        Acl("Delete", "Topic", HEARTBEAT, True): "delete it, and see that it is there",
    }),
    Activity("signals", "have the rows of new tables read (`new_tables: {snapshot: incremental}`), besides these", {
        Acl("Write", "Topic", PREFIX, True): "write the signal; the idempotent producer needs nothing more",
        Acl("Read", "Topic", PREFIX, True): "read the connector's notifications: how far it is",
    }),
    Activity("readers", "know who reads a topic that is to be deleted or shortened", {
        Acl("Describe", "Cluster"): "list all consumer groups: without it the list is silently shorter",
        Acl("Describe", "Group", "*"): "see what a group reads, and how far it is",
    }),
    Activity("reassign", "move replicas where a topic gets another replication factor", {
        Acl("Alter", "Cluster"): "reassign partitions; see which are being reassigned, and how large they are",
        Acl("AlterConfigs", "Cluster"): "throttle brokers meanwhile, and see what throttles they have; needed only "
                                        "with `reassign: {throttle: …}`",
    }),
    Activity("state read", "plan with the state in Kafka", {
        Acl("Read", "Topic", STATE): "read ledger and journal",
        Acl("Describe", "Group", group_prefix(STATE), True): "see who holds a stack's lock",
    }),
    Activity("state", "apply, destroy and recover with the state in Kafka", {
        Acl("Create", "Topic", STATE): "make the topic at the first use; not needed where it is there",
        Acl("Read", "Topic", STATE): "read ledger and journal",
        Acl("Write", "Topic", STATE): "write ledger and journal",
        Acl("DescribeConfigs", "Topic", STATE): "see that the topic's records do not expire",
        Acl("Read", "Group", group_prefix(STATE), True): "hold a stack's lock",
        Acl("Write", "TransactionalId", group_prefix(STATE), True): "write in transactions, so that a run that lost "
                                                                      "its lock is refused",
    }),
)  # fmt: skip


def principal(config: Mapping[str, str]) -> str:
    """Who the brokers take the client with these settings for, as far as the settings tell."""
    protocol = config.get("security.protocol", "plaintext").upper()
    name = config.get("sasl.username") or config.get("sasl.kerberos.principal", "").partition("@")[0].partition("/")[0]
    if protocol.startswith("SASL"):
        return f"User:{name or 'NAME'}"
    known = config.get("ssl.certificate.location") or config.get("ssl.keystore.location")
    return "User:SUBJECT" if protocol == "SSL" and known else "User:ANONYMOUS"


# Whoever may do one of these may do that, too.
INCLUDED: Mapping[tuple[str, str], str] = {
    ("Describe", "Topic"): "Read, Write, Alter and Delete include it",
    ("Describe", "Group"): "Read includes it",
    ("DescribeConfigs", "Topic"): "AlterConfigs includes it",
}


def missing(acl: Acl, config: Mapping[str, str]) -> tuple[str, str]:
    """What is not allowed and to whom, and the way out."""
    who = principal(config)
    more = INCLUDED.get((acl.operation, acl.kind))
    help = f"let an administrator run: {acl.command(who, config.get('bootstrap.servers', ''))}"
    if who == "User:SUBJECT":
        file = config.get("ssl.certificate.location") or "CERTIFICATE"
        help += (
            f"\nSUBJECT is that of the client's certificate: openssl x509 -noout -subject -nameopt RFC2253 -in {file}"
        )
    return f"missing ACL: {acl} for {who}{f' ({more})' if more else ''}", help
