//! CLIP's image features and a perceptron on them. In (batch, 3, side, side), out (batch, width).
//!
//! The tower has learnt beforehand which text belongs to an image; the perceptron learns the rest.

mod tower;

use std::path::Path;

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};
use serde::{Deserialize, Serialize};

pub(super) use self::tower::HUGGING_FACE;
pub use self::tower::{ClipTower, ClipVisionConfig};
use super::{Architecture, ImageEncoder};
use crate::nn::frozen::frozen;
use crate::nn::mlp::Activation;
use crate::nn::trunk::Trunk;

/// Sizes of tower and perceptron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipConfig {
    /// The tower, under the key of published `config.json` files.
    pub vision_config: ClipVisionConfig,
    /// Whether training leaves the tower as it is.
    pub frozen: bool,
    /// Widths of the perceptron's layers; without any, the features are the output.
    pub trunk_widths: Vec<usize>,
}

impl ClipConfig {
    /// A published tower as it is: its features are the output.
    pub fn frozen(vision_config: ClipVisionConfig) -> Self {
        Self {
            vision_config,
            frozen: true,
            trunk_widths: vec![],
        }
    }
}

impl Architecture for ClipConfig {
    /// 1.9 M parameters in the tower, 0.4 M in the perceptron.
    fn pocket() -> Self {
        Self {
            vision_config: ClipVisionConfig {
                image_size: 64,
                patch_size: 8,
                hidden_size: 192,
                num_hidden_layers: 4,
                num_attention_heads: 3,
                intermediate_size: 768,
                projection_dim: 256,
                hidden_act: Activation::QuickGelu,
                layer_norm_eps: 1e-5,
            },
            frozen: true,
            trunk_widths: vec![512, 512],
        }
    }

    fn side(&self) -> usize {
        self.vision_config.image_size
    }

    fn build(&self, vb: VarBuilder<'_>, _: &Path) -> Result<Box<dyn ImageEncoder>> {
        Ok(Box::new(Clip::new(self, vb)?))
    }
}

/// The tower (`vision_model.*`, `visual_projection.*`) and the perceptron (`trunk.*`).
#[derive(Clone, Debug)]
pub struct Clip {
    tower: ClipTower,
    trunk: Trunk,
    frozen: bool,
    width: usize,
}

impl Clip {
    /// Reads the network, or starts it for training.
    ///
    /// # Errors
    /// If the sizes do not fit together, or a weight is missing or of another shape.
    pub fn new(config: &ClipConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let features = config.vision_config.projection_dim;
        let tower = if config.frozen {
            frozen(&vb)
        } else {
            vb.clone()
        };
        Ok(Self {
            trunk: Trunk::new(features, &config.trunk_widths, vb.pp("trunk"))?,
            tower: ClipTower::new(&config.vision_config, tower)?,
            frozen: config.frozen,
            width: *config.trunk_widths.last().unwrap_or(&features),
        })
    }
}

impl ImageEncoder for Clip {
    fn given(&self, pixels: &Tensor) -> Result<Tensor> {
        if self.frozen {
            Ok(self.tower.forward(pixels)?.detach())
        } else {
            Ok(pixels.clone())
        }
    }

    fn learnt(&self, given: &Tensor) -> Result<Tensor> {
        if self.frozen {
            self.trunk.forward(given)
        } else {
            self.trunk.forward(&self.tower.forward(given)?)
        }
    }

    fn width(&self) -> usize {
        self.width
    }

    fn frozen(&self) -> &'static [&'static str] {
        if self.frozen {
            &["vision_model.", "visual_projection."]
        } else {
            &[]
        }
    }
}
