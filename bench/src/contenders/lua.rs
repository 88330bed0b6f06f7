//! Lua scripts as a user would write them for the same job: the fastest form that we found for the gate's work on a
//! valid key, a public path and a denial. They lack what the gate adds: digests instead of keys, other spellings of a
//! header, several credentials, hostile paths.

use serde_json::{Value, json};

use super::{IDENTITY, KEY, STRANGER, bearer};
use crate::contender::{Contender, Kind, Outcome};

/// The key by bearer token, and three identity headers.
pub const LUA_KEY: &str = "lua: key";
/// The key in `X-API-Key`.
pub const LUA_X_API_KEY: &str = "lua: x-api-key";
/// A public path.
pub const LUA_PUBLIC: &str = "lua: public path";
/// No credential.
pub const LUA_NO_CREDENTIAL: &str = "lua: no credential";
/// An unknown key.
pub const LUA_UNKNOWN: &str = "lua: unknown key";

pub(super) fn all() -> Vec<Contender> {
    let new = |name: &str, script: &str| Contender::new(name, Kind::Lua, vec![filter(script)]);
    let (whole, one) = (whole(), one());
    let denied = Outcome::Denied { status: 401, full: true };
    let seen = Outcome::Seen(IDENTITY.to_vec());
    vec![
        bearer(new("lua: key, one identity header", &one), KEY).so(Outcome::Seen(vec![IDENTITY[0]])),
        bearer(new(LUA_KEY, &whole), KEY).so(seen.clone()),
        new(LUA_X_API_KEY, &whole).with("x-api-key", KEY).so(seen),
        new(LUA_PUBLIC, &whole).at("/health"),
        new(LUA_NO_CREDENTIAL, &whole).so(denied.clone()),
        bearer(new(LUA_UNKNOWN, &whole), STRANGER).so(denied),
    ]
}

fn filter(script: &str) -> Value {
    json!({"name": "envoy.filters.http.lua", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": script}
    }})
}

/// The simplest form: a key in one header, one identity header.
fn one() -> String {
    format!(
        r#"
local consumers = {{ ["{KEY}"] = "ci" }}
function envoy_on_request(handle)
  local headers = handle:headers()
  local authorization = headers:get("authorization")
  local consumer = authorization and consumers[string.sub(authorization, 8)]
  if not consumer then
    handle:respond({{[":status"] = "401"}}, "")
    return
  end
  headers:remove("authorization")
  headers:replace("x-portcullis-consumer", consumer)
end
"#
    )
}

fn whole() -> String {
    format!(
        r#"
local consumers = {{ ["{KEY}"] = {{"ci", "predict", "ci-1"}} }}
local public = {{ ["/"] = true, ["/health"] = true }}
local denied = {{
  [":status"] = "401",
  ["content-type"] = "application/problem+json",
  ["cache-control"] = "no-store",
  ["www-authenticate"] = {{'Bearer realm="portcullis"', 'ApiKey realm="portcullis"'}}
}}
local body = '{{"type":"about:blank","title":"Unauthorized","status":401,' ..
  '"detail":"Invalid or missing API key. Please provide a valid X-API-Key header."}}'

local function is_public(path)
  local query = string.find(path, "?", 1, true)
  if query then path = string.sub(path, 1, query - 1) end
  return public[path] or path == "/docs" or string.sub(path, 1, 6) == "/docs/"
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if is_public(headers:get(":path")) then
    headers:remove("x-portcullis-consumer")
    headers:remove("x-portcullis-roles")
    headers:remove("x-portcullis-key-id")
    return
  end
  local from, key = "authorization", nil
  local authorization = headers:get("authorization")
  if authorization and string.lower(string.sub(authorization, 1, 7)) == "bearer " then
    key = string.sub(authorization, 8)
  else
    from, key = "x-api-key", headers:get("x-api-key")
  end
  local consumer = key and consumers[key]
  if not consumer then
    handle:respond(denied, body)
    return
  end
  headers:remove(from)
  headers:replace("x-portcullis-consumer", consumer[1])
  headers:replace("x-portcullis-roles", consumer[2])
  headers:replace("x-portcullis-key-id", consumer[3])
end
"#
    )
}
