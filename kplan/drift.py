"""What was changed live since the last apply: the ledger against the servers, whatever the stack says by now."""

from __future__ import annotations

from kplan.diff import Ledger, differences
from kplan.model import AttrDiff, Drift, Live, Secret

GONE = "/"  # the path of a resource that is not there any more


def drifted(stack: str, live: Live, ledger: Ledger, key: str | None = None) -> list[Drift]:
    """Each attribute that kplan set for `stack` and that is not so any more, and each resource that is gone.

    A secret is compared by the digest that was made of it with `key`; nothing is said of one without a digest.
    """
    found: list[Drift] = []
    for address, owned in sorted(ledger.items()):
        if owned.stack != stack or owned.applied is None or address in live.hidden:
            continue
        now = live.resources.get(address)
        if now is None:
            found.append(Drift(address, GONE, "there", None))
            continue
        diffs, _, _ = differences(owned.applied, now, None)
        found += [Drift(address, d.path, d.after, d.before) for d in diffs if not _same_secret(d, key)]
    return found


def _same_secret(diff: AttrDiff, key: str | None) -> bool:
    """Whether what differs is a secret that is the same, or of which that cannot be told."""
    was, now = diff.after, diff.before
    if not isinstance(was, Secret):
        return False
    if now is None:
        return False
    if key is None or not was.fingerprint:
        return True
    text = now.value if isinstance(now, Secret) else str(now)
    return text is None or Secret(value=text).signed(key).fingerprint == was.fingerprint
