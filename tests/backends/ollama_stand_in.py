#!/usr/bin/env python3
"""A stand-in for Ollama, which needs models: the same command, paths and shapes, and no model behind them.

As Ollama on a loopback address, it answers 403 to a host that is not local.
"""

import ipaddress
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = ["qwen3:0.6b"]
WORDS = ["The ", "sky ", "is ", "blue."]
CREATED = "2026-11-30T12:00:00.000000000Z"


def is_local(host):
    """Whether Ollama accepts this host: an address of a private network, or a local name."""
    name = host.rsplit(":", 1)[0].lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in ("", "localhost") or name.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, text, kind="application/json; charset=utf-8"):
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, objects):
        """JSON objects, one on each line, each in a chunk of its own."""
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for line in [json.dumps(one) + "\n" for one in objects]:
            self.wfile.write(f"{len(line):x}\r\n{line}\r\n".encode())
        self.wfile.write(b"0\r\n\r\n")

    def answer(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
        name = body.get("model")
        if not is_local(self.headers.get("host", "")):
            return self.reply(403, "", "text/plain")
        match (self.command, self.path):
            case ("GET" | "HEAD", "/"):
                return self.reply(200, "Ollama is running", "text/plain; charset=utf-8")
            case ("GET", "/api/version"):
                return self.reply(200, '{"version":"0.0.0"}')
            case ("GET", "/api/tags"):
                models = [{"name": model, "model": model, "modified_at": CREATED, "size": 1} for model in MODELS]
                return self.reply(200, json.dumps({"models": models}))
            case ("POST", "/api/generate"):
                words = [{"model": name, "created_at": CREATED, "response": word, "done": False} for word in WORDS]
                end = {"model": name, "created_at": CREATED, "response": "", "done": True, "done_reason": "stop"}
                return self.stream([*words, end])
            case ("POST", "/api/pull"):
                MODELS.append(name)
                return self.stream([{"status": "pulling manifest"}, {"status": "success"}])
            case ("DELETE", "/api/delete") if name in MODELS:
                MODELS.remove(name)
                return self.reply(200, "", "text/plain")
        return self.reply(404, json.dumps({"error": f"model '{name}' not found"}))

    do_GET = do_HEAD = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


def main():
    if sys.argv[1:] != ["serve"]:
        sys.exit("usage: ollama serve")
    host, port = os.environ.get("OLLAMA_HOST", "127.0.0.1:11434").rsplit(":", 1)
    server = ThreadingHTTPServer((host, int(port)), Handler)
    print(f"Listening on {host}:{port} (version 0.0.0)", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
