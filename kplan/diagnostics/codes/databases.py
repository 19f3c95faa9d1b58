"""The databases that connectors read: rights, snapshots of tables, and what is dropped there."""

from kplan.diagnostics.codes.code import Code

K239 = Code(
    "K239",
    "a connector cannot be asked for an incremental snapshot",
    level="error",
    cause="""
        `new_tables: {snapshot: incremental}` asks the connector, through its topic of signals, to read the rows that a
        newly listed table already has, and waits for its notification that this is done. The connector lacks what that
        takes: a topic of signals, a table of signals in the database (or `read.only: true`, where the engine has it),
        and a topic of notifications. Or kplan cannot name the tables as the signal needs it: a connector for several
        databases of SQL Server, patterns of MongoDB's collections, a class that kplan does not know.
        """,
    remedy="""
        With a template, `signal: {topic: NAME, table: SCHEMA.TABLE}` sets all of it; make that table first
        (https://debezium.io/documentation/reference/stable/configuration/signalling.html).
        """,
)

K240 = Code(
    "K240",
    "this cannot be dropped",
    level="error",
    cause="""
        `drop` is for slot and publication of a Debezium connector for PostgreSQL. MySQL and MariaDB keep nothing
        for a connector; what SQL Server, Oracle and MongoDB keep, a DBA takes away. `publication=NAME` names the
        connector's own publication.
        """,
    example="""
        on_delete: {drop: [slot, publication]}
        """,
    remedy="""
        Leave it out: the plan that deletes the connector prints the statements for its database (K413).
        """,
)

K241 = Code(
    "K241",
    "another connector needs what is to be dropped",
    level="error",
    cause="""
        A slot or publication that goes with a deleted connector is named by another connector of the same database,
        which would fail, or read nothing any more.
        """,
    remedy="""
        Give each connector its own, or take `drop` away.
        """,
)

K242 = Code(
    "K242",
    "offsets are kept of a slot that is dropped",
    level="error",
    cause="""
        `keep_offsets: true` leaves a deleted connector's position in Connect, so that one of its name goes on from
        there. Without its replication slot PostgreSQL no longer has what comes after that position.
        """,
    remedy="""
        Keep both, or neither.
        """,
)

K318 = Code(
    "K318",
    "a database's driver is not installed",
    level="error",
    cause="""
        `kplan discover` logs in to the database that a connector reads, which takes a Python package of that database.
        A plan looks into it too where the package is there, and goes without where it is not.
        """,
    example="""
        pip install 'kplan[postgres]'        # PostgreSQL
        pip install 'kplan[mysql]'           # MySQL and MariaDB
        """,
)

K319 = Code(
    "K319",
    "there is no such database",
    level="error",
    cause="""
        The database server answers, and has no database of the name that the connector says. The connector would fail
        at its first start.
        """,
    remedy="""
        Look at `database: {name: …}` of the connector, and at upper and lower case in it, or create the database.
        """,
)

K320 = Code(
    "K320",
    "the database cannot be looked into",
    level="error",
    cause="""
        `kplan discover` knows how PostgreSQL, MySQL and MariaDB list their tables, and needs host and user as the stack
        says them: what is written as `${file:…}` only the Connect worker can resolve.
        """,
    remedy="""
        Name the address with `--host HOST:PORT`, and the password's environment variable with `--password-env NAME`.
        """,
)

K322 = Code(
    "K322",
    "a captured table cannot be read",
    level="error",
    cause="""
        Before a connector is made, or gets more tables, kplan looks into its database, as the connector logs in. A
        table that the stack names is not there, or the connector's user may not read it although its rows are wanted.
        Debezium would say nothing of a missing table, and fail at one that it may not read; without its table of
        signals it hangs.
        """,
    remedy="""
        Correct the name, create the table, or run the GRANT of the message. `--offline` plans without looking.
        """,
)

K323 = Code(
    "K323",
    "the connector's user lacks a right in the database",
    level="error",
    cause="""
        The connector would fail, or go on RUNNING while nothing arrives any more. On PostgreSQL it needs REPLICATION;
        to make its publication, CREATE on the database and each table's ownership (`publication_mode: filtered`), or to
        be a superuser (`all_tables`). On MySQL and MariaDB it needs REPLICATION SLAVE and REPLICATION CLIENT.
        """,
    remedy="""
        Run the statement of the message; or let a DBA make the publication and write `publication_mode: disabled`.
        """,
)

K324 = Code(
    "K324",
    "the database is not set up for the connector",
    level="error",
    cause="""
        Its log cannot be read as things are: PostgreSQL's `wal_level` is not logical, no replication slot is free, the
        slot is in use or another database's, the publication is missing or for all tables; MySQL's or MariaDB's binary
        log is off or not ROW and FULL, or `server_id` is taken.
        """,
    remedy="""
        The message says what there is, and the help what there should be.
        """,
)

K325 = Code(
    "K325",
    "changes of a captured table are lost or refused",
    level="warning",
    cause="""
        The connector would work, and something would go wrong with one table: it is not in a publication that somebody
        else keeps, it is unlogged, or it has neither a primary key nor a replica identity. The last is worse than it
        sounds: PostgreSQL refuses every UPDATE and DELETE of such a table once it is in a publication, those of your
        application too.
        """,
    remedy="""
        Run the statement of the message before you apply. This is a warning and blocks nothing.
        """,
)

K326 = Code(
    "K326",
    "what is to be dropped cannot be dropped",
    level="error",
    cause="""
        A connector is to be deleted, and its replication slot or publication with it (`drop`). kplan does that as the
        connector's own user, after the connector is gone, so it looks beforehand whether it could: the database does
        not answer from here, the driver or the password is not at hand, the user has no REPLICATION, or somebody else
        owns the publication.
        """,
    remedy="""
        Grant what is missing, or leave `drop` out and run the SQL of the message once the connector is gone.
        """,
)

K516 = Code(
    "K516",
    "rows that a table already had were not read",
    level="error",
    cause="""
        A table was added to a connector with `new_tables: {snapshot: incremental}`. The connector runs with it. A
        signal asked it to read the existing rows, and it reported that this was stopped, or did not succeed for every
        table: Debezium reads a table in chunks by its primary key, so one without a key is not read
        (https://debezium.io/documentation/reference/stable/configuration/signalling.html).
        """,
    remedy="""
        The step has failed, and the apply is rolled back: see the worker's log. Give the table a primary key, or leave
        `new_tables` out; then only later changes are captured.
        """,
)

K517 = Code(
    "K517",
    "what outlives a connector could not be dropped",
    level="error",
    cause="""
        The connector is deleted, and its slot or publication is still there: the slot is in use by somebody else, a
        right is missing, or the database does not answer. Nothing of it was dropped, so the apply is rolled back and
        the connector made again with its offsets; where that cannot be known, it is left, by name, with exit code 8.
        """,
    remedy="""
        Remove the cause and apply again, or leave `drop` out and run the SQL of the message.
        """,
)
