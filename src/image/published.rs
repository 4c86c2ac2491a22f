//! Image encoders as they are published: what a folder of Hugging Face, open_clip or timm says of its sizes,
//! of how images are made ready, and of where its weights lie.

use std::path::Path;

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;
use serde_json::Value;

use super::clip::{self, ClipConfig, ClipVisionConfig};
use super::encoders::EncoderConfig;
use super::preprocess::{Fit, Odd, Preprocess, Resample};
use super::swin::timm::{PretrainedConfig, TIMM, TimmConfig};
use super::{swin, vit};
use crate::error::{Error, Result};
use crate::files::{check_fixed, json};
use crate::weights::checkpoint::Checkpoint;
use crate::weights::layout::Layout;
use crate::weights::open_clip::{self, OpenClipConfig};

/// The name of the file that says how images are made ready.
pub(super) const PREPROCESSOR: &str = "preprocessor_config.json";

/// What images are normalised by that ImageNet's are (`IMAGENET_DEFAULT_MEAN`, `..._STD` of timm).
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// A published image encoder: its sizes, and its weights, mapped.
pub struct PublishedEncoder {
    /// Which encoder, and its sizes.
    pub config: EncoderConfig,
    /// How images are made ready for it.
    pub preprocess: Preprocess,
    checkpoint: Checkpoint,
    layout: Layout,
    /// Stands before the names of its tensors.
    prefix: Option<&'static str>,
}

impl PublishedEncoder {
    /// Reads what the folder says. Encoders are ViT, CLIP (of Hugging Face and of open_clip) and SwinV2 (of
    /// Hugging Face and of timm).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for others, else what is wrong with a file.
    pub fn open(folder: &Path) -> Result<Self> {
        let (published, path) = if open_clip::is_in(folder) {
            (Self::open_clip(folder)?, folder.join(open_clip::CONFIG))
        } else {
            let path = folder.join("config.json");
            let config: Value = json(&path)?;
            let published = if config.get("architecture").is_some() {
                Self::timm(folder, &path, config)?
            } else {
                Self::hugging_face(folder, &path, config)?
            };
            (published, path)
        };
        let checked = published.config.check(&published.preprocess);
        checked.map_err(|source| Error::Weights { path, source })?;
        Ok(published)
    }

    fn hugging_face(folder: &Path, path: &Path, config: Value) -> Result<Self> {
        let read = |source| Error::ModelConfig {
            path: path.to_owned(),
            source,
        };
        let kind = config["model_type"].as_str().unwrap_or_default();
        let (encoder, layout, prefix, usual) = match kind {
            "vit" => {
                check_fixed(path, &config, vit::FIXED)?;
                let config = vit::VitConfig::deserialize(&config).map_err(read)?;
                let usual = Preprocess {
                    resample: Resample::Bilinear,
                    ..Preprocess::symmetric(config.image_size)
                };
                let config = EncoderConfig::Vit(config);
                (config, vit::HUGGING_FACE, Some("vit"), usual)
            }
            "swinv2" => {
                check_fixed(path, &config, swin::FIXED)?;
                let config = swin::SwinConfig::deserialize(&config).map_err(read)?;
                let usual = normalised(Preprocess::symmetric(config.image_size), IMAGENET);
                let config = EncoderConfig::Swin(config);
                (config, swin::HUGGING_FACE, Some("swinv2"), usual)
            }
            "clip" | "clip_vision_model" => {
                let vision = ClipVisionConfig::from_hugging_face(&config).map_err(read)?;
                let usual = clip_preprocess(vision.image_size, Odd::Before);
                let config = EncoderConfig::Clip(ClipConfig::frozen(vision));
                (config, clip::HUGGING_FACE, None, usual)
            }
            other => {
                return Err(Error::Unsupported {
                    path: path.to_owned(),
                    why: format!(
                        "model_type {other:?} is none of vit, swinv2, clip and clip_vision_model"
                    ),
                });
            }
        };
        let checkpoint = Checkpoint::open(folder, "model")?;
        let below = |prefix: &&str| checkpoint.has_below(&format!("{prefix}."));
        let given = folder.join(PREPROCESSOR);
        Ok(Self {
            preprocess: if given.is_file() {
                preprocess(&given)?
            } else {
                usual
            },
            config: encoder,
            layout,
            prefix: prefix.filter(below),
            checkpoint,
        })
    }

    fn open_clip(folder: &Path) -> Result<Self> {
        let config = OpenClipConfig::open(folder)?;
        let vision = ClipVisionConfig::from_open_clip(&config);
        Ok(Self {
            preprocess: open_clip_preprocess(vision.image_size, &config.preprocess_cfg),
            config: EncoderConfig::Clip(ClipConfig::frozen(vision)),
            checkpoint: Checkpoint::open(folder, open_clip::STEM)?,
            layout: open_clip::VISION,
            prefix: None,
        })
    }

    fn timm(folder: &Path, path: &Path, config: Value) -> Result<Self> {
        let config = TimmConfig::deserialize(config).map_err(|source| Error::ModelConfig {
            path: path.to_owned(),
            source,
        })?;
        let unsupported = |why: String| Error::Unsupported {
            path: path.to_owned(),
            why,
        };
        let sizes = config.sizes().ok_or_else(|| {
            let name = &config.architecture;
            unsupported(format!("{name} is no swinv2_SIZE_windowN_N of timm"))
        })?;
        let made = timm_preprocess(sizes.image_size, &config.pretrained_cfg);
        Ok(Self {
            preprocess: made.map_err(unsupported)?,
            config: EncoderConfig::Swin(sizes),
            checkpoint: Checkpoint::open(folder, "model")?,
            layout: TIMM,
            prefix: None,
        })
    }

    /// The files of its weights.
    pub fn files(&self) -> &[std::path::PathBuf] {
        self.checkpoint.files()
    }

    /// What `build` makes of all of its weights.
    ///
    /// # Errors
    /// As for [`Checkpoint::build`].
    pub fn build<T>(
        &self,
        device: &Device,
        build: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<T>,
    ) -> Result<T> {
        self.checkpoint.build(self.layout, device, |vb| {
            build(self.prefix.map_or(vb.clone(), |prefix| vb.pp(prefix)))
        })
    }

    /// Its tensors of these names, which must be all that it has.
    ///
    /// # Errors
    /// As for [`Checkpoint::build`].
    pub fn tensors(&self, names: &[String], device: &Device) -> Result<Vec<Tensor>> {
        self.build(device, |vb| {
            let tensor = |name: &String| vb.get_unchecked(name);
            names.iter().map(tensor).collect()
        })
    }
}

fn normalised(preprocess: Preprocess, (mean, std): ([f32; 3], [f32; 3])) -> Preprocess {
    Preprocess {
        image_mean: mean,
        image_std: std,
        ..preprocess
    }
}

/// As CLIP's images are made ready where no file says so.
fn clip_preprocess(size: usize, odd: Odd) -> Preprocess {
    let usual = open_clip::PreprocessConfig::default();
    let fit = Fit::Crop {
        shortest_edge: size,
        odd,
    };
    let preprocess = Preprocess {
        fit,
        ..Preprocess::symmetric(size)
    };
    normalised(preprocess, (usual.mean, usual.std))
}

/// As open_clip makes images ready.
pub(super) fn open_clip_preprocess(
    size: usize,
    config: &open_clip::PreprocessConfig,
) -> Preprocess {
    let numbers = (config.mean, config.std);
    normalised(clip_preprocess(size, Odd::Even), numbers)
}

/// As timm makes images ready for validation; else what of it is not known.
pub(super) fn timm_preprocess(
    size: usize,
    config: &PretrainedConfig,
) -> std::result::Result<Preprocess, String> {
    let resample = match config.interpolation.as_str() {
        "bicubic" => Resample::Bicubic,
        "bilinear" => Resample::Bilinear,
        other => return Err(format!("interpolation {other} is not known")),
    };
    if config.crop_mode.as_deref().is_some_and(|it| it != "center") {
        return Err("images are cropped in the middle alone".into());
    }
    if !(config.crop_pct > 0.0 && config.crop_pct <= 1.0) {
        return Err(format!(
            "crop_pct {} is not above 0 and at most 1",
            config.crop_pct
        ));
    }
    let fit = Fit::Crop {
        shortest_edge: (size as f64 / config.crop_pct) as usize,
        odd: Odd::Even,
    };
    let preprocess = Preprocess {
        fit,
        resample,
        ..Preprocess::symmetric(size)
    };
    Ok(normalised(preprocess, (config.mean, config.std)))
}

/// `preprocessor_config.json`.
#[derive(Deserialize)]
struct PreprocessorConfig {
    size: Size,
    #[serde(default)]
    crop_size: Option<Size>,
    #[serde(default)]
    do_center_crop: Option<bool>,
    #[serde(default = "yes")]
    do_resize: bool,
    #[serde(default = "yes")]
    do_rescale: bool,
    #[serde(default = "yes")]
    do_normalize: bool,
    #[serde(default)]
    rescale_factor: Option<f64>,
    /// Pillow's number of the filter.
    #[serde(default)]
    resample: Option<u8>,
    /// The class of the processor, by its newer and its older key; files may have both.
    #[serde(default)]
    image_processor_type: Option<String>,
    #[serde(default)]
    feature_extractor_type: Option<String>,
    #[serde(default = "half")]
    image_mean: [f32; 3],
    #[serde(default = "half")]
    image_std: [f32; 3],
}

fn yes() -> bool {
    true
}

fn half() -> [f32; 3] {
    [0.5; 3]
}

/// A size, in the forms of several versions.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Size {
    Side(usize),
    Box { height: usize, width: usize },
    Shortest { shortest_edge: usize },
}

impl Size {
    /// The side, if height and width are the same.
    fn side(self) -> Option<usize> {
        match self {
            Self::Side(side) => Some(side),
            Self::Box { height, width } => (height == width).then_some(width),
            Self::Shortest { shortest_edge } => Some(shortest_edge),
        }
    }
}

/// What `preprocessor_config.json` at `path` says.
///
/// # Errors
/// [`Error::Unsupported`] if it asks for what is not known, else what is wrong with the file.
pub fn preprocess(path: &Path) -> Result<Preprocess> {
    let config: PreprocessorConfig = json(path)?;
    let unsupported = |why: &str| Error::Unsupported {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let usual_factor = |factor: f64| (factor * 255.0 - 1.0).abs() < 1e-6;
    if !config.do_resize || !config.do_rescale || !config.rescale_factor.is_none_or(usual_factor) {
        return Err(unsupported(
            "images are always resized and scaled by 1 / 255",
        ));
    }
    let square = || unsupported("images are brought to squares alone");
    let size = config.size.side().ok_or_else(square)?;
    // Before crops had a key of their own, only CLIP's processor had them, and a size was that of an edge.
    let crops = config.do_center_crop.unwrap_or(config.crop_size.is_some());
    let crop = config.crop_size.filter(|_| crops);
    let (size, fit) = match (crops, config.size) {
        (true, Size::Box { .. }) => {
            return Err(unsupported("crops of squeezed images are not known"));
        }
        (true, _) => {
            let side = crop.unwrap_or(config.size).side().ok_or_else(square)?;
            if side > size {
                return Err(unsupported("crop_size is larger than size"));
            }
            let fit = Fit::Crop {
                shortest_edge: size,
                odd: Odd::Before,
            };
            (side, fit)
        }
        (false, Size::Shortest { .. }) => return Err(square()),
        (false, _) => (size, Fit::Squeeze),
    };
    let class = config
        .image_processor_type
        .or(config.feature_extractor_type);
    let is_bicubic = class.is_some_and(|it| it.starts_with("CLIP") || it.starts_with("Blip"));
    let resample = match config.resample {
        Some(2) => Resample::Bilinear,
        Some(3) => Resample::Bicubic,
        None if is_bicubic => Resample::Bicubic,
        None => Resample::Bilinear,
        Some(_) => {
            return Err(unsupported(
                "resample is none of 2 (bilinear) and 3 (bicubic)",
            ));
        }
    };
    let (image_mean, image_std) = if config.do_normalize {
        (config.image_mean, config.image_std)
    } else {
        ([0.0; 3], [1.0; 3])
    };
    Ok(Preprocess {
        size,
        fit,
        resample,
        image_mean,
        image_std,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::{Fixture, device};

    /// open_clip's layout, with both activations and both classes of its models, and several files.
    #[test]
    fn features_are_the_references() {
        for name in ["clip", "clip-sharded", "open-clip", "open-clip-quick"] {
            let fixture = Fixture::open(name);
            let published = PublishedEncoder::open(fixture.folder()).unwrap();
            let encoder = published
                .build(&device(), |vb| published.config.build(vb, fixture.folder()))
                .unwrap();
            let pixels = fixture.tensor("pixels");
            fixture.compare("image_embeds", &encoder.forward(&pixels).unwrap());
        }
    }

    #[test]
    fn other_models_are_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |config: &str| {
            std::fs::write(folder.path().join("config.json"), config).unwrap();
            PublishedEncoder::open(folder.path())
                .err()
                .unwrap()
                .to_string()
        };
        assert!(refused(r#"{"model_type": "resnet"}"#).contains("none of vit"));
        let other = r#"{"architecture": "vit_base", "pretrained_cfg": {"mean": [0, 0, 0],
            "std": [1, 1, 1], "interpolation": "bicubic", "crop_pct": 1}}"#;
        assert!(refused(other).contains("swinv2_SIZE"));
        let vit = r#"{"model_type": "vit", "qkv_bias": false}"#;
        assert!(refused(vit).contains("qkv_bias = false"));
    }
}
