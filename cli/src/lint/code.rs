//! The codes of lint. Their names are stable.

use clap::ValueEnum;

/// The code of a finding. Each has a section in `docs/command/lint.md`, and an example in
/// `cli/tests/lint/examples.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Code {
    // The policy.
    Syntax,
    Refused,
    RefusedEntry,
    BrokenStore,
    RolesTwice,
    TeamConflict,
    OpenRest,
    UnsetVariable,
    EmptyKey,
    DemoKey,
    DevToken,
    WeakKey,
    ShortKey,
    PlaintextKey,
    KeyAsName,
    ExpiredKey,
    ExpiresSoon,
    NoKeys,
    IdleConsumer,
    UnreachableRule,
    PublicRule,
    RestrictedPublicPath,
    UnprotectedRule,
    PublicProtectedPath,
    AllPublic,
    WidePatterns,
    CoveredEndpoint,
    LongToken,
    UnknownRole,
    RemoteIp,
    TrustsLoopback,
    WholePrivateNetwork,
    GatewayIdentity,
    NotEnforcing,
    ModeOverride,
    StoreReadable,
    KeyInUrl,
    KeyInCookie,
    ForwardCredential,
    // On any host.
    NoGate,
    FailOpen,
    NoFailReload,
    UnlistedVariable,
    UnpinnedModule,
    PlaceholderDigest,
    TwoGates,
    // Envoy.
    GateAfterRouter,
    AnswersBeforeGate,
    TranslatesAfterGate,
    CorsAfterGate,
    ConditionalGate,
    UngatedListener,
    UngatedUpgrade,
    GateDisabled,
    OptionalGate,
    UngatedDefault,
    SharedVm,
    LargePolicy,
    ProxyProtocol,
    ForgedAddress,
    ClaimedAddress,
    NobodyLocal,
    PathNormalization,
    LoosePrefix,
    InternalRedirect,
    OldConnections,
    ShowsReason,
    Underscores,
    // Istio.
    MatchMissing,
    MatchPorts,
    LatePhase,
}

impl Code {
    /// Its name.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether this is an error: the gate refuses it, skips a part of it, or is open or broken because of it. All other
    /// findings work, but are risky.
    pub(crate) fn is_error(self) -> bool {
        matches!(
            self,
            Self::Syntax
                | Self::Refused
                | Self::RefusedEntry
                | Self::BrokenStore
                | Self::RolesTwice
                | Self::TeamConflict
                | Self::DevToken
                | Self::LongToken
                | Self::NoGate
                | Self::FailOpen
                | Self::UnlistedVariable
                | Self::GateAfterRouter
                | Self::UngatedUpgrade
                | Self::GateDisabled
                | Self::OptionalGate
                | Self::UngatedDefault
                | Self::ProxyProtocol
                | Self::ForgedAddress
        )
    }

    /// `error` or `warning`.
    pub(crate) fn severity(self) -> &'static str {
        if self.is_error() { "error" } else { "warning" }
    }

    /// The section of the documentation.
    pub(crate) fn page(self) -> String {
        format!("docs/command/lint.md#{}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::yaml::Node;

    /// That each example does what it says is seen in `cli/tests/lint.rs`, and that the page has a section for it.
    #[test]
    fn every_code_has_an_example_and_no_other_has_one() {
        let examples = Node::parse(include_str!("../../tests/lint/examples.yaml")).unwrap();
        let examples = examples.items().iter().filter_map(|example| example.get("code").and_then(Node::text));
        let codes = Code::value_variants().iter().map(|code| code.name());
        assert_eq!(examples.map(str::to_owned).collect::<BTreeSet<_>>(), codes.collect());
    }
}
