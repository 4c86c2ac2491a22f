//! BLIP (Li et al., 2022): images in, captions out. Configuration and variables are named as in Hugging Face's
//! `BlipForConditionalGeneration`.
//!
//! A vision transformer sees the image, and a decoder that attends to it writes the caption word by word.

mod beams;
mod decoder;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use rayon::prelude::*;
use serde_json::Value;

use self::beams::Search;
use self::decoder::{DecoderConfig, TextDecoder, Written};
use super::encoders::EncoderConfig;
use super::preprocess::Preprocess;
use super::published::{PREPROCESSOR, preprocess};
use super::vit::{Vit, VitConfig};
use crate::device::in_pieces;
use crate::error::{Error, Result};
use crate::files::{json, overlaid};
use crate::nn::mlp::Activation;
use crate::text::tokenize::Tokenizer;
use crate::weights::checkpoint::Checkpoint;
use crate::weights::layout::{Layout, Source, renamed};

/// Beams of a search at most: each has a row of the vocabulary.
pub const MAX_BEAMS: usize = 100;

/// Tokens of the longest caption, as `generate` of transformers has it.
const MAX_TOKENS: usize = 20;

/// Sizes.
const CONFIG: &str = "config.json";

/// The name of the weights.
const STEM: &str = "model";

/// What makes texts of tokens.
const TOKENIZER: &str = "tokenizer.json";

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

fn is_blip(config: &Value) -> bool {
    config["model_type"] == "blip"
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
        let path = folder.join(CONFIG);
        let config: Value = json(&path)?;
        if !is_blip(&config) {
            let why = format!("model_type {} is not \"blip\"", config["model_type"]);
            return Err(Error::Unsupported { path, why });
        }
        let (vit, text) = sizes(&config).map_err(|source| Error::ModelConfig {
            path: path.clone(),
            source,
        })?;
        let preprocess = preprocess(&folder.join(PREPROCESSOR))?;
        let checked = EncoderConfig::Vit(vit.clone()).check(&preprocess);
        checked.map_err(|source| Error::Weights { path, source })?;
        let checkpoint = Checkpoint::open(folder, STEM)?;
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
            tokenizer: Tokenizer::open(&folder.join(TOKENIZER), max_tokens)?,
            preprocess,
            device: device.clone(),
        })
    }

    /// Whether a folder holds one: its configuration says so.
    pub(crate) fn is_in(folder: &Path) -> bool {
        let config: Result<Value> = json(&folder.join(CONFIG));
        config.is_ok_and(|config| is_blip(&config))
    }

    /// The files in a folder that decide what it writes.
    ///
    /// # Errors
    /// If its weights are not there.
    pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
        let mut files = Checkpoint::open(folder, STEM)?.all_files();
        files.extend([CONFIG, PREPROCESSOR, TOKENIZER].map(|name| folder.join(name)));
        Ok(files)
    }

    /// Width and height of the images that it takes, in pixels.
    pub(super) fn side(&self) -> usize {
        self.preprocess.size
    }

    /// Whether it sees a whole image, squeezed to a square.
    pub(super) fn takes_squares(&self) -> bool {
        let squares = Preprocess::symmetric(self.side());
        self.preprocess.has_shape_of(&squares)
    }

    /// A caption for each image, the likeliest that a search with so many beams finds; one beam takes the likeliest
    /// token each time.
    ///
    /// # Errors
    /// If an image has no pixels or a tensor operation fails.
    pub fn captions(&self, images: &[RgbImage], beams: usize) -> Result<Vec<String>> {
        in_pieces(images, BATCH_IMAGES, &self.device, |piece| {
            self.write(&self.preprocess.batch(piece, &self.device)?, beams)
        })
    }

    /// The same of squares of its [`side`](Self::side) within [-1, 1]: (batch, 3, side, side).
    pub(super) fn captions_of(&self, squares: &Tensor, beams: usize) -> Result<Vec<String>> {
        self.write(&self.normalised(squares)?, beams)
    }

    /// Squares within [-1, 1] as preprocessing makes them.
    fn normalised(&self, squares: &Tensor) -> candle_core::Result<Tensor> {
        let normalised = |channel: usize| {
            let (mean, std) = (
                f64::from(self.preprocess.image_mean[channel]),
                f64::from(self.preprocess.image_std[channel]),
            );
            let own = squares.narrow(1, channel, 1)?;
            own.affine(0.5 / std, (0.5 - mean) / std)
        };
        let channels: Vec<Tensor> = (0..3).map(normalised).collect::<candle_core::Result<_>>()?;
        Tensor::cat(&channels, 1)
    }

    /// Captions for (batch, 3, side, side), preprocessed.
    fn write(&self, pixels: &Tensor, beams: usize) -> Result<Vec<String>> {
        let tokens = self.tokens(pixels, beams, MAX_TOKENS)?;
        let captions = tokens.iter().map(|ids| self.tokenizer.decode(ids));
        captions.collect()
    }

    /// The tokens of a caption for each of (batch, 3, side, side), without the one that begins it, with the one
    /// that ends it.
    fn tokens(&self, pixels: &Tensor, beams: usize, most: usize) -> Result<Vec<Vec<u32>>> {
        let states = self.vision.states(pixels)?;
        if !self.device.is_cpu() {
            return self.tokens_of(&states, beams, most);
        }
        // A CPU is as fast with the texts of one image, and has none that waits for those of others.
        let images = (0..states.dim(0)?).map(|image| {
            let own = states.narrow(0, image, 1)?;
            self.tokens_of(&own, beams, most)
        });
        Ok(images.collect::<Result<Vec<_>>>()?.concat())
    }

    /// The same for images as the vision transformer sees them, (images, patches, dim), which are written about together.
    fn tokens_of(&self, states: &Tensor, beams: usize, most: usize) -> Result<Vec<Vec<u32>>> {
        let seen = self.decoder.look(states)?;
        let most = most.min(self.decoder.places().saturating_sub(1));
        let (begin, end) = (self.decoder.begin(), self.decoder.end());
        let search = |_| Search::new(begin, end, beams, most);
        let mut searches: Vec<Search> = (0..states.dim(0)?).map(search).collect();
        let mut written = Written::default();
        // Texts of an image before.
        let mut before = 1;
        loop {
            let width = searches.iter().map(|it| it.asked().len()).max();
            let Some(width) = width.filter(|it| *it > 0) else {
                return Ok(searches.into_iter().map(Search::best).collect());
            };
            // Each image has as many texts; what fills up is not looked at.
            let asked = searches.iter().enumerate().flat_map(|(image, search)| {
                let own = search.asked().chain(std::iter::repeat((end, 0)));
                own.take(width)
                    .map(move |(token, place)| (token, (image * before) as u32 + place))
            });
            let (tokens, places): (Vec<u32>, Vec<u32>) = asked.unzip();
            let logits = self.decoder.write(&mut written, &places, &tokens, &seen)?;
            let log_shares = candle_nn::ops::log_softmax(&logits.to_dtype(DType::F32)?, 1)?;
            let next: Vec<Vec<f32>> = log_shares.to_vec2()?;
            searches
                .par_iter_mut()
                .zip(next.par_chunks(width))
                .filter(|(search, _)| search.asked().len() > 0)
                .for_each(|(search, next)| search.go_on(next));
            before = width;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::parity::{Fixture, device};

    #[test]
    fn squares_are_normalised_as_images_are() {
        let blip = Blip::open(Fixture::open("blip").folder(), &device()).unwrap();
        let side = blip.side() as u32;
        let image = RgbImage::from_fn(side, side, |x, y| {
            image::Rgb([x as u8 * 7, y as u8 * 5, (x * y) as u8])
        });
        let images = [image];
        let squares = Preprocess::symmetric(blip.side()).batch(&images, &device());
        let found = blip.normalised(&squares.unwrap()).unwrap();
        let expected = blip.preprocess.batch(&images, &device()).unwrap();
        let difference = (found - expected).unwrap().abs().unwrap();
        let largest: f32 = difference.max_all().unwrap().to_scalar().unwrap();
        assert!(largest < 1e-5, "{largest}");
    }

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

    /// As on graphics processors, and with texts that are done before others.
    #[test]
    fn texts_of_several_images_are_those_of_each() {
        let fixture = Fixture::open("blip");
        let blip = Blip::open(fixture.folder(), &device()).unwrap();
        let seen = blip.vision.states(&fixture.tensor("pixels")).unwrap();
        let several = [-3.0, 0.1, 8.0].map(|scale| (&seen * scale).unwrap());
        let states = Tensor::cat(&several, 0).unwrap();
        let written = |blip: &Blip, beams| -> Vec<Vec<u32>> {
            let together = blip.tokens_of(&states, beams, 12).unwrap();
            let alone = (0..states.dim(0).unwrap()).flat_map(|image| {
                let own = states.narrow(0, image, 1).unwrap();
                blip.tokens_of(&own, beams, 12).unwrap()
            });
            assert_eq!(together, alone.collect::<Vec<_>>(), "{beams} beams");
            together
        };
        let texts = written(&blip, 1);
        written(&blip, 3);

        // A token of some texts ends texts now.
        let everywhere = |token: &u32| texts.iter().all(|text| text.contains(token));
        let end = texts.iter().flatten().find(|it| !everywhere(it)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for file in Blip::files(fixture.folder()).unwrap() {
            std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
        let mut config: Value = json(&folder.path().join(CONFIG)).unwrap();
        config["text_config"]["sep_token_id"] = (*end).into();
        std::fs::write(folder.path().join(CONFIG), config.to_string()).unwrap();
        let ends = Blip::open(folder.path(), &device()).unwrap();
        let lengths: HashSet<usize> = written(&ends, 1).iter().map(Vec::len).collect();
        assert!(lengths.len() > 1, "{lengths:?}");
        written(&ends, 3);
    }
}
