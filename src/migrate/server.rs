//! The API server: one question at a time, asked again while it is busy or away.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{Request, header};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan::{self, Definition, FIELD_MANAGER, Refusal, Step};
use crate::convert::Version;
use crate::line::one_line;

/// A question with a conversion behind each object of a page may take long.
const CALL: Duration = Duration::from_secs(60);
/// 0.25 s, 0.5 s, … 8 s: half a minute in all.
const TRIES: u32 = 8;
const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// A server that wants to be left alone for longer is away.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Where nothing is begun yet somebody sits before it: four seconds in all, or one answer that takes longer.
const HASTY_TRIES: u32 = 5;
const HASTY_WAIT: Duration = Duration::from_secs(10);
/// A hitch that passes is nothing to tell; so many in a row are, or one that takes long, and then not each of them.
const TOLD_AFTER: u32 = 3;
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What a question came to instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Refusal(#[from] Refusal),
    #[error("you may not {0}: docs/migration.md has the ClusterRole that migrate needs")]
    Forbidden(String),
    #[error(
        "the API server does not know this user (401 Unauthorized); renew the token or certificate in the kubeconfig"
    )]
    Unknown,
    #[error("the API server refused ({0}): {1}")]
    Refused(u16, String),
    #[error("no usable answer from the API server after {tries} {}: {said}", if *tries == 1 { "try" } else { "tries" })]
    Away { tries: u32, said: String },
    #[error(
        "{0}: a trial conversion failed and nothing was written: {1}; \
         start lockkeeper, or see its log and the address in the CRD's spec.conversion"
    )]
    Unconverted(String, String),
    #[error("the API server's answer is not what it should be: {0}")]
    Odd(String),
    #[error("standard output cannot be written: {0}")]
    Unsaid(String),
    #[error("the list expires faster than it can be read")]
    Expired(Option<String>),
    #[error("{0} changed meanwhile")]
    Changed(String),
    #[error("the API server has not noticed in time that {0} stores another version")]
    Unnoticed(String),
    #[error("interrupted")]
    Interrupted,
}

/// A cluster, and the wish to stop.
#[derive(Clone)]
pub struct Server {
    client: Client,
    stop: CancellationToken,
    tries: u32,
    /// Past so long nothing is asked again.
    patience: Duration,
    tell: Arc<dyn Fn(&str) + Send + Sync>,
    told: Arc<Mutex<Option<Instant>>>,
}

#[derive(Deserialize)]
pub(super) struct Page<T> {
    #[serde(default)]
    pub metadata: ListMeta,
    #[serde(deserialize_with = "null_is_none", bound(deserialize = "T: Deserialize<'de>"))]
    pub items: Vec<T>,
}

/// Go writes an empty list as null. One that is missing stays an error: what has no items is no list.
fn null_is_none<'de, T: Deserialize<'de>, D: Deserializer<'de>>(items: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(items)?.unwrap_or_default())
}

impl Server {
    #[must_use]
    pub fn new(client: Client, stop: CancellationToken) -> Self {
        Self { client, stop, tries: TRIES, patience: Duration::MAX, tell: Arc::new(|_| ()), told: Arc::default() }
    }

    /// Says there why it waits.
    #[must_use]
    pub fn telling(self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { tell: Arc::new(tell), ..self }
    }

    /// The same, that gives up soon.
    #[must_use]
    pub fn hasty(&self) -> Self {
        Self { tries: HASTY_TRIES, patience: HASTY_WAIT, ..self.clone() }
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// # Errors
    /// There is no such CRD, or it cannot be read.
    pub async fn definition(&self, name: &str) -> Result<Definition, Trouble> {
        let request = Request::get(format!("{CRDS}/{name}"));
        let right = format!("get customresourcedefinitions.apiextensions.k8s.io/{name}");
        match self.ask(request, Vec::new(), &right).await {
            Err(Trouble::Refused(404, _)) => Err(Refusal::Missing(name.to_owned()).into()),
            answer => parsed(&answer?),
        }
    }

    /// Takes one step of a CRD's, if it still is as it was read.
    ///
    /// # Errors
    /// [`Trouble::Changed`] where somebody else wrote it meanwhile.
    pub async fn take(&self, definition: &Definition, step: Step, to: Version) -> Result<Definition, Trouble> {
        let part = if step == Step::Trim { "/status" } else { "" };
        self.patch_definition(definition, part, &plan::patch(definition, step, to)).await
    }

    /// Says that nothing is stored in another version, if that is so: the CRD is the one whose objects were written, since one that
    /// stored something else for a while may have done so under any of them.
    ///
    /// # Errors
    /// [`Trouble::Changed`] where it is another one by now.
    pub async fn trim(&self, written: &Definition, to: Version) -> Result<Definition, Trouble> {
        let now = self.definition(&written.metadata.name).await?;
        if now.storage() != to.as_str() || now.metadata.generation != written.metadata.generation {
            return Err(Trouble::Changed(now.metadata.name));
        }
        self.take(&now, Step::Trim, to).await
    }

    /// Leaves no name of ours in a CRD's managed fields.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn disown(&self, definition: Definition) -> Result<Definition, Trouble> {
        match plan::disown(&definition) {
            Some(patch) => self.patch_definition(&definition, "", &patch).await,
            None => Ok(definition),
        }
    }

    async fn patch_definition(&self, of: &Definition, part: &str, patch: &Value) -> Result<Definition, Trouble> {
        let name = &of.metadata.name;
        let request = Request::patch(format!("{CRDS}/{name}{part}?fieldManager={FIELD_MANAGER}"))
            .header(header::CONTENT_TYPE, "application/json-patch+json");
        let right = format!("patch customresourcedefinitions{part}.apiextensions.k8s.io/{name}");
        match self.once(&request_of(request, patch.to_string().into_bytes())?, &right).await {
            Err(Hitch::Final(Trouble::Refused(409, _)) | Hitch::Passing { code: Some(409), .. }) => {
                Err(Trouble::Changed(name.clone()))
            }
            Err(Hitch::Passing { said, .. }) => Err(Trouble::Away { tries: 1, said }),
            Err(Hitch::Final(trouble)) => Err(trouble),
            Ok(text) => parsed(&text),
        }
    }

    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        accept: &str,
        limit: u32,
        token: Option<&str>,
    ) -> Result<Page<T>, Trouble> {
        let token = token.map(|token| format!("&continue={}", escaped(token))).unwrap_or_default();
        let request = Request::get(format!("{path}?limit={limit}{token}")).header(header::ACCEPT, accept);
        parsed(&self.ask(request, Vec::new(), &format!("list {}.kubernaut.ai", plural(path))).await?)
    }

    /// Has an object stored as it is. An empty patch cannot lose what somebody else writes, and an object that is stored
    /// in this version already is not written again. Its resource version afterwards.
    pub(super) async fn store_anew(&self, path: &str, kind: &str) -> Result<String, Trouble> {
        #[derive(Deserialize)]
        struct Stored {
            metadata: Versioned,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Versioned {
            resource_version: String,
        }
        let stored: Stored = parsed(&self.patch_nothing(path, kind, "").await?)?;
        Ok(stored.metadata.resource_version)
    }

    /// Goes the same way and ends before anything is written.
    pub(super) async fn pretend_to_store(&self, path: &str, kind: &str) -> Result<(), Trouble> {
        self.patch_nothing(path, kind, "&dryRun=All").await.map(drop)
    }

    async fn patch_nothing(&self, path: &str, kind: &str, how: &str) -> Result<String, Trouble> {
        let request = Request::patch(format!("{path}?fieldManager={FIELD_MANAGER}{how}"))
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .header(header::ACCEPT, METADATA);
        self.ask(request, json!({}).to_string().into_bytes(), &format!("patch {kind}.kubernaut.ai")).await
    }

    async fn ask(&self, request: hyper::http::request::Builder, body: Vec<u8>, right: &str) -> Result<String, Trouble> {
        let request = request_of(request, body)?;
        let (began, mut tries) = (Instant::now(), 0);
        loop {
            let (said, wait) = match self.once(&request, right).await {
                Ok(text) => return Ok(text),
                Err(Hitch::Final(trouble)) => return Err(trouble),
                Err(Hitch::Passing { said, wait, .. }) => (said, wait),
            };
            let backoff = (BACKOFF * 2_u32.saturating_pow(tries)).min(BACKOFF_MAX);
            let wait = wait.unwrap_or_default().min(RETRY_AFTER_MAX).max(backoff);
            tries += 1;
            if tries >= self.tries || began.elapsed() >= self.patience {
                return Err(Trouble::Away { tries, said });
            }
            if tries >= TOLD_AFTER || began.elapsed() + wait >= TOLD_EVERY {
                self.tell(&said);
            }
            self.pause(wait).await?;
        }
    }

    fn tell(&self, said: &str) {
        let mut told = self.told.lock();
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            (self.tell)(&format!("no usable answer from the API server yet, waiting: {said}"));
        }
    }

    /// Waits, unless it is to stop.
    ///
    /// # Errors
    /// It is to stop.
    pub async fn pause(&self, wait: Duration) -> Result<(), Trouble> {
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.stop.cancelled() => Err(Trouble::Interrupted),
        }
    }

    async fn once(&self, request: &Request<Vec<u8>>, right: &str) -> Result<String, Hitch> {
        let mut exchange = std::pin::pin!(self.exchange(request.clone()));
        let answer = async {
            match tokio::time::timeout(TOLD_EVERY, &mut exchange).await {
                Ok(answer) => answer,
                Err(_) => {
                    self.tell(&format!("silent for {} s", TOLD_EVERY.as_secs()));
                    exchange.await
                }
            }
        };
        match tokio::time::timeout(CALL, answer).await {
            Err(_) => Err(Hitch::passing(format!("silent for {} s", CALL.as_secs()))),
            Ok(Err(error)) => Err(Hitch::passing(one_line(&root(&error).to_string(), 300))),
            Ok(Ok(Answer { code: 200..300, text, .. })) => Ok(text),
            Ok(Ok(answer)) => Err(answer.hitch(right)),
        }
    }

    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Answer, kube::Error> {
        let answer = self.client.send(request.map(Body::from)).await?;
        let code = answer.status().as_u16();
        let wait = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = answer.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer { code, wait: wait.map(Duration::from_secs), text })
    }
}

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// One object's metadata is all that is wanted.
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub(super) const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

struct Answer {
    code: u16,
    wait: Option<Duration>,
    text: String,
}

/// What came instead of an answer, and whether it may pass.
enum Hitch {
    Passing { code: Option<u16>, said: String, wait: Option<Duration> },
    Final(Trouble),
}

impl Hitch {
    fn passing(said: String) -> Self {
        Self::Passing { code: None, said, wait: None }
    }
}

impl Answer {
    fn hitch(self, right: &str) -> Hitch {
        let Self { code, wait, text } = self;
        let status: Option<Status> = serde_json::from_str(&text).ok();
        let said = one_line(status.as_ref().map_or(text.trim(), |status| &status.message), 400);
        Hitch::Final(match code {
            401 => Trouble::Unknown,
            // A webhook refuses with the same code; then it is about this object.
            403 if !said.starts_with("admission webhook") => Trouble::Forbidden(right.to_owned()),
            410 => {
                Trouble::Expired(status.and_then(|status| status.metadata?.continue_).filter(|token| !token.is_empty()))
            }
            409 | 429 | 500..600 => return Hitch::Passing { code: Some(code), said: format!("{said} ({code})"), wait },
            _ => Trouble::Refused(code, said),
        })
    }
}

fn request_of(request: hyper::http::request::Builder, body: Vec<u8>) -> Result<Request<Vec<u8>>, Trouble> {
    request.body(body).map_err(|error| Trouble::Odd(error.to_string()))
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, Trouble> {
    serde_json::from_str(text).map_err(|error| Trouble::Odd(error.to_string()))
}

/// A continue token is base64, whose `+` and `=` mean something else in a query.
fn escaped(token: &str) -> String {
    let plain = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    token.bytes().map(|c| if plain(&c) { char::from(c).to_string() } else { format!("%{c:02X}") }).collect()
}

fn plural(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What lies under all the layers that pass it on.
fn root(error: &dyn std::error::Error) -> &dyn std::error::Error {
    error.source().map_or(error, root)
}
