//! Finds the name that somebody probably meant.

/// Returns the known name that is nearly the given one: another letter case, or few letters that differ.
pub fn similar<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    // Of short names, a single letter is too much.
    let most = match given.chars().count() {
        0..=2 => 0,
        length => (length / 4).max(1),
    };
    let distance = |name: &str| strsim::damerau_levenshtein(&given, &name.to_lowercase());
    let near = known.into_iter().map(|name| (distance(name), name)).filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// `: did you mean NAME?`, or nothing.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    similar(given, known).map(|name| format!(": did you mean {name}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognized_and_another_name_is_not() {
        let known = ["ci", "public_paths", "protected_paths", "alice"];
        for (given, meant) in [
            ("CI", Some("ci")),
            ("public_path", Some("public_paths")),
            ("public-paths", Some("public_paths")),
            ("alcie", Some("alice")),
            ("bob", None),
            ("co", None),
            ("paths", None),
            ("", None),
        ] {
            assert_eq!(similar(given, known), meant, "{given}");
        }
    }
}
