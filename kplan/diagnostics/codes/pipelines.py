"""What connectors have in common with topics and with each other."""

from kplan.diagnostics.codes.code import Code

K215 = Code(
    "K215",
    "a sink reads a topic that nothing in this stack feeds",
    level="warning",
    cause="""
        A sink connector names a topic that this stack neither declares nor feeds by a connector. This is a warning:
        another stack or an application may do both.
        """,
    remedy="""
        Look for a typing error in the name. With `topics.regex` nothing is checked.
        """,
)

K223 = Code(
    "K223",
    "two connectors share what only one may have",
    cause="""
        Two connectors have the same topic prefix or schema history topic, or on one server the same slot or server id:
        they would disconnect each other, or write over each other's offsets and history. Or one of them sets a shared
        publication to its own tables (`publication_mode: filtered`), and the other has others.
        """,
    example="""
        a: {template: debezium-postgres, slot: cdc}
        b: {template: debezium-postgres, slot: cdc}
        """,
    remedy="""
        Give each its own; left out, templates make slots, publications and server ids from the connector's name. What
        runs without being in the stack counts, too. Two without a template that run so already are a warning.
        """,
)

K226 = Code(
    "K226",
    "a connector writes to topics that nothing here declares",
    level="warning",
    cause="""
        Debezium would write to topics that are not in the stack: those of tables that only `table.include.list` under
        `config:` names, of every table where there is no list, of a table that has the same name in another captured
        database, or a topic of its own such as the heartbeats'. This is a warning, for another stack may declare them.
        """,
    example="""
        tables: [public.orders]                       # the table and its topic
        topics: {client_2.public.orders: {}}          # or the topic alone
        """,
    remedy="""
        Where brokers make topics by themselves, they get the brokers' settings. Where they do not, the connector stays
        RUNNING and writes nothing any more, not even for its other tables.
        """,
)

K227 = Code(
    "K227",
    "a transform decides the topic",
    cause="""
        A transform of the connector sends records to a topic that kplan cannot work out: by a field of the record, by
        the time, by a script, or by a regular expression that only Java reads. So the stack has to name the topics.
        """,
    example="""
        topics: {outbox.event.order: {partitions: 6}, outbox.event.customer: {}}
        tables: {orders: {topic: shop.orders}}        # or that of one table
        """,
    remedy="""
        RegexRouter, ByLogicalTableRouter, ToLogicalTopicRouter, predicates of TopicNameMatches, and an outbox router
        with a fixed topic are followed. As a warning it is about a transform that kplan does not know, or about one
        that sends heartbeats or transactions to a table's topic as well.
        """,
)

K229 = Code(
    "K229",
    "a connector's own topic would lose what the connector needs",
    level="error",
    cause="""
        The stack itself gives a topic that a connector keeps for itself settings that break it. Debezium reads a schema
        history from its beginning at each start, so it has one partition, `cleanup.policy: delete`, and `retention.ms`
        and `retention.bytes` -1; of a topic of signals only the first partition is read.
        """,
    remedy="""
        Take these settings away; the template sets them. Defaults do not reach such topics.
        """,
)

K252 = Code(
    "K252",
    "two sinks share a consumer group",
    level="warning",
    cause="""
        Two sink connectors have the same `consumer.override.group.id` and read the same topic. Brokers give each
        partition to one member of a group, so each of the two connectors gets a part of the records.
        """,
    remedy="""
        Leave the setting out: Connect gives each sink the group `connect-NAME`. Connectors that are to share the work
        are better one connector with more tasks (`tasks.max`).
        """,
)

K255 = Code(
    "K255",
    "a dead letter topic that nothing here declares",
    level="warning",
    cause="""
        A sink names a dead letter topic that no stack declares. Connect creates it when the sink starts, with one
        partition and, unless the connector says otherwise, three copies; with fewer brokers the sink fails.
        """,
    example="""
        dead_letter: {topic: shop.dead}      # declares the topic and sets the connector's settings
        """,
    remedy="""
        Declare it like this or under `topics:`, or leave it where someone else creates it.
        """,
)

K256 = Code(
    "K256",
    "deleted keys stay in a compacted topic",
    level="warning",
    cause="""
        The topic of a table is compacted, and the connector writes no tombstone when a row is deleted, because
        `tombstones` is false or a transform drops them. Compaction removes a key only after a tombstone, so the last
        record of a deleted row stays for ever.
        """,
    remedy="""
        Let tombstones through, or set `cleanup.policy` to `delete` or `"compact,delete"`.
        """,
)
