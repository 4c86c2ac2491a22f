//! BLIP (Li et al., 2022): images in, captions out. Configuration and variables are named as in Hugging Face's
//! `BlipForConditionalGeneration`.
//!
//! A vision transformer sees the image, and a decoder that attends to it writes the caption word by word.

mod beams;
mod decoder;

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use serde_json::Value;

use self::decoder::{DecoderConfig, TextDecoder, Written};
use super::encoders::EncoderConfig;
use super::preprocess::Preprocess;
use super::published::preprocess;
use super::vit::{Vit, VitConfig};
use crate::device::in_pieces;
use crate::error::{Error, Result};
use crate::files::{json, overlaid};
use crate::nn::mlp::Activation;
use crate::text::tokenize::Tokenizer;
use crate::weights::checkpoint::Checkpoint;
use crate::weights::layout::{Layout, Source, renamed};

/// Tokens of the longest caption, as `generate` of transformers has it.
const MAX_TOKENS: usize = 20;

/// Images in work at once.
const BATCH_IMAGES: usize = 8;

/// Sizes of the vision transformer where a file is silent: the defaults of transformers.
fn usual_vision() -> VitConfig {
    VitConfig {
        image_size: 384,
        patch_size: 16,
        hidden_size: 768,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        intermediate_size: 3072,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-5,
    }
}

/// The sizes of both halves, as `config.json` has them.
fn sizes(config: &Value) -> serde_json::Result<(VitConfig, DecoderConfig)> {
    let vision = overlaid(
        serde_json::to_value(usual_vision())?,
        &config["vision_config"],
    );
    let text = overlaid(serde_json::json!({}), &config["text_config"]);
    Ok((
        serde_json::from_value(vision)?,
        serde_json::from_value(text)?,
    ))
}

/// Both halves, the vision transformer by the names that a ViT has.
const LAYOUT: Layout = Layout {
    source,
    others: &[],
    tables: &["embeddings.position_ids"],
};

/// The parts of the vision transformer that do not belong to a block.
const PARTS: [(&str, &str); 4] = [
    ("embeddings.cls_token", "embeddings.class_embedding"),
    (
        "embeddings.position_embeddings",
        "embeddings.position_embedding",
    ),
    (
        "embeddings.patch_embeddings.projection.",
        "embeddings.patch_embedding.",
    ),
    ("layernorm.", "post_layernorm."),
];

/// The parts of its blocks.
const IN_BLOCK: [(&str, &str); 5] = [
    ("layernorm_before.", "layer_norm1."),
    ("layernorm_after.", "layer_norm2."),
    ("attention.output.dense.", "self_attn.projection."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
];

fn source(name: &str) -> Source {
    let Some(own) = name.strip_prefix("vision_model.") else {
        return Source::whole(name);
    };
    let Some(rest) = own.strip_prefix("encoder.layer.") else {
        return Source::whole(format!("vision_model.{}", renamed(own, &PARTS)));
    };
    let (number, part) = rest.split_once('.').unwrap_or((rest, ""));
    let block = format!("vision_model.encoder.layers.{number}");
    for (index, joined) in ["query.", "key.", "value."].iter().enumerate() {
        let joined = format!("attention.attention.{joined}");
        if let Some(rest) = part.strip_prefix(&joined) {
            return Source::rows(format!("{block}.self_attn.qkv.{rest}"), index, 3);
        }
    }
    Source::whole(format!("{block}.{}", renamed(part, &IN_BLOCK)))
}

/// The model, loaded.
pub struct Blip {
    vision: Vit,
    decoder: TextDecoder,
    tokenizer: Tokenizer,
    preprocess: Preprocess,
    device: Device,
}

impl Blip {
    /// Loads the model from its published folder.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is another model, else what is wrong with a file.
    pub fn open(folder: &Path, device: &Device) -> Result<Self> {
        let path = folder.join("config.json");
        let config: Value = json(&path)?;
        if config["model_type"] != "blip" {
            let why = format!("model_type {} is not \"blip\"", config["model_type"]);
            return Err(Error::Unsupported { path, why });
        }
        let (vit, text) = sizes(&config).map_err(|source| Error::ModelConfig {
            path: path.clone(),
            source,
        })?;
        let preprocess = preprocess(&folder.join("preprocessor_config.json"))?;
        let checked = EncoderConfig::Vit(vit.clone()).check(&preprocess);
        checked.map_err(|source| Error::Weights { path, source })?;
        let checkpoint = Checkpoint::open(folder, "model")?;
        let (vision, decoder) = checkpoint.build(LAYOUT, device, |vb| {
            let decoder = vb.pp("text_decoder");
            Ok((
                Vit::new(&vit, vb.pp("vision_model"))?,
                TextDecoder::new(&text, vit.hidden_size, &decoder)?,
            ))
        })?;
        let max_tokens = text.max_position_embeddings;
        Ok(Self {
            vision,
            decoder,
            tokenizer: Tokenizer::open(&folder.join("tokenizer.json"), max_tokens)?,
            preprocess,
            device: device.clone(),
        })
    }

    /// A caption for each image, the likeliest that a search with so many beams finds; one beam takes the likeliest
    /// token each time.
    ///
    /// # Errors
    /// If an image has no pixels or a tensor operation fails.
    pub fn captions(&self, images: &[RgbImage], beams: usize) -> Result<Vec<String>> {
        in_pieces(images, BATCH_IMAGES, &self.device, |piece| {
            let pixels = self.preprocess.batch(piece, &self.device)?;
            let tokens = self.tokens(&pixels, beams, MAX_TOKENS)?;
            tokens
                .iter()
                .map(|ids| self.tokenizer.decode(ids))
                .collect()
        })
    }

    /// The tokens of a caption for each of (batch, 3, side, side), without the one that begins it, with the one
    /// that ends it.
    fn tokens(&self, pixels: &Tensor, beams: usize, most: usize) -> Result<Vec<Vec<u32>>> {
        let states = self.vision.states(pixels)?;
        (0..states.dim(0)?)
            .map(|image| {
                let seen = self.decoder.look(&states.narrow(0, image, 1)?)?;
                let mut written = Written::default();
                let (begin, end) = (self.decoder.begin(), self.decoder.end());
                let most = most.min(self.decoder.places().saturating_sub(1));
                let found = beams::search(begin, end, beams, most, |tokens, places| {
                    let logits = self.decoder.write(&mut written, places, tokens, &seen)?;
                    let log_shares = candle_nn::ops::log_softmax(&logits.to_dtype(DType::F32)?, 1)?;
                    log_shares.to_vec2::<f32>()
                })?;
                Ok(found)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::{Fixture, device};

    #[test]
    fn captions_are_the_references() {
        let fixture = Fixture::open("blip");
        let blip = Blip::open(fixture.folder(), &device()).unwrap();
        let pixels = fixture.tensor("pixels");
        let seen = blip.vision.states(&pixels).unwrap();
        fixture.compare("vision.last", &seen);
        let ids: Vec<Vec<u32>> = fixture.ids("input_ids").to_vec2().unwrap();
        let logits = ids.iter().enumerate().map(|(image, ids)| {
            let seen = blip
                .decoder
                .look(&seen.narrow(0, image, 1).unwrap())
                .unwrap();
            let mut written = Written::default();
            let mut next = |token: &u32| {
                blip.decoder
                    .write(&mut written, &[0], &[*token], &seen)
                    .unwrap()
            };
            let next: Vec<Tensor> = ids.iter().map(&mut next).collect();
            Tensor::cat(&next, 0).unwrap()
        });
        let logits: Vec<Tensor> = logits.collect();
        fixture.compare("logits", &Tensor::stack(&logits, 0).unwrap());
        for (name, beams) in [("generated", 1), ("generated_beams", 3)] {
            let found = blip.tokens(&pixels, beams, 12).unwrap();
            let expected: Vec<Vec<u32>> = fixture.ids(name).to_vec2().unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                // What follows the end is padding.
                assert_eq!(*found, expected[1..=found.len()], "{name}");
                assert!(found.len() == 12 || found.last() == Some(&blip.decoder.end()));
            }
        }
        let image = RgbImage::new(40, 30);
        assert!(!blip.captions(&[image], 3).unwrap()[0].is_empty());
    }
}
