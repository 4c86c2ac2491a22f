//! What the white box begins with: a diffusion model, and what captions images for it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::parameters::Parameters;
use super::start::Ground;
use crate::bundle::Bundle;
use crate::data::vocabulary::Vocabulary;
use crate::diffusion::donor::Donor;
use crate::error::{Error, Result};
use crate::image::Architecture;
use crate::image::blip::Blip;
use crate::image::encoders::EncoderConfig;
use crate::image::preprocess::Preprocess;
use crate::image::unet::{BLIP_FOLDER, CAPTIONER_FOLDERS};
use crate::image::unet::{CaptionerConfig, SentencesConfig, UNetEncoderConfig, WordsConfig};
use crate::models;
use crate::predictor::config::PredictorConfig;
use crate::predictor::files;

/// Words of a caption.
const WORDS: usize = 8;

/// Beams that a BLIP writes a caption with, as `caption` does.
const BEAMS: usize = 3;

/// What captions images.
enum Captions {
    /// A black-box model, by the likeliest of its words.
    Words(Bundle),
    /// A BLIP in this folder.
    Sentences(PathBuf),
}

impl Captions {
    /// By the name of a built-in model, or a folder.
    fn open(name_or_folder: &str) -> Result<Self> {
        let bundle = Bundle::open(name_or_folder, files::CONFIG)?;
        let folder = Path::new(name_or_folder);
        if !bundle.is_built_in() && Blip::is_in(folder) {
            return Ok(Self::Sentences(folder.to_owned()));
        }
        Ok(Self::Words(bundle))
    }

    /// The sizes of the captioner for the images of a diffusion model, whose U-Net attends to `context` numbers.
    fn config(&self, donor: &Donor, context: usize) -> Result<CaptionerConfig> {
        match self {
            Self::Words(bundle) => words_config(bundle, context).map(CaptionerConfig::Words),
            Self::Sentences(blip) => {
                let files: Vec<PathBuf> = sources(donor, blip)?
                    .into_iter()
                    .map(|(from, _)| from)
                    .collect();
                Ok(CaptionerConfig::Sentences(SentencesConfig {
                    captioner_sha256: models::fingerprint(&files)?,
                    beams: BEAMS,
                    context,
                }))
            }
        }
    }
}

fn words_config(black_box: &Bundle, context: usize) -> Result<WordsConfig> {
    let config: PredictorConfig = black_box.json(files::CONFIG)?;
    let vocabulary = words(black_box)?.len();
    // The white box gives the same pixels, squares in [-1, 1], to codec and captioner.
    let same_pixels = Preprocess {
        resample: Preprocess::symmetric(0).resample,
        ..config.preprocess
    } == Preprocess::symmetric(config.encoder.side());
    if vocabulary == 0 || !same_pixels || !config.encoder.folders().is_empty() {
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

/// The files of a BLIP and of what encodes its captions, and where they lie below a white box.
fn sources(donor: &Donor, blip: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let texts = donor.text_files()?;
    if texts.is_empty() {
        return Err(Error::NoTextEncoder {
            captioner: blip.to_owned(),
            model: donor.name().to_owned(),
        });
    }
    let below = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default();
        (path.clone(), Path::new(BLIP_FOLDER).join(name))
    };
    let mut all: Vec<_> = Blip::files(blip)?.into_iter().map(below).collect();
    let own = texts.into_iter().map(|it| (donor.path(&it), it.into()));
    all.extend(own);
    Ok(all)
}

/// The sizes of the white box that a diffusion model and a captioner make, a black-box model or a BLIP, and how images
/// are made ready for it.
///
/// # Errors
/// If either is not there or is damaged, [`Error::NoCaptioner`] if the black-box model has no words or takes other
/// pixels than the diffusion model, [`Error::NoTextEncoder`] if nothing encodes the captions of a BLIP.
pub fn white_box(model: &str, captioner: &str) -> Result<(EncoderConfig, Preprocess)> {
    let donor = Donor::open(model)?;
    let (unet, vae) = (donor.unet_config()?, donor.codec_config()?);
    let captioner = Captions::open(captioner)?;
    let pocket = UNetEncoderConfig::pocket();
    let encoder = UNetEncoderConfig {
        captioner: captioner.config(&donor, unet.cross_attention_dim)?,
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

/// Tells what a white box begins with from all else.
pub(super) fn identity(model: &str, captioner: &str) -> Result<String> {
    let donor = Donor::open(model)?;
    let captioner = match Captions::open(captioner)? {
        Captions::Words(bundle) => bundle.digest(&[files::WEIGHTS, files::VOCABULARY])?,
        Captions::Sentences(blip) => models::fingerprint(&Blip::files(&blip)?)?,
    };
    Ok(format!("{} captioned by {captioner}", donor.digest()?))
}

/// Copies what captions to a white box's folder, unless it is there already; words lie among the weights.
///
/// # Errors
/// [`Error::Occupied`] if something else is there, which might be read in its place; else what is wrong with a file.
pub(super) fn place(model: &str, captioner: &str, folder: &Path) -> Result<()> {
    let Captions::Sentences(blip) = Captions::open(captioner)? else {
        return Ok(());
    };
    let sources = sources(&Donor::open(model)?, &blip)?.into_iter();
    let sources: HashMap<PathBuf, PathBuf> = sources
        .map(|(from, name)| (folder.join(name), from))
        .collect();
    let digest = |path: &Path| models::fingerprint(&[path.to_owned()]);
    for below in CAPTIONER_FOLDERS.map(|it| folder.join(it)) {
        // What cannot be listed is not there.
        for entry in fs::read_dir(&below).into_iter().flatten().flatten() {
            let there = entry.path();
            // Nor is anything hidden read: what a killed run had not yet given its name, say.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let same = match sources.get(&there) {
                Some(from) => digest(from)? == digest(&there)?,
                None => false,
            };
            if !same {
                return Err(Error::Occupied { path: below });
            }
        }
    }
    let mut missing = sources.iter().filter(|(to, _)| !to.exists());
    missing.try_for_each(|(to, from)| crate::files::copy(from, to))
}

/// Puts a diffusion model's way down, its codec and the words of a captioner into the white box.
pub(super) fn fill(
    parameters: &Parameters,
    model: &str,
    captioner: &str,
    ground: &Ground<'_>,
) -> Result<()> {
    let donor = Donor::open(model)?;
    if let Captions::Words(captioner) = Captions::open(captioner)? {
        let words = words(&captioner)?;
        // First, since another sentence encoder than the model's is told by it.
        let states = donor.word_states(words.words(), ground.sentences, ground.device)?;
        let mut black_box = captioner.tensors(files::WEIGHTS, ground.device)?;
        black_box.insert("states".to_owned(), states);
        parameters.fill("encoder.captioner.", &black_box)?;
    }
    for (prefix, tensors) in [
        ("encoder.unet.", Donor::unet as TensorsOf),
        ("encoder.codec.", Donor::codec),
    ] {
        let names = parameters.below(prefix);
        parameters.fill(prefix, &tensors(&donor, &names, ground.device)?)?;
    }
    Ok(())
}

/// Tensors of a part of a diffusion model, by their names.
type TensorsOf = fn(&Donor, &[String], &Device) -> Result<HashMap<String, Tensor>>;
