//! Lints of public paths, trusted callers, key sources and rules.

use portcullis::document::{ClientAddress, Document, Endpoints, Mode, ProtectedPath, PublicPath, RuleEntry};
use portcullis::path::Ambiguity;
use portcullis::request::IpRange;
use portcullis::request::KeySource;
use portcullis::value::{Method, Methods};
use portcullis::{HeaderBlock, PathPattern, Policy, Reason, Request};

use super::code::Code;
use super::finding::Finding;
use super::policy::Subject;

/// Checks everything except consumers and keys.
pub(super) fn examine(subject: &Subject<'_>, document: &Document, policy: &Policy, findings: &mut Vec<Finding>) {
    mode(subject, document, findings);
    sources(subject, document, findings);
    addresses(subject, document, findings);
    identities(subject, document, findings);
    public_paths(subject, document, findings);
    rules(subject, document, findings);
    unprotected_rules(subject, document, findings);
    wide_patterns(subject, document, policy, findings);
    endpoints(subject, document, findings);
    long_tokens(subject, document, policy, findings);
}

fn mode(subject: &Subject<'_>, document: &Document, findings: &mut Vec<Finding>) {
    let mut warn = |message, fix| findings.push(subject.finding(Code::NotEnforcing, "mode", message, fix));
    match document.mode {
        Mode::Enforce => {}
        Mode::Report => warn(
            "report forwards every request, and only counts denials",
            "use enforce when no more denials are reported",
        ),
        Mode::Disabled => warn(
            "disabled forwards every request without a decision",
            "use enforce, or report to see which requests would be denied",
        ),
    }
}

fn sources(subject: &Subject<'_>, document: &Document, findings: &mut Vec<Finding>) {
    for (index, source) in document.key_sources.iter().enumerate() {
        let (code, message, fix) = match source {
            KeySource::Query(_) => {
                (Code::KeyInUrl, "keys in URLs end up in logs and browser histories", "use a header")
            }
            KeySource::Cookie(_) => (
                Code::KeyInCookie,
                "browsers also send cookies with requests that pages of other sites make",
                "use a header, or make sure that the service rejects cross-site requests",
            ),
            KeySource::Bearer | KeySource::Header(_) | KeySource::WebsocketProtocol(_) => continue,
        };
        findings.push(subject.finding(code, &format!("key_sources[{index}]"), message, fix));
    }
    if document.upstream.forward_credential {
        let message = "the service receives the key, and may write it to its logs";
        let fix = "remove it, unless another gate behind this one checks the key again";
        findings.push(subject.finding(Code::ForwardCredential, "upstream.forward_credential", message, fix));
    }
}

/// Whole blocks of RFC 1918 and RFC 4193, by an address at either end.
const PRIVATE: [(&str, &str, &str); 4] = [
    ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
    ("172.16.0.0/12", "172.16.0.0", "172.31.255.255"),
    ("192.168.0.0/16", "192.168.0.0", "192.168.255.255"),
    ("fd00::/8", "fd00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
];

/// Whether a range holds one of these addresses.
fn holds_any(range: &IpRange, addresses: &[&str]) -> bool {
    addresses.iter().any(|address| address.parse().is_ok_and(|address| range.contains(&address)))
}

/// Whether a range holds the machine's own addresses.
pub(super) fn holds_loopback(range: &IpRange) -> bool {
    holds_any(range, &["127.0.0.1", "::1"])
}

fn addresses(subject: &Subject<'_>, document: &Document, findings: &mut Vec<Finding>) {
    let ranges = &document.trusted_networks.ranges;
    for (index, range) in ranges.iter().enumerate() {
        let mut warn = |code, message: &str, fix| {
            findings.push(subject.finding(code, &format!("trusted_networks.ranges[{index}]"), message, fix))
        };
        if let Some((whole, ..)) =
            PRIVATE.iter().find(|(_, first, last)| holds_any(range, &[first]) && holds_any(range, &[last]))
        {
            let message = format!(
                "trusts all of {whole}: load balancers, NAT gateways and container bridges have such addresses, and \
                 every caller behind one is trusted"
            );
            warn(Code::WholePrivateNetwork, &message, "list only your own networks, without such addresses");
        }
        if !subject.has_listener && holds_loopback(range) {
            let message = "callers on this machine need no key, and neither do callers through a proxy or tunnel on \
                           it that sends no forwarding header";
            warn(Code::TrustsLoopback, message, "remove it, unless nothing on this machine forwards connections");
        }
    }
    if !subject.has_listener
        && !ranges.is_empty()
        && document.trusted_networks.client_address == ClientAddress::RemoteIp
    {
        let message = "remote_ip trusts the address that Envoy detects: without use_remote_address callers can forge \
                       it, and with it callers behind a proxy have the address of the proxy unless \
                       xff_num_trusted_hops is exactly the number of proxies";
        let fix = "use direct, or check the listener too: --envoy FILE";
        findings.push(subject.finding(Code::RemoteIp, "trusted_networks.client_address", message, fix));
    }
}

fn identities(subject: &Subject<'_>, document: &Document, findings: &mut Vec<Finding>) {
    for (index, identity) in document.trusted_identities.iter().enumerate() {
        let segments: Vec<&str> = identity.as_str().split('/').skip(2).collect();
        let is_gateway = |name: &&str| name.contains("gateway") || name.contains("ingress") || name.ends_with("-istio");
        let domain = segments.first().unwrap_or(&"");
        let of_istio = format!("spiffe://{domain}/ns/istio-system/sa/istio-ingressgateway-service-account");
        if segments.iter().skip(1).any(is_gateway) || identity.matches(of_istio.as_bytes()) {
            let message =
                "looks like, or includes, the identity of a gateway: every request through the gateway is trusted";
            let fix = "remove it, or see docs/guides/istio-callers.md on a gate at the gateway and one behind it";
            findings.push(subject.finding(
                Code::GatewayIdentity,
                &format!("trusted_identities[{index}]"),
                message,
                fix,
            ));
        }
    }
}

fn public_paths(subject: &Subject<'_>, document: &Document, findings: &mut Vec<Finding>) {
    for (index, public) in document.public_paths.iter().enumerate() {
        let path = format!("public_paths[{index}]");
        if public.path.as_str() == "/**" && public.methods.is_none() {
            let message = "/** makes every path public";
            findings.push(subject.finding(
                Code::AllPublic,
                &path,
                message,
                "list the public paths, or set mode: disabled",
            ));
        }
        let opens = |(_, protected): &(usize, &ProtectedPath)| {
            public.methods.is_none() && public.path.includes(&protected.path)
        };
        let mut protected = document.protected_paths.iter().flatten().enumerate();
        if let Some((number, _)) = protected.find(opens) {
            let message = format!("makes all of protected_paths[{number}] public: no key is needed there");
            let fix = "remove one of the two";
            findings.push(subject.finding(Code::PublicProtectedPath, &path, &message, fix));
        }
        let restricts = |(_, rule): &(usize, &RuleEntry)| {
            rule.path.as_str() != "/**"
                && rule.path.includes(&public.path)
                && !public.path.includes(&rule.path)
                && overlap(rule.methods.as_ref(), public.methods.as_ref())
        };
        let restricting = document.rules.iter().enumerate().find(restricts);
        if let Some((number, rule)) = restricting {
            let message = format!("public, but rules[{number}] requires roles below {}", rule.path.as_str());
            let fix = "remove it, unless it is an intended exception from that rule";
            findings.push(subject.finding(Code::RestrictedPublicPath, &path, &message, fix));
        }
    }
}

fn rules(subject: &Subject<'_>, document: &Document, findings: &mut Vec<Finding>) {
    let has_role = |role| document.consumers.iter().any(|consumer| consumer.roles.contains(role));
    for (index, rule) in document.rules.iter().enumerate() {
        let path = format!("rules[{index}]");
        for role in rule.roles.iter().filter(|role| !has_role(role)) {
            let message = format!("no consumer has the role {}", role.as_str());
            let fix = "add it to a consumer, or correct the name";
            findings.push(subject.finding(Code::UnknownRole, &format!("{path}.roles"), &message, fix));
        }
        if let Some((earlier, first)) = earlier(document, index) {
            let but = if first.methods.is_some() { ", except one with a header that overrides the method" } else { "" };
            let message = format!("rules[{earlier}] already matches every request of this rule{but}");
            findings.push(subject.finding(
                Code::UnreachableRule,
                &path,
                &message,
                format!("move it before rules[{earlier}], or remove it"),
            ));
        }
        let opens = |(_, public): &(usize, &PublicPath)| {
            public.path.includes(&rule.path) && covers(public.methods.as_ref(), rule.methods.as_ref())
        };
        if let Some((number, _)) = document.public_paths.iter().enumerate().find(opens) {
            let message = format!(
                "public_paths[{number}] makes every path of this rule public: the rule applies only to other \
                 spellings (`//`, other letter case)"
            );
            findings.push(subject.finding(
                Code::PublicRule,
                &path,
                &message,
                format!("narrow public_paths[{number}], or remove the rule"),
            ));
        }
    }
}

/// Finds rules for paths that are not protected, by letting the policy decide an example request.
fn unprotected_rules(subject: &Subject<'_>, document: &Document, findings: &mut Vec<Finding>) {
    if document.protected_paths.is_none() {
        return;
    }
    let enforced = Document { mode: Mode::Enforce, public_paths: Vec::new(), ..document.clone() };
    let Ok(loaded) = Policy::compile(enforced, &|name| subject.variables.get(name)) else { return };
    for (index, rule) in document.rules.iter().enumerate() {
        let example = example(&rule.path);
        let headers = [(":method", "GET"), (":path", example.as_str()), (":authority", "localhost")];
        let block = HeaderBlock::new(&headers);
        let request = Request::new(block.headers());
        if loaded.policy.decide(&request, &(), &mut ()).reason == Reason::PublicPath {
            let message = format!("no protected path matches {example}: it needs no key, so no role is checked");
            let fix = "add the path to protected_paths too";
            findings.push(subject.finding(Code::UnprotectedRule, &format!("rules[{index}]"), &message, fix));
        }
    }
}

/// Finds public paths and rules that an author may believe to apply to an endpoint.
fn endpoints(subject: &Subject<'_>, document: &Document, findings: &mut Vec<Finding>) {
    let Endpoints { whoami, token } = &document.endpoints;
    for (name, endpoint, method) in [("whoami", whoami, "GET"), ("token", token, "POST")] {
        let pattern = endpoint.as_ref().and_then(|path| path.as_str().parse::<PathPattern>().ok());
        let Some(pattern) = pattern else { continue };
        let matches = |path: &PathPattern, methods: &Option<Methods>| {
            path.includes(&pattern) && methods.as_ref().is_none_or(|methods| methods.cover(method.as_bytes()))
        };
        let public = document.public_paths.iter().position(|public| matches(&public.path, &public.methods));
        let rule = document.rules.iter().position(|rule| matches(&rule.path, &rule.methods));
        let public = public.map(|index| format!("public_paths[{index}]"));
        let rule = rule.map(|index| format!("rules[{index}]"));
        for other in public.into_iter().chain(rule) {
            let message =
                format!("{other} matches this path too, but does not apply to it: it needs a valid key, and no role");
            let fix = format!("nothing, if that is meant; otherwise exclude the path from {other}");
            findings.push(subject.finding(Code::CoveredEndpoint, &format!("endpoints.{name}"), &message, fix));
        }
    }
}

fn long_tokens(subject: &Subject<'_>, document: &Document, policy: &Policy, findings: &mut Vec<Finding>) {
    let too_long = policy.consumers_without_tokens();
    for (index, consumer) in document.consumers.iter().enumerate() {
        if too_long.contains(&consumer.name.as_str()) {
            let message = "with the names of all of its roles, a token would have more than 4096 bytes: none is issued";
            let fix = "give the consumer fewer or shorter roles";
            findings.push(subject.finding(Code::LongToken, &format!("consumers[{index}].roles"), message, fix));
        }
    }
}

/// Finds patterns that mix names and wildcards in more ways than the gate compares.
fn wide_patterns(subject: &Subject<'_>, document: &Document, policy: &Policy, findings: &mut Vec<Finding>) {
    let public = document.public_paths.iter().map(|public| &public.path);
    let protected = document.protected_paths.iter().flatten().map(|protected| &protected.path);
    let rules = document.rules.iter().map(|rule| &rule.path);
    let lists: [(&str, Vec<_>); 3] =
        [("public_paths", public.collect()), ("protected_paths", protected.collect()), ("rules", rules.collect())];
    for (list, patterns) in lists {
        let is_wide = |example: &String| policy.ambiguity(example.as_bytes()) == Some(Ambiguity::TooWide);
        let examples = patterns.iter().map(|pattern| example(pattern)).enumerate();
        if let Some((index, example)) = examples.into_iter().find(|(_, example)| is_wide(example)) {
            let message = format!(
                "the patterns of this policy match {example} in too many ways: it is never public, and needs a role \
                 of every rule"
            );
            let fix = "use fewer patterns that have names in some and * in others at the same position";
            findings.push(subject.finding(Code::WidePatterns, &format!("{list}[{index}]"), &message, fix));
            return;
        }
    }
}

/// A path that falls under a pattern.
fn example(pattern: &PathPattern) -> String {
    let below = pattern.goes_below().then_some(None);
    pattern.names().chain(below).map(|name| format!("/{}", name.unwrap_or("any"))).collect()
}

/// An earlier rule that matches every path and method of this one; the first, if several do so together.
fn earlier(document: &Document, index: usize) -> Option<(usize, &RuleEntry)> {
    let rule = document.rules.get(index)?;
    let earlier = || document.rules.iter().enumerate().take(index).filter(|(_, one)| one.path.includes(&rule.path));
    let whole = earlier().find(|(_, one)| one.methods.is_none());
    whole.or_else(|| {
        let answers = |method: &Method| {
            let covers = |methods: &Methods| methods.cover(method.as_str().as_bytes());
            earlier().find(|(_, one)| one.methods.as_ref().is_some_and(covers))
        };
        let answers: Vec<_> = rule.methods.as_ref()?.iter().map(answers).collect::<Option<_>>()?;
        answers.into_iter().min_by_key(|(number, _)| *number)
    })
}

/// Whether the methods of one include all those of the other.
fn covers(wide: Option<&Methods>, narrow: Option<&Methods>) -> bool {
    let Some(wide) = wide else { return true };
    narrow.is_some_and(|narrow| narrow.iter().all(|method| wide.include(method.as_str().as_bytes())))
}

/// Whether a method is among both.
fn overlap(one: Option<&Methods>, other: Option<&Methods>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    let meets = |one: &Methods, other: &Methods| one.iter().any(|method| other.include(method.as_str().as_bytes()));
    meets(one, other) || meets(other, one)
}
