//! The API server's audit log, read back.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::apiserver::ApiServer;

/// Bodies for the objects lockkeeper judges, one line for every other request; not the server's talk with itself.
pub(super) const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Request
  resources: [{group: kubernaut.ai}]
- level: None
  users: ["system:apiserver"]
- level: None
  nonResourceURLs: ["/readyz*", "/livez*", "/healthz*", "/openapi*"]
- level: Metadata
"#;

/// One event. `requestObject` and `annotations` are where they are in the log; `raw` is all of it.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    pub user: String,
    pub verb: String,
    pub stage: String,
    pub uri: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
    pub annotations: BTreeMap<String, String>,
    pub request_object: Option<Value>,
    pub raw: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Line {
    user: Who,
    verb: String,
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    object_ref: What,
    response_status: Answer,
    annotations: BTreeMap<String, String>,
    request_object: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Who {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct What {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    code: u16,
}

impl ApiServer {
    /// Every event so far. A request is logged before its answer is complete, a long one (watch) twice.
    pub fn audit_events(&self) -> Result<Vec<AuditEvent>> {
        let text = std::fs::read_to_string(self.folder().join("audit.log")).context("read the audit log")?;
        // What follows the last line feed is still being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(event).collect()
    }
}

fn event(line: &str) -> Result<AuditEvent> {
    let raw: Value = serde_json::from_str(line).context("an audit line is not JSON")?;
    let line = Line::deserialize(&raw).context("an audit line is not an event")?;
    Ok(AuditEvent {
        user: line.user.username,
        verb: line.verb,
        stage: line.stage,
        uri: line.request_uri,
        group: line.object_ref.api_group,
        resource: line.object_ref.resource,
        subresource: line.object_ref.subresource,
        namespace: line.object_ref.namespace,
        name: line.object_ref.name,
        code: line.response_status.code,
        annotations: line.annotations,
        request_object: line.request_object,
        raw,
    })
}
