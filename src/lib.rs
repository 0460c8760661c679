//! lockkeeper: the gate in front of automated remediation on Kubernetes.
//!
//! ```text
//!             main → cli → run ────────────────────────────────────────┐ knows all, decides nothing
//!    SHELL    webhook             migrate   tls          telemetry     │
//!               │  └─ cluster ─ manifest │                   │         │
//!    PURE       ├──→ routing, status ──→ failure ←───────────┘         │
//!               └──→ convert ←───────────┘                     config ─┘
//!                fault    api   line
//! ```
//!
//! One request: bytes ─decode→ Review ─understand→ Request ─┐
//!              watch events → Index ─view(&Request)→ View ─┴ decide(&Request, &View, &Policy, now) → Verdict ─answer→ bytes

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing))]
// They panic where the reader is gone; see cli/output.rs.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod api;
pub mod convert;
pub mod failure;
pub mod routing;
pub mod status;

pub mod fault;
pub mod line;

pub mod cluster;
pub mod controller;
pub mod manifest;
pub mod migrate;
pub mod webhook;

pub mod telemetry;
pub mod tls;

pub mod config;

pub mod cli;
pub mod run;
