"""What `kplan doctor` asks of a schema registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kplan.diagnostics import KplanError
from kplan.model.checkup import CheckResult, ServerCheck, make_failure
from kplan.servers.registry.client import RegistryClient
from kplan.servers.rest import check_clock
from kplan.text import count

SERVER: Final = "Schema registry"


def check_registry(registry: RegistryClient) -> Iterator[ServerCheck]:
    """Yield the checks of a registry."""
    try:
        subjects, level = registry.list_subjects(), registry.read_global_level()
    except KplanError as failure:
        yield make_failure(SERVER, "connection", failure)
        return
    words = f"{registry.rest.url}: {count(len(subjects), 'subject')}, level {level or 'not known'}"
    yield ServerCheck(SERVER, "connection", CheckResult.OK, words)
    if mode := registry.read_mode(""):
        is_writable = mode == "READWRITE"
        result = CheckResult.OK if is_writable else CheckResult.LACKING
        help = "" if is_writable else "nothing can be registered until its mode is READWRITE again"
        yield ServerCheck(SERVER, "mode", result, mode, help)
    yield from check_clock(SERVER, registry.rest)
