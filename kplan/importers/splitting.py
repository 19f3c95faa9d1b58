"""Split what an import has read into stacks: by patterns of names, by a label, and by the beginning of names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from kplan.importers.live import matches_glob
from kplan.importers.resources import ImportedResources
from kplan.kinds.acl.binding import AclBinding
from kplan.kinds.quota.quota import Quota
from kplan.kinds.subject.subject import Subject
from kplan.kinds.user.user import ScramUser
from kplan.model import Connector, Resource

ACCESS: Final = "access"  # the stack of bindings, users and quotas
OTHERS: Final = "others"  # that of what is alone with its prefix
SEPARATOR: Final = re.compile(r"[._-]")
MAX_NAME: Final = 63


NO_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {}


def split_into_stacks(
    imported: ImportedResources, patterns: Mapping[str, tuple[str, ...]] = NO_GROUPS, label: str = ""
) -> Mapping[str, ImportedResources]:
    """Return the resources of each stack by its name; the notes are with the first.

    `patterns` are globs of each stack, which match an address or a name, and of which the first counts. The value of
    `label` names the stack of the rest, and of what has no such label the prefix does. A connector is with the topics
    of its `topic.prefix`, else with the first one that it reads. What is alone with its prefix is in one stack with
    the others.
    """
    groups: dict[str, list[Resource]] = {}
    named: set[str] = {ACCESS}
    for resource in imported.resources:
        name = _find_pattern(resource, patterns) or _to_stack_name(_read_label(resource, label), "")
        if name:
            named.add(name)
        groups.setdefault(name or _name_group(resource), []).append(resource)
    single = [name for name, resources in groups.items() if len(resources) == 1 and name not in named]
    if len(single) > 1:
        groups[OTHERS] = [*groups.get(OTHERS, []), *(resource for name in single for resource in groups.pop(name))]
    stacks: dict[str, ImportedResources] = {}
    for name in sorted(groups):
        own = stacks.setdefault(name, ImportedResources(loops=imported.loops))
        for resource in groups[name]:
            own.add(resource, resource.origin.span)
    if stacks:
        next(iter(stacks.values())).notes += imported.notes
    return stacks


def _find_pattern(resource: Resource, patterns: Mapping[str, tuple[str, ...]]) -> str:
    topics = _name_of_topics(resource)
    for stack, globs in patterns.items():
        if any(matches_glob(resource.address, glob) or fnmatchcase(topics, glob) for glob in globs):
            return stack
    return ""


def _read_label(resource: Resource, label: str) -> str:
    rules = resource.rules
    return {**rules.labels, **({"team": rules.team} if rules.team else {})}.get(label, "")


def _name_group(resource: Resource) -> str:
    if isinstance(resource, AclBinding | ScramUser | Quota):
        return ACCESS
    return _to_stack_name(SEPARATOR.split(_name_of_topics(resource).lstrip("_.-"), maxsplit=1)[0], OTHERS)


def _name_of_topics(resource: Resource) -> str:
    """Return the name by which a resource is with others: of a connector and a subject that of their topics."""
    if isinstance(resource, Connector):
        texts = [resource.config.get(key) for key in ("topic.prefix", "topics", "topic")]
        return next((text for text in texts if isinstance(text, str) and text), resource.name.rpartition("/")[2])
    return resource.subject_name if isinstance(resource, Subject) else resource.name


def _to_stack_name(text: str, default: str) -> str:
    """Return a text as the name of a stack."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:MAX_NAME].strip("-") or default
