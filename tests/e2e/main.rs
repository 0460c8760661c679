//! lockkeeper in front of a real kube-apiserver: registered, called, obeyed.

#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod chart;
mod conversion;
mod dialects;
mod executor;
mod gate;
mod hands_off;
mod keeper;
mod lag;
mod lifecycle;
mod migrate;
mod reasons;
mod runs;
mod stage;
mod status;
mod streams;
