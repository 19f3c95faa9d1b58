"""kplan fetch"""

from __future__ import annotations

from pathlib import Path

import click

from kplan.cli.command import run_command
from kplan.cli.comment import SERVICE, make_host_request
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
    from kplan.app.hosting import fetch_reviewed_plan, read_plans

    data = fetch_reviewed_plan(make_host_request(session, service), commit, artifact, Path(out).name)
    plans = read_plans(data)
    description = ", ".join(f"plan {p.digest[7:15]} of stack {p.stack}, made {p.created_at}" for p in plans)
    save_output(out, data.decode())
    session.say(f"{out}: {description}")
    return 0
