"""What a change loses, whom it cuts off, and what to know before it."""

from kplan.diagnostics.codes.code import Code

K401 = Code(
    "K401",
    "a topic with records would be deleted",
    level="danger",
    cause="""
        The records are lost; nothing can bring them back. The message says how many there may be, when the last one was
        written, and who reads them: consumer groups with their lag (`idle`: no member reads now) and sink connectors.
        What could not be read counts as dangerous, and the message says why it could not.
        """,
    example="""
        removed:
          - {topic: dc.old, accept: [data-loss]}
        """,
    remedy="""
        Accept it with `accept: [data-loss]`, or for one run with `--accept delete:topic/dc.old`. An empty topic without
        readers is deleted without a question, unless records arrive before the apply.
        """,
)

K402 = Code(
    "K402",
    "readers would be cut off",
    level="danger",
    cause="""
        The topic is empty, but someone reads it: consumer groups with members, or sink connectors that this plan leaves
        as they are. They would fail, or wait for a topic that does not come. It is the same where the groups could not
        be read; the message says why.
        """,
    remedy="""
        Stop the readers, or accept it with `accept: [readers]`, or for one run with `--accept delete:topic/NAME`.
        """,
)

K403 = Code(
    "K403",
    "a topic would be deleted and recreated",
    level="danger",
    cause="""
        `--replace` was asked for. All records and all positions of readers are lost, also where the new topic has the
        same settings.
        """,
    remedy="""
        Accept it with `accept: [replace]` on the topic, or for one run with `--accept replace:topic/NAME`.
        """,
)

K404 = Code(
    "K404",
    "something left the stack without being listed as removed",
    level="danger",
    cause="""
        kplan owns a topic or connector that the stack no longer declares, and no entry under `removed:` says that it
        should go. This is how a lost line, a wrong branch or a renamed variable looks.
        """,
    example="""
        removed:
          - {topic: dc.old}
        """,
    remedy="""
        Write that entry if it was meant, or `{topic: dc.old, keep: true}` to leave it there. For one run:
        `--accept delete:topic/dc.old`. The entry needs no `accept: [orphan]`: with it the topic is not an orphan.
        """,
)

K405 = Code(
    "K405",
    "older records would be deleted",
    level="danger",
    cause="""
        With a smaller `retention.ms` or `retention.bytes` brokers delete, within minutes and for good, what is older or
        more. Putting the old value back does not bring the records back.
        """,
    example="""
        retention.ms: 7d -> 1d       # a danger where the oldest record is older than a day
        """,
    remedy="""
        Accept it with `accept: [data-loss]` on the topic, or for one run with `--accept change:topic/NAME`. It is
        not a danger where everything stored is within the new limit. Brokers do not report to this client how many
        bytes they store, so a smaller `retention.bytes` is a danger unless the topic is empty.
        """,
)

K406 = Code(
    "K406",
    "another cleanup policy deletes records",
    level="danger",
    cause="""
        `compact`, where it was not on before, removes all but the last record of each key; `delete`, where it was not
        on before, removes what is older than `retention.ms` or more than `retention.bytes`. A compacted topic also
        refuses records without a key. `delete` on a compacted topic is a danger however young its records are: the
        topic holds the last value of each key for ever, and from then on values expire.
        """,
    remedy="""
        Accept it with `accept: [data-loss]` on the topic, or for one run with `--accept change:topic/NAME`. Removing
        one of two policies is not a danger, nor is any policy for an empty topic.
        """,
)

K407 = Code(
    "K407",
    "a connector would lose its offsets",
    level="danger",
    cause="""
        `--replace` deletes the connector with its offsets and recreates it, so it starts from the beginning: a source
        takes its snapshot again, and a sink writes everything again.
        """,
    remedy="""
        Accept it with `accept: [offsets]` on the connector, or for one run with `--accept replace:connector/NAME`.
        """,
)

K408 = Code(
    "K408",
    "a connector would miss changes, or read all again",
    level="danger",
    cause="""
        Another replication slot or another database: what changed between the old place and the new one is missed, or
        everything is read again. `snapshot.mode: always` reads everything again at each start; `initial_only` ends
        after the snapshot, so a running connector captures nothing more; of own modes kplan knows nothing.
        """,
    remedy="""
        Accept it with `accept: [snapshot]` on the connector, or for one run with `--accept change:connector/NAME`. Take
        a snapshot after a change of place.
        """,
)

K409 = Code(
    "K409",
    "records would be less safe",
    level="danger",
    cause="""
        Fewer replicas, a smaller `min.insync.replicas`, or `unclean.leader.election.enable: true`: a broker that is
        lost at the wrong moment takes confirmed records with it.
        """,
    remedy="""
        Accept it with `accept: [durability]` on the topic, or for one run with `--accept change:topic/NAME`.
        """,
)

K410 = Code(
    "K410",
    "it is protected",
    level="danger",
    cause="""
        The resource has `protect: true`, in the stack or in the ledger from an earlier apply. Taking the block away
        does not take the protection away, and no `accept:` or `--accept` overrides it.
        """,
    example="""
        sys.config: {protect: false}
        """,
    remedy="""
        Apply this first; afterwards it can be removed.
        """,
)

K411 = Code(
    "K411",
    "more partitions move keys",
    level="caution",
    cause="""
        Kafka chooses the partition by the hash of the key and the number of partitions. With more partitions a key goes
        to another one from now on, so the order of its old and new records is not kept, and a join of two topics by key
        may miss. In a compacted topic the old record stays for good. This is a caution: it is shown first and blocks
        nothing. An empty topic has none.
        """,
    remedy="""
        Partitions cannot be taken away again. Where the order matters, let readers catch up before, or make a new
        topic.
        """,
)

K412 = Code(
    "K412",
    "one broker away stops all writes",
    level="caution",
    cause="""
        `min.insync.replicas` is as large as the replication factor, so with one broker away no write with acks=all is
        accepted. This is a caution and blocks nothing.
        """,
    remedy="""
        The usual pair is replication factor 3 and min.insync.replicas 2.
        """,
)

K413 = Code(
    "K413",
    "what outlives a deleted connector",
    level="caution",
    cause="""
        A connector is deleted, and something of it stays: its offsets, with `keep_offsets: true`, and in the database
        what it or a DBA made for it, such as PostgreSQL's replication slot and publication, SQL Server's change tables
        and the table of signals. A slot without a reader keeps write-ahead log until the disk is full.
        """,
    remedy="""
        Run the statements of the message in the database, unless another connector goes on with these things. The
        connector's own topics, its schema history too, have steps of their own. This is a caution and blocks nothing.
        """,
)

K414 = Code(
    "K414",
    "records get another schema",
    level="caution",
    cause="""
        How numbers, binary values or times are written changes, so records from now on have another schema than those
        before. Readers, and a schema registry that checks compatibility, may refuse them.
        """,
    remedy="""
        Look at the readers first. This is a caution and blocks nothing.
        """,
)

K415 = Code(
    "K415",
    "the old publication stays",
    level="caution",
    cause="""
        The connector uses another publication of PostgreSQL; the slot goes on from where it is. The old publication
        stays in the database until you drop it.
        """,
    remedy="""
        This is a caution and blocks nothing. Changes of tables that the new publication does not hold are not captured.
        """,
)

K416 = Code(
    "K416",
    "the snapshot mode takes effect later",
    level="caution",
    cause="""
        With most modes `snapshot.mode` is looked at when a connector starts without offsets. This one has offsets, so
        nothing is read again because of this change. Modes for which that is not so are a danger (K408).
        """,
    remedy="""
        This is a caution and blocks nothing. To read tables again, send an execute-snapshot signal.
        """,
)

K418 = Code(
    "K418",
    "another server id",
    level="caution",
    cause="""
        MySQL and MariaDB allow each number (`database.server.id`) once among all replicas. If another one has the new
        number already, the server disconnects one of them again and again.
        """,
    remedy="""
        Take a free number, or leave it out: templates make one from the connector's name. This is a caution and blocks
        nothing.
        """,
)

K420 = Code(
    "K420",
    "a connector goes on from an earlier one's offsets",
    level="caution",
    cause="""
        Connect keeps offsets by the connector's name, also after it was deleted by hand or with `keep_offsets: true`.
        A new connector of that name goes on from there: it takes no snapshot, and what is gone meanwhile (a slot, old
        WAL or binlogs) makes it fail. This is a caution and blocks nothing; an undo leaves the offsets there.
        """,
    remedy="""
        To start from the beginning, give it another name, or stop it and send DELETE /connectors/NAME/offsets to
        Connect. kplan knows of it from the ledger, the journal, and for sinks from their consumer group; Connect itself
        does not report offsets whose connector is gone.
        """,
)

K421 = Code(
    "K421",
    "rows of a new table are not captured",
    level="note",
    cause="""
        A table was added to a connector that runs already. Debezium captures its changes from now on; the rows that are
        in it already come only with an incremental snapshot. This is a note.
        """,
    remedy="""
        Send an execute-snapshot signal for that table, through the connector's signal table or signal topic.
        """,
)

K422 = Code(
    "K422",
    "changes of a table are no longer captured",
    level="note",
    cause="""
        A table left the list of a connector that runs. What changes in it from now on is not written to its topic; if
        it comes back later, what happened in between is missing. This is a note.
        """,
    remedy="""
        Records that are in its topic already stay, unless the plan deletes the topic.
        """,
)

K423 = Code(
    "K423",
    "a slot or publication is dropped in the database",
    level="caution",
    cause="""
        `drop` asks for it: in the stack, under `removed`, or for this run. kplan drops it as the connector's own
        user once the connector is gone, all of it or nothing, and nothing brings it back: a later connector takes a
        new snapshot. The step is listed below the line. This is a caution and blocks nothing.
        """,
    remedy="""
        Remove `drop` if something else uses the slot or the publication.
        """,
)

K430 = Code(
    "K430",
    "replicas are copied between brokers",
    level="caution",
    cause="""
        A topic gets more replicas, and brokers copy all that it holds to where they are to be. That takes their network
        and disks from readers and writers. This is a caution and blocks nothing.
        """,
    example="""
        reassign: {throttle: 50MiB}        # in the environment: bytes a second, for each broker
        timeouts: {reassign: 4h}           # default: 1h
        """,
    remedy="""
        A throttle must be wider than what is written to the topic, or the copies never catch up.
        """,
)
