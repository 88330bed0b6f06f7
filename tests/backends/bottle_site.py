"""Bottle on the server that it brings along. The port is the argument."""

import sys

from bottle import request, route, run


@route("/<rest:path>")
@route("/")
def echo(rest=""):
    return request.path


run(host="127.0.0.1", port=int(sys.argv[1]), quiet=True)
