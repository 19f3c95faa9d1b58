"""Parts of a stack that an import writes, each with the resources that it is to declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from kplan.model import Resource
from kplan.values import dataclass

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StackPart:
    """One block or entry under one section, and the resources that it is to declare."""

    section: str
    key: str  # of a block; empty for an entry of a list
    content: Data
    resources: tuple[Resource, ...]
    variables: Data = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.section}: {self.key or self.resources[0].name}"
