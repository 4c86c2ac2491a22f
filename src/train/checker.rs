//! From pocket prompts to an attribute checker.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use candle_core::Device;
use serde::Serialize;

use super::attributes::AttributeTask;
use super::checkpoint::{write_atomically, write_tensors};
use super::fit::{Fit, FitOptions, FitOutcome, FitProgress};
use super::out;
use super::parameters::Parameters;
use super::provenance::{self, Origin, Ran};
use super::to_json;
use crate::checker::{CheckerConfig, CheckerNetwork, files};
use crate::error::Result;
use crate::image::encoders::EncoderConfig;
use crate::image::preprocess::Preprocess;
use crate::image::swin::SwinConfig;
use crate::pocket::{PocketPrompt, Prompts, Split};

/// What to train, on what, and where to.
#[derive(Clone, Debug)]
pub struct CheckerRecipe {
    /// Training prompts drawn from the pocket world.
    pub prompts: usize,
    /// Validation prompts drawn from the pocket world.
    pub validation_prompts: usize,
    /// The checker's folder.
    pub folder: PathBuf,
    /// Whether to go on from the folder's checkpoint.
    pub resume: bool,
    /// The command that asked for it, for the provenance.
    pub command: String,
    /// The commit that the program was built from, for the provenance.
    pub commit: String,
    /// Settings of the loop; its seed also draws the prompts and starts the network.
    pub fit: FitOptions,
}

/// `provenance.json`: where weights come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Provenance<'a> {
    #[serde(flatten)]
    origin: Origin<'a>,
    #[serde(flatten)]
    ran: Ran,
    train_prompts: usize,
    validation_prompts: usize,
    best_validation_accuracy: f64,
}

impl CheckerRecipe {
    /// Runs it; `observe` is told of progress and may stop it.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) after a stop: a run with `resume` goes on from there.
    /// [`Error::CheckpointExists`](crate::Error::CheckpointExists) and [`Error::Occupied`](crate::Error::Occupied) if the
    /// folder holds another run or model. Else what went wrong with a file or a tensor.
    pub fn run(
        &self,
        device: &Device,
        observe: &mut dyn FnMut(FitProgress<'_>) -> ControlFlow<()>,
    ) -> Result<FitOutcome> {
        out::prepare(&self.folder, &[""], self.resume)?;
        let draw = |split, count| -> Vec<PocketPrompt> {
            Prompts::new(self.fit.seed, split).take(count).collect()
        };
        let config = config();
        let json = to_json(&config, &self.folder.join(files::CONFIG))?;
        let parameters = Parameters::new(self.fit.seed);
        let network = CheckerNetwork::new(&config, &parameters.builder(device), &self.folder)?;
        let task = AttributeTask {
            network: &network,
            preprocess: &config.preprocess,
            device,
            training: &draw(Split::Train, self.prompts),
            validation: &draw(Split::Validation, self.validation_prompts),
        };
        let vars = parameters.all();
        let mut fit = Fit::new(&task, vars, device, self.fit.clone(), json.clone())?;
        let outcome = fit.run(&self.folder, self.resume, observe, &mut |_| {
            let metadata = HashMap::from([("command".to_owned(), self.command.clone())]);
            let path = self.folder.join(files::WEIGHTS);
            write_tensors(&path, &parameters.halves()?, metadata)?;
            // Last: a folder without it is no model.
            write_atomically(&self.folder.join(files::CONFIG), json.as_bytes())
        })?;
        let provenance = Provenance {
            origin: Origin::new(&self.command, &self.commit),
            ran: Ran::new(&self.fit, &outcome),
            train_prompts: self.prompts,
            validation_prompts: self.validation_prompts,
            best_validation_accuracy: outcome.best_score,
        };
        provenance::write(&self.folder, &provenance)?;
        Ok(outcome)
    }
}

/// Half the pocket Swin transformer's width: to tell attributes apart is easier than to word
/// them.
fn config() -> CheckerConfig {
    let swin = SwinConfig {
        embed_dim: 32,
        num_heads: vec![1, 2, 4],
        depths: vec![1, 2, 2],
        ..crate::image::Architecture::pocket()
    };
    CheckerConfig {
        preprocess: Preprocess::symmetric(swin.image_size),
        encoder: EncoderConfig::Swin(swin),
    }
}
