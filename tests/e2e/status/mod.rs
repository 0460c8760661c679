//! The status webhooks on a real API server: what a status says when it leaves, and what it may not say any more.

mod away;
mod bent;
mod classified;
pub mod dialects;
mod forgery;
mod hold;
pub mod scene;
