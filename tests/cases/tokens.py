#!/usr/bin/env python3
"""Print a token for tokens.yaml, signed by other code than the gate's.

Without arguments, the token is valid for the policies of that file, from 2026-11-29T23:59:00Z for 15 minutes.
"""

import argparse
import base64
import hashlib
import hmac
import json

NOW = 1795996800  # 2026-11-30T00:00:00Z, the clock of most rows
SECRET = "tokens-secret-of-the-table-of-cases"

EXAMPLES = """\
examples:
  tests/cases/tokens.py                                     a valid one
  tests/cases/tokens.py exp=1795997641                      another claim; a number if it is one
  tests/cases/tokens.py exp=                                a claim fewer
  tests/cases/tokens.py --header '{"alg":"none"}'           another header
  tests/cases/tokens.py --secret tokens-older-secret-of-the-table-of-cases
"""


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signature(secret, text):
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()


def header(secret):
    kid = signature(secret, "portcullis kid")[:4].hex()
    return f'{{"alg":"HS256","kid":"{kid}","typ":"JWT"}}'


def tie(key):
    """The claim `kd` of a key."""
    return hashlib.sha256(hashlib.sha256(key.encode()).digest()).hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", metavar="CLAIM=VALUE")
    parser.add_argument("--key", default="tokens-one", help="the key that `kd` is of (default: %(default)s)")
    parser.add_argument("--header", help="as JSON (default: the one of the secret)")
    parser.add_argument("--secret", default=SECRET)
    options = parser.parse_args()
    claims = {
        "iss": "edge",
        "sub": "ci",
        "key_id": "one",
        "kd": tie(options.key),
        "scope": "predict",
        "iat": NOW - 60,
        "exp": NOW + 840,
        "jti": "00",
    }
    for name, _, value in (claim.partition("=") for claim in options.claims):
        claims[name] = int(value) if value.lstrip("-").isdigit() else value
    claims = json.dumps({name: value for name, value in claims.items() if value != ""}, separators=(",", ":"))
    signed = encoded((options.header or header(options.secret)).encode()) + "." + encoded(claims.encode())
    print(signed + "." + encoded(signature(options.secret, signed)))


if __name__ == "__main__":
    main()
