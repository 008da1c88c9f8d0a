"""A real Chromium, driven over W3C WebDriver by plain HTTP: no more of it than the tests of the page need."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support import missing
from support.closing import Closing
from support.ports import free_port
from support.waiting import eventually

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of an element in a reply (WebDriver, section 12.1)."""


def demand() -> None:
    """Skip the test where there is no Chromium; in CI fail it."""
    missing.demand("chromium chromium-driver", "chromium", "chromedriver")


SHOWN = """
  return [...document.querySelectorAll(arguments[0])].map((e) => e.checkVisibility() ? e.innerText : "");
"""


class Browser(Closing):
    """One window."""

    def __init__(self, *, width: int = 1200, height: int = 1000) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="zkdns-browser-"))
        self._port = free_port()
        self._log = (self._home / "log").open("wb")
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={self._port}"],
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "HOME": str(self._home)},
            start_new_session=True,
        )
        self._session = ""
        try:
            eventually(self._is_up)
            self._session = self._open(width, height)
        except BaseException:
            self.close()
            raise

    def _is_up(self) -> bool:
        try:
            return bool(self._send("GET", "/status")["ready"])
        except OSError:
            return False

    def _open(self, width: int, height: int) -> str:
        arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
            f"--window-size={width},{height}", f"--user-data-dir={self._home / 'profile'}",
        ]  # fmt: skip
        options = {"args": arguments, "binary": shutil.which("chromium")}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        return f"/session/{made['sessionId']}"

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            with error:
                said = json.load(error)["value"]
            raise AssertionError(f"{method} {path}: {said['error']}: {said['message']}") from None

    def command(self, path: str, body: Any = None, method: str = "POST") -> Any:
        return self._send(
            method, self._session + path, ({} if body is None else body) if method == "POST" else None
        )

    def cdp(self, command: str, **parameters: Any) -> Any:
        """One command of the DevTools protocol."""
        return self.command("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def go(self, url: str) -> None:
        self.command("/url", {"url": url})

    @property
    def url(self) -> str:
        return str(self.command("/url", method="GET"))

    @contextmanager
    def without_script(self) -> Iterator[None]:
        """What is opened meanwhile may run no script of its own."""
        self.cdp("Emulation.setScriptExecutionDisabled", value=True)
        try:
            yield
        finally:
            self.cdp("Emulation.setScriptExecutionDisabled", value=False)

    def run(self, script: str, *arguments: Any) -> Any:
        """What the script returns. DevTools runs it even where the page may not run its own."""
        return self.command("/execute/sync", {"script": script, "args": list(arguments)})

    def run_later(self, script: str, *arguments: Any) -> Any:
        """What the script gives to the function that is its last argument."""
        return self.command("/execute/async", {"script": script, "args": list(arguments)})

    def text(self, selector: str = "body") -> str:
        """The text that a person sees there; "" where nothing is."""
        shown: list[str] = self.run(SHOWN, selector)
        lines = (" ".join(line.split()) for one in shown for line in one.splitlines())
        return "\n".join(line for line in lines if line)

    def _find(self, selector: str) -> str:
        return str(self.command("/element", {"using": "css selector", "value": selector})[ELEMENT])

    def click(self, selector: str) -> None:
        self.command(f"/element/{self._find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        self.command(f"/element/{self._find(selector)}/value", {"text": text})

    def press(self, key: str) -> None:
        """A key, wherever the focus is."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.command("/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def complaints(self) -> list[str]:
        """What the console said since the last look: errors, and what the security policy forbade."""
        found = self.command("/se/log", {"type": "browser"})
        return [entry["message"] for entry in found if entry["level"] in ("SEVERE", "WARNING")]

    def screen(self, width: int, height: int, *, phone: bool = False) -> None:
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip

    def scheme(self, name: str) -> None:
        """`light` or `dark`, as the person's system prefers."""
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.command("/screenshot", method="GET"))

    def close(self) -> None:
        try:
            if self._session:
                self._send("DELETE", self._session)
        finally:
            self._driver.terminate()
            self._driver.wait(20)
            self._log.close()
            shutil.rmtree(self._home, ignore_errors=True)


TAB, ENTER = "\ue004", "\ue007"
"""Keys (WebDriver, section 17.4.2)."""
