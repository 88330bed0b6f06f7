"""What gunicorn serves: the socket that a request comes in on says which site is meant."""

from flask import Flask

flask = Flask(__name__)


@flask.get("/")
def root():
    return "/"


@flask.get("/pub/", defaults={"rest": ""})
@flask.get("/pub/<path:rest>")
def public(rest):
    return f"/pub/{rest}"


@flask.get("/docs/<name>")
def document(name):
    return f"/docs/{name}"


@flask.get("/admin", defaults={"rest": ""})
@flask.get("/admin/<path:rest>")
def admin(rest):
    return f"/admin/{rest}"


@flask.get("/v/<item>/p")
def item(item):
    return f"/v/{item}/p"


def plain(environ, start_response):
    """The path that the server hands over, and nothing of a framework."""
    body = environ["PATH_INFO"].encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def application(environ, start_response):
    name = environ["gunicorn.socket"].getsockname()
    serve = flask if name.endswith("-flask.sock") else plain
    return serve(environ, start_response)
