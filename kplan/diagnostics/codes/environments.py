"""The environment, and the servers and names that belong to it."""

from kplan.diagnostics.codes.code import Code

K205 = Code(
    "K205",
    "there is no such environment",
    level="error",
    cause="""
        `--env`, or `default:` in `kplan.yaml`, names an environment that the file does not have.
        """,
    remedy="""
        The message lists those that are known. Without a `kplan.yaml` in the stack's folder or above there is only
        `local`, a simulated cluster; with `--bootstrap HOST:PORT` any cluster can be used without one. Beside a
        `kplan.yaml`, `--bootstrap` and `--connect` replace the addresses of the chosen environment alone.
        """,
)

K257 = Code(
    "K257",
    "an override of a resource that no stack declares",
    level="warning",
    cause="""
        `topics:` or `connectors:` of an environment in `kplan.yaml` names a resource that none of the project's stacks
        declares in this environment. Only commands that load all stacks of the project report this.
        """,
    example="""
        prod:
          topics:
            shop.orders: {partitions: 12}
        """,
    remedy="""
        Write the name that the topic has on the cluster, or remove the block. A connector on a further Connect is
        `ALIAS/NAME`.
        """,
)

K218 = Code(
    "K218",
    "this environment has no Connect",
    level="error",
    cause="""
        The stack has connectors, and the environment names brokers but no Kafka Connect.
        """,
    example="""
        prod:
          kafka: {bootstrap.servers: "kafka:9092"}
          connect: {url: "http://connect:8083"}
        """,
    remedy="""
        Add `connect:`. Without a `kplan.yaml` it is `--connect URL` or KAFKA_CONNECT_URL.
        """,
)

K231 = Code(
    "K231",
    "this stack's name belongs to another environment",
    level="error",
    cause="""
        The same stack was applied to this cluster from another environment of `kplan.yaml`. With one name, each of the
        two would take the other one's topics for its own leavings and plan to delete them.
        """,
    example="""
        stack: "orders-{{ kplan.env }}"
        """,
    remedy="""
        Give each environment its own name, and its own prefix of topics.
        """,
)

K244 = Code(
    "K244",
    "connection variables have no effect",
    cause="""
        KAFKA_BOOTSTRAP_SERVERS, KAFKA_CONNECT_URL, KAFKA_USE_SSL, KAFKA_SECURITY_PROTOCOL, KAFKA_SSL_* and KAFKA_SASL_*
        describe a cluster where there is no `kplan.yaml`. They never change an environment of a `kplan.yaml`, and a
        simulated cluster needs none of them. The message names those that are set and unused. It is an error where the
        environment is simulated and no `--env` (or KPLAN_ENV) asks for it: a run would change no real cluster.
        """,
    example="""
        $ KAFKA_BOOTSTRAP_SERVERS=kafka:9092 kplan apply shop.yaml      # kplan.yaml: default: local
        """,
    remedy="""
        Choose the environment with `--env`, or name the variable in it: `bootstrap.servers: "{{ env.NAME }}"`. Unset
        variables that are not meant. docs/environments.md lists all variables, and when each counts.
        """,
)

K246 = Code(
    "K246",
    "Connect is named without brokers",
    level="error",
    cause="""
        `--connect`, KAFKA_CONNECT_URL or `connect:` names Kafka Connect, and no brokers are named. Topics, the ledger
        and the journal are in Kafka, so only `kplan wait`, `kplan list` and `kplan connector` work without brokers.
        """,
    example="""
        $ kplan list --connect http://connect:8083
        """,
    remedy="""
        Give `--bootstrap HOST:PORT` (or KAFKA_BOOTSTRAP_SERVERS, or `kafka:` of the environment) as well.
        """,
)
