//! Tokens: short-lived JSON Web Tokens (RFC 7519) that the gate issues for a key and accepts in its place.
//!
//! A token is signed with HS256 (RFC 7518, section 3.2). Each secret has one header, written out here, and a token is
//! accepted only with exactly these bytes: so the token cannot choose an algorithm (RFC 8725, section 3.1), and there is no
//! `crit` to understand. The claims are read only after the signature has been verified.

use core::fmt;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::{Mutex, PoisonError};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::digest::Digest;
use super::entry::{EntryProblem, Environment, RefusedEntry, read_variable};
use super::keyring::{Consumer, Key, Keyring};
use crate::value::json::{Json, Reader};
use crate::value::names::VariableName;
use crate::value::timestamp::Timestamp;

/// The maximum length of a token, in bytes. Envoy and servers accept headers that are as long.
pub(crate) const MAX_TOKEN_LENGTH: usize = 4096;

/// The minimum length of a secret, in bytes: that of a hash (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// The maximum number of tokens whose claims are kept.
const MAX_VERIFIED: usize = 256;

/// How far the clock of the gate that issued a token may be ahead, in seconds.
const SKEW: i64 = 60;

/// Issues and verifies tokens.
pub(crate) struct Tokens {
    /// The name of the policy: the `iss` of its tokens.
    issuer: String,
    /// The first signs. All verify, so that a secret can be replaced while its tokens are in use.
    secrets: Vec<Secret>,
    /// In seconds.
    lifetime: i64,
    /// The claims of tokens with a good signature, by the digest of the token: a token is used many times, and verifying
    /// it takes longer than all else.
    verified: Mutex<HashMap<Digest, Claims, BuildHasherDefault<DefaultHasher>>>,
}

/// A secret, in the form that HMAC needs.
struct Secret {
    mac: Hmac<Sha256>,
    /// The header of the tokens that are signed with it, in base64url.
    header: String,
}

/// Shows no secret.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} secrets)", self.secrets.len())
    }
}

/// The claims of a token (RFC 7519, section 4).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    /// The policy's name.
    iss: String,
    /// The consumer's name.
    sub: String,
    key_id: String,
    /// Ties the token to the key: another key of the same id does not accept it.
    kd: String,
    /// The roles at the time of issue, for services. The gate itself uses the current roles.
    scope: String,
    iat: i64,
    exp: i64,
    jti: String,
}

impl Claims {
    /// Returns the claims in base64url.
    fn encoded(&self) -> String {
        // Text and numbers can always be serialized.
        Base64UrlUnpadded::encode_string(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}

/// A token that has just been issued. `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct IssuedToken {
    pub(crate) text: String,
    /// The roles, separated by blanks (RFC 6749, section 3.3).
    pub(crate) scope: String,
    /// In seconds.
    pub(crate) expires_in: i64,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuedToken(..., {} s)", self.expires_in)
    }
}

/// Why a credential is not accepted as a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenProblem {
    /// It does not have the form of a JWT.
    NoToken,
    /// It is not one of this policy's tokens, or its key is no longer the same.
    Unknown,
    /// It has expired.
    Expired,
}

impl Tokens {
    /// Reads the secrets from the environment. Returns the ones that were skipped, too.
    pub(crate) fn new<'n>(
        issuer: &str,
        variables: impl Iterator<Item = &'n VariableName>,
        lifetime: i64,
        environment: &Environment<'_>,
    ) -> (Self, Vec<RefusedEntry>) {
        let (mut secrets, mut refused) = (Vec::new(), Vec::new());
        for (index, variable) in variables.enumerate() {
            match Secret::read(variable, environment) {
                Ok(secret) => secrets.push(secret),
                Err(problem) => {
                    refused.push(RefusedEntry { path: format!("tokens.secrets[{index}]"), id: None, problem })
                }
            }
        }
        (Self { issuer: issuer.to_owned(), secrets, lifetime, verified: Mutex::default() }, refused)
    }

    /// Issues a token for a key. `None` if there is no secret, or if the token would be too long to be accepted.
    pub(crate) fn issue(
        &self,
        consumer: &Consumer<'_>,
        key: &Key<'_>,
        now: Timestamp,
        id: [u8; 16],
    ) -> Option<IssuedToken> {
        let secret = self.secrets.first()?;
        let claims = self.claims(consumer, key, now, id);
        let (scope, expires_in) = (claims.scope.clone(), claims.exp.saturating_sub(now.0));
        let signed = format!("{}.{}", secret.header, claims.encoded());
        let signature = secret.mac.clone().chain_update(&signed).finalize().into_bytes();
        let text = format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature));
        (text.len() <= MAX_TOKEN_LENGTH).then_some(IssuedToken { text, scope, expires_in })
    }

    /// Whether the token of a key is short enough to be accepted.
    pub(crate) fn fits(&self, consumer: &Consumer<'_>, key: &Key<'_>) -> bool {
        let signature = Base64UrlUnpadded::encode_string(&[0; 32]);
        let longest = Timestamp(i64::from(u32::MAX));
        let claims = self.claims(consumer, key, longest, [0; 16]).encoded();
        [header("00000000"), claims, signature].join(".").len() <= MAX_TOKEN_LENGTH
    }

    fn claims(&self, consumer: &Consumer<'_>, key: &Key<'_>, now: Timestamp, id: [u8; 16]) -> Claims {
        let end = now.0.saturating_add(self.lifetime);
        Claims {
            iss: self.issuer.clone(),
            sub: consumer.name.to_owned(),
            key_id: key.id().to_owned(),
            kd: key_tie(&key.digest()),
            // The name of a role has no comma.
            scope: consumer.roles_value.replace(',', " "),
            iat: now.0,
            exp: key.expires().map_or(end, |key| key.0.min(end)),
            jti: base16ct::lower::encode_string(&id),
        }
    }

    /// Finds the key that a token with this digest was issued for, and when the token expires. Whether the key is valid now
    /// is for the caller to check.
    ///
    /// # Errors
    /// Why the token is not accepted. `now` is asked for only if the signature is good; without a clock, no token is
    /// accepted.
    pub(crate) fn verify<'k>(
        &self,
        token: &[u8],
        digest: Digest,
        keyring: &'k Keyring,
        now: impl FnOnce() -> Option<Timestamp>,
    ) -> Result<(Consumer<'k>, Key<'k>, Timestamp), TokenProblem> {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if !verified.contains_key(&digest) {
            let claims = self.read_claims(token)?;
            if verified.len() >= MAX_VERIFIED {
                verified.clear();
            }
            verified.insert(digest, claims);
        }
        let claims = verified.get(&digest).ok_or(TokenProblem::Unknown)?;
        let now = now().ok_or(TokenProblem::Unknown)?.0;
        let lasts = claims.exp.saturating_sub(claims.iat);
        let is_ours = !defence!("tokens-of-another-policy") || claims.iss == self.issuer;
        let is_short = !defence!("stretched-tokens") || (0..=self.lifetime).contains(&lasts);
        let has_begun = !defence!("tokens-of-the-future") || claims.iat <= now.saturating_add(SKEW);
        if !(is_ours && is_short && has_begun) {
            return Err(TokenProblem::Unknown);
        }
        if defence!("expired-tokens") && claims.exp <= now {
            return Err(TokenProblem::Expired);
        }
        let (consumer, key) = keyring.find_by_id(&claims.key_id).ok_or(TokenProblem::Unknown)?;
        let same_owner = !defence!("tokens-of-a-moved-key") || consumer.name == claims.sub;
        let same_key = !defence!("tokens-of-a-replaced-key") || key_tie(&key.digest()) == claims.kd;
        if same_owner && same_key { Ok((consumer, key, Timestamp(claims.exp))) } else { Err(TokenProblem::Unknown) }
    }

    /// Verifies the signature, and returns the claims.
    fn read_claims(&self, token: &[u8]) -> Result<Claims, TokenProblem> {
        let text = core::str::from_utf8(token).map_err(|_| TokenProblem::NoToken)?;
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenProblem::NoToken)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenProblem::NoToken)?;
        if claims.contains('.') {
            return Err(TokenProblem::NoToken);
        }
        let known = self.secrets.iter().find(|secret| secret.header == header || !defence!("token-headers"));
        let claims = known.and_then(|secret| secret.claims(signed, signature, claims)).ok_or(TokenProblem::Unknown)?;
        let claims =
            Json::read(&mut claims.as_slice(), claims.len(), Reader::Whole).map_err(|_| TokenProblem::Unknown)?;
        claims.to(Vec::new()).map_err(|_| TokenProblem::Unknown)
    }
}

impl Secret {
    fn read(variable: &VariableName, environment: &Environment<'_>) -> Result<Self, EntryProblem> {
        let secret = read_variable(variable, environment)?;
        if secret.len() < MIN_SECRET {
            return Err(EntryProblem::ShortSecret(variable.clone()));
        }
        // HMAC takes a key of any length.
        let mac = Hmac::<Sha256>::new_from_slice(&secret).map_err(|_| EntryProblem::ShortSecret(variable.clone()))?;
        // Names the secret without telling anything of it (RFC 7515, section 4.1.4).
        let name = mac.clone().chain_update("portcullis kid").finalize().into_bytes();
        let name = base16ct::lower::encode_string(name.first_chunk::<4>().unwrap_or(&[0; 4]));
        Ok(Self { mac, header: header(&name) })
    }

    /// Verifies the signature, in constant time, and returns the claims as JSON.
    fn claims(&self, signed: &str, signature: &str, claims: &str) -> Option<Vec<u8>> {
        let signature = Base64UrlUnpadded::decode_vec(signature).ok()?;
        let verified = self.mac.clone().chain_update(signed).verify_slice(&signature);
        if defence!("token-signatures") && verified.is_err() {
            return None;
        }
        Base64UrlUnpadded::decode_vec(claims).ok()
    }
}

/// The header of the tokens of a secret, in base64url.
fn header(kid: &str) -> String {
    Base64UrlUnpadded::encode_string(format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"JWT"}}"#).as_bytes())
}

/// The claim `kd`: the first 16 hex digits of a hash of the key's digest. It tells nothing of the digest.
fn key_tie(digest: &Digest) -> String {
    Digest::of(digest.as_bytes()).handle()
}
