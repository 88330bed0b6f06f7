//! Reasons why a path is ambiguous.

/// Why a path is ambiguous. Such a path is never public. Except for [`Structure`](Self::Structure), it may be anything: how
/// an upstream interprets it cannot be determined, or not at a bounded cost. Then every rule applies to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguity {
    /// Decoding may change the structure of the path, or a script may receive a part of it.
    Structure,
    /// The path is long, and not simple.
    TooLong,
    /// The path has too many variants.
    TooManyVariants,
    /// A segment has many dots, each of which may begin a suffix.
    ManySuffixes,
    /// The path is not UTF-8.
    NotUtf8,
    /// A dot segment or a backslash appears after an upstream drops or converts characters.
    DotSegment,
    /// A segment is an alias: a short name or a stream of Windows, a session of ASP.NET, a namespace of Zope.
    Alias,
    /// The policy's patterns mix literals and wildcards, so that matching the path would exceed the budget.
    TooWide,
    /// A header contains another URL that cannot be parsed, or there are too many such URLs.
    OverrideUrl,
    /// A header moves the root of all paths, or names a second root.
    MovedRoot,
}
