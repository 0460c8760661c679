//! An API server that answers as a test says.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::cluster::{Index, Seen, Tracked};

/// What was asked for.
pub struct Call {
    pub method: Method,
    pub path: String,
    pub body: Value,
}

impl Call {
    /// Of an object, or of a kind in a namespace; else it is asked which versions there are.
    pub fn is_of_objects(&self) -> bool {
        self.path.contains("/namespaces/")
    }
}

/// A text is answered as it is. Where nothing is said, the hub's version is served, no object is there, and what is made is made.
pub fn server(answer: impl Fn(&Call) -> Option<(u16, Value)> + Send + Sync + 'static) -> Client {
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or_default();
            let call = Call { method: parts.method, path: parts.uri.path().to_owned(), body };
            let (code, told) = answer(&call).unwrap_or_else(|| otherwise(&call));
            let text = told.as_str().map_or_else(|| told.to_string(), str::to_owned);
            let answer = Response::builder().status(code).body(Body::from(text.into_bytes()));
            Ok::<_, Infallible>(answer.unwrap())
        }
    });
    Client::new(service, "gate")
}

fn otherwise(call: &Call) -> (u16, Value) {
    if !call.is_of_objects() {
        let resource = |name| json!({"name": name, "singularName": "", "namespaced": true, "kind": "K", "verbs": []});
        let all = ["workflowexecutions", "remediationrequests"].map(resource);
        return (200, json!({"kind": "APIResourceList", "groupVersion": "kubernaut.ai/v1beta1", "resources": all}));
    }
    if call.method == Method::POST { (201, json!({})) } else { refusal(404, "NotFound", "it is not there") }
}

pub fn refusal(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}))
}

/// The index hears of this object.
pub fn put<T: Tracked>(index: &Index, object: &Value) {
    let facts = T::read(&object.to_string()).unwrap();
    index.put(Seen { key: facts.key().clone(), facts: Ok(facts) });
}
