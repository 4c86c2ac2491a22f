//! The variational autoencoder of latent diffusion (Rombach et al., 2022, s. 3.1), with the variable
//! names of diffusers' `AutoencoderKL`.

use candle_core::{D, Result, Tensor};
use candle_nn::{Module, VarBuilder};
use serde::{Deserialize, Serialize};

use super::LatentCodec;
use crate::diffusion::attention::Attention;
use crate::diffusion::resnet::{BlockConfig, ResnetBlock};
use crate::nn::conv::{Conv2d, ConvConfig};
use crate::nn::group_norm::GroupNorm;
use crate::nn::upsample;
use crate::weights::layout::{Layout, Source};

/// Sizes of an autoencoder, under the keys of diffusers' `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutoencoderConfig {
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Channels of each level; each level but the last halves the size.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks a level on the way down; on the way up there is one more.
    pub layers_per_block: usize,
    /// Groups of group normalisation.
    pub norm_num_groups: usize,
    /// Whether positions attend to each other at the coarsest level.
    #[serde(default = "yes")]
    pub mid_block_add_attention: bool,
    /// Multiplies latents, to about unit variance.
    #[serde(default = "stable_diffusion_scale")]
    pub scaling_factor: f64,
    /// Taken away from latents before.
    #[serde(default)]
    pub shift_factor: Option<f64>,
}

/// Settings of a published autoencoder that are known in one value alone.
pub(in crate::diffusion) const FIXED: &[(&str, &str)] = &[
    ("_class_name", "\"AutoencoderKL\""),
    ("act_fn", "\"silu\""),
    ("in_channels", "3"),
    ("latents_mean", "null"),
    ("latents_std", "null"),
    ("out_channels", "3"),
    ("use_post_quant_conv", "true"),
    ("use_quant_conv", "true"),
];

/// Autoencoders that were published before diffusers named the parts of their attention as everywhere else.
pub(in crate::diffusion) const OLD_ATTENTION: Layout = Layout {
    source: |name| {
        let old = PROJECTIONS.iter().find_map(|(new, old)| {
            let (before, after) = name.split_once(new)?;
            Some(format!("{before}{old}{after}"))
        });
        Source::whole(old.unwrap_or_else(|| name.to_owned()))
    },
    ..Layout::SAME
};

/// Their new names and their old ones.
const PROJECTIONS: [(&str, &str); 4] = [
    (".to_q.", ".query."),
    (".to_k.", ".key."),
    (".to_v.", ".value."),
    (".to_out.0.", ".proj_attn."),
];

fn yes() -> bool {
    true
}

fn stable_diffusion_scale() -> f64 {
    0.18215
}

impl AutoencoderConfig {
    /// The pocket size: 64 x 64 pixels to 16 x 16 latents of 16 channels.
    pub fn pocket() -> Self {
        Self {
            latent_channels: 16,
            block_out_channels: vec![16, 32, 64],
            layers_per_block: 1,
            norm_num_groups: 8,
            mid_block_add_attention: false,
            scaling_factor: 1.0,
            shift_factor: None,
        }
    }

    /// Pixels a latent is wide and high.
    pub(super) fn factor(&self) -> usize {
        let halvings = self.block_out_channels.len().saturating_sub(1);
        let shift = u32::try_from(halvings).unwrap_or(u32::MAX);
        1usize.checked_shl(shift).unwrap_or(usize::MAX)
    }

    fn block(&self) -> BlockConfig {
        BlockConfig {
            groups: self.norm_num_groups,
            eps: 1e-6,
            time: None,
        }
    }

    fn norm_out(&self, channels: usize, vb: &VarBuilder<'_>) -> Result<GroupNorm> {
        let norm = GroupNorm::new(self.norm_num_groups, channels, 1e-6, vb.pp("conv_norm_out"))?;
        Ok(norm.with_silu())
    }

    fn ends(&self) -> Result<(usize, usize)> {
        match (
            self.block_out_channels.first(),
            self.block_out_channels.last(),
        ) {
            (Some(&first), Some(&last)) => Ok((first, last)),
            _ => candle_core::bail!("an autoencoder without levels"),
        }
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct AutoencoderKl {
    config: AutoencoderConfig,
    encoder: Encoder,
    quant_conv: Conv2d,
    post_quant_conv: Conv2d,
    decoder: Decoder,
}

/// A normal distribution of latents for each image, before scaling.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// (batch, height, width, channels)
    mean: Tensor,
    /// The logarithm of the variance, of the same shape.
    log_variance: Tensor,
}

impl Posterior {
    /// `mean + noise * deviation`, (batch, height, width, channels); `noise` is standard normal.
    ///
    /// # Errors
    /// If the noise has another shape.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        &self.mean + ((&self.log_variance * 0.5)?.exp()? * noise)?
    }

    /// The mean.
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }

    /// Divergence from the standard normal distribution, mean over latents: a scalar.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn divergence(&self) -> Result<Tensor> {
        let variance = self.log_variance.exp()?;
        let sum = ((self.mean.sqr()? + variance)? - &self.log_variance)?;
        sum.affine(0.5, -0.5)?.mean_all()
    }
}

impl AutoencoderKl {
    /// Reads the network, or starts it for training.
    ///
    /// # Errors
    /// If there is no level, or a weight is missing or of another shape.
    pub fn new(config: &AutoencoderConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let latents = config.latent_channels;
        let pointwise = |channels, name: &str| {
            Conv2d::new(channels, channels, ConvConfig::POINTWISE, vb.pp(name))
        };
        Ok(Self {
            encoder: Encoder::new(config, &vb.pp("encoder"))?,
            quant_conv: pointwise(2 * latents, "quant_conv")?,
            post_quant_conv: pointwise(latents, "post_quant_conv")?,
            decoder: Decoder::new(config, &vb.pp("decoder"))?,
            config: config.clone(),
        })
    }

    /// The distribution of unscaled latents of pixels (batch, 3, height, width).
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn posterior(&self, pixels: &Tensor) -> Result<Posterior> {
        let h = self.encoder.forward(&pixels.permute((0, 2, 3, 1))?)?;
        let moments = self.quant_conv.forward(&h)?;
        let channels = self.config.latent_channels;
        Ok(Posterior {
            mean: moments.narrow(D::Minus1, 0, channels)?.contiguous()?,
            log_variance: moments
                .narrow(D::Minus1, channels, channels)?
                .contiguous()?
                .clamp(-30f32, 20f32)?,
        })
    }

    /// Pixels (batch, height, width, 3) of unscaled latents (batch, height, width, channels).
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn reconstruct(&self, latents: &Tensor) -> Result<Tensor> {
        self.decoder
            .forward(&self.post_quant_conv.forward(latents)?)
    }
}

impl LatentCodec for AutoencoderKl {
    fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let mean = self.posterior(pixels)?.mean;
        let shifted = (mean - self.config.shift_factor.unwrap_or_default())?;
        (shifted * self.config.scaling_factor)?
            .permute((0, 3, 1, 2))?
            .contiguous()
    }

    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let unscaled = (latents / self.config.scaling_factor)?;
        let unscaled = (unscaled + self.config.shift_factor.unwrap_or_default())?;
        let pixels = self.reconstruct(&unscaled.permute((0, 2, 3, 1))?)?;
        pixels.permute((0, 3, 1, 2))?.contiguous()
    }

    fn channels(&self) -> usize {
        self.config.latent_channels
    }

    fn factor(&self) -> usize {
        self.config.factor()
    }
}

/// A level: residual blocks, and a convolution where the size changes.
#[derive(Clone, Debug)]
struct Level {
    resnets: Vec<ResnetBlock>,
    resize: Option<Conv2d>,
}

impl Level {
    fn new(
        inputs: usize,
        outputs: usize,
        layers: usize,
        config: BlockConfig,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let resnets = (0..layers)
            .map(|number| {
                let inputs = if number == 0 { inputs } else { outputs };
                ResnetBlock::new(inputs, outputs, config, &vb.pp("resnets").pp(number))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            resnets,
            resize: None,
        })
    }
}

fn through(resnets: &[ResnetBlock], x: Tensor) -> Result<Tensor> {
    resnets
        .iter()
        .try_fold(x, |x, resnet| resnet.forward(&x, None))
}

/// Residual, attention, residual at the coarsest level.
#[derive(Clone, Debug)]
struct Middle {
    first: ResnetBlock,
    attention: Option<(GroupNorm, Attention)>,
    second: ResnetBlock,
}

impl Middle {
    fn new(config: &AutoencoderConfig, channels: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let resnet = |number: usize| {
            ResnetBlock::new(
                channels,
                channels,
                config.block(),
                &vb.pp("resnets").pp(number),
            )
        };
        let attention = || -> Result<_> {
            let vb = vb.pp("attentions").pp("0");
            let norm = GroupNorm::new(config.norm_num_groups, channels, 1e-6, vb.pp("group_norm"))?;
            Ok((norm, Attention::new(channels, channels, 1, true, &vb)?))
        };
        Ok(Self {
            first: resnet(0)?,
            attention: config.mid_block_add_attention.then(attention).transpose()?,
            second: resnet(1)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.first.forward(x, None)?;
        if let Some((norm, attention)) = &self.attention {
            let (batch, height, width, channels) = x.dims4()?;
            let tokens = norm
                .forward(&x)?
                .reshape((batch, height * width, channels))?;
            x = (&x + attention.forward(&tokens, None)?.reshape(x.shape())?)?;
        }
        self.second.forward(&x, None)
    }
}

#[derive(Clone, Debug)]
struct Encoder {
    conv_in: Conv2d,
    levels: Vec<Level>,
    middle: Middle,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

/// Halves the size; diffusers pads the far sides only.
const HALVE: ConvConfig = ConvConfig {
    pad_before: 0,
    ..ConvConfig::HALVE
};

impl Encoder {
    fn new(config: &AutoencoderConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (first, last) = config.ends()?;
        let channels = &config.block_out_channels;
        let levels = channels
            .iter()
            .enumerate()
            .map(|(number, &outputs)| {
                let vb = vb.pp("down_blocks").pp(number);
                let inputs = channels[number.saturating_sub(1)];
                let layers = config.layers_per_block;
                let mut level = Level::new(inputs, outputs, layers, config.block(), &vb)?;
                if number + 1 < channels.len() {
                    let vb = vb.pp("downsamplers").pp("0").pp("conv");
                    level.resize = Some(Conv2d::new(outputs, outputs, HALVE, vb)?);
                }
                Ok(level)
            })
            .collect::<Result<_>>()?;
        let moments = 2 * config.latent_channels;
        Ok(Self {
            conv_in: Conv2d::new(3, first, ConvConfig::SAME, vb.pp("conv_in"))?,
            levels,
            middle: Middle::new(config, last, &vb.pp("mid_block"))?,
            norm_out: config.norm_out(last, vb)?,
            conv_out: Conv2d::new(last, moments, ConvConfig::SAME, vb.pp("conv_out"))?,
        })
    }

    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let mut x = self.conv_in.forward(pixels)?;
        for level in &self.levels {
            x = through(&level.resnets, x)?;
            if let Some(halve) = &level.resize {
                x = halve.forward(&x)?;
            }
        }
        let x = self.middle.forward(&x)?;
        self.conv_out.forward(&self.norm_out.forward(&x)?)
    }
}

#[derive(Clone, Debug)]
struct Decoder {
    conv_in: Conv2d,
    middle: Middle,
    levels: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    fn new(config: &AutoencoderConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (first, last) = config.ends()?;
        let channels: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let levels = channels
            .iter()
            .enumerate()
            .map(|(number, &outputs)| {
                let vb = vb.pp("up_blocks").pp(number);
                let inputs = channels[number.saturating_sub(1)];
                let layers = config.layers_per_block + 1;
                let mut level = Level::new(inputs, outputs, layers, config.block(), &vb)?;
                if number + 1 < channels.len() {
                    let vb = vb.pp("upsamplers").pp("0").pp("conv");
                    level.resize = Some(Conv2d::new(outputs, outputs, ConvConfig::SAME, vb)?);
                }
                Ok(level)
            })
            .collect::<Result<_>>()?;
        let latents = config.latent_channels;
        Ok(Self {
            conv_in: Conv2d::new(latents, last, ConvConfig::SAME, vb.pp("conv_in"))?,
            middle: Middle::new(config, last, &vb.pp("mid_block"))?,
            levels,
            norm_out: config.norm_out(first, vb)?,
            conv_out: Conv2d::new(first, 3, ConvConfig::SAME, vb.pp("conv_out"))?,
        })
    }

    fn forward(&self, latents: &Tensor) -> Result<Tensor> {
        let mut x = self.middle.forward(&self.conv_in.forward(latents)?)?;
        for level in &self.levels {
            x = through(&level.resnets, x)?;
            if let Some(double) = &level.resize {
                x = double.forward(&upsample::nearest_2x(&x)?)?;
            }
        }
        self.conv_out.forward(&self.norm_out.forward(&x)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::Fixture;

    #[test]
    fn both_ways_are_the_references() {
        let fixture = Fixture::open("sd1");
        let config: AutoencoderConfig = fixture.json("vae/config.json");
        let stem = "vae/diffusion_pytorch_model";
        let vae = fixture.build(stem, OLD_ATTENTION, |vb| AutoencoderKl::new(&config, &vb));
        let pixels = fixture.tensor("vae.pixels");
        let posterior = vae.posterior(&pixels).unwrap();
        let moments = Tensor::cat(&[&posterior.mean, &posterior.log_variance], D::Minus1).unwrap();
        fixture.compare(
            "vae.moments",
            &moments.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap(),
        );
        let latents = fixture.tensor("vae.latents");
        let latents = (latents * config.scaling_factor).unwrap();
        fixture.compare("vae.decoded", &vae.decode(&latents).unwrap());
    }
}
