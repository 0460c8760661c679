//! A folder of manifests as a source: scanned, compared, scanned again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;

use super::index::{Index, Seen, Tracked};
use super::inputs::Input;
use crate::api::facts::{ObjectKey, RemediationRequest, WorkflowExecution};
use crate::api::tekton::{Job, PipelineRun, Pod, TaskRun};
use crate::manifest::{self, Document, ManifestError};

/// How soon a changed file is seen.
const SCAN: Duration = Duration::from_millis(500);
/// After so many scans a folder counts as one that never rests.
const RESTLESS: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{}: cannot be read: {error}", folder.display())]
    Folder { folder: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// A folder and what was read of its files last.
pub struct Folder {
    path: PathBuf,
    files: BTreeMap<PathBuf, File>,
    /// The listing that was taken in, and the one that the last scan saw.
    taken: Listing,
    seen: Listing,
    /// Scans in a row that each saw another listing.
    restless: u32,
    /// Files that cannot be read and never said anything: what they hold is unknown, so the state grows old.
    blind: BTreeSet<PathBuf>,
}

struct File {
    stamp: Stamp,
    documents: Arc<[Document]>,
}

/// Changes when a file is written.
type Stamp = Option<(SystemTime, u64, u64, i64, i64)>;
type Listing = BTreeMap<PathBuf, Stamp>;

impl Folder {
    /// Reads the folder for the first time.
    ///
    /// # Errors
    /// Where the folder or a file in it cannot be read: at the start that is the caller's to mend.
    pub fn open(path: &Path, index: &Index) -> Result<Self, FolderError> {
        let taken = list(path)?;
        let mut files = BTreeMap::new();
        for (path, stamp) in &taken {
            let documents = manifest::read(path)?.into();
            files.insert(path.clone(), File { stamp: *stamp, documents });
        }
        let folder =
            Self { path: path.to_owned(), files, seen: taken.clone(), taken, restless: 0, blind: BTreeSet::new() };
        folder.fill(index);
        Ok(folder)
    }

    /// Follows the folder until the future is dropped.
    pub async fn follow(mut self, index: Arc<Index>) {
        let mut ticks = tokio::time::interval(SCAN);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut lost = false;
        loop {
            ticks.tick().await;
            match tokio::task::block_in_place(|| self.scan(&index)) {
                Ok(()) => lost = false,
                Err(error) => {
                    if !std::mem::replace(&mut lost, true) {
                        tracing::warn!(%error, "cannot scan the state folder; its last content stands and grows old");
                    }
                }
            }
        }
    }

    /// Takes a change in once two scans saw the same: what is being written, or moved, is not gone in between. A folder
    /// that never comes to rest is taken as it is found.
    fn scan(&mut self, index: &Index) -> Result<(), FolderError> {
        let listing = list(&self.path)?;
        let settled = listing == self.seen || self.restless >= RESTLESS;
        self.restless = if settled { 0 } else { self.restless + 1 };
        self.seen = listing;
        if settled && self.seen != self.taken {
            self.take();
            self.fill(index);
        }
        if self.blind.is_empty() {
            Input::ALL.into_iter().for_each(|input| index.alive(input));
        }
        Ok(())
    }

    /// Reads what changed. A file that breaks, or is emptied, keeps what it said last.
    fn take(&mut self) {
        self.taken = self.seen.clone();
        self.files.retain(|path, _| self.taken.contains_key(path));
        self.blind.clear();
        for (path, stamp) in &self.taken {
            let before = self.files.get_mut(path);
            if before.as_ref().is_some_and(|file| file.stamp == *stamp && stamp.is_some()) {
                continue;
            }
            match (manifest::read_some(path), before) {
                // A List without items says that there is nothing; a file without a word may be one that is being written.
                (Err(ManifestError::Nothing { .. }), Some(file)) if !file.documents.is_empty() => {
                    file.stamp = *stamp;
                    tracing::warn!(file = %path.display(), "empty now: keeping what this file said last; remove it to take its objects away");
                }
                (Err(ManifestError::Nothing { .. }), _) => {
                    self.files.insert(path.clone(), File { stamp: *stamp, documents: [].into() });
                }
                (Ok(documents), _) => {
                    self.files.insert(path.clone(), File { stamp: *stamp, documents: documents.into() });
                }
                (Err(error), Some(file)) => {
                    file.stamp = *stamp;
                    tracing::warn!(%error, "keeping what this file said last");
                }
                (Err(error), None) => {
                    tracing::warn!(%error, "what this file holds is unknown: the state grows old until it is mended or removed");
                    self.blind.insert(path.clone());
                }
            }
        }
    }

    /// Makes the index say what the files say. Of two files that hold one object the later path counts.
    fn fill(&self, index: &Index) {
        let documents = || self.files.values().flat_map(|file| file.documents.iter());
        let of = |kind: Kind| documents().filter(move |document| kind.is(document));
        fill_kind::<RemediationRequest>(index, of(Kind { name: "RemediationRequest", group: "kubernaut.ai/" }));
        fill_kind::<WorkflowExecution>(index, of(Kind { name: "WorkflowExecution", group: "kubernaut.ai/" }));
        fill_kind::<PipelineRun>(index, of(Kind { name: "PipelineRun", group: "tekton.dev/" }));
        fill_kind::<TaskRun>(index, of(Kind { name: "TaskRun", group: "tekton.dev/" }));
        fill_kind::<Job>(index, of(Kind { name: "Job", group: "batch/" }));
        fill_kind::<Pod>(index, of(Kind { name: "Pod", group: "v1" }));
    }
}

fn list(folder: &Path) -> Result<Listing, FolderError> {
    let paths =
        manifest::files_below(folder).map_err(|error| FolderError::Folder { folder: folder.to_owned(), error })?;
    Ok(paths.into_iter().map(|path| (path.clone(), stamp(&path))).collect())
}

fn fill_kind<'a, T: Tracked>(index: &Index, documents: impl Iterator<Item = &'a Document>) {
    let mut last = BTreeMap::new();
    for document in documents {
        match key_of(&document.json) {
            Some(key) => drop(last.insert(key, document)),
            None => tracing::warn!(place = %document.place, "left out: metadata.name is missing or no string"),
        }
    }
    let present: HashSet<_> = last.keys().cloned().collect();
    for (key, document) in last {
        index.put(Seen { key, facts: T::read(&document.json) });
    }
    index.listed::<T>(&present);
    index.event(T::INPUT, Timestamp::now());
}

#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// With its slash.
    group: &'static str,
}

impl Kind {
    /// A document that names no group is taken for ours.
    fn is(self, document: &Document) -> bool {
        document.kind == self.name && (document.api_version.is_empty() || document.api_version.starts_with(self.group))
    }
}

fn key_of(json: &str) -> Option<ObjectKey> {
    #[derive(serde::Deserialize)]
    struct Head {
        metadata: Meta,
    }
    #[derive(serde::Deserialize)]
    struct Meta {
        name: Box<str>,
        namespace: Option<Box<str>>,
    }
    let Head { metadata } = serde_json::from_str(json).ok()?;
    let namespace = metadata.namespace.filter(|namespace| !namespace.is_empty());
    Some(ObjectKey { namespace: namespace.unwrap_or_else(|| "default".into()), name: metadata.name })
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    // A file that was moved into the place of another may be as long and as old.
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(name: &str, more: &str) -> String {
        format!("kind: WorkflowExecution\nmetadata: {{name: {name}{more}}}\nspec: {{targetResource: Node/w}}\n---\n")
    }

    fn known(index: &Index) -> Vec<(String, bool)> {
        let names = ["a", "b", "c"].into_iter();
        let key = |name: &str| ObjectKey { namespace: "default".into(), name: name.into() };
        names.filter_map(|name| Some((name.to_owned(), index.execution(&key(name))?.active()))).collect()
    }

    fn objects(index: &Index) -> Vec<(usize, usize)> {
        index.health().iter().map(|health| (health.objects, health.unreadable)).collect()
    }

    #[test]
    fn an_object_without_a_namespace_is_in_default() {
        let folder = tempfile::tempdir().unwrap();
        let all = execution("a", "") + &execution("b", ", namespace: ''") + &execution("c", ", namespace: default");
        std::fs::write(folder.path().join("state.yaml"), all).unwrap();
        let index = Index::default();
        let opened = Folder::open(folder.path(), &index).unwrap();
        let all = [("a".to_owned(), true), ("b".to_owned(), true), ("c".to_owned(), true)];
        assert_eq!(known(&index), all);
        opened.fill(&index);
        assert_eq!(
            (known(&index), objects(&index)),
            (all.to_vec(), vec![(0, 0), (3, 0), (0, 0), (0, 0), (0, 0), (0, 0)]),
            "read again"
        );
        assert!(index.age().is_ok(), "all inputs count as listed");
    }

    #[test]
    fn runs_and_their_parts_are_read_in_whichever_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let run = "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: r, namespace: one}\n---\n";
        let task = "apiVersion: tekton.dev/v1beta1\nkind: TaskRun\nmetadata: {name: t, namespace: two}\n---\n";
        let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, namespace: three}\n---\n";
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: three}\n";
        std::fs::write(folder.path().join("state.yaml"), [run, task, job, pod].concat()).unwrap();
        let index = Index::default();
        Folder::open(folder.path(), &index).unwrap();
        assert_eq!(objects(&index), [(0, 0), (0, 0), (1, 0), (1, 0), (1, 0), (1, 0)]);
    }

    #[test]
    fn of_two_files_that_hold_one_object_the_later_path_counts() {
        let folder = tempfile::tempdir().unwrap();
        let done = execution("a", "").replace("spec:", "status: {phase: Completed}\nspec:");
        std::fs::write(folder.path().join("1.yaml"), execution("a", "")).unwrap();
        std::fs::write(folder.path().join("2.yaml"), done).unwrap();
        let index = Index::default();
        let mut opened = Folder::open(folder.path(), &index).unwrap();
        assert_eq!(known(&index), [("a".to_owned(), false)]);
        std::fs::remove_file(folder.path().join("2.yaml")).unwrap();
        opened.scan(&index).unwrap();
        assert_eq!(known(&index), [("a".to_owned(), false)], "one scan alone may have seen half of a move");
        opened.scan(&index).unwrap();
        assert_eq!(known(&index), [("a".to_owned(), true)]);
    }

    #[test]
    fn a_file_that_breaks_keeps_what_it_said_last() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.yaml");
        std::fs::write(&file, execution("a", "")).unwrap();
        let index = Index::default();
        let mut opened = Folder::open(folder.path(), &index).unwrap();
        for broken in ["metadata: [", "", "# nothing\n"] {
            std::fs::write(&file, broken).unwrap();
            settle(&mut opened, &index);
            assert_eq!(known(&index), [("a".to_owned(), true)], "{broken:?}");
        }
        std::fs::write(&file, execution("b", "")).unwrap();
        settle(&mut opened, &index);
        assert_eq!(known(&index), [("b".to_owned(), true)]);
    }

    #[test]
    fn a_list_without_items_says_that_there_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        std::fs::write(&file, r#"{"kind":"WorkflowExecution","metadata":{"name":"a"},"spec":{}}"#).unwrap();
        let index = Index::default();
        let mut opened = Folder::open(folder.path(), &index).unwrap();
        assert_eq!(known(&index).len(), 1);
        std::fs::write(&file, r#"{"apiVersion":"v1","kind":"List","items":[]}"#).unwrap();
        settle(&mut opened, &index);
        assert_eq!(known(&index), []);
    }

    #[test]
    fn a_folder_that_never_rests_is_taken_as_it_is_found_and_is_alive() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.yaml");
        std::fs::write(&file, "").unwrap();
        let index = Index::default();
        let mut opened = Folder::open(folder.path(), &index).unwrap();
        let mut seen = Vec::new();
        for i in 1..=2 * RESTLESS as usize {
            std::fs::write(&file, execution("a", "") + &"# more\n".repeat(i)).unwrap();
            opened.scan(&index).unwrap();
            seen.push(known(&index).len());
            assert!(index.age().unwrap() < SCAN);
        }
        assert_eq!((seen[0], seen[2 * RESTLESS as usize - 1]), (0, 1), "{seen:?}");
    }

    #[test]
    fn a_file_in_the_place_of_another_is_seen_and_hidden_folders_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("state.yaml"), folder.path().join("other"));
        std::fs::write(&file, execution("a", "")).unwrap();
        let index = Index::default();
        let mut opened = Folder::open(folder.path(), &index).unwrap();
        let time = std::fs::metadata(&file).unwrap().modified().unwrap();
        std::fs::write(&other, execution("b", "")).unwrap();
        std::fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
        std::fs::rename(&other, &file).unwrap();
        std::fs::create_dir(folder.path().join(".old")).unwrap();
        std::fs::write(folder.path().join(".old/c.yaml"), execution("c", "")).unwrap();
        settle(&mut opened, &index);
        assert_eq!(known(&index), [("b".to_owned(), true)]);
    }

    fn settle(folder: &mut Folder, index: &Index) {
        folder.scan(index).unwrap();
        folder.scan(index).unwrap();
    }

    /// Nobody knows what a hold in it would say.
    #[test]
    fn a_new_file_that_cannot_be_read_lets_the_state_grow_old() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::default();
        let mut opened = Folder::open(folder.path(), &index).unwrap();
        std::fs::write(folder.path().join("new.yaml"), "metadata: [").unwrap();
        settle(&mut opened, &index);
        let age = index.age().unwrap();
        opened.scan(&index).unwrap();
        assert!(index.age().unwrap() > age, "a scan that cannot read is no sign of life");
        std::fs::remove_file(folder.path().join("new.yaml")).unwrap();
        settle(&mut opened, &index);
        let age = index.age().unwrap();
        opened.scan(&index).unwrap();
        assert!(index.age().unwrap() <= age + SCAN && opened.blind.is_empty());
    }

    #[test]
    fn what_cannot_be_read_at_the_start_is_the_callers_to_mend() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("state.yaml"), "metadata: [").unwrap();
        assert!(matches!(Folder::open(folder.path(), &Index::default()), Err(FolderError::Manifest(_))));
        let nowhere = folder.path().join("nowhere");
        assert!(matches!(Folder::open(&nowhere, &Index::default()), Err(FolderError::Folder { .. })));
    }

    #[test]
    fn what_is_not_ours_is_left_out_and_what_cannot_be_read_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = format!("apiVersion: example.com/v1\n{}", execution("a", ""));
        let nameless = "kind: WorkflowExecution\nmetadata: {}\n---\n";
        let odd = "kind: WorkflowExecution\nmetadata: {name: b}\nspec: {targetResource: 3}\n---\n";
        let service = "kind: Service\nmetadata: {name: c}\n---\n";
        let not_tektons = "apiVersion: example.com/v1\nkind: PipelineRun\nmetadata: {name: d}\n";
        std::fs::write(folder.path().join("state.yaml"), [&foreign, nameless, odd, service, not_tektons].concat())
            .unwrap();
        let index = Index::default();
        Folder::open(folder.path(), &index).unwrap();
        assert_eq!((known(&index), objects(&index)), (vec![], vec![(0, 0), (0, 1), (0, 0), (0, 0), (0, 0), (0, 0)]));
    }
}
