"""What an environment of kplan.yaml says about the brokers' authorizer and about Connect's group."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import cast

import pytest

from kplan.app.servers import open_cluster, read_access
from kplan.diagnostics import Diagnostic
from kplan.kinds.schemas import read_schema
from kplan.language import schema, source
from kplan.model import Target
from kplan.project.environment import Environment, build_environment
from kplan.servers.simulated_access import SimulatedAcls

LOGIN = "security.protocol: sasl_plaintext, sasl.mechanism: SCRAM-SHA-512, sasl.password: canary-7f3a"


def build(text: str, **process: str) -> tuple[Environment | None, list[Diagnostic]]:
    document, problems = source.load(dedent(text), "kplan.yaml")
    assert document is not None and not problems
    return build_environment(document, "prod", process)


def environment_of(body: str, **process: str) -> Environment:
    environment, problems = build(f"version: 1\nenvironments: {{prod: {body}}}\n", **process)
    assert environment is not None, problems
    return environment


@pytest.mark.parametrize(
    ("body", "principal"),
    [
        (f"{{kafka: {{bootstrap.servers: x, {LOGIN}, sasl.username: kplan}}}}", "User:kplan"),
        (f"{{kafka: {{bootstrap.servers: x, {LOGIN}, sasl.username: kplan}}, authorizer: {{principal: User:k}}}}",
         "User:k"),
        (f"{{kafka: {{bootstrap.servers: x, {LOGIN}}}}}", ""),
        ("{kafka: {bootstrap.servers: x, security.protocol: ssl, ssl.certificate.location: me.pem}}", ""),
        ("{kafka: {bootstrap.servers: x, security.protocol: ssl, ssl.certificate.pem: PEM}}", ""),
        ("{kafka: {bootstrap.servers: x}}", "User:ANONYMOUS"),
        ("{connect: {url: 'http://x'}}", ""),
        ("{}", "User:kplan"),
    ],
)  # fmt: skip
def test_the_own_principal_is_the_given_one_or_that_of_the_login(body: str, principal: str) -> None:
    assert environment_of(body).own_principal == principal


def test_the_servers_know_the_own_principal(tmp_path: Path) -> None:
    body = "{kafka: {bootstrap.servers: 'localhost:1'}, authorizer: {principal: 'User:CN=kplan,O=x'}}"
    cluster = open_cluster(environment_of(body))
    try:
        assert cluster.principal == "User:CN=kplan,O=x"
    finally:
        cluster.close()


@pytest.mark.parametrize("is_super", [True, False])
def test_no_binding_takes_from_a_super_user(is_super: bool, tmp_path: Path) -> None:
    """The file says that it is one, and on a simulated cluster so it is one."""
    body = f"{{authorizer: {{principal: User:x, super_user: {str(is_super).lower()}}}}}"
    cluster = open_cluster(replace(environment_of(body), folder=str(tmp_path)))
    try:
        assert cluster.principal == ("" if is_super else "User:x")
        assert cast("SimulatedAcls", cluster.by_kind["acl", "kafka"]).can("User:x", "Alter", "cluster") is is_super
    finally:
        cluster.close()


@pytest.mark.parametrize(
    ("body", "known"),
    [("{}", None), ("{authorizer: {allow_everyone_if_no_acl: false}}", False),
     ("{authorizer: {allow_everyone_if_no_acl: true}}", True), ("{authorizer: {principal: User:k}}", None)],
)  # fmt: skip
def test_what_brokers_do_without_a_binding_is_known_only_if_the_file_says_it(body: str, known: bool | None) -> None:
    assert environment_of(body).allows_by_default is known


def test_connects_group_comes_from_the_file_and_is_no_secret() -> None:
    assert environment_of("{connect: {url: 'http://x'}}").connect_group_ids == {}
    environment = environment_of("{connect: {url: 'http://x', group_id: '{{ env.GROUP }}'}}", GROUP="workers")
    assert environment.connect_group_ids == {"": "workers"}
    assert environment.secrets == ()
    assert environment_of("{authorizer: {principal: '{{ env.WHO }}'}}", WHO="User:kplan").secrets == ()


def test_connects_own_topics_come_from_the_file_and_are_no_secrets() -> None:
    assert environment_of("{connect: {url: 'http://x'}}").internal_topics == frozenset()
    body = "{connect: {default: {url: 'http://x', internal_topics: ['{{ env.TEAM }}-configs']}, sinks: SINKS}}"
    sinks = "{url: 'http://y', internal_topics: [b-configs, b-offsets]}"
    environment = environment_of(body.replace("SINKS", sinks), TEAM="team-a")
    assert environment.internal_topics == {"team-a-configs", "b-configs", "b-offsets"}
    assert environment.secrets == ()


def test_connects_own_topics_are_never_guessed_offline() -> None:
    body = "{connect: {url: 'http://x', internal_topics: ['{{ env.TEAM }}-configs']}}"
    document, _ = source.load(f"version: 1\nenvironments: {{prod: {body}}}\n", "kplan.yaml")
    assert document is not None
    environment, problems = build_environment(document, "prod", {}, offline_target=Target())
    assert environment is None and "the process's environment has no TEAM" in problems[0].detail


def test_offline_the_registry_is_not_at_the_address_of_connect() -> None:
    body = "{connect: {url: '{{ env.A }}'}, schema_registry: {url: '{{ env.B }}'}}"
    document, _ = source.load(f"version: 1\nenvironments: {{prod: {body}}}\n", "kplan.yaml")
    assert document is not None
    environment, _ = build_environment(document, "prod", {}, offline_target=Target(connect_url="http://a"))
    assert environment is not None
    assert (environment.connect["url"], environment.registry_url) == ("http://a", "http://unknown")


@pytest.mark.parametrize("section", ["kafka", "connect", "schema_registry", "state"])
def test_offline_a_whole_section_that_is_unknown_is_an_error_or_left_out(section: str) -> None:
    document, _ = source.load(f"version: 1\nenvironments: {{prod: {{{section}: '{{{{ env.A }}}}'}}}}\n", "kplan.yaml")
    assert document is not None
    environment, problems = build_environment(document, "prod", {}, offline_target=Target())
    assert environment is None and all(problem.is_error for problem in problems)


CONNECTS = "{connect: {default: {url: '{{ env.A }}'}, sinks: {url: ['{{ env.B }}']}}}"


def test_offline_two_connects_with_unknown_urls_are_not_one() -> None:
    document, _ = source.load(f"version: 1\nenvironments: {{prod: {CONNECTS}}}\n", "kplan.yaml")
    assert document is not None
    environment, problems = build_environment(document, "prod", {}, offline_target=Target())
    assert environment is not None and environment.connects == ("default", "sinks"), problems
    taken = Target(connect_url="http://a", connects=(("sinks", "http://b", "4.0.0"),))
    environment, _ = build_environment(document, "prod", {}, offline_target=taken)
    assert environment is not None
    assert (environment.connect["url"], environment.other_connects["sinks"]["url"]) == ("http://a", ["http://b"])
    _, problems = build_environment(document, "prod", {"A": "http://a", "B": "http://a/"})
    assert [problem.summary for problem in problems] == ["two aliases name one Connect"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{authorizer: {principal: kplan}}", "A principal is its type, a colon and its name"),
        ("{authorizer: {principal: '{{ env.WHO }}'}}", "the process's environment has no WHO"),
        ("{authorizer: {allow_everyone_if_no_acl: perhaps}}", "allow_everyone_if_no_acl"),
        ("{connect: {url: 'http://x', group_id: ''}}", "group_id"),
        ("{connect: {url: 'http://x', internal_topics: ['a b']}}", "A topic's name has letters"),
        ("{connect: {url: 'http://x', internal_topics: []}}", "sinks-offsets"),
        ("{connect: {url: 'http://x', internal_topics: ['{{ secret.vault.name }}']}}", "plans and the state contain"),
    ],
)
def test_a_wrong_value_is_an_error_at_its_place(body: str, words: str) -> None:
    from kplan.kinds.schemas import read_schema
    from kplan.language import schema

    document, _ = source.load(f"version: 1\nenvironments: {{prod: {body}}}\n", "kplan.yaml")
    assert document is not None
    problems = [*schema.check(document, read_schema("environments.v1"))]
    if not problems:
        _, problems = build_environment(document, "prod", {})
    (problem,) = problems
    assert problem.span is not None and problem.span.line == 2
    assert words in f"{problem.summary} {problem.detail} {problem.help}"


OIDC = """{{token_url: 'https://issuer/token', client_id: kplan-client, client_secret: canary-{0},
    parameters: {{audience: canary-audience-{0}}}}}"""
BLOCK = OIDC.format(1)


def test_secrets_of_logins_by_token_are_masked_wherever_they_are(tmp_path: Path) -> None:
    default, sinks, registry = (OIDC.format(number) for number in (1, 2, 3))
    environment = environment_of(f"""{{kafka: {{bootstrap.servers: x}},
    connect: {{default: {{url: 'http://x', oidc: {default}}}, sinks: {{url: 'http://y', oidc: {sinks}}}}},
    schema_registry: {{url: 'http://z', oidc: {registry}, proxy: 'http://me:canary-4@proxy:1'}}}}""")
    masked = {f"canary-{number}" for number in (1, 2, 3, 4)} | {f"canary-audience-{number}" for number in (1, 2, 3)}
    assert set(environment.passwords) == masked
    assert "canary" not in repr(environment)


def test_the_login_of_the_only_connect_is_no_alias() -> None:
    environment = environment_of(f"{{kafka: {{bootstrap.servers: x}}, connect: {{url: 'http://x', oidc: {BLOCK}}}}}")
    assert environment.connects == ("default",)
    access = read_access(environment, "connect", environment.connect)
    assert access.oidc is not None and "canary" not in repr(access)
    assert (access.oidc.section, access.oidc.client_id) == ("connect.oidc", "kplan-client")
    assert access.oidc.parameters == {"audience": "canary-audience-1"}


def test_the_ids_of_confluent_cloud_become_headers() -> None:
    login = BLOCK.replace("parameters", "logical_cluster: lsrc-1, identity_pool_id: pool-2, parameters")
    environment = environment_of(f"{{schema_registry: {{url: 'http://x', oidc: {login}}}}}")
    access = read_access(environment, "schema_registry", environment.schema_registry)
    assert access.oidc is not None
    assert access.oidc.headers == {"target-sr-cluster": "lsrc-1", "Confluent-Identity-Pool-Id": "pool-2"}


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        (f"\n  connect: {{url: 'http://x', token: t0ken,\n   oidc: {BLOCK}}}", 5, "connect has `oidc` and `token`"),
        (f"\n  connect: {{default: {{url: 'http://x',\n   username: u, oidc: {BLOCK}}}}}", 5, "`oidc` and `username`"),
        (f"\n  connect: {{default: {{url: 'http://x'}},\n   s: {{url: 'http://y', token: t, oidc: {BLOCK}}}}}", 5,
         "connect.s has `oidc` and `token`"),
        (f"\n  schema_registry: {{url: 'http://x', password: p, oidc: {BLOCK}}}", 4, "`oidc` and `password`"),
    ],
)  # fmt: skip
def test_two_logins_for_one_server_are_an_error(body: str, line: int, words: str) -> None:
    environment, problems = build(f"version: 1\nenvironments:\n prod:{body}\n")
    assert environment is not None
    assert [(each.code, each.span.line if each.span else 0) for each in problems] == [("K203", line)], problems
    assert words in problems[0].detail


@pytest.mark.parametrize(
    ("login", "given", "settings"),
    [
        ("{aws_msk_iam: {region: eu-central-1}}", "",
         {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}),
        ("{gcp: {}}", ", security.protocol: sasl_plaintext, sasl.mechanisms: oauthbearer",
         {"security.protocol": "sasl_plaintext", "sasl.mechanisms": "oauthbearer"}),
    ],
)  # fmt: skip
def test_a_login_to_a_cloud_sets_what_the_client_needs(login: str, given: str, settings: dict[str, str]) -> None:
    environment = environment_of(f"{{kafka: {{bootstrap.servers: x{given}}}, login: {login}}}")
    assert environment.kafka == {"bootstrap.servers": "x", **settings}
    assert environment.own_principal == "", "only the cloud knows it"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("login: {gcp: {}}", "a login without brokers"),
        ("kafka: {bootstrap.servers: x, security.protocol: SSL}, login: {gcp: {}}", "security.protocol: SSL"),
        ("kafka: {bootstrap.servers: x, sasl.mechanism: PLAIN}, login: {gcp: {}}", "sasl.mechanism: PLAIN"),
        ("kafka: {bootstrap.servers: x, sasl.oauthbearer.method: oidc}, login: {gcp: {}}", "method: oidc"),
        ("kafka: {bootstrap.servers: x}, login: {gcp: {}, aws_msk_iam: {region: r1}}", "either `aws_msk_iam` or `gcp`"),
        ("kafka: {bootstrap.servers: x}, login: {aws_msk_iam: {region: r1, role: r, profile: p}}", "at most one of"),
        ("kafka: {bootstrap.servers: x}, login: {aws_msk_iam: {}}", "region"),
    ],
)
def test_a_login_that_contradicts_is_an_error_at_its_place(body: str, words: str) -> None:
    document, _ = source.load(f"version: 1\nenvironments:\n prod: {{{body}}}\n", "kplan.yaml")
    assert document is not None
    problems = [*schema.check(document, read_schema("environments.v1"))]
    problems += [] if problems else build_environment(document, "prod", {})[1]
    assert len(problems) == 1 and problems[0].span is not None and problems[0].span.line == 3, problems
    assert words in str(problems[0]), problems
