//! Makes the answer to a request.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};

use crate::echo;
use crate::endpoint::Endpoint;
use crate::pretty::pretty;

/// The models that the server lists. It accepts any name: all models are the same.
const MODELS: [&str; 2] = ["echo", "resnet"];

/// Answers `request`. Every answer is JSON and contains the request under `received`.
pub(crate) async fn answer(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let endpoint = Endpoint::of(head.uri.path());
    let allowed = !matches!(endpoint, Endpoint::Predict { .. }) || head.method == Method::POST;

    let mut document = match endpoint {
        Endpoint::Predict { .. } if !allowed => json!({ "error": "method not allowed" }),
        Endpoint::Predict { model } => match length(body).await {
            Some(length) => json!({ "model": model, "prediction": { "body_bytes": length } }),
            None => json!({ "model": model, "error": "the body ended early" }),
        },
        Endpoint::Metadata { model } => {
            json!({ "model": model, "description": "Predicts the length of the request's body, in bytes." })
        }
        Endpoint::Index => json!({ "endpoints": Endpoint::PATHS }),
        Endpoint::Health => json!({ "status": "ok" }),
        Endpoint::Version => json!({ "version": "v2" }),
        Endpoint::Models => json!({ "models": MODELS }),
        Endpoint::Other => Value::Object(Map::new()),
    };
    document["endpoint"] = endpoint.name().into();
    document["received"] = echo::received(&head);

    let mut response = json_response(&document, head.method == Method::HEAD);
    if !allowed {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// The length of `body` in bytes, none of which are kept; `None` if the client broke off.
async fn length(mut body: Body) -> Option<u64> {
    let mut length = 0_u64;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            length = length.saturating_add(data.len() as u64);
        }
    }
    Some(length)
}

/// 200 with `document`. The answer to HEAD has the length of the body that GET would give, and no body (RFC 9110, 9.3.2).
fn json_response(document: &Value, head: bool) -> Response {
    let text = pretty(document);
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(if head { Body::empty() } else { Body::from(text) });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, length);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(method: Method, path: &str, body: &'static str) -> (Response<()>, Value) {
        let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        let (head, body) = answer(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let document = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        (Response::from_parts(head, ()), document)
    }

    #[tokio::test]
    async fn a_prediction_is_the_length_of_the_body() {
        let (response, document) = ask(Method::POST, "/v2/models/resnet/predict", "four").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(document["endpoint"], "predict");
        assert_eq!(document["model"], "resnet");
        assert_eq!(document["prediction"]["body_bytes"], 4);
        assert_eq!(document["received"]["method"], "POST");
    }

    #[tokio::test]
    async fn predicting_with_another_method_names_the_right_one() {
        let (response, document) = ask(Method::GET, "/v2/models/resnet/predict", "").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "POST");
        assert_eq!(document["received"]["path"], "/v2/models/resnet/predict");
    }

    #[tokio::test]
    async fn every_other_path_answers_and_says_what_it_is() {
        for (path, name) in [
            ("/", "index"),
            ("/healthz", "healthz"),
            ("/v2/", "version"),
            ("/v2/models/", "models"),
            ("/v2/models/x/metadata", "metadata"),
            ("/v2/models/x", "other"),
            ("/docs?q=1", "other"),
        ] {
            let (response, document) = ask(Method::DELETE, path, "").await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(document["endpoint"], name, "{path}");
            assert_eq!(document["received"]["path"], path, "{path}");
        }
    }

    #[tokio::test]
    async fn head_has_the_length_and_no_body() {
        let (response, document) = ask(Method::HEAD, "/", "").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(document, Value::Null);
        assert_ne!(response.headers()[CONTENT_LENGTH], "0");
    }
}
