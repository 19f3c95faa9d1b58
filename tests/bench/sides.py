"""Tools side by side: the same work for each, in turns, and a bare client that looks what came of it."""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from tests.bench.measure import ROUNDS, environment
from tests.bench.peers import OURS, PEERS, Peer, Words, Work, find_peers, resolve_command

MAX_SECONDS = 35.0  # a tool that would take longer is left out of a job
TIMEOUT_S = 300.0
VISIBLE_TIMEOUT_S = 30.0
CHANGED_MS = 691_200_000


class ToolFailed(Exception):
    """A tool ended with an error, or the brokers do not show what it should have done."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a tool took for a job, one value for each round; or why there is none."""

    seconds: tuple[float, ...] = ()
    reason: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(slots=True)
class Sides:
    """The table: for each job, what each tool took; and the version of each tool."""

    peers: tuple[Peer, ...]
    absent: tuple[str, ...]
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def find_fastest(self, job: str) -> str | None:
        """Return the name of the fastest other tool."""
        others = {name: cell.median for name, cell in self.cells[job].items() if cell.seconds and name != OURS.name}
        return min(others, key=others.__getitem__) if others else None


@dataclass(frozen=True, slots=True)
class Arena:
    """The servers, the folder and the tools of one run."""

    folder: Path
    bootstrap: str
    admin: AdminClient
    tools: Path | None
    rounds: int = ROUNDS

    # -- what the brokers have ----------------------------------------------------------------------------------------
    def list_names(self) -> set[str]:
        return set(self.admin.list_topics(timeout=60).topics)

    def list_others(self, prefix: str) -> tuple[str, ...]:
        """List the first parts of the names of all topics but those with this prefix."""
        return tuple(sorted({f"{name.split('.')[0]}." if "." in name else name
                             for name in self.list_names() if not name.startswith(prefix)}))  # fmt: skip

    def read_retention(self, names: Sequence[str]) -> set[str]:
        values = set()
        for start in range(0, len(names), 500):
            asked = [ConfigResource(ResourceType.TOPIC, name) for name in names[start : start + 500]]
            for answer in self.admin.describe_configs(asked).values():
                values.add(str(answer.result(60)["retention.ms"].value))
        return values

    def verify(self, job: str, work: Work) -> None:
        """Raise ToolFailed unless the brokers show the job as done."""
        wanted = set() if job == "destroy" else set(work.names)
        deadline = time.monotonic() + VISIBLE_TIMEOUT_S
        while (present := {n for n in self.list_names() if n.startswith(work.prefix)}) != wanted:
            if time.monotonic() > deadline:
                raise ToolFailed(f"the brokers have {len(present)} of its topics, not {len(wanted)}")
            time.sleep(0.05)
        if wanted and (values := self.read_retention(work.names)) != {str(work.retention_ms)}:
            raise ToolFailed(f"retention.ms is {', '.join(sorted(values))}, not {work.retention_ms}")

    # -- runs ---------------------------------------------------------------------------------------------------------
    def place_files(self, peer: Peer, work: Work) -> Path:
        """Write the tool's files for this work into a folder of its own, which a later work of its prefix shares."""
        folder = self.folder / f"{peer.name}-{work.prefix}".replace(" ", "")
        folder.mkdir(exist_ok=True)
        for name, text in peer.write(replace(work, tools=self.tools or Path())).items():
            (folder / name).write_text(text)
        return folder

    def run_commands(self, peer: Peer, work: Work, folder: Path, commands: Sequence[Words], shows: str = "") -> float:
        """Return the seconds that the commands took together. Raise ToolFailed if one fails or lacks what it shows."""
        variables = {**environment(), **peer.environment(work)}
        total = 0.0
        for words in commands:
            command = resolve_command(words, self.tools)
            for _ in range(peer.attempts):
                began = time.perf_counter()
                try:
                    done = subprocess.run(command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S,
                                          check=False)  # fmt: skip
                except subprocess.TimeoutExpired:
                    raise ToolFailed(f"it took more than {TIMEOUT_S:.0f} s") from None
                total += time.perf_counter() - began
                if done.returncode == 0:
                    break
            last = (done.stdout.strip().splitlines() or [""])[-1][:160]
            if done.returncode != 0:
                raise ToolFailed(f"exit code {done.returncode}: {last}")
            if shows and not re.search(shows, done.stdout):
                raise ToolFailed(f"its plan reports changes: {last}")
        return total

    def take_turns(self, peers: Sequence[Peer], turn: Callable[[Peer, int], Mapping[str, float]],
                   jobs: Sequence[str]) -> dict[str, dict[str, Cell]]:  # fmt: skip
        """Return the cells of the jobs: one turn of each tool that does not count, then `rounds` of each, A B A B."""
        taken: dict[str, dict[str, list[float]]] = {job: {} for job in jobs}
        failed: dict[str, str] = {}
        for number in range(self.rounds + 1):
            for peer in peers:
                if peer.name in failed:
                    continue
                try:
                    figures = turn(peer, number)
                except ToolFailed as error:
                    failed[peer.name] = str(error)
                    continue
                for job, seconds in figures.items() if number else ():
                    taken[job].setdefault(peer.name, []).append(seconds)
        return {
            job: {
                **{name: Cell(tuple(seconds)) for name, seconds in taken[job].items() if name not in failed},
                **{name: Cell(reason=reason) for name, reason in failed.items()},
            }
            for job in jobs
        }

    # -- jobs ---------------------------------------------------------------------------------------------------------
    def compare_starts(self, sides: Sides) -> None:
        """Fill the rows of `--version`, and of the check of a file of twenty topics."""
        work = Work(self.bootstrap, "side0.", 20)

        def start(peer: Peer, _: int) -> dict[str, float]:
            return {"--version": self.run_commands(peer, work, self.folder, [peer.version])}

        def validate(peer: Peer, _: int) -> dict[str, float]:
            folder = self.place_files(peer, work)
            return {"validate 20 topics": self.run_commands(peer, work, folder, peer.jobs["validate"](work))}

        able = [peer for peer in sides.peers if "validate" in peer.jobs]
        sides.cells |= self.take_turns([peer for peer in sides.peers if peer.version], start, ["--version"])
        sides.cells |= self.take_turns(able, validate, ["validate 20 topics"])

    def compare_plans(self, sides: Sides, sizes: Sequence[int]) -> None:
        """Fill the rows of plans of unchanged topics: all tools read the same ones, which kplan created."""
        for size in sizes:
            work = Work(self.bootstrap, f"side{size}.", size)
            work = replace(work, others=self.list_others(work.prefix))
            folder = self.place_files(OURS, work)
            self.run_commands(OURS, work, folder, OURS.jobs["create"](work))
            self.verify("create", work)

            def plan(peer: Peer, _: int, work: Work = work) -> dict[str, float]:
                folder = self.place_files(peer, work)
                took = self.run_commands(peer, work, folder, peer.jobs["plan"](work), peer.unchanged)
                self.verify("plan", work)
                return {f"plan {work.count:,} topics": took}

            able = [peer for peer in sides.peers if "plan" in peer.jobs]
            sides.cells |= self.take_turns(able, plan, [f"plan {size:,} topics"])
            self.run_commands(OURS, work, folder, OURS.jobs["destroy"](work))

    def compare_changes(self, sides: Sides, size: int, jobs: Sequence[str]) -> None:
        """Fill the rows of these jobs, which follow each other on the same new topics in each turn."""
        rows = {job: f"{job} {'one config of ' if job == 'change' else ''}{size:,} topics" for job in jobs}

        def run(peer: Peer, number: int) -> dict[str, float]:
            place = [each.name for each in sides.peers].index(peer.name)
            work = Work(self.bootstrap, f"new{size}-{place}-{number}.", size)
            work = replace(work, others=self.list_others(work.prefix))
            figures = {}
            try:
                for job in jobs:
                    if job not in peer.jobs or size > peer.most.get(job, size):
                        continue
                    work = replace(work, retention_ms=CHANGED_MS) if job == "change" else work
                    folder = self.place_files(peer, work)
                    figures[rows[job]] = self.run_commands(peer, work, folder, peer.jobs[job](work))
                    self.verify(job, work)
            finally:
                self.remove_topics(work.prefix)
            return figures

        able = [peer for peer in sides.peers
                if "create" in peer.jobs and size <= peer.most.get("create", size)
                and self._is_quick(sides, peer, size)]  # fmt: skip
        sides.cells |= self.take_turns(able, run, list(rows.values()))
        for peer in sides.peers:
            if "create" in peer.jobs and size <= peer.most.get("create", size) and peer not in able:
                reason = f"a tenth of the topics show that it takes more than {MAX_SECONDS:.0f} s"
                sides.cells[rows["create"]].setdefault(peer.name, Cell(reason=reason))

    def _is_quick(self, sides: Sides, peer: Peer, size: int) -> bool:
        """Whether a tenth of the topics took less than a tenth of the limit, if that is known."""
        cell = sides.cells.get(f"create {size // 10:,} topics", {}).get(peer.name)
        return cell is None or bool(cell.seconds and cell.median * 10 < MAX_SECONDS)

    def remove_topics(self, prefix: str) -> None:
        """Delete the topics with this prefix, and wait until the brokers no longer show them."""
        names = [name for name in self.list_names() if name.startswith(prefix)]
        if names:
            for answer in self.admin.delete_topics(names).values():
                answer.exception(60)
        while any(name.startswith(prefix) for name in self.list_names()):
            time.sleep(0.05)

    def compare_connectors(self, sides: Sides, url: str, list_connectors: Callable[[], list[str]],
                           remove_connector: Callable[[str], None], count: int = 20) -> None:  # fmt: skip
        """Fill the rows of connectors: created, then planned unchanged, then removed by a bare client."""
        rows = {"connectors-create": f"create {count} connectors", "connectors-plan": f"plan {count} connectors"}

        def run(peer: Peer, number: int) -> dict[str, float]:
            work = Work(self.bootstrap, f"side-{peer.name.split()[0]}-{number}-", count, connect=url)
            folder = self.place_files(peer, work)
            figures = {}
            try:
                for job, row in rows.items():
                    shows = peer.unchanged if job == "connectors-plan" else ""
                    figures[row] = self.run_commands(peer, work, folder, peer.jobs[job](work), shows)
                    if not set(work.names) <= set(list_connectors()):
                        raise ToolFailed("the worker lacks some of its connectors")
            finally:
                for name in set(work.names) & set(list_connectors()):
                    remove_connector(name)
            return figures

        able = [peer for peer in sides.peers if "connectors-create" in peer.jobs]
        sides.cells |= self.take_turns(able, run, list(rows.values()))

    def read_versions(self, sides: Sides) -> None:
        """Learn the version of each tool: the first line with a digit that it prints."""
        for peer in sides.peers:
            if not peer.version:
                continue
            command = resolve_command(peer.version, self.tools)
            variables = {**environment(), **peer.environment(Work(self.bootstrap, "", 0))}
            done = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, check=False)
            lines = [line.strip() for line in done.stdout.splitlines() if re.search(r"\d\.\d", line)]
            sides.versions[peer.name] = lines[0][:60] if lines else "unknown"


def start_sides(tools: Path | None) -> Sides:
    """Return an empty table of kplan and the tools of the folder."""
    present, absent = find_peers(tools)
    return Sides((OURS, *present), tuple(absent))


# -- the page ---------------------------------------------------------------------------------------------------------
def render_sides(sides: Sides) -> list[str]:
    """Return the lines of the table, of its notes, and of what each tool is and does."""
    names = [peer.name for peer in sides.peers]
    lines = ["## Side by side", "",
             "The same work in the same run, in turns, whole processes; medians in seconds. After each run a bare",
             "client verifies that the brokers have what the tool should have done. An empty cell is a job that the",
             "tool does not have, or not at this size.", "",
             f"| job | {' | '.join(names)} |", f"|---|{'--:|' * len(names)}"]  # fmt: skip
    notes: list[str] = []
    for job, cells in sides.cells.items():
        row = []
        for name in names:
            cell = cells.get(name)
            if cell is None:
                row.append("")
            elif cell.seconds:
                row.append(format_seconds(cell.median, is_first=cell.median == _least(cells)))
            else:
                row.append("–")
                notes.append(f"- {name}, {job}: {cell.reason}.")
        lines.append(f"| {job} | {' | '.join(row)} |")
    lines += ["", *notes, *([""] if notes else [])]
    lines += ["## Tools of this run", "", "`PEERS` names a folder that holds the programs, or has them in `bin/`.", "",
              "| tool | version | how to build it | what it does in that time |", "|---|---|---|---|"]  # fmt: skip
    for peer in sides.peers:
        version = sides.versions.get(peer.name, "")
        lines.append(f"| {peer.name} | {version} | {peer.build} | {peer.duties} |")
    return [*lines, ""]


def render_absent(sides: Sides) -> list[str]:
    """Return a line for each tool that is absent, with how to build it and what it does."""
    known = {peer.name: peer for peer in PEERS}
    return [f"{line} To build it: {known[line.split(':')[0]].build}. {known[line.split(':')[0]].duties}"
            for line in sides.absent]  # fmt: skip


def format_seconds(seconds: float, *, is_first: bool) -> str:
    """Return the number with two digits that say something; the least of a row is bold."""
    text = f"{seconds:.2f}" if seconds < 10 else f"{seconds:.1f}"
    return f"**{text}**" if is_first else text


def _least(cells: Mapping[str, Cell]) -> float:
    return min(cell.median for cell in cells.values() if cell.seconds)
