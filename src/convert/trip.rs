//! There and back: what a conversion would park, and whether an object comes home as it was.

use super::{Unconvertible, Version, convert, same};

/// An object that went there and back.
#[derive(Clone, Debug)]
pub struct Trip {
    pub from: Version,
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
    let from = convert(object, Version::V1beta1)?.from;
    let to = from.other();
    let there = convert(object, to)?;
    let home = convert(&String::from_utf8_lossy(&there.json), from)?;
    let identical = same(&String::from_utf8_lossy(&home.json), object);
    Ok(Trip { from, to, parked: there.parked, identical })
}
