//! Training: loss, optimiser, checkpoints, and the loop that ties them together.

pub mod checkpoint;
pub mod contrastive;
pub mod fit;
pub mod log;
pub mod loss;
pub mod optim;
pub mod parameters;
pub mod recipe;
pub mod schedule;
pub mod set;
pub mod targets;
