//! The API of a world's node, called without a network.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
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

    /// Status, headers and text of a call without a key, with these headers.
    pub async fn call_without_key(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a legal request");
        let (head, body) = self.router.clone().oneshot(request).await.expect("never fails").into_parts();
        let bytes = body.collect().await.expect("complete").to_bytes();
        (head.status, head.headers, String::from_utf8(bytes.to_vec()).expect("UTF-8"))
    }

    /// The body of a call that must succeed.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status}: {answer}");
        answer
    }
}
