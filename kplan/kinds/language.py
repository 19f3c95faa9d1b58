"""What a kind adds to the language of stack files: its section, its keys, and its part of the published schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from kplan.diagnostics import Diagnostic

if TYPE_CHECKING:
    from kplan.kinds.expansion import ExpansionContext

Fragment = Mapping[str, Any]
Order = Mapping[tuple[str, ...], tuple[str, ...]]  # keys by the path of their map; `…`: keys that are not named


class Language(Protocol):
    """How stack files declare the resources of one kind; a kind inherits it, and overrides what is different."""

    section: str  # the key of a stack under which its blocks are
    key_order: Mapping[str, Order] = {}  # by document (`stack`, `environments`, `template`): keys by the path of a map
    removal_keys: tuple[str, ...] = ()  # what an entry under `removed:` takes in addition to the common keys
    fragments: Mapping[str, Fragment] = {}  # the kind's part of the schema of each document (`stack.v1`)
    leaves_with_its_line: bool = False  # a resource that leaves the stack is deleted without an entry under `removed:`
    is_named_by_guards: bool = False  # whether `guards: naming` judges the names

    def expand(self, context: ExpansionContext) -> None:
        """Add what the blocks of the section declare to the context, and report what is wrong with them."""

    def check(self, context: ExpansionContext) -> Iterable[Diagnostic]:
        """Return problems of the resources of all kinds together, once all are declared."""
        return ()
