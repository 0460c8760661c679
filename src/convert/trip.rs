//! There and back: what a conversion would park, and whether an object comes home as it was.

use super::{Converted, Shape, Unconvertible, Version, bring_home, convert, is_home};

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

/// Whether an object that became another comes home from there.
///
/// # Errors
/// What it is cannot be told.
pub fn comes_home(object: &str, there: &Converted) -> Result<bool, Unconvertible> {
    // One of the shape that is served comes home as that, whatever it once came from.
    let homeward = if there.shape.unwrap_or_default() == Shape::default() { convert } else { bring_home };
    let home = homeward(&String::from_utf8_lossy(&there.json), there.from)?;
    Ok(is_home(&String::from_utf8_lossy(&home.json), object, there.from.other()))
}

/// Takes an object to the other version and home again.
///
/// # Errors
/// What it is cannot be told.
pub fn there_and_back(object: &str) -> Result<Trip, Unconvertible> {
    let Converted { kind, from, .. } = convert(object, Version::V1beta1)?;
    let to = from.other();
    let there = convert(object, to)?;
    let identical = comes_home(object, &there)?;
    Ok(Trip { kind, from, shape: there.shape, to, parked: there.parked, identical })
}
