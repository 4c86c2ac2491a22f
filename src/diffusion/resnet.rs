//! The residual block of diffusers (`ResnetBlock2D`), in U-Nets told the time.
//! In (batch, height, width, inputs), out (batch, height, width, outputs).

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use crate::nn::conv::{Conv2d, ConvConfig};
use crate::nn::group_norm::GroupNorm;
use crate::nn::linear::Linear;
use crate::nn::ops;

/// Norm, SiLU, convolution, twice; the input is added to what comes out.
#[derive(Clone, Debug)]
pub(super) struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
}

/// What blocks of one network share.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockConfig {
    pub(super) groups: usize,
    pub(super) eps: f64,
    /// Length of a time embedding; `None` where there is no time.
    pub(super) time: Option<usize>,
}

impl ResnetBlock {
    pub(super) fn new(
        inputs: usize,
        outputs: usize,
        config: BlockConfig,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let norm = |channels, name: &str| {
            GroupNorm::new(config.groups, channels, config.eps, vb.pp(name))
                .map(GroupNorm::with_silu)
        };
        let time = |length| Linear::new(length, outputs, vb.pp("time_emb_proj"));
        let shortcut = || {
            Conv2d::new(
                inputs,
                outputs,
                ConvConfig::POINTWISE,
                vb.pp("conv_shortcut"),
            )
        };
        Ok(Self {
            norm1: norm(inputs, "norm1")?,
            conv1: Conv2d::new(inputs, outputs, ConvConfig::SAME, vb.pp("conv1"))?,
            time_emb_proj: config.time.map(time).transpose()?,
            norm2: norm(outputs, "norm2")?,
            conv2: Conv2d::zero(outputs, outputs, ConvConfig::SAME, vb.pp("conv2"))?,
            conv_shortcut: (inputs != outputs).then(shortcut).transpose()?,
        })
    }

    /// `time` is (batch, time length) after SiLU, where the block was made with one.
    pub(super) fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let mut h = self.conv1.forward(&self.norm1.forward(x)?)?;
        if let (Some(time), Some(project)) = (time, &self.time_emb_proj) {
            h = ops::add_bias(&h, &project.forward(time)?)?;
        }
        let h = self.conv2.forward(&self.norm2.forward(&h)?)?;
        match &self.conv_shortcut {
            Some(shortcut) => shortcut.forward(x)? + h,
            None => x + h,
        }
    }
}
