//! One pass over all objects of a kind, page by page: a page is all that is held.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::server::{METADATA_LIST, Server, Trouble};
use crate::convert::{Version, called, there_and_back};
use crate::line::one_line;

/// Enough to hide the way there and back; few enough to leave the API server to others.
const IN_FLIGHT: usize = 8;
const PAGE: u32 = 500;
/// Seconds in which an API server must have heard of a CRD's change.
const NOTICED_WITHIN: u32 = 20;
/// Lists that expire again and again are too slow for this server's history.
const EXPIRED_MAX: u32 = 100;
/// An object that somebody refuses to have written is named; past so many the rest is a number.
const NAMED: usize = 20;

/// A kind, and the version in which its objects are asked for.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    pub server: &'a Server,
    /// Such as `workflowexecutions`.
    pub plural: &'a str,
    pub version: Version,
}

/// What going there and back with every object said.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    pub objects: usize,
    pub parking: usize,
    pub strays: Vec<Stray>,
}

/// An object that would not come home as it was.
#[derive(Clone, Debug)]
pub struct Stray {
    pub object: String,
    pub why: String,
}

/// What became of the objects of a kind.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    pub moved: usize,
    /// Stored in this version before.
    pub there: usize,
    /// Deleted before their turn.
    pub gone: usize,
    /// Somebody refuses to have them written.
    pub left: usize,
    /// The first of them, with the reason.
    pub named: Vec<Stray>,
}

impl Moved {
    #[must_use]
    pub fn seen(&self) -> usize {
        self.moved + self.there + self.gone + self.left
    }
}

enum Outcome {
    Moved,
    There,
    Gone,
    Left(Stray),
}

#[derive(Deserialize)]
pub(super) struct Named {
    pub metadata: Name,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Name {
    pub name: String,
    #[serde(default)]
    pub namespace: String,
    resource_version: String,
}

impl Name {
    pub fn path(&self, plural: &str, version: Version) -> String {
        let Self { name, namespace, .. } = self;
        format!("/apis/kubernaut.ai/{}/namespaces/{namespace}/{plural}/{name}", version.as_str())
    }
}

impl Pass<'_> {
    /// Goes there and back with every object; writes nothing.
    ///
    /// # Errors
    /// The list did not come to its end.
    pub async fn check(&self, told: &mut dyn FnMut(&Checked)) -> Result<Checked, Trouble> {
        let mut checked = Checked::default();
        self.each_page("application/json", async |page: Vec<Box<RawValue>>| {
            for object in page {
                checked.take(object.get());
            }
            told(&checked);
            Ok(())
        })
        .await?;
        Ok(checked)
    }

    /// Has every object stored in the version that the CRD writes. Where nothing was stored in it before the CRD changed, at
    /// `since`, what is older must change by that: if it does not, the API server has not heard of the CRD's change.
    ///
    /// # Errors
    /// The pass did not come to its end; how far it came is in `moved`.
    pub async fn rewrite(
        &self,
        since: Option<u64>,
        moved: &mut Moved,
        told: &mut dyn FnMut(&Moved),
    ) -> Result<(), Trouble> {
        self.each_page(METADATA_LIST, async |page: Vec<Named>| {
            // Interrupted, what is under way comes to its end.
            let objects = stream::iter(page).take_until(self.server.stop().cancelled());
            let outcomes = objects.map(|object| self.store_anew(object.metadata, since));
            let mut outcomes = std::pin::pin!(outcomes.buffer_unordered(IN_FLIGHT));
            while let Some(outcome) = outcomes.next().await {
                moved.take(outcome?);
                told(moved);
            }
            Ok(())
        })
        .await
    }

    async fn store_anew(&self, object: Name, since: Option<u64>) -> Result<Outcome, Trouble> {
        let path = object.path(self.plural, self.version);
        let Name { name, namespace, resource_version } = object;
        let before = resource_version.parse::<u64>().ok();
        for _ in 0..NOTICED_WITHIN {
            match self.server.store_anew(&path, self.plural).await {
                Ok(stored) if stored != resource_version => return Ok(Outcome::Moved),
                Ok(_) if before.zip(since).is_none_or(|(before, since)| before >= since) => return Ok(Outcome::There),
                Ok(_) => self.server.pause(Duration::from_secs(1)).await?,
                Err(Trouble::Refused(404, _)) => return Ok(Outcome::Gone),
                Err(Trouble::Refused(code, said)) => {
                    let object = one_line(&format!("{} {namespace}/{name}", self.plural), 400);
                    return Ok(Outcome::Left(Stray { object, why: format!("{said} ({code})") }));
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::Unnoticed(format!("{}.kubernaut.ai", self.plural)))
    }

    pub(super) fn list_path(&self) -> String {
        format!("/apis/kubernaut.ai/{}/{}", self.version.as_str(), self.plural)
    }

    /// A list that expired midway goes on with the token that comes with that answer, else anew: no object is left out,
    /// one that was seen may come again.
    async fn each_page<T: DeserializeOwned>(
        &self,
        accept: &str,
        mut take: impl AsyncFnMut(Vec<T>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let path = self.list_path();
        let (mut token, mut expired) = (None, 0);
        loop {
            let page = match self.server.page::<T>(&path, accept, PAGE, token.as_deref()).await {
                Err(Trouble::Expired(next)) if expired < EXPIRED_MAX => {
                    expired += 1;
                    token = next;
                    continue;
                }
                page => page?,
            };
            take(page.items).await?;
            if self.server.stop().is_cancelled() {
                return Err(Trouble::Interrupted);
            }
            token = page.metadata.continue_.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(());
            }
        }
    }
}

impl Checked {
    fn take(&mut self, object: &str) {
        self.objects += 1;
        let why = match there_and_back(object) {
            Ok(trip) => {
                self.parking += usize::from(!trip.parked.is_empty());
                if trip.identical {
                    return;
                }
                "does not come home as it was".to_owned()
            }
            Err(error) => error.to_string(),
        };
        self.strays.push(Stray { object: called(object), why });
    }
}

impl Moved {
    fn take(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Moved => self.moved += 1,
            Outcome::There => self.there += 1,
            Outcome::Gone => self.gone += 1,
            Outcome::Left(stray) => {
                self.left += 1;
                if self.named.len() < NAMED {
                    self.named.push(stray);
                }
            }
        }
    }
}
