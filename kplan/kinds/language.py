"""What a kind adds to the language of stack files: its section, its keys, and its part of the published schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from kplan.diagnostics import Diagnostic

if TYPE_CHECKING:
    from kplan.kinds.acl.rights import Right
    from kplan.kinds.expansion import ExpansionContext
    from kplan.model import Resource

Fragment = Mapping[str, Any]
Order = Mapping[tuple[str, ...], tuple[str, ...]]  # keys by the path of their map; `…`: keys that are not named


class Language(Protocol):
    """How stack files declare the resources of one kind; a kind inherits it, and overrides what is different."""

    key_order: Mapping[str, Order] = {}  # by document (`stack`, `environments`, `template`): keys by the path of a map
    removal_words: tuple[str, ...] = ()  # the keys that name what goes in an entry under `removed:`; empty: the kind
    removal_keys: tuple[str, ...] = ()  # what an entry under `removed:` takes in addition to the common keys
    fragments: Mapping[str, Fragment] = {}  # the kind's part of the schema of each document (`stack.v1`)
    leaves_with_its_line: bool = False  # a resource that leaves the stack is deleted without an entry under `removed:`
    is_named_by_guards: bool = False  # whether `guards: naming` judges the names

    def expand(self, context: ExpansionContext) -> None:
        """Add what the blocks of the section declare to the context, and report what is wrong with them."""

    def read_removal(self, entry: Mapping[str, Any]) -> tuple[str, bool] | None:
        """Return the name that an entry under `removed:` says, and whether it is the beginning of several names; None
        where the entry is about another kind. Raises ValueError where nothing can have the name."""
        name = next((entry[word] for word in self.removal_words if entry.get(word) is not None), None)
        return None if name is None else (str(name), False)

    def find_rights(self, resource: Resource, context: ExpansionContext) -> Iterable[Right]:
        """Return what the resource's own principal must be allowed to do on the brokers."""
        return ()

    def check(self, context: ExpansionContext) -> Iterable[Diagnostic]:
        """Return problems of the resources of all kinds together, once all are declared."""
        return ()
