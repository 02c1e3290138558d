"""A headless browser of chromium's family, driven over a pipe by its DevTools protocol, without any package."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-sync",
    "--remote-debugging-pipe",
)  # fmt: skip
_LAUNCH = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(word), fcntl.F_DUPFD, 20) for word in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser reads commands from file descriptor 3 and answers on 4."""


def chromium() -> str | None:
    """The path of the browser; None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class BrowserError(AssertionError):
    """A command that the browser refused, a script that threw, or something that did not happen in time."""


@dataclass
class Browser:
    """A running browser. said: console messages and exceptions of its pages, in order."""

    process: "subprocess.Popen[bytes]"
    reading: int
    writing: int
    said: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _buffer: bytes = b""
    _answers: dict[int, dict[str, Any]] = field(default_factory=dict)

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """One command and its result. Raises BrowserError."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + SECONDS
        while number not in self._answers:
            self._read(until, method)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self, until: float, what: str) -> None:
        ready, _, _ = select.select([self.reading], [], [], max(0.0, until - time.monotonic()))
        chunk = os.read(self.reading, 1 << 20) if ready else b""
        if not chunk:
            raise BrowserError(f"{what}: {'the browser ended' if ready else f'no answer in {SECONDS:g} s'}")
        *messages, self._buffer = (self._buffer + chunk).split(b"\0")
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            elif message["method"] == "Runtime.exceptionThrown":
                self.said.append(
                    message["params"]["exceptionDetails"].get("exception", {}).get("description", text.decode())
                )
            elif message["method"] == "Log.entryAdded":
                self.said.append(message["params"]["entry"]["text"])
            elif message["method"] == "Runtime.consoleAPICalled":
                self.said.append(" ".join(str(one.get("value", one)) for one in message["params"]["args"]))

    def page(self, before: str = "") -> "Page":
        """A new tab. before: a script that runs in each of its documents before theirs."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.call(f"{domain}.enable", session)
        if before:
            self.call("Page.addScriptToEvaluateOnNewDocument", session, source=before)
        return Page(self, session, target)


@dataclass(frozen=True)
class Page:
    """A tab of the browser."""

    browser: Browser
    session: str
    target: str

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command to this tab."""
        return self.browser.call(method, self.session, **params)

    def open(self, address: str) -> None:
        """Goes to an address, and does not wait for what is there."""
        found = self.call("Page.navigate", url=address)
        if "errorText" in found:
            raise BrowserError(f"{address}: {found['errorText']}")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; of a promise, what it becomes."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = SECONDS) -> Any:
        """Waits until an expression is true, and gives its value. The page may be reloaded meanwhile."""
        until = time.monotonic() + seconds
        while True:
            try:
                if value := self.run(expression):
                    return value
            except BrowserError as error:
                if time.monotonic() > until:
                    raise BrowserError(f"{expression}: {error}") from error
            if time.monotonic() > until:
                shown = self.run("document.body?.innerText")
                raise BrowserError(
                    f"not in {seconds:g} s: {expression}; the page shows: {shown}; it said {self.browser.said}"
                )
            time.sleep(0.05)

    def text(self, element: str) -> str:
        """The text of an element by its id."""
        return str(self.run(f"document.getElementById({element!r}).textContent"))

    def choose(self, element: str, file: Path) -> None:
        """Chooses a file in a file input, by its id."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=f"#{element}")["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def screen(self, width: int, height: int, *, scale: float = 1, scheme: str = "light", touch: bool = False) -> None:
        """Shows the page as a screen of this size (CSS pixels) and colour scheme would."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=touch
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self) -> bytes:
        """What the screen shows, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """Closes the tab."""
        self.browser.call("Target.closeTarget", targetId=self.target)


@contextmanager
def running(
    profile: Path, *, flags: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[Browser]:
    """A browser with its own profile in a folder; ended afterwards. Raises BrowserError where there is none."""
    program = chromium()
    if program is None:
        raise BrowserError("no chromium")
    theirs_read, writing = os.pipe()
    reading, theirs_write = os.pipe()
    words = [program, *FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]
    process = subprocess.Popen(
        [sys.executable, "-c", _LAUNCH, str(theirs_read), str(theirs_write), *words],
        pass_fds=(theirs_read, theirs_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    os.close(theirs_read)
    os.close(theirs_write)
    browser = Browser(process, reading, writing)
    try:
        yield browser
    finally:
        try:
            browser.call("Browser.close")
            process.wait(20)
        except (BrowserError, OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        os.close(reading)
        os.close(writing)
