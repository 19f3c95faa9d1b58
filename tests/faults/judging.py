"""How a trial is judged, and how many of them run side by side."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from tests.faults.running import Ended, kplan
from tests.faults.stage import Lane, Stage
from tests.faults.world import ACCEPTED, LAST_LOOK, Scene, Seen, World, differing, irreversible

T = TypeVar("T")
BEFORE, AFTER, NAMED, LOST = "as before", "as after", "named", "LOST"
WAIT = ("--lock-timeout", "60s")
RECOVER = ("recover", "--yes", *WAIT)
# Completing a run asks for its dangers again, with the words that the apply was given.
FORWARD = ("recover", "--forward", "--yes", *ACCEPTED, *WAIT)


@dataclass
class Reference:
    """How a world looks before and after its apply, and the labels of the points on the way."""

    before: Seen
    after: Seen
    points: tuple[str, ...]


class Track:
    """A lane with a world on it that is as before, made anew whenever it is not."""

    def __init__(self, lane: Lane, name: str, scene: Scene, files: Path | None = None) -> None:
        """With `files`, the state is in files in that folder."""
        self._files = files
        self.lane = lane
        self._name = name
        self._scene = scene
        self._made = 0
        self._world: World | None = None

    def world(self) -> World:
        """A world that is as before."""
        self.lane.spoil()
        if self._world is None:
            self._made += 1
            prefix = f"{self._name}{self._made}"
            world = World(self.lane, prefix, self._scene, self._files and self._files / f"{prefix}.db")
            world.make()
            self._world = world
        return self._world

    def give_up(self) -> None:
        """The next trial gets a new world."""
        if self._world is not None:
            self._world.remove()
        self._world = None


def told(ended: Ended) -> str:
    at = f" at {ended.points[-1]}" if ended.points else ""
    return f"-- ended with {ended.code} after {ended.seconds:.1f} s{at if ended.killed else ''}\n{ended.out}"


def judged(world: World, reference: Reference, code: int, said: str) -> tuple[str, str]:
    """The end, and where it differs. What Connect is still doing is waited for."""
    deadline = time.monotonic() + LAST_LOOK
    while True:
        seen = world.seen()
        if code == 0 and not differing(reference.before, seen):
            return BEFORE, ""
        if code == 0 and not differing(reference.after, seen):
            return AFTER, ""
        if code == 8 and named(world, reference, seen, said):
            return NAMED, ""
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    name, nearer = min(
        (("before", reference.before), ("after", reference.after)), key=lambda each: len(differing(each[1], seen))
    )
    lines = [f"  {key}: {nearer.get(key)}, now {seen.get(key)}" for key in differing(nearer, seen)]
    return LOST, "\n".join([f"ended with {code}; different from {name}:", *lines])


def named(world: World, reference: Reference, seen: Seen, said: str) -> bool:
    """Whether only what cannot be undone differs, and its name was said."""
    different = [key for key in differing(reference.before, seen) if key != "open runs"]
    topics = [world.named(key) for key in different if key.startswith("topic/")]
    return irreversible(different) and bool(topics) and all(topic in said for topic in topics)


def measured(track: Track) -> Reference:
    """What an apply (or a failed one) looks like that nobody disturbs."""
    world = track.world()
    before = world.seen()
    ended = kplan(world.machine(world.stack), *world.apply, *WAIT)
    assert ended.code == (7 if world.scene.fails else 0), ended.out
    after = world.seen()
    assert world.scene.fails == (not differing(before, after)), differing(before, after)
    if not world.scene.fails:
        track.give_up()
    return Reference(before, after, ended.points)


class Ground:
    """A scene on all lanes of a stage. The worlds of a trial that ended as it began serve the next one."""

    def __init__(self, stage: Stage, scene: Scene, name: str, files: Path | None = None) -> None:
        self.scene = scene
        self.tracks = [Track(lane, f"{name}{lane.number}x", scene, files) for lane in stage.lanes]

    @cached_property
    def reference(self) -> Reference:
        return measured(self.tracks[0])

    def each(self, todo: Iterable[T], work: Callable[[T, Track], None]) -> None:
        """All of it is worked off, as much at a time as there are lanes. Raises what one of them raised, at the end."""
        waiting: queue.SimpleQueue[T] = queue.SimpleQueue()
        for item in todo:
            waiting.put(item)

        raised: list[BaseException] = []

        def run(track: Track) -> None:
            try:
                while True:
                    work(waiting.get_nowait(), track)
            except queue.Empty:
                pass
            except BaseException as e:
                raised.append(e)

        threads = [threading.Thread(target=run, args=(track,)) for track in self.tracks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if raised:
            raise raised[0]

    def clear(self) -> None:
        for track in self.tracks:
            track.give_up()
