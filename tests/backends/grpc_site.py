"""A gRPC server: it prints its port, and answers with what it gets, without any schema."""

import grpc
from serving import serve

TRAILER = (("x-trailer", "after the message"),)


def unary(request, context):
    context.set_trailing_metadata(TRAILER)
    return request


def stream(requests, context):
    context.set_trailing_metadata(TRAILER)
    yield from requests


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such model")


handlers = grpc.method_handlers_generic_handler(
    "test.Echo",
    {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Stream": grpc.stream_stream_rpc_method_handler(stream),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
    },
)

if __name__ == "__main__":
    serve(handlers)
