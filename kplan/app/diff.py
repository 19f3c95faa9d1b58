"""Compare two environments: what the stacks declare in each, what is live in each, and why that differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from kplan.app.ledger import read_ledger
from kplan.app.load import load_stacks, refuse_errors
from kplan.app.opening import open_environment
from kplan.inspect.environments import (
    EnvironmentComparison,
    EnvironmentInput,
    ResourceDifference,
    collect_resources,
    compare_states,
    show_value,
)
from kplan.kinds.connector.names import DEFAULT
from kplan.kinds.connector.sensitivity import of_ledger, of_stacks
from kplan.kinds.registry import KINDS, comparison_of
from kplan.model import Address, Resource
from kplan.planning.reading import read_addresses
from kplan.project.loading import Request, find_environment_places, load_stacks_in
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.runtime import Runtime
    from kplan.diagnostics import Span
    from kplan.project.environment import Environment
    from kplan.project.loading import Loaded

FORMAT: Final = "1.0"
Places = Mapping[tuple[str | int, ...], "Span"]


@dataclass(frozen=True, slots=True)
class LiveDifference:
    """What is live of a resource in one environment: not there, no longer declared, or settings with other values."""

    is_there: bool
    is_declared: bool = True
    settings: tuple[tuple[str, Any, Any], ...] = ()  # path, declared, live


@dataclass(frozen=True, slots=True)
class EnvironmentDiff:
    """Two environments compared. `live` is None where no server was asked; else it has, for each environment, the
    resources that are live otherwise than they are declared there."""

    names: tuple[str, str]
    compared: EnvironmentComparison
    declared: tuple[Mapping[Address, Resource], Mapping[Address, Resource]]
    places: tuple[Places, Places]
    live: tuple[Mapping[Address, LiveDifference], Mapping[Address, LiveDifference]] | None = None

    @property
    def has_differences(self) -> bool:
        return bool(self.compared.differences or any(self.live or ()))


def diff_environments(requests: tuple[Request, Request], runtime: Runtime) -> EnvironmentDiff:
    """Compare what the stacks declare in the environments of the two requests, and what is live if servers may be
    asked. Raises Invalid where a stack has errors in one of them."""
    loaded = tuple(load_stacks(request, runtime) for request in requests)
    for each in loaded:
        refuse_errors(each)
    one, other = loaded
    inputs, states = [], [collect_resources(one.stacks)]
    for given, request, environment in _mix_inputs(requests, (one.environment, other.environment)):
        inputs.append(given)
        states.append(collect_resources(load_stacks_in(request, environment).stacks))
    states[-1] = collect_resources(other.stacks)
    places = tuple(find_environment_places(request, each.environment.name) for request, each in _pair(requests, loaded))
    asks_servers = all(request.offline_target is None for request in requests)
    return EnvironmentDiff(
        (one.environment.name, other.environment.name),
        compare_states(states, inputs, _list_replacements(one.environment, other.environment)),
        (states[0], states[-1]),
        (places[0], places[1]),
        (_read_live(one, runtime), _read_live(other, runtime)) if asks_servers else None,
    )


def _pair(requests: tuple[Request, Request], loaded: Sequence[Loaded]) -> Iterator[tuple[Request, Loaded]]:
    return zip(requests, loaded, strict=True)


# -- inputs -----------------------------------------------------------------------------------------------------------
def _mix_inputs(
    requests: tuple[Request, Request], environments: tuple[Environment, Environment]
) -> Iterator[tuple[EnvironmentInput, Request, Environment]]:
    """Yield each input that differs, with a request and an environment that have it and all before from the second
    environment, the others from the first. The last one is the second environment itself."""
    (request, wanted), (one, other) = requests, environments
    mixed = _join_connects(one, other)
    for name in sorted(one.variables.keys() | other.variables.keys()):
        if one.variables.get(name) != other.variables.get(name):
            kept = {key: value for key, value in mixed.variables.items() if key != name}
            kept |= {name: other.variables[name]} if name in other.variables else {}
            mixed = replace(mixed, variables=kept)
            yield EnvironmentInput("variable", name), request, mixed
    if request.var_files != wanted.var_files:
        request = replace(request, var_files=wanted.var_files)
        yield EnvironmentInput("var-file"), request, mixed
    if request.process != wanted.process:
        request = replace(request, process=wanted.process)
        yield EnvironmentInput("process"), request, replace(mixed, fills=other.fills)
    for kind, has_same, take in _SECTIONS:
        if not has_same(one, other):
            mixed = take(mixed, other)
            yield EnvironmentInput(kind), request, mixed
    yield EnvironmentInput("environment"), wanted, other


_SECTIONS: Final[
    Sequence[tuple[str, Callable[[Environment, Environment], bool], Callable[[Environment, Environment], Environment]]]
] = (
    (
        "defaults",
        lambda one, other: one.defaults == other.defaults,
        lambda mixed, other: replace(mixed, defaults=other.defaults),
    ),
    (
        "overrides",
        lambda one, other: _show_overrides(one) == _show_overrides(other),
        lambda mixed, other: replace(mixed, overrides=other.overrides),
    ),
    (
        "schema_registry",
        lambda one, other: one.registry_url == other.registry_url,
        lambda mixed, other: replace(mixed, schema_registry=other.schema_registry, simulated=other.simulated),
    ),
)


def _show_overrides(environment: Environment) -> Mapping[str, Mapping[str, Any]]:
    return {
        section: {name: override.data for name, override in blocks.items()}
        for section, blocks in environment.overrides.items()
    }


def _join_connects(one: Environment, other: Environment) -> Environment:
    """Return the first environment with the Connects of both, so that no connector lacks its own halfway."""
    if one.simulated is not None:
        aliases = tuple(dict.fromkeys((*one.simulated.connects, *other.connects)))
        return replace(one, simulated=replace(one.simulated, connects=aliases))
    missing: dict[str, Mapping[str, Any]] = {alias: {} for alias in other.connects if alias not in one.connects}
    default = one.connect or missing.pop(DEFAULT, {})
    return replace(one, connect=default, other_connects={**missing, **one.other_connects})


def _list_replacements(one: Environment, other: Environment) -> list[tuple[str, str]]:
    """Return texts that names may be made of, with those of the other environment."""
    pairs = [(one.variables.get(name), other.variables.get(name)) for name in sorted(one.variables)]
    texts = [(str(value), str(wanted)) for value, wanted in pairs if isinstance(value, str) and isinstance(wanted, str)]
    return [(one.name, other.name), *texts]


# -- live -------------------------------------------------------------------------------------------------------------
def _read_live(loaded: Loaded, runtime: Runtime) -> Mapping[Address, LiveDifference]:
    """Return what is live otherwise than it is declared."""
    with ExitStack() as stack:
        opened = stack.enter_context(open_environment(loaded.environment, runtime))
        stack.enter_context(runtime.show_progress(False))
        ledger = read_ledger(opened.store, runtime)
        names = {each.name for each in loaded.stacks}
        declared = collect_resources(loaded.stacks)
        owned = [address for address, record in ledger.items() if record.stack in names and address not in declared]
        settings = [*of_ledger(ledger), *of_stacks(loaded.stacks)]
        live = read_addresses(opened.cluster, [*declared, *owned], settings, list(declared.values()))
    differences: dict[Address, LiveDifference] = {}
    for address, resource in declared.items():
        present = live.resources.get(address)
        if present is None:
            differences[address] = LiveDifference(False)
        elif differing := comparison_of(address).compare(resource, present, None).diffs:
            rows = tuple((diff.path, diff.after, diff.before) for diff in differing)
            differences[address] = LiveDifference(True, settings=rows)
    return differences | {address: LiveDifference(True, False) for address in owned if address in live.resources}


# -- the document -----------------------------------------------------------------------------------------------------
def encode_diff(diff: EnvironmentDiff) -> dict[str, Any]:
    """Return the comparison as JSON; no secret is in it."""
    compared, (one, other) = diff.compared, diff.names
    document: dict[str, Any] = {
        "format_version": FORMAT,
        "environments": [one, other],
        "same": compared.same,
        "resources": [_encode_resource(diff, each) for each in compared.differences],
        "uncompared_secrets": [{"address": str(address), "path": path} for address, path in compared.uncompared],
    }
    if diff.live is not None:
        document["live"] = {
            name: [_encode_live(address, each) for address, each in sorted(rows.items())]
            for name, rows in zip(diff.names, diff.live, strict=True)
        }
    return document


def _encode_resource(diff: EnvironmentDiff, each: ResourceDifference) -> dict[str, Any]:
    addresses = dict(zip(diff.names, each.addresses, strict=True))
    spans = [resource.origin.span for resource in each.resources if resource is not None]
    span = spans[0] if spans else None
    return {
        "addresses": {name: str(address) if address else None for name, address in addresses.items()},
        "declared_at": f"{span.path}:{span.line}" if span else None,
        "causes": [_encode_cause(diff, cause, each.addresses, "") for cause in each.causes],
        "settings": [
            {
                "path": setting.path,
                "values": dict(zip(diff.names, map(show_value, setting.values), strict=True)),
                "causes": [_encode_cause(diff, cause, each.addresses, setting.path) for cause in setting.causes],
            }
            for setting in each.settings
        ],
    }


def _encode_cause(
    diff: EnvironmentDiff, cause: EnvironmentInput, addresses: tuple[Address | None, Address | None], path: str
) -> dict[str, Any]:
    places = [_find_place(cause, *each, path) for each in zip(diff.places, addresses, strict=True)]
    at = {name: f"{span.path}:{span.line}" if span else None for name, span in zip(diff.names, places, strict=True)}
    return {"kind": cause.kind, **({"name": cause.name} if cause.name else {}), "at": at}


def _find_place(cause: EnvironmentInput, places: Places, address: Address | None, path: str) -> Span | None:
    """Return where an environment says what caused a difference of an attribute; None where it does not say it."""
    keys = tuple(path.strip("/").split("/", 1)) if path else ()
    if cause.kind == "variable":
        return places.get(("variables", cause.name))
    if cause.kind == "defaults" and address:
        return places.get(("defaults", address.kind, *keys))
    if cause.kind == "overrides" and address:
        return places.get((KINDS[address.kind].section, address.name, *keys))
    return places.get((cause.kind,)) if cause.kind != "environment" else None


def _encode_live(address: Address, each: LiveDifference) -> dict[str, Any]:
    return {
        "address": str(address),
        "is_there": each.is_there,
        "is_declared": each.is_declared,
        "settings": [
            {"path": path, "declared": show_value(declared), "live": show_value(live)}
            for path, declared, live in each.settings
        ],
    }
