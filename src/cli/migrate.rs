//! `lockkeeper migrate`

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::convert::To;
use super::output::{self, Format, Paint, counted};
use super::{Ended, state};
use crate::convert::{KINDS, Version};
use crate::migrate::{Aim, Checked, Definition, INSTALL, Moved, Pass, Remains, Server, Step, Stray, Trouble, plan};

#[derive(Args)]
#[command(after_help = "Examples:
  lockkeeper migrate --dry-run
  lockkeeper migrate
  lockkeeper migrate --to v1alpha1 && helm upgrade lockkeeper … --set crds.conversion=false
  lockkeeper migrate --to v1alpha1 --alone && helm uninstall lockkeeper

The cluster is found as kubectl finds it; both kinds are moved, and lockkeeper must be there to convert. First one object of
each is converted on trial, and every object goes there and back in memory; if that fails, nothing is written. Then each CRD stores VERSION, each object is written
once as it is, and VERSION remains alone in status.storedVersions, which says that nothing is stored otherwise.
It may be interrupted and begun anew at any time: what is moved already is not written again. docs/migration.md has the rights
that it needs and the way around it.
Exit code: 0 done, 1 it refuses or objects are left, 2 it could not.")]
pub(super) struct Migrate {
    /// Version to store
    #[arg(long, value_enum, value_name = "VERSION", default_value = "v1beta1")]
    to: To,
    /// Say what would be done and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Afterwards serve VERSION alone and ask nobody to convert: lockkeeper can go
    #[arg(long)]
    alone: bool,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// An API server hears of a CRD's change within moments; Kubernetes itself gives others five seconds before it relies on it.
const NOTICED: Duration = Duration::from_secs(5);

impl Migrate {
    pub fn run(self) -> anyhow::Result<Ended> {
        super::runtime()?.block_on(async {
            let stop = CancellationToken::new();
            let server = Server::new(state::client("").await?, stop.clone()).telling(waits);
            let aim = Aim { to: self.to.into(), remains: if self.alone { Remains::Alone } else { Remains::Both } };
            let mut migration = Migration { server, aim, teller: Teller::new(self.output), kinds: Vec::new() };
            let ended = tokio::select! {
                biased;
                ended = migration.run(self.dry_run) => ended,
                // The first signal only asks; the migration says how far it came.
                never = asked_to_stop(stop) => never,
            };
            migration.conclude(ended, self.dry_run)
        })
    }
}

/// Over the line of progress, if there is one.
fn waits(why: &str) {
    let clean = if std::io::stderr().is_terminal() { "\r\u{1b}[K" } else { "" };
    output::aside(&format!("{clean}lockkeeper: {why}\n"));
}

async fn asked_to_stop<T>(stop: CancellationToken) -> T {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminated {
            Some(signal) => signal.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
    stop.cancel();
    std::future::pending().await
}

struct Migration {
    server: Server,
    aim: Aim,
    teller: Teller,
    kinds: Vec<KindState>,
}

/// A kind on its way.
struct KindState {
    plural: String,
    definition: Definition,
    steps: Vec<Step>,
    done: Vec<Step>,
    /// The CRD's resource version from which on another version is stored, where nothing was stored in it before.
    since: Option<u64>,
    checked: Option<Checked>,
    moved: Moved,
}

/// How it ended, if not in trouble.
enum End {
    Done,
    WouldDo,
    Strays,
    Left,
}

impl Migration {
    async fn run(&mut self, dry_run: bool) -> Result<End, Trouble> {
        let began = Instant::now();
        self.look().await?;
        self.try_conversion().await?;
        self.check().await?;
        if self.kinds.iter().any(|kind| kind.checked.as_ref().is_some_and(|checked| !checked.strays.is_empty())) {
            return Ok(End::Strays);
        }
        if dry_run {
            return Ok(End::WouldDo);
        }
        self.store(began).await?;
        for at in 0..self.kinds.len() {
            self.rewrite(at).await?;
        }
        if self.kinds.iter().any(|kind| kind.moved.left > 0) {
            return Ok(End::Left);
        }
        self.step(Step::Retire).await?;
        Ok(End::Done)
    }

    /// Reads both CRDs and plans for both, before anything is done to one.
    async fn look(&mut self) -> Result<(), Trouble> {
        let server = self.server.hasty();
        for kind in KINDS {
            let plural = kind.name.to_lowercase() + "s";
            let definition = match server.definition(&format!("{plural}.kubernaut.ai")).await {
                // Whoever leaves asks only that nobody need them.
                Err(Trouble::Refusal(refusal)) if self.aim.remains == Remains::Alone && refusal.is_missing() => {
                    let missing = "is not in this cluster and stores nothing; to have it,";
                    self.teller.say(&format!("{plural}.kubernaut.ai {missing} {INSTALL}"))?;
                    continue;
                }
                definition => definition?,
            };
            let steps = plan(&definition, self.aim)?;
            self.kinds.push(KindState {
                plural,
                definition,
                steps,
                done: Vec::new(),
                since: None,
                checked: None,
                moved: Moved::default(),
            });
        }
        Ok(())
    }

    /// Nobody there to convert is found before a CRD stores another version.
    async fn try_conversion(&self) -> Result<(), Trouble> {
        let server = self.server.hasty();
        for kind in self.kinds.iter().filter(|kind| kind.steps.contains(&Step::Rewrite)) {
            let pass = Pass { server: &server, plural: &kind.plural, version: self.aim.to };
            let versions = [self.aim.to, self.aim.to.other()];
            let served: Vec<_> = versions.into_iter().filter(|version| kind.definition.serves(*version)).collect();
            let tried = match pass.try_one(&served).await? {
                Some(_) => "a trial conversion of one object works",
                None => "no objects, nothing to convert",
            };
            self.teller.say(&format!("{}: {tried}", kind.definition.metadata.name))?;
        }
        Ok(())
    }

    async fn check(&mut self) -> Result<(), Trouble> {
        for kind in self.kinds.iter_mut().filter(|kind| kind.steps.contains(&Step::Rewrite)) {
            // What is stored in the other version is checked as it is stored.
            let other = self.aim.to.other();
            let version = if kind.definition.serves(other) { other } else { self.aim.to };
            let pass = Pass { server: &self.server, plural: &kind.plural, version };
            let mut progress = self.teller.progress(&kind.plural, "checked", None);
            let checked = pass.check(&mut |checked| progress.at(checked.objects)).await?;
            progress.over();
            self.teller.say(&told_check(kind.definition.metadata.name.as_str(), &checked, self.teller.paint))?;
            kind.checked = Some(checked);
        }
        Ok(())
    }

    /// Both CRDs at once, so that one wait does for both.
    async fn store(&mut self, began: Instant) -> Result<(), Trouble> {
        for kind in &mut self.kinds {
            // Of a run that ended between a step and this.
            kind.definition = self.server.disown(kind.definition.clone()).await?;
        }
        let changes = self.kinds.iter().any(|kind| kind.steps.contains(&Step::Store));
        self.step(Step::Store).await?;
        if self.kinds.iter().any(|kind| kind.steps.contains(&Step::Rewrite)) {
            let heard = if changes { Instant::now() } else { began } + NOTICED;
            self.server.pause(heard.saturating_duration_since(Instant::now())).await?;
        }
        Ok(())
    }

    async fn rewrite(&mut self, at: usize) -> Result<(), Trouble> {
        let Some(kind) = self.kinds.get_mut(at).filter(|kind| kind.steps.contains(&Step::Rewrite)) else {
            return Ok(());
        };
        let pass = Pass { server: &self.server, plural: &kind.plural, version: self.aim.to };
        let total = kind.checked.as_ref().map(|checked| checked.objects);
        let mut progress = self.teller.progress(&kind.plural, "moved", total);
        let passed = pass.rewrite(kind.since, &mut kind.moved, &mut |moved| progress.at(moved.seen())).await;
        progress.over();
        self.teller.say(&told_moves(&kind.definition.metadata.name, &kind.moved, total.filter(|_| passed.is_err())))?;
        passed?;
        if kind.moved.left > 0 {
            return Ok(());
        }
        kind.done.push(Step::Rewrite);
        let trimmed = self.server.trim(&kind.definition, self.aim.to).await?;
        kind.definition = self.server.disown(trimmed).await?;
        kind.done.push(Step::Trim);
        self.teller.say(&told_step(&kind.definition, Step::Trim, self.aim.to))
    }

    /// Takes a step of the CRDs that is in their plans.
    async fn step(&mut self, step: Step) -> Result<(), Trouble> {
        for kind in self.kinds.iter_mut().filter(|kind| kind.steps.contains(&step)) {
            let definition = kind.definition.clone();
            kind.take(&self.server, &definition, step, self.aim.to).await?;
            self.teller.say(&told_step(&kind.definition, step, self.aim.to))?;
        }
        Ok(())
    }

    fn conclude(self, ended: Result<End, Trouble>, dry_run: bool) -> anyhow::Result<Ended> {
        let Self { aim, teller, kinds, .. } = self;
        for kind in &kinds {
            teller.line(kind, aim, dry_run)?;
        }
        let strays = kinds.iter().filter_map(|kind| kind.checked.as_ref()).flat_map(|checked| &checked.strays);
        let named = kinds.iter().flat_map(|kind| &kind.moved.named);
        let again = "the same command goes on where this one stopped";
        match ended {
            Ok(End::Done) if kinds.is_empty() => {
                teller.say("nothing to do: neither CRD is in this cluster; lockkeeper can be uninstalled")?;
            }
            Ok(End::Done) => teller.say(&next(aim, kinds.iter().all(|kind| kind.steps.is_empty())))?,
            Ok(End::WouldDo) => {
                for kind in &kinds {
                    teller.say(&told_plan(kind, aim))?;
                }
                if kinds.iter().any(|kind| !kind.steps.is_empty()) {
                    teller.say("nothing was written; the same command without --dry-run does it")?;
                }
            }
            Ok(End::Strays) => {
                let count = strays.clone().count();
                return Ok(complain(strays, count, "would not come home: nothing was written"));
            }
            Ok(End::Left) => {
                return Ok(complain(
                    named,
                    kinds.iter().map(|kind| kind.moved.left).sum(),
                    "left: storedVersions stays as it is; see what refuses them, then run the same command again",
                ));
            }
            Err(Trouble::Refusal(refusal)) => return Ok(no(&refusal.to_string())),
            Err(Trouble::Interrupted) => return Ok(no(&format!("interrupted: {again}"))),
            Err(trouble @ (Trouble::Changed(_) | Trouble::Unnoticed(_))) => {
                return Ok(no(&format!("{trouble}; {again}")));
            }
            Err(trouble) if kinds.iter().any(|kind| !kind.done.is_empty() || kind.moved.seen() > 0) => {
                anyhow::bail!("{trouble}; {again}")
            }
            Err(trouble) => anyhow::bail!(trouble),
        }
        Ok(Ended::Well)
    }
}

impl KindState {
    async fn take(&mut self, server: &Server, from: &Definition, step: Step, to: Version) -> Result<(), Trouble> {
        let taken = server.take(from, step, to).await?;
        if step == Step::Store && !from.status.stored_versions.iter().any(|stored| stored == to.as_str()) {
            self.since = taken.metadata.resource_version.parse().ok();
        }
        self.done.push(step);
        self.definition = server.disown(taken).await?;
        Ok(())
    }
}

fn no(why: &str) -> Ended {
    output::tell(why);
    Ended::No
}

/// Names some objects, and says what they all have in common.
fn complain<'a>(strays: impl Iterator<Item = &'a Stray>, count: usize, all: &str) -> Ended {
    for stray in strays.take(20) {
        output::aside(&format!("{}: {}\n", stray.object, stray.why));
    }
    no(&format!("{} {all}", counted(count, "object")))
}

fn told_check(name: &str, checked: &Checked, paint: Paint) -> String {
    let Checked { objects, parking, strays } = checked;
    let home = match strays.len() {
        0 if *objects == 1 => paint.good("it comes home"),
        0 => paint.good("all come home"),
        1 => paint.bad("1 does not come home"),
        count => paint.bad(&format!("{count} do not come home")),
    };
    let parks = if *parking == 1 { "parks" } else { "park" };
    format!("{name}: {} went there and back, {home}, {parking} {parks} something", counted(*objects, "object"))
}

/// `total`: of a pass that did not come to its end.
fn told_moves(name: &str, moves: &Moved, total: Option<usize>) -> String {
    let Moved { moved, there, gone, left, .. } = moves;
    let ahead =
        total.map(|total| format!(", {} not reached yet", total.saturating_sub(moves.seen()))).unwrap_or_default();
    format!("{name}: {moved} moved, {there} were there already, {gone} gone meanwhile, {left} left{ahead}")
}

fn told_step(definition: &Definition, step: Step, to: Version) -> String {
    let (name, to) = (&definition.metadata.name, to.as_str());
    match step {
        Step::Store => format!("{name}: stores {to} from now on"),
        Step::Rewrite => format!("{name}: objects are written"),
        Step::Trim => format!("{name}: status.storedVersions is {to} alone"),
        Step::Retire => format!("{name}: serves {to} alone, conversion strategy None"),
    }
}

fn told_plan(kind: &KindState, aim: Aim) -> String {
    let (name, to) = (&kind.definition.metadata.name, aim.to.as_str());
    let objects = kind.checked.as_ref().map_or(0, |checked| checked.objects);
    let would = kind.steps.iter().map(|step| match step {
        Step::Store => format!("store {to}"),
        Step::Rewrite => format!("write {} once", counted(objects, "object")),
        Step::Trim => format!("set status.storedVersions to {to}"),
        Step::Retire => format!("serve {to} alone and set the conversion strategy to None"),
    });
    let would = would.collect::<Vec<_>>().join(", ");
    let stored = kind.definition.status.stored_versions.join(", ");
    let would = if would.is_empty() { "nothing to do".to_owned() } else { format!("would {would}") };
    format!("{name}: storedVersions {stored}, stores {}; {would}", kind.definition.storage())
}

/// What comes next.
fn next(aim: Aim, nothing_to_do: bool) -> String {
    let to = aim.to.as_str();
    let done = if nothing_to_do { "nothing to do" } else { "done" };
    match aim {
        Aim { remains: Remains::Alone, .. } => {
            format!("{done}: {to} alone is stored and served, and nobody need convert; lockkeeper can be uninstalled")
        }
        Aim { to: Version::V1alpha1, .. } => format!(
            "{done}: {to} alone is stored; helm upgrade --set crds.conversion=false drops v1beta1 (with crds.conversion=true it is stored again)"
        ),
        Aim { to: Version::V1beta1, .. } => {
            format!("{done}: {to} alone is stored; v1alpha1 is served on, by lockkeeper's conversion")
        }
    }
}

/// Where the words go: a line for each phase in text, one line for each CRD at the end in JSON.
struct Teller {
    format: Format,
    paint: Paint,
}

/// One line of `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    crd: &'a str,
    to: &'static str,
    dry_run: bool,
    steps: Vec<&'static str>,
    done: Vec<&'static str>,
    objects: Option<usize>,
    parking: Option<usize>,
    strays: Vec<String>,
    moved: usize,
    already_there: usize,
    gone: usize,
    left: usize,
    stored_versions: &'a [String],
}

impl Teller {
    fn new(format: Format) -> Self {
        Self { format, paint: Paint::stdout() }
    }

    fn say(&self, line: &str) -> Result<(), Trouble> {
        if self.format == Format::Json {
            return Ok(());
        }
        output::print(&format!("{line}\n")).map_err(|error| Trouble::Unsaid(error.to_string()))
    }

    fn line(&self, kind: &KindState, aim: Aim, dry_run: bool) -> anyhow::Result<()> {
        if self.format == Format::Text {
            return Ok(());
        }
        let words = |steps: &[Step]| steps.iter().map(|step| step.as_str()).collect();
        let checked = kind.checked.as_ref();
        let line = Line {
            crd: &kind.definition.metadata.name,
            to: aim.to.as_str(),
            dry_run,
            steps: words(&kind.steps),
            done: words(&kind.done),
            objects: checked.map(|checked| checked.objects),
            parking: checked.map(|checked| checked.parking),
            strays: checked.map_or_else(Vec::new, |checked| {
                checked.strays.iter().map(|stray| format!("{}: {}", stray.object, stray.why)).collect()
            }),
            moved: kind.moved.moved,
            already_there: kind.moved.there,
            gone: kind.moved.gone,
            left: kind.moved.left,
            stored_versions: &kind.definition.status.stored_versions,
        };
        output::print(&(serde_json::to_string(&line)? + "\n"))
    }

    fn progress<'a>(&self, what: &'a str, done: &'static str, total: Option<usize>) -> Progress<'a> {
        let shown = std::io::stderr().is_terminal();
        Progress { shown, what, done, total, began: Instant::now(), said: None }
    }
}

/// A line on a terminal that is written over, ten times a second at most.
struct Progress<'a> {
    shown: bool,
    what: &'a str,
    done: &'static str,
    total: Option<usize>,
    began: Instant,
    said: Option<Instant>,
}

impl Progress<'_> {
    fn at(&mut self, count: usize) {
        if !self.shown || self.said.is_some_and(|said| said.elapsed() < Duration::from_millis(100)) {
            return;
        }
        self.said = Some(Instant::now());
        let rate = count as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let total = self.total.map(|total| format!("/{total}")).unwrap_or_default();
        output::aside(&format!("\r{}: {count}{total} {}, {rate:.0}/s\u{1b}[K", self.what, self.done));
    }

    fn over(&self) {
        if self.said.is_some() {
            output::aside("\r\u{1b}[K");
        }
    }
}
