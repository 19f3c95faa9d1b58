"""What `kplan import` cannot take over."""

from kplan.diagnostics.codes.code import Code

K630 = Code(
    "K630",
    "a file of no known format",
    level="error",
    cause="""
        `kplan import --file` recognizes a file's format by its content. This file has none of the known formats.
        """,
    remedy="""
        It reads Connect JSON, Strimzi, Jikkou, kafka-gitops, JulieOps, topicctl, Terraform, lists of topics and the
        output of `kafka-topics.sh --describe`. `--file-format NAME` says what a file is.
        """,
)

K631 = Code(
    "K631",
    "a file cannot be imported",
    level="error",
    cause="""
        The file is damaged, or holds something that its format does not allow: a topic without a name, partitions that
        are not a number, half a line. kplan imports nothing from a file that it understands only in part.
        """,
    remedy="""
        The message has the place. Correct the file, or remove the part that you do not want to import.
        """,
)

K632 = Code(
    "K632",
    "nothing of that name to import",
    level="error",
    cause="""
        A GLOB of `kplan import` matches no topic and no connector, by name (`shop.*`) or address (`topic/shop.*`).
        """,
    example="""
        kplan list 'shop.*'      # what is there
        kplan import 'shop.*'    # quoted, or the shell looks for files
        """,
    remedy="""
        Internal topics, those of Connect and of registries among them, are taken only by their very name.
        """,
)

K633 = Code(
    "K633",
    "nothing to import",
    level="error",
    cause="""
        There is no topic and no connector that a stack could have: the cluster is empty but for internal topics, or all
        that the files hold is of other kinds, made by loops, or has names that a stack cannot say.
        """,
    remedy="""
        The lines under the message say what was there and why it was left out. Nothing is written.
        """,
)
