//! The routing keeper: what becomes of an execution is written on its request, where routing looks for it.

mod hand;
mod plan;
#[cfg(test)]
mod tests;

pub use hand::Keeper;
pub use plan::{Counts, End, Request, Seen, Step, plan, settled};
