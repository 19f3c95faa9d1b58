"""A headless Chromium, driven through its ChromeDriver."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.services.process import Process, Service, free_port, listens, program

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

INSTALL = "apt-get install chromium chromium-driver"
READY_SECONDS = 60
LOG = "getLog"  # ChromeDriver's own command; https://chromium.googlesource.com/chromium/src/+/main/chrome/test/chromedriver
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root is refused a sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser(Service):
    """One browser with one window. What it logs and what it asks the network for are kept until they are taken."""

    def __init__(self) -> None:
        super().__init__("browser")
        self._driver: Process | None = None
        self._session: WebDriver | None = None

    def start(self) -> Self:
        chromium = program(["chromium", "chromium-browser", "google-chrome"], [], INSTALL)
        driver = program(["chromedriver"], [], INSTALL)
        port = free_port()
        self._driver = Process([driver, f"--port={port}"], self.folder / "chromedriver.log")
        self._driver.wait_until(lambda: listens(port), READY_SECONDS)
        self._session = _session(f"http://127.0.0.1:{port}", self._bound(chromium), self.folder / "profile")
        return self

    def kill_all(self) -> None:
        if self._session is not None:
            self._session.quit()
            self._session = None
        if self._driver is not None:
            self._driver.kill()
            self._driver = None

    def _bound(self, chromium: str) -> str:
        """A program that runs Chromium and ends with ChromeDriver, which would leave it behind when it is killed."""
        if not shutil.which("setpriv"):
            return chromium
        script = self.folder / "chromium"
        script.write_text(f'#!/bin/sh\nexec setpriv --pdeathsig KILL -- {chromium} "$@"\n')
        script.chmod(0o755)
        return str(script)

    @property
    def driver(self) -> WebDriver:
        assert self._session is not None, "the browser runs only inside `with`"
        return self._session

    def open(self, page: Path, width: int = 1280, height: int = 900, *, scripts: bool = True, **media: str) -> None:
        """The page is shown in a window of that size, with the named media features, such as a colour scheme."""
        self.resize(width, height)
        self.emulate(**media)
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.driver.get("about:blank")
        self.taken()
        self.driver.get(page.as_uri())

    def resize(self, width: int, height: int) -> None:
        """The window has that size; a headless one is otherwise at least 500 pixels wide."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def emulate(self, medium: str = "", **features: str) -> None:
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", media=medium, features=named)

    def send(self, command: str, **arguments: Any) -> Any:
        """The answer of Chromium itself to a command of its DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, arguments)  # type: ignore[attr-defined]

    def run(self, script: str, *arguments: Any) -> Any:
        """What the script returns, run in the page."""
        return self.driver.execute_script(script, *arguments)

    def taken(self) -> tuple[list[str], list[str]]:
        """The messages of the console and the addresses that were asked for, since they were taken last."""
        return [entry["message"] for entry in self._log("browser")], list(_asked(self._log("performance")))

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.execute(LOG, {"type": kind})["value"]
        return entries

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"])


def _asked(log: list[dict[str, Any]]) -> Iterator[str]:
    """The addresses that were asked for; what the page's own policy refused was not."""
    messages = [json.loads(entry["message"])["message"] for entry in log]
    refused = {m["params"]["requestId"] for m in messages if m["params"].get("blockedReason") == "csp"}
    for message in messages:
        if message["method"] == "Network.requestWillBeSent" and message["params"]["requestId"] not in refused:
            yield message["params"]["request"]["url"]


def _session(address: str, chromium: str, profile: Path) -> WebDriver:
    from selenium import webdriver
    from selenium.webdriver.chrome.remote_connection import ChromeRemoteConnection
    from selenium.webdriver.common.proxy import Proxy, ProxyType
    from selenium.webdriver.remote.client_config import ClientConfig

    shutil.rmtree(profile, ignore_errors=True)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    direct = ClientConfig(address, proxy=Proxy({"proxyType": ProxyType.DIRECT}))
    connection = ChromeRemoteConnection(address, client_config=direct)
    connection.add_command(LOG, "POST", "/session/$sessionId/se/log")
    return webdriver.Remote(connection, options=options)
