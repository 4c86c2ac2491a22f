//! The conditional U-Net of latent diffusion (Rombach et al., 2022, s. 3.3), with the variable names of
//! diffusers' `UNet2DConditionModel`: the same module is the pocket model and Stable Diffusion's.

mod blocks;
pub mod config;
pub mod encoder;
mod time;
mod transformer;

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

use self::blocks::{Condition, UpBlock};
use self::config::{UNetConfig, UpBlockType};
use self::encoder::UNetEncoder;
use super::context::Context;
use crate::nn::conv::{Conv2d, ConvConfig};
use crate::nn::group_norm::GroupNorm;

/// The whole network: the way down, the way up.
#[derive(Clone, Debug)]
pub struct UNet {
    encoder: UNetEncoder,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl UNet {
    /// Reads the network, or starts it for training.
    ///
    /// # Errors
    /// If the levels do not agree, or a weight is missing or of another shape.
    pub fn new(config: &UNetConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let encoder = UNetEncoder::new(config, vb)?;
        let channels = &config.block_out_channels;
        let (first, levels) = (channels[0], channels.len());
        let mut skips = skip_channels(config);
        let up_blocks = config
            .up_block_types
            .iter()
            .enumerate()
            .map(|(number, kind)| {
                let level = levels - 1 - number;
                let mut own = skips.split_off(skips.len() - config.layers_per_block - 1);
                own.reverse();
                UpBlock::new(
                    channels[(level + 1).min(levels - 1)],
                    channels[level],
                    &own,
                    level == 0,
                    config.level(level, *kind == UpBlockType::CrossAttention),
                    &vb.pp("up_blocks").pp(number),
                )
            })
            .collect::<Result<_>>()?;
        let norm = GroupNorm::new(
            config.norm_num_groups,
            first,
            config.norm_eps,
            vb.pp("conv_norm_out"),
        )?;
        let outputs = config.out_channels;
        Ok(Self {
            encoder,
            up_blocks,
            conv_norm_out: norm.with_silu(),
            conv_out: Conv2d::new(first, outputs, ConvConfig::SAME, vb.pp("conv_out"))?,
        })
    }

    /// What the network makes of noisy latents (batch, channels, height, width), each at its own of
    /// `steps`, told by `context`: the shape stays.
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn forward(&self, latents: &Tensor, steps: &[f32], context: &Context) -> Result<Tensor> {
        let mut encoded = self.encoder.forward(latents, steps, context)?;
        let condition = Condition {
            time: &encoded.time,
            context,
        };
        let mut x = encoded.bottom;
        for block in &self.up_blocks {
            x = block.forward(&x, condition, &mut encoded.skips)?;
        }
        let out = self.conv_out.forward(&self.conv_norm_out.forward(&x)?)?;
        out.permute((0, 3, 1, 2))?.contiguous()
    }
}

/// Channels of everything that the way down hands to the way up, in the order it is made.
fn skip_channels(config: &UNetConfig) -> Vec<usize> {
    let channels = &config.block_out_channels;
    let mut skips = vec![channels[0]];
    for (level, &count) in channels.iter().enumerate() {
        let halved = usize::from(level + 1 < channels.len());
        skips.extend(vec![count; config.layers_per_block + halved]);
    }
    skips
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::Fixture;
    use crate::weights::layout::Layout;

    /// Block by block, down (which is the white box) and up.
    #[test]
    fn every_block_is_the_references() {
        for name in ["sd1", "sd2"] {
            let fixture = Fixture::open(name);
            let config: UNetConfig = fixture.json("unet/config.json");
            let stem = "unet/diffusion_pytorch_model";
            let unet = fixture.build(stem, Layout::SAME, |vb| UNet::new(&config, &vb));
            let latents = fixture.tensor("unet.sample");
            let steps: Vec<f32> = fixture.tensor("unet.timesteps").to_vec1().unwrap();
            let context = Context::even(fixture.tensor("unet.context"));
            let mut encoded = unet.encoder.forward(&latents, &steps, &context).unwrap();
            let channels_first =
                |x: &Tensor| x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            // The last that a block hands to the way up is its output.
            let layers = config.layers_per_block + 1;
            let last = config.block_out_channels.len() - 1;
            for level in 0..=last {
                let skips = if level == last { layers - 1 } else { layers };
                let output = &encoded.skips[level * layers + skips];
                fixture.compare(&format!("unet.down.{level}"), &channels_first(output));
            }
            fixture.compare("unet.mid", &channels_first(&encoded.bottom));
            let condition = Condition {
                time: &encoded.time,
                context: &context,
            };
            let mut x = encoded.bottom;
            for (number, block) in unet.up_blocks.iter().enumerate() {
                x = block.forward(&x, condition, &mut encoded.skips).unwrap();
                fixture.compare(&format!("unet.up.{number}"), &channels_first(&x));
            }
            fixture.compare(
                "unet.out",
                &unet.forward(&latents, &steps, &context).unwrap(),
            );
        }
    }
}
