//! What frozen variables make of images that stay the same, made once and kept.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};

use super::set::TrainingSet;
use crate::error::Result;
use crate::image::preprocess::Preprocess;
use crate::matmul::Precision;
use crate::predictor::network::Network;

/// The most that is kept of a set, in bytes: 200 000 images of CLIP's pocket tower, 65 000 of the white
/// box.
const KEPT_BYTES: usize = 1 << 30;

/// A set of images as the trainable part of a network is given them.
pub(super) struct Given<'a> {
    set: &'a dyn TrainingSet,
    network: &'a Network,
    preprocess: &'a Preprocess,
    device: &'a Device,
    /// Empty if nothing is kept.
    kept: Vec<OnceLock<Vec<f32>>>,
    room_bytes: AtomicUsize,
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
            kept: (0..count).map(|_| OnceLock::new()).collect(),
            room_bytes: AtomicUsize::new(KEPT_BYTES),
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
        let mut made = vec![].into_iter();
        if !missing.is_empty() {
            made = self
                .make(&missing, epoch)?
                .flatten_from(1)?
                .to_vec2::<f32>()?
                .into_iter();
        }
        let mut rows = vec![];
        let mut missing = missing.into_iter().peekable();
        for &index in batch {
            // What another worker has kept meanwhile was made here all the same.
            let row = match missing.next_if_eq(&index) {
                Some(_) => made.next(),
                None => None,
            };
            match row {
                Some(row) => {
                    rows.extend_from_slice(&row);
                    if self.take_room(row.len() * size_of::<f32>()) {
                        let _ = self.kept[index].set(row);
                    }
                }
                None => rows.extend(self.kept[index].get().into_iter().flatten()),
            }
        }
        Ok(Tensor::from_vec(rows, (batch.len(), ()), self.device)?)
    }

    /// In full precision, as it is made when images are answered.
    fn make(&self, batch: &[usize], epoch: usize) -> Result<Tensor> {
        let images = batch
            .iter()
            .map(|&index| self.set.image(index, epoch))
            .collect::<Result<Vec<_>>>()?;
        let pixels = self.preprocess.batch(&images, self.device)?;
        Precision::Full.within(|| Ok(self.network.given(&pixels)?))
    }

    /// Takes room for a row, if there is any left.
    fn take_room(&self, bytes: usize) -> bool {
        self.room_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
                room.checked_sub(bytes)
            })
            .is_ok()
    }
}
