//! Texts that stand where a key belongs, but are not keys: placeholders, references to a key in another place, and
//! encrypted keys.
//!
//! Such a text is left over when a template is not filled in or a file is not decrypted. Everyone who can read that
//! template or file knows it, so it must not admit anyone. Only the form of the whole text counts.

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// Such as `${VAR}`, `{{ x }}` or `REPLACE_ME`.
    #[error("a placeholder that was not replaced")]
    Placeholder,
    /// Such as `op://vault/item/key`.
    #[error("a reference to a key in another place")]
    Reference,
    /// Such as `ENC[AES256_GCM,...]`.
    #[error("an encrypted text")]
    Encrypted,
}

/// How a template, or a setting of one, begins and ends: of shells, Kubernetes, Helm, Jinja, Concourse, Octopus, Envoy,
/// Python and Symfony, and by hand.
const TEMPLATES: [(&str, &str); 12] = [
    ("${", "}"),
    ("$(", ")"),
    ("$[", "]"),
    ("{{", "}}"),
    ("{%", "%}"),
    ("{$", "}"),
    ("<", ">"),
    ("((", "))"),
    ("#{", "}"),
    ("#{", "}#"),
    ("%{", "}"),
    ("%(", ")s"),
];

/// How names of variables are marked.
const MARKS: [(&str, &str); 6] = [("%", "%"), ("@", "@"), ("@@", "@@"), ("__", "__"), ("{", "}"), ("[", "]")];

/// How references begin, besides all that begin with a scheme such as `op://`.
const REFERENCES: [&str; 9] =
    ["vault:", "env:", "file:", "path:", "arn:", "projects/", "os.environ/", "process.env.", "@Microsoft.KeyVault("];

/// How encrypted texts begin: of sops, Jasypt, Ansible, PGP and age (also in base64), OpenSSL (`Salted__` in base64), AWS
/// KMS, Spring Cloud Config, dotenvx and Vault's transit engine.
const ENCRYPTED: [&str; 11] = [
    "ENC[",
    "ENC(",
    "$ANSIBLE_VAULT;",
    "-----BEGIN ",
    "age-encryption.org/",
    "YWdlLWVuY3J5cHRpb24ub3Jn",
    "U2FsdGVkX1",
    "AQICAH",
    "{cipher}",
    "encrypted:",
    "vault:v1:",
];

/// A sealed secret is base64 of the length of an RSA ciphertext (2 bytes, big-endian: 512), that ciphertext, and an AES
/// ciphertext (kubeseal's `HybridEncrypt`). A key is hardly ever as long.
const SEALED: [&str; 4] = ["AgA", "AgB", "AgC", "AgD"];
const SEALED_LENGTH: usize = 100;

/// Words, without all that is not a letter.
const WORDS: [&str; 16] = [
    "changeit",
    "changeme",
    "changethis",
    "fixme",
    "nil",
    "none",
    "null",
    "placeholder",
    "redacted",
    "replaceit",
    "replaceme",
    "replacethis",
    "tbd",
    "tobereplaced",
    "todo",
    "undefined",
];

/// The first words of a request to the reader, and its last ones.
const FIRST: [&str; 4] = ["change", "enter", "insert", "replace"];
const LAST: [&str; 9] = ["here", "it", "key", "me", "password", "secret", "this", "token", "value"];

impl NotAKey {
    /// Tests a value that should be a key. Blanks and quotes around it do not count.
    #[must_use]
    pub fn of(value: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(value).ok().filter(|_| defence!("placeholders"))?;
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '"' || c == '\'');
        let begins = |with: &[&str]| with.iter().any(|start| text.starts_with(start));
        let is_base64 = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
        if begins(&ENCRYPTED) || begins(&SEALED) && text.len() >= SEALED_LENGTH && is_base64(text) {
            Some(Self::Encrypted)
        } else if is_reference(text) {
            Some(Self::Reference)
        } else if is_template(text) || is_request(text) {
            Some(Self::Placeholder)
        } else {
            None
        }
    }
}

/// Whether a text is a reference, which may be in brackets.
fn is_reference(text: &str) -> bool {
    let inner = text.trim_start_matches(['$', '{', '[', '(', '<', ' ']);
    let is_scheme = |scheme: &str| !scheme.is_empty() && scheme.bytes().all(|b| is_alphanumeric_or(b, b"+-."));
    REFERENCES.iter().any(|start| inner.starts_with(start))
        || inner.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
}

fn is_template(text: &str) -> bool {
    let within = |start: &str, end: &str| text.strip_prefix(start)?.strip_suffix(end);
    TEMPLATES.iter().any(|(start, end)| within(start, end).is_some())
        || MARKS.iter().any(|(start, end)| within(start, end).is_some_and(is_name))
        || text.starts_with('$') && is_name(text.trim_start_matches('$'))
        // A text that somebody has shortened.
        || text.ends_with("...")
}

/// Whether a text may be the name of a variable, perhaps of a part of it.
fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| is_alphanumeric_or(b, b"_.:()"))
}

/// Whether a text asks its reader to replace it, or hides what it stands for. Letter case does not count.
fn is_request(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let words = || text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let joined: String = words().collect();
    let (first, last) = (words().next().unwrap_or_default(), words().next_back().unwrap_or_default());
    let hidden = text.rsplit(['-', '_', '.']).next().unwrap_or_default();
    WORDS.contains(&joined.as_str())
        || FIRST.contains(&first) && LAST.contains(&last)
        || joined.starts_with("your") && LAST.iter().any(|end| joined.ends_with(end))
        || hidden.len() >= 3 && ["x", "*"].iter().any(|letter| hidden.split(letter).all(str::is_empty))
}

fn is_alphanumeric_or(byte: u8, others: &[u8]) -> bool {
    byte.is_ascii_alphanumeric() || others.contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::NotAKey::{self, Encrypted, Placeholder, Reference};

    #[test]
    fn what_stands_for_a_key_is_not_one() {
        let sealed = format!("AgBy{}", "3i4OJSWK+PiTySYZZA9rO43cGDEq".repeat(25));
        for (reason, texts) in [
            (
                Placeholder,
                "$VAR\n$supa_anon_key\n$$VAR\n${VAR}\n${VAR:-default}\n${{ secrets.KEY }}\n$(KEY)\n$[variables.key]\n\
                 $secrets.key\n%VAR%\n%env(KEY)%\n%(key)s\n%{KEY}\n{{ x }}\n{{x}}\n{% key %}\n{$KEY}\n<your key>\n<no value>\n\
                 [KEY]\n{KEY}\n((key))\n#{KEY}\n#{KEY}#\n@key@\n@@KEY@@\n__API_KEY__\n  ${VAR}  \n\"${VAR}\"\n'$VAR'\n\
                 REPLACE_ME\nreplace-me\nReplaceMe\nREPLACE_WITH_YOUR_KEY\nreplace-this-key\nchangeme\nCHANGEME\nChange_Me\n\
                 changeme123\nchange-this\nchangeit\nTODO\nTBD\nFIXME\nplaceholder\n[REDACTED]\nREDACTED\nyour-api-key\n\
                 YOUR_API_KEY_HERE\nyourtoken\nyour_secret_key\ninsert-key-here\nenter your key\nnull\nNone\n\
                 undefined\nxxx\nxxxx-xxxx-xxxx\nsk-XXXXXXXX\n****\nsk-****\nsk-abc...",
            ),
            (
                Reference,
                "<path:secret/data/gate#key>\nref+vault://secret/gate#/key\nop://vault/item/key\nsm://project/key\n\
                 vault:secret/data/gate#key\n{vault://env/key}\n${vault://env/key}\n{{ op://a/b/c }}\nawssm://key\n\
                 arn:aws:secretsmanager:eu-west-1:1:secret:key\nhttps://vault/v1/key\nenv:KEY\n$env:KEY\n{env:KEY}\n\
                 file:/run/secrets/key\nos.environ/KEY\nprocess.env.KEY\nprojects/1/secrets/key/versions/latest\n\
                 @Microsoft.KeyVault(SecretUri=a)",
            ),
            (
                Encrypted,
                "ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]\nENC[PKCS7,MIIB]\nENC(G6N718UuyPE5bHyWKyuLQSm02auQPUtm)\n\
                 $ANSIBLE_VAULT;1.1;AES256\n-----BEGIN PGP MESSAGE-----\n-----BEGIN AGE ENCRYPTED FILE-----\n\
                 YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0\nage-encryption.org/v1\nU2FsdGVkX1+vupppZksvRf5pq5g5XjFR\nAQICAHhwm0YaISJeRtJm\n\
                 {cipher}682bc583f4641835\nencrypted:BDqDBibm4wsYqMpCjTQ6BsDHmMadg9K3\nvault:v1:8SDd3WHDOjf7mq69",
            ),
            (Encrypted, sealed.as_str()),
        ] {
            for text in texts.split('\n') {
                assert_eq!(NotAKey::of(text.as_bytes()), Some(reason), "{text}");
            }
        }
    }

    #[test]
    fn what_only_contains_a_placeholder_is_a_key() {
        let long = "AgB-not-base64".repeat(20);
        for text in [
            "",
            "demo-key-12345",
            "my-secret-token",
            "dev-token",
            "example-key-frontend",
            "pk_demo_ci_not_a_secret",
            "pk_example0example0example0example0_0zoDkg",
            "demonstration_only_and_not_a_secret",
            "the-value-of-KEY",
            "209c6ca829ca9a6046ee97478da9a5a5ad2dc5c502730d3d8209341f1380b853",
            "3b0e7c1e-58ad-4d3b-9a50-5b1b2d6a1f01",
            "$2b$10$N9qo8uLOickgx2ZMRZo1234567890fl7p92ldGxad68LJZdL17lh",
            "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA",
            "{not-for-a-bearer-12345}",
            "[12ab-34cd]",
            "prefix-${VAR}",
            "${VAR}-suffix",
            "pa$$word",
            "a%VAR%b",
            "%41%42-%",
            "__",
            "changeme-8f3a9b2c1d",
            "exchange-key-7f3a",
            "enterprise-key-12345",
            "changelog-token-12345",
            "where",
            "here",
            "my-key-goes-here",
            "yours-9b2c1d",
            "AgBy3i4OJSWK+PiTySYZZA9rO43cGDEq",
            &long,
            "max",
            "linux",
        ] {
            assert_eq!(NotAKey::of(text.as_bytes()), None, "{text}");
        }
        assert_eq!(NotAKey::of(b"${\xff}"), None, "no request can present it");
    }
}
