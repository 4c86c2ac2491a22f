//! Captions as the paper has them: what a BLIP writes, as the states that the diffusion model's own text encoder gives it.

use std::path::{Path, PathBuf};

use candle_core::{Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::Captioner;
use crate::diffusion::context::Context;
use crate::diffusion::prompts::ClipPrompts;
use crate::diffusion::published;
use crate::error::{self, one_line};
use crate::image::blip::{Blip, MAX_BEAMS};
use crate::matmul::Precision;
use crate::models;

/// Where the BLIP lies, as it was published.
pub(crate) const BLIP_FOLDER: &str = "captioner";

/// The files of a BLIP and of what encodes its captions, by their paths below the folder of a white box. Their digest
/// depends on their order.
///
/// # Errors
/// If weights are not there.
pub(super) fn files(folder: &Path) -> error::Result<Vec<PathBuf>> {
    let mut all = Blip::files(&folder.join(BLIP_FOLDER))?;
    all.extend(published::text_files(folder)?);
    let below = |path: PathBuf| match path.strip_prefix(folder) {
        Ok(own) => own.to_owned(),
        Err(_) => path,
    };
    Ok(all.into_iter().map(below).collect())
}

/// Which sentences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentencesConfig {
    /// Tells the files of the BLIP and of what encodes its captions from all others.
    pub captioner_sha256: String,
    /// Beams of its search, from 1 to [`MAX_BEAMS`].
    pub beams: usize,
}

/// A BLIP, and what encodes its captions.
pub(super) struct Sentences {
    blip: Blip,
    prompts: ClipPrompts,
    beams: usize,
}

impl Sentences {
    /// Reads both below `folder`; what is encoded has `dim` numbers a token.
    ///
    /// # Errors
    /// What is wrong with a setting or a file.
    pub(super) fn open(
        config: &SentencesConfig,
        folder: &Path,
        dim: usize,
        device: &Device,
    ) -> Result<Self> {
        if !(1..=MAX_BEAMS).contains(&config.beams) {
            candle_core::bail!(
                "a captioner's beams of {} are not from 1 to {MAX_BEAMS}",
                config.beams
            );
        }
        let paths: Vec<PathBuf> = files(folder).map_err(failed)?;
        let paths: Vec<PathBuf> = paths.iter().map(|it| folder.join(it)).collect();
        if models::fingerprint(&paths).map_err(failed)? != config.captioner_sha256 {
            candle_core::bail!(
                "{} and what encodes its captions are not those that it was trained with",
                folder.join(BLIP_FOLDER).display()
            );
        }
        let blip = Blip::open(&folder.join(BLIP_FOLDER), device).map_err(failed)?;
        if !blip.takes_squares() {
            candle_core::bail!(
                "{}: only what sees a whole image, resized to a square by cubic splines, is known here",
                folder.join(BLIP_FOLDER).display()
            );
        }
        Ok(Self {
            blip,
            prompts: published::prompts(folder, dim, device).map_err(failed)?,
            beams: config.beams,
        })
    }
}

impl Captioner for Sentences {
    fn side(&self) -> usize {
        self.blip.side()
    }

    fn length(&self) -> usize {
        self.prompts.length()
    }

    /// The tokens of what the BLIP writes.
    fn caption(&self, pixels: &Tensor) -> Result<Tensor> {
        let captions = self.blip.captions_of(pixels, self.beams).map_err(failed)?;
        let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
        self.prompts.ids(&captions, pixels.device()).map_err(failed)
    }

    fn states(&self, caption: &Tensor) -> Result<Context> {
        // As when images are answered.
        let states = Precision::Full.within(|| self.prompts.states_of(caption))?;
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
        for name in ["text_encoder", "tokenizer"] {
            copy(&sd.folder().join(name), name);
        }
        let context = sd.json::<serde_json::Value>("unet/config.json")["cross_attention_dim"]
            .as_u64()
            .unwrap() as usize;
        let config = config_of(folder.path());
        let open =
            |config: &SentencesConfig, dim| Sentences::open(config, folder.path(), dim, &device());
        let sentences = open(&config, context).unwrap();
        let images: Vec<RgbImage> = [9, 40].map(image).to_vec();
        let squares = Preprocess::symmetric(sentences.side()).batch(&images, &device());
        let told = sentences.caption(&squares.unwrap()).unwrap();

        let captions = Blip::open(blip.folder(), &device()).unwrap();
        let captions = captions.captions(&images, config.beams).unwrap();
        let texts: Vec<&str> = captions.iter().map(String::as_str).collect();
        assert_ne!(texts[0], "");
        let prompts = published::prompts(sd.folder(), context, &device()).unwrap();
        let expected = prompts.ids(&texts, &device()).unwrap();
        assert_eq!(
            told.to_vec2::<u32>().unwrap(),
            expected.to_vec2::<u32>().unwrap()
        );
        // As the tokens come back from the features on disk.
        let kept = told.to_dtype(candle_core::DType::F32).unwrap();
        let states = sentences.states(&kept.to_dtype(candle_core::DType::U32).unwrap());
        let expected = prompts.states_of(&expected).unwrap();
        let difference = (states.unwrap().states() - expected).unwrap().abs();
        let largest: f32 = difference.unwrap().max_all().unwrap().to_scalar().unwrap();
        assert_eq!(largest, 0.0);

        let refused = |config: &SentencesConfig, dim, why: &str| {
            let error = open(config, dim).err().unwrap().to_string();
            assert!(error.contains(why), "{error}");
        };
        refused(&config, context + 1, "cross_attention_dim");
        for beams in [0, usize::MAX] {
            refused(
                &SentencesConfig {
                    beams,
                    ..config.clone()
                },
                context,
                "beams",
            );
        }
        // A byte of another BLIP.
        let path = folder.path().join(BLIP_FOLDER).join("tokenizer.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text + " ").unwrap();
        refused(&config, context, "not those that it was trained with");
        // A BLIP that sees the middle of an image.
        let path = folder
            .path()
            .join(BLIP_FOLDER)
            .join("preprocessor_config.json");
        let mut settings = blip.json::<serde_json::Value>("preprocessor_config.json");
        settings["size"] = serde_json::json!({"shortest_edge": 32});
        settings["do_center_crop"] = true.into();
        settings["crop_size"] = 32.into();
        fs::write(&path, settings.to_string()).unwrap();
        refused(&config_of(folder.path()), context, "resized to a square");
    }

    /// What a white box of this folder is told by.
    fn config_of(folder: &Path) -> SentencesConfig {
        let paths: Vec<PathBuf> = files(folder).unwrap();
        let paths: Vec<PathBuf> = paths.iter().map(|it| folder.join(it)).collect();
        SentencesConfig {
            captioner_sha256: models::fingerprint(&paths).unwrap(),
            beams: 3,
        }
    }

    fn image(shade: u8) -> RgbImage {
        RgbImage::from_fn(32, 32, |x, y| image::Rgb([x as u8 * 7, y as u8 * 5, shade]))
    }
}
