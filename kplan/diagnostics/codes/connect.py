"""What Connect says of a connector, before and after it is changed."""

from kplan.diagnostics.codes.code import Code

K302 = Code(
    "K302",
    "Connect rejected a connector's settings",
    level="error",
    cause="""
        Connect checked the configuration before anything was changed, and the connector's own code refused it. The
        plugin's words are in the message, at the line of the setting where it named one.
        """,
    example="""
        database: {hostname: pg-pord}      # Unable to connect: unknown host "pg-pord"
        """,
    remedy="""
        A database connector logs in for this check, from the worker's machine: names, ports, rights and certificates
        count as they are there. `--offline` leaves the check out.
        """,
)

K303 = Code(
    "K303",
    "Connect has no such connector class",
    level="error",
    cause="""
        The worker does not know the Java class: the plugin is not installed on it, or the name is wrong. A template
        names the class of its database.
        """,
    example="""
        class: io.debezium.connector.postgresql.PostgresConector      # Connector
        """,
    remedy="""
        Install the plugin under the worker's `plugin.path` on every worker and restart them. The message names classes
        that are installed and look alike.
        """,
)

K304 = Code(
    "K304",
    "the plugin does not list this property",
    level="warning",
    cause="""
        A warning: the connector's plugin says which properties it has, and this one is not among them. Connect hands
        it on without a check, so a typing error would have no effect and no message.

            config: {max.bach.size: 4096}      # max.batch.size

        It is the same for a setting of a transform, a predicate or a converter that its class does not list.
        """,
    remedy="""
        Correct it, or leave it if the plugin takes properties that it does not list.
        """,
)

K305 = Code(
    "K305",
    "Connect did not check a connector",
    level="warning",
    cause="""
        A warning: the check of a changed connector ended in an error or took too long, so whether Connect takes the
        configuration shows in the apply only.
        """,
    remedy="""
        The message has the reason. A database that does not answer is the usual one: the connector logs in for the
        check.
        """,
)

K321 = Code(
    "K321",
    "there is no such connector",
    level="error",
    cause="""
        CONNECTOR is the name that the connector has in Connect: its `name:`, one made of `client:` and the key, or the
        key itself.
        """,
    remedy="""
        `kplan show --stack STACK` prints the names that a stack declares, `kplan list 'connector/*'` those in Connect.
        """,
)

K417 = Code(
    "K417",
    "a connector or one of its tasks is not running",
    level="warning",
    cause="""
        A warning about health: a declared connector is FAILED or UNASSIGNED, or a task has failed. The stack does
        not differ from what is live, so a plan does not repair it.
        """,
    remedy="""
        The message has the cause. Remove it, then restart what has failed; `restart_failed:` lets kplan do so while it
        waits for a change of this connector to settle.

            $ kplan connector restart NAME --failed-only
        """,
)

K512 = Code(
    "K512",
    "a connector does not run after its change",
    level="error",
    cause="""
        Connect accepted the configuration, and then the connector or one of its tasks failed. The message has the cause
        that the worker gives. For a Debezium connector the help names its database, which may be down.
        """,
    remedy="""
        Remove the cause and run again: the step was undone with all others.
        """,
)

K514 = Code(
    "K514",
    "a connector does not get into its state, or does not work",
    level="error",
    cause="""
        Connect accepted the change, but the connector was not running, paused, stopped or gone in time, or it is
        RUNNING without working: nothing has arrived in its heartbeat topic since the change. The run is rolled back,
        unless it was started with `--on-failure stop`. A restart does not resume what is paused or stopped.
        """,
    remedy="""
        See the worker's log, and the database's where the heartbeat is missing: a missing topic, a table that the role
        does not own, a replication slot in use. A slow rebalance or start needs more time: `timeouts: {settle: 5m}` in
        the environment.
        """,
)
