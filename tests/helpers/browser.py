"""A real browser, Chromium without a window, driven over its own protocol (CDP) by tornado's web socket."""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """One page of the browser."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._number, self.errors = socket, 0, []

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser something and return its answer; errors of the page's scripts are kept."""
        self._number += 1
        await self._socket.write_message(
            json.dumps({"id": self._number, "method": method, "params": parameters})
        )
        while True:
            message = json.loads(await self._socket.read_message())
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(
                    message["params"]["exceptionDetails"].get("exception", {}).get("description")
                )
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    async def value(self, script: str) -> Any:
        """Return what a JavaScript expression is."""
        found = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"])
        return found["result"].get("value")

    async def until(self, script: str, seconds: float = 30.0) -> Any:
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + seconds
        while not (found := await self.value(script)):
            if time.monotonic() > end:
                raise TimeoutError(f"not true within {seconds} s: {script}")
            await asyncio.sleep(0.05)
        return found

    async def open(self, url: str, width: int = 1280, height: int = 900, *, mobile: bool = False) -> None:
        """Open a page at a size of the window."""
        await self.send("Page.enable")
        await self.send("Runtime.enable")
        await self.send("Network.enable")
        await self.send(
            "Network.emulateNetworkConditions",
            offline=False,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def click(self, x: float, y: float) -> None:
        """Move to a point of the window and click."""
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more
            )

    async def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save a picture of the page."""
        found = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))


def in_browser(work: Callable[[Page], Awaitable[None]]) -> None:
    """Do something with a page of a fresh browser; skip the test where there is none."""
    binary = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if binary is None:
        pytest.skip("no Chromium on this machine")
    websocket = pytest.importorskip("tornado.websocket")
    # Chromium's own processes may still write into its folder while it is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [
                binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
                "--allow-file-access-from-files", f"--user-data-dir={folder}", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            asyncio.run(_with_page(Path(folder), websocket, work))
        finally:
            process.terminate()
            process.wait(20)


async def _with_page(folder: Path, websocket: Any, work: Callable[[Page], Awaitable[None]]) -> None:
    from tornado.httpclient import AsyncHTTPClient

    port_file, end = folder / "DevToolsActivePort", time.monotonic() + 60
    while not port_file.exists() or not port_file.read_text().strip():
        if time.monotonic() > end:
            raise TimeoutError("Chromium did not start within 60 s")
        await asyncio.sleep(0.05)
    port = port_file.read_text().split()[0]
    answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json/list")
    target = next(one for one in json.loads(answer.body) if one["type"] == "page")
    socket = await websocket.websocket_connect(target["webSocketDebuggerUrl"], max_message_size=1 << 28)
    try:
        await work(Page(socket))
    finally:
        socket.close()
