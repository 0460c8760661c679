//! The API server, one call at a time, each with an end. An object is read in the version that is served best and seen in the
//! hub's form; what is said of its status is written in the form that it is stored in, whichever of the three that is.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{Method, Request, header};
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};

use super::executor::{Event, StatusChange};
use crate::api::facts::ObjectKey;
use crate::convert::{Version, convert};

/// No call lasts longer: a leader that was cut off must know what it still does.
const CALL: Duration = Duration::from_secs(8);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The API server answered so.
    #[error("{code} {reason}: {message}")]
    Refused { code: u16, reason: String, message: String },
    #[error("no answer: {0}")]
    Away(String),
    #[error("the answer is not what it should be: {0}")]
    Odd(String),
}

impl Failed {
    pub fn code(&self) -> u16 {
        match self {
            Self::Refused { code, .. } => *code,
            _ => 0,
        }
    }
}

/// An object as it stands there.
#[derive(Clone, Debug)]
pub struct Stored {
    version: Version,
    object: Value,
    /// The same in the hub's form.
    pub hub: Value,
}

impl Stored {
    fn read(text: &str) -> Result<Self, Failed> {
        let odd = |error: &dyn std::fmt::Display| Failed::Odd(error.to_string());
        let converted = convert(text, Version::V1beta1).map_err(|error| odd(&error))?;
        let object = serde_json::from_str(text).map_err(|error| odd(&error))?;
        let hub = serde_json::from_slice(&converted.json).map_err(|error| odd(&error))?;
        Ok(Self { version: converted.from, object, hub })
    }

    /// A merge patch that makes the status say this, and nothing else; it is refused where the object has changed meanwhile.
    fn status_patch(&self, change: &StatusChange) -> Result<Option<Value>, Failed> {
        let mut hub = self.hub.clone();
        let status = &mut hub["status"];
        if !status.is_object() {
            *status = json!({});
        }
        for (name, value) in &change.members {
            match (value, status.as_object_mut()) {
                (Some(value), _) => status[*name] = value.clone(),
                (None, Some(members)) => drop(members.remove(*name)),
                (None, None) => {}
            }
        }
        let there = convert(&hub.to_string(), self.version).map_err(|error| Failed::Odd(error.to_string()))?;
        let there: Value = serde_json::from_slice(&there.json).map_err(|error| Failed::Odd(error.to_string()))?;
        let before = self.object.get("status").filter(|status| status.is_object());
        let nothing = json!({});
        Ok(merge_patch(before.unwrap_or(&nothing), &there["status"]).map(|status| {
            json!({"metadata": {"resourceVersion": self.object["metadata"]["resourceVersion"]}, "status": status})
        }))
    }
}

/// RFC 7396; None: they are the same.
fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        return (before != after).then(|| after.clone());
    };
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let nothing = Value::Null;
    let changed = new.iter().filter_map(|(name, value)| {
        let before = old.get(name).unwrap_or(&nothing);
        // In place of what is no object, an object is written whole.
        let patch =
            if before.is_object() { merge_patch(before, value) } else { (before != value).then(|| value.clone()) };
        Some((name.clone(), patch?))
    });
    let patch: Map<String, Value> = gone.chain(changed).collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The calls.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    version: Version,
    identity: String,
}

const EXECUTIONS: &str = "workflowexecutions";
const RUNS: &str = "pipelineruns";

impl Objects {
    /// Of a cluster that serves this version best.
    pub fn new(client: Client, version: Version, identity: &str) -> Self {
        Self { client, version, identity: identity.to_owned() }
    }

    async fn call(&self, method: Method, path: &str, kind: &str, body: Option<&Value>) -> Result<String, Failed> {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = request.body(Body::from(body)).map_err(|error| Failed::Odd(error.to_string()))?;
        let answer = tokio::time::timeout(CALL, async {
            let response = self.client.send(request).await?;
            let status = response.status();
            let bytes = response.into_body().collect().await?.to_bytes();
            Ok::<_, kube::Error>((status, bytes))
        });
        let (status, bytes) = match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(Failed::Away(error.to_string())),
            Err(_) => return Err(Failed::Away(format!("none within {CALL:?}"))),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if status.is_success() {
            return Ok(text);
        }
        let told: Value = serde_json::from_str(&text).unwrap_or_default();
        let said = |member: &str| told[member].as_str().unwrap_or_default().to_owned();
        Err(Failed::Refused { code: status.as_u16(), reason: said("reason"), message: said("message") })
    }

    fn executions(&self, key: &ObjectKey) -> String {
        let ObjectKey { namespace, name } = key;
        format!("/apis/kubernaut.ai/{}/namespaces/{namespace}/{EXECUTIONS}/{name}", self.version.as_str())
    }

    /// None: it is not there.
    pub async fn execution(&self, key: &ObjectKey) -> Result<Option<Stored>, Failed> {
        match self.call(Method::GET, &self.executions(key), "", None).await {
            Ok(text) => Stored::read(&text).map(Some),
            Err(error) if error.code() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As it stands afterwards; None: it says so already, in the form that it is stored in.
    pub async fn write_status(
        &self,
        key: &ObjectKey,
        stored: &Stored,
        change: &StatusChange,
    ) -> Result<Option<Stored>, Failed> {
        let Some(patch) = stored.status_patch(change)? else { return Ok(None) };
        let path = format!("{}/status?fieldManager={MANAGER}", self.executions(key));
        let text = self.call(Method::PATCH, &path, MERGE, Some(&patch)).await?;
        Stored::read(&text).map(Some)
    }

    /// Sets the finalizers.
    pub async fn write_finalizers(&self, key: &ObjectKey, stored: &Stored, all: &[Box<str>]) -> Result<Stored, Failed> {
        let version = &stored.object["metadata"]["resourceVersion"];
        let patch = json!({"metadata": {"resourceVersion": version, "finalizers": all}});
        let path = format!("{}?fieldManager={MANAGER}", self.executions(key));
        let text = self.call(Method::PATCH, &path, MERGE, Some(&patch)).await?;
        Stored::read(&text)
    }

    /// The text of the run of this name; None: it is not there.
    pub async fn run(&self, run: &ObjectKey) -> Result<Option<String>, Failed> {
        match self.call(Method::GET, &run_path(run), "", None).await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.code() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn create_run(&self, run: &Value) -> Result<String, Failed> {
        let namespace = run["metadata"]["namespace"].as_str().unwrap_or_default();
        let path = format!("/apis/tekton.dev/v1/namespaces/{namespace}/{RUNS}?fieldManager={MANAGER}");
        self.call(Method::POST, &path, JSON, Some(run)).await
    }

    /// That one and no other of its name; one that is gone is deleted.
    pub async fn delete_run(&self, run: &ObjectKey, uid: &str) -> Result<(), Failed> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}, "propagationPolicy": "Background"});
        match self.call(Method::DELETE, &run_path(run), JSON, Some(&options)).await {
            Ok(_) => Ok(()),
            // 409: another of this name.
            Err(error) if matches!(error.code(), 404 | 409) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// For people; one that is lost is lost.
    pub async fn tell(&self, stored: &Stored, event: &Event) {
        let metadata = &stored.object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let now = k8s_openapi::jiff::Timestamp::now();
        let body = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"generateName": format!("{}.", metadata["name"].as_str().unwrap_or_default()), "namespace": namespace},
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            "reportingController": "lockkeeper.kubernaut.ai/executor", "reportingInstance": self.identity,
            "type": if event.warning { "Warning" } else { "Normal" }, "reason": event.reason, "action": event.reason, "note": event.note,
            "regarding": {"apiVersion": stored.object["apiVersion"], "kind": stored.object["kind"], "name": metadata["name"],
                "namespace": namespace, "uid": metadata["uid"]},
        });
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        if let Err(error) = self.call(Method::POST, &path, JSON, Some(&body)).await {
            tracing::debug!(%error, reason = event.reason, "an event was not stored");
        }
    }
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const MANAGER: &str = "lockkeeper-executor";

fn run_path(run: &ObjectKey) -> String {
    format!("/apis/tekton.dev/v1/namespaces/{}/{RUNS}/{}", run.namespace, run.name)
}
