"""Providers of secrets: what they give is used and masked, they run only where servers are asked, and each way to fail
has its code. Vault, 1Password and SOPS are stand-ins with the documented command lines; the real ones are untried.

https://developer.hashicorp.com/vault/docs/commands/kv/get
https://developer.1password.com/docs/cli/reference/management-commands/item/
https://getsops.io/docs/
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kplan.language.dotenv import parse_dotenv
from kplan.project import secrets
from kplan.project.secrets import ProviderOutputs, SecretProblem, SecretSource, read_providers
from tests.shell import Shell

CANARY = "canary-provider-4e1f"
VAULT = f"""#!/bin/sh
echo ran >> "$RUNS"
echo "stderr {CANARY}" >&2
test "$*" = "kv get -format=json kv/shop" || exit 2
echo '{{"request_id": "1", "data": {{"data": {{"password": "{CANARY}", "port": 1}}, "metadata": {{"version": 3}}}}}}'
"""
OP = f"""#!/bin/sh
test "$*" = "item get shop --format json" || exit 1
echo '{{"id": "x", "fields": [{{"id": "password", "value": "{CANARY}"}}]}}'
"""
SOPS = f"""#!/bin/sh
echo ran >> "$RUNS"
test "$1" = -d && test -f "$2" || exit 1
printf 'password: {CANARY}\\npartitions: 2\\n'
"""
ENCRYPTED = "password: ENC[AES256_GCM,data:x,type:str]\npartitions: 2\nsops: {version: 3.9.0, mac: 'ENC[x]'}\n"
CONFIG = """
version: 1
secrets:
  vault:
    command: [vault, kv, get, -format=json, kv/shop]
    allow: {"shop*": ["data.data.*"]}
  op: {command: [op, item, get, shop, --format, json], allow: {"shop": ["fields.*"]}}
  mounted: {files: mounted, allow: {"shop": ["*"]}}
environments: {local: {}, other: {}}
"""
STACK = """
version: 1
stack: shop
variables:
  password: {type: string, sensitive: true, from: secret.vault.data.data.password}
topics: {shop.orders: }
connectors:
  db:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {topics: shop.orders, database.password: "{{ var.password }}", url: "x://u:{{ var.password }}@h"}
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A project beside a folder with the stand-ins; what the stand-ins do is not a file of the project."""
    made = Shell(tmp_path / "project", secrets=(CANARY,))
    for name, text in {"vault": VAULT, "op": OP, "sops": SOPS}.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    made.environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "RUNS": str(tmp_path / "runs")}
    made.write("kplan.yaml", CONFIG)
    made.write("stack.yaml", STACK)
    return made


def count_runs(shell: Shell) -> int:
    runs = Path(shell.environment["RUNS"])
    return len(runs.read_text().splitlines()) if runs.exists() else 0


def test_what_a_provider_gives_is_applied_and_nowhere_shown(shell: Shell) -> None:
    for view in ("text", "json", "markdown", "html"):
        shell.kplan("plan", "stack.yaml", "--format", view, "--verbose", expect=None)
    assert "(sensitive)" in shell.kplan("plan", "stack.yaml", "--verbose").out
    before = count_runs(shell)
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    assert count_runs(shell) == before + 1
    shell.kplan("apply", "plan.json", "--yes", "--log-level", "debug", "--log-file", "log")
    assert count_runs(shell) == before + 2
    assert "No changes" in shell.kplan("plan", "stack.yaml").out
    shell.kplan("status", "stack.yaml", expect=None)
    shell.kplan("drift", "stack.yaml", expect=None)
    shell.kplan("snapshot", "stack.yaml", "--out", "live.json", expect=None)
    shell.kplan("show", "--stack", "stack.yaml", "--json", expect=None)
    shell.write("stack.yaml", STACK.replace("shop.orders: }", "shop.orders: {partitions: 3}}"))
    shell.kplan("apply", "stack.yaml", "--yes", expect=None)
    assert (shell.folder / "plan.json").is_file() and (shell.folder / "live.json").is_file()
    shell.assert_no_secret_on_disk()


def test_no_provider_runs_where_no_server_is_asked(shell: Shell) -> None:
    shell.kplan("snapshot", "stack.yaml", "--out", "live.json")
    ran = count_runs(shell)
    shell.kplan("validate", "stack.yaml", "kplan.yaml")
    shell.kplan("fmt", "--check", "stack.yaml", expect=None)
    shell.kplan("graph", "stack.yaml")
    shell.kplan("show", "--stack", "stack.yaml")
    shell.kplan("plan", "stack.yaml", "--live", "live.json", expect=None)
    assert count_runs(shell) == ran
    given = shell.kplan("plan", "stack.yaml", KPLAN_VAR_password="another-value")
    assert count_runs(shell) == ran and "another-value" not in given.all


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("secret.op.fields.0.value", ""),
        ("secret.mounted.db-password", ""),
        ("secret.mounted.missing", "K288"),
        ("secret.vault.data.data.port", "K287"),
        ("secret.vault.data.data", "K289"),
        ("secret.vault.data.metadata.version", "K289"),
        ("secret.vault.data.data.nothing", "K286"),
        ("secret.nobody.x", "K280"),
    ],
)
def test_a_variable_names_a_path_that_its_stack_is_allowed(shell: Shell, reference: str, code: str) -> None:
    shell.secrets = ()
    shell.write("mounted/db-password", f"{CANARY}\n")
    shell.write("stack.yaml", STACK.replace("secret.vault.data.data.password", reference))
    ended = shell.kplan("plan", "stack.yaml", expect=4 if code else 0)
    assert CANARY not in ended.all
    assert (f"error[{code}]" in ended.all) if code else ("error" not in ended.all)


def test_a_stack_that_is_not_allowed_is_refused_offline_too(shell: Shell) -> None:
    shell.write("stack.yaml", STACK.replace("stack: shop", "stack: billing"))
    assert "error[K289]" in shell.kplan("validate", "stack.yaml", expect=4).all
    assert count_runs(shell) == 0


def test_a_variable_from_a_provider_is_sensitive(shell: Shell) -> None:
    shell.write("stack.yaml", STACK.replace("sensitive: true, ", ""))
    assert "error[K209]" in shell.kplan("validate", "stack.yaml", expect=4).all


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["no-such-program-here"], "K281"),
        (["sh", "-c", f"echo {CANARY}; echo {CANARY} >&2; exit 3"], "K282"),
        (["sh", "-c", "sleep 60"], "K283"),
        (["sh", "-c", f"yes {CANARY}"], "K284"),
        (["echo", CANARY], "K285"),
        (["printf", f"{{{CANARY}"], "K285"),
        (["printf", f"A={CANARY}\n{CANARY}"], "K285"),
    ],
)
def test_each_way_to_fail_has_its_code_and_shows_nothing(
    command: list[str], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT_S", 1.0)
    providers = read_providers({"x": {"command": command}})
    source = SecretSource(providers, str(tmp_path), {"PATH": os.environ["PATH"]}, ProviderOutputs())
    for _ in range(2):
        with pytest.raises(SecretProblem) as failure:
            source.find(("x", "A"))
        assert failure.value.code.number == code
        assert CANARY not in failure.value.detail + failure.value.help and failure.value.help


@pytest.mark.parametrize("output", [json.dumps({"a": {"b": CANARY}}), f"a:\n  b: {CANARY}\n"])
def test_a_command_prints_json_or_yaml_and_its_value_is_learned(output: str, tmp_path: Path) -> None:
    learned: list[str] = []
    providers = read_providers({"x": {"command": ["printf", "%s", output]}})
    source = SecretSource(providers, str(tmp_path), {"PATH": os.environ["PATH"]}, ProviderOutputs(learned.extend))
    assert source.find(("x", "a", "b")) == CANARY and learned == [CANARY]


@pytest.mark.parametrize("name", ["../outside", ".hidden", "a/b"])
def test_a_file_of_a_secret_is_in_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(CANARY)
    source = SecretSource(read_providers({"m": {"files": "mounted"}}), str(tmp_path))
    with pytest.raises(SecretProblem) as failure:
        source.find(("m", name))
    assert failure.value.code.number == "K288"


def test_kplan_yaml_uses_a_secret_for_servers_and_for_variables(shell: Shell) -> None:
    body = """environments:
  local: {variables: {password: '{{ secret.vault["data"].data.password }}'}}
  prod:
    kafka: {bootstrap.servers: "localhost:1", security.protocol: sasl_plaintext, sasl.mechanism: PLAIN,
            sasl.username: me, sasl.password: "{{ secret.vault.data.data.password }}"}
    timeouts: {request: 1s}
    retry: {attempts: 1}
"""
    shell.write("kplan.yaml", CONFIG.replace("environments: {local: {}, other: {}}\n", body))
    shell.write("stack.yaml", STACK.replace(", from: secret.vault.data.data.password", ""))
    shell.kplan("validate", "stack.yaml", "kplan.yaml")
    assert count_runs(shell) == 0
    shell.kplan("apply", "stack.yaml", "--yes")
    assert count_runs(shell) == 1
    shell.kplan("plan", "stack.yaml", "--env", "prod", "--log-level", "debug", expect=None)
    shell.assert_no_secret_on_disk()
    shell.write("stack.yaml", STACK.replace("sensitive: true, from: secret.vault.data.data.password", "default: x"))
    assert "error[K209]" in shell.kplan("plan", "stack.yaml", expect=4).all


def test_an_address_is_not_a_secret(shell: Shell) -> None:
    body = 'environments: {local: {kafka: {bootstrap.servers: "{{ secret.vault.data.data.password }}"}}}\n'
    shell.write("kplan.yaml", CONFIG.replace("environments: {local: {}, other: {}}\n", body))
    assert "error[K209]" in shell.kplan("validate", "stack.yaml", expect=4).all


def test_a_sops_file_gives_variables(shell: Shell) -> None:
    shell.write("vars.yaml", ENCRYPTED)
    shell.write(
        "stack.yaml", STACK.replace(", from: secret.vault.data.data.password}", "}\n  partitions: {type: integer}")
    )
    shell.kplan("validate", "stack.yaml", "--var-file", "vars.yaml")
    assert count_runs(shell) == 0
    shell.kplan("apply", "stack.yaml", "--var-file", "vars.yaml", "--yes")
    assert count_runs(shell) == 1
    shell.assert_no_secret_on_disk()
    assert "No changes" in shell.kplan("plan", "stack.yaml", KPLAN_VAR_partitions="1", KPLAN_VAR_password=CANARY).out
    shell.write("stack.yaml", STACK.replace("sensitive: true, from: secret.vault.data.data.password", "default: x"))
    assert "error[K209]" in shell.kplan("plan", "stack.yaml", "--var-file", "vars.yaml", expect=4).all


def test_sops_that_is_missing_is_an_error(shell: Shell) -> None:
    (Path(shell.environment["RUNS"]).parent / "bin" / "sops").unlink()
    shell.write("vars.yaml", ENCRYPTED)
    ended = shell.kplan("plan", "stack.yaml", "--var-file", "vars.yaml", expect=4, KPLAN_VAR_x="")
    assert "error[K281]" in ended.all or "error[K282]" in ended.all


def test_a_dotenv_file_goes_under_the_variables_of_the_process(shell: Shell) -> None:
    shell.write(".env", f"# dev\nexport KPLAN_ENV=other\nKPLAN_VAR_password='{CANARY}' # quoted\n")
    planned = shell.kplan("plan", "stack.yaml", "--env-file", ".env", "--verbose")
    assert "env other" in planned.out and "(sensitive)" in planned.out and count_runs(shell) == 0
    assert "env local" in shell.kplan("plan", "stack.yaml", "--env-file", ".env", KPLAN_ENV="local").out
    shell.write(".env", f"A=b\n{CANARY}\n")
    assert "line 2 is not NAME=VALUE" in shell.kplan("plan", "stack.yaml", "--env-file", ".env", expect=64).words
    assert "No such file" in shell.kplan("plan", "stack.yaml", "--env-file", "none", expect=64).words


def test_the_example_of_a_dotenv_file_is_read() -> None:
    text = (Path(__file__).parents[3] / ".env.example").read_text("utf-8")
    assert parse_dotenv(text)["KPLAN_ENV"] == "local"
    assert all(f"# -- {name}" in text for name in ("dev", "staging", "production"))
