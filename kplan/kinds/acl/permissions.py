"""What kplan's user must be allowed to do: the one list for errors, docs/permissions.md and the tests.

Kafka includes Describe in Read, Write, Alter and Delete, and DescribeConfigs in AlterConfigs
 (https://kafka.apache.org/documentation/#operations_in_kafka).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kplan.values import dataclass

PREFIX = "PREFIX."  # stands for the beginning of the topics' names
HEARTBEAT = "__debezium-heartbeat."
STATE = "__kplan"  # stands for the topic that holds the state; its groups and transactions begin with `kplan.`


@dataclass(frozen=True, slots=True)
class Acl:
    """A right that an ACL gives, in the terms of kafka-acls.sh. `kind` is Topic, Group, TransactionalId or Cluster."""

    operation: str
    kind: str
    name: str = ""
    prefixed: bool = False

    def __str__(self) -> str:
        text = " ".join(filter(None, (f"{self.operation} on {self.kind}", self.name)))
        return f"{text} (prefixed)" if self.prefixed else text

    def command(self, principal: str, bootstrap: str) -> str:
        """Return the command that grants the right; ADMIN.properties holds an administrator's login."""
        import shlex

        flag = {"Topic": "--topic", "Group": "--group", "TransactionalId": "--transactional-id"}.get(self.kind)
        arguments = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config", "ADMIN.properties", "--add"]
        arguments += ["--allow-principal", principal, "--operation", self.operation]
        arguments += [flag, self.name] if flag else ["--cluster"]
        arguments += ["--resource-pattern-type", "prefixed"] if self.prefixed else []
        return shlex.join(arguments)


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that a user does with kplan, and each right that it takes with its purpose."""

    name: str
    title: str
    needs: Mapping[Acl, str]

    def with_names(self, prefix: str = PREFIX, state: str = STATE) -> Mapping[Acl, str]:
        """Return the same rights for topics of this prefix and for this topic of the state."""
        names = {PREFIX: prefix, STATE: state, group_prefix(STATE): group_prefix(state)}
        return {replace(acl, name=names.get(acl.name, acl.name)): purpose for acl, purpose in self.needs.items()}


def group_prefix(state: str) -> str:
    """Return the beginning of the consumer groups and transactional ids that belong to the topic of the state."""
    return state.removeprefix("__") + "."


def _topic_rights(name: str) -> dict[Acl, str]:
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
    Activity("topics", "plan, apply, destroy and recover topics", _topic_rights(PREFIX)),
    Activity("connectors", "do the same with a Debezium connector's topics, its heartbeat among them", {
        **_topic_rights(PREFIX),
        Acl("Create", "Topic", HEARTBEAT, True): "create the heartbeat's topic",
        Acl("AlterConfigs", "Topic", HEARTBEAT, True): "change its settings, and see them",
        Acl("Delete", "Topic", HEARTBEAT, True): "delete it, and see that it is there",
    }),
    Activity("signals", "also have the rows of new tables read (`new_tables: {snapshot: incremental}`)", {
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
    Activity("access read", "plan, list and import `access:` and `users:`", {
        Acl("Describe", "Cluster"): "see bindings and users: without it brokers answer with an empty list of bindings",
    }),
    Activity("access", "apply, destroy and recover them", {
        Acl("Alter", "Cluster"): "create and delete bindings and users; see them",
    }),
    Activity("quotas read", "plan, list and import `quotas:`", {
        Acl("DescribeConfigs", "Cluster"): "see quotas",
    }),
    Activity("quotas", "apply, destroy and recover them", {
        Acl("AlterConfigs", "Cluster"): "change quotas, and see them",
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


# What `find_principal` returns where the settings do not show the name.
UNKNOWN_LOGIN, UNKNOWN_SUBJECT = "User:NAME", "User:SUBJECT"
UNKNOWN_PRINCIPALS = (UNKNOWN_LOGIN, UNKNOWN_SUBJECT)
CERTIFICATES = ("ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location")


def find_principal(config: Mapping[str, str]) -> str:
    """Return the principal that the brokers see for a client with these settings, as far as the settings show."""
    protocol = config.get("security.protocol", "plaintext").upper()
    name = config.get("sasl.username") or config.get("sasl.kerberos.principal", "").partition("@")[0].partition("/")[0]
    if protocol.startswith("SASL"):
        return f"User:{name}" if name else UNKNOWN_LOGIN
    has_certificate = any(config.get(key) for key in CERTIFICATES)
    return UNKNOWN_SUBJECT if protocol == "SSL" and has_certificate else "User:ANONYMOUS"


# The operations that include another one (https://kafka.apache.org/documentation/#operations_in_kafka).
INCLUDING_OPERATIONS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("Describe", "Topic"): ("Read", "Write", "Alter", "Delete"),
    ("Describe", "Group"): ("Read",),
    ("DescribeConfigs", "Topic"): ("AlterConfigs",),
    ("Describe", "Cluster"): ("Alter",),
    ("DescribeConfigs", "Cluster"): ("AlterConfigs",),
}


def describe_missing(acl: Acl, config: Mapping[str, str]) -> tuple[str, str]:
    """Return the missing right and its principal, and the remedy."""
    own_principal = find_principal(config)
    operations = INCLUDING_OPERATIONS.get((acl.operation, acl.kind), ())
    names = " and ".join(filter(None, (", ".join(operations[:-1]), *operations[-1:])))
    including = f"{names} include{'' if operations[1:] else 's'} it" if operations else ""
    help = f"let an administrator run: {acl.command(own_principal, config.get('bootstrap.servers', ''))}"
    if own_principal == UNKNOWN_SUBJECT:
        file = config.get("ssl.certificate.location") or "CERTIFICATE"
        help += (
            f"\nSUBJECT is that of the client's certificate: openssl x509 -noout -subject -nameopt RFC2253 -in {file}"
        )
    return f"missing ACL: {acl} for {own_principal}{f' ({including})' if including else ''}", help
