#!/usr/bin/env python3
"""A stand-in for NVIDIA Triton, which needs models: the same command, paths and shapes over HTTP and gRPC, and no model."""

import argparse
import json
import re
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

SERVICE = "inference.GRPCInferenceService"
MODEL = "iris"
TRUE = b"\x08\x01"  # a message whose first field is true


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, answer=None):
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self):
        request = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
        match (self.command, self.path):
            case ("GET", "/v2/health/live" | "/v2/health/ready"):
                return self.reply(200)
            case ("GET", "/v2"):
                return self.reply(200, {"name": "triton", "version": "2.0.0", "extensions": ["model_repository"]})
            case ("GET", "/v2/models/iris"):
                return self.reply(200, {"name": MODEL, "versions": ["1"], "platform": "python", "inputs": [], "outputs": []})
            case ("POST", "/v2/models/iris/infer"):
                outputs = [{**tensor, "name": "label"} for tensor in request["inputs"]]
                return self.reply(200, {"model_name": MODEL, "model_version": "1", "outputs": outputs})
            case ("POST", "/v2/repository/index"):
                return self.reply(200, [{"name": MODEL, "version": "1", "state": "READY"}])
        if self.command == "POST" and re.fullmatch(r"/v2/repository/models/[^/]+/(un)?load", self.path):
            return self.reply(200)
        return self.reply(404, {"error": "Not Found"})

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def handlers():
    """The methods of the gRPC service, on messages as bytes: the first field of a request and its reply is the model's name."""
    methods = {
        "ServerLive": lambda request, context: TRUE,
        "ServerReady": lambda request, context: TRUE,
        "ModelReady": lambda request, context: TRUE,
        "ModelInfer": lambda request, context: request,
        "RepositoryModelLoad": lambda request, context: b"",
        "RepositoryModelUnload": lambda request, context: b"",
    }
    unary = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    return grpc.method_handlers_generic_handler(SERVICE, unary)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-repository", required=True)
    parser.add_argument("--http-address", default="127.0.0.1")
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--grpc-address", default="127.0.0.1")
    parser.add_argument("--grpc-port", type=int, default=8001)
    arguments = parser.parse_args()

    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handlers(),))
    server.add_insecure_port(f"{arguments.grpc_address}:{arguments.grpc_port}")
    server.start()
    web = ThreadingHTTPServer((arguments.http_address, arguments.http_port), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    print(f"Started GRPCInferenceService at {arguments.grpc_address}:{arguments.grpc_port}", flush=True)
    print(f"Started HTTPService at {arguments.http_address}:{arguments.http_port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
