"""The ledger and the journal as records, and snapshots of the live state."""

from kplan.diagnostics.codes.code import Code

K607 = Code(
    "K607",
    "this is not a snapshot of a cluster",
    level="error",
    cause="""
        The file after `--live` is not what `kplan snapshot` writes: it is missing, cut off, changed by hand in a way
        that makes no sense, or something else, such as a saved plan. The message says what is wrong with it.
        """,
    example="""
        kplan snapshot --out live.json
        kplan plan --live live.json STACK
        """,
)

K608 = Code(
    "K608",
    "the snapshot is of a newer format",
    level="error",
    cause="""
        It was taken with a kplan whose format of snapshots has another major version.
        """,
    remedy="""
        Take it again with this kplan, or plan with the one that took it. In CI both should be the same version.
        """,
)

K609 = Code(
    "K609",
    "the snapshot is of another environment",
    level="error",
    cause="""
        A snapshot holds the live state of one environment, and the plan would be for another. What is missing there
        would be planned to be created here.
        """,
    remedy="""
        Name the snapshot's environment with `--env`, or take a snapshot of the one that is meant.
        """,
)

K610 = Code(
    "K610",
    "secrets are not compared with a snapshot",
    level="note",
    cause="""
        A snapshot holds no secret, so kplan cannot know whether a password that the stack sets is the live one. It
        counts as equal: the plan shows no change for it, and a new value alone makes no step.
        """,
    remedy="""
        Where a connector changes for another reason, `kplan apply` sets the value that the stack says. To have secrets
        compared, plan with the servers.
        """,
)

K617 = Code(
    "K617",
    "a write of the state has no end",
    level="error",
    cause="""
        Whoever reads the state waits for the end of each write that has begun, and one has none, although brokers end
        what is open for longer than 15 seconds. Kafka leaves it so where a cluster of one broker is killed while it
        ends a transaction: once it is back it counts the transaction as complete, and its records as open.
        """,
    example="""
        kplan recover
        """,
    remedy="""
        That takes the lock of the stack whose write it was, which ends it: what was written is kept, as Kafka had
        reported to kplan. `kafka-transactions.sh abort` would make readers go on as well, and would discard it.
        """,
)

K619 = Code(
    "K619",
    "a record of the state is damaged",
    level="warning",
    cause="""
        `kplan state clean` and `kplan state sign` read every record of the ledger and the journal, and cannot read this
        one: it was written by a newer kplan, cut off, or changed by something else. Whether it holds the value of a
        secret is not known, and it is left as it is.
        """,
    remedy="""
        With a newer kplan's record, use that kplan. Otherwise find out what the record was. In Kafka, produce an empty
        value for its key to remove it; in SQLite, delete its row.
        """,
)

K620 = Code(
    "K620",
    "an open run keeps its values",
    level="warning",
    cause="""
        An earlier kplan wrote the value of a sensitive setting into the journal of this run, and the run has no end.
        The record is the only place from which that value can be put back, so `kplan state clean` leaves it.
        """,
    example="""
        kplan recover RUN
        kplan state clean
        """,
)

K621 = Code(
    "K621",
    "a record of the state is not signed",
    level="error",
    cause="""
        KPLAN_KEY is set here, and a record of the ledger or a journal has no signature, or one of another key or of
        other content. The stack of that record stops, and so does a plan that is about its address. Others go on.
        """,
    remedy="""
        Sign a state that was written without the key. First look at what is listed: what is signed counts as true.
        After that `kplan recover`, also with `--forget`, works on a run whose records were not signed. To drop a record
        instead, produce an empty value for its key in Kafka, or delete its row in SQLite.

            kplan state sign --verbose
        """,
)

K622 = Code(
    "K622",
    "there is no key to sign with",
    level="error",
    cause="""
        `kplan state sign` signs the records of the ledger and the journal with KPLAN_KEY, and that variable is empty or
        not set. Set it to the same secret wherever kplan plans and applies.
        """,
    example="""
        KPLAN_KEY=… kplan state sign
        """,
)

K623 = Code(
    "K623",
    "a record of the state cannot be read",
    level="error",
    cause="""
        A record of the ledger or of a journal is damaged, or a newer kplan wrote it. The message names the record and
        its stack. That stack stops, because what it owns or what its last run left is not known. Every other stack
        goes on, unless it is about the very address of that record: who owns it is not known.
        """,
    remedy="""
        Use the newer kplan for that stack. A damaged record of `__kplan` is corrected by a record with the same key,
        or removed by one with an empty value. `kplan recover --list` shows all records that cannot be read.
        """,
)

K625 = Code(
    "K625",
    "the state was lost",
    level="error",
    cause="""
        The stack owned resources when the plan was made, and the state has no record of them any more: somebody has
        deleted or emptied the state's topic or file. Protection and ownership that only the state knew are gone.
        """,
    remedy="""
        Restore the state if you can. Otherwise plan again: the new plan adopts what is there (`=`), and what was in the
        stack once and is no longer declared is not known to kplan any more.
        """,
)

K626 = Code(
    "K626",
    "a record of the state is of an unknown kind",
    level="error",
    cause="""
        A later version of kplan manages a kind of resource that this version does not know, and the ledger has a record
        of one. The stack that owns it stops: this version can neither compare nor change all that the stack owns. Every
        other stack goes on.
        """,
    remedy="""
        Use the version of kplan that applied this stack last. `kplan version` prints the version in use.
        """,
)
