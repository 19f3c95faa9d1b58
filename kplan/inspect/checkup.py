"""Describe what `kplan doctor` found out, as a document (schemas/doctor.v1.json)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kplan.model.checkup import CheckResult, ServerCheck

FORMAT: Final = "1.0"
EXIT_CODES: Final = {CheckResult.OK: 0, CheckResult.LACKING: 2, CheckResult.FAILED: 1}


def judge(checks: Sequence[ServerCheck]) -> CheckResult:
    """Return the worst result that stops a use of kplan."""
    results = {check.result for check in checks}
    return next((each for each in (CheckResult.FAILED, CheckResult.LACKING) if each in results), CheckResult.OK)


def make_document(environment: str, checks: Sequence[ServerCheck], time: str) -> dict[str, Any]:
    """Return the document. `time` is when the servers were asked."""
    return {
        "format_version": FORMAT,
        "environment": environment,
        "time": time,
        "status": str(judge(checks)),
        "checks": [_encode(check) for check in checks],
    }


def _encode(check: ServerCheck) -> dict[str, str]:
    optional = {"help": check.help, "code": check.code}
    return {
        "server": check.server,
        "subject": check.subject,
        "result": str(check.result),
        "text": check.text,
        **{key: value for key, value in optional.items() if value},
    }
