"""Files become stacks and an environment. The only module that reads a person's files."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kplan.diagnostics import Diagnostic, Invalid, KplanError, Span, codes, error, warning
from kplan.kinds.connector.sinks import without_answered
from kplan.language import schema, source
from kplan.language.source import Document
from kplan.language.template import is_template
from kplan.language.variables import Given, find_undeclared
from kplan.model import File, Stack, Target
from kplan.project import environment as environments
from kplan.project import reading
from kplan.project.environment import Environment
from kplan.project.expand import Inputs, expand
from kplan.project.process import BOOTSTRAP, CONNECT_URL, referenced_variables, set_connection_variables
from kplan.project.stacks import conflicts, same_addresses
from kplan.text import join_names

if TYPE_CHECKING:
    from kplan.kinds.connector.templates import Blueprint
    from kplan.servers.snapshots import Snapshot

CONFIG = "kplan.yaml"
TEMPLATES = Path(__file__).parents[1] / "connectors"
SUFFIXES = (".yaml", ".yml", ".json")
NO_STACKS = ("templates", "node_modules", "__pycache__")  # folders that are not looked through for stacks
MOST_FOLDERS, MOST_FILES, BEGINNING = 200, 50, 16 * 1024
MOST_NAMES = 1000  # names of a folder that are compared with one that is not there
LARGEST_JSON_STACK = 1024 * 1024  # of those that are looked for in folders
LARGEST_SNAPSHOT = 16 * reading.LARGEST
URL = re.compile(r"\s*https?://")
# Problems with YAML after which the data is still what was meant, as far as it goes.
GOES_ON = (codes.K102.number, codes.K103.number)
OF_ITSELF = frozenset(  # what is wrong in a block whatever its other parts are
    code.number
    for code in (
        codes.K104, codes.K108, codes.K109, codes.K110, codes.K201, codes.K203, codes.K206, codes.K207, codes.K209,
        codes.K210, codes.K211, codes.K220, codes.K222, codes.K248,
    )
)  # fmt: skip
ESSENTIAL = frozenset({"for_each", "template", "class", "name", "client", "config"})  # a block without it is another
TEMPLATE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked to be loaded. `process` are the process's environment variables.

    With `unasked` no server will be asked: it tells the addresses of those that the environment does not reach here.
    """

    paths: Sequence[str] = ()
    env: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    var_files: Sequence[str] = ()
    bootstrap: str = ""
    connect: str = ""
    connect_alone: bool = False  # whether Connect is enough, without brokers
    folder: str = "."
    process: Mapping[str, str] = field(default_factory=dict)
    unasked: Target | None = None


@dataclass(slots=True)
class Loaded:
    """What the files say. With errors among the `diagnostics` the stacks are what could be made of them."""

    environment: Environment
    stacks: list[Stack] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict, repr=False)  # by path as shown, for snippets

    @property
    def has_errors(self) -> bool:
        return any(d.is_error for d in self.diagnostics)


def load(request: Request, known: Callable[[Environment], None] = lambda environment: None) -> Loaded:
    """Reads everything and finds every problem. Raises Invalid where there is no file or environment to go on with.

    `known` is told the environment before the stacks are read.
    """
    reader = Reader(request)
    paths = reader.stack_paths()
    environment = reader.environment(paths)
    if not any(problem.is_error for problem in reader.problems):
        known(environment)
    loaded = Loaded(environment, texts=reader.texts)
    given = Given(request.flags, reader.variables(), request.process, environment.variables, environment.passwords)
    for path in paths:
        stack = reader.stack(path, environment, given)
        if stack is not None:
            loaded.stacks.append(stack)
    reader.note_unused_variables(environment)
    if len(reader.stack_variables) == len(paths):
        reader.problems += find_undeclared(given, reader.variable_places, frozenset().union(*reader.stack_variables))
    loaded.diagnostics = [
        *without_answered(loaded.stacks, reader.problems),
        *same_addresses(loaded.stacks),
        *same_names([stack for stack in loaded.stacks if stack.path in reader.named], reader.named),
        *conflicts(loaded.stacks),
    ]
    return loaded


def load_environment(request: Request, warn: Callable[[Diagnostic], None] = lambda problem: None) -> Environment:
    """The environment alone; `warn` gets what is not as it was meant. Raises Invalid."""
    reader = Reader(request)
    environment = reader.environment([])
    reader.note_unused_variables(environment)
    if any(d.is_error for d in reader.problems):
        raise Invalid(reader.problems)
    for problem in reader.problems:
        warn(problem)
    return environment


def check_environments(request: Request) -> tuple[list[Environment], list[Diagnostic], dict[str, str]]:
    """The environments of the `kplan.yaml`s at the request's paths, what is wrong in them, and the files' texts."""
    reader = Reader(request)
    found: list[Environment] = []
    for path in request.paths:
        document = reader.document(Path(request.folder, path), "environments.v1")
        if document is None:
            continue
        for name in environments.names(document):
            environment, problems = environments.build(document, name, request.process, unasked=request.unasked)
            reader.problems += problems
            if environment:
                reader.problems += _client_problems(document, environment, request)
                found.append(environment)
    return found, reader.problems, reader.texts


def environment_names(request: Request) -> tuple[str, ...]:
    """The environments of the `kplan.yaml` that counts for these paths; without one there is `local` alone."""
    reader = Reader(request)
    config = reader._config(reader.stack_paths())
    document = reader.document(config, "environments.v1") if config else None
    return environments.names(document) if document else ("local",)


def load_snapshot(path: str) -> Snapshot:
    """The snapshot in the file. Raises Invalid where there is none, Stale where it is newer than this kplan."""
    from kplan.servers.snapshots import from_json, unreadable

    try:
        data = json.loads(reading.read_file(path, LARGEST_SNAPSHOT))
    except OSError as e:
        raise unreadable(path, e.strerror or "it cannot be read") from e
    except (ValueError, RecursionError) as e:
        raise unreadable(path, "it is no JSON, or only a part of it") from e
    return from_json(data, path)


def same_names(stacks: Sequence[Stack], places: Mapping[str, Span]) -> list[Diagnostic]:
    """An error for each stack whose name another file has too. `places` are those of the names, by the stack's path."""
    seen: dict[str, str] = {}
    found = []
    for stack in stacks:
        other = seen.setdefault(stack.name, stack.path)
        if other != stack.path:
            found.append(
                error(
                    codes.K211,
                    "declared twice",
                    f"stack {stack.name}: at {places.get(other) or other} too",
                    span=places.get(stack.path),
                    help="a stack's name is its identity: give each file its own",
                )
            )
    return found


@dataclass(slots=True)
class Reader:
    """The files of one request, each read once, with what is wrong in them."""

    request: Request
    problems: list[Diagnostic] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    homes: dict[Path, Path] = field(default_factory=dict)  # of files that were found in a folder
    named: dict[str, Span] = field(default_factory=dict)  # where each stack has its name, by its path
    root: Path = field(default_factory=Path)
    project: tuple[Path, ...] = ()  # the folder of kplan.yaml, where there is one
    templates: dict[tuple[Path, str], tuple[Blueprint | None, list[Diagnostic]]] = field(default_factory=dict)
    doubtful: frozenset[Span] = frozenset()  # places of ambiguous values
    damaged: list[Span] = field(default_factory=list)  # blocks that are judged without the parts that are wrong
    unused: list[str] = field(default_factory=list)  # connection variables the environment does not name
    stack_variables: list[frozenset[str]] = field(default_factory=list)  # of each stack that could be read
    variable_places: dict[str, Span] = field(default_factory=dict)  # of names in files of variables
    declared: set[str] = field(default_factory=set)  # variables of the process that stacks name

    # -- files ----------------------------------------------------------------------------------------------------
    def stack_paths(self) -> list[Path]:
        """The stack files that were named, those of a folder in order of their names."""
        found: list[Path] = []
        asked = {Path(self.request.folder, name).resolve() for name in self.request.paths}
        for name in self.request.paths:
            path = Path(self.request.folder, name)
            if path.is_dir():
                inside = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and p.name != CONFIG)
                below = [each for each in _folders_with_stacks(path) if each.resolve() not in asked]
                if not inside:
                    raise Invalid([self._without_stacks(name, below)])
                if below:
                    self.problems.append(self._not_read(name, below))
                found += inside
                self.homes |= dict.fromkeys(inside, path)
            else:
                found.append(path)
        return list(dict.fromkeys(found))

    def _without_stacks(self, name: str, below: Sequence[Path]) -> Diagnostic:
        help = "it holds no .yaml file"
        if below:
            help += f" itself, and folders in it are not read: name {join_names([self.shown(each) for each in below])}"
        return error(codes.K107, "a folder without stacks", str(name), help=help)

    def _not_read(self, name: str, below: Sequence[Path]) -> Diagnostic:
        folders = [self.shown(each) for each in below]
        return warning(
            codes.K112,
            "stacks in folders below are not read",
            f"{name} was asked for, and there are stacks in {join_names(folders)}, too",
            help=f"name each folder whose stacks are meant: {name} {join_names(folders, 1)}",
        )

    def shown(self, path: Path) -> str:
        """The path as a person knows it: relative to the working folder where it is below it."""
        relative = os.path.relpath(path, self.request.folder)
        return str(path) if relative.startswith("..") and path.is_absolute() else relative

    def _refuse_elsewhere(self, path: Path, home: Path) -> None:
        """Raises OSError where a file that kplan found by itself is a link out of its folder, or no plain file.

        A stack that somebody else wrote could have other files read by it, lines of which errors would show. Links
        may lead around within the folder, and within that of kplan.yaml.
        """
        real = path.resolve()
        if not any(real.is_relative_to(folder.resolve()) for folder in (home, *self.project)):
            raise OSError(f"it is a link out of its folder, to {real}; name that file itself, or copy it")
        if not real.is_file():
            raise OSError("it is no plain file")

    def document(self, path: Path, schema_name: str, home: Path | None = None) -> Document | None:
        """The parsed file if it can be gone on with; its problems are kept. `home`: the folder where kplan found it."""
        name = self.shown(path)
        try:
            if home is not None:
                self._refuse_elsewhere(path, home)
            data = reading.read_file(path)
        except (OSError, ValueError) as e:
            reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            help = _similar_files(path) or "check the path and its permissions"
            self.problems.append(error(codes.K107, "a file cannot be read", f"{name}: {reason}", help=help))
            return None
        self.texts[name] = data.decode("utf-8", "replace")
        self.files[name] = File(os.path.relpath(path, self.root), hashlib.sha256(data).hexdigest())
        document, problems = source.load(data, name)
        stops = document is None or any(p.is_error and p.code not in GOES_ON for p in problems)
        wrong = schema.check(document, _schema(schema_name)) if document and not stops else ()
        if schema_name == "stack.v1" and (problems or wrong) and (other := self._of_another_kind(name, document)):
            self.problems.append(other)
            return None
        self.doubtful |= source.doubtful(document, problems) if document else frozenset()
        self.problems += [*problems, *(p for p in wrong if p.span not in self.doubtful)]
        if stops or document is None:
            return None
        self.damaged += damaged(document, wrong)
        return pruned(document, wrong)

    def _follows(self, problem: Diagnostic) -> bool:
        """Whether a problem may be there only because of one that is reported already."""
        if problem.span is None or problem.span in self.doubtful:
            return problem.span is not None
        inside = any(part.path == problem.span.path and _is_within(problem.span, part) for part in self.damaged)
        return inside and problem.code not in OF_ITSELF

    def _of_another_kind(self, name: str, document: Document | None) -> Diagnostic | None:
        """What says that the file is something else than a stack with errors."""
        from kplan.language.mistaken import recognize

        found = recognize(name, self.texts[name], document.data if document else None)
        return found.not_a_stack(name, self.texts[name]) if found else None

    # -- kplan.yaml -----------------------------------------------------------------------------------------------
    def environment(self, paths: Sequence[Path]) -> Environment:
        """The environment that was asked for. Raises Invalid where there is none."""
        request = self.request
        config = self._config(paths)
        self.root = config.parent if config else Path(request.folder)
        self.project = (config.parent,) if config else ()
        if request.connect and not URL.match(request.connect):
            raise Invalid([error(codes.K203, "not a URL", "--connect", help="a URL begins with http:// or https://")])
        environment = self._from_config(config) if config else self._without_config()
        alone = bool(environment.connect) and not environment.kafka
        if alone and not request.connect_alone and request.unasked is None:
            source = "--connect" if request.connect else f"`connect:` in {CONFIG}" if config else CONNECT_URL
            raise Invalid([_without_brokers(environment.name, source)])
        return environments.with_receiver(environment, request.process)

    def _without_config(self) -> Environment:
        request, process = self.request, self.request.process
        far = request.unasked if request.unasked and not request.unasked.simulated else Target()
        bootstrap = request.bootstrap or process.get(BOOTSTRAP) or far.bootstrap
        connect = request.connect or process.get(CONNECT_URL) or far.connect_url
        if not bootstrap and not connect and request.env not in ("", "local"):
            detail, help = f"{request.env}: no {CONFIG} is found here or above", f"write {CONFIG}, or give --bootstrap"
            raise Invalid([error(codes.K205, "there is no such environment", detail, help=help)])
        name = request.env or ("default" if bootstrap or connect else "local")
        environment, problems = environments.without_file(name, process, str(self.root), bootstrap, connect)
        if problems:
            raise Invalid(problems)
        if environment.simulated:
            self.unused = set_connection_variables(process)
        return environment

    def _from_config(self, config: Path) -> Environment:
        request = self.request
        document = self.document(config, "environments.v1")
        if document is None:
            raise Invalid(self.problems)
        broken = _broken_environments(self.problems)
        name = request.env or environments.default_name(document, broken)
        if name in broken and name not in environments.names(document):
            raise Invalid(self.problems)
        environment, problems = environments.build(
            document,
            name,
            request.process,
            self.files[self.shown(config)],
            str(self.root),
            request.unasked,
            broken,
            (request.bootstrap, request.connect),
        )
        self.problems += problems
        if environment is None:
            raise Invalid(self.problems)
        self.problems += _client_problems(document, environment, request)
        referenced = referenced_variables(document.data["environments"][name])
        self.unused = [each for each in set_connection_variables(request.process) if each not in referenced]
        return environment

    def note_unused_variables(self, environment: Environment) -> None:
        """Keep a problem for the connection variables that have no effect.

        Raises Invalid where they would go to a simulated cluster that was not asked for.
        """
        unused = [name for name in self.unused if name not in self.declared]
        if not unused or self.request.unasked is not None:
            return
        detail = f"{', '.join(unused)}; environment {environment.name}"
        if not environment.simulated:
            help = f"unset them, or name them in {CONFIG}: {{{{ env.{unused[0]} }}}}"
            self.problems.append(warning(codes.K244, "connection variables have no effect", detail, help=help))
        elif self.request.env:
            help = f"--env {environment.name} is a simulated cluster; unset them"
            self.problems.append(warning(codes.K244, "connection variables have no effect", detail, help=help))
        else:
            asked = f"--bootstrap HOST:PORT, or {BOOTSTRAP}" if environment.file is None else "--env NAME"
            help = f"name the cluster with {asked}; the simulated one with --env {environment.name}"
            detail += " is simulated"
            raise Invalid([error(codes.K244, "connection variables have no effect", detail, help=help)])

    def _config(self, paths: Sequence[Path]) -> Path | None:
        """`kplan.yaml` in the first stack's folder, the working folder, or above."""
        start = (paths[0].parent if paths else Path(self.request.folder)).resolve()
        for folder in (start, *start.parents):
            if (folder / CONFIG).is_file():
                if (folder / CONFIG).resolve().name != CONFIG:  # any file could be read by that, and lines of it shown
                    detail = f"{folder / CONFIG} is a link to {(folder / CONFIG).resolve()}"
                    help = f"a link may lead to another {CONFIG} alone"
                    raise Invalid([error(codes.K107, "a file cannot be read", detail, help=help)])
                return Path(os.path.relpath(folder / CONFIG))
            if kind := reading.kind_of(folder / CONFIG):  # another cluster must not be taken instead
                detail = f"{folder / CONFIG} is {kind}"
                raise Invalid([error(codes.K107, "a file cannot be read", detail, help=f"make {CONFIG} a plain file")])
        return None

    # -- stacks ---------------------------------------------------------------------------------------------------
    def variables(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in self.request.var_files:
            document = self.document(Path(self.request.folder, name), "")
            if document is not None and isinstance(document.data, dict):
                values |= document.data
                self.variable_places |= {key: document.key_at(key) for key in document.data}
            elif document is not None:
                self.problems.append(
                    error(
                        codes.K106,
                        "a file of variables is no map",
                        name,
                        span=document.at(),
                        help="write NAME: VALUE lines",
                    )
                )
        return values

    def stack(self, path: Path, environment: Environment, given: Given) -> Stack | None:
        document = self.document(path, "stack.v1", self.homes.get(path))
        if document is None:
            return None
        used: dict[str, File] = {self.shown(path): self.files[self.shown(path)]}
        rules = (document.data.get("variables") or {}).values()
        self.declared |= {str(rule["env"]) for rule in rules if isinstance(rule, dict) and rule.get("env")}
        self.stack_variables.append(frozenset(map(str, document.data.get("variables") or {})))

        def find(name: str) -> tuple[Blueprint | None, Sequence[Diagnostic]]:
            found = self._template(path.parent, name)
            used.update({k: v for k, v in self.files.items() if Path(k).parent.name == "templates"})
            return found

        files = tuple(f for f in (environment.file,) if f)
        stack, problems = expand(document, Inputs(environment, given, find, (self.files[self.shown(path)],)))
        self.problems += [problem for problem in problems if not self._follows(problem)]
        if stack is None:
            return None
        from dataclasses import replace

        stack = replace(stack, files=tuple(dict.fromkeys((*used.values(), *files))))
        if ("stack",) in document.spans:
            self.named[stack.path] = document.at("stack")
        return stack

    def _template(self, folder: Path, name: str) -> tuple[Blueprint | None, list[Diagnostic]]:
        """The template beside the stack, or the built-in one."""
        from kplan.kinds.connector.templates import blueprint

        key = (folder, name)
        if key not in self.templates:
            self.templates[key] = blueprint(name, lambda n: self._template_document(folder, n))
            found, problems = self.templates[key]
            if found is None and not problems:
                close = ", ".join(sorted(built_in_templates()))
                self.templates[key] = (
                    None,
                    [
                        error(
                            codes.K207,
                            "there is no such template",
                            name,
                            help=f"built in: {close}; your own stand in templates/ beside the stack",
                        )
                    ],
                )
        found, problems = self.templates[key]
        return found, list(problems)

    def _template_document(self, folder: Path, name: str) -> tuple[Document | None, Sequence[Diagnostic]]:
        if not TEMPLATE_NAME.match(name):
            return None, []
        own = folder / "templates" / f"{name}.yaml"
        if own.is_file():
            before = len(self.problems)
            document = self.document(own, "template.v1", folder)
            found, self.problems[before:] = self.problems[before:], []
            return document, found
        return built_in(name), []


def _similar_files(path: Path) -> str:
    """Help that names files whose names are like that of one that is not there; empty where there are none."""
    from difflib import get_close_matches

    if path.exists() or not path.parent.is_dir():
        return ""
    with os.scandir(path.parent) as entries:
        names = sorted(entry.name for entry in islice(entries, MOST_NAMES) if entry.name.endswith(SUFFIXES))
    near = get_close_matches(path.name, names, 1, 0.7) or [name for name in names if Path(name).stem == path.name]
    return f"did you mean {path.parent / near[0]}?" if near else ""


def _folders_with_stacks(folder: Path) -> list[Path]:
    """The folders below that hold stacks of the same project; so many are looked at that it takes no time."""
    found: list[Path] = []
    looked = 0
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in NO_STACKS)
        if Path(here) == folder:
            continue
        looked += 1
        if looked > MOST_FOLDERS:
            break
        if CONFIG in files:  # another project
            folders.clear()
        elif any(_is_stack(Path(here, name)) for name in sorted(files)[:MOST_FILES]):
            found.append(Path(here))
    return found


def _is_stack(path: Path) -> bool:
    """Whether the file has the two keys that each stack begins with."""
    try:
        if path.suffix not in SUFFIXES or path.is_symlink() or not path.is_file():
            return False
        if path.suffix == ".json":  # a JSON Schema describes such keys, deeper in it
            data = json.loads(path.read_bytes()) if path.stat().st_size <= LARGEST_JSON_STACK else None
            return isinstance(data, dict) and {"version", "stack"} <= data.keys()
        with path.open("rb") as file:
            beginning = file.read(BEGINNING)
    except (OSError, ValueError, RecursionError):
        return False
    return all(re.search(rb"(?m)^[\s{,]*\"?" + key + rb"\"?\s*:", beginning) for key in (b"version", b"stack"))


@lru_cache(maxsize=64)
def built_in(name: str) -> Document | None:
    """The template that comes with kplan."""
    file = TEMPLATES / f"{name}.yaml"
    if not file.is_file():
        return None
    return source.load(file.read_bytes(), f"{name}.yaml")[0]


def built_in_templates() -> tuple[str, ...]:
    """The templates that come with kplan, without those that are only extended by others."""
    names = sorted(file.stem for file in TEMPLATES.glob("*.yaml"))
    return tuple(name for name in names if (document := built_in(name)) and "class" in document.data)


def _schema(name: str) -> Mapping[str, Any]:
    return schema.read_schema(name) if name else {}


def pruned(document: Document, problems: Iterable[Diagnostic]) -> Document | None:
    """The document without the parts that do not meet the schema, so that the rest can be checked all the same;
    None where what is left would not be the stack that was meant."""
    wrong = [p for p in problems if p.is_error]
    if not wrong:
        return document
    data = copy.deepcopy(document.data)
    if not isinstance(data, dict):
        return None
    for problem in wrong:
        section, entry = _entry(problem)
        if section in ("topics", "connectors") and _without_part(data, _steps(problem)):
            continue
        if section in ("topics", "connectors", "environments"):
            if isinstance(data.get(section), dict):
                data[section].pop(entry, None)
        elif not _mended(data, problem, document.path):
            return None
    from dataclasses import replace

    return replace(document, data=data)


def _without_part(data: dict[str, Any], steps: Sequence[str]) -> bool:
    """Takes the part at `steps` out of its block, True where the block is still the one that was meant."""
    parents: list[tuple[dict[str, Any], str]] = []
    here: Any = data
    for step in steps:
        if not isinstance(here, dict) or step not in here:
            break
        parents.append((here, step))
        here = here[step]
    if len(parents) < 3 or (len(parents) == 3 and steps[2] in ESSENTIAL):
        return False
    owner, key = parents[-1]
    owner.pop(key)
    return True


def _mended(data: dict[str, Any], problem: Diagnostic, path: str) -> bool:
    """Whether all else at the top of a stack stays as it was meant; what is needed gets a stand-in."""
    (key, *below) = _steps(problem) or ("",)
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


def damaged(document: Document, problems: Iterable[Diagnostic]) -> list[Span]:
    """Where the blocks stand that `pruned` took a part of."""
    found = []
    for entry in dict.fromkeys(_entry(problem) for problem in problems if problem.is_error):
        if entry[0] in ("topics", "connectors") and entry in document.spans:
            key, value = document.key_at(*entry), document.at(*entry)
            found.append(Span(document.path, key.line, key.column, value.end_line, value.end_column))
    return found


def _is_within(span: Span, block: Span) -> bool:
    return (block.line, block.column) <= (span.line, span.column) <= (block.end_line, block.end_column)


def _steps(problem: Diagnostic) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in problem.path.split("/") if part]


def _entry(problem: Diagnostic) -> tuple[str, str]:
    """The section and the entry of it that a problem with the schema is in; empty where it is in no entry."""
    parts = _steps(problem)
    return (parts[0], parts[1]) if len(parts) > 1 else ("", "")


def _client_problems(document: Document, environment: Environment, request: Request) -> list[Diagnostic]:
    """Return what librdkafka refuses of the client's settings. No server is asked."""
    if not environment.kafka:
        return []
    from kplan.servers.client_properties import find_refused

    written = document.data["environments"][environment.name].get("kafka") or {}
    unknown = {key for key, value in written.items() if is_template(value)} if request.unasked is not None else ()
    return find_refused(document, environment.name, environment.kafka, unknown)


def _without_brokers(name: str, source: str) -> Diagnostic:
    brokers = "add `kafka:` to it" if source.startswith("`") else f"give --bootstrap HOST:PORT or {BOOTSTRAP} as well"
    return error(
        codes.K246,
        "Connect is named without brokers",
        f"{source}; environment {name} has no brokers",
        help=f"{brokers}: topics, owners and runs are in Kafka. `wait`, `list` and `connector` need Connect alone",
    )


def _broken_environments(problems: Iterable[Diagnostic]) -> tuple[str, ...]:
    """The environments that `pruned` left out, in order."""
    entries = [_entry(problem) for problem in problems if problem.is_error]
    return tuple(dict.fromkeys(name for section, name in entries if section == "environments"))


__all__ = ["KplanError", "Loaded", "Request", "built_in_templates", "load", "load_environment", "load_snapshot"]
