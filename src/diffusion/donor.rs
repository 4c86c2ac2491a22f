//! A diffusion model as the white box takes it: sizes, weights, and what its U-Net is told of a word.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::published;
use super::text_to_image::{ModelIndex, files};
use super::unet::config::UNetConfig;
use super::vae::CodecConfig;
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::models;
use crate::text::SentenceEncoder;

/// Where diffusers keeps the U-Net.
const UNET_FOLDER: &str = "unet/";

/// A diffusion model: one of ours, or Stable Diffusion 1 or 2 as diffusers publishes it.
#[derive(Debug)]
pub struct Donor {
    bundle: Bundle,
    /// `None` of a published one, which holds what encodes its prompts.
    index: Option<ModelIndex>,
}

impl Donor {
    /// The model by the name of a built-in one, or a folder.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`] if it is neither; else what is wrong with its index.
    pub fn open(name_or_folder: &str) -> Result<Self> {
        let bundle = Bundle::open(name_or_folder, files::UNET_CONFIG)?;
        let index: Value = bundle.json(files::INDEX)?;
        let index = if published::is_published(&index) {
            published::check_pipeline(&bundle.path(""), &index)?;
            None
        } else {
            let index = ModelIndex::deserialize(index).map_err(|source| Error::ModelConfig {
                path: bundle.path(files::INDEX),
                source,
            })?;
            Some(index)
        };
        Ok(Self { bundle, index })
    }

    /// The name or folder it was opened by.
    pub(crate) fn name(&self) -> &str {
        self.bundle.name()
    }

    /// The sizes of its U-Net.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if they are not known here, else what is wrong with the file.
    pub fn unet_config(&self) -> Result<UNetConfig> {
        match self.index {
            Some(_) => self.bundle.json(files::UNET_CONFIG),
            None => published::unet_config(self.folder()),
        }
    }

    /// The sizes of its codec.
    ///
    /// # Errors
    /// As for [`unet_config`](Self::unet_config).
    pub fn codec_config(&self) -> Result<CodecConfig> {
        match self.index {
            Some(_) => self.bundle.json(files::VAE_CONFIG),
            None => published::codec_config(self.folder()).map(CodecConfig::AutoencoderKl),
        }
    }

    /// Tells it from other models: a digest of the files that a white box is made of.
    ///
    /// # Errors
    /// [`Error::Io`] if one cannot be read.
    pub fn digest(&self) -> Result<String> {
        if self.index.is_none() {
            return models::fingerprint(&published::files(self.folder())?);
        }
        let (codec, unet) = (files::VAE_WEIGHTS, files::UNET_WEIGHTS);
        self.bundle.digest(&[files::VAE_CONFIG, codec, unet])
    }

    /// The tensors of these names of its U-Net, which are those of the way down.
    ///
    /// # Errors
    /// If one is missing or a file is damaged.
    pub fn unet(&self, names: &[String], device: &Device) -> Result<HashMap<String, Tensor>> {
        match self.index {
            Some(_) => self.whole_unet(device).map(encoder_half),
            None => published::way_down(self.folder(), names, device),
        }
    }

    /// All tensors of its U-Net.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn whole_unet(&self, device: &Device) -> Result<HashMap<String, Tensor>> {
        match self.index {
            Some(_) => self.bundle.tensors(files::UNET_WEIGHTS, device),
            None => published::unet_tensors(self.folder(), device),
        }
    }

    /// Its folder, if it holds what encodes its prompts, as published ones do.
    pub(crate) fn folder_with_texts(&self) -> Option<&Path> {
        self.index.is_none().then(|| self.folder())
    }

    /// Names of all its files but the weights of its U-Net; the last is the one without which a folder is
    /// no model.
    ///
    /// # Errors
    /// If the weights of a part are not there.
    pub fn files_beside_unet(&self) -> Result<Vec<String>> {
        let mut others = vec![];
        if self.index.is_some() {
            let own = [
                files::VAE_CONFIG,
                files::VAE_WEIGHTS,
                files::SCHEDULER_CONFIG,
            ];
            others.extend(
                own.into_iter()
                    .filter(|it| self.bundle.has(it))
                    .map(str::to_owned),
            );
        } else {
            let folder = self.folder();
            let names = published::files(folder)?.into_iter().map(|path| {
                let name = path.strip_prefix(folder).unwrap_or(&path);
                name.to_string_lossy().into_owned()
            });
            let names = names.filter(|name| !name.starts_with(UNET_FOLDER));
            others.extend(names);
        }
        others.extend([files::INDEX, files::UNET_CONFIG].map(str::to_owned));
        Ok(others)
    }

    /// The contents of one of its files. Of an index, parts that are not read here (a safety checker) are left out, as
    /// diffusers marks them.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn bytes(&self, file: &str) -> Result<Cow<'static, [u8]>> {
        if self.index.is_some() || file != files::INDEX {
            return self.bundle.bytes(file);
        }
        let mut index: Map<String, Value> = self.bundle.json(file)?;
        for (part, kind) in &mut index {
            if kind.is_array() && !published::PARTS.contains(&part.as_str()) {
                *kind = Value::Array(vec![Value::Null; 2]);
            }
        }
        Ok(Cow::Owned(Value::Object(index).to_string().into_bytes()))
    }

    /// The tensors of these names of its codec, which are all that it has.
    ///
    /// # Errors
    /// As for [`unet`](Self::unet).
    pub fn codec(&self, names: &[String], device: &Device) -> Result<HashMap<String, Tensor>> {
        match self.index {
            // A codec that only moves pixels has none, and no file.
            Some(_) if names.is_empty() => Ok(HashMap::new()),
            Some(_) => self.bundle.tensors(files::VAE_WEIGHTS, device),
            None => published::codec_tensors(self.folder(), names, device),
        }
    }

    /// What the U-Net is told of no text, then of each word alone: (words + 1, dim). `sentences` encodes for a
    /// model of ours.
    ///
    /// # Errors
    /// [`Error::OtherEncoder`] if the model needs another, else if a file is damaged.
    pub fn word_states(
        &self,
        words: &[String],
        sentences: &SentenceEncoder,
        device: &Device,
    ) -> Result<Tensor> {
        let Some(index) = &self.index else {
            return published::word_states(self.folder(), words, device);
        };
        sentences.check(&index.sentence_encoder)?;
        mean_states(words, sentences, device)
    }

    fn folder(&self) -> &Path {
        Path::new(self.bundle.name())
    }
}

/// Those weights of a U-Net that its encoder half has.
pub(crate) fn encoder_half(unet: HashMap<String, Tensor>) -> HashMap<String, Tensor> {
    const PARTS: [&str; 4] = ["conv_in.", "time_embedding.", "down_blocks.", "mid_block."];
    let mut unet = unet;
    unet.retain(|name, _| PARTS.iter().any(|part| name.starts_with(part)));
    unet
}

/// The mean state of the empty text's tokens, then of each word's.
fn mean_states(words: &[String], sentences: &SentenceEncoder, device: &Device) -> Result<Tensor> {
    let mut texts = vec![""];
    texts.extend(words.iter().map(String::as_str));
    let states = sentences.states_with(&texts, |_| ControlFlow::Continue(()))?;
    let dim = states.dim();
    let mut means = vec![0f32; texts.len() * dim];
    for (text, mean) in means.chunks_exact_mut(dim).enumerate() {
        let tokens = states.text(text);
        let count = (tokens.len() / dim).max(1) as f32;
        for token in tokens.chunks_exact(dim) {
            for (mean, value) in mean.iter_mut().zip(token) {
                *mean += value / count;
            }
        }
    }
    Ok(Tensor::from_vec(means, (texts.len(), dim), device)?)
}
