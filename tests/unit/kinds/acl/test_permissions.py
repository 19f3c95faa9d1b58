"""The rights in docs/permissions.md are those that kplan names, and the lines that grant them are complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from kplan.kinds.acl.permissions import ACTIVITIES, Acl, describe_missing, find_principal, group_prefix

DOCUMENT = Path(__file__).parents[4] / "docs" / "permissions.md"
PLACE = re.compile(r"(<!-- made of kplan/kinds/acl/permissions\.py.*?-->\n).*?(<!-- end -->)", re.DOTALL)


def table() -> str:
    """A table for each activity."""
    lines = []
    for activity in ACTIVITIES:
        lines += ["", f"To {activity.title}:", ""]
        lines += ["| operation | resource | pattern | for |", "|---|---|---|---|"]
        for acl, why in activity.needs.items():
            name = f" `{acl.name}`" if acl.name else ""
            pattern = "prefixed" if acl.prefixed else "literal" if acl.name else ""
            lines.append(f"| {acl.operation} | {acl.kind}{name} | {pattern} | {why} |")
    return "\n".join([*lines, "", ""])


def written() -> str:
    """The document with the tables as they are to be."""
    return PLACE.sub(lambda found: found[1] + table() + found[2], DOCUMENT.read_text("utf-8"))


def test_the_document_has_these_tables() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert PLACE.search(text) and text == written(), "write it: python -m tests.unit.kinds.acl.test_permissions"


@pytest.mark.parametrize(
    ("acl", "words"),
    [
        (Acl("Create", "Topic", "a.b"), "--operation Create --topic a.b"),
        (Acl("Read", "Group", "kplan.", True), "--operation Read --group kplan. --resource-pattern-type prefixed"),
        (Acl("Describe", "Group", "*"), "--operation Describe --group '*'"),
        (Acl("Describe", "Cluster"), "--operation Describe --cluster"),
        (Acl("Write", "TransactionalId", "k"), "--operation Write --transactional-id k"),
    ],
    ids=str,
)
def test_the_line_that_grants_a_right(acl: Acl, words: str) -> None:
    line = acl.command("User:a b", "x:1,y:2")
    assert line.endswith(words)
    assert shlex.split(line)[:7] == [
        "kafka-acls.sh", "--bootstrap-server", "x:1,y:2", "--command-config", "ADMIN.properties", "--add",
        "--allow-principal",
    ]  # fmt: skip
    assert "User:a b" in shlex.split(line)


@pytest.mark.parametrize(
    ("config", "who"),
    [
        ({}, "User:ANONYMOUS"),
        ({"security.protocol": "SASL_SSL", "sasl.username": "ann"}, "User:ann"),
        ({"security.protocol": "sasl_plaintext", "sasl.kerberos.principal": "ann/host@REALM"}, "User:ann"),
        ({"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER"}, "User:NAME"),
        ({"security.protocol": "ssl", "ssl.certificate.location": "me.pem"}, "User:SUBJECT"),
        ({"security.protocol": "ssl", "ssl.certificate.pem": "PEM"}, "User:SUBJECT"),
        ({"security.protocol": "ssl"}, "User:ANONYMOUS"),
    ],
    ids=str,
)
def test_who_the_brokers_take_the_client_for(config: dict[str, str], who: str) -> None:
    assert find_principal(config) == who
    words, help = describe_missing(Acl("Describe", "Topic", "a"), config)
    assert f"Describe on Topic a for {who} (Read, Write, Alter and Delete include it)" in words
    assert ("openssl x509" in help) == (who == "User:SUBJECT")


def test_another_topic_of_the_state_has_other_groups() -> None:
    assert group_prefix("__kplan") == "kplan." and group_prefix("__other") == "other."
    names = {acl.name for activity in ACTIVITIES for acl in activity.with_names("shop.", "__other")}
    assert {"shop.", "__other", "other."} <= names and not {"PREFIX.", "__kplan", "kplan."} & names


if __name__ == "__main__":
    DOCUMENT.write_text(written(), "utf-8")
