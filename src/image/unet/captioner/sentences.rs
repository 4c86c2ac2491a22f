//! Captions as the paper has them: what a BLIP writes, as the states that the diffusion model's own text encoder gives it.

use std::path::Path;

use candle_core::{Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::Captioner;
use crate::diffusion::context::Context;
use crate::diffusion::prompts::ClipPrompts;
use crate::diffusion::published;
use crate::error::{self, one_line};
use crate::image::blip::Blip;
use crate::matmul::Precision;

/// Where the BLIP lies, as it was published.
pub(crate) const BLIP_FOLDER: &str = "captioner";

/// All that is read: the other two are those of the diffusion model.
pub(crate) const CAPTIONER_FOLDERS: [&str; 3] = [
    BLIP_FOLDER,
    published::TEXT_ENCODER_FOLDER,
    published::TOKENIZER_FOLDER,
];

/// Which sentences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentencesConfig {
    /// Tells the files of the BLIP and of what encodes its captions from all others.
    pub captioner_sha256: String,
    /// Beams of its search.
    pub beams: usize,
    /// Length of a token's state.
    pub context: usize,
}

/// A BLIP, and what encodes its captions.
pub(super) struct Sentences {
    blip: Blip,
    prompts: ClipPrompts,
    beams: usize,
}

impl Sentences {
    /// Reads both below `folder`.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub(super) fn open(config: &SentencesConfig, folder: &Path, device: &Device) -> Result<Self> {
        Ok(Self {
            blip: Blip::open(&folder.join(BLIP_FOLDER), device).map_err(failed)?,
            prompts: published::prompts(folder, config.context, device).map_err(failed)?,
            beams: config.beams,
        })
    }
}

impl Captioner for Sentences {
    fn side(&self) -> usize {
        self.blip.side()
    }

    fn length(&self) -> usize {
        self.prompts.length
    }

    /// The tokens of what the BLIP writes.
    fn caption(&self, pixels: &Tensor) -> Result<Tensor> {
        let captions = self.blip.captions_of(pixels, self.beams).map_err(failed)?;
        let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
        self.prompts.ids(&captions, pixels.device()).map_err(failed)
    }

    fn states(&self, caption: &Tensor) -> Result<Context> {
        // As when images are answered.
        let states = Precision::Full.within(|| self.prompts.tower.states(caption))?;
        Ok(Context::even(states.detach()))
    }
}

/// In candle's words.
fn failed(error: error::Error) -> candle_core::Error {
    candle_core::Error::msg(one_line(&error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::RgbImage;

    use super::*;
    use crate::image::preprocess::Preprocess;
    use crate::parity::{Fixture, device};

    #[test]
    fn a_caption_is_told_as_the_diffusion_model_is_told_a_prompt() {
        let folder = tempfile::tempdir().unwrap();
        let (blip, sd) = (Fixture::open("blip"), Fixture::open("sd1"));
        let copy = |from: &Path, name: &str| {
            let to = folder.path().join(name);
            fs::create_dir(&to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        };
        copy(blip.folder(), BLIP_FOLDER);
        for name in &CAPTIONER_FOLDERS[1..] {
            copy(&sd.folder().join(name), name);
        }
        let prompts = |dim| published::prompts(sd.folder(), dim, &device());
        let context = sd.json::<serde_json::Value>("unet/config.json")["cross_attention_dim"]
            .as_u64()
            .unwrap() as usize;
        let config = SentencesConfig {
            captioner_sha256: String::new(),
            beams: 3,
            context,
        };
        let sentences = Sentences::open(&config, folder.path(), &device()).unwrap();
        let images: Vec<RgbImage> = [9, 40].map(image).to_vec();
        let squares = Preprocess::symmetric(sentences.side()).batch(&images, &device());
        let told = sentences.caption(&squares.unwrap()).unwrap();

        let captions = Blip::open(blip.folder(), &device()).unwrap();
        let captions = captions.captions(&images, config.beams).unwrap();
        let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
        assert_ne!(texts[0], "");
        let prompts = prompts(context).unwrap();
        let expected = prompts.ids(&texts, &device()).unwrap();
        assert_eq!(
            told.to_vec2::<u32>().unwrap(),
            expected.to_vec2::<u32>().unwrap()
        );
        // As the tokens come back from the features on disk.
        let kept = told.to_dtype(candle_core::DType::F32).unwrap();
        let states = sentences.states(&kept.to_dtype(candle_core::DType::U32).unwrap());
        let expected = prompts.tower.states(&expected).unwrap();
        let difference = (states.unwrap().states() - expected).unwrap().abs();
        let largest: f32 = difference.unwrap().max_all().unwrap().to_scalar().unwrap();
        assert_eq!(largest, 0.0);

        let other = SentencesConfig {
            context: context + 1,
            ..config
        };
        let error = Sentences::open(&other, folder.path(), &device()).err();
        assert!(error.unwrap().to_string().contains("cross_attention_dim"));
    }

    fn image(shade: u8) -> RgbImage {
        RgbImage::from_fn(32, 32, |x, y| image::Rgb([x as u8 * 7, y as u8 * 5, shade]))
    }
}
