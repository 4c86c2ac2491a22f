//! The levels of the U-Net, named as in diffusers: `resnets`, `attentions`, `downsamplers`,
//! `upsamplers`. Tensors are (batch, height, width, channels).

use candle_core::{D, Result, Tensor};
use candle_nn::{Module, VarBuilder};

use super::transformer::{SpatialTransformer, TransformerConfig};
use crate::diffusion::context::Context;
use crate::diffusion::resnet::{BlockConfig, ResnetBlock};
use crate::nn::conv::{Conv2d, ConvConfig};
use crate::nn::upsample;

/// A residual block and, on levels that see the prompt, a transformer.
#[derive(Clone, Debug)]
struct Layer {
    resnet: ResnetBlock,
    attention: Option<SpatialTransformer>,
}

/// What all blocks of a level are made with.
#[derive(Clone, Copy, Debug)]
pub(super) struct LevelConfig {
    pub(super) block: BlockConfig,
    /// `None` on levels that do not see the prompt.
    pub(super) transformer: Option<TransformerConfig>,
}

/// What every block is told besides its input.
#[derive(Clone, Copy)]
pub(super) struct Condition<'a> {
    pub(super) time: &'a Tensor,
    pub(super) context: &'a Context,
}

impl Layer {
    fn new(
        inputs: usize,
        outputs: usize,
        config: LevelConfig,
        number: usize,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let resnet = vb.pp("resnets").pp(number);
        let attention = vb.pp("attentions").pp(number);
        let transformer = |transformer| SpatialTransformer::new(outputs, transformer, &attention);
        Ok(Self {
            resnet: ResnetBlock::new(inputs, outputs, config.block, &resnet)?,
            attention: config.transformer.map(transformer).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor, condition: Condition<'_>) -> Result<Tensor> {
        let x = self.resnet.forward(x, Some(condition.time))?;
        match &self.attention {
            Some(attention) => attention.forward(&x, condition.context),
            None => Ok(x),
        }
    }
}

/// A level on the way down.
#[derive(Clone, Debug)]
pub(super) struct DownBlock {
    layers: Vec<Layer>,
    halve: Option<Conv2d>,
}

impl DownBlock {
    /// `layers` layers, then half the size unless it is the last level.
    pub(super) fn new(
        inputs: usize,
        outputs: usize,
        layers: usize,
        is_last: bool,
        config: LevelConfig,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let layers = (0..layers)
            .map(|number| {
                let inputs = if number == 0 { inputs } else { outputs };
                Layer::new(inputs, outputs, config, number, vb)
            })
            .collect::<Result<_>>()?;
        let halve = || {
            let vb = vb.pp("downsamplers").pp("0").pp("conv");
            Conv2d::new(outputs, outputs, ConvConfig::HALVE, vb)
        };
        Ok(Self {
            layers,
            halve: (!is_last).then(halve).transpose()?,
        })
    }

    /// The output; everything that the way up will want is added to `skips`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        condition: Condition<'_>,
        skips: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x, condition)?;
            skips.push(x.clone());
        }
        if let Some(halve) = &self.halve {
            x = halve.forward(&x)?;
            skips.push(x.clone());
        }
        Ok(x)
    }
}

/// The turn at the bottom: residual, transformer, residual.
#[derive(Clone, Debug)]
pub(super) struct MidBlock {
    first: Layer,
    second: ResnetBlock,
}

impl MidBlock {
    pub(super) fn new(channels: usize, config: LevelConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let second = vb.pp("resnets").pp("1");
        Ok(Self {
            first: Layer::new(channels, channels, config, 0, vb)?,
            second: ResnetBlock::new(channels, channels, config.block, &second)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, condition: Condition<'_>) -> Result<Tensor> {
        let x = self.first.forward(x, condition)?;
        self.second.forward(&x, Some(condition.time))
    }
}

/// A level on the way up.
#[derive(Clone, Debug)]
pub(super) struct UpBlock {
    layers: Vec<Layer>,
    double: Option<Conv2d>,
}

impl UpBlock {
    /// A layer for each of `skips`, the channels that come from the way down, then twice the size
    /// unless it is the last level.
    pub(super) fn new(
        inputs: usize,
        outputs: usize,
        skips: &[usize],
        is_last: bool,
        config: LevelConfig,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let layers = skips
            .iter()
            .enumerate()
            .map(|(number, skip)| {
                let inputs = if number == 0 { inputs } else { outputs };
                Layer::new(inputs + skip, outputs, config, number, vb)
            })
            .collect::<Result<_>>()?;
        let double = || {
            let vb = vb.pp("upsamplers").pp("0").pp("conv");
            Conv2d::new(outputs, outputs, ConvConfig::SAME, vb)
        };
        Ok(Self {
            layers,
            double: (!is_last).then(double).transpose()?,
        })
    }

    /// Takes its share from the end of `skips`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        condition: Condition<'_>,
        skips: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            let Some(skip) = skips.pop() else {
                candle_core::bail!("the way up is longer than the way down");
            };
            x = layer.forward(&Tensor::cat(&[&x, &skip], D::Minus1)?, condition)?;
        }
        match &self.double {
            Some(double) => double.forward(&upsample::nearest_2x(&x)?),
            None => Ok(x),
        }
    }
}
