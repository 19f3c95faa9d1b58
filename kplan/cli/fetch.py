"""kplan fetch"""

from __future__ import annotations

import os
from pathlib import Path

import click

from kplan.cli.command import run_command
from kplan.cli.comment import SERVICE, connect_host, read_event, read_variable
from kplan.cli.flags import SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session
from kplan.cli.snapshot import save_output


@click.command(
    "fetch",
    help="Download the reviewed plan: the saved plan of the pull or merge request that was merged as this commit. "
    "`kplan apply` then applies exactly this plan.",
)
@option(
    "--out",
    metavar="FILE",
    default="plan.json",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="Output file.",
)
@option(
    "--artifact",
    metavar="NAME",
    default="kplan-plan",
    show_default=True,
    help="GitHub: the artifact NAME-COMMIT. GitLab: the job NAME, whose artifact has the name of --out.",
)
@option("--commit", metavar="SHA", default=None, help="The merged commit; known in a job.")
@SERVICE
@SHOWING
@run_command
def command(session: Session, out: str, artifact: str, commit: str | None, service: str | None) -> int:
    from kplan.ci.hosting import GitHub

    merged_commit = commit or read_variable(os.environ, "GITHUB_SHA", "CI_COMMIT_SHA")
    host = connect_host(session, service)
    if isinstance(host, GitHub):
        data = host.fetch_reviewed_plan(merged_commit, artifact, {} if commit else read_event(os.environ))
    else:
        data = host.fetch_reviewed_plan(merged_commit, artifact, Path(out).name)
    description = _describe_plans(data)
    save_output(out, data.decode())
    session.say(f"{out}: {description}")
    return 0


def _describe_plans(data: bytes) -> str:
    """Return which plans the file holds. Raises Stale where it is not a plan that kplan saved."""
    import json

    from kplan.diagnostics import Stale, codes
    from kplan.planning.document import from_json

    try:
        document = json.loads(data)
    except ValueError as e:
        raise Stale("the reviewed plan is not JSON", code=codes.K521, help="create the plan again") from e
    documents = document.get("plans", [document]) if isinstance(document, dict) else []
    plans = [from_json(entry) for entry in documents]
    return ", ".join(f"plan {p.digest[7:15]} of stack {p.stack}, made {p.created_at}" for p in plans)
