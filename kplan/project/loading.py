"""Load files as stacks and an environment. Only this module reads a person's files."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kplan.diagnostics import Diagnostic, Invalid, KplanError, Span, codes, error, warning
from kplan.kinds.connector.sinks import without_answered
from kplan.kinds.schemas import read_schema
from kplan.language import schema, source
from kplan.language.source import Document
from kplan.language.template import is_template
from kplan.language.variables import Given, find_undeclared
from kplan.model import File, Stack, Target
from kplan.patterns import late_pattern
from kplan.project import environment as environments
from kplan.project import including, modules, policy_file, reading
from kplan.project.environment import Environment
from kplan.project.expand import Inputs, expand
from kplan.project.overrides import find_unmatched
from kplan.project.process import BOOTSTRAP, CONNECT_URL, find_referenced_variables, list_set_connection_variables
from kplan.project.secrets import ProviderOutputs, SecretProblem, SecretSource
from kplan.project.shared_files import SharedFiles
from kplan.project.stack_files import CONFIG, SUFFIXES, find_in_folder, find_in_project, peek_names, read_listed
from kplan.project.stacks import find_conflicts, find_shared_addresses
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.kinds.connector.templates import Blueprint
    from kplan.model.policies import Policy
    from kplan.servers.snapshots import Snapshot

TEMPLATES = Path(__file__).parents[1] / "connectors"
MAX_NAMES = 1000  # names of a folder that are compared with a missing one
MAX_SNAPSHOT_BYTES = 16 * reading.MAX_FILE_BYTES
PART_SCHEMA = "part"  # of a file that stacks include
POLICIES_SCHEMA = "policies"  # of the file that kplan.yaml names
SOPS_KEY = "sops"  # of the map that SOPS adds to a file
URL = late_pattern(r"\s*https?://")
# Problems with YAML after which the rest of the data is still usable.
TOLERABLE_CODES = (codes.K102.number, codes.K103.number)
INDEPENDENT_CODES = frozenset(  # problems in a block that do not depend on its other parts
    code.number
    for code in (
        codes.K104, codes.K108, codes.K109, codes.K110, codes.K201, codes.K203, codes.K206, codes.K207, codes.K209,
        codes.K210, codes.K211, codes.K220, codes.K222, codes.K248,
    )
)  # fmt: skip
ESSENTIAL_KEYS = frozenset(
    {"for_each", "template", "class", "name", "client", "config"}
)  # without it, the block would be another one
TEMPLATE_NAME = late_pattern(r"[a-z0-9][a-z0-9-]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class Request:
    """Describe what to load. `process` are the process's environment variables.

    Without `paths` nothing is loaded, or where `takes_project` the stacks of the project.

    With `offline_target` no server will be contacted: it has the addresses of those that the environment does not know.
    Providers of secrets run where servers will be contacted, unless `asks_providers` is False.
    """

    paths: Sequence[str] = ()
    env: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    var_files: Sequence[str] = ()
    bootstrap: str = ""
    connect: str = ""
    needs_only_connect: bool = False  # Connect is enough, without brokers
    folder: str = "."
    process: Mapping[str, str] = field(default_factory=dict)
    offline_target: Target | None = None
    asks_providers: bool = True
    outputs: ProviderOutputs = field(default_factory=ProviderOutputs, repr=False, compare=False)
    takes_project: bool = False
    changed_since: str = ""  # a revision of git: only stacks that changed since then, and those that depend on them

    def make_secret_source(self, environment: Environment) -> SecretSource:
        """Return the providers of the environment's kplan.yaml."""
        is_offline = self.offline_target is not None or not self.asks_providers
        return SecretSource(environment.providers, environment.folder, self.process, self.outputs, is_offline)


@dataclass(slots=True)
class Loaded:
    """Hold the content of the files. With errors among the `diagnostics` the stacks are incomplete."""

    environment: Environment
    stacks: list[Stack] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict, repr=False)  # by path as shown, for snippets
    paths: Mapping[str, Path] = field(default_factory=dict)  # of the stacks' files, by the path as shown

    @property
    def has_errors(self) -> bool:
        return any(d.is_error for d in self.diagnostics)


def load_project(
    request: Request, on_environment: Callable[[Environment, Collection[str]], None] | None = None
) -> Loaded:
    """Read everything and find every problem. Raises Invalid if there is no file or environment to continue with.

    `on_environment` is called before the stacks are read, with the environment and what their names seem to be.
    """
    reader = ProjectReader(request)
    paths = reader.find_stack_paths()
    environment = reader.load_environment(paths)
    if on_environment is not None and not any(problem.is_error for problem in reader.problems):
        on_environment(environment, peek_names(paths))
    return _load_stacks(reader, paths, environment)


def load_stacks_in(request: Request, environment: Environment) -> Loaded:
    """Load the stacks for an environment that is not of a file, such as a mixture of two."""
    reader = ProjectReader(request)
    paths = reader.find_stack_paths()
    if (config := reader.enter_project(paths)) and (document := reader.read_document(config, "environments.v1")):
        reader.shared = SharedFiles.create(document, reader.root)
    return _load_stacks(reader, paths, environment)


def find_environment_places(request: Request, name: str) -> Mapping[tuple[str | int, ...], Span]:
    """Return the places of what an environment of kplan.yaml says, by the keys within it."""
    reader = ProjectReader(request)
    config = reader.enter_project(reader.find_stack_paths())
    document = reader.read_document(config, "environments.v1") if config else None
    if document is None:
        return {}
    at = ("environments", name)
    return {path[2:]: document.key_at(*path) for path in document.spans if path[:2] == at}


def _load_stacks(reader: ProjectReader, paths: Sequence[Path], environment: Environment) -> Loaded:
    """Load the stacks at these paths, and find every problem."""
    request = reader.request
    loaded = Loaded(environment, texts=reader.texts, paths={reader.show_path(path): path for path in paths})
    given_values = Given(
        request.flags,
        reader.read_variables(),
        request.process,
        environment.variables,
        environment.passwords,
        frozenset(reader.encrypted_names),
        request.make_secret_source(environment).find_reference,
    )
    for path in paths:
        stack = reader.read_stack(path, environment, given_values)
        if stack is not None:
            loaded.stacks.append(stack)
    reader.note_unused_variables(environment)
    if len(reader.stack_variables) == len(paths):
        reader.problems += find_undeclared(
            given_values, reader.variable_places, frozenset().union(*reader.stack_variables)
        )
    if reader.has_whole_project:
        reader.problems += find_unmatched(environment.overrides, loaded.stacks, environment.name)
    loaded.diagnostics = [
        *without_answered(loaded.stacks, reader.problems),
        *find_shared_addresses(loaded.stacks),
        *find_shared_names([stack for stack in loaded.stacks if stack.path in reader.name_places], reader.name_places),
        *find_conflicts(loaded.stacks),
    ]
    return loaded


def load_environment(request: Request, warn: Callable[[Diagnostic], None] = lambda problem: None) -> Environment:
    """Load only the environment; `warn` gets its warnings. Raises Invalid."""
    reader = ProjectReader(request)
    environment = reader.load_environment([])
    reader.note_unused_variables(environment)
    if any(diagnostic.is_error for diagnostic in reader.problems):
        raise Invalid(reader.problems)
    for problem in reader.problems:
        warn(problem)
    return environment


def read_variable_files(request: Request) -> Mapping[str, Any]:
    """Return the variables of the request's files, where no stack is loaded. Raises Invalid."""
    reader = ProjectReader(request)
    if request.var_files:
        reader.load_environment([])  # a SOPS file is decrypted in the folder of kplan.yaml
    values = reader.read_variables()
    if any(diagnostic.is_error for diagnostic in reader.problems):
        raise Invalid(reader.problems)
    return values


def check_environments(request: Request) -> tuple[list[Environment], list[Diagnostic], dict[str, str]]:
    """Return the environments of the `kplan.yaml`s at the request's paths, their problems, and the files' texts."""
    reader = ProjectReader(request)
    checked: list[Environment] = []
    for path in request.paths:
        document = reader.read_document(Path(request.folder, path), "environments.v1")
        if document is None:
            continue
        for name in environments.list_names(document):
            environment, problems = environments.build_environment(
                document, name, request.process, offline_target=request.offline_target
            )
            reader.problems += problems
            if environment:
                reader.problems += _check_client(document, environment, request)
                checked.append(environment)
        _read_policies(reader, document, Path(request.folder, path))
    return checked, reader.problems, reader.texts


def load_modules(request: Request) -> tuple[Path, dict[str, modules.Module]]:
    """Return the folder of kplan.yaml and the modules that it pins. Raises Invalid."""
    reader = ProjectReader(request)
    config = reader.enter_project([])
    document = reader.read_document(config, "environments.v1") if config else None
    if any(problem.is_error for problem in reader.problems):
        raise Invalid(reader.problems)
    return reader.root, modules.read_modules(document) if document else {}


def list_environment_names(request: Request) -> tuple[str, ...]:
    """Return the environments of the `kplan.yaml` for these paths; without one there is only `local`."""
    reader = ProjectReader(request)
    config = reader._find_config(reader.find_stack_paths())
    document = reader.read_document(config, "environments.v1") if config else None
    return environments.list_names(document) if document else ("local",)


def load_snapshot(path: str) -> Snapshot:
    """Return the snapshot in the file. Raises Invalid if there is none, Stale if it is newer than this kplan."""
    from kplan.servers.snapshots import from_json, unreadable_error

    try:
        data = json.loads(reading.read_file(path, MAX_SNAPSHOT_BYTES))
    except OSError as e:
        raise unreadable_error(path, e.strerror or "it cannot be read") from e
    except (ValueError, RecursionError) as e:
        raise unreadable_error(path, "it is not JSON, or only a part of it") from e
    return from_json(data, path)


def find_shared_names(stacks: Sequence[Stack], places: Mapping[str, Span]) -> list[Diagnostic]:
    """Return an error for each stack whose name another file has too. `places` are those of the names, by path."""
    paths: dict[str, str] = {}
    problems = []
    for stack in stacks:
        other = paths.setdefault(stack.name, stack.path)
        if other != stack.path:
            problems.append(
                error(
                    codes.K211,
                    "declared twice",
                    f"stack {stack.name}: at {places.get(other) or other} too",
                    span=places.get(stack.path),
                    help="a stack's name is its identity: give each file its own",
                )
            )
    return problems


@dataclass(slots=True)
class ProjectReader:
    """Read the files of one request, each once, with their problems."""

    request: Request
    problems: list[Diagnostic] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    search_folders: dict[Path, Path] = field(default_factory=dict)  # of files that were found in a folder
    name_places: dict[str, Span] = field(default_factory=dict)  # the place of each stack's name, by its path
    root: Path = field(default_factory=Path)
    project: tuple[Path, ...] = ()  # the folder of kplan.yaml, where there is one
    templates: dict[tuple[Path, str], tuple[Blueprint | None, list[Diagnostic]]] = field(default_factory=dict)
    ambiguous_places: frozenset[Span] = frozenset()  # places of ambiguous values
    damaged_blocks: list[Span] = field(default_factory=list)  # blocks that are checked without their wrong parts
    unused_variables: list[str] = field(default_factory=list)  # connection variables the environment does not name
    stack_variables: list[frozenset[str]] = field(default_factory=list)  # of each stack that could be read
    variable_places: dict[str, Span] = field(default_factory=dict)  # of names in files of variables
    declared_variables: set[str] = field(default_factory=set)  # variables of the process that stacks name
    encrypted_names: set[str] = field(default_factory=set)  # of variables, in SOPS files
    has_whole_project: bool = False  # whether all stacks of the project were found
    shared: SharedFiles = field(default_factory=SharedFiles)
    template_files: set[str] = field(default_factory=set)  # that were read, as they are shown

    # -- files ----------------------------------------------------------------------------------------------------
    def find_stack_paths(self) -> list[Path]:
        """Return the stack files that were named, those of a folder in order of their names."""
        if not self.request.paths and self.request.takes_project:
            return self._find_project_stacks(Path(self.request.folder))
        paths: list[Path] = []
        for name in self.request.paths:
            path = Path(self.request.folder, name)
            if path.is_dir() and (path / CONFIG).is_file():
                paths += self._find_project_stacks(path)
            elif path.is_dir():
                inside = find_in_folder(path, self.show_path)
                paths += inside
                self.search_folders |= dict.fromkeys(inside, path)
            else:
                paths.append(path)
        return list(dict.fromkeys(paths))

    def _find_project_stacks(self, start: Path) -> list[Path]:
        """Return the stacks of the project whose kplan.yaml is in that folder or above it."""
        config = self._find_config_above(start)
        root = config.parent if config else start
        paths = find_in_project(root, read_listed(config), self.show_path)
        self.search_folders |= dict.fromkeys(paths, root)
        self.has_whole_project = True
        return paths

    def show_path(self, path: Path) -> str:
        """Return the path as a person knows it: relative to the working folder where it is below it."""
        relative = os.path.relpath(path, self.request.folder)
        return str(path) if relative.startswith("..") and path.is_absolute() else relative

    def refuse_outside(self, path: Path, home: Path) -> None:
        """Raise OSError if a file that kplan found by itself is a link out of its folder, or not a plain file.

        A stack that somebody else wrote could make kplan read other files, lines of which errors would show. Links may
        lead around within the folder, and within that of kplan.yaml.
        """
        real = path.resolve()
        if not any(real.is_relative_to(folder.resolve()) for folder in (home, *self.project)):
            raise OSError(f"it is a link out of its folder, to {real}; name that file itself, or copy it")
        if not real.is_file():
            raise OSError("it is not a plain file")

    def read_document(self, path: Path, schema_name: str, home: Path | None = None) -> Document | None:
        """Return the parsed file if it is usable; its problems are kept. `home`: the folder where kplan found it."""
        name = self.show_path(path)
        try:
            if home is not None:
                self.refuse_outside(path, home)
            data = reading.read_file(path)
        except (OSError, ValueError) as e:
            reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            help = _suggest_similar_file(path) or "check the path and its permissions"
            self.problems.append(error(codes.K107, "a file cannot be read", f"{name}: {reason}", help=help))
            return None
        self.texts[name] = data.decode("utf-8", "replace")
        self.files[name] = File(os.path.relpath(path, self.root), hashlib.sha256(data).hexdigest())
        document, problems = source.load(data, name)
        unusable = document is None or any(p.is_error and p.code not in TOLERABLE_CODES for p in problems)
        schema_problems = schema.check(document, _read_schema(schema_name)) if document and not unusable else ()
        if (
            schema_name == "stack.v1"
            and (problems or schema_problems)
            and (mistaken := _recognize_other_format(self, name, document))
        ):
            self.problems.append(mistaken)
            return None
        self.ambiguous_places |= source.doubtful(document, problems) if document else frozenset()
        self.problems += [*problems, *(p for p in schema_problems if p.span not in self.ambiguous_places)]
        if unusable or document is None:
            return None
        self.damaged_blocks += find_damaged_blocks(document, schema_problems)
        return prune(document, schema_problems)

    def _is_consequence(self, problem: Diagnostic) -> bool:
        """Return whether a problem may exist only because of one that is reported already."""
        if problem.span is None or problem.span in self.ambiguous_places:
            return problem.span is not None
        is_inside = any(
            block.path == problem.span.path and _is_within(problem.span, block) for block in self.damaged_blocks
        )
        return is_inside and problem.code not in INDEPENDENT_CODES

    # -- kplan.yaml -----------------------------------------------------------------------------------------------
    def load_environment(self, paths: Sequence[Path]) -> Environment:
        """Return the requested environment. Raises Invalid if there is none."""
        request = self.request
        config = self.enter_project(paths)
        if request.connect and not URL.match(request.connect):
            raise Invalid([error(codes.K203, "not a URL", "--connect", help="a URL begins with http:// or https://")])
        environment = self._read_config(config) if config else self._make_without_config()
        only_connect = bool(environment.connect) and not environment.kafka
        if only_connect and not request.needs_only_connect and request.offline_target is None:
            source = "--connect" if request.connect else f"`connect:` in {CONFIG}" if config else CONNECT_URL
            raise Invalid([_report_missing_brokers(environment.name, source)])
        return environments.add_receiver(environment, request.process)

    def enter_project(self, paths: Sequence[Path]) -> Path | None:
        """Take the folder of the kplan.yaml for these paths as the project's, and return the file."""
        config = self._find_config(paths)
        self.root = config.parent if config else Path(self.request.folder)
        self.project = (config.parent,) if config else ()
        return config

    def _make_without_config(self) -> Environment:
        request, process = self.request, self.request.process
        target = request.offline_target if request.offline_target and not request.offline_target.simulated else Target()
        bootstrap = request.bootstrap or process.get(BOOTSTRAP) or target.bootstrap
        connect = request.connect or process.get(CONNECT_URL) or target.connect_url
        if not bootstrap and not connect and request.env not in ("", "local"):
            detail, help = f"{request.env}: no {CONFIG} is found here or above", f"write {CONFIG}, or give --bootstrap"
            raise Invalid([error(codes.K205, "there is no such environment", detail, help=help)])
        name = request.env or ("default" if bootstrap or connect else "local")
        environment, problems = environments.make_without_file(name, process, str(self.root), bootstrap, connect)
        if problems:
            raise Invalid(problems)
        if environment.simulated:
            self.unused_variables = list_set_connection_variables(process)
        return environment

    def _read_config(self, config: Path) -> Environment:
        request = self.request
        document = self.read_document(config, "environments.v1")
        if document is None:
            raise Invalid(self.problems)
        broken = _list_broken_environments(self.problems)
        name = request.env or environments.choose_default_name(document, broken)
        if name in broken and name not in environments.list_names(document):
            raise Invalid(self.problems)
        environment, problems = environments.build_environment(
            document,
            name,
            request.process,
            self.files[self.show_path(config)],
            str(self.root),
            request.offline_target,
            broken,
            (request.bootstrap, request.connect),
            request.outputs if request.asks_providers else None,
        )
        self.problems += problems
        if environment is None:
            raise Invalid(self.problems)
        self.problems += _check_client(document, environment, request)
        self.shared = SharedFiles.create(document, self.root)
        environment = replace(environment, policies=_read_policies(self, document, config))
        referenced = find_referenced_variables(document.data["environments"][name])
        self.unused_variables = [
            variable for variable in list_set_connection_variables(request.process) if variable not in referenced
        ]
        return environment

    def note_unused_variables(self, environment: Environment) -> None:
        """Report the connection variables that have no effect.

        Raises Invalid where they would go to a simulated cluster that was not asked for.
        """
        unused = [name for name in self.unused_variables if name not in self.declared_variables]
        if not unused or self.request.offline_target is not None:
            return
        detail = f"{', '.join(unused)}; environment {environment.name}"
        if not environment.simulated:
            help = f"unset them, or name them in {CONFIG}: {{{{ env.{unused[0]} }}}}"
            self.problems.append(warning(codes.K244, "connection variables have no effect", detail, help=help))
        elif self.request.env:
            help = f"--env {environment.name} is a simulated cluster; unset them"
            self.problems.append(warning(codes.K244, "connection variables have no effect", detail, help=help))
        else:
            option = f"--bootstrap HOST:PORT, or {BOOTSTRAP}" if environment.file is None else "--env NAME"
            help = f"name the cluster with {option}; the simulated one with --env {environment.name}"
            detail += " is simulated"
            raise Invalid([error(codes.K244, "connection variables have no effect", detail, help=help)])

    def _find_config(self, paths: Sequence[Path]) -> Path | None:
        """Return `kplan.yaml` in the first stack's folder, the working folder, or above."""
        return self._find_config_above(paths[0].parent if paths else Path(self.request.folder))

    def _find_config_above(self, start: Path) -> Path | None:
        """Return `kplan.yaml` in that folder, or above it."""
        start = start.resolve()
        for folder in (start, *start.parents):
            if (folder / CONFIG).is_file():
                if (
                    folder / CONFIG
                ).resolve().name != CONFIG:  # otherwise any file could be read, and lines of it shown
                    detail = f"{folder / CONFIG} is a link to {(folder / CONFIG).resolve()}"
                    help = f"a link may lead to another {CONFIG} alone"
                    raise Invalid([error(codes.K107, "a file cannot be read", detail, help=help)])
                return Path(os.path.relpath(folder / CONFIG))
            if kind := reading.name_kind(folder / CONFIG):  # another cluster must not be used instead
                detail = f"{folder / CONFIG} is {kind}"
                raise Invalid([error(codes.K107, "a file cannot be read", detail, help=f"make {CONFIG} a plain file")])
        return None

    # -- stacks ---------------------------------------------------------------------------------------------------
    def read_variables(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in self.request.var_files:
            document = self.read_document(Path(self.request.folder, name), "")
            if document is not None and isinstance(document.data, dict):
                values |= (data := _decrypt_variables(self, Path(self.request.folder, name), document))
                self.variable_places |= {key: document.key_at(key) for key in data if (key,) in document.spans}
            elif document is not None:
                summary, help = "a file of variables is not a map", "write NAME: VALUE lines"
                self.problems.append(error(codes.K106, summary, name, span=document.at(), help=help))
        return values

    def read_stack(self, path: Path, environment: Environment, given_values: Given) -> Stack | None:
        document = self.read_document(path, "stack.v1", self.search_folders.get(path))
        if document is None:
            return None
        document, included = _include(self, document)
        if document is None:
            return None
        used_files: dict[str, File] = {shown: self.files[shown] for shown in (self.show_path(path), *included)}
        rules = (document.data.get("variables") or {}).values()
        self.declared_variables |= {str(rule["env"]) for rule in rules if isinstance(rule, dict) and rule.get("env")}
        self.stack_variables.append(frozenset(map(str, document.data.get("variables") or {})))

        def find(name: str) -> tuple[Blueprint | None, Sequence[Diagnostic]]:
            template = self._find_template(path.parent, name)
            used_files.update({k: v for k, v in self.files.items() if k in self.template_files})
            return template

        own, read_file = tuple(used_files.values()), partial(_read_named_file, self, path.parent, used_files)
        stack, problems = expand(document, Inputs(environment, given_values, find, own, read_file))
        self.problems += [problem for problem in problems if not self._is_consequence(problem)]
        if stack is None:
            return None
        files = (*used_files.values(), *filter(None, [environment.file]))
        stack = replace(stack, files=tuple(dict.fromkeys(files)))
        if ("stack",) in document.spans:
            self.name_places[stack.path] = document.at("stack")
        return stack

    def _find_template(self, folder: Path, name: str) -> tuple[Blueprint | None, list[Diagnostic]]:
        """Return the template beside the stack, or the built-in one."""
        from kplan.kinds.connector.templates import blueprint

        key = (folder, name)
        if key not in self.templates:
            self.templates[key] = blueprint(name, lambda n: self._read_template(folder, n))
            template, problems = self.templates[key]
            if template is None and not problems:
                available = ", ".join(sorted(list_built_in_templates()))
                self.templates[key] = (
                    None,
                    [
                        error(
                            codes.K207,
                            "there is no such template",
                            name,
                            help=f"built in: {available}; put your own into templates/ beside the stack",
                        )
                    ],
                )
        template, problems = self.templates[key]
        return template, list(problems)

    def _read_template(self, folder: Path, name: str) -> tuple[Document | None, Sequence[Diagnostic]]:
        if not TEMPLATE_NAME.match(name):
            return None, []
        for place, home in ((folder / "templates", folder), *_list_template_folders(self)):
            path = place / f"{name}.yaml"
            if path.is_file():
                count = len(self.problems)
                self.template_files.add(self.show_path(path))
                document = self.read_document(path, "template.v1", home)
                problems, self.problems[count:] = self.problems[count:], []
                return document, problems
        return load_built_in(name), []


def _recognize_other_format(reader: ProjectReader, name: str, document: Document | None) -> Diagnostic | None:
    """Return a problem for a file that is something else than a stack with errors."""
    from kplan.language.mistaken import recognize

    format = recognize(name, reader.texts[name], document.data if document else None)
    return format.not_a_stack(name, reader.texts[name]) if format else None


def _list_template_folders(reader: ProjectReader) -> Iterator[tuple[Path, Path]]:
    """Yield the folders of kplan.yaml that may hold a template, each with the one that it must not lead out of."""
    for name, span in reader.shared.template_folders:
        try:
            yield reader.shared.locate(name, span)
        except Invalid as e:
            reader.problems += [problem for problem in e.diagnostics if problem not in reader.problems]


def _include(reader: ProjectReader, document: Document) -> tuple[Document | None, list[str]]:
    """Return the stack with the files that it includes, and their paths; None where one cannot be used."""
    parts: list[Document] = []
    shown: list[str] = []
    for i, name in enumerate(document.data.get(including.INCLUDE) or []):
        span = document.at(including.INCLUDE, i)
        try:
            path, home = reader.shared.locate(str(name), span)
        except Invalid as e:
            reader.problems += [problem for problem in e.diagnostics if problem not in reader.problems]
            return None, []
        if not path.is_file():
            help = _suggest_similar_file(path) or "paths begin at the folder of kplan.yaml"
            detail = f"{reader.show_path(path)}: there is no such file"
            reader.problems.append(error(codes.K116, "an included file cannot be used", detail, span=span, help=help))
            return None, []
        part = reader.read_document(path, PART_SCHEMA, home)
        if part is None or not isinstance(part.data, dict):
            return None, []
        parts.append(part)
        shown.append(reader.show_path(path))
    return including.merge_included(document, parts) if parts else document, shown


def _decrypt_variables(reader: ProjectReader, path: Path, document: Document) -> dict[str, Any]:
    """Return the file's variables. `sops -d` decrypts those of a SOPS file; offline, each encrypted one is None.

    https://getsops.io/docs/ : a mapping with the key `sops`, whose encrypted values are texts `ENC[…]`.
    """
    request = reader.request
    if not isinstance(document.data.get(SOPS_KEY), dict):
        return dict(document.data)
    written = {key: value for key, value in document.data.items() if key != SOPS_KEY}
    encrypted = {key for key, value in written.items() if _is_encrypted(value)}
    reader.encrypted_names |= encrypted
    unknown = {key: None if key in encrypted else value for key, value in written.items()}
    if request.offline_target is not None or not request.asks_providers:
        return unknown
    try:
        command = ("sops", "-d", str(path.resolve()))
        data = request.outputs.read(command, str(reader.root), request.process, reader.show_path(path))
    except SecretProblem as e:
        reader.problems.append(e.at(document.key_at(SOPS_KEY)))
        return unknown
    decrypted = {key: data[key] for key in written if key in data} if isinstance(data, dict) else {}
    request.outputs.learn(text for key in encrypted for text in _iterate_texts(decrypted.get(key)))
    return {**unknown, **decrypted}


def _is_encrypted(value: Any) -> bool:
    return any(text.startswith("ENC[") for text in _iterate_texts(value))


def _iterate_texts(value: Any) -> Iterator[str]:
    """Yield the scalars of a value as texts."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _iterate_texts(each)
    elif value is not None:
        yield str(value)


def _read_named_file(reader: ProjectReader, folder: Path, used: dict[str, File], name: str) -> tuple[str, bytes]:
    """Return the path, as it is shown, and the bytes of a file that a stack in `folder` names. Raises OSError.

    The file is added to those that the stack has `used`.
    """
    path = Path(os.path.normpath(folder / name))
    shown = reader.show_path(path)
    if not path.exists():
        raise FileNotFoundError(2, "there is no such file")
    reader.refuse_outside(path, folder)
    data = reading.read_file(path)
    reader.texts[shown] = data.decode("utf-8", "replace")
    used[shown] = reader.files[shown] = File(os.path.relpath(path, reader.root), hashlib.sha256(data).hexdigest())
    return shown, data


def _suggest_similar_file(path: Path) -> str:
    """Return help that names a file with a name similar to a missing one; empty if there is none."""
    from difflib import get_close_matches

    if path.exists() or not path.parent.is_dir():
        return ""
    with os.scandir(path.parent) as entries:
        names = sorted(entry.name for entry in islice(entries, MAX_NAMES) if entry.name.endswith(SUFFIXES))
    similar = get_close_matches(path.name, names, 1, 0.7) or [name for name in names if Path(name).stem == path.name]
    return f"did you mean {path.parent / similar[0]}?" if similar else ""


@lru_cache(maxsize=64)
def load_built_in(name: str) -> Document | None:
    """Return the template that comes with kplan."""
    file = TEMPLATES / f"{name}.yaml"
    if not file.is_file():
        return None
    return source.load(file.read_bytes(), f"{name}.yaml")[0]


def list_built_in_templates() -> tuple[str, ...]:
    """Return the templates that come with kplan, without those that are only extended by others."""
    names = sorted(file.stem for file in TEMPLATES.glob("*.yaml"))
    return tuple(name for name in names if (document := load_built_in(name)) and "class" in document.data)


def _read_policies(reader: ProjectReader, document: Document, config: Path) -> tuple[Policy, ...]:
    """Return the policies of kplan.yaml and of the file that it names."""
    if not document.data.get(policy_file.SECTION):
        return ()
    policies, problems = policy_file.read_policies(document, (policy_file.SECTION,))
    if name := policy_file.find_file(document):
        path, place, known = (
            config.parent / name,
            document.at(policy_file.SECTION, policy_file.FILE),
            len(reader.problems),
        )
        further = reader.read_document(path, POLICIES_SCHEMA, config.parent if path.exists() else None)
        reader.problems[known:] = [problem.with_span(place) for problem in reader.problems[known:]]
        if further is not None:
            more, more_problems = policy_file.read_policies(further)
            policies, problems = [*policies, *more], [*problems, *more_problems]
    reader.problems += [*problems, *policy_file.find_same_names(policies)]
    return tuple(policies)


def _read_schema(name: str) -> Mapping[str, Any]:
    if name == POLICIES_SCHEMA:
        return policy_file.read_file_schema()
    if name == PART_SCHEMA:
        return including.read_part_schema()
    return read_schema(name) if name else {}


def prune(document: Document, problems: Iterable[Diagnostic]) -> Document | None:
    """Return the document without the parts that do not meet the schema, so that the rest can be checked; None where
    the rest would no longer be the intended stack."""
    errors = [p for p in problems if p.is_error]
    if not errors:
        return document
    data = copy.deepcopy(document.data)
    if not isinstance(data, dict):
        return None
    for problem in errors:
        section, entry = _find_entry(problem)
        if section in ("topics", "connectors") and _remove_part(data, _split_path(problem)):
            continue
        if section in ("topics", "connectors", "environments"):
            if isinstance(data.get(section), dict):
                data[section].pop(entry, None)
        elif not _repair(data, problem, document.path):
            return None
    return replace(document, data=data)


def _remove_part(data: dict[str, Any], steps: Sequence[str]) -> bool:
    """Remove the part at `steps` from its block, and return whether the block is still the intended one."""
    parents: list[tuple[dict[str, Any], str]] = []
    current: Any = data
    for step in steps:
        if not isinstance(current, dict) or step not in current:
            break
        parents.append((current, step))
        current = current[step]
    if len(parents) < 3 or (len(parents) == 3 and steps[2] in ESSENTIAL_KEYS):
        return False
    owner, key = parents[-1]
    owner.pop(key)
    return True


def _repair(data: dict[str, Any], problem: Diagnostic, path: str) -> bool:
    """Repair a problem at the top of a stack, with a placeholder for what is required, and return whether it worked."""
    (key, *below) = _split_path(problem) or ("",)
    if below or key in ("environments", ""):
        return False
    if key == "version":
        data[key] = 1
    elif key == "stack":
        data[key] = schema.name_from(path)
    elif problem.summary != "unknown key" or problem.help.startswith("did you mean"):
        return False
    else:
        data.pop(key, None)
    return True


def find_damaged_blocks(document: Document, problems: Iterable[Diagnostic]) -> list[Span]:
    """Return the places of the blocks that `prune` removed a part of."""
    places = []
    for entry in dict.fromkeys(_find_entry(problem) for problem in problems if problem.is_error):
        if entry[0] in ("topics", "connectors") and entry in document.spans:
            key, value = document.key_at(*entry), document.at(*entry)
            places.append(Span(document.path, key.line, key.column, value.end_line, value.end_column))
    return places


def _is_within(span: Span, block: Span) -> bool:
    return (block.line, block.column) <= (span.line, span.column) <= (block.end_line, block.end_column)


def _split_path(problem: Diagnostic) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in problem.path.split("/") if part]


def _find_entry(problem: Diagnostic) -> tuple[str, str]:
    """Return the section and the entry of it that has the schema problem; empty if it is in no entry."""
    parts = _split_path(problem)
    return (parts[0], parts[1]) if len(parts) > 1 else ("", "")


def _check_client(document: Document, environment: Environment, request: Request) -> list[Diagnostic]:
    """Return what librdkafka refuses of the client's settings. No server is contacted."""
    if not environment.kafka:
        return []
    from kplan.servers.client_properties import find_refused

    written = document.data["environments"][environment.name].get("kafka") or {}
    unknown = (
        {key for key, value in written.items() if is_template(value)} if request.offline_target is not None else ()
    )
    return find_refused(document, environment.name, environment.kafka, unknown, bool(environment.login))


def _report_missing_brokers(name: str, source: str) -> Diagnostic:
    brokers = "add `kafka:` to it" if source.startswith("`") else f"give --bootstrap HOST:PORT or {BOOTSTRAP} as well"
    return error(
        codes.K246,
        "Connect is named without brokers",
        f"{source}; environment {name} has no brokers",
        help=f"{brokers}: topics, owners and runs are in Kafka. `wait`, `list` and `connector` need Connect alone",
    )


def _list_broken_environments(problems: Iterable[Diagnostic]) -> tuple[str, ...]:
    """Return the environments that `prune` left out, in order."""
    entries = [_find_entry(problem) for problem in problems if problem.is_error]
    return tuple(dict.fromkeys(name for section, name in entries if section == "environments"))


__all__ = [
    "KplanError",
    "Loaded",
    "Request",
    "list_built_in_templates",
    "load_environment",
    "load_project",
    "load_snapshot",
]
