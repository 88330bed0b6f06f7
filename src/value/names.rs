//! The names in a policy document. Each kind has its own type, and every instance is well formed.

use core::fmt;

use super::text::{Invalid, Text, read_text};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $longest:literal, $fits:expr, $class:expr, $why:literal, $fix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub struct $name(String);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Creates a default value. The text in the source must be well formed.
            #[allow(dead_code, reason = "not every kind of name has a default")]
            pub(crate) fn fixed(text: &'static str) -> Self {
                Self(text.to_owned())
            }
        }

        impl Text for $name {
            const EXPECTED: &'static str = $expected;
            const PATTERN: &'static str = concat!("^[", $class, "]{1,", $longest, "}$");

            fn from_text(text: &str) -> Result<Self, Invalid> {
                well_formed(text, $longest, $fits).map(Self).ok_or(Invalid::new($why, $fix))
            }
        }

        read_text!($name);
    };
}

/// Returns the text, if it is not empty, not too long, and `fits` accepts it.
#[inline(never)]
fn well_formed(text: &str, longest: usize, fits: fn(&str) -> bool) -> Option<String> {
    (!text.is_empty() && text.len() <= longest && fits(text)).then(|| text.to_owned())
}

/// Whether a text can be in a header value without quoting, and in a comma-separated list.
fn visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"' | b'\\'))
}

/// [`visible`] as a class of a regular expression.
macro_rules! visible_class {
    () => {
        r"!#-+\x2d-\x5b\x5d-~"
    };
}

/// Whether a byte is allowed in a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

name!(
    /// The name of a gate, which appears in stats and logs.
    GateName, "a name of letters, digits, - and _", 64,
    |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')), r"A-Za-z0-9_-",
    "invalid gate name", "expected 1 to 64 letters, digits, - and _ (it is part of the names of stats)"
);
name!(
    /// The name of a consumer, the owner of keys.
    ConsumerName, "the consumer's name", 128, visible, visible_class!(),
    "invalid consumer name", "expected 1 to 128 visible ASCII characters without comma, quote and backslash (it is sent as a header)"
);
name!(
    /// The name of a role.
    RoleName, "a role's name", 64, visible, visible_class!(),
    "invalid role name", "expected 1 to 64 visible ASCII characters without comma, quote and backslash (it is sent as a header)"
);
name!(
    /// The public handle of a key.
    KeyId, "the key's id", 128, visible, visible_class!(),
    "invalid key id", "expected 1 to 128 visible ASCII characters without comma, quote and backslash (it is sent as a header)"
);
name!(
    /// The name of a header, in lower case as Envoy sends it.
    HeaderName, "a header's name in lower case", 64,
    |text| text.bytes().all(|b| is_token_byte(b) && !b.is_ascii_uppercase()), r"a-z0-9!#$%&'*+.^_`|~-",
    "invalid header name", "expected 1 to 64 characters of a header name, in lower case"
);
name!(
    /// The name of a query parameter or of a cookie.
    ParameterName, "a parameter's name", 64,
    |text| text.bytes().all(|b| is_token_byte(b) && !matches!(b, b'%' | b'+' | b'&')), r"A-Za-z0-9!#$'*.^_`|~-",
    "invalid parameter name", "expected 1 to 64 characters of a name, such as letters, digits, - and _"
);
name!(
    /// An HTTP method, in upper case like the registered methods (RFC 9110, section 9.1).
    Method, "a method such as GET", 32,
    |text| text.bytes().all(|b| is_token_byte(b) && !b.is_ascii_lowercase()), r"A-Z0-9!#$%&'*+.^_`|~-",
    "invalid method", "expected upper case, such as GET"
);
name!(
    /// The key of a filter state object.
    StateKey, "a filter state key such as portcullis.peer", 128, visible, visible_class!(),
    "invalid filter state key", "expected the object_key that the set_filter_state filter records"
);
name!(
    /// The realm of a challenge (RFC 9110, section 11.5), which is sent as a quoted string.
    Realm, "the realm", 64,
    |text| text.bytes().all(|b| (b == b' ' || b.is_ascii_graphic()) && !matches!(b, b'"' | b'\\')), r" !#-\x5b\x5d-~",
    "invalid realm", "expected 1 to 64 ASCII characters without quote and backslash"
);
name!(
    /// A sentence in the reply to the caller.
    Sentence, "a sentence", 1024, |text| !text.chars().any(char::is_control),
    r"^\x00-\x1f\x7f-\x9f",
    "invalid reply text", "expected 1 to 1024 bytes without control characters"
);
name!(
    /// A remark for readers of the document. The gate ignores it.
    Description, "a description", 4096, |_| true, r"\s\S",
    "invalid description", "expected 1 to 4096 bytes, or no description"
);

/// The methods that a pattern is narrowed to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<Method>")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("minItems" = 1)))]
pub struct Methods(Vec<Method>);

impl Methods {
    /// Returns the methods, in the order of the document.
    pub fn iter(&self) -> impl Iterator<Item = &Method> {
        self.0.iter()
    }

    /// Whether `method` is one of these, compared exactly; GET includes HEAD.
    pub fn include(&self, method: &[u8]) -> bool {
        self.0.iter().any(|one| one.0.as_bytes() == method || (one.0 == "GET" && method == b"HEAD"))
    }

    /// Whether `method` is one of these for an upstream that ignores letter case; GET covers HEAD.
    pub fn cover(&self, method: &[u8]) -> bool {
        let same = |one: &[u8]| if defence!("method-case") { one.eq_ignore_ascii_case(method) } else { one == method };
        let covers_head = |one: &str| defence!("head-under-get") && one == "GET";
        self.0.iter().any(|one| same(one.0.as_bytes()) || (covers_head(&one.0) && same(b"HEAD")))
    }
}

impl TryFrom<Vec<Method>> for Methods {
    type Error = Invalid;

    fn try_from(methods: Vec<Method>) -> Result<Self, Invalid> {
        if methods.is_empty() {
            return Err(Invalid::new("empty list of methods", "name a method, or remove the field"));
        }
        Ok(Self(methods))
    }
}

/// The name of an environment variable. Messages show it only if it looks like a name and not like a key in the wrong
/// place: it has no lower-case letter and at most two digits.
#[derive(Clone, PartialEq, Eq, serde::Serialize)]
pub struct VariableName(String);

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.bytes().filter(u8::is_ascii_digit).count();
        if digits <= 2 && !self.0.bytes().any(|byte| byte.is_ascii_lowercase()) {
            f.write_str(&self.0)
        } else {
            f.write_str("(name not shown, it may be a key)")
        }
    }
}

impl fmt::Debug for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VariableName({self})")
    }
}

impl VariableName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for VariableName {
    const EXPECTED: &'static str = "the name of an environment variable";
    const PATTERN: &'static str = "^[A-Za-z_][A-Za-z0-9_]*$";

    fn from_text(text: &str) -> Result<Self, Invalid> {
        let digit_first = text.starts_with(|c: char| c.is_ascii_digit());
        if text.is_empty() || digit_first || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Invalid::new(
                "invalid environment variable name",
                "expected letters, digits and _; put the key into the variable",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

read_text!(VariableName);

/// The value of a `plaintext` member. It is a secret that no message, log or `Debug` output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Plaintext(String);

impl Plaintext {
    /// Returns the key itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Text for Plaintext {
    const EXPECTED: &'static str = "the key as text";
    /// A longer key, or one with other characters, cannot be presented.
    const PATTERN: &'static str = "^[!-~]{1,1024}$";

    fn from_text(text: &str) -> Result<Self, Invalid> {
        Ok(Self(text.to_owned()))
    }
}

read_text!(Plaintext);

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(...)")
    }
}
