"""GitHub and GitLab."""

from kplan.diagnostics.codes.code import Code

K614 = Code(
    "K614",
    "the token may not do this on the hosting service",
    level="error",
    cause="""
        GitHub or GitLab knows the token and refuses, or hides what it may not see behind a 404. The message says which
        permission it takes.
        """,
    remedy="""
        GitHub: `permissions: {pull-requests: write}` in the job; a pull request from a fork never gets it. GitLab: a
        project access token with the scope `api` as KPLAN_GITLAB_TOKEN; CI_JOB_TOKEN cannot comment.
        """,
)

K615 = Code(
    "K615",
    "the hosting service did not do it",
    level="error",
    cause="""
        GitHub or GitLab refused a request, or what was asked for is not there, such as the plan of a merged request:
        files of finished jobs expire, and one that comes from a fork is not trusted.
        """,
    remedy="""
        The message has the service's own words. Without a reviewed plan, plan on the main branch, have that reviewed,
        and apply it.
        """,
)

K616 = Code(
    "K616",
    "what to comment, or where, is not known",
    level="error",
    cause="""
        `kplan comment` and `kplan fetch` find service, repository, request and token in the variables that jobs of
        GitHub Actions and GitLab CI have; one is missing, or the file is not a plan in Markdown.
        """,
    example="""
        kplan plan STACK --report md=plan.md
        kplan comment plan.md --service github --request 17
        """,
)
