//! What a model predicts for many images.

use std::ops::ControlFlow;

use image::RgbImage;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::predictor::{Prediction, Predictor};

/// Images decoded at once.
const BATCH_IMAGES: usize = 256;

/// Predictions for `count` images by number, without words; `observe` is told of images done.
pub(super) fn predict(
    predictor: &Predictor,
    count: usize,
    image: &(dyn Fn(usize) -> Result<RgbImage> + Sync),
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<Prediction>> {
    let all: Vec<usize> = (0..count).collect();
    let mut predictions = Vec::with_capacity(all.len());
    for batch in all.chunks(BATCH_IMAGES) {
        let images = batch
            .par_iter()
            .map(|&number| image(number))
            .collect::<Result<Vec<_>>>()?;
        let without_words = |prediction: Prediction| Prediction {
            words: vec![],
            ..prediction
        };
        predictions.extend(
            predictor
                .predict_unadapted(&images)?
                .into_iter()
                .map(without_words),
        );
        if observe(predictions.len()).is_break() {
            return Err(Error::Cancelled);
        }
    }
    Ok(predictions)
}
