//! Sizes of a U-Net, under the keys of diffusers' `config.json`.

use serde::{Deserialize, Serialize};

/// What one level on the way down consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DownBlockType {
    /// Residual blocks alone.
    #[serde(rename = "DownBlock2D")]
    Plain,
    /// Residual blocks and transformers that see the prompt.
    #[serde(rename = "CrossAttnDownBlock2D")]
    CrossAttention,
}

/// What one level on the way up consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpBlockType {
    /// Residual blocks alone.
    #[serde(rename = "UpBlock2D")]
    Plain,
    /// Residual blocks and transformers that see the prompt.
    #[serde(rename = "CrossAttnUpBlock2D")]
    CrossAttention,
}

/// One number for all levels, or one a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerLevel {
    /// The same everywhere.
    Same(usize),
    /// From the first level down.
    Each(Vec<usize>),
}

impl PerLevel {
    /// The number of a level, or of the last one before it that has any.
    pub(super) fn at(&self, level: usize) -> usize {
        match self {
            Self::Same(number) => *number,
            Self::Each(numbers) => numbers
                .get(level)
                .or(numbers.last())
                .copied()
                .unwrap_or_default(),
        }
    }
}

/// Sizes of a conditional U-Net (`UNet2DConditionModel`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UNetConfig {
    /// Width and height of the latents.
    pub sample_size: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Levels on the way down.
    pub down_block_types: Vec<DownBlockType>,
    /// Levels on the way up, from the bottom.
    pub up_block_types: Vec<UpBlockType>,
    /// Channels of each level.
    pub block_out_channels: Vec<usize>,
    /// Layers a level on the way down; on the way up there is one more.
    pub layers_per_block: usize,
    /// Numbers a token of the context.
    pub cross_attention_dim: usize,
    /// Attention *heads*: the published key is a misnomer that its authors kept.
    pub attention_head_dim: PerLevel,
    /// Groups of group normalisation.
    #[serde(default = "defaults::norm_num_groups")]
    pub norm_num_groups: usize,
    /// Added to variances.
    #[serde(default = "defaults::norm_eps")]
    pub norm_eps: f64,
    /// Whether cosines stand before sines in the time embedding.
    #[serde(default = "defaults::flip_sin_to_cos")]
    pub flip_sin_to_cos: bool,
    /// Shift of the time embedding's frequencies.
    #[serde(default)]
    pub freq_shift: f64,
    /// Whether the transformers' projections are published as matrices.
    #[serde(default)]
    pub use_linear_projection: bool,
}

/// Settings of a published U-Net that are known in one value alone.
pub(in crate::diffusion) const FIXED: &[(&str, &str)] = &[
    ("_class_name", "\"UNet2DConditionModel\""),
    ("act_fn", "\"silu\""),
    ("addition_embed_type", "null"),
    ("center_input_sample", "false"),
    ("class_embed_type", "null"),
    ("conv_in_kernel", "3"),
    ("conv_out_kernel", "3"),
    ("downsample_padding", "1"),
    ("dual_cross_attention", "false"),
    ("encoder_hid_dim", "null"),
    ("mid_block_only_cross_attention", "false"),
    ("mid_block_scale_factor", "1"),
    ("mid_block_type", "\"UNetMidBlock2DCrossAttn\""),
    ("num_attention_heads", "null"),
    ("num_class_embeds", "null"),
    ("only_cross_attention", "false"),
    ("resnet_out_scale_factor", "1"),
    ("resnet_skip_time_act", "false"),
    ("resnet_time_scale_shift", "\"default\""),
    ("time_cond_proj_dim", "null"),
    ("time_embedding_act_fn", "null"),
    ("timestep_post_act", "null"),
    ("time_embedding_type", "\"positional\""),
    ("transformer_layers_per_block", "1"),
];

/// What diffusers takes where a published file is silent.
mod defaults {
    pub(super) fn norm_num_groups() -> usize {
        32
    }

    pub(super) fn norm_eps() -> f64 {
        1e-5
    }

    pub(super) fn flip_sin_to_cos() -> bool {
        true
    }
}

impl UNetConfig {
    /// The pocket size: 6.0 M parameters on 16 x 16 latents of `channels`, told by token states of
    /// `context` numbers.
    pub fn pocket(channels: usize, context: usize) -> Self {
        Self {
            sample_size: 16,
            in_channels: channels,
            out_channels: channels,
            down_block_types: vec![
                DownBlockType::Plain,
                DownBlockType::CrossAttention,
                DownBlockType::CrossAttention,
            ],
            up_block_types: vec![
                UpBlockType::CrossAttention,
                UpBlockType::CrossAttention,
                UpBlockType::Plain,
            ],
            block_out_channels: vec![64, 96, 128],
            layers_per_block: 1,
            cross_attention_dim: context,
            attention_head_dim: PerLevel::Same(4),
            norm_num_groups: 16,
            norm_eps: 1e-5,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            use_linear_projection: false,
        }
    }

    /// Checks that the levels agree.
    pub(super) fn check(&self) -> candle_core::Result<()> {
        let levels = self.block_out_channels.len();
        if levels == 0
            || self.down_block_types.len() != levels
            || self.up_block_types.len() != levels
        {
            candle_core::bail!(
                "a U-Net of {levels} channel counts, {} levels down and {} up",
                self.down_block_types.len(),
                self.up_block_types.len()
            );
        }
        Ok(())
    }
}
