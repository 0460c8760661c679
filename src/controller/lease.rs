//! One leader among the replicas, by client-go's rules: a Lease is compared and swapped, a rival's runs out when we have seen
//! no change of it for as long as it says, and a leader that cannot renew stands down before anybody else may start.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long what lasts. A rival waits `duration` from the last change that it saw; a leader gives up `renew_within` after the
/// last renewal that it began, which is sooner.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub duration: Duration,
    pub renew_within: Duration,
    pub retry: Duration,
}

impl Default for Timing {
    /// As Kubernetes' own components.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { duration: seconds(15), renew_within: seconds(10), retry: seconds(2) }
    }
}

/// A replica that would lead.
pub struct Candidate {
    pub leases: Api<Lease>,
    pub lease: String,
    /// Another one for each life of each replica.
    pub identity: String,
    pub timing: Timing,
}

/// What a candidate knows of the Lease: as it saw it last, and since when it has been so.
struct Sight {
    lease: Lease,
    since: Instant,
}

/// What may be done about a Lease that looks like this.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    /// It is ours, or nobody's any more: write it.
    Take,
    /// Its holder may still act.
    Wait,
}

/// A call that did not tell whether we lead.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Call(String),
    #[error("no answer in time")]
    Late,
}

impl From<kube::Error> for Failed {
    fn from(error: kube::Error) -> Self {
        Self::Call(match error {
            kube::Error::Api(status) if status.code == 401 => {
                "401 Unauthorized: the API server does not know this user; renew the token or certificate in the kubeconfig".to_owned()
            }
            kube::Error::Api(status) if status.code == 403 => format!(
                "403 Forbidden: {}; grant get, create and update on leases there, or name lockkeeper's own namespace in the context of the kubeconfig",
                status.message
            ),
            kube::Error::Api(status) => format!("{} {}: {}", status.code, status.reason, status.message),
            error => error.to_string(),
        })
    }
}

impl Candidate {
    /// Runs the work whenever this replica leads, until it is told to stop; the Lease is given back then. Work is dropped where
    /// it stands when this replica no longer leads.
    pub async fn lead<F: Future<Output = ()>>(self, stop: CancellationToken, work: impl Fn() -> F) {
        let mut sight = None;
        loop {
            let renewed = tokio::select! {
                renewed = self.acquire(&mut sight) => renewed,
                // A write that made it ours may be under way.
                () = stop.cancelled() => return self.release(None).await,
            };
            tracing::info!(lease = self.lease, identity = self.identity, "leading");
            let stopped = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                () = self.hold(&mut sight, renewed) => false,
                // Work ends only when it is dropped.
                () = work() => false,
            };
            if stopped {
                return self.release(sight.take().map(|sight| sight.lease)).await;
            }
            tracing::warn!(lease = self.lease, identity = self.identity, "no longer leading; loops stand still");
        }
    }

    /// Until it is ours; when the call that made it so began.
    async fn acquire(&self, sight: &mut Option<Sight>) -> Instant {
        let mut told = String::new();
        loop {
            let began = Instant::now();
            match self.attempt(sight, began + self.timing.renew_within).await {
                Ok(true) => return began,
                // Who leads is worth a word where it is another one than before.
                Ok(false) => {
                    let seen = sight.as_ref().and_then(|sight| sight.lease.spec.as_ref());
                    let holder = seen.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
                    if holder != told {
                        let seconds = seen.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
                        tracing::info!(
                            lease = self.lease,
                            holder,
                            seconds,
                            "another one leads; this one does when the lease has not changed for so long"
                        );
                        told = holder;
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    if error != told {
                        tracing::warn!(lease = self.lease, error, "cannot ask for the lease; asking again");
                        told = error;
                    }
                }
            }
            sleep(self.timing.retry).await;
        }
    }

    /// Until it is lost, or could be before we heard of it.
    async fn hold(&self, sight: &mut Option<Sight>, mut renewed: Instant) {
        loop {
            let end = renewed + self.timing.renew_within;
            sleep_until((Instant::now() + self.timing.retry).min(end)).await;
            let began = Instant::now();
            if began >= end {
                return;
            }
            match self.attempt(sight, end).await {
                Ok(true) => renewed = began,
                Ok(false) => return,
                Err(error) => tracing::warn!(lease = self.lease, %error, "the lease was not renewed; trying again"),
            }
        }
    }

    /// One look, and where that allows one write. False: somebody else leads, or was quicker.
    async fn attempt(&self, sight: &mut Option<Sight>, end: Instant) -> Result<bool, Failed> {
        let Some(found) = in_time(end, self.leases.get_opt(&self.lease)).await?? else {
            let wanted = self.next(None);
            let made = in_time(end, self.leases.create(&PostParams::default(), &wanted)).await?;
            return self.written(sight, made);
        };
        let now = Instant::now();
        let seen = match sight.take() {
            Some(seen) if seen.lease.spec == found.spec => Sight { lease: found, ..seen },
            _ => Sight { lease: found, since: now },
        };
        let seen = sight.insert(seen);
        if seen.allows(&self.identity, now) == Move::Wait {
            return Ok(false);
        }
        let wanted = self.next(Some(&seen.lease));
        let put = in_time(end, self.leases.replace(&self.lease, &PostParams::default(), &wanted)).await?;
        self.written(sight, put)
    }

    fn written(&self, sight: &mut Option<Sight>, answer: kube::Result<Lease>) -> Result<bool, Failed> {
        match answer {
            Ok(lease) => {
                *sight = Some(Sight { lease, since: Instant::now() });
                Ok(true)
            }
            // Somebody else wrote first.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The Lease as we write it. Its resource version makes the API server compare and swap.
    fn next(&self, before: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let was = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = was.holder_identity.as_deref() == Some(&*self.identity);
        let transitions = was.lease_transitions.unwrap_or(0) + i32::from(before.is_some() && !ours);
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.timing.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if ours { was.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..was
        };
        let metadata = before.map_or_else(
            || ObjectMeta { name: Some(self.lease.clone()), ..ObjectMeta::default() },
            |lease| lease.metadata.clone(),
        );
        Lease { metadata, spec: Some(spec) }
    }

    /// So that the next leader need not wait.
    async fn release(&self, lease: Option<Lease>) {
        let led = lease.is_some();
        match in_time(Instant::now() + self.timing.retry, self.give_back(lease)).await {
            Ok(Ok(true)) => tracing::info!(lease = self.lease, "the lease is given back"),
            Ok(Ok(false)) => {}
            // Who never led has nothing to give back that anybody waits for.
            _ if !led => {}
            Ok(Err(error)) => {
                let error = Failed::from(error);
                tracing::warn!(lease = self.lease, %error, "the lease is not given back; it runs out");
            }
            Err(_) => tracing::warn!(lease = self.lease, "the lease is not given back in time; it runs out"),
        }
    }

    /// False: it is not ours.
    async fn give_back(&self, mut known: Option<Lease>) -> kube::Result<bool> {
        loop {
            let Some(mut lease) = (match known.take() {
                Some(lease) => Some(lease),
                None => self.leases.get_opt(&self.lease).await?,
            }) else {
                return Ok(false);
            };
            let ours = |spec: &&mut LeaseSpec| spec.holder_identity.as_deref() == Some(&*self.identity);
            let Some(spec) = lease.spec.as_mut().filter(ours) else { return Ok(false) };
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            match self.leases.replace(&self.lease, &PostParams::default(), &lease).await {
                Ok(_) => return Ok(true),
                // A renewal that we were told to end in was stored, and its answer not read.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error),
            }
        }
    }
}

async fn in_time<T>(end: Instant, call: impl Future<Output = T>) -> Result<T, Failed> {
    timeout_at(end, call).await.map_err(|_| Failed::Late)
}

impl Sight {
    /// The holder's own time is not looked at: clocks differ, and only that nothing changed for so long is certain.
    fn allows(&self, identity: &str, now: Instant) -> Move {
        let Some(spec) = &self.lease.spec else { return Move::Take };
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let lasts = Duration::from_secs(spec.lease_duration_seconds.unwrap_or(0).max(0).unsigned_abs().into());
        if holder.is_empty() || holder == identity || now >= self.since + lasts { Move::Take } else { Move::Wait }
    }
}

#[cfg(test)]
mod tests;
