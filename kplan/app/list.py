"""List live resources with their owners."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from kplan.app.ledger import read_ledger
from kplan.kinds.nouns import describe_unknown
from kplan.kinds.registry import KINDS
from kplan.text import count
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.model import Address, Health, Owned, Resource


@dataclass(frozen=True, slots=True)
class ListRequest:
    """What to list. `globs` match an address or a name; without one it is all but what is internal."""

    globs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()  # only these; without them those of every plan, those that are owned, and the globs'
    internal: bool = False  # what is internal too, such as topics whose name begins with __
    unowned: bool = False  # only what no stack owns
    selector: Mapping[str, str] = field(default_factory=dict)  # labels of what is listed, `team` among them

    def choose_kinds(self, owned: Collection[str]) -> frozenset[str]:
        """Return the kinds to read; `owned` are those of which the ledger has resources."""
        if self.kinds:
            return frozenset(self.kinds)
        named = {glob.partition("/")[0] for glob in self.globs}
        return frozenset(name for name, kind in KINDS.items() if kind.is_in_every_plan or name in (*owned, *named))

    def is_wanted(self, address: Address, owner: Owned | None, internal_topics: Collection[str]) -> bool:
        """Whether to list the address. `internal_topics` are those of Connect that kplan.yaml names."""
        if self.unowned and owner is not None:
            return False
        if self.selector and not (owner and owner.applied and owner.applied.rules.has(self.selector)):
            return False
        if self.globs:
            texts = (str(address), address.name)
            return any(fnmatch.fnmatchcase(text, glob) for glob in self.globs for text in texts)
        is_internal = KINDS[address.kind].views.is_internal
        return self.internal or not is_internal(address.name, owner is not None, internal_topics)


def list_resources(request: ListRequest, opened: OpenEnvironment, runtime: Runtime) -> list[dict[str, Any]]:
    """Return a row for each live resource that is wanted, by address: what it is and the stack that owns it."""
    ledger = read_ledger(opened.store, runtime)
    health: dict[Address, Health] = {}
    resources: dict[Address, Resource] = {}
    kinds = request.choose_kinds({address.kind for address in ledger})
    for backend in opened.cluster.backends:
        if backend.kind not in kinds:
            continue
        reading = backend.read(None)
        if note := describe_unknown(backend.kind, reading.unknown):
            runtime.note(f"not listed: {note}")
        resources |= reading.resources
        health |= reading.health
    rows = []
    for address, resource in sorted(resources.items()):
        owner = ledger.get(address)
        if not request.is_wanted(address, owner, opened.cluster.internal_topics):
            continue
        row = {"address": str(address), "stack": owner.stack if owner else None}
        rows.append({**row, **KINDS[address.kind].views.describe_row(resource, health.get(address))})
    return rows


def find_similar(globs: Collection[str], opened: OpenEnvironment) -> str:
    """Return what begins with a glob that is a plain word, where nothing has exactly that name; else empty."""
    names = {f"{each.kind}/{name}" for each in opened.cluster.backends if KINDS[each.kind].is_in_every_plan
             for name in each.read(()).names}  # fmt: skip
    for glob in globs:
        beginning = glob if "/" in glob else f"topic/{glob}"
        matching = sorted(name for name in names if name.startswith(beginning))
        if matching and not set(glob) & set("*?["):
            return f"nothing is named {glob}; {count(len(matching), 'name')} with this beginning: kplan list '{glob}*'"
    return ""
