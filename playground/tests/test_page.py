"""The page in a browser: the form, links and what they carry, hostile links, and that nothing is sent anywhere."""

import base64
import json
import unittest

from browser import FILES, ROOT, call, chromium, page, site

PICTURES = ROOT / "target" / "playground-pictures"

POLICY = """\
# comment-secret
version: 1
description: description-secret
key_sources: [bearer, {header: x-team-key}, {query: api_key}, {cookie: session}]
public_paths:
  - /docs/**
consumers:
  - name: ci
    roles: [predict]
    keys:
      - {id: one, plaintext: plaintext-secret}
      - {id: two, env: VARIABLE_SECRET}
      - {id: three, sha256: 3f2c6a1fbb8f0e0d5a3f5c4f8d2b6b8a0e9a7d1c4b5e6f708192a3b4c5d6e7f8}
rules:
  - {path: /v2/**, roles: [predict]}
"""
HEADERS = """\
Authorization: Bearer request-secret
PROXY-authorization: Basic request-secret
x_api_key: request-secret
X-Team_Key: request-secret
Cookie: session=request-secret; other=request-secret
X-Original-URL: /a?api_key=request-secret
X-Auth: request-secret
Origin: https://example.com
"""
MARKUP = '<img src=x onerror="alert(1)"><script>alert(2)</script><svg onload=alert(3)>'


def fragment(content):
    """A fragment as a link has it, with any content."""
    text = content if isinstance(content, str) else json.dumps(content)
    return "#1." + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def content(url):
    """What a link carries."""
    packed = url.split("#1.", 1)[1]
    return base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(site())
        cls.browser = cls.enterClassContext(chromium())

    def open(self, where="", **options):
        return self.enterContext(page(self.browser, self.server, where, **options))

    def assert_silent(self, one):
        """The page has asked for its own files only, and nothing has run or complained."""
        own = {f"{self.server.url}{file}" for file in FILES}
        asked = {url.split("#")[0] for url in one.requests}
        self.assertEqual(asked - own, set())
        self.assertLessEqual(set(self.server.asked), set(FILES))
        self.assertEqual(one.dialogs, [])
        self.assertEqual(one.messages, [])

    def test_a_decision_through_the_form(self):
        one = self.open()
        one.select_option("#example", label="A role is missing")
        self.assertEqual(one.inner_text("#answer .verdict"), "deny missing_role")
        one.fill("#policy", POLICY)
        one.fill("#method", "GET")
        one.fill("#path", "/v2/models")
        one.fill("#key", "two")
        one.click("#decide")
        self.assertEqual(one.inner_text("#answer .verdict"), "allow key")
        self.assertIn("consumer ci, key two", one.inner_text("#answer"))
        self.assertIn("set     x-portcullis-consumer: ci", one.inner_text("#answer pre"))
        # The step that met the rule jumps to its line.
        one.click("#answer .place")
        selected = one.evaluate(
            "getSelection().toString() || document.activeElement.value.slice("
            "document.activeElement.selectionStart, document.activeElement.selectionEnd)"
        )
        self.assertEqual(selected, "  - {path: /v2/**, roles: [predict]}")
        self.assertEqual(one.inner_text("#lines .met"), "15")
        one.fill("#key", "tow")
        one.click("#decide")
        self.assertIn('unknown key id "tow"', one.inner_text("#fault"))
        one.fill("#path", "v2")
        one.click("#decide")
        self.assertIn("expected a path that begins with /", one.inner_text("#fault"))
        self.assert_silent(one)

    def test_errors_of_the_policy_have_line_and_column(self):
        one = self.open()
        for policy, place, message in [
            ("version: 1\nmode: off\n", "line 2, column 7", "mode"),
            ("version: 1\nrules: [\n", "line 2, column 8", "not valid YAML"),
            ("version: 1\npublic_path: []\n", "line 2, column 1", "did you mean public_paths?"),
        ]:
            one.fill("#policy", policy)
            one.click("#decide")
            self.assertEqual(one.inner_text("#policy-fault-place"), place)
            self.assertIn(message, one.inner_text("#policy-fault-text"))
        self.assert_silent(one)

    def test_a_link_carries_no_secret(self):
        one = self.open()
        one.fill("#policy", POLICY)
        one.fill("#path", "/docs/a?api_key=request-secret")
        one.fill("#headers", HEADERS)
        one.fill("#key", "one")
        one.click("#share")
        url = one.input_value("#link-url")
        carried = content(url)
        for absent in ["secret", "SECRET", "3f2c6a1f", "plaintext", "env", "sha256", '"keys"', "two"]:
            self.assertNotIn(absent, carried)
        for kept in ["/docs/a", "https://example.com", "predict", '"one"']:
            self.assertIn(kept, carried)
        for removed in ["3 keys of the policy", "the query of the path", "the header authorization", "the header cookie"]:
            self.assertIn(removed, one.inner_text("#link-removed"))
        self.assertNotIn("#", one.url, "the page's own address stays")
        self.assert_silent(one)

        # Whoever opens it sees the same decision.
        one.fill("#path", "/docs/a")
        one.fill("#headers", "X-Original-URL: /a\nOrigin: https://example.com")
        one.click("#decide")
        verdict = one.inner_text("#answer .verdict")
        self.assertTrue(verdict.startswith("allow"), verdict)
        other = self.open(url.removeprefix(self.server.url + "/"))
        self.assertEqual(other.inner_text("#answer .verdict"), verdict)
        self.assertIn("REMOVED_FROM_THE_LINK", other.input_value("#policy"))
        self.assert_silent(other)

    def test_hostile_links_change_nothing_and_send_nothing(self):
        deep = '{"policy":' + "[" * 9000 + "]" * 9000 + ',"request":{}}'
        aliases = (
            "policy:\n  a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"  {chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12))
            + "request: {}\n"
        )
        before = self.open().inner_html("body")
        links = [
            "#" + MARKUP,
            "#javascript:alert(1)",
            "#1.",
            "#1.%%%",
            "#1.====",
            "#2.e30",
            "#1." + "A" * 2_000_000,
            "#constructor",
            fragment("{}"),
            fragment("null"),
            fragment("[]"),
            fragment(deep),
            fragment(aliases),
            fragment({"policy": {}, "request": {"__proto__": {"path": "/x"}}}),
            fragment({"policy": {}, "request": {"path": {"toString": 1}}}),
            fragment({"policy": {}, "request": {"hasOwnProperty": "x"}}),
        ]
        for link in links:
            with self.subTest(link[:60]):
                one = self.open(link)
                self.assertIn("link", one.inner_text("#fault"))
                self.assertEqual(one.input_value("#policy"), "")
                self.assertEqual(one.locator("img, iframe, object, embed, svg, form").count(), 0)
                self.assert_silent(one)
        # A valid link with markup in every place: it is shown as text.
        policy = {
            "version": 1,
            "name": MARKUP,
            "__proto__": {"polluted": 1},
            "constructor": {"prototype": {"polluted": 1}},
            "public_paths": ["/<b>/**"],
            "consumers": [{"name": MARKUP}],
        }
        request = {
            "method": MARKUP,
            "path": "/" + MARKUP,
            "authority": MARKUP,
            "headers": "Accept: " + MARKUP,
            "identity": MARKUP,
        }
        one = self.open(fragment({"policy": policy, "request": request, "key": {"id": MARKUP, "consumer": MARKUP}}))
        self.assertIn("<script>alert(2)</script>", one.input_value("#path"))
        self.assertEqual(one.locator("img, iframe, object, embed, svg, form, #answer script, #policy-fault script").count(), 0)
        self.assertIsNone(one.evaluate("({}).polluted ?? null"))
        self.assertEqual(one.evaluate("document.scripts.length"), 1)
        self.assert_silent(one)
        # The control: the page is as before without a link.
        self.assertEqual(self.open().inner_html("body"), before)

    def test_a_huge_policy_is_refused_and_a_large_one_is_decided(self):
        one = self.open()
        request = json.dumps({"path": "/x"})
        large = "version: 1\npublic_paths:\n" + "".join(f"  - /a{n}/*/b/**\n" for n in range(9000))
        self.assertEqual(json.loads(call(one, "explain", large, request)).get("reason"), "no_credential")
        for policy, message in [
            ("#" * 300_000, "longer than 256 KiB"),
            ("[" * 200_000, "not valid YAML"),
            ("{a: " * 60_000, "not valid YAML"),
            ("a: &a [1]\n" + "b: [" + "*a," * 80_000 + "]\n", ""),
        ]:
            fault = json.loads(call(one, "explain", policy, request))["fault"]
            self.assertIn(message, fault["message"])
        # The module still works.
        self.assertEqual(json.loads(call(one, "explain", "{}", request))["reason"], "no_credential")

    def test_the_policy_of_the_page_forbids_all_else(self):
        one = self.open()
        attempts = """async (other) => {
            const blocked = [];
            addEventListener("securitypolicyviolation", ({ effectiveDirective }) => blocked.push(effectiveDirective));
            const tried = async (attempt) => { try { return await attempt(); } catch (error) { return error.name; } };
            const results = {
                fetch: await tried(() => fetch(other)),
                own: await tried(() => fetch("/playground.css")),
                socket: await tried(() => new Promise((done) => {
                    const socket = new WebSocket(other.replace("http", "ws"));
                    socket.onerror = () => done("error");
                })),
                eval: await tried(() => eval("1")),
                markup: await tried(() => { document.body.innerHTML = "<p>"; }),
            };
            const add = (name, values) => new Promise((done) => {
                const events = { onload: () => done("loaded"), onerror: () => done("error") };
                const node = Object.assign(document.createElement(name), values, events);
                document.body.append(node);
                if (name === "form" || name === "iframe") {
                    addEventListener("securitypolicyviolation", done, { once: true });
                }
                if (name === "form") { node.submit(); }
            });
            await add("img", { src: other });
            await add("link", { rel: "stylesheet", href: other });
            await add("form", { action: other });
            await add("iframe", { src: other });
            return [results, blocked];
        }"""
        with site() as other:
            results, blocked = one.evaluate(attempts, other.url)
            self.assertEqual(other.asked, [])
        self.assertEqual(
            results, {"fetch": "TypeError", "own": "TypeError", "socket": "error", "eval": "EvalError", "markup": "TypeError"}
        )
        for directive in ["connect-src", "require-trusted-types-for", "img-src", "style-src-elem", "form-action", "frame-src"]:
            self.assertIn(directive, blocked)
        self.assertLessEqual(set(self.server.asked), set(FILES))

    def test_pictures(self):
        PICTURES.mkdir(parents=True, exist_ok=True)
        for name, options in {
            "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
            "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
            "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
            "phone-dark": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}, "is_mobile": True},
        }.items():
            one = self.open(**options)
            one.click("#share")
            one.screenshot(path=PICTURES / f"{name}.png", full_page=True)
            wide = one.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            self.assertEqual(wide, 0, "nothing is wider than the screen")
            dark = "dark" in name
            back = one.evaluate("getComputedStyle(document.body).backgroundColor")
            self.assertEqual(back, "rgb(20, 24, 31)" if dark else "rgb(255, 255, 255)")


if __name__ == "__main__":
    unittest.main()
