//! The tables of docs/conversion.md are made of the table that converts. LOCKKEEPER_WRITE=1 writes them anew.

use std::fmt::Write;

use lockkeeper::convert::{KINDS, Kind, Otherwise, Row, Shape, Values};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conversion.md");

#[test]
fn the_tables_in_the_documentation_are_fresh() {
    let text = std::fs::read_to_string(FILE).unwrap();
    let fresh = KINDS.into_iter().fold(text.clone(), |text, kind| with_table(&text, kind));
    if std::env::var_os("LOCKKEEPER_WRITE").is_some() {
        std::fs::write(FILE, fresh).unwrap();
    } else {
        assert!(text == fresh, "docs/conversion.md is not what src/convert/table.rs says; run: make generated");
    }
}

fn with_table(text: &str, kind: &Kind) -> String {
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {edge} {} -->\n", kind.name));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{before}{begin}{}{end}{after}", table(kind))
}

fn table(kind: &Kind) -> String {
    let shapes = Shape::ALL.map(Shape::as_str).join(" | ");
    let mut text = format!("| v1beta1 | {shapes} |\n|---|---|---|---|\n");
    for Row { hub, v1alpha1 } in kind.rows {
        let places = v1alpha1.map(|place| match place {
            Some(place) if place == *hub => "same".to_owned(),
            Some(place) => format!("`{place}`"),
            None => "–".to_owned(),
        });
        writeln!(text, "| `{hub}` | {} |", places.join(" | ")).unwrap();
    }
    for (version, values) in [("v1beta1", kind.hub_values), ("2025-12", kind.december_values)] {
        writeln!(text, "\nValues that {version} knows; another one is parked, and in its place stands\n").unwrap();
        text += "| member | values | instead |\n|---|---|---|\n";
        for Values { path, known, otherwise } in values {
            writeln!(text, "| `{path}` | {} | {} |", known.join(", "), instead(otherwise)).unwrap();
        }
    }
    text
}

fn instead(otherwise: &Otherwise) -> String {
    match otherwise {
        Otherwise::Absent => "nothing".to_owned(),
        Otherwise::Is(value) => (*value).to_owned(),
        Otherwise::Near(near, last) => {
            let near = near.iter().map(|(far, near)| format!("{near} for {far}"));
            let last = last.map_or("else nothing".to_owned(), |last| format!("else {last}"));
            near.chain([last]).collect::<Vec<_>>().join(", ")
        }
    }
}
