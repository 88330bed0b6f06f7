"""A headless Chromium with the playground, from a local server. Both end with the block."""

import contextlib
import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "target" / "playground"
FILES = ["/", "/playground.css", "/playground.js", "/portcullis_playground.js", "/portcullis_playground_bg.wasm"]
PATIENCE = 60_000  # milliseconds: generous, so that a loaded machine is not a failure


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and records what it is asked for."""

    def log_message(self, *_):
        self.server.asked.append(self.path)


@contextlib.contextmanager
def site():
    """A web server with the result of `make playground`, on a free port."""
    if not (BUILT / "index.html").is_file():
        raise FileNotFoundError(f"{BUILT} is missing: run `make playground`")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=BUILT)) as server:
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def chromium():
    """The browser: `CHROMIUM`, otherwise what scripts/get-chromium finds or fetches."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "get-chromium"], stdout=subprocess.PIPE, text=True, check=True)
    with sync_playwright() as playwright:
        # It does not start its sandbox as root.
        sandbox = os.geteuid() != 0
        browser = playwright.chromium.launch(executable_path=done.stdout.strip(), chromium_sandbox=sandbox, timeout=PATIENCE)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def page(browser, server, fragment="", **options):
    """A page in a fresh profile. It records every request, whoever it is for, and every message of the console."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    one = context.new_page()
    one.requests, one.messages, one.dialogs = [], [], []
    context.on("request", lambda request: one.requests.append(request.url))
    one.on("console", lambda message: one.messages.append(message.text))
    one.on("pageerror", lambda error: one.messages.append(str(error)))
    one.on("dialog", lambda dialog: (one.dialogs.append(dialog.message), dialog.dismiss()))
    try:
        one.goto(f"{server.url}/{fragment}")
        one.wait_for_selector("body[data-ready]")
        yield one
    finally:
        context.close()


def call(one, function, *arguments):
    """Calls a function of the page's own module."""
    text = "async ([name, values]) => (await import('./portcullis_playground.js'))[name](...values)"
    return one.evaluate(text, [function, arguments])
