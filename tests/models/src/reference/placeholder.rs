//! Texts that are not keys: placeholders, references and encrypted texts.

/// The forms; `*` is any text.
const FORMS: [&str; 32] = [
    "${*}",
    "$(*)",
    "$[*]",
    "{{*}}",
    "{%*%}",
    "{$*}",
    "<*>",
    "((*))",
    "#{*}",
    "#{*}#",
    "%{*}",
    "%(*)s",
    "*...",
    "vault:*",
    "env:*",
    "file:*",
    "path:*",
    "arn:*",
    "projects/*",
    "os.environ/*",
    "process.env.*",
    "@Microsoft.KeyVault(*",
    "ENC[*",
    "ENC(*",
    "$ANSIBLE_VAULT;*",
    "-----BEGIN *",
    "age-encryption.org/*",
    "YWdlLWVuY3J5cHRpb24ub3Jn*",
    "U2FsdGVkX1*",
    "AQICAH*",
    "{cipher}*",
    "encrypted:*",
];

/// Words in lower case, without what is not a letter.
const WORDS: &str = "changeit changeme changethis fixme nil none null placeholder redacted replaceit replaceme replacethis \
                     tbd tobereplaced todo undefined";
const LAST: &str = "here it key me password secret this token value";

/// Whether a value is not a key, by its form.
pub fn is_placeholder(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let around = [' ', '\t', '\n', '\r', '\u{c}', '"', '\''];
    let text = text.trim_matches(around);
    let without_brackets = text.trim_start_matches(['$', '{', '[', '(', '<', ' ']);
    let references = || FORMS.iter().skip(13).take(9).any(|form| has_form(without_brackets, form));
    FORMS.iter().any(|form| has_form(text, form))
        || references()
        || has_scheme(without_brackets)
        || is_sealed(text)
        || is_marked_name(text)
        || is_said(&text.to_ascii_lowercase())
}

fn has_form(text: &str, form: &str) -> bool {
    let Some((start, end)) = form.split_once('*') else { return false };
    text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
}

fn has_scheme(text: &str) -> bool {
    let scheme: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || "+-.".contains(*c)).collect();
    !scheme.is_empty() && text[scheme.len()..].starts_with("://")
}

fn is_sealed(text: &str) -> bool {
    let is_base64 = text.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c));
    text.len() >= 100 && is_base64 && text.starts_with("Ag") && "ABCD".contains(&text[2..3])
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| !first.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.:()".contains(c))
}

fn is_marked_name(text: &str) -> bool {
    let marks = [("%", "%"), ("@", "@"), ("@@", "@@"), ("__", "__"), ("{", "}"), ("[", "]")];
    let inner = |(start, end): (&str, &str)| Some(text.strip_prefix(start)?.strip_suffix(end)?.to_owned());
    marks.into_iter().filter_map(inner).any(|name| is_name(&name))
        || (text.starts_with('$') && is_name(text.trim_start_matches('$')))
}

fn is_said(text: &str) -> bool {
    let is_one_of = |words: &str, word: &str| words.split(' ').any(|other| other == word);
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_lowercase()).filter(|word| !word.is_empty()).collect();
    let joined = words.concat();
    if is_one_of(WORDS, &joined) || (joined.starts_with("your") && LAST.split(' ').any(|end| joined.ends_with(end))) {
        return true;
    }
    if let [first, .., last] = words[..]
        && is_one_of("change enter insert replace", first)
        && is_one_of(LAST, last)
    {
        return true;
    }
    let end = text.split(['-', '_', '.']).next_back().unwrap_or_default();
    end.len() >= 3 && (end.chars().all(|c| c == 'x') || end.chars().all(|c| c == '*'))
}
