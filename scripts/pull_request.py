"""The one comment of the GitHub Action on a pull request: found again by its marker and its author, then updated."""

import http.client
import ipaddress
import json
import urllib.error
import urllib.parse
import urllib.request

MARKER = "<!-- portcullis: access of this pull request -->"
PAGE = 100
PAGES = 50
NO_LIST = "GitHub did not answer with a list of comments"


class NotPosted(Exception):
    """Why there is no comment, in one line without anything that a stranger wrote."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token is for one host."""

    def redirect_request(self, *_):
        return None


def is_safe(url):
    """Whether nobody on the way can read the token: it is encrypted, or for an address of this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        # Not a name such as `localhost`, which may have any address.
        return parts.scheme == "https" or (parts.scheme == "http" and ipaddress.ip_address(parts.hostname).is_loopback)
    except ValueError:
        return False


class Api:
    """GitHub's REST API, for the comments of one pull request."""

    def __init__(self, url, repository, number, token):
        if not is_safe(url):
            raise NotPosted("GITHUB_API_URL must begin with https://, because the token is sent there")
        self.root = f"{url}/repos/{repository}/issues"
        self.number = int(number)
        self.token = token
        self.opener = urllib.request.build_opener(NoRedirect)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(f"{self.root}/{path}", method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Accept", "application/vnd.github+json")
        request.add_header("X-GitHub-Api-Version", "2022-11-28")
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with self.opener.open(request, data, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):
                raise NotPosted(
                    f"the token may not do it (status {error.code}): pull requests from forks have a read-only token, "
                    "others need `permissions: {pull-requests: write}`"
                ) from None
            raise NotPosted(f"GitHub answered with status {error.code}") from None
        except (OSError, ValueError, http.client.HTTPException):
            raise NotPosted("GitHub cannot be reached, or did not answer with JSON") from None

    def comments(self):
        """The id, the author and the text of each comment."""
        for page in range(1, PAGES + 1):
            found = self.ask("GET", f"{self.number}/comments?per_page={PAGE}&page={page}")
            if not isinstance(found, list):
                raise NotPosted(NO_LIST)
            try:
                comments = [(int(one["id"]), (one["user"] or {}).get("login"), str(one["body"] or "")) for one in found]
            except (AttributeError, KeyError, TypeError, ValueError):
                raise NotPosted(NO_LIST) from None
            yield from comments
            if len(found) < PAGE:
                return

    def post(self, body, author, only_update):
        """Update the comment, or create it unless `only_update`."""
        # Everybody may write the marker: a comment of someone else is not ours to change.
        for number, login, text in self.comments():
            if login == author and text.startswith(MARKER):
                if text.replace("\r\n", "\n") != body:
                    self.ask("PATCH", f"comments/{number}", {"body": body})
                return
        if not only_update:
            self.ask("POST", f"{self.number}/comments", {"body": body})
