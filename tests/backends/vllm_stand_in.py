#!/usr/bin/env python3
"""A stand-in for vLLM, which needs a GPU and a model: the same command, paths and shapes, and no model behind them."""

import argparse
import json

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

WORDS = ["The ", "sky ", "is ", "blue."]
COMPLETION = {"id": "chatcmpl-1", "created": 1764500000}


async def health(request):
    return Response()


async def models(request):
    model = {"id": request.app.state.model, "object": "model", "created": 1764500000, "owned_by": "vllm"}
    return JSONResponse({"object": "list", "data": [model]})


def chunks(model):
    """The events of a streamed completion."""

    def event(delta, reason=None):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk = {**COMPLETION, "object": "chat.completion.chunk", "model": model, "choices": [choice]}
        return f"data: {json.dumps(chunk)}\n\n"

    yield event({"role": "assistant", "content": ""})
    for word in WORDS:
        yield event({"content": word})
    yield event({}, "stop")
    yield "data: [DONE]\n\n"


async def chat(request):
    body = await request.json()
    if body.get("stream"):
        return StreamingResponse(chunks(body["model"]), media_type="text/event-stream")
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}
    answer = {**COMPLETION, "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
    return JSONResponse(answer)


async def metrics(request):
    return PlainTextResponse(f'vllm:num_requests_running{{model_name="{request.app.state.model}"}} 0.0\n')


async def tokenize(request):
    return JSONResponse({"count": 3, "max_model_len": 4096, "tokens": [1, 2, 3]})


async def done(request):
    return PlainTextResponse("Success")


ROUTES = [
    Route("/health", health),
    Route("/metrics", metrics),
    Route("/v1/models", models),
    Route("/v1/chat/completions", chat, methods=["POST"]),
    Route("/v1/load_lora_adapter", done, methods=["POST"]),
    Route("/v1/unload_lora_adapter", done, methods=["POST"]),
    Route("/invocations", chat, methods=["POST"]),
    Route("/tokenize", tokenize, methods=["POST"]),
    Route("/pause", done, methods=["POST"]),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    app = Starlette(routes=ROUTES)
    app.state.model = arguments.model
    uvicorn.run(app, host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
