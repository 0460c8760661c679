//! The kinds of runs and their parts as a source: followed where they are served and may be read, looked for where not.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;

use super::index::{Index, Tracked};
use super::inputs::Input;
use super::watch::{CALL, Pace, Place, Stream, Trouble, WatchError, in_time, list};

/// How often a kind that is not there, or may not be read, is looked for: two small questions.
const LOOK: Duration = Duration::from_secs(5);
/// Tekton's versions, the better one first.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
/// What every Pod of a Job has, in every version of Kubernetes.
const OF_A_JOB: &str = "job-name";
/// A run carries its whole pipeline: a page of a hundred is some megabytes.
const PAGE: u32 = 100;
/// An API server that starts may not know yet what it serves: what was there is believed gone at the second look.
const LOOKS: u32 = 2;

/// Keeps the index true to a kind of runs in one namespace, until the future is dropped. From this call on, no verdict
/// comes before the first look has told whether the kind is there.
pub fn follow_where_served<T: Tracked>(
    client: Client,
    index: Arc<Index>,
    pace: Pace,
    namespace: &str,
) -> impl Future<Output = ()> + Send + use<T> {
    index.expect(T::INPUT);
    let namespace = namespace.to_owned();
    let mut seeker = Seeker { client, index, pace, namespace, standing: Standing::New, trouble: Trouble::default() };
    async move {
        loop {
            seeker.round::<T>().await;
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Lists a kind of runs once, where it is served.
///
/// # Errors
/// Where the cluster cannot be reached or refuses.
pub async fn list_where_served<T: Tracked>(client: &Client, index: &Index, namespace: &str) -> Result<(), WatchError> {
    match place::<T>(client, namespace).await? {
        Some(place) => list::<T>(client, index, &place).await.map(drop),
        None => Ok(()),
    }
}

struct Seeker {
    client: Client,
    index: Arc<Index>,
    pace: Pace,
    namespace: String,
    standing: Standing,
    trouble: Trouble,
}

/// How it went last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    New,
    /// It was followed; so many looks since have not found it.
    Followed {
        missed: u32,
    },
    Absent,
    Denied,
}

impl Seeker {
    /// One look, and all the following that it leads to.
    async fn round<T: Tracked>(&mut self) {
        let outcome = match place::<T>(&self.client, &self.namespace).await {
            Ok(Some(place)) => {
                self.trouble.over(T::INPUT);
                self.follow::<T>(place).await
            }
            Ok(None) => return self.missed::<T>(),
            Err(error) => error,
        };
        match outcome.code() {
            Some(403) => self.denied::<T>(&outcome),
            // It was served a moment ago: the next look tells.
            Some(404) => {}
            _ => self.trouble.wait(T::INPUT, &outcome).await,
        }
    }

    /// Until it is served no longer, or may not be read any more.
    async fn follow<T: Tracked>(&mut self, place: Place) -> WatchError {
        let path = place.path.clone();
        let mut stream = Stream::new(self.client.clone(), self.index.clone(), self.pace.clone(), place);
        loop {
            let outcome = stream.step::<T>().await;
            if stream.has_listed {
                if matches!(self.standing, Standing::Absent | Standing::Denied) {
                    tracing::info!(input = %T::INPUT, path, "served, and may be read: following it");
                }
                self.standing = Standing::Followed { missed: 0 };
            }
            match outcome {
                Ok(()) => {}
                Err(error) if matches!(error.code(), Some(403 | 404)) => return error,
                Err(error) => stream.wait(T::INPUT, &error).await,
            }
        }
    }

    fn missed<T: Tracked>(&mut self) {
        self.standing = match self.standing {
            Standing::Absent => return,
            Standing::Followed { missed } if missed + 1 < LOOKS => Standing::Followed { missed: missed + 1 },
            _ => {
                tracing::info!(input = %T::INPUT, "not served here; looking for it from time to time");
                self.index.absent::<T>();
                Standing::Absent
            }
        };
    }

    fn denied<T: Tracked>(&mut self, error: &WatchError) {
        if self.standing == Standing::Denied {
            return;
        }
        self.standing = Standing::Denied;
        self.index.denied::<T>();
        tracing::warn!(
            input = %T::INPUT, %error,
            "may not be read, and the gate does without: grant list and watch on {} (apiGroup {}) in namespace {}. \
             Until then ResourceBusy does not see a run that goes on without its WorkflowExecution, and an executor begins none \
             of that kind",
            T::INPUT, said(group(T::INPUT)), self.namespace
        );
    }
}

/// As it is written in a rule of RBAC.
fn said(group: &'static str) -> &'static str {
    if group.is_empty() { r#""""# } else { group }
}

fn group(input: Input) -> &'static str {
    match input {
        Input::RemediationRequests | Input::WorkflowExecutions => "kubernaut.ai",
        Input::PipelineRuns | Input::TaskRuns => "tekton.dev",
        Input::Jobs => "batch",
        Input::Pods => "",
    }
}

async fn place<T: Tracked>(client: &Client, namespace: &str) -> Result<Option<Place>, WatchError> {
    let at = |version: &str, label| Place {
        path: format!("/{version}/namespaces/{namespace}/{}", T::INPUT),
        page: PAGE,
        label,
    };
    // Every API server has them.
    match T::INPUT {
        Input::Jobs => return Ok(Some(at("apis/batch/v1", None))),
        Input::Pods => return Ok(Some(at("api/v1", Some(OF_A_JOB)))),
        _ => {}
    }
    for version in VERSIONS.map(|version| format!("{}/{version}", group(T::INPUT))) {
        let served = match in_time(CALL, client.list_api_group_resources(&version)).await {
            Ok(served) => served,
            Err(error) if error.code() == Some(404) => continue,
            Err(error) => return Err(error),
        };
        if served.resources.iter().any(|resource| resource.name == T::INPUT.as_str()) {
            return Ok(Some(at(&format!("apis/{version}"), None)));
        }
    }
    Ok(None)
}
