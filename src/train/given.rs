//! What frozen variables make of images that stay the same, made once and kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use candle_core::{Device, Tensor};
use image::RgbImage;
use rayon::prelude::*;

use super::room::Room;
use super::set::TrainingSet;
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::matmul::Precision;
use crate::predictor::network::Network;

/// The most that is kept of a set, in bytes: a million images of CLIP's pocket tower, 65 000 of the
/// white box.
const KEPT_BYTES: usize = 1 << 30;

/// Images that go through the frozen part together on a graphics processor: by reckoning, four through Stable Diffusion's codec
/// take 10 GB.
const DEVICE_AT_ONCE: usize = 4;

/// A set of images as the trainable part of a network is given them.
pub(super) struct Given<'a> {
    set: &'a dyn TrainingSet,
    network: &'a Network,
    preprocess: &'a Preprocess,
    device: &'a Device,
    /// Empty if nothing is kept.
    kept: Vec<OnceLock<Vec<f32>>>,
    /// Of what is given of one image.
    shape: OnceLock<Vec<usize>>,
    room: Room,
    /// Images that were read ahead, by number and epoch.
    ahead: Mutex<HashMap<(usize, usize), RgbImage>>,
}

impl<'a> Given<'a> {
    /// Of `set`, for `network`, which takes images of `preprocess`.
    pub(super) fn new(
        set: &'a dyn TrainingSet,
        network: &'a Network,
        preprocess: &'a Preprocess,
        device: &'a Device,
    ) -> Self {
        let worthwhile = network.has_frozen() && !set.changes();
        let count = if worthwhile { set.len() } else { 0 };
        Self {
            set,
            network,
            preprocess,
            device,
            shape: OnceLock::new(),
            kept: (0..count).map(|_| OnceLock::new()).collect(),
            room: Room::new(KEPT_BYTES),
            ahead: Mutex::default(),
        }
    }

    pub(super) fn set(&self) -> &'a dyn TrainingSet {
        self.set
    }

    /// What is given of images by number, as they are seen in `epoch`: (batch, ..), without a gradient.
    pub(super) fn batch(&self, batch: &[usize], epoch: usize) -> Result<Tensor> {
        if self.kept.is_empty() {
            return self.make(batch, epoch);
        }
        let missing: Vec<usize> = batch
            .iter()
            .copied()
            .filter(|&index| self.kept[index].get().is_none())
            .collect();
        let at_once = if self.device.is_cpu() {
            1
        } else {
            DEVICE_AT_ONCE
        };
        let mut made = HashMap::new();
        for missing in missing.chunks(at_once) {
            made.extend(missing.iter().copied().zip(self.keep(missing, epoch)?));
        }
        let mut rows: Vec<f32> = vec![];
        for index in batch {
            let kept = self.kept[*index].get().or(made.get(index));
            rows.extend(kept.into_iter().flatten());
        }
        let mut shape = vec![batch.len()];
        shape.extend(self.shape.get().into_iter().flatten());
        Ok(Tensor::from_vec(rows, shape, self.device)?)
    }

    /// What is given of some images, a row each, which are kept as long as there is room. On the CPU an image is made by
    /// itself: in a larger product its last digits may be others, and a run that was stopped misses others than one that
    /// was not.
    fn keep(&self, batch: &[usize], epoch: usize) -> Result<Vec<Vec<f32>>> {
        let given = self.make(batch, epoch)?;
        self.shape.get_or_init(|| given.dims()[1..].to_vec());
        let rows = given.flatten_from(1)?.to_vec2::<f32>()?;
        for (&index, row) in batch.iter().zip(&rows) {
            let bytes = size_of_val(&row[..]);
            if self.room.take(bytes) && self.kept[index].set(row.clone()).is_err() {
                // Another worker was first.
                self.room.give_back(bytes);
            }
        }
        Ok(rows)
    }

    /// Reads the images of a batch that [`batch`](Self::batch) will ask for.
    pub(super) fn prepare(&self, batch: &[usize], epoch: usize) -> Result<()> {
        let kept = |index: usize| self.kept.get(index).is_some_and(|it| it.get().is_some());
        let wanted: Vec<usize> = batch.iter().copied().filter(|&it| !kept(it)).collect();
        let images = self.read(&wanted, epoch)?;
        let numbers = wanted.into_iter().map(|index| (index, epoch));
        self.ahead().extend(numbers.zip(images));
        Ok(())
    }

    fn ahead(&self) -> MutexGuard<'_, HashMap<(usize, usize), RgbImage>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Images by number, on all threads of the pool that this is called in.
    fn read(&self, batch: &[usize], epoch: usize) -> Result<Vec<RgbImage>> {
        let image = |&index: &usize| {
            if let Some(image) = self.ahead().remove(&(index, epoch)) {
                return Ok(image);
            }
            let image = self.set.image(index, epoch)?;
            Ok(match self.preprocess.resized(&image)? {
                Cow::Owned(resized) => resized,
                Cow::Borrowed(_) => image,
            })
        };
        batch.par_iter().map(image).collect()
    }

    /// In full precision, as it is made when images are answered.
    fn make(&self, batch: &[usize], epoch: usize) -> Result<Tensor> {
        let images = self.read(batch, epoch)?;
        let pixels = self.preprocess.batch(&images, self.device)?;
        Precision::Full.within(|| Ok(self.network.given(&pixels)?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use image::Rgb;

    use super::*;
    use crate::image::clip::{ClipConfig, ClipVisionConfig};
    use crate::image::encoders::EncoderConfig;
    use crate::nn::mlp::Activation;
    use crate::predictor::config::PredictorConfig;
    use crate::text::EncoderIdentity;
    use crate::train::parameters::Parameters;

    /// Eight images, and how often one was asked for.
    struct Counted {
        changes: bool,
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

        fn changes(&self) -> bool {
            self.changes
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

    /// Rows of three batches of the same images in another order, and how often one was asked for.
    fn rows(changes: bool, room_bytes: usize) -> (Vec<Vec<f32>>, usize) {
        let config = config();
        let parameters = Parameters::new(1);
        let network = Network::new(&config, 0, &parameters.builder(&Device::Cpu)).unwrap();
        let set = Counted {
            changes,
            asked: AtomicUsize::new(0),
        };
        let given = Given {
            room: Room::new(room_bytes),
            ..Given::new(&set, &network, &config.preprocess, &Device::Cpu)
        };
        let mut rows = vec![];
        for batch in [[0, 1, 2], [2, 3, 0], [3, 1, 0]] {
            let made = given.batch(&batch, 0).unwrap();
            rows.extend(made.to_vec2::<f32>().unwrap());
        }
        (rows, set.asked.into_inner())
    }

    #[test]
    fn what_is_kept_is_what_would_be_made_anew() {
        let (kept, asked) = rows(false, KEPT_BYTES);
        assert_eq!(asked, 4);
        let (made, asked) = rows(true, KEPT_BYTES);
        assert_eq!(asked, 9);
        // Two rows of six numbers fit: of images 0 and 1.
        let (few, asked) = rows(false, 2 * 6 * size_of::<f32>() + 5);
        assert_eq!(asked, 6);
        assert_eq!(made[0].len(), 6);
        assert_ne!(made[0], made[1]);
        for other in [&kept, &few] {
            let pairs = made.concat().into_iter().zip(other.concat());
            assert!(made.len() == other.len());
            for (made, other) in pairs {
                assert!((made - other).abs() < 1e-6, "{made} {other}");
            }
        }
        assert_eq!(kept, few);
    }
}
