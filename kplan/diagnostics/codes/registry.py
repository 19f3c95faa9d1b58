"""What a schema registry answers."""

from kplan.diagnostics.codes.code import Code

K341 = Code(
    "K341",
    "the schema is not compatible",
    level="error",
    cause="""
        The subject's level promises that consumers, or producers, with the schemas of other versions go on working, and
        this schema breaks it. The registry would refuse it (409).
        """,
    example="""
        BACKWARD refuses a new field without a default: readers with the new schema cannot read old records
        """,
    remedy="Change the schema as the message says, usually by a default; or another level, once all clients are ready.",
)

K345 = Code(
    "K345",
    "the registry refuses the schema",
    level="error",
    cause="The registry cannot parse the schema, or does not find what it refers to (422, error code 42201).",
    example="""
        Invalid schema: undefined name "common.Money"
        """,
    remedy="Correct the schema, and declare what it refers to under `references:`.",
)

K346 = Code(
    "K346",
    "the subject cannot be changed",
    level="error",
    cause="The subject, or the whole registry, is in mode READONLY or IMPORT: no schema is registered normally.",
    example="""
        curl -X PUT -d '{"mode": "READWRITE"}' REGISTRY/mode/SUBJECT
        """,
    remedy="Ask who set the mode, and set it to READWRITE.",
)

K347 = Code(
    "K347",
    "a schema is used by others",
    level="error",
    cause="""
        A subject cannot be deleted while the schema of another subject refers to it (422, error code 42206). Apicurio
        counts schemas that were deleted softly, too: a subject that only these use stays, and the run goes on.
        """,
    example="""
        One or more references exist to the schema {magic=1, keytype=SCHEMA, subject=common.money, version=1}
        """,
    remedy="Delete, or change, the subjects that refer to it first; for Apicurio with `hard: true` under `removed:`.",
)

K348 = Code(
    "K348",
    "a level waits for its subject",
    level="warning",
    cause="""
        This registry sets no level of a subject that does not exist, and no record has been written yet. Until then the
        subject has the registry's own level.
        """,
    example="""
        shop.public.orders-value: no record came within `timeouts: settle`
        """,
    remedy="Apply again once the first record is written; the next plan shows the level again.",
)

K353 = Code(
    "K353",
    "a change of a table breaks its schema",
    level="error",
    cause="""
        The table has changed since its schema was registered. The connector will register the schema of the table as it
        is now with the next row, and the registry will refuse it: the connector fails, and no change of the table
        arrives until its schema fits.
        """,
    example="""
        ALTER TABLE orders ADD COLUMN channel text NOT NULL: BACKWARD refuses a new field without a default
        """,
    remedy="Change the column as the message says, or set a level that allows it once all consumers are ready.",
)

K354 = Code(
    "K354",
    "schemas that were not predicted",
    level="note",
    cause="""
        kplan predicts what a Debezium connector will register for its tables, and asks the registry whether that is
        compatible. It says what it could not predict, and why: the registry alone checks these schemas, when the
        connector registers them.
        """,
    example="""
        public.places: column area is of type geography
        """,
    remedy="Nothing, if you know these columns. Where no database can be reached: `schemas: {ddl: FILE}`.",
)

K355 = Code(
    "K355",
    "a file of DDL cannot be read",
    level="error",
    cause="The file that `ddl:` names is not SQL of the connector's database, as far as kplan can read it.",
    example="""
        schemas: {format: avro, ddl: shop.sql}
        """,
    remedy="Write the file with `pg_dump --schema-only` or `mysqldump --no-data`.",
)
