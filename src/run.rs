//! Builds the rooms, joins their futures, owns shutdown. Knows everyone, decides nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use futures::future::OptionFuture;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::facts::{RemediationRequest, WorkflowExecution};
use crate::api::tekton::{Job, PipelineRun, Pod, TaskRun};
use crate::cluster::{Folder, Footing, Index, Pace, follow, follow_where_served};
use crate::config::{Loops, Settings};
use crate::controller::executor::Rules;
use crate::controller::{self, Candidate, Clearance, Executor, Keeper, Timing};
use crate::telemetry::{Admin, CertificateRow, Condition, StateRow, Telemetry, admin_router};
use crate::tls::{self, Pair, TlsVersion};
use crate::webhook::{Gate, router};

/// Everything `serve` was told.
pub struct Plan {
    pub settings: Settings,
    /// Read again when it changes.
    pub config_file: Option<PathBuf>,
    pub source: Source,
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub pair: Pair,
    pub oldest_tls: TlsVersion,
}

/// Where facts come from.
pub enum Source {
    Folder(PathBuf),
    Cluster(Box<Client>),
}

/// How often the configuration file is looked at, and repeated refusals are said.
const LOOK: Duration = Duration::from_secs(2);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Where a socket cannot be bound or the state folder cannot be read.
pub async fn serve(plan: Plan) -> anyhow::Result<()> {
    let executions = &plan.settings.execution.namespace;
    let index = Arc::new(Index::with_executions_in(executions));
    let telemetry = Arc::new(Telemetry::default());
    let policy = Arc::new(ArcSwap::from_pointee(plan.settings.policy()));
    let rules = Arc::new(ArcSwap::from_pointee(plan.settings.rules()));
    let stop = CancellationToken::new();

    let (staleness, staleness_max) = watch::channel(plan.settings.staleness.max.get());
    let hand = hand(&plan.source, &plan.settings, &index, &policy, &telemetry, &stop);
    let sources = sources(plan.source, &index, &Pace::within(staleness_max), &plan.settings)?;

    let socket =
        TcpListener::bind(plan.listen).await.with_context(|| format!("cannot listen on {} (--listen)", plan.listen))?;
    let admin_socket = TcpListener::bind(plan.admin_listen)
        .await
        .with_context(|| format!("cannot listen on {} (--admin-listen)", plan.admin_listen))?;
    tracing::info!(
        https = %socket.local_addr()?,
        admin = %admin_socket.local_addr()?,
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );

    let gate = Arc::new(Gate {
        index: index.clone(),
        policy: policy.clone(),
        rules: rules.clone(),
        telemetry: telemetry.clone(),
    });
    let app = router(&gate, &plan.settings.limits);
    let listener = tls::Listener {
        socket,
        tls: plan.pair.server_config(plan.oldest_tls)?,
        connections: plan.settings.limits.connections,
    };
    let admin = admin(index, policy.clone(), telemetry.clone(), Arc::new(plan.pair), stop.clone());

    let serving = tls::serve(listener, app, stop.clone());
    let admin_stop = CancellationToken::new();
    let probing =
        axum::serve(admin_socket, admin_router(admin)).with_graceful_shutdown(admin_stop.clone().cancelled_owned());
    let chores = chores(plan.config_file, policy, rules, staleness, telemetry.clone());

    // Where a loop breaks, what is under way is finished as if the process were told to end.
    let hand = async {
        let led = hand.await;
        if led.is_err() {
            stop.cancel();
        }
        led
    };
    let mut led = Ok(());
    tokio::select! {
        // Probes answer until the last review is answered and the leader's lease is given back.
        ((), outcome) = async { tokio::join!(serving, hand) } => { led = outcome; admin_stop.cancel(); }
        outcome = async { probing.await } => outcome.context("the admin port failed")?,
        () = sources => anyhow::bail!("what feeds the index has ended; this process would only grow stale"),
        () = chores => {}
        () = async { ended().await; tracing::info!("told to end; finishing what is under way"); stop.cancel(); std::future::pending().await } => {}
    }
    telemetry.flush();
    led?;
    tracing::info!("ended");
    Ok(())
}

/// The loops of the leader, which end when the process is told to.
fn hand(
    source: &Source,
    settings: &Settings,
    index: &Arc<Index>,
    policy: &Arc<ArcSwap<crate::routing::Policy>>,
    telemetry: &Arc<Telemetry>,
    stop: &CancellationToken,
) -> futures::future::BoxFuture<'static, anyhow::Result<()>> {
    let Source::Cluster(client) = source else { return Box::pin(std::future::ready(Ok(()))) };
    let loops = &settings.loops;
    let identity = controller::identity();
    let candidate = Candidate {
        leases: kube::Api::default_namespaced((**client).clone()),
        lease: lease(loops).to_owned(),
        identity: identity.clone(),
        timing: Timing::default(),
    };
    let rules =
        Rules { namespace: settings.execution.namespace.as_str().into(), cooldown: settings.execution.cooldown.get() };
    let clearance = Clearance {
        client: (**client).clone(),
        identity: identity.clone(),
        index: index.clone(),
        telemetry: telemetry.clone(),
    };
    let executor = loops.executor.then(|| Executor {
        client: (**client).clone(),
        identity: identity.clone(),
        index: index.clone(),
        policy: policy.clone(),
        rules,
        telemetry: telemetry.clone(),
    });
    let keeper = loops.routing_keeper.then(|| Keeper {
        client: (**client).clone(),
        identity,
        index: index.clone(),
        policy: policy.clone(),
        telemetry: telemetry.clone(),
    });
    let loops = Arc::new((clearance, executor, keeper));
    let telemetry = telemetry.clone();
    let leading = tokio::spawn(candidate.lead(stop.clone(), move || {
        let (loops, telemetry) = (loops.clone(), telemetry.clone());
        // One that ends ends its life as the leader, and none ends by itself.
        async move {
            let _leading = telemetry.leading();
            let (clearance, executor, keeper) = &*loops;
            let executor = OptionFuture::from(executor.as_ref().map(Executor::run));
            let keeper = OptionFuture::from(keeper.as_ref().map(Keeper::run));
            tokio::join!(clearance.run(), executor, keeper);
        }
    }));
    Box::pin(unbroken(leading, stop.clone()))
}

/// The Lease of who has loops that carry out or keep, and that of who only clears: one that has none of the others' loops would
/// lead, and theirs stand still. Two may clear at once: who writes second is told so.
fn lease(loops: &Loops) -> &'static str {
    if loops.executor || loops.routing_keeper { "lockkeeper" } else { "lockkeeper-clearance" }
}

/// Until the loops end as they were told to. Where one breaks, a process that only serves would look healthy, hold no lease
/// and do nothing of what it was asked to: it is better begun anew.
async fn unbroken(leading: JoinHandle<()>, stop: CancellationToken) -> anyhow::Result<()> {
    match leading.await {
        Ok(()) if stop.is_cancelled() => Ok(()),
        Err(error) if stop.is_cancelled() => {
            tracing::error!(%error, "one of the leader's loops broke while it was told to end");
            Ok(())
        }
        Ok(()) => {
            anyhow::bail!("the leader's loops have ended, and nobody told them to; this process ends to begin anew")
        }
        Err(error) => anyhow::bail!(
            "one of the leader's loops broke: {error}; this process ends to begin anew; once its lease has run out, another one leads"
        ),
    }
}

/// The futures that feed the index; they end only when they are dropped.
fn sources(
    source: Source,
    index: &Arc<Index>,
    pace: &Pace,
    settings: &Settings,
) -> anyhow::Result<futures::future::BoxFuture<'static, ()>> {
    match source {
        Source::Folder(path) => {
            let folder = Folder::open(&path, index)?;
            // A task of its own: a disk that hangs must hold up neither probes nor signals.
            let following = tokio::spawn(folder.follow(index.clone()));
            Ok(Box::pin(async move {
                let _ = following.await;
            }))
        }
        Source::Cluster(client) => {
            let executions = &settings.execution.namespace;
            let (client, index, pace) = (|| (*client).clone(), || index.clone(), || pace.clone());
            // Tasks of their own, so that a long list never waits behind an answer; a panic in one ends the process.
            let mut following = vec![
                tokio::spawn(follow_where_served::<PipelineRun>(client(), index(), pace(), executions)),
                tokio::spawn(follow_where_served::<TaskRun>(client(), index(), pace(), executions)),
                tokio::spawn(follow::<RemediationRequest>(client(), index(), pace())),
                tokio::spawn(follow::<WorkflowExecution>(client(), index(), pace())),
            ];
            // Kubernaut's executor makes Jobs too; a gate beside it does without, since reading Pods is much of a right.
            if settings.loops.executor {
                following.push(tokio::spawn(follow_where_served::<Job>(client(), index(), pace(), executions)));
                following.push(tokio::spawn(follow_where_served::<Pod>(client(), index(), pace(), executions)));
            }
            Ok(Box::pin(async move {
                let _ = futures::future::select_all(following).await;
            }))
        }
    }
}

async fn chores(
    config_file: Option<PathBuf>,
    policy: Arc<ArcSwap<crate::routing::Policy>>,
    rules: Arc<ArcSwap<crate::status::Rules>>,
    staleness: watch::Sender<Duration>,
    telemetry: Arc<Telemetry>,
) {
    let mut reload = Reload::new(config_file);
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        telemetry.sweep();
        if let Some(settings) = reload.look() {
            policy.store(Arc::new(settings.policy()));
            rules.store(Arc::new(settings.rules()));
            staleness.send_if_modified(|max| std::mem::replace(max, settings.staleness.max.get()) != *max);
        }
    }
}

/// Looks at the configuration file and compares; keeps the last good one.
struct Reload {
    file: Option<PathBuf>,
    text: Option<Vec<u8>>,
}

impl Reload {
    fn new(file: Option<PathBuf>) -> Self {
        let text = file.as_ref().and_then(|file| std::fs::read(file).ok());
        Self { file, text }
    }

    fn look(&mut self) -> Option<Settings> {
        let file = self.file.as_ref()?;
        let text = std::fs::read(file).ok();
        if text == self.text {
            return None;
        }
        let emptied = text.as_ref().is_none_or(|text| text.trim_ascii().is_empty());
        let said_something = self.text.as_ref().is_some_and(|text| !text.trim_ascii().is_empty());
        self.text = text;
        if emptied && said_something {
            tracing::warn!(file = %file.display(), "the configuration is empty or gone; the last good one stands");
            return None;
        }
        match Settings::load(Some(file), crate::config::environment()) {
            Ok(settings) => {
                tracing::info!(file = %file.display(), "configuration read anew; limits, execution and loops stay until a restart");
                Some(settings)
            }
            Err(error) => {
                tracing::warn!(%error, "the changed configuration is not taken; the last good one stands");
                None
            }
        }
    }
}

fn admin(
    index: Arc<Index>,
    policy: Arc<ArcSwap<crate::routing::Policy>>,
    telemetry: Arc<Telemetry>,
    pair: Arc<Pair>,
    stop: CancellationToken,
) -> Arc<Admin> {
    let (state, certificate) = (index.clone(), pair.clone());
    let (offered, ending) = (pair.clone(), stop.clone());
    Arc::new(Admin {
        conditions: Box::new(move || {
            let mut all = serving(&certificate, &stop).to_vec();
            all.extend(inputs(&state, policy.load().staleness.max.get()));
            all
        }),
        conversion: Box::new(move || serving(&offered, &ending).to_vec()),
        metrics: Box::new(move || {
            let inputs: Vec<_> = index.health().iter().map(state_row).collect();
            telemetry.scrape(&inputs, &[CertificateRow { role: "serving", not_after: unix(pair.not_after()) }])
        }),
    })
}

/// What every path needs; conversion needs no more.
fn serving(pair: &Pair, stop: &CancellationToken) -> [Condition; 2] {
    let stopping = stop.is_cancelled();
    let listener =
        Condition { name: "listener", ok: !stopping, says: if stopping { "ending" } else { "up" }.to_owned() };
    let valid = pair.valid_at(SystemTime::now());
    let certificate =
        Condition { name: "certificate", ok: valid.is_ok(), says: valid.err().unwrap_or("valid").to_owned() };
    [listener, certificate]
}

fn inputs(index: &Index, staleness: Duration) -> impl Iterator<Item = Condition> {
    index.health().into_iter().map(move |health| {
        let age = health.age.unwrap_or(Duration::MAX);
        let (ok, says) = match health.listed {
            false if health.footing == Footing::Denied => {
                (true, "WARNING: may not be read and is not followed; the log says what to grant".to_owned())
            }
            false => (false, "not listed yet".to_owned()),
            true if age > staleness => {
                (false, format!("silent for {:.1}s, staleness.max is {staleness:?}", age.as_secs_f64()))
            }
            true => (
                true,
                format!(
                    "{} objects, {} unreadable, heard {:.1}s ago",
                    health.objects,
                    health.unreadable,
                    age.as_secs_f64()
                ),
            ),
        };
        Condition { name: health.input.as_str(), ok, says }
    })
}

fn state_row(health: &crate::cluster::Health) -> StateRow {
    StateRow {
        kind: health.input.as_str(),
        objects: health.objects,
        unreadable: health.unreadable,
        last_event: health.last_event.map(k8s_openapi::jiff::Timestamp::as_second),
    }
}

fn unix(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// SIGTERM or SIGINT: handled by name, since as process 1 nothing ends by default.
async fn ended() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::warn!("signals cannot be caught; end this process by SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_breaks_ends_the_process_and_says_so() {
        let stop = CancellationToken::new();
        let broken = unbroken(tokio::spawn(async { panic!("a fault of ours") }), stop.clone()).await;
        let said = broken.unwrap_err().to_string();
        assert!(said.starts_with("one of the leader's loops broke: ") && said.contains("a fault of ours"), "{said}");
        let ended = unbroken(tokio::spawn(std::future::ready(())), stop.clone()).await;
        assert!(ended.unwrap_err().to_string().contains("nobody told them to"));
        stop.cancel();
        assert!(unbroken(tokio::spawn(std::future::ready(())), stop.clone()).await.is_ok());
        assert!(unbroken(tokio::spawn(async { panic!("late") }), stop).await.is_ok());
    }
}
