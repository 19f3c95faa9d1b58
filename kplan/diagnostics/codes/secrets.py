"""Providers of secrets: commands and files that kplan.yaml names under `secrets:`."""

from kplan.diagnostics.codes.code import Code

K280 = Code(
    "K280",
    "there is no such provider of secrets",
    level="error",
    cause="""
        `{{ secret.NAME.PATH }}` or `from: secret.NAME.PATH` names a provider that `kplan.yaml` does not declare.
        """,
    example="""
        secrets:
          vault: {command: [vault, kv, get, -format=json, kv/kafka]}
        """,
    remedy="""
        Declare the provider under `secrets:` at the top of `kplan.yaml`; the message lists those that are declared.
        """,
)

K281 = Code(
    "K281",
    "the command of a provider cannot be started",
    level="error",
    cause="""
        The program of a provider of secrets, or `sops` for an encrypted `--var-file`, is not installed, is not in PATH,
        or may not be executed.
        """,
    remedy="""
        Install the program, or write its whole path in `command:`. A command is a list of words; there is no shell.
        """,
)

K282 = Code(
    "K282",
    "the command of a provider failed",
    level="error",
    cause="""
        The command ended with a status other than 0. kplan shows neither its output nor its errors, which may contain
        secrets.
        """,
    remedy="""
        Run the command yourself, in the folder of `kplan.yaml`. Often a login has expired or a variable of the process
        is missing.
        """,
)

K283 = Code(
    "K283",
    "the command of a provider took too long",
    level="error",
    cause="""
        The command did not end within 30 s. kplan ended it. It has no standard input, so it cannot ask for anything.
        """,
    remedy="""
        Run the command yourself: it may wait for a login, a prompt or a network.
        """,
)

K284 = Code(
    "K284",
    "the command of a provider printed too much",
    level="error",
    cause="""
        The output is larger than 1 MiB.
        """,
    remedy="""
        Let the command print only the secrets that are needed.
        """,
)

K285 = Code(
    "K285",
    "the output of a provider cannot be read",
    level="error",
    cause="""
        The output is not a map or a list in JSON or YAML, and not dotenv lines (`NAME=VALUE`). kplan does not show it.
        """,
    remedy="""
        Add the option that selects a format, such as `-format=json` (vault) or `--format json` (op).
        """,
)

K286 = Code(
    "K286",
    "a provider has no such path",
    level="error",
    cause="""
        The output of the provider's command has nothing at this path. The message shows the path up to the first
        part that is missing.
        """,
    example="""
        sasl.password: "{{ secret.vault.data.password }}"      # vault prints data.data.password for kv version 2
        """,
    remedy="""
        Compare the path with what the command prints. An entry of a list is its number: `secret.op.fields.0.value`.
        """,
)

K287 = Code(
    "K287",
    "a secret is not text",
    level="error",
    cause="""
        The value at the path is a map, a list, a number, true, false or null; or a file is not UTF-8 text.
        """,
    remedy="""
        Name the path of one text. Store a number as text.
        """,
)

K288 = Code(
    "K288",
    "the file of a secret cannot be read",
    level="error",
    cause="""
        A provider with `files:` has no such file, or kplan may not read it, or it is larger than 1 MiB.
        """,
    example="""
        secrets: {mounted: {files: /run/secrets}}      # secret.mounted.db is /run/secrets/db
        """,
    remedy="""
        Check the name, that the secret is mounted, and the permissions. The name cannot lead to another folder.
        """,
)

K289 = Code(
    "K289",
    "a stack may not use this secret",
    level="error",
    cause="""
        A variable has `from: secret.…`, and no entry of the provider's `allow:` matches the stack's name and the path.
        Without `allow:` only `kplan.yaml` may use a provider, so that the author of a stack cannot read every secret.
        """,
    example="""
        secrets:
          vault:
            command: [vault, kv, get, -format=json, kv/shop]
            allow: {"shop-*": ["data.data.*"]}
        """,
    remedy="""
        Add the stack and the path to `allow:` in `kplan.yaml`.
        """,
)
