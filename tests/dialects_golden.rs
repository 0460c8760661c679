//! The three shapes that were all called v1alpha1, each with everything that it can say: what becomes of it in v1beta1, to the
//! byte, and that it comes home. `tests/data/conversion`; LOCKKEEPER_WRITE=1 writes the v1beta1 files anew.

use std::io::Write;
use std::path::{Path, PathBuf};

use lockkeeper::convert::{KINDS, Kind, LEGACY, Shape, Version, bring_home};
use serde_json::Value;

fn over(text: &str, to: Version) -> String {
    String::from_utf8(bring_home(text, to).unwrap().json).unwrap()
}

/// With members in the order of their names.
fn canonical(text: &str) -> String {
    serde_json::from_str::<Value>(text).unwrap().to_string()
}

fn pretty(text: &str) -> String {
    serde_json::to_string_pretty(&serde_json::from_str::<Value>(text).unwrap()).unwrap() + "\n"
}

fn said(object: &Value, place: &str) -> bool {
    object.pointer(&format!("/{}", place.replace('.', "/"))).is_some()
}

fn each_shape(mut visit: impl FnMut(&Kind, Shape, &str, &Path)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conversion");
    for kind in KINDS {
        for shape in Shape::ALL {
            let file = |end: &str| folder.join(format!("{}.{}{end}.json", kind.name, shape.as_str()));
            visit(kind, shape, &std::fs::read_to_string(file("")).unwrap(), &file(".v1beta1"));
        }
    }
}

#[test]
fn each_shape_becomes_the_hub_to_the_byte_and_comes_home() {
    each_shape(|kind, shape, object, golden| {
        let there = over(object, Version::V1beta1);
        if std::env::var_os("LOCKKEEPER_WRITE").is_some() {
            std::fs::write(golden, pretty(&there)).unwrap();
        }
        let what = format!("{} of {}", kind.name, shape.as_str());
        assert!(pretty(&there) == std::fs::read_to_string(golden).unwrap(), "{what} became\n{}", pretty(&there));
        assert_eq!(bring_home(object, Version::V1beta1).unwrap().shape, Some(shape), "{what}");
        assert_eq!(canonical(&over(&there, Version::V1alpha1)), canonical(object), "{what}");
    });
}

/// The hub with everything that it can say, in v1alpha1: what that has no word for is parked, and comes home.
#[test]
fn the_hub_becomes_v1alpha1_to_the_byte_and_comes_home() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conversion");
    for kind in KINDS {
        let object = std::fs::read_to_string(folder.join(format!("{}.hub.json", kind.name))).unwrap();
        let golden = folder.join(format!("{}.hub.v1alpha1.json", kind.name));
        let there = over(&object, Version::V1alpha1);
        if std::env::var_os("LOCKKEEPER_WRITE").is_some() {
            std::fs::write(&golden, pretty(&there)).unwrap();
        }
        assert!(pretty(&there) == std::fs::read_to_string(golden).unwrap(), "{} became\n{}", kind.name, pretty(&there));
        assert_eq!(canonical(&over(&there, Version::V1beta1)), canonical(&object), "{}", kind.name);
        let (there, hub): (Value, Value) =
            (serde_json::from_str(&there).unwrap(), serde_json::from_str(&object).unwrap());
        for row in kind.rows {
            let [december, ..] = row.v1alpha1;
            // What only 1.5.7 said is shown there.
            assert!(said(&hub, row.hub) || row.hub.contains(".legacy."), "{} is not shown", row.hub);
            let wanted = december.filter(|_| said(&hub, row.hub));
            assert!(wanted.is_none_or(|place| said(&there, place)), "{december:?} of {} is not there", row.hub);
        }
    }
}

/// No row of the table without an object that shows it, in each shape that has the member.
#[test]
fn every_row_of_the_table_is_shown() {
    each_shape(|kind, shape, object, golden| {
        let object: Value = serde_json::from_str(object).unwrap();
        let hub: Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
        let place = Shape::ALL.iter().position(|known| *known == shape).unwrap();
        for row in kind.rows {
            let what = format!("{} of {}: {}", kind.name, shape.as_str(), row.hub);
            match row.v1alpha1[place] {
                Some(there) => assert!(said(&object, there) && said(&hub, row.hub), "{what} is not shown"),
                // The hub asks for these two.
                None if row.hub.ends_with(".workflowName") || row.hub.ends_with(".actionType") => {}
                // Worked out of the timeout.
                None if row.hub == "spec.deadline" => assert!(said(&hub, row.hub), "{what}"),
                None => assert!(!said(&hub, row.hub), "{what} comes from nowhere"),
            }
        }
    });
}

/// What was never anywhere else stays where everybody finds it: in the hub, and not in an annotation.
#[test]
fn of_a_whole_object_little_is_parked() {
    each_shape(|kind, shape, _, golden| {
        let hub: Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
        let parked: Value = match &hub["metadata"]["annotations"][LEGACY] {
            Value::String(text) => serde_json::from_str(text).unwrap(),
            _ => return,
        };
        let places: Vec<_> =
            parked["patch"].as_array().unwrap().iter().map(|step| step["path"].as_str().unwrap()).collect();
        assert!(places.is_empty(), "{} of {}: {places:?}", kind.name, shape.as_str());
    });
}

/// Bodies that a running Kubernaut sent, where they are present.
#[test]
fn what_kubernaut_sent_comes_home() {
    let shared = std::env::var_os("LOCKKEEPER_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let Ok(entries) = std::fs::read_dir(shared.join("data/reviews")) else {
        let _ = writeln!(std::io::stderr().lock(), "skipped: no captured reviews at {}", shared.display());
        return;
    };
    let mut count = 0;
    for path in
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "json"))
    {
        let review: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for object in
            ["object", "oldObject"].map(|side| &review["request"][side]).into_iter().filter(|side| side.is_object())
        {
            let text = object.to_string();
            let there = over(&text, Version::V1beta1);
            assert_eq!(canonical(&over(&there, Version::V1alpha1)), text, "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
