//! The attribute checker: which meaning a pocket image shows. It judges generated images, and has only
//! ever seen rendered ones.

pub mod agreement;

use std::path::Path;

use candle_core::{Device, Result as TensorResult, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::device::in_pieces;
use crate::error::Result;
use crate::heads::attributes::AttributeHeads;
use crate::image::ImageEncoder;
use crate::image::encoders::EncoderConfig;
use crate::image::preprocess::Preprocess;
use crate::pocket::Meaning;

/// Names of the files in a checker's folder.
pub mod files {
    /// Everything needed to run the checker but its weights.
    pub const CONFIG: &str = "checker.json";
    /// The weights, in half precision.
    pub const WEIGHTS: &str = "model.safetensors";
}

/// `checker.json` of a checker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckerConfig {
    /// The image encoder.
    pub encoder: EncoderConfig,
    /// How images are made ready for it.
    pub preprocess: Preprocess,
}

/// The network: encoder (`encoder.*`) and heads (`heads.*`).
pub struct CheckerNetwork {
    encoder: Box<dyn ImageEncoder>,
    heads: AttributeHeads,
}

impl CheckerNetwork {
    /// Reads the network, or starts it for training; `folder` is where the files are that its encoder reads beside its
    /// weights.
    ///
    /// # Errors
    /// If a weight is missing or of another shape, or a file is damaged.
    pub fn new(config: &CheckerConfig, vb: &VarBuilder<'_>, folder: &Path) -> TensorResult<Self> {
        let encoder = config.encoder.build(vb.pp("encoder"), folder)?;
        let heads = AttributeHeads::new(encoder.width(), vb.pp("heads"))?;
        Ok(Self { encoder, heads })
    }

    /// In (batch, 3, side, side), preprocessed; out as [`AttributeHeads::forward`].
    ///
    /// # Errors
    /// If the input has another shape.
    pub fn forward(&self, pixels: &Tensor) -> TensorResult<Vec<Tensor>> {
        self.heads.forward(&self.encoder.forward(pixels)?)
    }
}

/// The checker, loaded.
pub struct Checker {
    config: CheckerConfig,
    network: CheckerNetwork,
    device: Device,
}

/// Images that go through the network together.
const BATCH_IMAGES: usize = 32;

impl Checker {
    /// Loads a checker by the name of a built-in one, or from a folder.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`](crate::Error::UnknownBundle) if it is neither; else what is wrong with a
    /// file.
    pub fn open(name_or_folder: &str, device: &Device) -> Result<Self> {
        let bundle = Bundle::open(name_or_folder, files::CONFIG)?;
        let config: CheckerConfig = bundle.json(files::CONFIG)?;
        let checked = config.encoder.check(&config.preprocess);
        checked.map_err(|source| bundle.failed(files::CONFIG, source))?;
        let vb = bundle.weights(files::WEIGHTS, device)?;
        let network = CheckerNetwork::new(&config, &vb, &bundle.path(""))
            .map_err(|source| bundle.failed(files::WEIGHTS, source))?;
        Ok(Self {
            config,
            network,
            device: device.clone(),
        })
    }

    /// The likeliest meaning of each image, in order.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn read(&self, images: &[RgbImage]) -> Result<Vec<Meaning>> {
        in_pieces(images, BATCH_IMAGES, &self.device, |piece| {
            let pixels = self.config.preprocess.batch(piece, &self.device)?;
            Ok(likeliest(&self.network.forward(&pixels)?)?)
        })
    }
}

/// The meaning of the likeliest value of each attribute, from what [`AttributeHeads::forward`] says.
///
/// # Errors
/// If a tensor operation fails.
pub fn likeliest(attributes: &[Tensor]) -> TensorResult<Vec<Meaning>> {
    let values = attributes
        .iter()
        .map(|scores| scores.argmax(1)?.to_vec1::<u32>())
        .collect::<TensorResult<Vec<_>>>()?;
    let count = values.first().map_or(0, Vec::len);
    let meaning = |image: usize| {
        let mut own = [0; Meaning::RADICES.len()];
        for (own, values) in own.iter_mut().zip(&values) {
            *own = values[image] as usize;
        }
        Meaning::from_values(own)
    };
    Ok((0..count).map(meaning).collect())
}
