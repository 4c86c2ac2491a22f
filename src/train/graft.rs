//! Reuse for generation (docs/method.md): the way down of a U-Net that has learnt to predict prompts, put
//! back into the diffusion model that it came from.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use super::checkpoint::{write_atomically, write_tensors};
use super::out;
use super::provenance::{self, Origin};
use crate::bundle::Bundle;
use crate::diffusion::donor::{Donor, encoder_half};
use crate::diffusion::text_to_image::files as diffusion_files;
use crate::error::{Error, Result};
use crate::predictor::files;

/// Where the white box keeps the U-Net's way down.
const PREFIX: &str = "encoder.unet.";

/// Where a file of a folder is, whose own folder is made.
fn placed(folder: &Path, file: &str) -> Result<PathBuf> {
    let path = folder.join(file);
    if let Some(own) = path.parent() {
        fs::create_dir_all(own).map_err(Error::io("create", own))?;
    }
    Ok(path)
}

/// `provenance.json`: where weights come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Provenance<'a> {
    #[serde(flatten)]
    origin: Origin<'a>,
    model_sha256: String,
    encoder_sha256: String,
    share: f64,
}

/// What to put back into what, and where to.
#[derive(Clone, Debug)]
pub struct GraftRecipe {
    /// The diffusion model: a built-in one or a folder.
    pub model: String,
    /// The folder of the white box.
    pub encoder: String,
    /// How much of the white box's weights is taken, from 0 to 1; the rest is the diffusion model's own.
    pub share: f64,
    /// The folder of the diffusion model that comes of it.
    pub folder: PathBuf,
    /// The command that asked for it, for the provenance.
    pub command: String,
    /// The commit that the program was built from, for the provenance.
    pub commit: String,
}

impl GraftRecipe {
    /// Writes the diffusion model with the white box's way down. Returns how many tensors were put back.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`] if a model is not there, [`Error::NoWayDown`] if the encoder is no white box
    /// of the model's shape, [`Error::Occupied`] if the folder holds a model; else what is wrong with a file.
    pub fn run(&self) -> Result<usize> {
        let out = &self.folder;
        let device = Device::Cpu;
        let donor = Donor::open(&self.model)?;
        let white_box = Bundle::open(&self.encoder, files::CONFIG)?;
        let mut unet = donor.whole_unet(&device)?;
        let learnt: HashMap<String, Tensor> = white_box
            .tensors(files::WEIGHTS, &device)?
            .into_iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(PREFIX)?.to_owned(), tensor)))
            .collect();
        let own = encoder_half(unet.clone());
        let fits = |(name, tensor): (&String, &Tensor)| {
            learnt
                .get(name)
                .is_some_and(|learnt| learnt.dims() == tensor.dims())
        };
        if own.len() != learnt.len() || !own.iter().all(fits) {
            return Err(Error::NoWayDown {
                encoder: self.encoder.clone(),
                model: self.model.clone(),
            });
        }
        for (name, own) in own {
            let mixed = ((&learnt[&name] * self.share)? + (own * (1.0 - self.share))?)?;
            unet.insert(name, mixed);
        }
        out::prepare(out, &[], false)?;
        let halves = unet
            .into_iter()
            .map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F16)?)))
            .collect::<Result<HashMap<_, _>>>()?;
        let metadata = HashMap::from([("command".to_owned(), self.command.clone())]);
        write_tensors(
            &placed(out, diffusion_files::UNET_WEIGHTS)?,
            &halves,
            metadata,
        )?;
        for file in donor.files_beside_unet()? {
            write_atomically(&placed(out, &file)?, &donor.bytes(&file)?)?;
        }
        let provenance = Provenance {
            origin: Origin::new(&self.command, &self.commit),
            model_sha256: donor.digest()?,
            encoder_sha256: white_box.digest(&[files::WEIGHTS])?,
            share: self.share,
        };
        provenance::write(out, &provenance)?;
        Ok(learnt.len())
    }
}
