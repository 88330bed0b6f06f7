"""The page answers as `portcullis check --output json`: on each row of the table of cases that the command can express."""

import ipaddress
import json
import os
import re
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from browser import ROOT, chromium, page, site
from ruamel.yaml import YAML

COMMAND = os.environ.get("PORTCULLIS_COMMAND") or str(ROOT / "target" / "release" / "portcullis")
NOW = "2026-12-01T00:00:00Z"
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
RECORD_NOTHING = ["edge", "sidecar", "proxy_protocol"]
PEER_KEY = "portcullis.peer"
AT_LEAST = 500  # a control: so many rows are compared


# Times are text, as in the gate's own parser.
LOADER = YAML(typ="safe", pure=True)
LOADER.Constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))


def text(written):
    """The text of a member of a row; None if it has bytes that an argument or a line cannot have."""
    whole = re.sub(r"\\\{(.*?)\*(\d+)\}", lambda match: match[1] * int(match[2]), str(written))
    return whole if whole.isprintable() and "\\" not in whole else None


def described(cases, row):
    """The request of a row, as the form has it; None if `check` cannot express it."""
    if "core" not in row.get("engines", ["core"]) or row["expect"]["reason"] == "envoy":
        return None
    request = row.get("request", {})
    if ("raw" in request and not request.keys() - {"raw"}) or (request.get("method") == "CONNECT" and "path" not in request):
        return None
    headers = request.get("headers", [])
    headers = list(headers.items()) if isinstance(headers, dict) else headers
    pairs = [(str(name), text(value)) for name, value in headers]
    parts = {
        name: text(request.get(name, default))
        for name, default in [("method", "GET"), ("path", "/"), ("authority", "gate.test")]
    }
    good = all(
        TOKEN.fullmatch(name) and name.lower() != "host" and value is not None and value == value.strip()
        for name, value in pairs
    )
    if not good or not all(parts.values()) or not parts["path"].startswith("/"):
        return None
    address = ipaddress.ip_address(row.get("from", "127.0.0.1"))
    peer = row.get("source", f"[{address}]:40000" if address.version == 6 else f"{address}:40000")
    if not re.fullmatch(r".*:\d+", peer):
        return None
    recorded = None if row.get("listener", cases.get("listener", "edge")) in RECORD_NOTHING else str(address)
    state = row.get("state", recorded)
    lines = "\n".join(f"{name}: {value}" for name, value in pairs)
    others = {"peer": peer, "identity": row.get("identity", ""), "filter_state": "" if state is None else f"{PEER_KEY}={state}"}
    return {**parts, **others, "headers": lines, "key": "", "now": str(row.get("now", NOW))}


def rows():
    """The rows that `check` can express: id, policy, request and expected reason."""
    for file in sorted((ROOT / "tests" / "cases").glob("*.yaml")):
        cases = LOADER.load(file.read_text())
        for row in cases["rows"]:
            request = described(cases, row)
            if request:
                policy = json.dumps(cases["policies"][row.get("policy", "default")], indent=1)
                expected = None if cases.get("env") else row["expect"]["reason"]
                yield row["id"], policy, request, expected


def checked(row):
    """What the command says, in an environment without keys."""
    _, policy, request, _ = row
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "policy.yaml").write_text(policy)
        command = [COMMAND, "check", "--output", "json", "--header-file", "-", "--now", request["now"]]
        for name in ("method", "path", "authority", "peer", "identity", "filter_state"):
            if request[name]:
                command.append(f"--{name.replace('_', '-')}={request[name]}")
        options = {"capture_output": True, "text": True, "env": {}, "cwd": folder}
        done = subprocess.run(command, check=False, input=request["headers"], **options)
    return json.loads(done.stdout) if done.returncode in (0, 1) and done.stdout else {"error": done.stderr}


class SameAsCheck(unittest.TestCase):
    maxDiff = None

    def test_each_row_of_the_table(self):
        table = list(rows())
        self.assertGreater(len(table), AT_LEAST)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            expected = list(pool.map(checked, table))
        explain = """async (rows) => {
            const { explain } = await import("./portcullis_playground.js");
            return rows.map(([policy, request]) => explain(policy, request));
        }"""
        with site() as server, chromium() as browser, page(browser, server) as one:
            got = one.evaluate(explain, [[policy, json.dumps(request)] for _, policy, request, _ in table])
        for (name, _, request, reason), command, answer in zip(table, expected, map(json.loads, got), strict=True):
            with self.subTest(name, request=request):
                if "error" in command:
                    # Of a row with an invalid address, both say the same.
                    self.assertIn(answer["fault"]["message"], command["error"])
                    continue
                answer.pop("notes", None)
                self.assertEqual(answer, command)
                self.assertIn(reason, (None, answer["reason"]))
        print(f"{len(table)} rows of the table: the page answers as the command")


if __name__ == "__main__":
    unittest.main()
