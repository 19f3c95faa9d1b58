"""What a stack says about SCRAM users and quotas, and what their changes bring."""

from kplan.diagnostics.codes.code import Code

K268 = Code(
    "K268",
    "a password that is not a sensitive variable",
    level="error",
    cause="""
        `password` and `previous_password` take a variable that is declared with `sensitive: true`. A password in a
        stack file is in its history for ever.
        """,
    example="""
        variables:
          orders_password: {sensitive: true}
        users:
          orders-service: {mechanism: SCRAM-SHA-512, password: "{{ var.orders_password }}"}
        """,
    remedy="Declare a sensitive variable and use it.",
)

K270 = Code(
    "K270",
    "a quota that names no entity",
    level="error",
    cause="A quota is of a user, of a client id, of both together, or of an IP address.",
    example="""
        quotas:
          - {user: etl, consumer_byte_rate: 10MB/s}
          - {ip: default, connection_creation_rate: 10}
        """,
    remedy="Name a `user`, a `client_id` or an `ip`; `default` is everybody without a quota of their own.",
)

K271 = Code(
    "K271",
    "a value that a quota cannot have",
    level="error",
    cause="""
        Byte rates take a size a second, such as `10MB/s`, or a number of bytes. `request_percentage` is a share of the
        time of a broker's threads, where 100 is one thread. The other quotas are numbers for one second. Brokers
        refuse 0, and fractions of everything but `request_percentage` and `controller_mutation_rate`.
        """,
    remedy="Write a number, or a size with its unit.",
)

K450 = Code(
    "K450",
    "clients of a user may be cut off",
    level="danger",
    cause="""
        A user is deleted that bindings name, or one is taken over whose password or mechanisms are not as declared:
        somebody's clients use it. Connections that are open go on until `connections.max.reauth.ms`; deleting a user
        does not end them.
        """,
    remedy="""
        Accept it with `accept: [user]` at the user or its entry under `removed:`, or for one run with `--accept`.
        """,
)

K451 = Code(
    "K451",
    "a password changes and cannot be put back",
    level="caution",
    cause="""
        No broker returns a password, and the stack does not name the old one. If a later step fails, the
        new password stays, so this step is among the last. This is a caution and does not block.
        """,
    remedy="Name the old password in `previous_password`.",
)

K455 = Code(
    "K455",
    "a quota is lowered",
    level="caution",
    cause="""
        Clients of this entity are slowed down as soon as they are faster. No broker returns the present rate. This is a
        caution and does not block.
        """,
    remedy="Look at the clients' rates first.",
)
