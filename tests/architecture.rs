//! The fence between the rooms: which room may name which. A new edge is a visible change of this table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// Room → the rooms that it may name.
const MAY_NAME: [(&str, &[&str]); 17] = [
    ("api", &[]),
    ("routing", &["api", "line"]),
    ("failure", &["api", "line"]),
    ("status", &["api", "failure", "line"]),
    ("convert", &["api", "line"]),
    ("fault", &[]),
    ("line", &[]),
    ("manifest", &["api", "line"]),
    ("cluster", &["api", "routing", "failure", "manifest", "line"]),
    ("migrate", &["api", "convert", "line"]),
    ("webhook", &["api", "convert", "routing", "failure", "status", "cluster", "fault", "telemetry", "config", "line"]),
    ("controller", &["api", "convert", "routing", "failure", "status", "cluster", "telemetry", "line"]),
    ("telemetry", &["api", "routing", "failure", "status", "fault", "line"]),
    ("tls", &[]),
    ("config", &["api", "routing", "status", "manifest"]),
    (
        "cli",
        &[
            "api",
            "routing",
            "failure",
            "convert",
            "cluster",
            "migrate",
            "webhook",
            "manifest",
            "telemetry",
            "tls",
            "config",
            "run",
            "line",
        ],
    ),
    ("run", &["api", "routing", "cluster", "controller", "webhook", "status", "telemetry", "tls", "config"]),
];

/// Rooms whose answer depends on nothing but their input.
const PURE: [&str; 7] = ["api", "convert", "routing", "failure", "status", "fault", "line"];

/// What a pure room must not name, beside what clippy denies it.
const IMPURE_CRATES: [&str; 8] =
    ["tokio", "tracing", "hyper", "axum", "parking_lot", "arc_swap", "futures", "tokio_util"];

/// A file past this many lines hides two jobs.
const LINES_MAX: usize = 700;

#[test]
fn rooms_name_only_the_rooms_they_may() {
    let table: BTreeMap<_, _> = MAY_NAME.into_iter().collect();
    let mut strays = Vec::new();
    for (room, file, paths) in rooms() {
        let may =
            table.get(room.as_str()).unwrap_or_else(|| panic!("{room} is not in the table of tests/architecture.rs"));
        for named in paths.iter().filter_map(|path| path.strip_prefix("crate::")) {
            let named = named.split("::").next().unwrap_or_default();
            if named != room && table.contains_key(named) && !may.contains(&named) {
                strays.push(format!("{}: {room} names {named}", file.display()));
            }
        }
    }
    assert_eq!(strays, Vec::<String>::new());
}

#[test]
fn every_allowed_edge_is_used() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (room, _, paths) in rooms() {
        let named = paths.iter().filter_map(|path| Some(path.strip_prefix("crate::")?.split("::").next()?.to_owned()));
        used.entry(room).or_default().extend(named);
    }
    let idle: Vec<_> = MAY_NAME
        .into_iter()
        .flat_map(|(room, may)| may.iter().map(move |other| (room, *other)))
        .filter(|(room, other)| !used.get(*room).is_some_and(|named| named.contains(*other)))
        .collect();
    assert_eq!(idle, Vec::new(), "edges of the table that nothing uses");
}

#[test]
fn pure_rooms_name_no_impure_crate() {
    let strays: Vec<_> = rooms()
        .into_iter()
        .filter(|(room, _, _)| PURE.contains(&room.as_str()))
        .flat_map(|(_, file, paths)| paths.into_iter().map(move |path| (file.clone(), path)))
        .filter(|(_, path)| IMPURE_CRATES.contains(&path.split("::").next().unwrap_or_default()))
        .collect();
    assert_eq!(strays, Vec::new());
}

#[test]
fn pure_rooms_deny_what_clippy_knows() {
    for (room, head) in [
        ("api", "api/mod.rs"),
        ("routing", "routing/mod.rs"),
        ("failure", "failure/mod.rs"),
        ("status", "status/mod.rs"),
        ("convert", "convert/mod.rs"),
        ("fault", "fault.rs"),
        ("line", "line.rs"),
    ] {
        let text = std::fs::read_to_string(source().join(head)).unwrap();
        let fence = "#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]";
        assert!(text.contains(fence), "{room} lost its fence in src/{head}");
    }
}

#[test]
fn every_room_says_what_it_is_for() {
    for (room, _) in MAY_NAME {
        let file = [format!("{room}.rs"), format!("{room}/mod.rs")]
            .map(|name| source().join(name))
            .into_iter()
            .find(|f| f.exists());
        let text = std::fs::read_to_string(file.unwrap_or_else(|| panic!("{room} has no file"))).unwrap();
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for word in ["Never:", "Fails:"] {
            assert!(
                head.contains(word) || room == "run" || room == "cli" && word == "Never:",
                "{room}: its head lacks {word}"
            );
        }
    }
}

#[test]
fn no_file_hides_two_jobs() {
    let long: Vec<_> = files_below(&source())
        .into_iter()
        .map(|file| (std::fs::read_to_string(&file).unwrap().lines().count(), file))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .collect();
    assert_eq!(long, Vec::new());
}

/// Every file of a room with the paths that it names, tests left out.
fn rooms() -> Vec<(String, PathBuf, Vec<String>)> {
    files_below(&source())
        .into_iter()
        .filter_map(|file| {
            let first = file.strip_prefix(source()).unwrap().components().next()?;
            let room = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
            if matches!(room.as_str(), "main" | "lib") {
                return None;
            }
            let mut paths = Paths::default();
            paths.visit_file(&syn::parse_file(&std::fs::read_to_string(&file).unwrap()).unwrap());
            Some((room, file, paths.0))
        })
        .collect()
}

#[derive(Default)]
struct Paths(Vec<String>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        use_paths(&item.tree, String::new(), &mut self.0);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.0.push(parts.join("::"));
        syn::visit::visit_path(self, path);
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

fn use_paths(tree: &syn::UseTree, before: String, paths: &mut Vec<String>) {
    let join = |name: &syn::Ident| if before.is_empty() { name.to_string() } else { format!("{before}::{name}") };
    match tree {
        syn::UseTree::Path(path) => use_paths(&path.tree, join(&path.ident), paths),
        syn::UseTree::Name(name) => paths.push(join(&name.ident)),
        syn::UseTree::Rename(rename) => paths.push(join(&rename.ident)),
        syn::UseTree::Glob(_) => paths.push(before),
        syn::UseTree::Group(group) => group.items.iter().for_each(|item| use_paths(item, before.clone(), paths)),
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
