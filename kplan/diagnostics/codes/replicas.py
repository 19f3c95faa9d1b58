"""Moving replicas between brokers."""

from kplan.diagnostics.codes.code import Code

K327 = Code(
    "K327",
    "the client that moves replicas is not installed",
    level="error",
    cause="""
        A topic that is there is to have another replication factor. Brokers then move replicas between them, which
        librdkafka cannot ask for; kplan does it through a second client, an extra.
        """,
    example="""
        pip install 'kplan[admin]'
        """,
    remedy="""
        Or let an operator do it: the message has the JSON that `kafka-reassign-partitions.sh` takes.
        """,
)

K328 = Code(
    "K328",
    "replicas cannot be moved with this login",
    level="error",
    cause="""
        Replicas are moved through a second client, which knows PLAIN and SCRAM logins and certificates as PEM files,
        and not every setting of librdkafka: not OAUTHBEARER, GSSAPI, key stores or engines. What it would have to leave
        out decides who is trusted, so it refuses.
        """,
    remedy="""
        Use a login that it knows, in an environment of its own, or `kafka-reassign-partitions.sh`.
        """,
)

K329 = Code(
    "K329",
    "replicas cannot be moved now",
    level="error",
    cause="""
        Another reassignment of the topic is under way, or a broker that keeps replicas is down, so that they would
        never be in sync.
        """,
    remedy="""
        Wait for the one (`kafka-reassign-partitions.sh --list`), start the other, then plan again.
        """,
)

K330 = Code(
    "K330",
    "partitions and replicas change at once",
    level="error",
    cause="""
        A topic is to get partitions, which nothing takes away again, and another replication factor, which can be put
        back. In one step neither would be sure.
        """,
    remedy="""
        Apply the partitions first, with the replication factor that the topic has, and then the replication factor.
        """,
)

K527 = Code(
    "K527",
    "replicas are not in sync in time",
    level="error",
    cause="""
        Brokers took the reassignment, and when its time was over some new replica had not caught up: much data, a
        narrow throttle, a slow or dead broker. It is put back, unless the run was started with `--on-failure stop`.
        """,
    example="""
        timeouts: {reassign: 4h}
        reassign: {throttle: 100MiB}
        """,
    remedy="""
        Look for the broker that is behind: `kafka-topics.sh --describe --under-replicated-partitions`.
        """,
)

K528 = Code(
    "K528",
    "a throttle of replication may be left",
    level="error",
    cause="""
        After replicas were moved, brokers did not answer when the throttle was to be taken away. It slows down the
        named replicas until somebody removes it. kplan tries it again when the run is rolled back or recovered.
        """,
    remedy="""
        Otherwise: `kafka-configs.sh --alter --entity-type brokers --entity-name N --delete-config
        leader.replication.throttled.rate,follower.replication.throttled.rate`
        """,
)
