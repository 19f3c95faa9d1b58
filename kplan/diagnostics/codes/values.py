"""Variables, templates, names and guards: from the text of a stack to its resources."""

from kplan.diagnostics.codes.code import Code

K201 = Code(
    "K201",
    "a template cannot be rendered",
    level="error",
    cause="""
        The text between `{{` and `}}` names something that does not exist, or does what a template may not do.
        """,
    example="""
        retention.ms: "{{ var.retension }}"      # the variable is called retention
        bootstrap.servers: "{{ env.KAFKA }}"     # the process's environment has no KAFKA
        """,
    remedy="""
        In a stack there are `var`, `each` (with `for_each`), `kplan.env` and `kplan.stack`; `env` is in `kplan.yaml`
        only. A sensitive variable may be used plainly, not cut or changed: kplan must be able to trace it.
        """,
)

K202 = Code(
    "K202",
    "a variable has no value",
    level="error",
    cause="""
        The stack declares a variable that has neither a value nor a `default:`.
        """,
    example="""
        variables:
          client_id: {type: integer}
        """,
    remedy="""
        Give it one: `--var client_id=2`, a file with `--var-file`, KPLAN_VAR_client_id, the variable under its `env:`,
        a provider under its `from:`, `variables:` of the environment, or a `default:`. The first of these that is
        there wins.
        """,
)

K203 = Code(
    "K203",
    "a value that a variable or setting may not have",
    level="error",
    cause="""
        A variable's value has the wrong type, or is outside of its `minimum`, `maximum`, `enum` or `pattern`; or a
        time in `kplan.yaml` is not a duration; or a KAFKA_* variable of the process has a value that it may not have
        (booleans are 1/true/yes/on and 0/false/no/off); or librdkafka refuses a setting under `kafka:`, or several
        of them together. The message says where the value comes from. An entry of
        `tables:` or `columns:` that is a pattern has to be a regular expression.
        """,
    example="""
        partitions: {type: integer, minimum: 1, env: KAFKA_TOPIC_PARTITIONS}      # KAFKA_TOPIC_PARTITIONS=0
        """,
    remedy="""
        Give another value. Lists and maps from outside are written as JSON: --var 'tables=["a", "b"]'.
        """,
)

K204 = Code(
    "K204",
    "no stack declares this variable",
    cause="""
        `--var NAME=VALUE` names a variable that none of the stacks declares, so it would have no effect. A name in a
        `--var-file` that no stack declares is a warning, because several stacks may share the file.
        """,
    remedy="""
        Check the spelling; the message names the nearest one. Or declare it under `variables:`.
        """,
)

K209 = Code(
    "K209",
    "a sensitive value would be shown",
    level="error",
    cause="""
        A sensitive variable is used where its value would be printed in every plan: in a name, in a topic's config, or
        in something else than a connector's settings.
        """,
    example="""
        topics:
          "orders.{{ var.db_password }}": {}
        """,
    remedy="""
        Use another variable there, or remove `sensitive: true` from this one if it is not a secret.
        """,
)

K210 = Code(
    "K210",
    "a secret is written in the stack",
    level="error",
    cause="""
        A setting whose name says that it is a secret (password, token, credentials) has a plain value, which anyone who
        reads the repository can read.
        """,
    example="""
        password: hunter2                              # wrong
        password: "{{ var.db_password }}"              # a variable with `sensitive: true`
        password: "${file:/run/db.properties:pw}"      # the Connect worker looks it up
        """,
    remedy="""
        If that value was ever pushed, change it in the database as well.
        """,
)

K211 = Code(
    "K211",
    "declared twice",
    level="error",
    cause="""
        One topic, connector, table or stack name is declared in two places: twice in a stack, by two stacks, or by a
        table and a topic block. kplan cannot know which one is meant.
        """,
    remedy="""
        Keep one. A table whose topic is declared elsewhere takes `ignore_topic: true`. A stack's name is its identity
        in the ledger, so each file needs its own.
        """,
)

K212 = Code(
    "K212",
    "bad stack name",
    level="error",
    cause="""
        `stack:` has 1 to 63 characters of a-z, 0-9 and `-`, after its templates are rendered. The ledger and the lock
        are kept under this name.
        """,
    example="""
        stack: "Client {{ var.client_id }}"      # client-{{ var.client_id }}
        """,
)

K213 = Code(
    "K213",
    "a guard is not met",
    level="error",
    cause="""
        `guards:` of the stack or of the environment demand something that a resource does not have: a name that
        matches `naming`, limits on partitions or replicas, settings that must be there. With `create: false`, or with
        KAFKA_TOPIC_AUTO_CREATE=false in the process's environment, every missing topic is reported.
        """,
    example="""
        guards: {naming: '^cdc\\.', topic: {partitions: {maximum: 200}}}
        """,
    remedy="""
        Change the resource, or the guard where it is wrong. Topics that a template makes for itself need not match
        `naming`: their names are the connector's. A guard that is not a regular expression or a JSON Schema is
        reported too.
        """,
)

K219 = Code(
    "K219",
    "a sensitive variable has no value",
    cause="""
        A variable with `sensitive: true` is unset. `validate` takes it as unknown, so that a pull request can be
        checked without secrets; `plan` and `apply` ask the servers and need it.
        """,
    remedy="""
        Set KPLAN_VAR_NAME, or the variable under its `env:`. Both stay out of the shell's history, unlike `--var`.
        """,
)

K220 = Code(
    "K220",
    "a wrong for_each",
    level="error",
    cause="""
        `for_each` takes a list or a map, and each entry makes one resource, so no key may come twice.
        """,
    example="""
        "app.{{ each.key }}.events":
          for_each: [orders, billing, orders]
        """,
    remedy="""
        Correct the list. `each.key` and `each.value` are the same for a list, and key and value for a map.
        """,
)

K222 = Code(
    "K222",
    "declared and removed at once",
    level="error",
    cause="""
        A resource has a block in the stack and an entry under `removed:`. One says that it should exist, the other one
        that it should not.
        """,
    remedy="""
        Keep one of the two. A table counts as a declaration of its topic.
        """,
)

K238 = Code(
    "K238",
    "the stack asks for too much",
    level="error",
    cause="""
        A stack may have 100,000 topics and connectors, and its values and templates may handle 10 million characters
        and elements. More is taken for a mistake, or for an attempt to keep kplan busy.
        """,
    remedy="""
        Look for what multiplies: `for_each` with many tables, a long list in a template that is used for every topic.
        What is meant can be split into several stacks.
        """,
)

K248 = Code(
    "K248",
    "a key without a value",
    level="error",
    cause="""
        YAML read a key where you wrote a key and a value, or an item of a list. A colon needs a blank after it, and in
        `{…}` a comma ends the value.
        """,
    example="""
        config: {tasks.max:1}          # {tasks.max: 1}
        config: {topics: a.b,c.d}      # {topics: "a.b,c.d"} or {topics: [a.b, c.d]}
        """,
    remedy="""
        Write it as the message says. Without this error the setting would be lost.
        """,
)
