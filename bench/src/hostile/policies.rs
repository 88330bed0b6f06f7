//! The policies under which hostile requests are measured.

use serde::Serialize;
use serde_json::{Value, json};

use crate::contenders::gate;

/// A policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Under {
    /// One key and three public paths, as in the comparison.
    Usual,
    /// A few public paths.
    Public,
    /// A few protected paths and rules.
    Protected,
    /// A few public paths and rules.
    Rules,
    /// Patterns with capitals, letters beyond ASCII, dots and slashes at the end: every normalization gives a different
    /// result.
    Cased,
    /// 1,000 rules.
    ManyRules,
    /// 1,000 rules for one path, each for one method.
    Narrowed,
    /// 8,192 public patterns: a literal or `*` at each of 13 levels.
    WidePublic,
    /// The same as protected paths.
    WideProtected,
    /// The same as rules.
    WideRules,
    /// A key may be in the query and in a cookie too.
    Sources,
    /// Trusted networks, by the direct peer.
    Networks,
}

/// The levels of the wide policies.
const LEVELS: u32 = 13;

impl Under {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Usual,
        Self::Public,
        Self::Protected,
        Self::Rules,
        Self::Cased,
        Self::ManyRules,
        Self::Narrowed,
        Self::WidePublic,
        Self::WideProtected,
        Self::WideRules,
        Self::Sources,
        Self::Networks,
    ];

    /// The name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Public => "public",
            Self::Protected => "protected",
            Self::Rules => "rules",
            Self::Cased => "cased",
            Self::ManyRules => "1,000 rules",
            Self::Narrowed => "1,000 rules by method",
            Self::WidePublic => "8,192 public",
            Self::WideProtected => "8,192 protected",
            Self::WideRules => "8,192 rules",
            Self::Sources => "query and cookie",
            Self::Networks => "networks",
        }
    }

    /// Whether a request without a key reaches the relevant check: it never reaches a rule.
    pub fn matters_without_key(self) -> bool {
        !matches!(self, Self::Rules | Self::ManyRules | Self::Narrowed | Self::WideRules)
    }

    /// The document. The key has the only role, so no rule ends the evaluation early.
    pub fn policy(self) -> Value {
        let mut policy = gate::policy();
        let rule = |path: &str| json!({"path": path, "roles": ["predict", "admin"]});
        let public = json!(["/", "/health", "/docs/**", "/v2/", {"path": "/static/{file}", "methods": ["GET"]}]);
        let rules = json!([
            {"path": "/v2/models/{model}/predict", "methods": ["POST"], "roles": ["predict", "admin"]},
            rule("/v2/models/**"),
            rule("/admin/**"),
            rule("/a/**"),
            {"path": "/**", "methods": ["DELETE"], "roles": ["predict"]},
        ]);
        match self {
            Self::Usual => {}
            Self::Public => policy["public_paths"] = public,
            Self::Protected => {
                policy["public_paths"] = json!(["/health"]);
                policy["protected_paths"] =
                    json!(["/v2/models/**", "/admin/**", "/v2/models/{model}/predict", "/report.html", "/a/b/c/d"]);
                policy["rules"] = rules;
            }
            Self::Rules => (policy["public_paths"], policy["rules"]) = (public, rules),
            Self::Cased => {
                let paths = ["/V2/Models/**", "/admin/", "/É/**", "/A/{b}/c.d", "/report.Html", "/a/*/C/"];
                policy["public_paths"] = json!(["/Health", "/Docs/**", "/é"]);
                policy["protected_paths"] = json!(paths);
                policy["rules"] = paths.map(rule).into();
            }
            Self::ManyRules => {
                let others = (1..1_000).map(|number| rule(&format!("/service-{number}/{{name}}/run")));
                policy["rules"] = others.chain([rule("/v2/models/**")]).collect();
            }
            Self::Narrowed => {
                let methods = ["GET", "PUT", "POST", "PATCH", "DELETE"];
                let narrowed = |number: usize| json!({"path": "/**", "methods": [methods[number % methods.len()]], "roles": ["predict"]});
                policy["rules"] = (0..1_000).map(narrowed).collect();
            }
            Self::WidePublic => policy["public_paths"] = wide().collect(),
            Self::WideProtected => policy["protected_paths"] = wide().collect(),
            Self::WideRules => policy["rules"] = wide().map(|path| rule(&path)).collect(),
            Self::Sources => {
                policy["key_sources"] =
                    json!(["bearer", {"header": "x-api-key"}, {"query": "api_key"}, {"cookie": "api_key"}]);
            }
            Self::Networks => {
                let ranges: Vec<String> = (0..16).map(|number| format!("10.{number}.0.0/16")).collect();
                policy["trusted_networks"] = json!({"ranges": ranges});
            }
        }
        policy
    }
}

/// Patterns for which a path of segments `a` is compared at every node: 2 to the power of [`LEVELS`].
fn wide() -> impl Iterator<Item = String> {
    let segment = |number: u32, level: u32| if number >> level & 1 == 1 { "/*" } else { "/a" };
    (0..1 << LEVELS).map(move |number| (0..LEVELS).map(|level| segment(number, level)).collect())
}
