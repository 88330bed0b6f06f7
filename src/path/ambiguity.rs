//! Paths that may be anything.

/// Why a path may be anything: what an upstream makes of it cannot be told, or not at a bounded cost. Such a path is never
/// public, and every rule applies to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguity {
    /// It is long, and not a simple one.
    TooLong,
    /// It can be understood in too many ways.
    TooManyVariants,
    /// A segment has many dots, and each may begin a suffix.
    ManySuffixes,
    /// It is not UTF-8.
    NotUtf8,
    /// A dot segment or a backslash appears where an upstream drops or converts characters.
    DotSegment,
    /// A segment stands for another one: a short name or a stream of Windows, a session of ASP.NET, a namespace of Zope.
    Alias,
    /// The policy's patterns mix literals and wildcards so that matching the path with all of them would take long.
    TooWide,
    /// A header holds another URL that cannot be read, or there are too many of them.
    OverrideUrl,
    /// A header moves the root of all paths, or names a second one.
    MovedRoot,
}
