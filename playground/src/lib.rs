//! The playground: explains a decision in a browser, as `portcullis check` does. The page gives and gets text only. Nothing here
//! reads a file, a variable or the network.

mod answer;
mod examples;
mod fault;
mod link;
mod policy;
mod request;
mod secrets;
mod shared;

use wasm_bindgen::prelude::wasm_bindgen;

/// The examples as JSON: a list of `title`, `policy` and `request`.
#[wasm_bindgen]
pub fn examples() -> String {
    examples::all().to_string()
}

/// Decides a request, and explains the decision, as JSON: what `portcullis check --output json` prints, with `notes`; or `fault`.
#[wasm_bindgen]
pub fn explain(policy: &str, request: &str) -> String {
    fault::or_json(answer::explain(policy, request))
}

/// Makes the fragment of a link, as JSON: `fragment` and the list `removed`; or `fault`.
#[wasm_bindgen]
pub fn share(policy: &str, request: &str) -> String {
    fault::or_json(link::share(policy, request))
}

/// Reads the fragment of a link, as JSON: `policy` as YAML, and `request`; or `fault`.
#[wasm_bindgen]
pub fn open(fragment: &str) -> String {
    fault::or_json(link::open(fragment))
}
