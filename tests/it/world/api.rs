//! The API of a world's node, called without a network.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::World;

impl World {
    /// Status and body of a call; a body that is no JSON is null.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, "Bearer dev")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .expect("a legal request");
        let answer = self.router.clone().oneshot(request).await.expect("never fails");
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("complete").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// The body of a call that must succeed.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status}: {answer}");
        answer
    }
}
