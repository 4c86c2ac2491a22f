//! Training: loss, optimiser, checkpoints, and the loop that ties them together.

pub mod adapt;
pub mod attributes;
pub mod autoencoder;
mod average;
pub mod checker;
pub mod checkpoint;
pub mod contrast;
pub mod contrastive;
pub mod curriculum;
pub mod denoise;
pub mod diffusion;
pub mod ensemble;
pub mod features;
pub mod fit;
mod given;
mod gradients;
pub mod graft;
pub mod joint;
pub mod log;
pub mod loss;
pub mod optim;
mod out;
pub mod parameters;
mod predict;
mod provenance;
pub mod recipe;
mod room;
pub mod schedule;
pub mod set;
pub mod start;
pub mod targets;
pub mod task;
pub mod white_box;
mod workers;

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};

/// `value` as the text of the JSON file at `path`.
fn to_json(value: &impl Serialize, path: &Path) -> Result<String> {
    let json = serde_json::to_string_pretty(value).map_err(|source| Error::ModelConfig {
        path: path.to_owned(),
        source,
    })?;
    Ok(json + "\n")
}
