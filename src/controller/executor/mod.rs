//! The executor: an admitted execution becomes a PipelineRun, and the end of that its status.

mod hand;
mod plan;
mod run;
mod status;
mod turns;

pub use hand::Executor;
pub use plan::{FINALIZER, Rules, Run, Seen, Step, plan, refused};
pub use run::name as run_name;
