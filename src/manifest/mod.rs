//! Files of manifests: YAML or JSON, many documents, `List` kinds taken apart. In: a path, `-` for standard input.
//! Out: each object as JSON text, with its place. Never: judges what is in them.
//! Fails: one line with file, document and line.

mod scalar;
mod text;
mod yaml;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::facts::{Mapping, plainly};

/// One object of a file.
#[derive(Clone, Debug)]
pub struct Document {
    pub place: Place,
    /// The object as JSON: as it stands in a JSON file, carried over from YAML.
    pub json: String,
    pub kind: String,
    pub api_version: String,
}

impl Document {
    /// The API group; empty for the core group, and where none is named.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    /// Counted from 1; none where the file holds one document.
    pub document: Option<usize>,
    /// Index in a `List`, and in the Lists in it.
    pub items: Vec<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(document) = self.document {
            write!(f, ": document {document}")?;
        }
        for (depth, item) in self.items.iter().enumerate() {
            write!(f, "{}items[{item}]", if depth == 0 { ": " } else { "." })?;
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("{file}: cannot be read: {error}")]
    Unreadable { file: Arc<str>, error: std::io::Error },
    #[error("{file}: no .yaml, .yml or .json file in this folder (those below it are not read)")]
    NoManifest { file: Arc<str> },
    #[error("{file}: {problem}")]
    NoText { file: Arc<str>, problem: &'static str },
    #[error("{file}: no object in it{}", if &**file == STANDARD_INPUT { " (or it was read already)" } else { "" })]
    Nothing { file: Arc<str> },
    #[error("{place}: {problem}")]
    Syntax { place: Place, problem: String },
}

const STANDARD_INPUT: &str = "standard input";

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// Where the file cannot be read, or is neither YAML nor JSON.
pub fn read(path: &Path) -> Result<Vec<Document>, ManifestError> {
    let (file, text) = source(path)?;
    parse(&file, &text)
}

/// Reads a file that should hold something; an empty List is something.
///
/// # Errors
/// As [`read`], and where there is no document at all.
pub fn read_some(path: &Path) -> Result<Vec<Document>, ManifestError> {
    let (file, text) = source(path)?;
    let texts = texts(&file, &text)?;
    if texts.is_empty() { Err(ManifestError::Nothing { file }) } else { all_apart(&file, texts) }
}

/// Reads each path that somebody named: a file, standard input for `-`, or the manifests of a folder in the order of their
/// names, as kubectl does. A file of a folder may hold nothing.
pub fn read_named(paths: &[PathBuf]) -> impl Iterator<Item = Result<Vec<Document>, ManifestError>> {
    paths.iter().flat_map(|path| {
        if !path.is_dir() {
            return vec![read_some(path)];
        }
        match files_in(path) {
            Ok(files) => files.iter().map(|file| read(file)).collect(),
            Err(error) => vec![Err(error)],
        }
    })
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let file: Arc<str> = folder.display().to_string().into();
    let unreadable = |error| ManifestError::Unreadable { file: file.clone(), error };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if is_manifest(&path) && !is_hidden(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(ManifestError::NoManifest { file }) } else { Ok(files) }
}

fn source(path: &Path) -> Result<(Arc<str>, String), ManifestError> {
    let file: Arc<str> = if path == Path::new("-") { STANDARD_INPUT.into() } else { path.display().to_string().into() };
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) => return Err(ManifestError::Unreadable { file, error }),
    };
    match text::decode(bytes) {
        Ok(text) => Ok((file, text)),
        Err(problem) => Err(ManifestError::NoText { file, problem }),
    }
}

fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(path)
}

/// The manifest files below a folder, in the order of their paths.
///
/// # Errors
/// Where a folder cannot be read.
pub fn files_below(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            // Links to folders are not followed: they make loops. A pipe or a device would be waited on for ever.
            if is_hidden(&path) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if is_manifest(&path) && std::fs::metadata(&path).map_or(true, |metadata| metadata.is_file()) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Names that begin with a dot are somebody's editor's, or a version control's.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

/// By its ending.
fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end.eq_ignore_ascii_case(known)))
}

/// Takes a text apart into its objects.
///
/// # Errors
/// Where it is neither YAML nor JSON, or holds something that is no object.
pub fn parse(file: &Arc<str>, text: &str) -> Result<Vec<Document>, ManifestError> {
    all_apart(file, texts(file, text)?)
}

/// Each document as JSON.
fn texts(file: &Arc<str>, text: &str) -> Result<Vec<String>, ManifestError> {
    if looks_like_json(text) { json_documents(file, text) } else { yaml_documents(file, text) }
}

fn all_apart(file: &Arc<str>, texts: Vec<String>) -> Result<Vec<Document>, ManifestError> {
    let many = texts.len() > 1;
    let mut documents = Vec::with_capacity(texts.len());
    for (index, json) in texts.into_iter().enumerate() {
        let place = Place { file: file.clone(), document: many.then_some(index + 1), items: Vec::new() };
        take_apart(place, json, &mut documents)?;
    }
    Ok(documents)
}

/// Each part of it; one that says nothing is none.
fn looks_like_json(text: &str) -> bool {
    let mut parts = parts(text).into_iter().map(str::trim).filter(|part| !part.is_empty()).peekable();
    parts.peek().is_some() && parts.all(|part| part.starts_with('{'))
}

fn json_documents(file: &Arc<str>, text: &str) -> Result<Vec<String>, ManifestError> {
    let mut documents = Vec::new();
    for part in parts(text) {
        for document in serde_json::Deserializer::from_str(part).into_iter::<Box<RawValue>>() {
            let raw = document.map_err(|error| {
                let document = (!documents.is_empty()).then_some(documents.len() + 1);
                let place = Place { file: file.clone(), document, items: Vec::new() };
                ManifestError::Syntax { place, problem: format!("not JSON: {error}") }
            })?;
            documents.push(text::without_lone_surrogates(String::from(Box::<str>::from(raw))));
        }
    }
    Ok(documents)
}

/// What stands between the lines `---` of a YAML stream. In a document of JSON there is no such line.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            parts.push(&text[from..at]);
            from = at + line.len();
        }
        at += line.len();
    }
    parts.push(&text[from..]);
    parts.into_iter().map(|part| part.trim_start_matches('\u{feff}')).collect()
}

fn yaml_documents(file: &Arc<str>, text: &str) -> Result<Vec<String>, ManifestError> {
    yaml::documents(text).map_err(|yaml::Problem(problem)| {
        let place = Place { file: file.clone(), document: None, items: Vec::new() };
        ManifestError::Syntax { place, problem }
    })
}

/// One line with line and column.
#[must_use]
pub fn yaml_problem(error: &serde_saphyr::Error) -> String {
    let place = error.location().map(|at| format!("line {}, column {}: ", at.line(), at.column())).unwrap_or_default();
    let said = first_line(&error.without_snippet().to_string());
    // The place once, in front; what a programmer could set is no help.
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    let ends = [", use ", "; use ", ", set ", "; set ", " (use", " (set"].iter().filter_map(|hint| said.find(hint));
    format!("{place}{}", ends.min().map_or(said, |at| &said[..at]))
}

fn first_line(text: &str) -> String {
    crate::line::one_line(text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default(), 200)
}

/// One object, or each item of a List, and of the Lists in it.
fn take_apart(place: Place, json: String, documents: &mut Vec<Document>) -> Result<(), ManifestError> {
    let Mapping(head): Mapping<Head<'_>> = serde_json::from_str(&json).map_err(|error| no_object(&place, &error))?;
    let (kind, api_version) = (head.kind.unwrap_or_default(), head.api_version.unwrap_or_default());
    match head.items.filter(|_| kind.ends_with("List")) {
        Some(items) => take_items(&place, items, &kind, &api_version, documents),
        None if kind == "List" => Ok(()),
        None => {
            documents.push(Document { place, json, kind, api_version });
            Ok(())
        }
    }
}

/// Each one is read once for every List around it.
const LISTS_MAX: usize = 8;

fn take_items(
    place: &Place,
    items: &RawValue,
    list: &str,
    api_version: &str,
    documents: &mut Vec<Document>,
) -> Result<(), ManifestError> {
    let fault = |problem: String| ManifestError::Syntax { place: place.clone(), problem };
    if place.items.len() >= LISTS_MAX {
        return Err(fault(format!("more than {LISTS_MAX} Lists within each other")));
    }
    let items: Option<Vec<&RawValue>> =
        serde_json::from_str(items.get()).map_err(|error| fault(format!("items: {}", plainly(&error))))?;
    for (index, item) in items.into_iter().flatten().enumerate() {
        let place = Place { items: [&*place.items, &[index]].concat(), ..place.clone() };
        let Mapping(head): Mapping<Head<'_>> =
            serde_json::from_str(item.get()).map_err(|error| no_object(&place, &error))?;
        // Items of a typed list may leave their kind to the list.
        let kind = head.kind.unwrap_or_else(|| list.trim_end_matches("List").to_owned());
        let api_version = head.api_version.unwrap_or_else(|| api_version.to_owned());
        match head.items.filter(|_| kind.ends_with("List")) {
            Some(items) => take_items(&place, items, &kind, &api_version, documents)?,
            None => documents.push(Document { place, json: item.get().to_owned(), kind, api_version }),
        }
    }
    Ok(())
}

fn no_object(place: &Place, error: &serde_json::Error) -> ManifestError {
    let problem = format!("expected a Kubernetes object with apiVersion and kind: {}", plainly(error));
    ManifestError::Syntax { place: place.clone(), problem }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    kind: Option<String>,
    api_version: Option<String>,
    #[serde(borrow, default, deserialize_with = "whatever_it_is")]
    items: Option<&'a RawValue>,
}

/// null is an empty list, which is not the same as none.
fn whatever_it_is<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<String> {
        parse(&"f".into(), text).unwrap().into_iter().map(|d| format!("{} {}", d.kind, d.place)).collect()
    }

    fn problem(text: &str) -> String {
        parse(&"f".into(), text).unwrap_err().to_string()
    }

    #[test]
    fn one_document_needs_no_number() {
        assert_eq!(kinds("kind: A\napiVersion: v1\n"), ["A f"]);
        assert_eq!(kinds(r#"{"kind":"A"}"#), ["A f"]);
    }

    #[test]
    fn yaml_keeps_the_order_of_its_members_and_its_whole_numbers() {
        let text = "kind: A\nz: 9007199254740993\na: {'y': 1.5, x: [~, 'true']}\nb: \"\\u00e9\\n\"\n";
        let json = r#"{"kind":"A","z":9007199254740993,"a":{"y":1.5,"x":[null,"true"]},"b":"é\n"}"#;
        assert_eq!(parse(&"f".into(), text).unwrap()[0].json, json);
    }

    #[test]
    fn many_documents_and_lists_are_taken_apart_in_order() {
        assert_eq!(kinds("kind: A\n---\n---\nkind: B\n"), ["A f: document 1", "B f: document 2"]);
        assert_eq!(kinds("{\"kind\":\"A\"}\n{\"kind\":\"B\"}"), ["A f: document 1", "B f: document 2"]);
        assert_eq!(kinds(r#"{"kind":"List","items":[{"kind":"A"},{"kind":"B"}]}"#), ["A f: items[0]", "B f: items[1]"]);
        let list = |items: &str| format!(r#"{{"kind":"List","items":[{items}]}}"#);
        assert_eq!(kinds(&list(&list(r#"{"kind":"A"}"#))), ["A f: items[0].items[0]"]);
        let deep = |depth: usize| (0..depth).fold(r#"{"kind":"A"}"#.to_owned(), |inner, _| list(&inner));
        assert_eq!(kinds(&deep(8)).len(), 1);
        assert!(problem(&deep(9)).ends_with("items[0]: more than 8 Lists within each other"), "{}", problem(&deep(9)));
        // A stream of YAML, whose documents are JSON; and one in which the first only looks so.
        for stream in [
            "{\"kind\":\"A\"}\n---\n{\"kind\":\"B\"}\n",
            "---\r\n{\"kind\":\"A\"}\r\n---\r\n{\"kind\":\"B\"}\r\n---\r\n",
        ] {
            assert_eq!(kinds(stream), ["A f: document 1", "B f: document 2"], "{stream}");
        }
        assert_eq!(kinds("{\"kind\":\"A\"}\n---\nkind: B\n"), ["A f: document 1", "B f: document 2"]);
        assert!(problem("{\"kind\":\"A\"}\n---\n{\"kind\"}\n").starts_with("f: document 2: not JSON: "));
        assert_eq!(kinds(r#"{"kind":"FooList","apiVersion":"v1","items":[{"metadata":{}}]}"#), ["Foo f: items[0]"]);
    }

    #[test]
    fn an_empty_list_holds_nothing() {
        for text in ["kind: List\nitems: []\n", "kind: List\nitems:\n", "kind: List\n", "kind: FooList\nitems: null\n"]
        {
            assert_eq!(kinds(text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(kinds("kind: AllowList\n"), ["AllowList f"]);
    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        assert!(problem("a: [1\nb: 2\n").starts_with("f: not YAML: line "), "{}", problem("a: [1\nb: 2\n"));
        assert!(problem("{\"a\": NaN}").starts_with("f: not JSON: "));
        assert!(problem("just words").starts_with("f: expected a Kubernetes object"));
        assert!(problem("- 1\n- 2\n").starts_with("f: expected a Kubernetes object"));
        assert!(problem("{\"kind\":\"List\",\"items\":[3]}").starts_with("f: items[0]: expected a Kubernetes object"));
        for text in [problem("a: [1\nb: 2\n"), problem("{\"a\": NaN}"), problem("just words")] {
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }

    /// What kubectl prints of a whole cluster.
    #[test]
    fn a_stream_or_a_list_is_as_long_as_it_is() {
        let object = |index: usize| format!("kind: A\nmetadata:\n  name: a-{index}\n  labels: {{a: b, c: d, e: f}}\n");
        let stream: Vec<_> = (0..5000).map(object).collect();
        let documents = parse(&"f".into(), &stream.join("---\n")).unwrap();
        assert_eq!((documents.len(), documents[4999].place.to_string()), (5000, "f: document 5000".to_owned()));
        let indented = |object: &String| format!("- {}\n", object.trim_end().replace('\n', "\n  "));
        let list = stream.iter().map(indented).collect::<String>();
        let documents = parse(&"f".into(), &format!("kind: List\napiVersion: v1\nitems:\n{list}")).unwrap();
        assert_eq!((documents.len(), &*documents[4999].kind), (5000, "A"));
        let numbers = format!("kind: A\nl: [{}]\n", "1, ".repeat(260_000));
        assert_eq!(parse(&"f".into(), &numbers).unwrap().len(), 1);
    }

    #[test]
    fn nothing_is_no_object() {
        assert_eq!(kinds(""), Vec::<String>::new());
        assert_eq!(kinds("# only words\n"), Vec::<String>::new());
    }
}
