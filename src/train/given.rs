//! Images of a set as the trainable part of a network is given them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor};
use image::RgbImage;
use rayon::prelude::*;

use super::features::Features;
use super::set::TrainingSet;
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::matmul::Precision;
use crate::predictor::network::Network;

/// A set of images as the trainable part of a network is given them.
pub(super) struct Given<'a> {
    set: &'a dyn TrainingSet,
    network: &'a Network,
    preprocess: &'a Preprocess,
    device: &'a Device,
    /// What frozen variables have made of images, where that is kept.
    features: Option<Features>,
    /// What was read ahead of images, by number and epoch.
    ahead: Mutex<HashMap<(usize, usize), Read>>,
}

/// What is read of an image.
enum Read {
    /// Its features, which were kept.
    Features(Vec<f32>),
    /// The image itself, resized.
    Image(RgbImage),
}

impl<'a> Given<'a> {
    /// Of `set`, for `network`, which takes images of `preprocess`.
    pub(super) fn new(
        set: &'a dyn TrainingSet,
        network: &'a Network,
        preprocess: &'a Preprocess,
        device: &'a Device,
    ) -> Self {
        Self {
            set,
            network,
            preprocess,
            device,
            features: None,
            ahead: Mutex::default(),
        }
    }

    /// The same, with the features of its images, which are the same in each epoch.
    pub(super) fn with_features(self, features: Option<Features>) -> Self {
        Self { features, ..self }
    }

    pub(super) fn set(&self) -> &'a dyn TrainingSet {
        self.set
    }

    /// What is given of images by number, as they are seen in `epoch`: (batch, ..), without a gradient.
    pub(super) fn batch(&self, batch: &[usize], epoch: usize) -> Result<Tensor> {
        let mut rows = vec![vec![]; batch.len()];
        let (mut places, mut images) = (vec![], vec![]);
        for (place, read) in self.read_all(batch, epoch)?.into_iter().enumerate() {
            match read {
                Read::Features(row) => rows[place] = row,
                Read::Image(image) => {
                    places.push(place);
                    images.push(image);
                }
            }
        }
        let Some(features) = &self.features else {
            return self.make(&images);
        };
        // On the CPU an image is made by itself: in a larger product its last digits may be others, and a run that was
        // stopped misses others than one that was not.
        let at_once = if self.device.is_cpu() {
            1
        } else {
            batch.len().max(1)
        };
        for (places, images) in places.chunks(at_once).zip(images.chunks(at_once)) {
            let made = self.make(images)?.to_vec2::<f32>()?;
            for (&place, row) in places.iter().zip(made) {
                features.write(batch[place], &row);
                rows[place] = row;
            }
        }
        let shape = (batch.len(), rows.first().map_or(0, Vec::len));
        Ok(Tensor::from_vec(rows.concat(), shape, self.device)?)
    }

    /// Reads what [`batch`](Self::batch) will ask for.
    pub(super) fn prepare(&self, batch: &[usize], epoch: usize) -> Result<()> {
        let read = self.read_all(batch, epoch)?;
        let numbers = batch.iter().map(|&index| (index, epoch));
        self.ahead().extend(numbers.zip(read));
        Ok(())
    }

    fn ahead(&self) -> MutexGuard<'_, HashMap<(usize, usize), Read>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Images or their features, on all threads of the pool that this is called in.
    fn read_all(&self, batch: &[usize], epoch: usize) -> Result<Vec<Read>> {
        let read = batch.par_iter().map(|&index| self.read(index, epoch));
        read.collect()
    }

    fn read(&self, index: usize, epoch: usize) -> Result<Read> {
        if let Some(read) = self.ahead().remove(&(index, epoch)) {
            return Ok(read);
        }
        if let Some(row) = self.features.as_ref().and_then(|it| it.read(index)) {
            return Ok(Read::Features(row));
        }
        let image = self.set.image(index, epoch)?;
        Ok(Read::Image(match self.preprocess.resized(&image)? {
            Cow::Owned(resized) => resized,
            Cow::Borrowed(_) => image,
        }))
    }

    /// In full precision, as it is made when images are answered.
    fn make(&self, images: &[RgbImage]) -> Result<Tensor> {
        let pixels = self.preprocess.batch(images, self.device)?;
        Precision::Full.within(|| Ok(self.network.given(&pixels)?))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use image::Rgb;

    use super::*;
    use crate::image::clip::{ClipConfig, ClipVisionConfig};
    use crate::image::encoders::EncoderConfig;
    use crate::nn::mlp::Activation;
    use crate::predictor::config::PredictorConfig;
    use crate::text::EncoderIdentity;
    use crate::train::features::FeatureCache;
    use crate::train::parameters::Parameters;

    /// Eight images, and how often one was asked for.
    #[derive(Default)]
    struct Counted {
        asked: AtomicUsize,
    }

    impl TrainingSet for Counted {
        fn len(&self) -> usize {
            8
        }

        fn image(&self, index: usize, _: usize) -> Result<RgbImage> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let shade = |x: u32| (x as usize * 9 + index * 30) as u8;
            Ok(RgbImage::from_fn(8, 8, |x, y| Rgb([shade(x), shade(y), 0])))
        }

        fn embedding(&self, _: usize) -> &[f32] {
            &[]
        }

        fn words(&self, _: usize) -> &[u32] {
            &[]
        }
    }

    fn config() -> PredictorConfig {
        PredictorConfig {
            preprocess: Preprocess::symmetric(8),
            encoder: EncoderConfig::Clip(ClipConfig {
                vision_config: ClipVisionConfig {
                    image_size: 8,
                    patch_size: 4,
                    hidden_size: 8,
                    num_hidden_layers: 1,
                    num_attention_heads: 2,
                    intermediate_size: 16,
                    projection_dim: 6,
                    hidden_act: Activation::QuickGelu,
                    layer_norm_eps: 1e-5,
                },
                frozen: true,
                trunk_widths: vec![4],
            }),
            sentence_encoder: EncoderIdentity {
                name: "test".into(),
                sha256: String::new(),
                dim: 4,
            },
        }
    }

    /// Rows of three batches of the same images in another order, and how often one was asked for; `cache` keeps them.
    fn rows(cache: Option<&FeatureCache>) -> (Vec<Vec<f32>>, usize) {
        let config = config();
        let parameters = Parameters::new(1);
        let network =
            Network::new(&config, 0, &parameters.builder(&Device::Cpu), Path::new("")).unwrap();
        let set = Counted::default();
        let features = cache.map(|cache| cache.open("these"));
        let given =
            Given::new(&set, &network, &config.preprocess, &Device::Cpu).with_features(features);
        let mut rows = vec![];
        for batch in [[0, 1, 2], [2, 3, 0], [3, 1, 0]] {
            let made = given.batch(&batch, 0).unwrap();
            rows.extend(made.to_vec2::<f32>().unwrap());
        }
        (rows, set.asked.into_inner())
    }

    #[test]
    fn what_is_kept_is_what_would_be_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = |name: &str, max_bytes| FeatureCache {
            folder: folder.path().join(name),
            max_bytes,
        };
        let (made, asked) = rows(None);
        assert_eq!(asked, 9);
        let (kept, asked) = rows(Some(&cache("all", 1 << 20)));
        assert_eq!(asked, 4);
        let (found, asked) = rows(Some(&cache("all", 1)));
        assert_eq!(asked, 0);
        // A header of 24 bytes, and two rows of a checksum of 8 and six numbers: of images 0 and 1.
        let (few, asked) = rows(Some(&cache("two", 24 + 2 * (8 + 6 * 4) + 5)));
        assert_eq!(asked, 6);
        assert_eq!(made[0].len(), 6);
        assert_ne!(made[0], made[1]);
        let pairs = made.concat().into_iter().zip(kept.concat());
        assert_eq!(made.len(), kept.len());
        for (made, kept) in pairs {
            assert!((made - kept).abs() < 1e-6, "{made} {kept}");
        }
        assert_eq!([&kept, &kept], [&few, &found]);
    }

    #[test]
    fn what_was_read_ahead_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FeatureCache {
            folder: folder.path().to_owned(),
            max_bytes: 1 << 20,
        };
        let config = config();
        let parameters = Parameters::new(1);
        let network =
            Network::new(&config, 0, &parameters.builder(&Device::Cpu), Path::new("")).unwrap();
        let set = Counted::default();
        let given = Given::new(&set, &network, &config.preprocess, &Device::Cpu)
            .with_features(Some(cache.open("these")));
        let batch = |epoch| given.batch(&[0, 1], epoch).unwrap().to_vec2::<f32>();
        given.prepare(&[0, 1], 0).unwrap();
        let first = batch(0).unwrap();
        given.prepare(&[0, 1], 1).unwrap();
        assert_eq!(batch(1).unwrap(), first);
        assert_eq!(set.asked.load(Ordering::Relaxed), 2);
        assert!(given.ahead().is_empty());
    }
}
