"""A real browser without a window, told what to do through a pipe of its own.

Chromium speaks its DevTools protocol on the file descriptors 3 and 4: JSON documents,
each ended by a zero byte.
"""

import contextlib
import itertools
import json
import os
import shutil
import subprocess

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")

OPTIONS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
)


class Page:
    """One page of a browser.

    Attributes:
        complaints: what the browser had to say against the page: errors of its
            script, what its policy forbids, and what could not be loaded.
    """

    def __init__(self, process):
        self._process = process
        self._numbers = itertools.count(1)
        self._session = {}
        self._received = b""
        self.complaints = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        """Sends a command; returns its result."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        self._process.stdin.write(json.dumps(command | self._session).encode() + b"\0")
        self._process.stdin.flush()
        while (message := self._receive()).get("id") != number:
            if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(message["params"])
        assert "error" not in message, message
        return message["result"]

    def open(self, url):
        self.send("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def run(self, script):
        """The value of an expression, or what the promise that it is comes to."""
        done = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait_for(self, condition, seconds=20):
        """Waits until an expression holds; the page goes on meanwhile."""
        loop = f"""new Promise((resolve) => {{
            const end = performance.now() + {1000 * seconds};
            const look = () => {{
                if ({condition}) resolve(true);
                else if (performance.now() > end) resolve(false);
                else setTimeout(look, 20);
            }};
            look();
        }})"""
        assert self.run(loop), f"not reached in time: {condition}"

    def type(self, selector, text):
        """Types a text into an element, as the keys do."""
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.send("Input.insertText", text=text)

    def click(self, selector):
        """Moves the mouse to the middle of an element, and presses its button."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{element}.scrollIntoView()")
        box = self.run(f"{element}.getBoundingClientRect().toJSON()")
        at = {
            "x": box["x"] + box["width"] / 2,
            "y": box["y"] + box["height"] / 2,
            "button": "left",
            "clickCount": 1,
        }
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, **at)

    def resize(self, width, height=800):
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, color_scheme):
        """Wishes for `"light"` or `"dark"` colours."""
        wish = {"name": "prefers-color-scheme", "value": color_scheme}
        self.send("Emulation.setEmulatedMedia", features=[wish])

    def _receive(self):
        while b"\0" not in self._received:
            part = self._process.stdout.read1()
            assert part, "the browser ended"
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def browsing(folder):
    """Runs a browser whose files are in a folder; yields a `Page`."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("the program chromium is not there")
    options = [*OPTIONS, f"--user-data-dir={folder}"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    # What it says itself goes where errors of the tests go.
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >&2', "sh", program, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Page(process)
    finally:
        process.terminate()
        process.wait(20)
        process.stdin.close()
        process.stdout.close()
