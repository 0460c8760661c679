//! What no shape has a word for stays where it is, so it is laid aside while the rest is turned: an object of a hundred thousand
//! members then costs what they weigh, not what all that looks for a member would take among them.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::node::{Members, Node};
use super::table::{KINDS, Kind, Shape};

/// Of the object itself, its spec and its status.
pub(super) type Aside<'a> = [Members<'a>; 3];

/// Places of ours that are in no row.
const OURS: [&str; 13] = [
    "apiVersion",
    "kind",
    "metadata",
    "spec.targetResource",
    "spec.clusterID",
    "spec.target",
    "spec.deadline",
    "spec.executionConfig",
    "spec.workflowRef",
    "spec.legacy",
    "status.conditions",
    "status.failureDetails",
    "status.legacy",
];

/// The members of an object, its spec and its status that some shape means something by.
fn known(kind: &Kind) -> &'static [HashSet<&'static str>; 3] {
    static KNOWN: LazyLock<HashMap<&str, [HashSet<&'static str>; 3]>> =
        LazyLock::new(|| KINDS.into_iter().map(|kind| (kind.name, known_of(kind))).collect());
    static NOTHING: LazyLock<[HashSet<&'static str>; 3]> = LazyLock::new(Default::default);
    KNOWN.get(kind.name).unwrap_or(&NOTHING)
}

fn known_of(kind: &Kind) -> [HashSet<&'static str>; 3] {
    let rows = kind.rows.iter().flat_map(|row| row.v1alpha1.into_iter().flatten().chain([row.hub]));
    let shapes = Shape::ALL.into_iter().flat_map(|shape| [shape.of(kind.groups), shape.of(kind.marks)]);
    let groups = shapes.chain([kind.hub_groups]).flatten().copied();
    let values = kind.hub_values.iter().chain(kind.december_values).map(|values| values.path);
    let mut known: [HashSet<&'static str>; 3] = Default::default();
    let [root, spec, status] = &mut known;
    for path in OURS.into_iter().chain(rows).chain(groups).chain(values) {
        let mut names = path.split('.');
        let first = names.next().unwrap_or_default();
        root.insert(first);
        match first {
            "spec" => spec.extend(names.next()),
            "status" => status.extend(names.next()),
            _ => {}
        }
    }
    known
}

/// Where the members that are laid aside belong.
const PARENTS: [Option<&str>; 3] = [None, Some("spec"), Some("status")];

fn members<'n, 'a>(object: &'n mut Node<'a>, parent: Option<&str>) -> Option<&'n mut Members<'a>> {
    match parent {
        Some(parent) => object.get(parent)?.open(),
        None => object.open(),
    }
}

/// Takes them out. Of a known member that is there twice the last counts, as with every decoder of the API server.
pub(super) fn take<'a>(object: &mut Node<'a>, kind: &Kind) -> Aside<'a> {
    let mut aside = Aside::default();
    for ((parent, known), aside) in PARENTS.into_iter().zip(known(kind)).zip(&mut aside) {
        let Some(members) = members(object, parent) else { continue };
        let all = std::mem::take(members);
        for (name, value) in all {
            if !known.contains(&*name) {
                aside.push((name, value));
            } else if let Some((_, place)) = members.iter_mut().find(|(known, _)| *known == name) {
                *place = value;
            } else {
                members.push((name, value));
            }
        }
    }
    aside
}

pub(super) fn put_back<'a>(object: &mut Node<'a>, aside: Aside<'a>) {
    for (parent, aside) in PARENTS.into_iter().zip(aside) {
        if let Some(members) = members(object, parent) {
            members.extend(aside);
        }
    }
}
