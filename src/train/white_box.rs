//! What the white box begins with: a diffusion model, and what captions images for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::parameters::Parameters;
use crate::bundle::Bundle;
use crate::data::vocabulary::Vocabulary;
use crate::diffusion::donor::Donor;
use crate::diffusion::published;
use crate::error::{Error, Result};
use crate::image::Architecture;
use crate::image::blip::Blip;
use crate::image::encoders::EncoderConfig;
use crate::image::preprocess::Preprocess;
use crate::image::unet::{BLIP_FOLDER, CaptionerConfig, SentencesConfig};
use crate::image::unet::{UNetEncoderConfig, WordsConfig};
use crate::models;
use crate::predictor::config::PredictorConfig;
use crate::predictor::copy::Beside;
use crate::predictor::files;
use crate::text::SentenceEncoder;

/// Words of a caption.
const WORDS: usize = 8;

/// Beams that a BLIP writes a caption with, as `caption` does.
const BEAMS: usize = 3;

/// The sizes of the white box that a diffusion model and a captioner make, a black-box model or a BLIP, and how images
/// are made ready for it.
///
/// # Errors
/// If either is not there or is damaged, [`Error::NoCaptioner`] if the black-box model has no words or takes other
/// pixels than the diffusion model, [`Error::NoTextEncoder`] if nothing encodes the captions of a BLIP.
pub fn white_box(model: &str, captioner: &str) -> Result<(EncoderConfig, Preprocess)> {
    Parents::open(model, captioner)?.config()
}

/// A diffusion model, and what captions images for it.
pub(super) struct Parents {
    donor: Donor,
    captions: Captions,
}

/// What captions images.
enum Captions {
    /// A black-box model, by the likeliest of its words.
    Words(Bundle),
    /// A BLIP, and what encodes its captions.
    Sentences(Vec<Beside>),
}

impl Parents {
    /// Both by the names of built-in models, or by their folders.
    pub(super) fn open(model: &str, captioner: &str) -> Result<Self> {
        let donor = Donor::open(model)?;
        let bundle = Bundle::open(captioner, files::CONFIG)?;
        let folder = Path::new(captioner);
        let captions = if !bundle.is_built_in() && Blip::is_in(folder) {
            Captions::Sentences(sentences(&donor, folder)?)
        } else {
            Captions::Words(bundle)
        };
        Ok(Self { donor, captions })
    }

    fn config(&self) -> Result<(EncoderConfig, Preprocess)> {
        let (unet, vae) = (self.donor.unet_config()?, self.donor.codec_config()?);
        let captioner = match &self.captions {
            Captions::Words(bundle) => {
                let config = words_config(bundle, unet.cross_attention_dim)?;
                CaptionerConfig::Words(config)
            }
            Captions::Sentences(beside) => CaptionerConfig::Sentences(SentencesConfig {
                captioner_sha256: digest(beside)?,
                beams: BEAMS,
            }),
        };
        let pocket = UNetEncoderConfig::pocket();
        let encoder = UNetEncoderConfig {
            captioner,
            vae,
            unet,
            pool: pocket.pool,
        };
        // A bottom that cannot be cut into quarters is averaged over as a whole.
        let pool = if encoder.bottom_side().is_multiple_of(pocket.pool) {
            pocket.pool
        } else {
            1
        };
        let encoder = EncoderConfig::UNet(UNetEncoderConfig { pool, ..encoder });
        let preprocess = Preprocess::symmetric(encoder.side());
        Ok((encoder, preprocess))
    }

    /// Tells them from all others.
    pub(super) fn identity(&self) -> Result<String> {
        let captioner = match &self.captions {
            Captions::Words(bundle) => bundle.digest(&[files::WEIGHTS, files::VOCABULARY])?,
            Captions::Sentences(beside) => digest(beside)?,
        };
        Ok(format!("{} captioned by {captioner}", self.donor.digest()?))
    }

    /// What captions, as it is to lie in a white box's folder; words lie among the weights.
    pub(super) fn beside(self) -> Vec<Beside> {
        match self.captions {
            Captions::Words(_) => vec![],
            Captions::Sentences(beside) => beside,
        }
    }

    /// Puts the way down, the codec and the words of a black-box model into the white box; `sentences` encodes for a
    /// diffusion model of ours.
    pub(super) fn fill(
        &self,
        parameters: &Parameters,
        sentences: &SentenceEncoder,
        device: &Device,
    ) -> Result<()> {
        let donor = &self.donor;
        if let Captions::Words(captioner) = &self.captions {
            let words = words(captioner)?;
            // First, since another sentence encoder than the model's is told by it.
            let states = donor.word_states(words.words(), sentences, device)?;
            let mut black_box = captioner.tensors(files::WEIGHTS, device)?;
            black_box.insert("states".to_owned(), states);
            parameters.fill("encoder.captioner.", &black_box)?;
        }
        for (prefix, tensors) in [
            ("encoder.unet.", Donor::unet as TensorsOf),
            ("encoder.codec.", Donor::codec),
        ] {
            let names = parameters.below(prefix);
            parameters.fill(prefix, &tensors(donor, &names, device)?)?;
        }
        Ok(())
    }
}

/// Tensors of a part of a diffusion model, by their names.
type TensorsOf = fn(&Donor, &[String], &Device) -> Result<HashMap<String, Tensor>>;

/// The files of a BLIP and of what encodes its captions, in the order in which a white box reads them: their digest depends
/// on it.
fn sentences(donor: &Donor, blip: &Path) -> Result<Vec<Beside>> {
    let Some(folder) = donor.folder_with_texts() else {
        return Err(Error::NoTextEncoder {
            captioner: blip.to_owned(),
            model: donor.name().to_owned(),
        });
    };
    let captioner = Blip::files(blip)?.into_iter().map(|file| Beside {
        name: Path::new(BLIP_FOLDER).join(file.file_name().unwrap_or_default()),
        file,
    });
    let texts = published::text_files(folder)?.into_iter();
    let texts = texts.map(|file| Beside {
        name: file.strip_prefix(folder).unwrap_or(&file).to_owned(),
        file,
    });
    Ok(captioner.chain(texts).collect())
}

fn digest(beside: &[Beside]) -> Result<String> {
    let files: Vec<PathBuf> = beside.iter().map(|it| it.file.clone()).collect();
    models::fingerprint(&files)
}

fn words_config(black_box: &Bundle, context: usize) -> Result<WordsConfig> {
    let config: PredictorConfig = black_box.json(files::CONFIG)?;
    let vocabulary = words(black_box)?.len();
    // The white box gives the same pixels, squares in [-1, 1], to codec and captioner.
    let same_pixels = Preprocess {
        resample: Preprocess::symmetric(0).resample,
        ..config.preprocess
    } == Preprocess::symmetric(config.encoder.side());
    let needs_files = !config.encoder.files(&black_box.path(""))?.is_empty();
    if vocabulary == 0 || !same_pixels || needs_files {
        return Err(Error::NoCaptioner {
            model: black_box.name().to_owned(),
        });
    }
    Ok(WordsConfig {
        encoder: Box::new(config.encoder),
        embedding: config.sentence_encoder.dim,
        vocabulary,
        words: WORDS,
        context,
    })
}

fn words(black_box: &Bundle) -> Result<Vocabulary> {
    let text = black_box.text(files::VOCABULARY)?;
    Vocabulary::from_text(&text, &black_box.path(files::VOCABULARY))
}
