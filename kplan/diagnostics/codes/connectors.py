"""A connector's block, its template and its settings."""

from kplan.diagnostics.codes.code import Code

K206 = Code(
    "K206",
    "a connector has no such key",
    level="error",
    cause="""
        A connector block takes kplan's own keys (`state`, `tables`, `restart` and so on) and the parameters of its
        template. This key is neither, or the connector has no template and therefore no `tables:`.
        """,
    example="""
        connectors:
          kbe: {template: debezium-mysql, max.batch.size: 4096}
        """,
    remedy="""
        Write a property of Connect itself under `config:`. `kplan schema template` shows how templates are written.
        """,
)

K207 = Code(
    "K207",
    "there is no such template",
    level="error",
    cause="""
        `template:` names no built-in template, and there is no templates/NAME.yaml beside the stack.
        """,
    remedy="""
        The message lists the built-in ones. A connector without a template has a `class:` instead.
        """,
)

K208 = Code(
    "K208",
    "templates extend each other",
    level="error",
    cause="""
        A template's `extends:` leads back to itself, or over more than eight others.
        """,
    example="""
        templates/a.yaml    extends: b
        templates/b.yaml    extends: a
        """,
    remedy="""
        Take one `extends:` away. The message shows the way round.
        """,
)

K214 = Code(
    "K214",
    "this cannot be moved",
    level="error",
    cause="""
        `moved:` gives a connector a new name and keeps its offsets. It needs the new name declared, the old one not
        declared any more, and each name in one entry only.
        """,
    example="""
        moved: [{from: connector/kbe-old, to: connector/kbe}]
        """,
    remedy="""
        Kafka cannot rename a topic: declare the new one, copy the records, then list the old one under `removed:`.
        """,
)

K258 = Code(
    "K258",
    "defaults that no table takes",
    level="warning",
    cause="""
        A pattern under the `defaults.tables` of a connector matches none of its tables, so its settings have no effect.
        """,
    example="""
        tables: [orders, audit_log]
        defaults: {tables: {"audit": {config: {retention.ms: 90d}}}}
        """,
    remedy="""
        Write a regular expression that matches the whole name, such as `audit_.*`. The name is the table's as
        `tables:` has it, or with its database or schema.
        """,
)

K216 = Code(
    "K216",
    "a pattern of tables has no topics",
    level="error",
    cause="""
        An entry of `tables:` is a regular expression, so kplan does not know which tables, and therefore which topics,
        it stands for.
        """,
    example="""
        tables: ["public\\\\..*", "!public\\\\.audit_.*"]
        """,
    remedy="""
        List the tables one by one, or keep the pattern and name the topics, with their settings, under the connector's
        own `topics:`. With `!` before it, an entry says what the patterns leave out.
        """,
)

K217 = Code(
    "K217",
    "an old name",
    level="warning",
    cause="""
        A Debezium setting, or one of its values, has another name since Debezium 2. kplan sends the new one, and this
        warning goes away when the stack says it too. A connector without a template is sent as it is written.
        """,
    example="""
        table.whitelist: public.orders       # table.include.list
        snapshot: schema_only                # no_data
        """,
)

K221 = Code(
    "K221",
    "a template's parameter is missing or wrong",
    level="error",
    cause="""
        A connector template says what it needs, and this connector leaves something out or gives a value that the
        template does not take.
        """,
    example="""
        kbe: {template: debezium-mysql, topic_prefix: kbe}      # `database` is missing
        """,
    remedy="""
        The message names it with its meaning. Write settings that the template does not know under `config:`.
        """,
)

K224 = Code(
    "K224",
    "a connector has neither template nor class",
    level="error",
    cause="""
        kplan does not know which plugin this connector runs.
        """,
    example="""
        template: debezium-postgres
        class: org.apache.kafka.connect.file.FileStreamSinkConnector
        """,
    remedy="""
        Write one of the two. With `class:`, write all settings under `config:`.
        """,
)

K228 = Code(
    "K228",
    "a setting of columns that this connector does not have",
    level="error",
    cause="""
        A table has a setting of its columns that the connector does not support. MongoDB's can only exclude fields; a
        connector of your own template supports what the template lists under `columns:`. Or a name has a character at
        which Debezium cuts the list: a comma in a field of MongoDB, and a comma, semicolon, colon or blank at `key:`.
        """,
    remedy="""
        Remove it, or use a transform under `config:`.
        """,
)

K247 = Code(
    "K247",
    "a derived name loses letters",
    level="warning",
    cause="""
        With `client:` a connector's name is CLIENT_KEY_connector in lower case, and each run of other characters than
        a-z and 0-9 becomes one `_`. Letters such as `ü` are lost.
        """,
    example="""
        client: Müller      # m_ller_orders_connector
        """,
    remedy="""
        The name stays as it is, because another name would be another connector with other offsets. Write `name:` with
        the name that you want; for a connector that exists already, write the derived name, or use `moved:`.
        """,
)

K249 = Code(
    "K249",
    "a setting that has no effect",
    level="warning",
    cause="""
        Under a connector's `config:`, null leaves out a setting that the template would make. The template makes none
        of this name, so the line does nothing.

            config: {decimal.handling.mod: null}    # decimal.handling.mode

        It is the same for a setting that another one turns off: `heartbeat.action.query` without heartbeats, and
        `errors.deadletterqueue.*` at a source.
        """,
    remedy="""
        Check the spelling, give it a value, or remove the line.
        """,
)

K253 = Code(
    "K253",
    "settings and the list that they belong to differ",
    level="warning",
    cause="""
        Connect reads the settings of a transform, a predicate or a group of new topics only if its name is in the list,
        and a group in the list needs settings. Here one of the two is missing.
        """,
    example="""
        transforms: unwrap
        transforms.route.regex: (.*)     # never used: transforms: "unwrap,route"
        """,
    remedy="""
        Complete the list, or remove the settings.
        """,
)

K254 = Code(
    "K254",
    "a setting that its class does not list",
    level="warning",
    cause="""
        A transform, predicate or converter of Kafka 4.3 or Debezium 3 does not have this setting. Connect accepts it
        and ignores it, so records are other than you expect.
        """,
    example="""
        transforms.unwrap.drop.tombstones: "true"     # delete.tombstone.handling.mode: drop
        transforms.fields.blacklist: card             # exclude
        """,
    remedy="""
        Use the name in the message. For other classes Connect's own list decides when a plan is made (K304).
        """,
)
