//! Envoy's local rate limit filter behind the gate, with a bucket of tokens for each consumer.
//!
//! The consumer and its roles are in the headers that the gate sets. It removes every copy that a caller sends, so a caller
//! cannot choose its bucket, and a request without a consumer has none.

use anyhow::{Result, bail};
use clap::Args;
use portcullis::document::Upstream;
use portcullis::value::RoleName;
use serde_json::{Value, json};

use super::document::KeylessPolicy;
use super::limit::Limit;
use crate::output::note;
use crate::similar::did_you_mean;
use crate::yaml::Node;

/// Options for limits.
#[derive(Debug, Clone, Args)]
pub(crate) struct LimitOptions {
    /// Limit how many requests each consumer may make, such as 60/min. gold=600/min is for the consumers with role
    /// gold; of several, the largest counts. Repeatable: one limit for each role, and one for all others
    #[arg(long = "limit", value_name = "[ROLE=]NUMBER/UNIT")]
    limits: Vec<Limit>,
}

/// The limits, with what the filter needs from the policy.
#[derive(Debug)]
pub(crate) struct Limits {
    consumer_header: String,
    roles_header: String,
    /// The limits for roles, the largest first, then that for all others.
    limits: Vec<Limit>,
    /// How many buckets Envoy keeps.
    buckets: usize,
}

/// At least this many: consumers may be added later, and a bucket takes memory only when a consumer uses it.
const BUCKETS: usize = 10_000;

/// The name of the filter.
const NAME: &str = "envoy.filters.http.local_ratelimit";

impl LimitOptions {
    /// The limits for the consumers of a policy, if there are any.
    ///
    /// # Errors
    /// If there are two for the same consumers, or if a team has given itself one.
    pub(crate) fn of(&self, policy: &KeylessPolicy) -> Result<Option<Limits>> {
        let mut limits = self.limits.clone();
        for (index, Limit { role, rate }) in limits.iter().enumerate() {
            if let Some(other) = limits.iter().skip(index + 1).find(|other| other.role == *role) {
                let whose = role
                    .as_ref()
                    .map_or_else(|| "without a role".to_owned(), |role| format!("for role {}", role.as_str()));
                bail!("--limit: two limits {whose}, {rate} and {}: keep one", other.rate);
            }
        }
        limits.sort_by(|one, other| one.role.is_none().cmp(&other.role.is_none()).then(other.rate.compare(one.rate)));
        let header = |member, default: &str| {
            let own = policy.node.get("upstream").and_then(|upstream| upstream.get(member)).and_then(Node::text);
            own.unwrap_or(default).to_owned()
        };
        let default = Upstream::default();
        let consumers = policy.node.items_of("consumers");
        let found = Limits {
            consumer_header: header("consumer_header", default.consumer_header.as_str()),
            roles_header: header("roles_header", default.roles_header.as_str()),
            buckets: BUCKETS.max(consumers.len().saturating_mul(2)),
            limits,
        };
        let known = || consumers.iter().flat_map(|consumer| consumer.items_of("roles")).filter_map(Node::text);
        for role in found.roles().filter(|role| !known().any(|one| one == role.as_str())) {
            let role = role.as_str();
            note(format_args!("--limit: no consumer has the role {role}{}", did_you_mean(role, known())));
        }
        found.check_teams(policy)?;
        Ok((!found.limits.is_empty()).then_some(found))
    }
}

impl Limits {
    /// For a policy that can change without the limits.
    pub(crate) fn say_what_they_depend_on(&self) {
        note(format_args!(
            "the limits read the headers {} and {}: if `upstream` of the policy changes them, render the bootstrap again",
            self.consumer_header, self.roles_header
        ));
    }

    /// The filter.
    pub(super) fn filter(&self) -> Value {
        let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
        json!({
            "name": NAME,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
                "stat_prefix": "limits",
                "filter_enabled": always,
                "filter_enforced": always,
                "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
                "rate_limited_as_resource_exhausted": true,
                // By default 20: a consumer whose bucket is dropped for others comes back with a full one.
                "max_dynamic_descriptors": self.buckets,
                "rate_limits": self.limits.iter().map(|limit| self.action(limit)).collect::<Value>(),
                "descriptors": self.limits.iter().map(|limit| self.descriptor(limit)).collect::<Value>(),
            },
        })
    }

    /// What Envoy answers beyond a limit, in the form of the gate's own replies. No other filter answers 429.
    pub(super) fn replies(&self) -> Value {
        let status = json!({"status_code_filter": {"comparison": {
            "op": "EQ", "value": {"default_value": 429, "runtime_key": "portcullis.limits"},
        }}});
        let mapper = |limit: &Limit| {
            let filter = limit.role.as_ref().map_or_else(
                || status.clone(),
                |role| json!({"and_filter": {"filters": [status, {"header_filter": {"header": self.has_any([role])}}]}}),
            );
            let body = json!({
                "type": "about:blank",
                "title": "Too Many Requests",
                "status": 429,
                "detail": format!("Rate limit exceeded: {}.", limit.rate.in_words()),
            });
            json!({
                "filter": filter,
                "headers_to_add": [{
                    "header": {"key": "retry-after", "value": limit.rate.pause().to_string()},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }],
                "body_format_override": {
                    "content_type": "application/problem+json",
                    "text_format_source": {"inline_string": body.to_string()},
                },
            })
        };
        json!({"mappers": self.limits.iter().map(mapper).collect::<Value>()})
    }

    /// A team may not choose its limit, so the role of a limit must be granted to it.
    fn check_teams(&self, policy: &KeylessPolicy) -> Result<()> {
        for role in self.roles().map(RoleName::as_str) {
            for origin in policy.parts.iter().flat_map(|parts| parts.origins()) {
                if let Some(name) = origin.takes(&policy.node, role) {
                    bail!(
                        "--limit {role}: consumer {name} of {} has this role, which no delegation grants: remove it there, \
                         or add it to `roles` in a delegation",
                        origin.file.display()
                    );
                }
            }
        }
        Ok(())
    }

    fn roles(&self) -> impl Iterator<Item = &RoleName> {
        self.limits.iter().filter_map(|limit| limit.role.as_ref())
    }

    /// Puts a request into the bucket of its consumer for that limit, if no larger limit is for one of its roles.
    fn action(&self, limit: &Limit) -> Value {
        let larger = self.limits.iter().take_while(|other| *other != limit).filter_map(|other| other.role.as_ref());
        let larger: Vec<&RoleName> = larger.collect();
        let has_none = (!larger.is_empty()).then(|| {
            let mut has_none = self.has_any(larger);
            has_none["invert_match"] = json!(true);
            has_none["treat_missing_header_as_empty"] = json!(true);
            has_none
        });
        let has_role = limit.role.as_ref().map(|role| self.has_any([role]));
        let headers: Vec<Value> = has_role.into_iter().chain(has_none).collect();
        let consumer = json!({"request_headers": {"header_name": self.consumer_header, "descriptor_key": "consumer"}});
        let by_roles = self.entry(limit).map(|(key, value)| {
            json!({"header_value_match": {"descriptor_key": key, "descriptor_value": value, "headers": headers}})
        });
        json!({"actions": by_roles.into_iter().chain([consumer]).collect::<Value>()})
    }

    /// The buckets for a limit: an entry without a value stands for each value.
    fn descriptor(&self, limit: &Limit) -> Value {
        let by_roles = self.entry(limit).map(|(key, value)| json!({"key": key, "value": value}));
        let Limit { rate, .. } = limit;
        json!({
            "entries": by_roles.into_iter().chain([json!({"key": "consumer"})]).collect::<Value>(),
            "token_bucket": {
                "max_tokens": rate.requests,
                "tokens_per_fill": rate.requests,
                "fill_interval": format!("{}s", rate.seconds()),
            },
        })
    }

    /// What tells the buckets of a limit from those of the others; nothing if there is only one limit, for everybody.
    fn entry<'a>(&self, limit: &'a Limit) -> Option<(&'static str, &'a str)> {
        match &limit.role {
            Some(role) => Some(("role", role.as_str())),
            None => self.roles().next().map(|_| ("roles", "other")),
        }
    }

    /// Matches the requests of consumers with one of these roles.
    fn has_any<'a>(&self, roles: impl IntoIterator<Item = &'a RoleName>) -> Value {
        let roles = roles.into_iter().map(|role| escaped(role.as_str())).collect::<Vec<_>>().join("|");
        // Envoy compares the whole value, which is a list with commas.
        json!({
            "name": self.roles_header,
            "string_match": {"safe_regex": {"regex": format!("(.*,)?({roles})(,.*)?")}},
        })
    }
}

/// The text as a regular expression of RE2.
fn escaped(text: &str) -> String {
    let escaped = |sign: char| [(!sign.is_ascii_alphanumeric()).then_some('\\'), Some(sign)];
    text.chars().flat_map(escaped).flatten().collect()
}
