//! A cluster as a source: list page by page, then watch, for ever.
//!
//! Not kube-runtime's watcher: it keeps bookmarks and reopened watches to itself, and these are the proof that a quiet
//! stream is alive.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::core::params::{ListParams, WatchParams};
use kube::core::{Request, Status, WatchEvent};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::index::{Index, Seen, Tracked};
use crate::api::facts::ObjectKey;

/// How often a stream must prove that it is alive: it follows `staleness.max`, also when that changes.
#[derive(Clone, Debug)]
pub struct Pace {
    staleness_max: watch::Receiver<Duration>,
}

impl Pace {
    /// Watches shorter than half of `staleness.max`, so that a quiet cluster never looks stale.
    #[must_use]
    pub fn within(staleness_max: watch::Receiver<Duration>) -> Self {
        Self { staleness_max }
    }

    /// The length of the next watch.
    fn next(&mut self) -> Duration {
        let staleness_max = *self.staleness_max.borrow_and_update();
        (staleness_max / 3).clamp(Duration::from_secs(1), Duration::from_secs(240))
    }

    /// Returns once the watch that is open may be too long.
    async fn changed(&mut self) {
        if self.staleness_max.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Where a kind is served, and how many of its objects make a page: a page is all that is held beside the facts.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub path: String,
    pub page: u32,
    /// Only objects with this label.
    pub label: Option<&'static str>,
}

impl Place {
    fn of_kubernaut<T: Tracked>(version: &str) -> Self {
        Self { path: format!("/apis/{GROUP}/{version}/{}", T::INPUT), page: 500, label: None }
    }

    /// Where a kind of Kubernaut's is best read: as the hub, which is what a cluster with both versions stores. None: the
    /// cluster does not tell.
    async fn look<T: Tracked>(client: &Client) -> Option<Self> {
        let served = match in_time(LOOK, client.list_api_group_resources(&format!("{GROUP}/{HUB}"))).await {
            Ok(served) => served.resources.iter().any(|resource| resource.name == T::INPUT.as_str()),
            Err(error) if error.code() == Some(404) => false,
            Err(_) => return None,
        };
        Some(Self::of_kubernaut::<T>(if served { HUB } else { FIRST }))
    }
}

const GROUP: &str = "kubernaut.ai";
const HUB: &str = "v1beta1";
/// The version that every cluster of Kubernaut's serves.
const FIRST: &str = "v1alpha1";
/// A look is short: it must not make what is known stale, and without its answer what was followed is followed on.
const LOOK: Duration = Duration::from_secs(2);

/// A page that does not come for so long is given up.
pub(super) const CALL: Duration = Duration::from_secs(30);
/// Past the watch's own end, its connection counts as dead; an open that takes longer than a whole watch, too.
const GRACE: Duration = Duration::from_secs(2);
/// No watch that works ends before this: the shortest that we ask for lasts a second.
const AT_ONCE: Duration = Duration::from_millis(500);
const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What ended a stream.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("the resource version is too old")]
    Expired,
    #[error("the stream broke: {0}")]
    Broken(String),
    #[error("the watch ended as soon as it began")]
    AtOnce,
    #[error("{}", short(.0))]
    Api(kube::Error),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("the answer is not a list: {0}")]
    Odd(serde_json::Error),
}

impl WatchError {
    /// The HTTP status, where the API server answered with one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }
}

/// Its text is all of it: a chain of sources would say the same again.
impl From<kube::Error> for WatchError {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

/// One line, without the debug form that kube appends.
fn short(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) if status.code == 401 => {
            "the API server does not know this user (401 Unauthorized); renew the token or certificate in the kubeconfig".to_owned()
        }
        kube::Error::Api(status) => status.message.clone(),
        other => format!("the API server cannot be reached: {}", root(other)),
    };
    crate::line::one_line(&text, 300)
}

/// What lies under all the layers that pass it on.
fn root(error: &dyn std::error::Error) -> &dyn std::error::Error {
    error.source().map_or(error, root)
}

/// Keeps the index true to the cluster until the future is dropped. The CRD may change meanwhile, so the version is chosen
/// before each list and each watch.
pub async fn follow<T: Tracked>(client: Client, index: Arc<Index>, pace: Pace) {
    let mut stream = Stream::new(client, index, pace, Place::of_kubernaut::<T>(FIRST));
    loop {
        if let Some(place) = Place::look::<T>(&stream.client).await {
            stream.follow_at(T::INPUT, place);
        }
        if let Err(error) = stream.step::<T>().await {
            stream.wait(T::INPUT, &error).await;
        }
    }
}

/// Lists everything once, for a command that asks one question.
///
/// # Errors
/// Where the cluster cannot be reached or refuses.
pub async fn list_once<T: Tracked>(client: &Client, index: &Index) -> Result<(), WatchError> {
    let place = Place::look::<T>(client).await.unwrap_or_else(|| Place::of_kubernaut::<T>(FIRST));
    list::<T>(client, index, &place).await.map(drop)
}

/// Reads every object of a kind of Kubernaut's, page by page, in the version that the API server prefers.
///
/// # Errors
/// Where the cluster cannot be reached or refuses, or serves no such kind.
pub async fn each_object(client: &Client, kind: &str, take: &mut dyn FnMut(&str)) -> Result<(), WatchError> {
    let group = in_time(CALL, client.list_api_groups()).await?;
    let group = group.groups.into_iter().find(|group| group.name == "kubernaut.ai");
    let version = group.and_then(|group| group.preferred_version).map_or("v1alpha1".to_owned(), |found| found.version);
    let path = format!("/apis/kubernaut.ai/{version}/{}s", kind.to_lowercase());
    let mut params = ListParams::default().limit(500);
    loop {
        let request = Request::new(path.as_str()).list(&params).map_err(kube::Error::BuildRequest)?;
        let page = page(&in_time(CALL, client.request_text(request)).await?)?;
        page.items.iter().for_each(|item| take(item.text.get()));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// One input as it is followed.
pub(super) struct Stream {
    client: Client,
    index: Arc<Index>,
    pace: Pace,
    place: Place,
    /// The version from which the next watch goes on; none: a list comes first.
    reached: Option<String>,
    pub has_listed: bool,
    trouble: Trouble,
}

impl Stream {
    pub fn new(client: Client, index: Arc<Index>, pace: Pace, place: Place) -> Self {
        Self { client, index, pace, place, reached: None, has_listed: false, trouble: Trouble::default() }
    }

    /// From the next step on; another place is listed anew.
    fn follow_at(&mut self, input: super::Input, place: Place) {
        if self.place.path != place.path {
            tracing::info!(%input, path = place.path, "followed in this version from now on");
            self.place = place;
            self.reached = None;
        }
    }

    /// A list where nothing is known, then one watch from there; a watch whose connection breaks is taken up where it broke.
    pub async fn step<T: Tracked>(&mut self) -> Result<(), WatchError> {
        let version = match &mut self.reached {
            Some(version) => version,
            None => self.reached.insert(list::<T>(&self.client, &self.index, &self.place).await?),
        };
        self.has_listed = true;
        watch::<T>(&self.client, &self.index, &mut self.pace, &self.place, version).await?;
        self.trouble.over(T::INPUT);
        Ok(())
    }

    /// After an error: says it, and returns when it is time to try again.
    pub async fn wait(&mut self, input: super::Input, error: &WatchError) {
        // The stream itself said that it cannot go on from there.
        if matches!(error, WatchError::Expired | WatchError::Broken(_)) {
            self.reached = None;
        }
        self.trouble.wait(input, error).await;
    }
}

pub(super) async fn list<T: Tracked>(client: &Client, index: &Index, place: &Place) -> Result<String, WatchError> {
    let mut present = HashSet::new();
    let mut params = ListParams::default().limit(place.page);
    params.label_selector = place.label.map(str::to_owned);
    loop {
        let request = Request::new(place.path.as_str()).list(&params).map_err(kube::Error::BuildRequest)?;
        let page = page(&in_time(CALL, client.request_text(request)).await?)?;
        for item in page.items {
            if let Some(seen) = item.seen::<T>() {
                present.insert(seen.key.clone());
                index.put(seen);
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => {
                index.listed::<T>(&present);
                return Ok(page.metadata.resource_version.unwrap_or_default());
            }
        }
    }
}

fn page(text: &str) -> Result<Page, WatchError> {
    serde_json::from_str(text).map_err(WatchError::Odd)
}

/// Follows one watch to its end.
async fn watch<T: Tracked>(
    client: &Client,
    index: &Index,
    pace: &mut Pace,
    place: &Place,
    reached: &mut String,
) -> Result<(), WatchError> {
    let length = pace.next();
    let seconds = u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
    let mut params = WatchParams::default().timeout(seconds);
    params.label_selector = place.label.map(str::to_owned);
    let request = Request::new(place.path.as_str()).watch(&params, reached).map_err(kube::Error::BuildRequest)?;
    let silence = length + GRACE;
    // A hanging open must not outlast what is known: its connection may be half dead, and the next one is another.
    let opened = tokio::select! {
        opened = in_time(silence.min(CALL), client.request_events::<Item>(request)) => opened?,
        () = pace.changed() => return Ok(()),
    };
    index.alive(T::INPUT);
    let began = Instant::now();
    let mut heard = false;
    let mut events = std::pin::pin!(opened);
    loop {
        let event = tokio::select! {
            event = timeout(silence, events.next()) => event.map_err(|_| WatchError::Silent(silence))?,
            () = pace.changed() => return Ok(()),
        };
        match event {
            None if !heard && began.elapsed() < AT_ONCE => return Err(WatchError::AtOnce),
            None => return Ok(()),
            Some(event) => take_in::<T>(index, event.map_err(of_stream)?, reached)?,
        }
        heard = true;
    }
}

/// What the stream said instead of an event. A connection that went is not among it: that says nothing of the version.
fn of_stream(error: kube::Error) -> WatchError {
    match error {
        kube::Error::Api(status) => ended_by(&status),
        kube::Error::SerdeError(_) => WatchError::Broken("an event is not JSON of a form that we know".to_owned()),
        other => WatchError::Api(other),
    }
}

fn ended_by(status: &Status) -> WatchError {
    match status.code {
        410 => WatchError::Expired,
        _ => WatchError::Broken(crate::line::one_line(&status.message, 300)),
    }
}

fn take_in<T: Tracked>(index: &Index, event: WatchEvent<Item>, reached: &mut String) -> Result<(), WatchError> {
    match event {
        WatchEvent::Added(item) | WatchEvent::Modified(item) => {
            item.version.clone_into(reached);
            if let Some(seen) = item.seen::<T>() {
                index.put(seen);
            }
            index.event(T::INPUT, Timestamp::now());
        }
        WatchEvent::Deleted(item) => {
            item.version.clone_into(reached);
            if let Some(last) = item.seen::<T>() {
                index.removed(last);
            }
            index.event(T::INPUT, Timestamp::now());
        }
        WatchEvent::Bookmark(bookmark) => {
            bookmark.metadata.resource_version.clone_into(reached);
            index.alive(T::INPUT);
        }
        WatchEvent::Error(status) => return Err(ended_by(&status)),
    }
    Ok(())
}

pub(super) async fn in_time<T>(limit: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, WatchError> {
    match timeout(limit, call).await {
        Err(_) => Err(WatchError::Silent(limit)),
        Ok(Err(kube::Error::Api(status))) if status.code == 410 => Err(WatchError::Expired),
        Ok(outcome) => Ok(outcome?),
    }
}

/// Says each trouble once, waits longer each time, and says when it is over.
#[derive(Default)]
pub(super) struct Trouble {
    said: Option<String>,
    times: u32,
}

impl Trouble {
    pub async fn wait(&mut self, input: super::Input, error: &WatchError) {
        let times = self.times;
        self.times = (times + 1).min(8);
        // A version that is too old is nobody's trouble, and what happened meanwhile is wanted at once; unless it comes again.
        if matches!(error, WatchError::Expired) && times == 0 {
            tracing::debug!(%input, "resource version expired, listing anew");
            return;
        }
        let text = error.to_string();
        if self.said.as_ref() != Some(&text) {
            tracing::warn!(%input, error = %text, "cannot follow this input; trying again, readiness tells its age");
            self.said = Some(text);
        }
        tokio::time::sleep((BACKOFF * 2_u32.saturating_pow(times)).min(BACKOFF_MAX)).await;
    }

    /// A watch went well; a list alone is no end of it, what follows may break again.
    pub fn over(&mut self, input: super::Input) {
        if self.said.take().is_some() {
            tracing::info!(%input, tries = self.times, "following this input again");
        }
        self.times = 0;
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Item>,
}

/// An object whose name is known and whose facts are read later: one that cannot be read must not stop a list.
#[derive(Clone, Debug)]
struct Item {
    key: Option<ObjectKey>,
    version: String,
    text: Box<RawValue>,
}

impl Item {
    fn seen<T: Tracked>(self) -> Option<Seen<T>> {
        Some(Seen { key: self.key?, facts: T::read(self.text.get()) })
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let head: Head = serde_json::from_str(text.get()).unwrap_or_default();
        let Meta { name, namespace, resource_version } = head.metadata;
        let key = (!name.is_empty()).then(|| ObjectKey { namespace: namespace.into(), name: name.into() });
        Ok(Self { key, version: resource_version, text })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    name: String,
    namespace: String,
    resource_version: String,
}
