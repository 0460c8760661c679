//! What one shape says, said by another: the visible members alone. What the other has no word for is left out; `park` sees to
//! it that it is not lost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use super::node::Node;
use super::table::{KINDS, Kind, Otherwise, Row, Shape, Values};
use super::target;
use crate::api::duration::GoDuration;
use crate::api::facts::Timestamp;

/// Where an object comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Hub,
    V1alpha1(Shape),
}

/// Turns the visible members of an object of one side into those of the other.
pub(super) fn carry(object: &mut Node<'_>, kind: &Kind, from: Side, to: Side) {
    let target = (kind.name == "WorkflowExecution").then(|| target::take(object, from));
    let deadline = (kind.name == "WorkflowExecution").then(|| take_deadline(object, from)).flatten();
    // Everything leaves before anything arrives: one side's name may be another member's on the other.
    let mut taken = Vec::new();
    let way = way(kind, from, to);
    for (parent, leaving) in &way.leaving {
        let Some(members) = object.at(parent).and_then(Node::open) else { continue };
        members.retain_mut(|(name, value)| {
            let Some(place) = leaving.get(&**name) else { return true };
            taken.extend(place.map(|place| (place, std::mem::replace(value, Node::empty()))));
            false
        });
    }
    for group in &way.dissolved {
        object.take(group);
    }
    for (name, value) in taken {
        object.put(name, value);
    }
    if let Some(target) = target.flatten() {
        target::put(object, to, target);
    }
    if let Some(deadline) = deadline {
        put_deadline(object, to, deadline);
    }
    match to {
        Side::Hub => {
            close(object, kind.hub_values);
            one_condition_of_a_type(object);
            asked_by_the_hub(object, kind);
        }
        Side::V1alpha1(Shape::December2025) => {
            close(object, kind.december_values);
            asked_by_december(object, kind);
        }
        Side::V1alpha1(_) => {}
    }
    // Nothing is put into a group but members: one without any was made for a value that made way.
    for group in &way.founded {
        if object.at(group).is_some_and(Node::is_empty_object) {
            object.take(group);
        }
    }
}

const SIDES: [Side; 4] =
    [Side::Hub, Side::V1alpha1(Shape::December2025), Side::V1alpha1(Shape::V1_5_7), Side::V1alpha1(Shape::August2026)];

fn place(row: &Row, side: Side) -> Option<&'static str> {
    match side {
        Side::Hub => Some(row.hub),
        Side::V1alpha1(shape) => row.of(shape),
    }
}

/// From one side to another. Made once, since every object asks.
#[derive(Default)]
struct Way {
    /// Objects, and which of their members leave for which place; None: another side means something by the name, and what
    /// stands there by chance is not that.
    leaving: Vec<(&'static str, HashMap<&'static str, Option<&'static str>>)>,
    /// Objects that are not on both sides.
    dissolved: Vec<&'static str>,
    /// Those of them that are on the side that it leads to.
    founded: Vec<&'static str>,
}

fn way(kind: &Kind, from: Side, to: Side) -> &'static Way {
    static WAYS: LazyLock<HashMap<(&str, Side, Side), Way>> = LazyLock::new(|| {
        let ways = SIDES.into_iter().flat_map(|from| SIDES.into_iter().map(move |to| (from, to)));
        let ways = ways.flat_map(|(from, to)| KINDS.into_iter().map(move |kind| (kind, from, to)));
        ways.map(|(kind, from, to)| ((kind.name, from, to), Way::new(kind, from, to))).collect()
    });
    static NOWHERE: Way = Way { leaving: Vec::new(), dissolved: Vec::new(), founded: Vec::new() };
    WAYS.get(&(kind.name, from, to)).unwrap_or(&NOWHERE)
}

impl Way {
    fn new(kind: &Kind, from: Side, to: Side) -> Self {
        let own: HashSet<_> = kind.rows.iter().filter_map(|row| place(row, from)).collect();
        let all = kind.rows.iter().flat_map(|row| SIDES.into_iter().filter_map(move |side| place(row, side)));
        let strays = all.filter(|name| !own.contains(name)).map(|name| (name, None));
        let moving = kind.rows.iter().filter(|row| place(row, from) != place(row, to));
        let moving = moving.filter_map(|row| Some((place(row, from)?, place(row, to))));
        let mut leaving = BTreeMap::<_, HashMap<_, _>>::new();
        for (path, place) in strays.chain(moving) {
            if let Some((parent, name)) = path.rsplit_once('.') {
                leaving.entry(parent).or_default().insert(name, place);
            }
        }
        let (here, there) = (groups(kind, from), groups(kind, to));
        let mut seen = HashSet::new();
        let all = SIDES.into_iter().flat_map(|side| groups(kind, side)).copied().filter(|group| seen.insert(*group));
        Self {
            leaving: leaving.into_iter().collect(),
            dissolved: all.filter(|group| !(here.contains(group) && there.contains(group))).collect(),
            founded: there.iter().copied().filter(|group| !here.contains(group)).collect(),
        }
    }
}

fn groups(kind: &Kind, side: Side) -> &'static [&'static str] {
    match side {
        Side::Hub => kind.hub_groups,
        Side::V1alpha1(shape) => shape.of(kind.groups),
    }
}

/// Values that the other side's schema does not know make way for one that it does.
fn close(object: &mut Node<'_>, values: &[Values]) {
    for Values { path, known, otherwise } in values {
        let Some(found) = object.at(path) else { continue };
        let text = found.text().map(std::borrow::Cow::into_owned);
        if text.as_deref().is_some_and(|text| known.contains(&text)) {
            continue;
        }
        let instead = match otherwise {
            Otherwise::Absent => None,
            Otherwise::Is(value) => Some(*value),
            Otherwise::Near(near, last) => {
                let near = near.iter().find(|(far, _)| text.as_deref() == Some(*far)).map(|(_, near)| *near);
                near.or(*last)
            }
        };
        match instead {
            Some(value) => drop(object.put(path, Node::string(value))),
            None => drop(object.take(path)),
        }
    }
}

/// The hub's conditions are a map by type: of two of one type the first stays.
fn one_condition_of_a_type(object: &mut Node<'_>) {
    let Some(conditions) = object.at("status.conditions") else { return };
    if conditions.names_each_once() {
        return;
    }
    // Looked at beside it: where nothing goes it stays the text that it is.
    let mut beside = conditions.clone();
    let mut seen = HashSet::new();
    let stays = beside.items().into_iter().flatten().map(|condition| {
        let kind = condition.get("type").and_then(|kind| kind.text());
        kind.is_none_or(|kind| seen.insert(kind))
    });
    let stays: Vec<bool> = stays.collect();
    if stays.contains(&false)
        && let Some(conditions) = conditions.items()
    {
        let mut stays = stays.into_iter();
        conditions.retain(|_| stays.next().unwrap_or(true));
    }
}

fn asked_by_the_hub(object: &mut Node<'_>, kind: &Kind) {
    if kind.name != "WorkflowExecution" {
        return;
    }
    let Some(workflow) = object.at("spec.workflowRef") else { return };
    if !workflow.is_object() {
        return;
    }
    let id = workflow.get("workflowId").and_then(|id| id.text().map(std::borrow::Cow::into_owned));
    for (name, value) in [("workflowName", id.as_deref().unwrap_or(UNTOLD)), ("actionType", UNTOLD)] {
        if workflow.get(name).is_none() {
            workflow.put(name, Node::string(value));
        }
    }
}

fn asked_by_december(object: &mut Node<'_>, kind: &Kind) {
    let details = "status.failureDetails.executionTimeBeforeFailure";
    if kind.name == "WorkflowExecution"
        && object.at("status.failureDetails").is_some_and(Node::is_object)
        && object.at(details).is_none()
    {
        object.put(details, Node::string("0s"));
    }
}

/// What December 2025 does not say of a workflow.
const UNTOLD: &str = "Unknown";

fn created(object: &mut Node<'_>) -> Option<Timestamp> {
    object.at("metadata.creationTimestamp")?.text()?.parse().ok()
}

/// The relative timeout of December 2025 and 1.5.7, made absolute; August 2026 and the hub say the same by a row.
fn take_deadline(object: &mut Node<'_>, from: Side) -> Option<Timestamp> {
    match from {
        Side::V1alpha1(Shape::December2025 | Shape::V1_5_7) => {
            let timeout = object.take("spec.executionConfig.timeout")?;
            let timeout: GoDuration = timeout.text()?.parse().ok()?;
            created(object)?.checked_add(timeout.get()).ok()
        }
        Side::Hub => object.at("spec.deadline")?.text()?.parse().ok(),
        Side::V1alpha1(Shape::August2026) => None,
    }
}

fn put_deadline(object: &mut Node<'_>, to: Side, at: Timestamp) {
    match to {
        Side::Hub => drop(object.put("spec.deadline", Node::string(&at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))),
        Side::V1alpha1(Shape::December2025 | Shape::V1_5_7) => {
            let Some(created) = created(object) else { return };
            let Ok(seconds) = u64::try_from(at.as_second() - created.as_second()) else { return };
            object.put("spec.executionConfig.timeout", Node::string(&GoDuration::seconds(seconds).as_stored()));
        }
        Side::V1alpha1(Shape::August2026) => {}
    }
}
