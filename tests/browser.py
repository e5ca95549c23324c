"""A headless Chromium, driven by its DevTools protocol: what a page looks like, says and asks for."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"),
    *("--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"),
    *("--remote-debugging-port=0", "--remote-allow-origins=*", "--force-color-profile=srgb"),
)
_PATIENCE = 60  # seconds


def why_not() -> str | None:
    """Return why there is no browser here, None where there is one."""
    try:
        import websocket  # noqa: F401
    except ImportError:
        return "no websocket-client"
    return None if shutil.which("chromium") else "no chromium"


def axe() -> str | None:
    """Return the text of axe-core, which looks for what hinders people; None if it is not installed."""
    spec = find_spec("axe_playwright_python")
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    return Path(places[0], "axe.min.js").read_text() if places else None


@dataclass
class Browser:
    """One tab."""

    socket: Any
    heard: list[dict[str, Any]] = field(default_factory=list)
    _calls: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a method of the protocol; events that come before it are kept."""
        self._calls += 1
        self.socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self._calls:
                assert "error" not in message, message
                return message["result"]
            self.heard.append(message)

    def events(self, *methods: str) -> list[dict[str, Any]]:
        """Return what was heard of these events."""
        return [one["params"] for one in self.heard if one.get("method") in methods]

    def open(self, path: Path, width: int = 1280, dark: bool = False) -> None:
        """Load a file as a screen of that width and scheme shows it; wait until all of it is there."""
        self.heard.clear()
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=path.absolute().as_uri())
        deadline = time.monotonic() + _PATIENCE
        while not self.events("Page.loadEventFired"):
            assert time.monotonic() < deadline, "the page does not load"
            self.heard.append(json.loads(self.socket.recv()))

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression is worth on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def faults(self) -> list[str]:
        """Return what the console complained of."""
        said = [one["entry"] for one in self.events("Log.entryAdded")]
        thrown = self.events("Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [json.dumps(one) for one in (*said, *thrown)]

    def requested(self) -> list[str]:
        """Return the addresses that were asked for, those within the page itself left out."""
        asked = [one["request"]["url"] for one in self.events("Network.requestWillBeSent")]
        return [url for url in asked if not url.startswith("data:")]

    def print_preview(self, width: int) -> None:
        """Show the page as it is printed on a sheet of that width, in pixels of which an inch has 96."""
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setEmulatedMedia", media="print")

    def hindrances(self, axe_core: str) -> list[str]:
        """Return what axe-core finds on the page against WCAG 2.1 AA and best practice."""
        self.value(f"{axe_core}; 0")
        tags = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']"
        found = self.value(f"axe.run(document, {{runOnly: {tags}}}).then(one => JSON.stringify(one.violations))")
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in json.loads(found)]

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """Write the page as PNG, the whole of it or its upper part."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(b64decode(shot["data"]))

    def print_to(self, path: Path) -> None:
        """Write the page as PDF."""
        path.write_bytes(b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """Give a tab of a browser of its own, which listens on loopback only."""
    import websocket

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["chromium", *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = _port(Path(profile) / "DevToolsActivePort", process)
            socket = websocket.create_connection(f"ws://127.0.0.1:{port}{_tab(port)}", timeout=_PATIENCE)
            try:
                yield Browser(socket)
            finally:
                socket.close()
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + _PATIENCE
    while not (file.exists() and file.read_text().count("\n")):
        assert process.poll() is None, "chromium ended"
        assert time.monotonic() < deadline, "chromium does not start"
        time.sleep(0.05)
    return int(file.read_text().split("\n")[0])


def _tab(port: int) -> str:
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    connection.request("GET", "/json")
    tabs = json.loads(connection.getresponse().read())
    connection.close()
    address = next(one["webSocketDebuggerUrl"] for one in tabs if one["type"] == "page")
    return "/" + address.split("/", 3)[3]
