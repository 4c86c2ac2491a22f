//! Training: loss, optimiser, checkpoints, and the loop that ties them together.

mod average;
pub mod checkpoint;
pub mod fit;
pub mod joint;
pub mod log;
pub mod loss;
pub mod optim;
pub mod parameters;
pub mod recipe;
pub mod schedule;
pub mod set;
pub mod targets;
pub mod task;
