"""A program that runs for the tests: its start, its log, and its end whatever happens to pytest."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import queue
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Self

LOG_LINES_SHOWN = 40
POLL_SECONDS = 0.03


class ServiceMissing(Exception):
    """A program that a service needs is not on this machine; the text says which and how to install it."""


class ServiceFailed(Exception):
    """A service ended or was not ready in time; the text holds the last lines of its log."""


class Process:
    """A running program in a session of its own, killed when this Python process ends, even by kill -9."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        killed_by: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = Path(command[0]).name
        self.log_file = log
        self._killed_by = killed_by
        self._popen = _spawner.start([*_bound_to_parent(user, killed_by), *command], log, environment)
        self.pid = self._popen.pid
        _running.add(self)

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """The signal is sent, unless the program has ended."""
        self._popen.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 20) -> None:
        """The program has ended after the signal, or by kill -9 once `timeout` seconds have passed."""
        self.send(number)
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        _running.discard(self)

    def kill(self) -> None:
        """The program has ended by `killed_by`: at once."""
        self.stop(self._killed_by)

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """`ready()` is true; ServiceFailed when the program ends first or `timeout` seconds pass."""
        deadline = time.monotonic() + timeout
        while True:
            ended = not self.alive  # asked first: a program may be ready because it ended
            if ready():
                return
            if ended:
                raise ServiceFailed(f"{self._label} ended with status {self._popen.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{self._label} was not ready after {timeout:g} s\n{self.tail()}")
            time.sleep(POLL_SECONDS)

    def tail(self) -> str:
        return last_lines(self.log_file)

    @property
    def _label(self) -> str:
        return f"{self.name} (pid {self.pid}, log {self.log_file})"


class Service:
    """What all services have: a folder of their own, and an end that leaves nothing behind."""

    def __init__(self, name: str, user: str | None = None) -> None:
        self.folder = own_folder(name, user)

    def start(self) -> Self:
        raise NotImplementedError

    def kill_all(self) -> None:
        raise NotImplementedError

    @property
    def log(self) -> str:
        """All that the service's processes have written so far."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        """The processes are gone and so is their folder."""
        self.kill_all()
        shutil.rmtree(self.folder, ignore_errors=True)
        _folders.discard(self.folder)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    """A loopback port that nobody listens on, below the range from which the kernel takes outgoing ports.

    A port in that range can be taken by any client while the service restarts; a client that keeps trying to
    reach the closed port can even connect to itself.
    """
    while True:
        port = random.randrange(10_000, _first_ephemeral_port())
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind(("127.0.0.1", port))
            if port not in _given_ports:
                _given_ports.add(port)
                return port


def listens(port: int) -> bool:
    """Whether somebody accepts connections on the loopback port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def run(command: Sequence[str], log: Path, user: str | None = None, timeout: float = 120) -> None:
    """The program has ended with status 0 within `timeout` seconds; ServiceFailed otherwise."""
    process = Process(command, log, user)
    try:
        process.wait_until(lambda: not process.alive, timeout)
    finally:
        process.kill()
    if process._popen.returncode != 0:
        raise ServiceFailed(f"{process.name} ended with status {process._popen.returncode}\n{process.tail()}")


def own_folder(name: str, user: str | None = None) -> Path:
    """A new empty folder that belongs to `user`, removed at the latest when Python ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"kplan-{name}-"))
    if user is not None:
        shutil.chown(folder, user)
    _folders.add(folder)
    return folder


def program(names: Sequence[str], folders: Sequence[Path], install: str) -> str:
    """The path of the first of the programs found on PATH or in the folders; ServiceMissing if there is none."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", *map(str, folders)])
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise ServiceMissing(f"{' or '.join(names)} is not on this machine; install it: {install}")


def end_all() -> None:
    """Every program is gone, and so is every folder; a forked child of pytest leaves them alone."""
    if os.getpid() != _owner:
        return
    for process in list(_running):
        process.kill()
    for folder in list(_folders):
        shutil.rmtree(folder, ignore_errors=True)


def unprivileged(user: str) -> str | None:
    """The user to run a database as: `user` for root, whom databases refuse, and oneself (None) otherwise."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(user).pw_name
    except KeyError:
        raise ServiceMissing(f"there is no user {user!r} to run the database as; its Debian package makes it") from None


def last_lines(path: Path, count: int = LOG_LINES_SHOWN) -> str:
    if not path.exists():
        return "(no log)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])


class _Spawner:
    """Starts every program from one thread that lives as long as Python does.

    The kernel's parent-death signal is sent when the *thread* that started the program ends, not the process:
    a service started from a worker thread would be killed at that thread's end.
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]]
        self._orders = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        def popen() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(environment or {})},
                    cwd=log.parent,
                    start_new_session=True,
                )

        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spawner", daemon=True)
                self._thread.start()
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((popen, answer))
        return answer.result()

    def _run(self) -> None:
        while True:
            popen, answer = self._orders.get()
            try:
                answer.set_result(popen())
            except BaseException as error:
                answer.set_exception(error)


def _bound_to_parent(user: str | None, death: signal.Signals) -> list[str]:
    """The words before a command that make it run as `user` and die with its parent.

    setpriv(1) and not preexec_fn: the kernel forgets the death signal when the user changes, and setpriv sets it
    after that. Without setpriv (not Linux) only a regular end of Python stops the program.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if user is not None:
            raise ServiceMissing("setpriv is not on this machine; install it: apt-get install util-linux")
        return []
    identity = [] if user is None else ["--reuid", user, "--regid", _group(user), "--init-groups"]
    return [setpriv, "--pdeathsig", death.name.removeprefix("SIG"), *identity, "--"]


def _group(user: str) -> str:
    return str(pwd.getpwnam(user).pw_gid)


def _first_ephemeral_port() -> int:
    with contextlib.suppress(OSError, ValueError):
        return max(10_500, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    return 32_768


_owner = os.getpid()
_spawner = _Spawner()
_running: set[Process] = set()
_folders: set[Path] = set()
_given_ports: set[int] = set()
atexit.register(end_all)
