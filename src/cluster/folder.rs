//! A folder of manifests as a source: scanned, compared, scanned again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;

use super::index::{Index, Seen, Tracked};
use crate::api::facts::{ObjectKey, RemediationRequest, WorkflowExecution};
use crate::manifest::{self, Document, ManifestError};

/// How soon a changed file is seen.
const SCAN: Duration = Duration::from_millis(500);

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
    files: HashMap<PathBuf, File>,
    /// Files that could not be read at the last scan, so that each is said once.
    broken: HashSet<PathBuf>,
}

struct File {
    stamp: Stamp,
    documents: Arc<[Document]>,
}

/// Changes when a file is written.
type Stamp = Option<(SystemTime, u64)>;

impl Folder {
    /// Reads the folder for the first time.
    ///
    /// # Errors
    /// Where the folder or a file in it cannot be read: at the start that is the caller's to mend.
    pub fn open(path: &Path, index: &Index) -> Result<Self, FolderError> {
        let mut folder = Self { path: path.to_owned(), files: HashMap::new(), broken: HashSet::new() };
        let changed = folder.scan(|_, error| Err(error.into()))?;
        debug_assert!(changed || folder.files.is_empty());
        folder.fill(index);
        Ok(folder)
    }

    /// Follows the folder until the future is dropped. A file that breaks keeps what it said last.
    pub async fn follow(mut self, index: Arc<Index>) {
        let mut ticks = tokio::time::interval(SCAN);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut lost = false;
        loop {
            ticks.tick().await;
            match self.rescan() {
                Ok(changed) => {
                    lost = false;
                    if changed {
                        self.fill(&index);
                    } else {
                        super::Input::ALL.into_iter().for_each(|input| index.alive(input));
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut lost, true) {
                        tracing::warn!(%error, "cannot scan the state folder; its last content stands and grows old");
                    }
                }
            }
        }
    }

    fn rescan(&mut self) -> Result<bool, FolderError> {
        let mut broken = std::mem::take(&mut self.broken);
        let mut now_broken = HashSet::new();
        let changed = self.scan(|path, error| {
            if !broken.remove(path) {
                tracing::warn!(%error, "keeping what this file said last");
            }
            now_broken.insert(path.to_owned());
            Ok(())
        });
        self.broken = now_broken;
        changed
    }

    /// Reads what changed since the last scan; says whether anything did.
    fn scan(
        &mut self,
        mut on_broken: impl FnMut(&Path, ManifestError) -> Result<(), FolderError>,
    ) -> Result<bool, FolderError> {
        let paths = manifest::files_below(&self.path)
            .map_err(|error| FolderError::Folder { folder: self.path.clone(), error })?;
        let present: HashSet<&PathBuf> = paths.iter().collect();
        let before = self.files.len();
        self.files.retain(|path, _| present.contains(path));
        let mut changed = self.files.len() != before;
        for path in &paths {
            let stamp = stamp(path);
            if self.files.get(path).is_some_and(|file| file.stamp == stamp && stamp.is_some()) {
                continue;
            }
            match manifest::read(path) {
                Ok(documents) => {
                    self.files.insert(path.clone(), File { stamp, documents: documents.into() });
                    changed = true;
                }
                Err(error) => on_broken(path, error)?,
            }
        }
        Ok(changed)
    }

    /// Makes the index say what the files say. Of two files that hold one object the later path counts.
    fn fill(&self, index: &Index) {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by_key(|(path, _)| *path);
        let documents = || files.iter().flat_map(|(_, file)| file.documents.iter());
        fill_kind::<RemediationRequest>(index, documents().filter(|d| d.kind == "RemediationRequest"));
        fill_kind::<WorkflowExecution>(index, documents().filter(|d| d.kind == "WorkflowExecution"));
    }
}

fn fill_kind<'a, T: Tracked>(index: &Index, documents: impl Iterator<Item = &'a Document>) {
    let mut present = HashSet::new();
    for document in documents.filter(|document| ours(document)) {
        let Some(key) = key_of(&document.json) else {
            tracing::warn!(place = %document.place, "left out: metadata.name is missing or no string");
            continue;
        };
        present.insert(key.clone());
        index.put(Seen { key, facts: T::read(&document.json) });
    }
    index.listed::<T>(&present);
    index.event(T::INPUT, Timestamp::now());
}

fn ours(document: &Document) -> bool {
    document.api_version.is_empty() || document.api_version.starts_with("kubernaut.ai/")
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
    Some((metadata.modified().ok()?, metadata.len()))
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
        assert_eq!((known(&index), objects(&index)), (all.to_vec(), vec![(0, 0), (3, 0)]), "read again");
        assert!(index.age().is_ok(), "both inputs count as listed");
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
        assert!(opened.rescan().unwrap(), "a file that went is a change");
        opened.fill(&index);
        assert_eq!(known(&index), [("a".to_owned(), true)]);
        assert!(!opened.rescan().unwrap());
    }

    #[test]
    fn a_file_that_breaks_keeps_what_it_said_last() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.yaml");
        std::fs::write(&file, execution("a", "")).unwrap();
        let index = Index::default();
        let mut opened = Folder::open(folder.path(), &index).unwrap();
        std::fs::write(&file, "metadata: [").unwrap();
        for _ in 0..2 {
            assert!(!opened.rescan().unwrap());
            assert!(opened.broken.contains(&file));
        }
        opened.fill(&index);
        assert_eq!(known(&index), [("a".to_owned(), true)]);
        std::fs::write(&file, execution("b", "")).unwrap();
        assert!(opened.rescan().unwrap() && opened.broken.is_empty());
        opened.fill(&index);
        assert_eq!(known(&index), [("b".to_owned(), true)]);
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
        let pod = "kind: Pod\nmetadata: {name: c}\n";
        std::fs::write(folder.path().join("state.yaml"), [&foreign, nameless, odd, pod].concat()).unwrap();
        let index = Index::default();
        Folder::open(folder.path(), &index).unwrap();
        assert_eq!((known(&index), objects(&index)), (vec![], vec![(0, 0), (0, 1)]));
    }
}
