//! There and back: what a conversion would park, and whether an object comes home as it was.

use super::{Converted, Shape, Unconvertible, Version, bring_home, convert, same};

/// An object that went there and back.
#[derive(Clone, Debug)]
pub struct Trip {
    pub kind: &'static str,
    pub from: Version,
    /// Of one that comes from `v1alpha1`.
    pub shape: Option<Shape>,
    pub to: Version,
    /// JSON Pointers of what the other version cannot say.
    pub parked: Vec<String>,
    pub identical: bool,
}

/// Takes an object to the other version and home again.
///
/// # Errors
/// What it is cannot be told.
pub fn there_and_back(object: &str) -> Result<Trip, Unconvertible> {
    let Converted { kind, from, .. } = convert(object, Version::V1beta1)?;
    let to = from.other();
    let there = convert(object, to)?;
    let home = bring_home(&String::from_utf8_lossy(&there.json), from)?;
    let identical = same(&String::from_utf8_lossy(&home.json), object);
    Ok(Trip { kind, from, shape: there.shape, to, parked: there.parked, identical })
}
