"""A headless Chromium that is spoken to over a pipe, in its own protocol (DevTools): what a page shows, and what it complains of."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

#: Seconds for anything that the browser says. The first one waits for it to start.
PATIENCE = 120


class Browser:
    """Use as a context manager; `page` opens a page and stays on it."""

    def __enter__(self) -> Browser:
        self._home = tempfile.mkdtemp(prefix="vmp-chromium-")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def as_three_and_four() -> None:
            # The numbers that --remote-debugging-pipe reads from and writes to; copies first, for they may be these numbers.
            one, two = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(one, 3)
            os.dup2(two, 4)

        self._process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
             "--disable-background-networking", f"--user-data-dir={self._home}", "--remote-debugging-pipe", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
            preexec_fn=as_three_and_four,  # noqa: PLW1509  (there are no threads)
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session = ""
        self._loaded = False
        #: What pages wrote to the console, and what the browser had to say against them: exceptions, and what their policy forbade.
        self.complaints: list[str] = []
        #: What pages asked for, but for themselves.
        self.requests: list[str] = []
        target = next(one for one in self.ask("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        # Seconds of a processor: how long it takes is the machine's affair.
        self.ask("Performance.enable", timeDomain="threadTicks")
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._out)  # it ends with its pipe
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        shutil.rmtree(self._home, ignore_errors=True)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], PATIENCE)[0]:
                raise RuntimeError(f"the browser has said nothing for {PATIENCE} s")
            data = os.read(self._in, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._rest += data
        one, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(one)
        method, given = message.get("method"), message.get("params", {})
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(given)[:2000])
        elif method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent" and given["type"] != "Document":
            self.requests.append(given["request"]["url"])
        return message

    def ask(self, method: str, **given: Any) -> dict[str, Any]:
        """The answer to a command. Raises RuntimeError for one that is an error."""
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps({"id": number, "method": method, "params": given, **session}).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def page(self, path: Path, scheme: str = "light", width: int = 1280) -> None:
        """Open a page, and wait until it is loaded. scheme: what `prefers-color-scheme` says."""
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self._loaded = False
        self.ask("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._read()

    def value(self, expression: str) -> Any:
        """What an expression is on the page, by our own script: the page's policy does not bind it."""
        answer = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def worked(self) -> float:
        """Seconds of a processor that the page has cost the browser since it was opened."""
        return {one["name"]: one["value"] for one in self.ask("Performance.getMetrics")["metrics"]}["TaskDuration"]

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """A picture of the page; of the whole of it, or of what is to be seen first."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def printed(self, path: Path) -> None:
        """The page as it is printed, a PDF."""
        path.write_bytes(base64.b64decode(self.ask("Page.printToPDF", printBackground=True)["data"]))
