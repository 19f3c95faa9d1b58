"""What Maven downloads for the tests, in a cache folder outside the checkout.

$KPLAN_TEST_CACHE names the folder, by default $XDG_CACHE_HOME/kplan-tests or ~/.cache/kplan-tests. Each project
file (pom.xml, plugins.xml) has a folder there that is named after the file's content, hence after the versions.
A download is made in a folder beside it and renamed when complete, so an interrupted one is never used. Each has
a Maven repository of its own, so that two can run at the same time.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.process import ServiceFailed, ServiceMissing, program, run

HERE = Path(__file__).parent
DOWNLOAD_SECONDS = 900
JAVA_MINIMUM = 17
CONVERTERS = tuple(f"io.apicurio.registry.utils.converter.{name}" for name in ("AvroConverter", "ExtJsonConverter"))
INSTALL_JAVA = "apt-get install openjdk-17-jre-headless"


def kafka_jars() -> Path:
    """A folder with all the jars of a broker and a Connect worker."""
    return _fetched("kafka", HERE / "pom.xml", lambda folder: None)


def plugin_path() -> Path:
    """A Connect plugin path with the Debezium connectors that kplan has templates for."""
    return _fetched("debezium", HERE / "plugins.xml", _unpack_plugins)


def registry_app() -> Path:
    """The folder of the schema registry's program."""
    return _fetched("registry", HERE / "registry.xml", _unpack, "dependency:copy")


def converter_path() -> Path:
    """A Connect plugin path with the converters that write with the schemas of the registry."""
    return _fetched("converter", HERE / "converter.xml", _gather_converters)


def iceberg_path() -> Path:
    """A Connect plugin path with Iceberg's sink, which tells its settings and cannot run."""
    return _fetched("iceberg", HERE / "iceberg.xml", lambda folder: _gather(folder, "iceberg"))


@functools.cache
def java() -> str:
    """The path of a Java of version 17 or later, on PATH or in JAVA_HOME; ServiceMissing if there is none."""
    found = program(["java"], [Path(os.environ.get("JAVA_HOME", ""), "bin")], INSTALL_JAVA)
    answer = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', answer.stderr)
    if version is None or int(version[1]) < JAVA_MINIMUM:
        raise ServiceMissing(f"{found} is not Java {JAVA_MINIMUM} or later; install it: {INSTALL_JAVA}")
    return found


def cache() -> Path:
    """The folder that keeps the downloads between runs."""
    if chosen := os.environ.get("KPLAN_TEST_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kplan-tests"


def _fetched(
    name: str, project: Path, finish: Callable[[Path], None], goal: str = "dependency:copy-dependencies"
) -> Path:
    target = cache() / f"{name}-{hashlib.sha256(project.read_bytes()).hexdigest()[:12]}"
    if target.is_dir():
        return target
    maven = program(["mvn"], [], "apt-get install maven")
    java()
    with _alone(target):
        if not target.is_dir():
            _download(maven, project, target, finish, goal)
    return target


def _download(maven: str, project: Path, target: Path, finish: Callable[[Path], None], goal: str) -> None:
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "files").mkdir(parents=True)
    goals = [goal, f"-DoutputDirectory={part / 'files'}"]
    options = ["-B", "-q", "-Dstyle.color=never", f"-Dmaven.repo.local={part / 'repository'}"]
    log = part / "maven.log"
    try:
        run([maven, *options, "-f", str(project), *goals], log, timeout=DOWNLOAD_SECONDS)
        finish(part / "files")
        (part / "files").rename(target)
    except ServiceFailed as error:
        raise ServiceFailed(f"Maven could not download {project.name}: {error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unpack(folder: Path) -> None:
    for archive in folder.glob("*.tar.gz"):
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
        archive.unlink()


def _unpack_plugins(folder: Path) -> None:
    """Unpack Debezium's archives, and put MongoDB's jar into a folder with the list of its classes that it lacks."""
    _unpack(folder)
    target = _gather(folder, "mongodb")
    with zipfile.ZipFile(target / "services.jar", "w") as services:
        services.writestr(
            "META-INF/services/org.apache.kafka.connect.sink.SinkConnector",
            "com.mongodb.kafka.connect.MongoSinkConnector",
        )


def _gather(folder: Path, name: str) -> Path:
    """Put the jars into a folder of their own, which makes them one plugin, and return it."""
    target = folder / name
    target.mkdir()
    for jar in folder.glob("*.jar"):
        jar.rename(target / jar.name)
    return target


def _gather_converters(folder: Path) -> None:
    """Gather the jars, with a list of the converters: that is a plugin which Connect finds."""
    target = _gather(folder, "converters")
    with zipfile.ZipFile(target / "services.jar", "w") as services:
        services.writestr("META-INF/services/org.apache.kafka.connect.storage.Converter", "\n".join(CONVERTERS))


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """No other process makes the same download meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
