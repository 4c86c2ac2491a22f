//! The U-Net's way down: what the white-box image encoder is made of.

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use super::blocks::{Condition, DownBlock, LevelConfig, MidBlock};
use super::config::{DownBlockType, UNetConfig};
use super::time::TimeEmbedding;
use super::transformer::TransformerConfig;
use crate::diffusion::context::Context;
use crate::diffusion::resnet::BlockConfig;
use crate::nn::conv::{Conv2d, ConvConfig};

/// `conv_in`, `time_embedding`, `down_blocks` and `mid_block`.
#[derive(Clone, Debug)]
pub struct UNetEncoder {
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    channels: usize,
}

/// What the way down comes to.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// (batch, height, width, channels) after the mid block, at the coarsest level.
    pub bottom: Tensor,
    /// What the way up takes, in the order it was made.
    pub(super) skips: Vec<Tensor>,
    /// (batch, time length)
    pub(super) time: Tensor,
}

impl UNetConfig {
    /// What the blocks of `level` are made with.
    pub(super) fn level(&self, level: usize, sees_prompt: bool) -> LevelConfig {
        let transformer = TransformerConfig {
            heads: self.attention_head_dim.at(level),
            context: self.cross_attention_dim,
            groups: self.norm_num_groups,
            linear: self.use_linear_projection,
        };
        LevelConfig {
            block: BlockConfig {
                groups: self.norm_num_groups,
                eps: self.norm_eps,
                time: self.block_out_channels.first().map(|channels| 4 * channels),
            },
            transformer: sees_prompt.then_some(transformer),
        }
    }
}

impl UNetEncoder {
    /// Reads the network, or starts it for training.
    ///
    /// # Errors
    /// If the levels do not agree, or a weight is missing or of another shape.
    pub fn new(config: &UNetConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let channels = &config.block_out_channels;
        let (first, last) = (channels[0], channels.len() - 1);
        let down_blocks = config
            .down_block_types
            .iter()
            .enumerate()
            .map(|(level, kind)| {
                DownBlock::new(
                    channels[level.saturating_sub(1)],
                    channels[level],
                    config.layers_per_block,
                    level == last,
                    config.level(level, *kind == DownBlockType::CrossAttention),
                    &vb.pp("down_blocks").pp(level),
                )
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            conv_in: Conv2d::new(
                config.in_channels,
                first,
                ConvConfig::SAME,
                vb.pp("conv_in"),
            )?,
            time_embedding: TimeEmbedding::new(
                first,
                4 * first,
                config.flip_sin_to_cos,
                config.freq_shift,
                &vb.pp("time_embedding"),
            )?,
            down_blocks,
            mid_block: MidBlock::new(
                channels[last],
                config.level(last, true),
                &vb.pp("mid_block"),
            )?,
            channels: channels[last],
        })
    }

    /// Channels of [`Encoded::bottom`].
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// `latents` is (batch, channels, height, width); one of `steps` each.
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn forward(&self, latents: &Tensor, steps: &[f32], context: &Context) -> Result<Encoded> {
        let time = self.time_embedding.forward(steps, latents.device())?;
        let condition = Condition {
            time: &time,
            context,
        };
        let mut x = self.conv_in.forward(&latents.permute((0, 2, 3, 1))?)?;
        let mut skips = vec![x.clone()];
        for block in &self.down_blocks {
            x = block.forward(&x, condition, &mut skips)?;
        }
        let bottom = self.mid_block.forward(&x, condition)?;
        Ok(Encoded {
            bottom,
            skips,
            time,
        })
    }
}
