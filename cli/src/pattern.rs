//! The segments of a path pattern.

use portcullis::PathPattern;

/// The segments before a `**`: names, and `None` for one segment of any name.
pub(crate) fn segments(pattern: &PathPattern) -> impl Iterator<Item = Option<&str>> {
    let path = pattern.as_str().strip_suffix("/**").unwrap_or(pattern.as_str());
    let names = path.split('/').skip(1);
    names.map(|name| Some(name).filter(|name| *name != "*" && !name.starts_with('{')))
}

/// Whether the pattern ends with `**`.
pub(crate) fn goes_below(pattern: &PathPattern) -> bool {
    pattern.as_str().ends_with("/**")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_the_segments_that_it_is_written_with() {
        for (pattern, expected, below) in [
            ("/", &[Some("")][..], false),
            ("/v2/", &[Some("v2"), Some("")], false),
            ("/**", &[], true),
            ("/docs/**", &[Some("docs")], true),
            ("/v2/models/{model}/*", &[Some("v2"), Some("models"), None, None], false),
        ] {
            let pattern: PathPattern = pattern.parse().unwrap();
            assert_eq!(segments(&pattern).collect::<Vec<_>>(), expected, "{pattern:?}");
            assert_eq!(goes_below(&pattern), below, "{pattern:?}");
        }
    }
}
