"""A rate limit service (envoy.service.ratelimit.v3) with counters in memory, without any schema. It prints its port.

Each argument is `KEY=NUMBER`, the limit of the descriptors whose last entry has this key, or `KEY:VALUE=NUMBER`, also
with this value. Other descriptors have no limit. Counters are never reset.
"""

import collections
import sys
import threading

import grpc
from serving import serve

OK, OVER_LIMIT = 1, 2


def varint(data, at):
    """The number at a place, and the place after it."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def fields(data):
    """The fields of a message: their numbers and values, which are numbers or bytes."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at : at + value], at + value
        yield tag >> 3, value


def message(field, data):
    return bytes([field << 3 | 2, len(data)]) + data


def descriptors(request):
    """The descriptors of a RateLimitRequest: their entries, and how much they add."""
    every = next((value for field, value in fields(request) if field == 3), 0) or 1
    for field, value in fields(request):
        if field == 2:
            entries = tuple(tuple(text.decode() for _, text in fields(entry)) for one, entry in fields(value) if one == 1)
            own = [dict(fields(number)).get(1, 0) for one, number in fields(value) if one == 3]
            yield entries, own[0] if own else every


LIMITS = dict(argument.rsplit("=", 1) for argument in sys.argv[1:])
LOCK = threading.Lock()
COUNTS = collections.Counter()


def limit(entries):
    key, value = entries[-1]
    return LIMITS.get(f"{key}:{value}", LIMITS.get(key))


def should_rate_limit(request, _context):
    codes = []
    with LOCK:
        for entries, hits in descriptors(request):
            most = limit(entries)
            if most is not None:
                COUNTS[entries] += hits
            codes.append(OK if most is None or COUNTS[entries] <= int(most) else OVER_LIMIT)
    statuses = b"".join(message(2, bytes([8, code])) for code in codes)
    return bytes([8, max(codes, default=OK)]) + statuses


handlers = grpc.method_handlers_generic_handler(
    "envoy.service.ratelimit.v3.RateLimitService",
    {"ShouldRateLimit": grpc.unary_unary_rpc_method_handler(should_rate_limit)},
)

if __name__ == "__main__":
    serve(handlers)
