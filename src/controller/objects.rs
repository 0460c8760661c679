//! The API server, one call at a time, each with an end. An object is read in the version that is served best.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{Method, Request, header};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::change::{Event, StatusChange};
use super::failed::Failed;
use super::stored::{EXECUTIONS, REQUESTS, Stored, member};
use crate::api::facts::ObjectKey;
use crate::api::tekton::Engine;
use crate::convert::Version;
use crate::line::one_line;

/// No call lasts longer: a leader that was cut off must know what it still does.
const CALL: Duration = Duration::from_secs(8);

/// Whether the hub's version is served by now is asked so often.
const LOOK: Duration = Duration::from_secs(60);

/// Of an answer that is no JSON.
const TEXT_MAX_CHARS: usize = 200;

/// The calls.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    /// And when that was asked: by the first call, since before an object is there its kind may not be; anew where it is served
    /// no longer, and from time to time where a better one may come.
    version: Arc<Mutex<Option<(Version, Instant)>>>,
    identity: String,
    who: &'static str,
}

impl Objects {
    /// Calls in the name of one loop, in the version that this cluster serves best: the hub's, where it is served.
    pub fn of(who: &'static str, client: Client, identity: &str) -> Self {
        Self { client, version: Arc::default(), identity: identity.to_owned(), who }
    }

    fn manager(&self) -> String {
        format!("lockkeeper-{}", self.who)
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
        // Where a kind is not served, and from what stands before the API server, a plain text comes.
        let told =
            serde_json::from_str(&text).unwrap_or_else(|_| json!({"message": one_line(text.trim(), TEXT_MAX_CHARS)}));
        let said = |member: &str| told.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        Err(Failed::Refused { code: status.as_u16(), reason: said("reason"), message: said("message") })
    }

    /// Where that cannot be told, the version that was known stands until the next look.
    async fn look(&self) -> Result<Version, Failed> {
        let known = self.version.lock().map(|(version, _)| version);
        let version = match served(&self.client).await {
            Ok(version) => version,
            Err(error) => known.ok_or(error)?,
        };
        *self.version.lock() = Some((version, Instant::now()));
        Ok(version)
    }

    async fn get(&self, plural: &str, key: &ObjectKey) -> Result<Option<Stored>, Failed> {
        if !key.can_be() {
            return Ok(None);
        }
        let known = *self.version.lock();
        let known = known.filter(|(version, asked)| *version == Version::V1beta1 || asked.elapsed() < LOOK);
        let version = match known {
            Some((version, _)) => version,
            None => self.look().await?,
        };
        match self.call(Method::GET, &path(version, plural, key), "", None).await {
            Ok(text) => Stored::read(&text).map(Some),
            // Of an object that is not there the API server says so; this is the path that is not.
            Err(Failed::Refused { code: 404, reason, .. }) if reason.is_empty() => {
                *self.version.lock() = None;
                Err(Failed::Behind(format!("{} is not served any more", version.as_str())))
            }
            Err(error) if error.code() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// None: it is not there.
    pub async fn execution(&self, key: &ObjectKey) -> Result<Option<Stored>, Failed> {
        self.get(EXECUTIONS, key).await
    }

    /// None: it is not there.
    pub async fn request(&self, key: &ObjectKey) -> Result<Option<Stored>, Failed> {
        self.get(REQUESTS, key).await
    }

    /// Writes members of the status that are leaves, by their paths in the hub's; as it stands afterwards.
    pub async fn write_leaves(
        &self,
        key: &ObjectKey,
        stored: &Stored,
        change: &StatusChange,
    ) -> Result<Stored, Failed> {
        let Some(patches) = stored.leaf_patches(change) else { return Ok(stored.clone()) };
        let manager = self.manager();
        let path = format!(
            "{}/status?fieldManager={manager}&fieldValidation=Strict",
            path(stored.version, stored.plural(), key)
        );
        let mut refused = Failed::Odd("there is no shape to write it in".to_owned());
        for patch in &patches {
            match self.call(Method::PATCH, &path, MERGE, Some(patch)).await {
                Ok(text) => return Stored::read(&text),
                // It has another shape.
                Err(Failed::Refused { code: code @ (400 | 422), reason, message }) if message.contains(STRICT) => {
                    // What stands before it is the object, whose content is nobody's business in a log.
                    let message = message.split_once(STRICT).map_or("", |(_, what)| what);
                    refused = Failed::Refused { code, reason, message: format!("{STRICT}{message}") };
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    /// As it stands afterwards; None: it says so already, in the form that it is stored in.
    pub async fn write_status(
        &self,
        key: &ObjectKey,
        stored: &Stored,
        change: &StatusChange,
    ) -> Result<Option<Stored>, Failed> {
        let Some(patch) = stored.status_patch(change)? else { return Ok(None) };
        let path = format!("{}/status?fieldManager={}", path(stored.version, stored.plural(), key), self.manager());
        let text = self.call(Method::PATCH, &path, MERGE, Some(&patch)).await?;
        Stored::read(&text).map(Some)
    }

    /// Sets the finalizers, and says where the run is to be, while there is one.
    pub async fn write_finalizers(
        &self,
        key: &ObjectKey,
        stored: &Stored,
        all: &[Box<str>],
        run_namespace: Option<&str>,
    ) -> Result<Stored, Failed> {
        let version = member(&stored.object, "/metadata/resourceVersion");
        let annotations = json!({RUN_NAMESPACE: run_namespace});
        let patch = json!({"metadata": {"resourceVersion": version, "finalizers": all, "annotations": annotations}});
        let path = format!("{}?fieldManager={}", path(stored.version, stored.plural(), key), self.manager());
        let text = self.call(Method::PATCH, &path, MERGE, Some(&patch)).await?;
        Stored::read(&text)
    }

    /// The text of the run of this name; None: it is not there. A kind that is not served is another answer, but where it is in an
    /// older version: then none was made here.
    pub async fn run(&self, engine: Engine, run: &ObjectKey) -> Result<Option<String>, Failed> {
        match self.find_run(engine, run).await {
            Err(Failed::Refused { code: 404, .. }) if engine == Engine::Tekton && self.serves_older_runs().await => {
                // Which versions a kind has is known at once: if this one came meanwhile, it is there now.
                self.find_run(engine, run)
                    .await
                    .or_else(|error| if error.code() == 404 { Ok(None) } else { Err(error) })
            }
            found => found,
        }
    }

    /// An error of 404 where the kind is not served in the version that is made.
    async fn find_run(&self, engine: Engine, run: &ObjectKey) -> Result<Option<String>, Failed> {
        match self.call(Method::GET, &run_path(engine, run), "", None).await {
            Ok(text) => Ok(Some(text)),
            Err(Failed::Refused { code: 404, reason, .. }) if !reason.is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn serves_older_runs(&self) -> bool {
        let served = self.call(Method::GET, OLDER_TEKTON, "", None).await;
        let list: Value = served.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let all = member(&list, "/resources").as_array();
        all.is_some_and(|all| all.iter().any(|resource| *member(resource, "/name") == "pipelineruns"))
    }

    pub async fn create_run(&self, engine: Engine, run: &Value) -> Result<String, Failed> {
        let namespace = member(run, "/metadata/namespace").as_str().unwrap_or_default();
        let path = format!("{}?fieldManager={}", runs_path(engine, namespace), self.manager());
        self.call(Method::POST, &path, JSON, Some(run)).await
    }

    /// That one and no other of its name; one that is gone is deleted. What the API server answers: the run as it stands, where it
    /// stays for a while.
    pub async fn delete_run(
        &self,
        engine: Engine,
        run: &ObjectKey,
        uid: &str,
        foreground: bool,
    ) -> Result<Option<String>, Failed> {
        let propagation = if foreground { "Foreground" } else { "Background" };
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}, "propagationPolicy": propagation});
        match self.call(Method::DELETE, &run_path(engine, run), JSON, Some(&options)).await {
            Ok(text) => Ok(Some(text)),
            // 409: another of this name.
            Err(error) if matches!(error.code(), 404 | 409) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// For people; one that is lost is lost.
    pub async fn tell(&self, stored: &Stored, event: &Event) {
        let of = |path: &str| member(&stored.object, path);
        let namespace = of("/metadata/namespace").as_str().unwrap_or_default();
        let now = k8s_openapi::jiff::Timestamp::now();
        // A name of its own: one that is generated may not have a dot before what is added.
        let object: String = of("/metadata/name").as_str().unwrap_or_default().chars().take(200).collect();
        let name = format!("{}.{:x}", object.trim_end_matches(['.', '-']), now.as_nanosecond());
        let body = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            "reportingController": format!("lockkeeper.kubernaut.ai/{}", self.who), "reportingInstance": self.identity,
            "type": if event.warning { "Warning" } else { "Normal" }, "reason": event.reason, "action": event.reason, "note": event.note,
            "regarding": {"apiVersion": of("/apiVersion"), "kind": of("/kind"), "name": of("/metadata/name"),
                "namespace": namespace, "uid": of("/metadata/uid")},
        });
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        if let Err(error) = self.call(Method::POST, &path, JSON, Some(&body)).await {
            tracing::warn!(%error, reason = event.reason, "an event was not stored");
        }
    }
}

/// `Commission::run_namespace` reads it.
const RUN_NAMESPACE: &str = "lockkeeper.kubernaut.ai/run-namespace";

async fn served(client: &Client) -> Result<Version, Failed> {
    let asked = tokio::time::timeout(CALL, client.list_api_group_resources("kubernaut.ai/v1beta1")).await;
    match asked {
        Ok(Ok(found)) => {
            let served = |plural| found.resources.iter().any(|resource| resource.name == plural);
            Ok(if served(EXECUTIONS) && served(REQUESTS) { Version::V1beta1 } else { Version::V1alpha1 })
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(Version::V1alpha1),
        Ok(Err(error)) => Err(Failed::Away(format!("which versions are served: {error}"))),
        Err(_) => Err(Failed::Away(format!("which versions are served: none within {CALL:?}"))),
    }
}

/// How the API server begins to say which members its schema does not know.
const STRICT: &str = "strict decoding error";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

fn path(version: Version, plural: &str, key: &ObjectKey) -> String {
    let ObjectKey { namespace, name } = key;
    format!("/apis/kubernaut.ai/{}/namespaces/{namespace}/{plural}/{name}", version.as_str())
}

/// Of a Tekton that does not serve v1 yet.
const OLDER_TEKTON: &str = "/apis/tekton.dev/v1beta1";

fn runs_path(engine: Engine, namespace: &str) -> String {
    let (group, plural) = match engine {
        Engine::Tekton => ("tekton.dev/v1", "pipelineruns"),
        Engine::Job => ("batch/v1", "jobs"),
    };
    format!("/apis/{group}/namespaces/{namespace}/{plural}")
}

fn run_path(engine: Engine, run: &ObjectKey) -> String {
    format!("{}/{}", runs_path(engine, &run.namespace), run.name)
}

#[cfg(test)]
mod tests;
