"""A run: its lock, its journal, a saved plan, its end."""

from kplan.diagnostics.codes.code import Code

K513 = Code(
    "K513",
    "the end is not as planned",
    level="error",
    cause="""
        The servers accepted all steps, but reading again after the last one found another value than the plan's, or
        found a resource missing that should be there or the other way round. The run is rolled back, unless it was
        started with `--on-failure stop`.
        """,
    remedy="""
        The message names what differs. Look for another tool or person that manages the same things, then plan again.
        """,
)

K515 = Code(
    "K515",
    "the apply was interrupted",
    level="error",
    cause="""
        Ctrl-C, or a signal to end, came while steps were being done. The running wave was finished, and everything was
        put back; what could not be is named. Interrupted a second time, kplan stops where it is, and `kplan recover`
        puts the rest back.
        """,
)

K520 = Code(
    "K520",
    "the saved plan no longer fits",
    level="error",
    cause="""
        Between plan and apply something has changed: live state, a file, a variable's value, the cluster, or the plan
        was applied before. Nothing was done, not even the steps that still fit.
        """,
    remedy="""
        The message names what has changed, from what to what. Make a new plan and have it reviewed: what was approved
        is no longer what would happen.
        """,
)

K521 = Code(
    "K521",
    "this is not a plan that can be applied",
    level="error",
    cause="""
        The file is not a saved plan, it was saved by a kplan with another major version of the format, or it holds
        plans for several environments.
        """,
    remedy="""
        A plan is saved with `kplan plan STACK --out plan.json`. Make it again with this version.
        """,
)

K522 = Code(
    "K522",
    "the saved plan was changed by hand",
    level="error",
    cause="""
        The plan's digest does not match what is in the file, so it is not what was planned and reviewed. Nothing was
        done.
        """,
    remedy="""
        Make the plan again and apply the file as it was written. To change what happens, change the stack.
        """,
)

K523 = Code(
    "K523",
    "the saved plan is not signed with this key",
    level="error",
    cause="""
        KPLAN_KEY is set here, so only plans that were signed with it are applied. This one has no signature, or one
        that does not fit: it was made without the key, with another one, or changed since. Whoever changes
        the file can compute its digest again.
        """,
    remedy="""
        Set KPLAN_KEY to the same value where plans are made and where they are applied, and make the plan again.
        """,
)

K524 = Code(
    "K524",
    "the plan asks for what is never done",
    level="error",
    cause="""
        The file of a saved plan may have been changed by somebody, so what it says is judged when it is applied. It
        deletes, replaces or empties an internal topic or a protected one; or it deletes what no stack owns, or records
        of it, and the stack's own file, as it is here, does not list that under `removed` or declare it. Nothing was
        done.
        """,
    remedy="""
        Make the plan again from the stack. Where plans are applied on another machine, have the stack's files there, or
        set KPLAN_KEY where plans are made and where they are applied: a signed plan is what kplan wrote.
        """,
)

K526 = Code(
    "K526",
    "a failure would not be put back",
    level="warning",
    cause="""
        The plan was rehearsed on a simulated cluster, once with a failure at each step. After the failure that the
        message names, kplan did not leave what it names as it was, although the plan promises an undo. The command
        ends with exit code 4.
        """,
    remedy="""
        This is a fault of kplan, or of its simulation: report it with the plan. Until then, apply the step on its own
        (`--target`), so that no other step has to be put back with it.
        """,
)

K530 = Code(
    "K530",
    "the servers were not ready in time",
    level="error",
    cause="""
        `--wait` waits for Kafka, and for Connect where a stack has connectors, before the plan is made. They did not
        answer in that time. Nothing was planned or changed. The message has the last cause.
        """,
    remedy="""
        Look at the server's log, or wait longer: `kplan apply STACK --yes --wait 5m`.
        """,
)

K601 = Code(
    "K601",
    "someone else holds this stack",
    level="error",
    cause="""
        Another run is working on the stack. The message says who, on which machine and since when.
        """,
    remedy="""
        Wait for it, or let kplan wait: `--lock-timeout 10m`. There is no command to unlock: the lock ends with the
        process that holds it, also when that is killed. If it was, `kplan recover` finishes its run.
        """,
)

K602 = Code(
    "K602",
    "the journal cannot be written or read",
    level="error",
    cause="""
        kplan writes down what it is about to do before it does it, in the store that holds the ledger as well. Without
        that there would be no rollback, so it stops.
        """,
    remedy="""
        The store is `.kplan/ENV.db` beside `kplan.yaml`, unless the environment's `state:` says otherwise: check its
        rights and the space there. A run that was under way is finished by `kplan recover` once the store works again.
        """,
)

K603 = Code(
    "K603",
    "declined",
    level="error",
    cause="""
        The question was answered with no, or there was no terminal to ask on. Nothing was changed.
        """,
    remedy="""
        In a pipeline, save the plan, review it and apply exactly that: `kplan plan --out plan.json`, then
        `kplan apply plan.json`. Or pass `--yes`, which accepts no danger.
        """,
)

K604 = Code(
    "K604",
    "interrupted before any change",
    level="error",
    cause="""
        The run was stopped (Ctrl-C or SIGTERM) before its first step. There is nothing to undo; run it again when you
        like. After the first step an interruption rolls back instead.
        """,
)

K605 = Code(
    "K605",
    "an earlier run was interrupted",
    level="error",
    cause="""
        A run of this stack began and has no end: its process was killed, or a rollback could not be completed. The
        cluster may be between the old state and the new one, so nothing else is done with this stack before that is
        settled.
        """,
    example="""
        kplan recover --list
        kplan recover RUN
        """,
    remedy="""
        It puts back what the run did, from any machine that reaches the same servers and the same store.
        """,
)

K606 = Code(
    "K606",
    "there is no such run",
    level="error",
    cause="""
        `kplan recover RUN` or `kplan show RUN` names no run that the store knows, or one that is not open any more; or
        `kplan show` names a file that is not there.
        """,
    remedy="""
        `kplan show` lists the runs of an environment, `kplan recover --list` those without an end. With `--env` another
        environment is asked.
        """,
)

K618 = Code(
    "K618",
    "the run was somewhere else",
    level="error",
    cause="""
        An interrupted run is ended where it was: on its cluster, with its Connect, by a login that sees all of it.
        The journal says where that is, and this is another place: another environment keeps its state in the same topic
        or file, or `--connect` is missing. To take what cannot be seen here for absent would lose the run.
        """,
    example="""
        kplan recover RUN --env NAME
        """,
)

K624 = Code(
    "K624",
    "the lock of the stack was lost",
    level="error",
    cause="""
        A run holds the lock of its stack in Kafka as long as the brokers hear from it within `timeouts: session`. A run
        that loses the lock because brokers were away takes it again, if no other run had it meanwhile. This run could
        not: another run has or had the lock, the brokers did not answer in time, or this process itself did not run.
        """,
    remedy="""
        It changes nothing more. `kplan recover --list` shows what it did, `kplan recover` puts that back.
        """,
)
