"""Render what is known of the stacks as metrics, in the text format of Prometheus.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from kplan.diagnostics import CapabilityMissing
from kplan.inspect.status import ERROR, HEALTHY
from kplan.inspect.watch import ACTIVE, FAILED, STANDBY
from kplan.kinds.registry import KINDS
from kplan.values import dataclass

if TYPE_CHECKING:
    from prometheus_client import Metric

    from kplan.inspect.drift import DriftReport
    from kplan.inspect.watch import Watched

TASK_STATES: Final = ("RUNNING", "FAILED", "PAUSED", "UNASSIGNED", "RESTARTING", "STOPPED")
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Series:
    """One metric: its name, what it says, and its values with their labels. A counter's name ends with `_total`."""

    name: str
    text: str
    samples: Sequence[tuple[Labels, float]]

    def to_metric(self) -> Metric:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        names = tuple(self.samples[0][0]) if self.samples else ()
        family = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        metric: Metric = family(self.name, self.text, labels=names)
        for labels, value in self.samples:
            metric.add_metric([labels[name] for name in names], value)  # type: ignore[attr-defined]
        return metric


@dataclass(frozen=True, slots=True, eq=False)
class _Collector:
    """Give the client's registry the metrics of one moment."""

    series: Sequence[_Series]

    def collect(self) -> Iterator[Metric]:
        yield from (each.to_metric() for each in self.series if each.samples)


def require_client() -> None:
    """Raise CapabilityMissing where prometheus-client is not installed."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError as e:
        help = "pip install 'kplan[agent]'"
        raise CapabilityMissing("metrics need prometheus-client, which is not installed", help=help) from e


def render_status(document: Mapping[str, Any]) -> str:
    """Return the metrics of a status (schemas/status.v1.json). Raises CapabilityMissing without prometheus-client."""
    return _render(_list_status_series(document, document["target"]["env"] or ""))


def render_watched(seen: Watched) -> str:
    """Return the metrics of what an agent has seen. Raises CapabilityMissing without prometheus-client."""
    status = _list_status_series(seen.status, seen.env) if seen.status else ()
    return _render([*_list_agent_series(seen), *status, *_list_drift_series(seen.drift, seen.env)])


def _render(series: Iterable[_Series]) -> str:
    require_client()
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(tuple(series)))
    return generate_latest(registry).decode()


# -- a status ---------------------------------------------------------------------------------------------------------
def _list_status_series(document: Mapping[str, Any], env: str) -> Iterator[_Series]:
    base = {"env": env}
    reachable = document["status"] != ERROR
    yield _Series("kplan_servers_reachable", "Whether the servers answer.", [(base, reachable)])
    if not reachable:
        return
    healthy = document["status"] == HEALTHY
    yield _Series("kplan_healthy", "Whether all that the stacks declare is there and runs.", [(base, healthy)])
    counts: list[tuple[Labels, float]] = []
    for name, kind in KINDS.items():
        part = document.get(kind.views.plural)
        if part and not kind.views.has_health:
            states = {"declared": "required", "missing": "missing", "misconfigured": "misconfigured"}
            counts += [({**base, "kind": name, "state": state}, len(part[key])) for state, key in states.items()]
    yield _Series("kplan_resources", "Resources that the stacks declare, and those that are not so.", counts)
    yield from _list_running_series(document, base)
    yield from _list_run_series(document, base)


def _list_running_series(document: Mapping[str, Any], base: Labels) -> Iterator[_Series]:
    for kind in KINDS.values():
        running = document.get(kind.views.plural) if kind.views.has_health else None
        for name, text, measure in RUNNING if running else ():
            samples = [
                ({**base, kind.name: resource, **labels}, value)
                for resource, health in (running or {}).items()
                for labels, value in measure(health)
            ]
            yield _Series(f"kplan_{kind.name}_{name}", text, samples)


def _count_tasks(health: Mapping[str, Any]) -> Iterator[tuple[Labels, float]]:
    states = Counter(task["state"] for task in health["tasks"])
    yield from (({"state": state.lower()}, states[state]) for state in TASK_STATES)


def _read_lag(key: str) -> Callable[[Mapping[str, Any]], Iterable[tuple[Labels, float]]]:
    return lambda health: [({}, health["lag"][key])] if key in health.get("lag", ()) else []


RUNNING: Final[Sequence[tuple[str, str, Callable[[Mapping[str, Any]], Iterable[tuple[Labels, float]]]]]] = (
    ("healthy", "Whether it is in its declared state and all its tasks run.", lambda h: [({}, h["healthy"])]),
    ("tasks", "Its tasks, by state.", _count_tasks),
    ("lag_records", "Records that it has not read yet.", _read_lag("records")),
    ("heartbeat_age_seconds", "Age of its last heartbeat.", _read_lag("heartbeat_age")),
)


def _list_run_series(document: Mapping[str, Any], base: Labels) -> Iterator[_Series]:
    runs = document["last_runs"].items()
    yield _Series(
        "kplan_last_run_timestamp_seconds",
        "When the stack's last run began.",
        [({**base, "stack": name}, datetime.fromisoformat(run["at"]).timestamp()) for name, run in runs if run["at"]],
    )
    yield _Series(
        "kplan_last_run_applied",
        "Whether the stack's last run ended as applied.",
        [({**base, "stack": name}, run["outcome"] == "applied") for name, run in runs],
    )
    yield _Series(
        "kplan_last_run_open",
        "Whether the stack's last run has no end: `kplan recover` puts it back.",
        [({**base, "stack": name}, run["outcome"] == "open") for name, run in runs],
    )


# -- drift, and the agent itself --------------------------------------------------------------------------------------
def _list_drift_series(reports: Sequence[DriftReport], env: str) -> Iterator[_Series]:
    yield _Series(
        "kplan_drift_attributes",
        "Attributes that are live not as they were applied, and that the next apply would change.",
        [({"env": env, "stack": report.stack}, len(report.drift)) for report in reports],
    )
    yield _Series(
        "kplan_drift_resources",
        "Resources with such an attribute, or that are gone.",
        [({"env": env, "stack": r.stack}, len({d.drift.address for d in r.drift})) for r in reports],
    )
    yield _Series(
        "kplan_drift_unseen_resources",
        "Resources that cannot be compared, because kplan may not read them.",
        [({"env": env, "stack": report.stack}, len(report.unseen)) for report in reports],
    )


def _list_agent_series(seen: Watched) -> Iterator[_Series]:
    base = {"env": seen.env}
    yield _Series(
        "kplan_agent_active", "Whether this agent watches, or waits for its turn.", [(base, seen.phase == ACTIVE)]
    )
    yield _Series("kplan_agent_files_valid", "Whether the files are without errors.", [(base, seen.files_are_valid)])
    yield _Series(
        "kplan_agent_readings_total",
        "Readings since the agent began, by result.",
        [({**base, "result": phase}, seen.readings.get(phase, 0)) for phase in (ACTIVE, STANDBY, FAILED)],
    )
    if seen.read_at:
        yield _Series("kplan_agent_last_reading_timestamp_seconds", "End of the last reading.", [(base, seen.read_at)])
        yield _Series("kplan_agent_reading_seconds", "How long the last reading took.", [(base, seen.seconds)])
    if not seen.status and seen.phase == FAILED:
        yield _Series("kplan_servers_reachable", "Whether the servers answer.", [(base, False)])
    yield _Series(
        "kplan_agent_restarts_total",
        "Restarts of what failed, where `restart_failed` asks for them.",
        [({**base, "address": name}, number) for name, number in seen.restarts.items()],
    )
    yield _Series(
        "kplan_agent_healed_total",
        "Resources whose configs were put back.",
        [({**base, "stack": name}, number) for name, number in seen.healed.items()],
    )
    yield _Series(
        "kplan_agent_healing_refused_total",
        "Attempts to put configs back that were not made, or failed.",
        [({**base, "stack": name}, number) for name, number in seen.refused.items()],
    )
