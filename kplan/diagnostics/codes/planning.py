"""What a plan cannot do, what blocks it, and the choice and order of its steps."""

from kplan.diagnostics.codes.code import Code

K225 = Code(
    "K225",
    "one replica on a cluster of several brokers",
    level="warning",
    cause="""
        A topic has `replication_factor: 1` although the cluster has three brokers or more. This is a warning: the disk
        of one broker is the only copy, and the topic cannot be used while that broker is away.
        """,
    example="""
        defaults: {topic: {replication_factor: 3, config: {min.insync.replicas: 2}}}
        """,
    remedy="""
        For production set it in the environment's `defaults:`, so that one stack fits every environment.
        """,
)

K230 = Code(
    "K230",
    "another stack owns this",
    level="error",
    cause="""
        The ledger says that another stack owns the resource. If both wrote it, each would undo what the other one did.
        """,
    remedy="""
        Remove it here. Or give it over: list it in the other stack under `removed:` with `keep: true`, apply that, then
        apply this stack, which adopts it.
        """,
)

K232 = Code(
    "K232",
    "partitions cannot be taken away",
    level="error",
    cause="""
        Kafka can add partitions to a topic and never remove any: the records in them would have nowhere to go.
        """,
    remedy="""
        Declare the number that the topic has. If it must be smaller, make a new topic and let readers and writers
        change over, or delete it with all its records: `--replace topic/NAME`, which is a danger (K403).
        """,
)

K233 = Code(
    "K233",
    "this would be another connector",
    level="error",
    cause="""
        `connector.class` or `topic.prefix` differs from the connector that runs. Debezium keeps its offsets under the
        prefix, so this connector would not find them and would start from the beginning, into other topics.
        """,
    remedy="""
        Declare it under a new name beside the old one, and list the old one under `removed:`. Or recreate it without
        its offsets: `--replace connector/NAME`, which is a danger (K407).
        """,
)

K234 = Code(
    "K234",
    "an internal topic is never deleted or emptied",
    level="error",
    cause="""
        Names that begin with `__` or `_confluent`, `_schemas`, names that end like those of Connect's own topics
        (`connect-configs`, `connect-offsets`, `connect-status`), and those under `internal_topics` of a Connect in
        kplan.yaml hold the state of Kafka, Connect, a schema registry or kplan. kplan neither deletes nor replaces
        them, and sets no policy that deletes their records. The only ones it deletes are those that begin with `__` and
        that a connector template created, such as a heartbeat topic.
        """,
    remedy="""
        Take the entry out of `removed:`, or the setting out of the topic. With `keep: true` an entry gives up ownership
        and deletes nothing. Connect does not report the names of its own topics: list names unlike these in kplan.yaml
        (`connect: {url: …, internal_topics: [sinks-configs, sinks-offsets, sinks-status]}`).
        """,
)

K235 = Code(
    "K235",
    "changes wait for each other",
    level="error",
    cause="""
        Each of these changes needs another one of them to be done first, so there is no order in which they could be.
        """,
    remedy="""
        Apply one of them first with `--target ADDRESS`, then the rest. The message names them.
        """,
)

K236 = Code(
    "K236",
    "a step needs what was excluded",
    level="error",
    cause="""
        `--exclude` leaves out something that a remaining step cannot do without, such as the topic that a new connector
        writes to.
        """,
    example="""
        kplan plan STACK --exclude topic/shop.public.orders
        """,
    remedy="""
        Exclude both, or neither. `--target` has no such problem: it brings along what the target needs.
        """,
)

K237 = Code(
    "K237",
    "a pattern matches nothing",
    cause="""
        A pattern of `--target`, `--exclude` or `--replace` fits no resource of the stacks and no change, so the run
        would not do what was asked. Of a list (`@FILE`), which may be meant for several stacks, a pattern that matches
        nothing is a warning where another one matches. `--accept` with a step that cannot be is a warning as well.
        """,
    example="""
        $ kplan apply shop.yaml --target topic/shop.ordres      # topic/shop.orders
        """,
    remedy="""
        An address is topic/NAME or connector/NAME with the final name, as `kplan show --stack STACK` prints it. `*`,
        `?` and `[…]` are wildcards; put them in quotes, or the shell takes them for names of files.
        """,
)

K243 = Code(
    "K243",
    "a stack cannot declare kplan's own state",
    level="error",
    cause="""
        `__kplan`, or the topic that `state: {kafka_topic: …}` names, holds who owns what. kplan creates it and keeps
        its settings; a stack that set other ones could lose all of it.
        """,
    remedy="""
        Remove the topic from the stack. A stack that an earlier kplan let own it gives it up with its next apply, and
        the topic stays.
        """,
)

K250 = Code(
    "K250",
    "stacks wait for each other",
    level="error",
    cause="""
        Several stacks are planned together, and each is applied as a whole, in the order of what needs what: a topic is
        made before a connector of another stack that uses it, and deleted after that. Here a stack needs something of
        another one that in turn needs something of the first.
        """,
    example="""
        a -> b -> a: connector/x of a after topic/t of b; connector/y of b after topic/u of a
        """,
    remedy="""
        Make them one stack: inside one, each step has its own place. Or apply what waits for nothing by itself first,
        as the message says, and then all of them:

            kplan apply stacks/ --target topic/t
        """,
)

K251 = Code(
    "K251",
    "one stack removes what another one declares",
    level="error",
    cause="""
        An address is listed under `removed` in one stack and declared in another one, so the one would delete what the
        other one wants to be there.
        """,
    remedy="""
        To move it to the other stack, with all that is in it, let the first one give it up:

            removed: [{topic: shop.orders, keep: true}]

        Applied together, the first stack gives it up before the other one takes it over. Otherwise take it out of one
        of the two.
        """,
)

K400 = Code(
    "K400",
    "the plan is blocked",
    level="error",
    cause="""
        The plan has a danger that is not accepted, would delete something under `protect`, or changes more than
        `guards: {max_changes: …}` allows, or a policy denies a change. The whole plan is printed, and then the words
        that would allow each step.
        """,
    example="""
        accept: [data-loss]                              # in the stack, reviewed with it
        kplan plan STACK --accept delete:topic/dc.old    # for one run
        """,
    remedy="""
        Leave the step out with `--exclude ADDRESS`. `protect` ends only by an applied `protect: false`.
        """,
)

K419 = Code(
    "K419",
    "more changes than the guard allows in one run",
    level="error",
    cause="""
        `guards: {max_changes: 30%}` limits how many of the managed resources one run may update or delete. It is looked
        at from ten managed resources on; what is created does not count, and `destroy` is not limited.
        """,
    remedy="""
        Look for the reason: a changed default touches every topic. If all of it is meant, allow it for one run with
        `--accept max_changes`, or apply parts of it with `--target`.
        """,
)
