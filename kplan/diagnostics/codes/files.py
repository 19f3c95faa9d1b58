"""The files that kplan reads and writes."""

from kplan.diagnostics.codes.code import Code

K100 = Code(
    "K100",
    "the files have errors",
    level="error",
    cause="""
        kplan read the files, found errors in them, and did nothing. Each error is printed with its own code and place.
        """,
    remedy="""
        All errors are reported at once, so one round of corrections is usually enough. `kplan validate STACK` checks
        again without contacting a server, and `kplan explain CODE` explains one of them.
        """,
)

K101 = Code(
    "K101",
    "bad YAML syntax",
    level="error",
    cause="""
        The file is not YAML, or YAML of a kind that kplan does not read: several documents in one file, a tag such as
        `!!python/object`, a map as a key, an alias without its anchor, or an empty file.
        """,
    example="""
        partitions: {{ var.n }}        # two maps to YAML
        partitions: "{{ var.n }}"      # a template
        """,
    remedy="""
        Look at the line above the place, too: a missing quote, bracket or space of indentation shows late.
        """,
)

K102 = Code(
    "K102",
    "duplicate key",
    level="error",
    cause="""
        One map has a key twice. Most YAML readers keep the last one silently, so half of what is written would be lost.
        """,
    example="""
        topics:
          orders: {partitions: 3}
          orders: {config: {retention.ms: 1d}}
        """,
    remedy="""
        Merge the two, or rename one. Keys that come from a merge (`<<: *base`) may be repeated: the map's own win.
        """,
)

K103 = Code(
    "K103",
    "ambiguous plain value",
    level="error",
    cause="""
        The value has no quotes and means different things to different YAML readers. Version 1.1 takes `no` for false,
        `0123` for 83, `12:30` for 750 and `2024-01-02` for a date; version 1.2 does not. kplan does not guess.
        """,
    example="""
        country: no          # write "no", or false
        partitions: 1_000    # write 1000
        """,
    remedy="""
        Put text in quotes, and write numbers and booleans plainly: 1000, 1.5, true, false. A key is always text.
        """,
)

K104 = Code(
    "K104",
    "unknown topic config",
    level="error",
    cause="""
        Kafka has no topic config of this name. A broker would refuse the topic; kplan says so before anything is done.

            config: {retenton.ms: 7d}      # retention.ms

        That holds for a key without a value, too: YAML reads `{retention.ms:7d}` as the key `retention.ms:7d`, since a
        blank is missing after the colon, and `{cleanup.policy: compact,delete}` as two keys.
        """,
    remedy="""
        Check the spelling: the message names the nearest one. Configs of brokers, such as `log.retention.ms`, have
        another name on topics. Some old ones, such as `message.format.version`, are gone since Kafka 4.
        """,
)

K105 = Code(
    "K105",
    "nested too deeply, or aliases grow too large",
    level="error",
    cause="""
        The file has more than 100 levels, an alias that contains itself, or aliases of aliases that multiply: ten
        lines can stand for billions of values ("billion laughs").
        """,
    example="""
        a: &a [x, x, x, x, x]
        b: &b [*a, *a, *a, *a, *a]     # and so on
        """,
    remedy="""
        Write the values out, use `defaults:`, or make topics with `for_each:`.
        """,
)

K106 = Code(
    "K106",
    "the file does not fit its schema",
    level="error",
    cause="""
        The YAML is fine, but a key is unknown or missing, or a value has the wrong type or form.

            topics:
              orders: {partition: "6"}     # partitions: 6

        The keys under `kafka:` of an environment are librdkafka's: one that the installed librdkafka does not have is
        unknown.
        """,
    remedy="""
        A number or a boolean may be text only where a template stands for it: `"{{ var.partitions }}"`. `kplan schema`
        prints the schema, and an editor completes and checks with this first line of a file:

            # yaml-language-server: $schema=…/stack.v1.json
        """,
)

K107 = Code(
    "K107",
    "a file or folder cannot be read",
    level="error",
    cause="""
        There is no such file, its permissions do not allow reading it, or it is a link out of its folder: check the
        path and its permissions. A folder without stacks has no .yaml, .yml or .json file itself; kplan does not read
        the folders below it, and the message names those with stacks.
        """,
    example="""
        $ kplan plan .          # kplan plan stacks
        """,
    remedy="""
        Or the file is not UTF-8 text, or it holds a character that YAML forbids: a control character, a line separator
        that editors do not count, or a byte order mark in the middle. Save it as UTF-8 (with or without a byte order
        mark at its beginning). Where such a character is really meant, write it as an escape in double quotes, such as
        "\\u2028" or "\\x07".
        """,
)

K108 = Code(
    "K108",
    "a value that Kafka or Connect refuses",
    level="error",
    cause="""
        A config exists, but its value has the wrong type, is out of range, or contradicts another one.
        """,
    example="""
        config: {cleanup.policy: compacted}              # compact
        config: {retention.ms: 7 days}                   # 7d
        config: {min.compaction.lag.ms: 2d, max.compaction.lag.ms: 1d}
        """,
    remedy="""
        The message says what is allowed. Durations take ms, s, m, h, d and w; sizes take KiB, MiB, GiB, KB, MB and GB.
        """,
)

K109 = Code(
    "K109",
    "illegal name of a topic or connector",
    level="error",
    cause="""
        A topic's name has 1 to 249 characters of a-z, A-Z, 0-9, `.`, `_` and `-`, and is not `.` or `..`. A
        connector's name has the same characters, for Connect's REST interface cannot reach other names.
        """,
    example="""
        "orders/{{ var.region }}": {}      # orders.eu
        """,
    remedy="""
        Look at what a template made of the name: `kplan show --stack STACK` prints the final ones.
        """,
)

K110 = Code(
    "K110",
    "names that differ only in `.` and `_`",
    level="error",
    cause="""
        Kafka makes `_` of `.` in the names of metrics, so `client.orders` and `client_orders` would share theirs, and
        the broker refuses the second topic.
        """,
    remedy="""
        Rename one of them, and use either `.` or `_` as the separator of all names. Prefixes count as well:
        `client_2.kbe.x` and `client.2_kbe.x` collide.
        """,
)

K111 = Code(
    "K111",
    "more in-sync replicas than replicas",
    level="error",
    cause="""
        `min.insync.replicas` is greater than the replication factor. Kafka accepts such a topic without a word, and
        then refuses every write with acks=all, Debezium's among them.
        """,
    example="""
        replication_factor: 1
        config: {min.insync.replicas: 2}
        """,
    remedy="""
        Usual pairs are 3 and 2 in production, and 1 and 1 on a single broker. Look at the defaults of the environment.
        """,
)

K113 = Code(
    "K113",
    "this file is not a stack",
    level="error",
    cause="""
        A stack file is expected, and the file is of another kind: a saved plan or a view of one, kplan.yaml, a Strimzi
        manifest, a connector's JSON, Terraform, a Helm template, a script, and so on.
        """,
    example="""
        kplan plan strimzi.yaml
        kplan import --file strimzi.yaml --out stack.yaml
        """,
    remedy="""
        The message says what the file is, and which command takes it. `kplan import` reads other tools' files;
        `kplan apply plan.json` applies a saved plan, which is the only file of that command then.
        """,
)

K114 = Code(
    "K114",
    "git cannot say what changed",
    level="error",
    cause="""
        `--changed-since` asks git which files differ from a revision. git is not installed, the stacks are in no
        repository, or the revision is not known there: in CI a shallow clone often lacks it.
        """,
    example="""
        kplan plan --changed-since origin/main
        """,
    remedy="""
        Name a branch, a tag or a commit that `git log` shows. In GitHub's checkout action, `fetch-depth: 0` fetches
        all of them.
        """,
)

K115 = Code(
    "K115",
    "the file of a stack was deleted",
    level="warning",
    cause="""
        `--changed-since` found that the file of a stack is gone since the revision. What the stack owns is neither
        deleted nor shown: no file says that this was meant.
        """,
    remedy="""
        To destroy it, check the file out again, and run `kplan destroy` on it.
        """,
)

K116 = Code(
    "K116",
    "an included file cannot be used",
    level="error",
    cause="""
        `include:` names a file that is not there, or that is outside of the project and its modules.
        """,
    example="""
        include: [common/defaults.yaml, "platform:cdc.yaml"]
        """,
    remedy="""
        Paths begin at the folder of kplan.yaml; those of a module begin with its name and a colon. Such a file has
        `version: 1` and what a stack has, without `stack:`, `include:`, `removed:` and `moved:`.
        """,
)

K117 = Code(
    "K117",
    "there is no such class",
    level="error",
    cause="""
        A topic or a table names a class that neither the stack nor a file that it includes has under `classes:`; or a
        connector one that is not under `connector_classes:`. The Java class of a connector has dots or begins with a
        capital letter.
        """,
    example="""
        classes:
          compacted: {config: {cleanup.policy: compact}}
        topics:
          shop.customers: {class: compacted}
        """,
    remedy="""
        Check the spelling, or include the file that has the class.
        """,
)

K118 = Code(
    "K118",
    "a module is not as it is locked",
    level="error",
    cause="""
        A path names a module that kplan.yaml does not pin, that was not fetched, or whose files are not those that
        kplan.lock knows by their SHA-256.
        """,
    example="""
        modules:
          platform:
            git: https://git.example.com/kafka/platform.git
            commit: 3f2c1e0b9a8d7c6f5e4d3c2b1a0f9e8d7c6b5a49
        """,
    remedy="""
        Run `kplan modules` and commit kplan.lock. If the files were changed in place, find out who did it, and remove
        the folder under .kplan/modules first.
        """,
)

K119 = Code(
    "K119",
    "a module cannot be fetched",
    level="error",
    cause="""
        git could not fetch the pinned commit: the address is wrong, the commit does not exist there, or you may not
        read it.
        """,
    remedy="""
        Try `git ls-remote ADDRESS`. kplan uses your own git with its logins, and never asks for a password.
        """,
)

K245 = Code(
    "K245",
    "a file is there already",
    level="error",
    cause="""
        `kplan init` would have to change a file that is there: the stack of that name, or a kplan.yaml that should get
        another environment. It has written nothing.
        """,
    remedy="""
        Give the stack another name with `--name`, or have its file replaced with `--force`. kplan.yaml is never
        replaced: write the environment into it, and leave `--bootstrap` out.
        """,
)

K611 = Code(
    "K611",
    "a file cannot be written",
    level="error",
    cause="""
        A report or a saved plan was to be written, and its place is full, read-only or gone. The plan itself was made,
        an apply has not begun, and nothing was changed. Other reports of the same run are written.
        """,
    remedy="""
        Make room there, or name another place with `--out FILE` or `--report KIND=FILE`.
        """,
)
