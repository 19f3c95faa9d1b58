"""What a stack says about schema subjects, and what their changes bring."""

from kplan.diagnostics.codes.code import Code

K275 = Code(
    "K275",
    "this environment has no schema registry",
    level="error",
    cause="The stack declares subjects, and the environment does not say where the registry is.",
    example="""
        environments:
          prod: {kafka: {bootstrap.servers: "k1:9092"}, schema_registry: {url: "https://registry:8081"}}
        """,
    remedy="Add `schema_registry: {url: …}` to the environment.",
)

K276 = Code(
    "K276",
    "converters that kplan cannot choose",
    level="error",
    cause="""
        `schemas:` of a connector sets the converters of its keys and values. Those of Confluent need the registry's
        address as the worker sees it, and protobuf has none for Apicurio.
        """,
    example="""
        connectors:
          shop: {template: debezium-postgres, schemas: {format: avro, converter: apicurio}}
        """,
    remedy="Name another converter, or set `key.converter` and `value.converter` under `config:`.",
)

K277 = Code(
    "K277",
    "this is not a schema",
    level="error",
    cause="The registry would refuse the file: it is not JSON, not an Avro schema, not a JSON Schema or not protobuf.",
    example="""
        {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "lnog"}]}
        """,
    remedy="Correct the file at the line and column that the error names.",
)

K278 = Code(
    "K278",
    "a schema file cannot be used",
    level="error",
    cause="""
        The file is missing, is not UTF-8, is larger than 1 MB, or lies outside of the project's folder. Its path begins
        at the stack file, and its type is that of its suffix (.avsc, .json, .proto) or of `type:`.
        """,
    example="""
        topics:
          shop.orders: {schema: {value: schemas/order.avsc}}
        """,
    remedy="Correct the path; it leads to a file in the folder of kplan.yaml, or below it.",
)

K460 = Code(
    "K460",
    "schemas are deleted for good",
    level="danger",
    cause="""
        A permanent deletion removes the schemas with their ids. Records that were written with them, in any topic and
        in any backup of one, cannot be read any more. Nothing brings the ids back.
        """,
    example="""
        removed: [{subject: shop.orders-value, hard: true, accept: [schema]}]
        """,
    remedy="Leave `hard: true` out: a soft deletion hides the subject, and its schemas can still be read by their ids.",
)

K461 = Code(
    "K461",
    "the compatibility is not verified",
    level="caution",
    cause="""
        The registry could not be asked whether the schema fits the earlier versions: the schema refers to one that the
        same plan registers, or the plan is made from a snapshot. This is a caution and blocks nothing.
        """,
    example="""
        schemas:
          common.money: {file: money.avsc}
          orders-value: {file: order.avsc, references: [{name: Money, subject: common.money}]}
        """,
    remedy="Apply the schema that it refers to first, with --target, and plan again; the registry judges it then.",
)

K462 = Code(
    "K462",
    "the declared schema is not the latest one",
    level="warning",
    cause="""
        The schema is registered as an older version of the subject. A registry does not make an old version the latest
        again while there are later ones.
        """,
    example="""
        orders-value: declared is version 1, the latest is 3
        """,
    remedy="Declare the latest schema; or delete the later versions: `removed: [{subject: …, versions: [2, 3]}]`.",
)

K463 = Code(
    "K463",
    "a looser level for a topic that is written",
    level="danger",
    cause="""
        A connector writes the topic of this subject, and from now on the registry accepts schemas of it that it refused
        until now. Readers may fail at the first record with such a schema.
        """,
    example="""
        schemas: {shop.orders-value: {file: order.avsc, compatibility: NONE, accept: [schema]}}
        """,
    remedy="Keep the level, or accept it with `accept: [schema]`.",
)

K464 = Code(
    "K464",
    "the schema of records is deleted",
    level="danger",
    cause="""
        The topic of the subject has records. Readers that know the id of their schema can still read them; those that
        look the subject up cannot.
        """,
    example="""
        removed: [{subject: shop.orders-value, accept: [schema]}]
        """,
    remedy="Delete the topic first, or accept it with `accept: [schema]`.",
)
