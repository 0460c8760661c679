//! What `lockkeeper convert --check` finds: each object there and back, and a sum of what was found.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use serde::Serialize;

use super::output::{self, Paint, counted};
use super::state;
use crate::cluster::each_object;
use crate::convert::{KINDS, Shape, Trip, Version, called, there_and_back};
use crate::line::one_line;

/// So many places are told for each sort of object: names in them may be anybody's.
const PLACES_TOLD: usize = 20;

const NOT_INSTALLED: &str = "is not installed as a CRD in this cluster; see kubectl config current-context and kubectl get crds, or name files instead";

/// What has been found so far.
#[derive(Default)]
pub(super) struct Preflight {
    /// One JSON object a line.
    json: bool,
    objects: usize,
    parked: usize,
    /// They do not come home as they were.
    strays: usize,
    failed: usize,
    sorts: BTreeMap<(&'static str, Version, Option<Shape>), Sort>,
}

/// Objects of one kind and shape.
#[derive(Default)]
struct Sort {
    objects: usize,
    /// What is parked of them, by its place: how often, and of which object first.
    parked: BTreeMap<String, (usize, String)>,
    /// Places beyond those that are told.
    more: usize,
}

/// One line of `-o json`, keys in the order of the contract.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    object: &'a str,
    from: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shape: Option<&'static str>,
    to: Option<&'static str>,
    identical: bool,
    parked: &'a [String],
    problem: Option<&'a str>,
}

impl Preflight {
    pub fn new(json: bool) -> Self {
        Self { json, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.objects == 0
    }

    /// Every object came home.
    pub fn is_clear(&self) -> bool {
        self.strays + self.failed == 0
    }

    /// Takes one object there and back. Those of files are told one by one, those of a cluster where something is wrong.
    pub fn take(&mut self, place: Option<&str>, object: &str) -> anyhow::Result<()> {
        self.tell(place, object, &there_and_back(object).map_err(|error| error.to_string()))
    }

    /// Takes one of a file that need not be tried.
    pub fn refuse(&mut self, place: &str, object: &str, problem: String) -> anyhow::Result<()> {
        self.tell(Some(place), object, &Err(problem))
    }

    fn tell(&mut self, place: Option<&str>, object: &str, trip: &Result<Trip, String>) -> anyhow::Result<()> {
        self.objects += 1;
        let name = called(object);
        let problem = match trip {
            Ok(trip) if !trip.identical => Some("does not come home as it was".to_owned()),
            Ok(_) => None,
            Err(problem) => Some(problem.clone()),
        };
        match trip {
            Ok(trip) => self.count(trip, &name),
            Err(_) => self.failed += 1,
        }
        let trip = trip.as_ref().ok();
        let parked = trip.map_or(&[][..], |trip| &trip.parked);
        if self.json {
            let line = Line {
                file: place,
                object: &name,
                from: trip.map(|trip| trip.from.as_str()),
                shape: trip.and_then(|trip| trip.shape).map(Shape::as_str),
                to: trip.map(|trip| trip.to.as_str()),
                identical: trip.is_some_and(|trip| trip.identical),
                parked,
                problem: problem.as_deref(),
            };
            return output::print(&(serde_json::to_string(&line)? + "\n"));
        }
        if place.is_none() && problem.is_none() {
            return Ok(());
        }
        let paint = Paint::stdout();
        let said = match (&problem, parked) {
            (Some(problem), _) => paint.bad(problem),
            (None, []) => paint.good("nothing to park"),
            (None, parked) => {
                let pointers: Vec<_> = parked.iter().map(|pointer| one_line(pointer, 200)).collect();
                format!("{} {}", paint.odd("parks"), pointers.join(" "))
            }
        };
        let place = place.map(|place| one_line(place, 400) + ": ").unwrap_or_default();
        let way = trip.map(|trip| format!("  {} → {}", told_version(trip.from, trip.shape), trip.to.as_str()));
        output::print(&format!("{place}{name}{}  {said}\n", way.unwrap_or_default()))
    }

    fn count(&mut self, trip: &Trip, name: &str) {
        self.parked += usize::from(!trip.parked.is_empty());
        self.strays += usize::from(!trip.identical);
        let sort = self.sorts.entry((trip.kind, trip.from, trip.shape)).or_default();
        sort.objects += 1;
        for pointer in &trip.parked {
            let place = without_indices(pointer);
            if let Some((count, _)) = sort.parked.get_mut(&place) {
                *count += 1;
            } else if sort.parked.len() < PLACES_TOLD {
                sort.parked.insert(place, (1, name.to_owned()));
            } else {
                sort.more += 1;
            }
        }
    }

    /// Beside `-o json` the sum is for people.
    pub fn sum_up(&self) -> anyhow::Result<()> {
        let Self { parked, strays, failed, .. } = self;
        let objects = counted(self.objects, "object");
        let park = if *parked == 1 { "parks" } else { "park" };
        let mut text: String = self.sorts.iter().map(|(sort, found)| found.told(sort)).collect();
        text += &format!("{objects}: {parked} {park} something, {strays} not identical, {failed} not converted\n");
        if self.json {
            output::aside(&text);
            return Ok(());
        }
        output::print(&text)
    }

    /// Every object of a cluster, page by page: a page is all that is held.
    pub async fn check_cluster(&mut self) -> anyhow::Result<()> {
        let client = state::client("; name files instead").await?;
        let progress = std::io::stderr().is_terminal();
        for kind in KINDS {
            let mut trouble = Ok(());
            let mut take = |object: &str| {
                if trouble.is_ok() {
                    trouble = self.take(None, object);
                }
                if progress && self.objects.is_multiple_of(100) {
                    output::aside(&format!("\r{}", counted(self.objects, "object")));
                }
            };
            let listed = each_object(&client, kind.name, &mut take).await;
            listed.map_err(|error| match error.code() {
                Some(404) => anyhow::anyhow!("{} {NOT_INSTALLED}", kind.name),
                _ => anyhow::anyhow!("cannot list {}s: {error}", kind.name),
            })?;
            trouble?;
        }
        if progress {
            output::aside("\r\u{1b}[K");
        }
        Ok(())
    }

    /// What the shapes that were found in a cluster mean for whoever would lay lockkeeper's CRDs over its own.
    pub fn advice(&self) -> Option<String> {
        let others: std::collections::BTreeSet<_> =
            self.sorts.keys().filter_map(|(_, _, shape)| *shape).filter(|shape| *shape != Shape::default()).collect();
        let named: Vec<_> = others.into_iter().map(Shape::as_str).collect();
        (!named.is_empty()).then(|| {
            format!(
                "stored in the shape of {}: leave Kubernaut's own CRDs in place (chart: crds.install=false), since lockkeeper's v1alpha1 is that of {} and the API server prunes what a schema does not name before it converts",
                named.join(" and "),
                Shape::default().as_str()
            )
        })
    }
}

impl Sort {
    fn told(&self, (kind, from, shape): &(&'static str, Version, Option<Shape>)) -> String {
        let mut text = format!("{kind}, {}: {}\n", told_version(*from, *shape), self.objects);
        for (place, (count, first)) in &self.parked {
            text += &format!("  {} parked in {count}, such as {first}\n", one_line(place, 200));
        }
        if self.more > 0 {
            text += &format!("  and {} more\n", self.more);
        }
        text
    }
}

/// "v1alpha1 as of 2026-08".
fn told_version(version: Version, shape: Option<Shape>) -> String {
    let shape = shape.map(|shape| format!(" as of {}", shape.as_str())).unwrap_or_default();
    format!("{}{shape}", version.as_str())
}

/// The same member of each item of a list is one place.
fn without_indices(pointer: &str) -> String {
    let tokens = pointer.split('/').map(|token| if token.parse::<usize>().is_ok() { "*" } else { token });
    tokens.collect::<Vec<_>>().join("/")
}
