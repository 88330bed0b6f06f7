"""Starlette behind uvicorn, and an application that reads the path as a URL once it is decoded: a socket each."""

import asyncio
from urllib.parse import unquote, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


def named(text):
    """What a route answers: the resource, with what the path had in its places."""

    async def serve(request):
        return PlainTextResponse(text.format(**request.path_params))

    return serve


starlette = Starlette(
    routes=[
        Route("/", named("/")),
        Route("/pub/{rest:path}", named("/pub/{rest}")),
        Route("/docs/{name}", named("/docs/{name}")),
        Route("/admin", named("/admin/")),
        Route("/admin/{rest:path}", named("/admin/{rest}")),
        Route("/v/{item}/p", named("/v/{item}/p")),
    ]
)


async def urlsplitting(scope, receive, send):
    try:
        status, text = 200, urlsplit(unquote(scope["raw_path"])).path
    except ValueError as error:
        status, text = 400, str(error)
    response = PlainTextResponse(text.encode("utf-8", "replace"), status)
    await response(scope, receive, send)


async def serve(*sites):
    servers = [
        uvicorn.Server(uvicorn.Config(app, uds=f"{name}.sock", log_level="error", timeout_keep_alive=300, lifespan="off"))
        for name, app in sites
    ]
    await asyncio.gather(*(server.serve() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve(("uvicorn-starlette", starlette), ("uvicorn-urlsplit", urlsplitting)))
