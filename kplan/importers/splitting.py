"""Split what an import has read into stacks, by the beginning of names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

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


def split_by_prefix(imported: ImportedResources) -> Mapping[str, ImportedResources]:
    """Return the resources of each stack by its name; the notes are with the first.

    A connector is with the topics of its `topic.prefix`, else with the first one that it reads. What is alone with its
    prefix is in one stack with the others.
    """
    groups: dict[str, list[Resource]] = {}
    for resource in imported.resources:
        groups.setdefault(_name_group(resource), []).append(resource)
    single = [name for name, resources in groups.items() if len(resources) == 1 and name != ACCESS]
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


def _name_group(resource: Resource) -> str:
    if isinstance(resource, AclBinding | ScramUser | Quota):
        return ACCESS
    name = resource.name
    if isinstance(resource, Connector):
        texts = [resource.config.get(key) for key in ("topic.prefix", "topics", "topic")]
        name = next((text for text in texts if isinstance(text, str) and text), name.rpartition("/")[2])
    elif isinstance(resource, Subject):
        name = resource.subject_name
    return _to_stack_name(SEPARATOR.split(name.lstrip("_.-"), maxsplit=1)[0])


def _to_stack_name(text: str) -> str:
    """Return a text as the name of a stack."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:MAX_NAME] or OTHERS
