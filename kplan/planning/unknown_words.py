"""What a plan or a journal of a later kplan says that this kplan does not know.

Documents of one format version may get new keys and new words. Unknown keys are ignored, and unknown words that only
describe something are kept. A word that decides what an apply does is different: the document can be read and shown,
and nothing is applied from it. An unknown action or kind of resource cannot even be read as a `Change`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from kplan.diagnostics import Stale, codes
from kplan.kinds.codec import ACTIONS
from kplan.kinds.registry import find_unknown_kind
from kplan.model import Change, Connector
from kplan.version import __version__

MODES: Final = ("apply", "destroy")
UNDO_KINDS: Final = ("delete_if_empty", "delete", "restore", "recreate", "record", "none")
STATES: Final = ("running", "paused", "stopped")


def find_unknown_change(change: Mapping[str, Any]) -> str:
    """Say what this kplan does not know of a change of a document: its kind of resource or its action."""
    owner, needs = change.get("owner"), change.get("depends_on")
    addresses = [change.get("address"), change.get("moved_from"), *(needs if isinstance(needs, list) else ())]
    addresses += [owner.get("address")] if isinstance(owner, Mapping) else []
    for address in addresses:
        if isinstance(address, str) and (kind := find_unknown_kind(address)):
            return f"the kind `{kind}` of {address}"
    actions = change.get("actions")
    if isinstance(actions, list) and actions and actions not in ACTIONS.values() and _are_words(actions):
        return f"the action `{' and '.join(actions)}` of {change.get('address')}"
    return ""


def _are_words(values: list[Any]) -> bool:
    return all(isinstance(value, str) and value for value in values)


def find_unknown_words(mode: str, changes: Iterable[Change]) -> Iterator[str]:
    """Say which words of a plan decide what an apply does and are not known to this kplan."""
    if mode not in MODES:
        yield f"the mode `{mode}`"
    for change in changes:
        if change.undo.kind not in UNDO_KINDS:
            yield f"the undo `{change.undo.kind}` of {change.address}"
        if isinstance(change.after, Connector) and change.after.state not in STATES:
            yield f"the state `{change.after.state}` of {change.address}"


def later_version(word: str, version: object) -> Stale:
    """Return the error (K521) for a plan of the kplan `version` that uses a word which this kplan does not know."""
    return Stale(
        f"kplan {version} made this plan, and kplan {__version__} does not know {word}",
        code=codes.K521,
        help=f"apply the plan with kplan {version}, or make it again with this kplan",
    )
