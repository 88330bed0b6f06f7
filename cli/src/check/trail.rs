//! The trail in words: each step of a decision, what it looked at, and why it passed the request on or answered.

use portcullis::decision::trace::{Event, NotPublic, Preflight, Public, Unidentified, Untrusted};
use portcullis::document::Mode;
use portcullis::path::{Ambiguity, AmbiguousPath, BadTarget};
use portcullis::{Caller, Decision, Reason};
use serde_json::{Value, json};

use super::asked::Asked;
use crate::files::Merged;
use crate::output::{GREEN, RED};
use crate::when::Span;
use crate::yaml::Node;

/// One step.
pub(super) struct Step {
    /// Its number in the order of a decision.
    number: u8,
    /// Its name: the field of the policy, where it has one.
    name: &'static str,
    /// What it did.
    result: StepResult,
    /// Why, in words.
    why: String,
    /// Where what it met stands, as `FILE:LINE:COLUMN`.
    place: Option<String>,
}

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StepResult {
    PassedOn,
    LeftOut,
    Allowed,
    Denied,
}

impl StepResult {
    fn name(self) -> &'static str {
        match self {
            Self::PassedOn => "passed on",
            Self::LeftOut => "left out",
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        }
    }
}

impl Step {
    /// As one line, without its number.
    pub(super) fn line(&self) -> String {
        let style = match self.result {
            StepResult::Allowed => GREEN,
            StepResult::Denied => RED,
            StepResult::PassedOn | StepResult::LeftOut => anstyle::Style::new(),
        };
        let place = self.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        format!("{:<18}  {style}{}{style:#}: {}{place}", self.name, self.result.name(), self.why)
    }
}

/// All steps, for people.
pub(super) fn as_text(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{:>2}  {}\n", step.number, step.line())).collect()
}

/// All steps, for programs.
pub(super) fn as_json(steps: &[Step]) -> Value {
    let step = |step: &Step| {
        json!({
            "step": step.number,
            "name": step.name,
            "result": step.result.name().replace(' ', "_"),
            "why": step.why,
            "place": step.place,
        })
    };
    steps.iter().map(step).collect()
}

/// Why a path may be anything.
fn in_words(why: Ambiguity) -> &'static str {
    match why {
        Ambiguity::TooLong => "it is longer than 1024 bytes and has escapes, empty segments or the like",
        Ambiguity::TooManyVariants => "backends may read it in too many ways",
        Ambiguity::ManySuffixes => "a name in it has more than 16 dots",
        Ambiguity::DotSegment => "a dot segment may form in it, where a backend drops or converts characters",
        Ambiguity::NotUtf8 => "it is not UTF-8",
        Ambiguity::Alias => "a name in it stands for another to Windows, ASP.NET or Zope",
        Ambiguity::TooWide => "the patterns mix names and wildcards in too many ways",
        Ambiguity::OverrideUrl => {
            "a header holds a URL that cannot be read, or there are more than 4 or 1024 bytes of them"
        }
        Ambiguity::MovedRoot => "a header moves the place that paths begin at, or names a second one",
    }
}

/// A path for a line of text.
fn shortened(path: &str) -> String {
    let most = 64;
    if path.chars().count() <= most { path.to_owned() } else { path.chars().take(most).chain(['…']).collect() }
}

/// Puts a decision into words.
pub(super) fn steps(merged: &Merged, asked: &Asked, events: &[Event], decision: &Decision<'_>) -> Vec<Step> {
    let words = Words { merged, asked, decision };
    let mut steps: Vec<Step> = events.iter().filter_map(|event| words.step(event)).collect();
    steps.extend(words.last(events));
    steps
}

struct Words<'a> {
    merged: &'a Merged,
    asked: &'a Asked,
    decision: &'a Decision<'a>,
}

impl Words<'_> {
    fn step(&self, event: &Event) -> Option<Step> {
        use StepResult::{Allowed, Denied, LeftOut, PassedOn};
        let step = |number, name, result, why: String| Step { number, name, result, why, place: None };
        Some(match event {
            Event::Mode(Mode::Enforce) => step(1, "mode", PassedOn, "enforce".to_owned()),
            Event::Mode(Mode::Report) => {
                let why = "report, so that even what is denied below goes on".to_owned();
                Step { place: self.place("mode"), ..step(1, "mode", PassedOn, why) }
            }
            Event::Mode(Mode::Disabled) => {
                let why = "disabled, so that every request goes on undecided".to_owned();
                Step { place: self.place("mode"), ..step(1, "mode", Allowed, why) }
            }
            Event::Target(Ok(())) => step(2, "request_target", PassedOn, "one that an API may send".to_owned()),
            Event::Target(Err(bad)) => step(2, "request_target", Denied, bad_target(*bad).to_owned()),
            Event::Connection { names_identity: false } => return None,
            Event::Connection { names_identity: true } => {
                step(2, "connection", Denied, "the Connection header names an identity header".to_owned())
            }
            Event::Overridden => {
                let why = "a header or parameter may make a backend take this for another method or path";
                step(4, "public_paths", LeftOut, format!("with cors_preflight: {why}"))
            }
            Event::CorsPreflight(Preflight::NotAllowed) => {
                step(3, "cors_preflight", PassedOn, "preflights need a key as other requests do".to_owned())
            }
            Event::CorsPreflight(Preflight::None) => {
                let why = "no preflight, which is OPTIONS with Origin and Access-Control-Request-Method";
                step(3, "cors_preflight", PassedOn, why.to_owned())
            }
            Event::CorsPreflight(Preflight::Allowed) => {
                let why = "a preflight".to_owned();
                Step { place: self.place("cors_preflight"), ..step(3, "cors_preflight", Allowed, why) }
            }
            Event::PublicPath(public) => self.public(public),
            Event::TrustedNetwork(range) => {
                let (result, why, place) = match range {
                    Ok(index) => self.met("trusted_networks.ranges", *index, &format!("{} is in", self.peer())),
                    Err(why) => (PassedOn, self.untrusted(*why), None),
                };
                Step { place, ..step(5, "trusted_networks", result, why) }
            }
            Event::TrustedIdentity(identity) => {
                let uri = self.asked.identity.as_deref().unwrap_or_default();
                let (result, why, place) = match identity {
                    Ok(index) => self.met("trusted_identities", *index, &format!("{uri} is under")),
                    Err(Unidentified::NoneTrusted) => (PassedOn, "none is trusted".to_owned(), None),
                    Err(Unidentified::NoIdentity) => (PassedOn, "the peer has none".to_owned(), None),
                    Err(Unidentified::Outside) => (PassedOn, format!("{uri} is none of them"), None),
                };
                Step { place, ..step(5, "trusted_identities", result, why) }
            }
            Event::Credential(source) => step(6, "credential", PassedOn, format!("one, in {}", self.source(*source))),
            Event::Key => {
                let why = self.decision.caller.as_ref().map(|caller| self.key(caller)).unwrap_or_default();
                step(7, "key", PassedOn, why)
            }
            // All of step 8 together make its last word.
            Event::Variant { .. } | Event::AnyPath { .. } => return None,
        })
    }

    /// The step that answered, where that was one of the last.
    fn last(&self, events: &[Event]) -> Vec<Step> {
        let step = |number, name, why| Step { number, name, result: StepResult::Denied, why, place: None };
        let deny = |number, name, why: String| vec![step(number, name, why)];
        let source = || self.source(self.decision.source.unwrap_or_default());
        match (self.decision.reason, &self.decision.caller) {
            (Reason::NoCredential, _) => {
                let given = self.list("key_sources").len();
                let places = (0..if given == 0 { 2 } else { given }).map(|index| self.source(index));
                let places = places.collect::<Vec<_>>().join(" or ");
                deny(6, "credential", format!("none in {places}"))
            }
            (Reason::MultipleCredentials, _) => deny(6, "credential", "more than one; which would count?".to_owned()),
            (Reason::MalformedCredential, _) => {
                deny(6, "credential", format!("what stands in {} can be no key", source()))
            }
            (Reason::UnknownKey, _) => deny(7, "key", "nobody has this key".to_owned()),
            (Reason::DisabledKey | Reason::KeyNotYetValid | Reason::ExpiredKey, Some(caller)) => {
                deny(7, "key", self.key(caller))
            }
            (Reason::Key | Reason::MissingRole, Some(caller)) => self.rules(events, caller),
            _ => Vec::new(),
        }
    }

    fn public(&self, public: &Result<Public, NotPublic>) -> Step {
        let path = self.path();
        let patterns = self.list("public_paths").len();
        let (result, why, place) = match public {
            Ok(Public::Pattern(index)) => self.met("public_paths", *index, &format!("{path} is under")),
            Ok(Public::Unprotected) => {
                let why = format!("{path} is in no variant under any of protected_paths");
                (StepResult::Allowed, why, self.place("protected_paths"))
            }
            Err(NotPublic::Nothing) => (StepResult::PassedOn, "none is public".to_owned(), None),
            Err(NotPublic::Ambiguous(AmbiguousPath::Structure)) => {
                (StepResult::PassedOn, format!("{path} is not plain: backends may read it in several ways"), None)
            }
            Err(NotPublic::Ambiguous(AmbiguousPath::Anything(why))) => {
                (StepResult::PassedOn, format!("{} may be any path: {}", shortened(&path), in_words(*why)), None)
            }
            Err(NotPublic::Outside { other_method: Some(index) }) => {
                let (_, why, place) = self.met("public_paths", *index, &format!("{path} is under"));
                (StepResult::PassedOn, format!("{why}, but {} is none of its methods", self.method()), place)
            }
            Err(NotPublic::Outside { other_method: None }) if patterns == 0 => {
                (StepResult::PassedOn, format!("{path} is under one of protected_paths, or not plain ASCII"), None)
            }
            Err(NotPublic::Outside { other_method: None }) => {
                (StepResult::PassedOn, format!("{path} is under none of {patterns}"), None)
            }
        };
        Step { number: 4, name: "public_paths", result, why, place }
    }

    fn rules(&self, events: &[Event], caller: &Caller<'_>) -> Vec<Step> {
        let step = |why, place| Step { number: 8, name: "rules", result: StepResult::PassedOn, why, place };
        let (mut steps, mut met) = (Vec::new(), Vec::new());
        for event in events {
            let (rule, permitted, read) = match event {
                Event::Variant { path, rule: Some(rule), permitted } => (*rule, *permitted, Some(path)),
                Event::AnyPath { why, permitted } => {
                    let (why, rules) = (in_words(*why), self.list("rules").len());
                    let why = format!("this may be any path, so every one of {rules} counts: {why}");
                    let result = if *permitted { StepResult::PassedOn } else { StepResult::Denied };
                    steps.push(Step { result, ..step(why, None) });
                    continue;
                }
                _ => continue,
            };
            if permitted && met.contains(&rule) {
                continue;
            }
            met.push(rule);
            let item = self.list("rules").get(rule);
            let wants = words(item, "roles", " or ");
            let has: Vec<_> = caller.consumer.roles.iter().map(|role| role.as_str()).collect();
            let has = if has.is_empty() { "no role".to_owned() } else { has.join(", ") };
            let read = read.map(|path| String::from_utf8_lossy(path).into_owned());
            let read =
                read.filter(|path| *path != self.path()).map(|path| format!(" covers {path:?}, as it may be read,"));
            let (read, name) = (read.unwrap_or_default(), caller.consumer.name);
            let why = format!("{}{read} wants {wants}; {name} has {has}", described("rules", rule, item));
            let result = if permitted { StepResult::PassedOn } else { StepResult::Denied };
            steps.push(Step { result, ..step(why, self.place(&format!("rules[{rule}]"))) });
        }
        if let Some(denied) = steps.iter().position(|step| step.result == StepResult::Denied) {
            return steps.drain(denied..).collect();
        }
        if steps.is_empty() {
            steps.push(step("none covers this, so any valid key will do".to_owned(), None));
        }
        let why = "the request goes on without the key, with the consumer's name and roles";
        let forwarded = "the request goes on with its key, and with the consumer's name and roles";
        let forwards = self.merged.node.get("upstream").and_then(|upstream| upstream.get("forward_credential"));
        let why = if forwards == Some(&true.into()) { forwarded } else { why };
        steps.push(Step { number: 9, name: "key", result: StepResult::Allowed, why: why.to_owned(), place: None });
        steps
    }

    /// An item of the policy that answered.
    fn met(&self, field: &str, index: usize, what: &str) -> (StepResult, String, Option<String>) {
        let item = described(field, index, self.list(field).get(index));
        (StepResult::Allowed, format!("{what} {item}"), self.place(&format!("{field}[{index}]")))
    }

    fn untrusted(&self, why: Untrusted) -> String {
        let peer = self.peer();
        match why {
            Untrusted::NoRange => "no range is trusted".to_owned(),
            Untrusted::CrossSite => "a browser made this for a page of another site".to_owned(),
            Untrusted::Forwarded => "a header says that the client is another than the peer".to_owned(),
            Untrusted::ClientOutside => {
                format!("the client that a header holds is in none of {}", self.list("trusted_networks.ranges").len())
            }
            Untrusted::NoPeer => "no --peer is given".to_owned(),
            Untrusted::StandsForAnother => format!("{peer} stands for whoever called a sidecar"),
            Untrusted::Outside => format!("{peer} is in none of {}", self.list("trusted_networks.ranges").len()),
            Untrusted::FromHeader => format!("{peer} has port 0: Envoy took it from a header"),
            Untrusted::NotRecorded => format!("the listener did not record {peer} in filter state"),
        }
    }

    fn key(&self, caller: &Caller<'_>) -> String {
        let now = self.asked.now;
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

    /// A key source as people call it.
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
        let node = field.split('.').try_fold(&self.merged.node, |node, name| node.get(name));
        node.map(Node::items).unwrap_or_default()
    }

    fn place(&self, path: &str) -> Option<String> {
        self.merged.node.get(path.split(['.', '[']).next()?)?.at.map(|_| self.merged.place(path))
    }

    fn pair(&self, name: &str) -> String {
        let value = self.asked.pairs.iter().find(|(pair, _)| pair == name).map(|(_, value)| value.as_slice());
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
        self.asked.peer.as_deref().unwrap_or("the peer")
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
        BadTarget::Bytes => "has a blank, a #, or a byte that is not visible ASCII",
        BadTarget::MalformedEscape => "has a % without two hex digits",
        BadTarget::ForbiddenPart => "has a dot segment, a backslash or a NUL, as sent or decoded",
        BadTarget::EndlessEscapes => {
            "still changes after 4 rounds of decoding, or is longer than 4096 bytes and after one"
        }
        BadTarget::Authority => "comes with a Host that is empty, begins with a colon, or has an @",
        BadTarget::TooLong => "is longer than 8192 bytes",
    }
}
