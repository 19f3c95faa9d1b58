"""What the errors of brokers and of librdkafka mean for an admin request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from kplan.diagnostics import (
    Busy,
    Conflict,
    Denied,
    Diagnostic,
    JournalBroken,
    KplanError,
    Rejected,
    Timeout,
    Unreachable,
    Unsupported,
)
from kplan.model import Address
from kplan.patterns import late_pattern
from kplan.servers.topics import too_many_replicas_error
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class ErrorMeaning:
    """What an error code means for an admin request; `applied` as in KplanError."""

    error: type[KplanError]
    applied: bool | None = False


def _find_codes(names: str) -> frozenset[int]:
    """Return the numbers of those names that this client knows."""
    return frozenset(getattr(KafkaError, name) for name in names.split() if hasattr(KafkaError, name))


# By number: `retriable()` is False for all of them, and names differ from Java's.
_CONFLICT = _find_codes("""
    UNKNOWN_TOPIC_OR_PART TOPIC_ALREADY_EXISTS GROUP_ID_NOT_FOUND ELECTION_NOT_NEEDED NO_REASSIGNMENT_IN_PROGRESS
    RESOURCE_NOT_FOUND DUPLICATE_RESOURCE _UNKNOWN_TOPIC _UNKNOWN_PARTITION _NOOP _NOENT _UNKNOWN_GROUP
    UNKNOWN_TOPIC_ID
""")
_BUSY = _find_codes("""
    NOT_CONTROLLER LEADER_NOT_AVAILABLE NOT_LEADER_FOR_PARTITION BROKER_NOT_AVAILABLE REPLICA_NOT_AVAILABLE
    NETWORK_EXCEPTION COORDINATOR_LOAD_IN_PROGRESS COORDINATOR_NOT_AVAILABLE NOT_COORDINATOR REBALANCE_IN_PROGRESS
    CONCURRENT_TRANSACTIONS KAFKA_STORAGE_ERROR REASSIGNMENT_IN_PROGRESS UNSTABLE_OFFSET_COMMIT
    THROTTLING_QUOTA_EXCEEDED _WAIT_COORD _WAIT_CACHE _RETRY _TIMED_OUT_QUEUE STALE_CTRL_EPOCH NOT_ENOUGH_REPLICAS
    OPERATION_NOT_ATTEMPTED LISTENER_NOT_FOUND FENCED_LEADER_EPOCH UNKNOWN_LEADER_EPOCH STALE_BROKER_EPOCH
    OFFSET_NOT_AVAILABLE MEMBER_ID_REQUIRED PREFERRED_LEADER_NOT_AVAILABLE ELIGIBLE_LEADERS_NOT_AVAILABLE
    INCONSISTENT_TOPIC_ID STALE_MEMBER_EPOCH UNRELEASED_INSTANCE_ID FETCH_SESSION_ID_NOT_FOUND
    INVALID_FETCH_SESSION_EPOCH SHARE_SESSION_NOT_FOUND INVALID_SHARE_SESSION_EPOCH SHARE_SESSION_LIMIT_REACHED
    REBOOTSTRAP_REQUIRED TRANSACTION_ABORTABLE FENCED_STATE_EPOCH _QUEUE_FULL _ISR_INSUFF _NODE_UPDATE _IN_PROGRESS
    _PREV_IN_PROGRESS _OUTDATED _INTR _PURGE_QUEUE _ASSIGNMENT_LOST STREAMS_INVALID_TOPOLOGY_EPOCH
""")
_UNREACHABLE = _find_codes("""
    _ALL_BROKERS_DOWN _RESOLVE _UNKNOWN_BROKER
""")
_UNKNOWN_OUTCOME = _find_codes("""
    REQUEST_TIMED_OUT UNKNOWN _TIMED_OUT _TRANSPORT _BAD_MSG _DESTROY _DESTROY_BROKER _FAIL _MSG_TIMED_OUT
    _PURGE_INFLIGHT _PARTIAL _BAD_COMPRESSION _UNDERFLOW _CRIT_SYS_RESOURCE NOT_ENOUGH_REPLICAS_AFTER_APPEND
""")
_DENIED = _find_codes("""
    TOPIC_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED CLUSTER_AUTHORIZATION_FAILED
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED DELEGATION_TOKEN_AUTHORIZATION_FAILED UNSUPPORTED_SASL_MECHANISM
    ILLEGAL_SASL_STATE SASL_AUTHENTICATION_FAILED _AUTHENTICATION _SSL DELEGATION_TOKEN_NOT_FOUND
    DELEGATION_TOKEN_OWNER_MISMATCH DELEGATION_TOKEN_REQUEST_NOT_ALLOWED DELEGATION_TOKEN_EXPIRED
    INVALID_PRINCIPAL_TYPE PRINCIPAL_DESERIALIZATION_FAILURE UNACCEPTABLE_CREDENTIAL
""")
_UNSUPPORTED = _find_codes("""
    UNSUPPORTED_VERSION SECURITY_DISABLED _UNSUPPORTED_FEATURE _NOT_IMPLEMENTED _UNKNOWN_PROTOCOL
    UNSUPPORTED_FOR_MESSAGE_FORMAT DELEGATION_TOKEN_AUTH_DISABLED UNSUPPORTED_COMPRESSION_TYPE UNSUPPORTED_ASSIGNOR
    MISMATCHED_ENDPOINT_TYPE UNSUPPORTED_ENDPOINT_TYPE _NOT_CONFIGURED
""")
_LOCK_LOST = _find_codes("""
    _FENCED PRODUCER_FENCED INVALID_PRODUCER_EPOCH ILLEGAL_GENERATION UNKNOWN_MEMBER_ID FENCED_INSTANCE_ID
    FENCED_MEMBER_EPOCH TRANSACTION_COORDINATOR_FENCED _FATAL STREAMS_TOPOLOGY_FENCED
""")
_REJECTED = _find_codes("""
    OFFSET_OUT_OF_RANGE INVALID_MSG INVALID_MSG_SIZE MSG_SIZE_TOO_LARGE OFFSET_METADATA_TOO_LARGE TOPIC_EXCEPTION
    RECORD_LIST_TOO_LARGE INVALID_REQUIRED_ACKS INCONSISTENT_GROUP_PROTOCOL INVALID_GROUP_ID INVALID_SESSION_TIMEOUT
    INVALID_COMMIT_OFFSET_SIZE INVALID_TIMESTAMP INVALID_PARTITIONS INVALID_REPLICATION_FACTOR
    INVALID_REPLICA_ASSIGNMENT INVALID_CONFIG INVALID_REQUEST POLICY_VIOLATION OUT_OF_ORDER_SEQUENCE_NUMBER
    DUPLICATE_SEQUENCE_NUMBER INVALID_TXN_STATE INVALID_PRODUCER_ID_MAPPING INVALID_TRANSACTION_TIMEOUT
    LOG_DIR_NOT_FOUND UNKNOWN_PRODUCER_ID NON_EMPTY_GROUP TOPIC_DELETION_DISABLED GROUP_MAX_SIZE_REACHED
    GROUP_SUBSCRIBED_TO_TOPIC INVALID_RECORD INCONSISTENT_VOTER_SET INVALID_UPDATE_VERSION FEATURE_UPDATE_FAILED
    UNKNOWN_CONTROLLER_ID UNKNOWN_SUBSCRIPTION_ID TELEMETRY_TOO_LARGE INVALID_REGISTRATION INVALID_RECORD_STATE
    INVALID_VOTER_KEY DUPLICATE_VOTER VOTER_NOT_FOUND INVALID_REGULAR_EXPRESSION STREAMS_INVALID_TOPOLOGY
    _INVALID_ARG _CONFLICT _STATE _FS _PARTITION_EOF _EXISTING_SUBSCRIPTION _ASSIGN_PARTITIONS _REVOKE_PARTITIONS
    _NO_OFFSET _KEY_SERIALIZATION _VALUE_SERIALIZATION _KEY_DESERIALIZATION _VALUE_DESERIALIZATION _READ_ONLY
    _INVALID_TYPE _INCONSISTENT _GAPLESS_GUARANTEE _MAX_POLL_EXCEEDED _APPLICATION _AUTO_OFFSET_RESET
    _LOG_TRUNCATION _INVALID_DIFFERENT_RECORD
""")

MEANINGS: Final[Mapping[int, ErrorMeaning]] = {
    code: meaning
    for codes, meaning in (
        (_CONFLICT, ErrorMeaning(Conflict)), (_BUSY, ErrorMeaning(Busy)), (_UNREACHABLE, ErrorMeaning(Unreachable)),
        (_UNKNOWN_OUTCOME, ErrorMeaning(Timeout, None)), (_DENIED, ErrorMeaning(Denied)),
        (_UNSUPPORTED, ErrorMeaning(Unsupported)), (_LOCK_LOST, ErrorMeaning(JournalBroken, None)),
        (_REJECTED, ErrorMeaning(Rejected)),
    )
    for code in codes
}  # fmt: skip


def classify_error(code: int, message: str = "") -> ErrorMeaning:
    """Return the meaning of an error code, and of the message where that decides.

    A request with a code that is not in this table may have taken effect.
    """
    if code == KafkaError._TIMED_OUT and "waiting for controller" in message:
        return ErrorMeaning(Unreachable)  # never sent
    if code == KafkaError.INVALID_PARTITIONS and "already has" in message:
        return ErrorMeaning(Conflict)
    if code == KafkaError.INVALID_REPLICATION_FACTOR and "fenced" in message:
        return ErrorMeaning(Busy)  # a broker is down; otherwise there are too few
    return MEANINGS.get(code, ErrorMeaning(KplanError, None))


# Kafka's StripedReplicaPlacer
_TOO_FEW_BROKERS: Final = late_pattern(r"replication factor of (\d+) cannot be reached because only (\d+) broker")


class Forbidden(Denied):
    """An ACL is missing; the caller knows which one."""


_FORBIDDEN = _find_codes("""
    TOPIC_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED CLUSTER_AUTHORIZATION_FAILED
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED
""")


def make_error(code: int, message: str) -> KplanError:
    """Return the error for a code, with the server's own message where kplan has no clearer one."""
    meaning = classify_error(code, message)
    if (counts := _TOO_FEW_BROKERS.search(message)) and meaning.error is Rejected:
        return too_many_replicas_error(int(counts[1]), int(counts[2]))
    problem = (Forbidden if code in _FORBIDDEN else meaning.error)(message)
    problem.applied = meaning.applied
    return problem


def map_exception(exception: BaseException) -> KplanError:
    """Return the client's exception as an error of kplan."""
    if isinstance(exception, KafkaException) and exception.args and isinstance(exception.args[0], KafkaError):
        return make_error(exception.args[0].code(), exception.args[0].str())
    if isinstance(exception, ValueError | TypeError):
        return Rejected(str(exception))
    unexpected = KplanError(f"{type(exception).__name__}: {exception}")
    unexpected.applied = None
    return unexpected


_CONFIG_NAME = late_pattern(
    r"for configuration ([\w.]+)|config name: ([\w.]+)|^Configuration '([\w.]+)'|setting ([\w.]+) \("
)


def _find_path(message: str) -> str:
    """Return the attribute that a broker's message is about, as the path of a diff."""
    if match := _CONFIG_NAME.search(message):
        return f"/config/{next(filter(None, match.groups()))}"
    if "Tiered Storage" in message or "remote log" in message:
        return "/config/remote.storage.enable"
    if re.search(r"replication.factor|replicate the partition", message, re.IGNORECASE):
        return "/replication_factor"
    return "/partitions" if re.search(r"partition\(s\)|[Nn]umber of partitions", message) else ""


def to_diagnostic(problem: KplanError, address: Address) -> Diagnostic:
    return replace(problem.diagnostic(address), path=_find_path(problem.message))
