//! What is stored: the CRDs we ship, and what we understand of objects in any of the shapes that clusters hold.
//!
//! In: JSON. Out: facts, candidates, CustomResourceDefinitions. Never: knows routing, a clock, a log.
//! Fails: with the path of the member that could not be read.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod crds;
pub mod duration;
pub mod facts;
pub mod tekton;
pub mod v1alpha1;
pub mod v1beta1;
