//! The trace of a decision in words: each step, its result and the reason.

use portcullis::decision::trace::{Event, NotPublic, Preflight, Public, Unidentified, Untrusted};
use portcullis::document::Mode;
use portcullis::path::{Ambiguity, BadTarget};
use portcullis::{Caller, Decision, Reason};
use serde_json::{Value, json};

use crate::Written;
use crate::request_spec::RequestSpec;
use crate::when::Span;
use crate::yaml::Node;

/// One step.
pub struct Step {
    /// Its number in the order of a decision.
    pub number: u8,
    /// Its name: the field of the policy, where it has one.
    pub name: &'static str,
    /// Its result.
    pub result: StepResult,
    /// Why, in words.
    pub why: String,
    /// The place of the matching item of the policy, as `FILE:LINE:COLUMN`.
    pub place: Option<String>,
}

/// The result of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StepResult {
    /// The next step follows.
    Continued,
    /// It does not apply.
    Skipped,
    /// It allowed the request.
    Allowed,
    /// It denied the request.
    Denied,
}

impl StepResult {
    /// The name, as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Continued => "continue",
            Self::Skipped => "skipped",
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        }
    }
}

/// All steps as JSON.
pub fn as_json(steps: &[Step]) -> Value {
    let step = |step: &Step| {
        json!({
            "step": step.number,
            "name": step.name,
            "result": step.result.name(),
            "why": step.why,
            "place": step.place,
        })
    };
    steps.iter().map(step).collect()
}

/// The reason why a path is ambiguous.
fn in_words(why: Ambiguity) -> &'static str {
    match why {
        Ambiguity::Structure => "backends may interpret it in several ways",
        Ambiguity::TooLong => "it is longer than 1024 bytes and has escapes, empty segments or the like",
        Ambiguity::TooManyVariants => "it has too many variants",
        Ambiguity::ManySuffixes => "a segment has more than 16 dots",
        Ambiguity::DotSegment => "a backend that drops or converts characters may see a dot segment",
        Ambiguity::NotUtf8 => "it is not UTF-8",
        Ambiguity::Alias => "a segment is an alias on Windows, in ASP.NET or in Zope",
        Ambiguity::TooWide => "the patterns mix names and wildcards in too many ways",
        Ambiguity::OverrideUrl => {
            "a header has a URL that cannot be parsed, or there are more than 4 such headers or 1024 bytes"
        }
        Ambiguity::MovedRoot => "a header moves the root of paths, or names a second one",
    }
}

/// A path, cut to the length of a line.
fn shortened(path: &str) -> String {
    let most = 64;
    if path.chars().count() <= most { path.to_owned() } else { path.chars().take(most).chain(['…']).collect() }
}

/// Describes the steps of a decision.
pub fn steps(written: &dyn Written, spec: &RequestSpec, events: &[Event], decision: &Decision<'_>) -> Vec<Step> {
    let explainer = Explainer { written, spec, decision };
    let mut steps: Vec<Step> = events.iter().filter_map(|event| explainer.step(event)).collect();
    steps.extend(explainer.last(events));
    steps
}

struct Explainer<'a> {
    written: &'a dyn Written,
    spec: &'a RequestSpec,
    decision: &'a Decision<'a>,
}

impl Explainer<'_> {
    fn step(&self, event: &Event) -> Option<Step> {
        use StepResult::{Allowed, Continued, Denied, Skipped};
        let step = |number, name, result, why: String| Step { number, name, result, why, place: None };
        Some(match event {
            Event::Mode(Mode::Enforce) => step(1, "mode", Continued, "enforce".to_owned()),
            Event::Mode(Mode::Report) => {
                let why = "report: a request that is denied below is forwarded too".to_owned();
                Step { place: self.place("mode"), ..step(1, "mode", Continued, why) }
            }
            Event::Mode(Mode::Disabled) => {
                let why = "disabled: every request is forwarded without a decision".to_owned();
                Step { place: self.place("mode"), ..step(1, "mode", Allowed, why) }
            }
            Event::Target(Ok(())) => step(2, "request_target", Continued, "valid".to_owned()),
            Event::Target(Err(bad)) => step(2, "request_target", Denied, bad_target(*bad).to_owned()),
            Event::Connection { names_identity: false } => return None,
            Event::Connection { names_identity: true } => step(
                2,
                "connection",
                Denied,
                "the Connection header names an identity header, or one that names the client".to_owned(),
            ),
            Event::Overridden => {
                let why = "a header or parameter may override the method or the path in a backend";
                step(4, "public_paths", Skipped, format!("together with cors_preflight: {why}"))
            }
            Event::Endpoint(_) => {
                let why = "together with cors_preflight: the gate itself answers this path";
                Step { place: self.place("endpoints"), ..step(4, "public_paths", Skipped, why.to_owned()) }
            }
            Event::CorsPreflight(Preflight::NotAllowed) => {
                step(3, "cors_preflight", Continued, "preflights need a key, like other requests".to_owned())
            }
            Event::CorsPreflight(Preflight::None) => {
                let why = "not a preflight (OPTIONS with Origin and Access-Control-Request-Method)";
                step(3, "cors_preflight", Continued, why.to_owned())
            }
            Event::CorsPreflight(Preflight::Allowed) => {
                let why = "this is a preflight".to_owned();
                Step { place: self.place("cors_preflight"), ..step(3, "cors_preflight", Allowed, why) }
            }
            Event::PublicPath(public) => self.public(public),
            Event::TrustedNetwork(range) => {
                let (result, why, place) = match range {
                    Ok(index) => self.matched("trusted_networks.ranges", *index, &format!("{} is in", self.peer())),
                    Err(why) => (Continued, self.untrusted(*why), None),
                };
                Step { place, ..step(5, "trusted_networks", result, why) }
            }
            Event::TrustedIdentity(identity) => {
                let uri = self.spec.identity.as_deref().unwrap_or_default();
                let (result, why, place) = match identity {
                    Ok(index) => self.matched("trusted_identities", *index, &format!("{uri} matches")),
                    Err(Unidentified::NoneTrusted) => (Continued, "no identity is trusted".to_owned(), None),
                    Err(Unidentified::NoIdentity) => (Continued, "the peer has no mTLS identity".to_owned(), None),
                    Err(Unidentified::Outside) => (Continued, format!("{uri} matches none of them"), None),
                };
                Step { place, ..step(5, "trusted_identities", result, why) }
            }
            Event::Credential(source) => step(6, "credential", Continued, format!("found in {}", self.source(*source))),
            Event::Key => step(7, "key", Continued, self.key_of_caller()),
            Event::Token => step(7, "token", Continued, format!("issued for {}", self.key_of_caller())),
            // `last` describes all of step 8 together.
            Event::Variant { .. } | Event::AnyPath { .. } => return None,
        })
    }

    /// The steps that decided, if the decision was made in step 6 or later.
    fn last(&self, events: &[Event]) -> Vec<Step> {
        let step = |number, name, why| Step { number, name, result: StepResult::Denied, why, place: None };
        let deny = |number, name, why: String| vec![step(number, name, why)];
        let source = || self.source(self.decision.source.unwrap_or_default());
        match (self.decision.reason, &self.decision.caller) {
            (Reason::NoCredential, _) => {
                let given = self.list("key_sources").len();
                let places = (0..if given == 0 { 2 } else { given }).map(|index| self.source(index));
                let places = places.collect::<Vec<_>>().join(" or ");
                deny(6, "credential", format!("no credential in {places}"))
            }
            (Reason::MultipleCredentials, _) => deny(6, "credential", "more than one credential".to_owned()),
            (Reason::MalformedCredential, _) => deny(6, "credential", format!("malformed key in {}", source())),
            (Reason::UnknownKey, _) => deny(7, "key", "key not found".to_owned()),
            (Reason::UnknownToken, _) => {
                deny(7, "token", "not issued by this policy with these secrets, or its key is gone".to_owned())
            }
            (Reason::ExpiredToken, _) => deny(7, "token", "expired".to_owned()),
            (Reason::TokenNeedsKey, _) => deny(9, "endpoint", "a token is issued only for a key".to_owned()),
            (Reason::MethodNotAllowed, _) => deny(9, "endpoint", "it has other methods".to_owned()),
            (Reason::TokenUnavailable, _) => {
                let why = "no secret of tokens.secrets can be used here, or the token would be too long";
                deny(9, "endpoint", why.to_owned())
            }
            (Reason::Whoami | Reason::TokenIssued, _) => {
                let why = "answered by the gate".to_owned();
                vec![Step { result: StepResult::Allowed, ..step(9, "endpoint", why) }]
            }
            (Reason::DisabledKey | Reason::KeyNotYetValid | Reason::ExpiredKey, Some(caller)) => {
                deny(7, "key", self.key(caller))
            }
            (Reason::Key | Reason::Token | Reason::MissingRole, Some(caller)) => self.rules(events, caller),
            _ => Vec::new(),
        }
    }

    fn public(&self, public: &Result<Public, NotPublic>) -> Step {
        let path = self.path();
        let patterns = self.list("public_paths").len();
        let (result, why, place) = match public {
            Ok(Public::Pattern(index)) => self.matched("public_paths", *index, &format!("{path} matches")),
            Ok(Public::Unprotected) => {
                let why = format!("no variant of {path} matches any of protected_paths");
                (StepResult::Allowed, why, self.place("protected_paths"))
            }
            Err(NotPublic::Nothing) => (StepResult::Continued, "no path is public".to_owned(), None),
            Err(NotPublic::Ambiguous(why @ Ambiguity::Structure)) => {
                (StepResult::Continued, format!("{path} is ambiguous: {}", in_words(*why)), None)
            }
            Err(NotPublic::Ambiguous(why)) => {
                (StepResult::Continued, format!("{} is opaque: {}", shortened(&path), in_words(*why)), None)
            }
            Err(NotPublic::Outside { other_method: Some(index) }) => {
                let (_, why, place) = self.matched("public_paths", *index, &format!("{path} matches"));
                (StepResult::Continued, format!("{why}, but not with the method {}", self.method()), place)
            }
            Err(NotPublic::Outside { other_method: None }) if patterns == 0 => {
                (StepResult::Continued, format!("{path} matches one of protected_paths, or is not ASCII"), None)
            }
            Err(NotPublic::Outside { other_method: None }) => {
                (StepResult::Continued, format!("{path} matches no pattern"), None)
            }
        };
        Step { number: 4, name: "public_paths", result, why, place }
    }

    fn rules(&self, events: &[Event], caller: &Caller<'_>) -> Vec<Step> {
        let step = |why, place| Step { number: 8, name: "rules", result: StepResult::Continued, why, place };
        let (mut steps, mut matched_rules) = (Vec::new(), Vec::new());
        for event in events {
            let (rule, permitted, read) = match event {
                Event::Variant { path, rule: Some(rule), permitted } => (*rule, *permitted, Some(path)),
                Event::AnyPath { why, permitted } => {
                    let why = format!("opaque path, so every rule applies: {}", in_words(*why));
                    let result = if *permitted { StepResult::Continued } else { StepResult::Denied };
                    steps.push(Step { result, ..step(why, None) });
                    continue;
                }
                _ => continue,
            };
            if permitted && matched_rules.contains(&rule) {
                continue;
            }
            matched_rules.push(rule);
            let item = self.list("rules").get(rule);
            let wants = words(item, "roles", " or ");
            let has: Vec<_> = caller.consumer.roles.iter().map(|role| role.as_str()).collect();
            let has = if has.is_empty() { "no role".to_owned() } else { has.join(", ") };
            let read = read.map(|path| String::from_utf8_lossy(path).into_owned());
            let read = read.filter(|path| *path != self.path()).map(|path| format!(" (path variant {path:?})"));
            let (read, name) = (read.unwrap_or_default(), caller.consumer.name);
            let why = format!("{}{read} requires {wants}; {name} has {has}", described("rules", rule, item));
            let result = if permitted { StepResult::Continued } else { StepResult::Denied };
            steps.push(Step { result, ..step(why, self.place(&format!("rules[{rule}]"))) });
        }
        if let Some(denied) = steps.iter().position(|step| step.result == StepResult::Denied) {
            return steps.drain(denied..).collect();
        }
        if steps.is_empty() {
            steps.push(step("no rule matches: any valid key is enough".to_owned(), None));
        }
        let name = self.decision.reason.name();
        let why = "forwarded without the key, with the consumer's name and roles";
        let forwarded = "forwarded with the key, and with the consumer's name and roles";
        let forwards = self.written.node().get("upstream").and_then(|upstream| upstream.get("forward_credential"));
        let why = if forwards == Some(&true.into()) { forwarded } else { why };
        steps.push(Step { number: 9, name, result: StepResult::Allowed, why: why.to_owned(), place: None });
        steps
    }

    /// An item of the policy that matched.
    fn matched(&self, field: &str, index: usize, what: &str) -> (StepResult, String, Option<String>) {
        let item = described(field, index, self.list(field).get(index));
        (StepResult::Allowed, format!("{what} {item}"), self.place(&format!("{field}[{index}]")))
    }

    fn untrusted(&self, why: Untrusted) -> String {
        let peer = self.peer();
        match why {
            Untrusted::NoRange => "no range is trusted".to_owned(),
            Untrusted::CrossSite => "a browser sent this from a page of another site".to_owned(),
            Untrusted::Forwarded => "a header names a client other than the peer".to_owned(),
            Untrusted::ClientOutside => "the client address in a header is in no trusted range".to_owned(),
            Untrusted::NoPeer => "no peer address is given".to_owned(),
            Untrusted::StandsForAnother => format!("{peer} is the address that a sidecar shows for all of its callers"),
            Untrusted::Outside => format!("{peer} is in no trusted range"),
            Untrusted::FromHeader => format!("{peer} has port 0: Envoy took it from a header"),
            Untrusted::NotRecorded => format!("the listener did not record {peer} in filter state"),
        }
    }

    fn key_of_caller(&self) -> String {
        self.decision.caller.as_ref().map(|caller| self.key(caller)).unwrap_or_default()
    }

    fn key(&self, caller: &Caller<'_>) -> String {
        let now = self.spec.now;
        let is_disabled = self.decision.reason == Reason::DisabledKey;
        let time = match (caller.key.not_before(), caller.key.expires()) {
            _ if is_disabled => ", disabled".to_owned(),
            (Some(from), _) if now < from => format!(", valid only in {}", Span::between(now, from)),
            (_, Some(until)) if now < until => format!(", expires in {}", Span::between(now, until)),
            (_, Some(until)) => format!(", expired {} ago", Span::between(until, now)),
            (_, None) => String::new(),
        };
        format!("{} of {}{time}", caller.key.id(), caller.consumer.name)
    }

    /// The name of a key source.
    fn source(&self, index: usize) -> String {
        let Some(source) = self.list("key_sources").get(index) else {
            return if index == 0 { "Authorization: Bearer".to_owned() } else { "x-api-key".to_owned() };
        };
        match source.members() {
            [(kind, name)] => {
                let name = name.text().unwrap_or_default();
                if kind.text == "header" { name.to_owned() } else { format!("{} {name}", kind.text) }
            }
            _ => "Authorization: Bearer".to_owned(),
        }
    }

    fn list(&self, field: &str) -> &[Node] {
        let node = field.split('.').try_fold(self.written.node(), |node, name| node.get(name));
        node.map(Node::items).unwrap_or_default()
    }

    fn place(&self, path: &str) -> Option<String> {
        self.written.known_place(path)
    }

    fn pair(&self, name: &str) -> String {
        let value = self.spec.pairs.iter().find(|(pair, _)| pair == name).map(|(_, value)| value.as_slice());
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    }

    fn method(&self) -> String {
        self.pair(":method")
    }

    /// The path without its query, which may hold a key.
    fn path(&self) -> String {
        self.pair(":path").split('?').next().unwrap_or_default().to_owned()
    }

    fn peer(&self) -> &str {
        self.spec.peer.as_deref().unwrap_or("the peer")
    }
}

/// Such as `rules[0] POST /v2/models/**`.
fn described(field: &str, index: usize, item: Option<&Node>) -> String {
    let pattern = item.and_then(|item| item.text().or_else(|| item.get("path")?.text())).unwrap_or_default();
    let methods = words(item, "methods", ", ");
    let methods = if methods.is_empty() { methods } else { format!("{methods} ") };
    format!("{field}[{index}] {methods}{pattern}")
}

fn words(item: Option<&Node>, member: &str, between: &str) -> String {
    let list = item.and_then(|item| item.get(member)).map(Node::items).unwrap_or_default();
    list.iter().filter_map(Node::text).collect::<Vec<_>>().join(between)
}

fn bad_target(bad: BadTarget) -> &'static str {
    match bad {
        BadTarget::Bytes => "has a space, a #, or a byte that is not visible ASCII",
        BadTarget::MalformedEscape => "has a % without two hex digits",
        BadTarget::ForbiddenPart => "has a dot segment, a backslash or a NUL, as sent or decoded",
        BadTarget::EndlessEscapes => "still changes after 4 rounds of decoding (over 4096 bytes: after 1 round)",
        BadTarget::Authority => "has a Host that is empty, begins with a colon, or contains an @",
        BadTarget::TooLong => "is longer than 8192 bytes",
    }
}
