"""Find files and folders that several stacks share: in the project, and in the modules that kplan.yaml pins."""

from __future__ import annotations

import os
from dataclasses import field
from pathlib import Path

from kplan.diagnostics import Invalid, Span, codes, error
from kplan.language.source import Document
from kplan.project.modules import Module, find_module_folder, read_modules, report_unknown_module
from kplan.values import dataclass


@dataclass(slots=True)
class SharedFiles:
    """What kplan.yaml says of shared files. `folders` are those of modules that were asked for."""

    root: Path = field(default_factory=Path)
    modules: dict[str, Module] = field(default_factory=dict)
    template_folders: tuple[tuple[str, Span], ...] = ()
    folders: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def create(cls, document: Document, root: Path) -> SharedFiles:
        """Return what a kplan.yaml says that is in the folder `root`."""
        names = document.data.get("templates") or []
        templates = tuple((str(name), document.at("templates", i)) for i, name in enumerate(names))
        return cls(root, read_modules(document), templates)

    def locate(self, name: str, span: Span) -> tuple[Path, Path]:
        """Return the path of `FILE` or `MODULE:FILE`, and the folder that it must not lead out of. Raises Invalid."""
        module_name, colon, below = name.partition(":")
        home = self._find_module(module_name, span) if colon else self.root
        path = Path(os.path.normpath(home / (below if colon else name)))
        if not path.resolve().is_relative_to(home.resolve()):
            help = "paths begin at the folder of kplan.yaml, or of the module"
            detail = f"{name} leads out of {'the module' if colon else 'the project'}"
            raise Invalid([error(codes.K116, "an included file cannot be used", detail, span=span, help=help)])
        return path, home

    def _find_module(self, name: str, span: Span) -> Path:
        """Return the folder of a module, which is compared with the lock file once. Raises Invalid."""
        if name not in self.modules:
            raise Invalid([report_unknown_module(name, self.modules, span)])
        if name not in self.folders:
            self.folders[name] = find_module_folder(self.modules[name], self.root)
        return self.folders[name]
