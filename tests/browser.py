"""A headless Chromium over its DevTools pipe: enough to open a file, act, and look."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections import deque
from pathlib import Path

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Browser:
    """One page of one browser; `problems` collects console errors, exceptions and requests."""

    def __init__(self):
        self.problems, self._next = [], 0
        self._pending, self._whole = [], deque()  # parts of a message; whole ones, unread
        self._profile = tempfile.mkdtemp()
        to_browser, from_browser = os.pipe(), os.pipe()

        def connect():
            # The browser reads commands from 3 and writes to 4. Copies first, lest one overwrite
            # the other where they have these numbers already.
            read, write = os.dup(to_browser[0]), os.dup(from_browser[1])
            read, write = os.dup(read), os.dup(write)
            os.dup2(read, 3)
            os.dup2(write, 4)

        command = [CHROMIUM, "--headless=new", "--remote-debugging-pipe", "--no-sandbox",
                   "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   f"--user-data-dir={self._profile}"]  # fmt: skip
        self._process = subprocess.Popen(
            command, preexec_fn=connect, close_fds=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser[0])
        os.close(from_browser[1])
        self._write = os.fdopen(to_browser[1], "wb", buffering=0)
        self._read = os.fdopen(from_browser[0], "rb")
        self._session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        found = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def _message(self):
        while not self._whole:
            part = self._read.read1(1 << 20)
            if not part:
                raise ConnectionError("the browser is gone")
            head, *rest = part.split(b"\0")
            self._pending.append(head)
            for piece in rest:
                self._whole.append(b"".join(self._pending))
                self._pending = [piece]
        message = json.loads(self._whole.popleft())
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.problems.append(str(params["args"]))
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(params["entry"]["text"])
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("data:", "file:", "about:")):
                self.problems.append(f"asks for {url}")
        return message

    def send(self, method, **params):
        self._next += 1
        message = {"id": self._next, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        while True:
            found = self._message()
            if found.get("id") == self._next:
                assert "error" not in found, found["error"]
                return found["result"]

    def open(self, path):
        self.send("Page.navigate", url=Path(path).resolve().as_uri())
        while self._message().get("method") != "Page.loadEventFired":
            pass

    def run(self, script):
        """The JSON value of a JavaScript expression, or that of its promise."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True,
                          awaitPromise=True)  # fmt: skip
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def _mouse(self, kind, x, y, **more):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def move(self, element):
        """Move the pointer onto an element, which an expression gives; its place."""
        self.run(f"{element}.scrollIntoView({{block: 'center'}})")
        place = self.run(f"(box => [box.x + box.width / 2, box.y + box.height / 2])"
                         f"({element}.getBoundingClientRect())")  # fmt: skip
        self._mouse("mouseMoved", *place)
        return place

    def click(self, element):
        place = self.move(element)
        for kind in ("mousePressed", "mouseReleased"):
            self._mouse(kind, *place, button="left", clickCount=1)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key)

    def size(self, width, height, mobile=False):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=mobile)  # fmt: skip

    def media(self, name):
        self.send("Emulation.setEmulatedMedia", media=name)

    def screenshot(self, path, whole=False):
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def pdf(self):
        return base64.b64decode(self.send("Page.printToPDF")["data"])

    def close(self):
        with contextlib.suppress(ConnectionError, BrokenPipeError, AssertionError):
            self._session = None
            self.send("Browser.close")
        self._process.wait(20)
        self._write.close()
        self._read.close()
        shutil.rmtree(self._profile, ignore_errors=True)
