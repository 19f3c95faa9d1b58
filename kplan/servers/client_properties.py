"""The properties of librdkafka that kplan.yaml may set, and which settings librdkafka must judge.

Names and ranges are those of librdkafka 2.16 (https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md),
without callbacks and without what a file may not set (schemas/environments.v1.json). The list decides nothing: another
librdkafka may have other properties. It only shows which settings are certainly right, and suggests names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.servers.connection_errors import refused_setting
from kplan.servers.mechanisms import find_unusable_mechanism

if TYPE_CHECKING:
    from kplan.language.source import Document

_END_OF_SETTINGS: Final = "kplan.end"  # librdkafka has no such property, so it creates no client
NO_SUCH_PROPERTY: Final = "No such configuration property"  # librdkafka's words
NAMES_URL: Final = "https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md"

_ANY_VALUE: Final = """
    client.id metadata.broker.list bootstrap.servers topic.blacklist debug broker.version.fallback
    ssl.cipher.suites ssl.curves.list ssl.sigalgs.list ssl.key.location ssl.key.password ssl.key.pem
    ssl.certificate.location ssl.certificate.pem ssl.ca.location https.ca.location https.ca.pem ssl.ca.pem
    ssl.ca.certificate.stores ssl.crl.location ssl.keystore.location ssl.keystore.password ssl.providers
    sasl.mechanisms sasl.mechanism sasl.kerberos.service.name sasl.kerberos.principal sasl.kerberos.keytab
    sasl.username sasl.password sasl.oauthbearer.config sasl.oauthbearer.client.id
    sasl.oauthbearer.client.credentials.client.id sasl.oauthbearer.client.credentials.client.secret
    sasl.oauthbearer.client.secret sasl.oauthbearer.scope sasl.oauthbearer.extensions
    sasl.oauthbearer.token.endpoint.url sasl.oauthbearer.sub.claim.name
    sasl.oauthbearer.assertion.private.key.file sasl.oauthbearer.assertion.private.key.passphrase
    sasl.oauthbearer.assertion.private.key.pem sasl.oauthbearer.assertion.file
    sasl.oauthbearer.assertion.claim.aud sasl.oauthbearer.assertion.claim.iss
    sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.assertion.jwt.template.file group.id group.instance.id
    partition.assignment.strategy group.protocol.type group.remote.assignor client.rack
    share.acknowledgement.mode transactional.id partitioner offset.store.path
"""
_BOOLEAN: Final = """
    topic.metadata.refresh.sparse socket.keepalive.enable socket.nagle.disable log.queue log.thread.name
    enable.random.seed log.connection.close api.version.request allow.auto.create.topics
    enable.ssl.certificate.verification enable.sasl.oauthbearer.unsecure.jwt
    sasl.oauthbearer.assertion.claim.jti.include enable.auto.commit enable.auto.offset.store
    enable.partition.eof check.crcs enable.idempotence enable.gapless.guarantee delivery.report.only.error
    enable.metrics.push produce.offset.report auto.commit.enable
"""
_ONE_OF: Final[Mapping[str, str]] = {
    "metadata.recovery.strategy": "none rebootstrap",
    "broker.address.family": "any v4 v6",
    "security.protocol": "plaintext ssl sasl_plaintext sasl_ssl",
    "ssl.endpoint.identification.algorithm": "none https",
    "sasl.oauthbearer.method": "default oidc",
    "sasl.oauthbearer.grant.type": "client_credentials urn:ietf:params:oauth:grant-type:jwt-bearer",
    "sasl.oauthbearer.assertion.algorithm": "RS256 ES256",
    "sasl.oauthbearer.metadata.authentication.type": "none azure_imds aws_iam",
    "group.protocol": "classic consumer",
    "offset.store.method": "none file broker",
    "isolation.level": "read_uncommitted read_committed",
    "compression.codec": "none gzip snappy lz4 zstd",
    "compression.type": "none gzip snappy lz4 zstd",
    "client.dns.lookup": "use_all_dns_ips resolve_canonical_bootstrap_servers_only",
    "queuing.strategy": "fifo lifo",
    "auto.offset.reset": "smallest earliest beginning largest latest end error",
}
_NUMBER: Final = """
    message.max.bytes=1000..1000000000 message.copy.max.bytes=0..1000000000
    receive.message.max.bytes=1000..2147483647 max.in.flight.requests.per.connection=1..1000000
    max.in.flight=1..1000000 metadata.recovery.rebootstrap.trigger.ms=0..2147483647
    topic.metadata.refresh.interval.ms=-1..3600000 metadata.max.age.ms=1..86400000
    topic.metadata.refresh.fast.interval.ms=1..60000 topic.metadata.refresh.fast.cnt=0..1000
    topic.metadata.propagation.max.ms=0..3600000 socket.timeout.ms=10..300000 socket.blocking.max.ms=1..60000
    socket.send.buffer.bytes=0..100000000 socket.receive.buffer.bytes=0..100000000 socket.max.fails=0..1000000
    broker.address.ttl=0..86400000 socket.connection.setup.timeout.ms=1000..2147483647
    connections.max.idle.ms=0..2147483647 reconnect.backoff.jitter.ms=0..3600000 reconnect.backoff.ms=0..3600000
    reconnect.backoff.max.ms=0..3600000 statistics.interval.ms=0..86400000 enabled_events=0..2147483647
    log_level=0..7 internal.termination.signal=0..128 api.version.request.timeout.ms=1..300000
    api.version.fallback.ms=0..604800000 sasl.kerberos.min.time.before.relogin=0..86400000
    sasl.oauthbearer.assertion.claim.exp.seconds=1..2147483647
    sasl.oauthbearer.assertion.claim.nbf.seconds=0..2147483647 session.timeout.ms=1..3600000
    heartbeat.interval.ms=1..3600000 coordinator.query.interval.ms=1..3600000 max.poll.interval.ms=1..86400000
    auto.commit.interval.ms=0..86400000 queued.min.messages=1..10000000 queued.max.messages.kbytes=1..2097151
    fetch.wait.max.ms=0..300000 fetch.queue.backoff.ms=0..300000 fetch.message.max.bytes=1..1000000000
    max.partition.fetch.bytes=1..1000000000 fetch.max.bytes=0..2147483135 fetch.min.bytes=0..2147483647
    fetch.error.backoff.ms=0..300000 max.poll.records=1..2147483647 transaction.timeout.ms=1000..2147483647
    queue.buffering.max.messages=0..2147483647 queue.buffering.max.kbytes=1..2147483647
    queue.buffering.max.ms=0..900000 linger.ms=0..900000 message.send.max.retries=0..2147483647
    retries=0..2147483647 retry.backoff.ms=1..300000 retry.backoff.max.ms=1..300000
    queue.buffering.backpressure.threshold=1..1000000 batch.num.messages=1..1000000 batch.size=1..2147483647
    sticky.partitioning.linger.ms=0..900000 request.required.acks=-1..1000 acks=-1..1000
    request.timeout.ms=1..900000 message.timeout.ms=0..2147483647 delivery.timeout.ms=0..2147483647
    compression.level=-1..12 offset.store.sync.interval.ms=-1..86400000 consume.callback.max.messages=0..1000000
"""


def _parse_ranges() -> dict[str, str]:
    """Map each property to its range: `LOW..HIGH`, words separated by blanks, or nothing where any text may do."""
    numbers = (entry.partition("=") for entry in _NUMBER.split())
    return {
        **dict.fromkeys(_ANY_VALUE.split(), ""),
        **dict.fromkeys(_BOOLEAN.split(), "true false"),
        **_ONE_OF,
        **{name: text for name, _, text in numbers},
    }


PROPERTIES: Final[Mapping[str, str]] = _parse_ranges()


def is_listed(name: str, value: str) -> bool:
    """Return whether the list has the property, with this value in its range. Otherwise librdkafka must judge."""
    values = PROPERTIES.get(name)
    if values is None:
        return False
    low, dots, high = values.partition("..")
    if dots:
        return bool(re.fullmatch(r"-?[0-9]{1,18}", value)) and int(low) <= int(value) <= int(high)
    return not values or value.lower() in values.lower().split()


def find_refused(
    document: Document,
    environment: str,
    settings: Mapping[str, str],
    unknown: Collection[str] = (),
    has_login: bool = False,
) -> list[Diagnostic]:
    """Return an error for each setting under `kafka:` of the environment that librdkafka refuses, at its line.

    Of the settings in `unknown` the name alone is judged: their values come from somewhere else. `has_login`: tokens
    come from the environment's `login:`.
    """
    problems = []
    for name, value in settings.items():
        path = ("environments", environment, "kafka", name)
        if is_listed(name, value) or (name in unknown and name in PROPERTIES):
            continue
        objection = ask_librdkafka(name, value)
        if NO_SUCH_PROPERTY in objection:
            problems.append(_unknown_name_error(name, document.key_at(*path)))
        elif objection and name not in unknown:
            problems.append(refused_setting(objection, document.at(*path), _range_help(name)))
    mechanism = None if problems or unknown or has_login else find_unusable_mechanism(settings, ask_librdkafka)
    if mechanism is not None:
        span = document.at("environments", environment, "kafka", mechanism.key)
        problems.append(refused_setting(mechanism.reason, span, mechanism.help))
    return problems


def ask_librdkafka(name: str, value: str) -> str:
    """Return librdkafka's objection to this setting alone; empty where it accepts it. No client is created."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        AdminClient({name: value, _END_OF_SETTINGS: ""})
    except KafkaException as exception:
        message = str(exception.args[0].str())
    except ValueError as exception:
        message = str(exception)
    except (TypeError, AttributeError):
        return f"`{name}` takes a program's own object, which a file cannot contain"
    else:
        return ""
    return "" if _END_OF_SETTINGS in message else message.strip()


def _unknown_name_error(name: str, span: Span) -> Diagnostic:
    similar_names = difflib.get_close_matches(name.lower(), PROPERTIES, 1, 0.7)
    help = f"did you mean `{similar_names[0]}`?" if similar_names else f"the names are librdkafka's: {NAMES_URL}"
    return error(
        codes.K106, "unknown key", f"the Kafka client (librdkafka) has no property `{name}`", help=help, span=span
    )


def _range_help(name: str) -> str:
    """Return which values the property takes; empty where the list does not say."""
    values = PROPERTIES.get(name, "")
    low, dots, high = values.partition("..")
    if not values:
        return ""
    return f"`{name}` takes {f'{low} to {high}' if dots else ', '.join(values.split())}"
