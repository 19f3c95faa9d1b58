"""kplan fetch"""

from __future__ import annotations

import os
from pathlib import Path

import click

from kplan.cli.command import calls
from kplan.cli.comment import SERVICE, event_of, host_of, needed
from kplan.cli.flags import SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session
from kplan.cli.snapshot import save_or_tell


@click.command(
    "fetch",
    help="Get the plan that was reviewed: the saved plan of the pull or merge request that was merged as this commit. "
    "`kplan apply` then does exactly that.",
)
@option("--out", metavar="FILE", default="plan.json", show_default=True, type=click.Path(dir_okay=False), help="Where.")
@option(
    "--artifact",
    metavar="NAME",
    default="kplan-plan",
    show_default=True,
    help="GitHub: the artifact NAME-COMMIT. GitLab: the job NAME, whose artifact has the name of --out.",
)
@option("--commit", metavar="SHA", default=None, help="The merged commit; in a job it is known.")
@SERVICE
@SHOWING
@calls
def command(session: Session, out: str, artifact: str, commit: str | None, service: str | None) -> int:
    from kplan.ci.hosting import GitHub

    merged = commit or needed(os.environ, "GITHUB_SHA", "CI_COMMIT_SHA")
    host = host_of(session, service)
    if isinstance(host, GitHub):
        data = host.reviewed(merged, artifact, {} if commit else event_of(os.environ))
    else:
        data = host.reviewed(merged, artifact, Path(out).name)
    said = _plans(data)
    save_or_tell(out, data.decode())
    session.say(f"{out}: {said}")
    return 0


def _plans(data: bytes) -> str:
    """What the file holds. Raises Stale where it is no plan as kplan saved it."""
    import json

    from kplan.diagnostics import Stale, codes
    from kplan.planning.document import from_json

    try:
        document = json.loads(data)
    except ValueError as e:
        raise Stale("the reviewed plan is no JSON", code=codes.K521, help="make the plan again") from e
    documents = document.get("plans", [document]) if isinstance(document, dict) else []
    plans = [from_json(each) for each in documents]
    return ", ".join(f"plan {p.digest[7:15]} of stack {p.stack}, made {p.created_at}" for p in plans)
