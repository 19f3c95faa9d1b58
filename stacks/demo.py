"""`make demo`: plan, apply, plan again, a failed apply that is rolled back, and plan again, on the embedded cluster.

Each command is the one that a person would type. What the demo claims it checks: it ends with an error otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
FAILING = """\
version: 1
default: local
environments:
  local:
    simulated: {fail: [connector/shop-audit]}
"""
AUDIT = """\
  shop-audit:
    template: debezium-postgres
    topic_prefix: audit
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.db_password }}"}
    tables: [logins]
"""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="kplan-demo-") as folder:
        work = Path(folder)
        for name in ("kplan.yaml", "shop.yaml"):
            shutil.copy(HERE / "demo" / name, work)
        return story(work)


def story(work: Path) -> int:
    title("1. A stack: one connector, three tables")
    print((work / "shop.yaml").read_text())
    title("2. What would happen?")
    kplan(work, "plan shop.yaml --out plan.json", 0)
    title("3. Do exactly that")
    kplan(work, "apply plan.json", 0)
    title("4. And again: nothing is left to do")
    again = kplan(work, "plan shop.yaml --detailed-exitcode", 0)
    require("No changes." in again, "the second plan is empty")
    before = state(work)
    require(len(before) == 5, "three tables' topics, the heartbeat's and the connector are there")
    title("5. A second connector, which will fail once it is created, and a larger retention")
    edit(work)
    kplan(work, "apply shop.yaml --yes", 7)
    require(state(work) == before, "everything is exactly as it was before")
    title("6. Nothing was left behind: with the old stack there is still nothing to do")
    shutil.copy(HERE / "demo" / "shop.yaml", work)
    last = kplan(work, "plan shop.yaml --detailed-exitcode", 0)
    require("No changes." in last, "the last plan is empty")
    print("\nThat was kplan. Your turn: `.venv/bin/kplan plan stacks/quickstart.yaml`\n")
    return 0


def edit(work: Path) -> None:
    """The stack gets a second connector and one topic another retention; the simulation lets the connector fail."""
    (work / "kplan.yaml").write_text(FAILING)
    text = (
        (work / "shop.yaml")
        .read_text()
        .replace("      customers:\n", "      customers: {config: {retention.ms: 30d}}\n")
    )
    (work / "shop.yaml").write_text(text + AUDIT)
    print(text[text.index("    tables:") :] + AUDIT)


def kplan(work: Path, arguments: str, expected: int) -> str:
    """Runs kplan as a person would, shows what it says, and insists on its exit code."""
    print(f"$ kplan {arguments}", flush=True)
    environment = {**os.environ, "SHOP_DB_PASSWORD": "only-a-demo"}
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        environment["FORCE_COLOR"] = "1"
    run = subprocess.run(
        [sys.executable, "-m", "kplan", *arguments.split()],
        cwd=work,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    print(run.stdout, end="", flush=True)
    print(f"(exit code {run.returncode})\n")
    require(run.returncode == expected, f"`kplan {arguments}` ends with {expected}")
    require("only-a-demo" not in run.stdout, "no secret is shown")
    return run.stdout


def state(work: Path) -> dict[str, str]:
    """All that the simulated cluster holds, by address."""
    from kplan.app.servers import open_cluster
    from kplan.project.environment import Environment, Simulated

    cluster = open_cluster(Environment("local", str(work), simulated=Simulated()))
    try:
        return {
            str(address): repr(resource)
            for backend in cluster.backends
            for address, resource in backend.read(None).resources.items()
        }
    finally:
        cluster.close()


def title(text: str) -> None:
    print(f"── {text} " + "─" * max(3, 96 - len(text)) + "\n", flush=True)


def require(fact: bool, claim: str) -> None:
    if not fact:
        sys.exit(f"demo: it is not true that {claim}")


if __name__ == "__main__":
    sys.exit(main())
