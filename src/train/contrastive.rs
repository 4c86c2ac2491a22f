//! Contrastive pretraining of an image tower (Radford et al., 2021, s. 2.3).
//!
//! The text tower of the paper is the sentence encoder here, given and frozen; a linear projection
//! brings its embeddings into the space of the image features.

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};

use crate::nn::linear::Linear;
use crate::nn::unit::unit_rows;

/// Cosines are multiplied by this at most.
pub const LARGEST_SCALE: f64 = 100.0;

/// What cosines are multiplied by at the start.
const FIRST_SCALE: f64 = 1.0 / 0.07;

/// The text side: `text_projection`, and `logit_scale`, the logarithm of what cosines are
/// multiplied by. Beyond [`LARGEST_SCALE`] it has no effect and no gradient.
#[derive(Clone, Debug)]
pub struct Contrast {
    projection: Linear,
    logit_scale: Tensor,
}

impl Contrast {
    /// Reads the variables, or starts them for training: sentence embeddings of length `dim`,
    /// image features of length `features`.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn new(dim: usize, features: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            projection: Linear::without_bias(dim, features, vb.pp("text_projection"))?,
            logit_scale: vb.get_with_hints((), "logit_scale", Init::Const(FIRST_SCALE.ln()))?,
        })
    }

    /// The symmetric cross-entropy of telling which sentence of the batch belongs to an image, and
    /// which image to a sentence: a scalar. `features` is (batch, features), `sentences`
    /// (batch, dim), row by row what belongs together.
    ///
    /// The rest of the batch is what each is told from, so that the loss of a part of a batch is
    /// lower than that of the whole.
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn loss(&self, features: &Tensor, sentences: &Tensor) -> Result<Tensor> {
        let images = unit_rows(features)?;
        let texts = unit_rows(&self.projection.forward(sentences)?)?;
        let scale = self.logit_scale.minimum(LARGEST_SCALE.ln())?.exp()?;
        let logits = images.matmul(&texts.t()?)?.broadcast_mul(&scale)?;
        let count = logits.dim(0)? as u32;
        let own = Tensor::arange(0, count, logits.device())?;
        let of_images = candle_nn::loss::cross_entropy(&logits, &own)?;
        let of_texts = candle_nn::loss::cross_entropy(&logits.t()?, &own)?;
        (of_images + of_texts)? * 0.5
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::train::parameters::Parameters;

    fn tensor<const N: usize>(rows: &[[f32; 2]; N]) -> Tensor {
        Tensor::new(rows, &Device::Cpu).unwrap()
    }

    /// A projection that changes nothing, and this logarithmic scale.
    fn contrast(logit_scale: f32) -> (Contrast, Parameters) {
        let parameters = Parameters::new(1);
        let contrast = Contrast::new(2, 2, parameters.builder(&Device::Cpu)).unwrap();
        for (name, var) in parameters.all() {
            let value = if name == "logit_scale" {
                Tensor::new(logit_scale, &Device::Cpu).unwrap()
            } else {
                tensor(&[[1.0, 0.0], [0.0, 1.0]])
            };
            var.set(&value).unwrap();
        }
        (contrast, parameters)
    }

    fn scalar(x: &Tensor) -> f32 {
        x.to_scalar().unwrap()
    }

    #[test]
    fn the_loss_is_what_it_is_by_hand() {
        // Cosines [[1, 0.6], [0, 0.8]] at scale 2, whatever the lengths of the rows.
        let (contrast, _) = contrast(2f32.ln());
        let features = tensor(&[[3.0, 0.0], [0.0, 5.0]]);
        let sentences = tensor(&[[2.0, 0.0], [0.3, 0.4]]);
        let loss = scalar(&contrast.loss(&features, &sentences).unwrap());
        let softplus = |x: f32| x.exp().ln_1p();
        let of_images = softplus(2.0 * (0.6 - 1.0)) + softplus(2.0 * (0.0 - 0.8));
        let of_texts = softplus(2.0 * (0.0 - 1.0)) + softplus(2.0 * (0.6 - 0.8));
        let expected = (of_images + of_texts) / 4.0;
        assert!((loss - expected).abs() < 1e-6, "{loss} {expected}");
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (contrast, parameters) = contrast(1.0);
        let features = Var::from_tensor(&tensor(&[[3.0, 1.0], [-1.0, 2.0], [0.5, 0.4]])).unwrap();
        let sentences = tensor(&[[2.0, 0.0], [0.3, 0.4], [-1.0, 0.2]]);
        let loss = || contrast.loss(&features, &sentences).unwrap();
        let gradients = loss().backward().unwrap();
        let mut vars = parameters.all();
        vars.push(("features".into(), features.clone()));
        assert_eq!(vars.len(), 3);
        for (name, var) in vars {
            let gradient = gradients.get(&var).unwrap().flatten_all().unwrap();
            let start = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (at, gradient) in gradient.to_vec1::<f32>().unwrap().into_iter().enumerate() {
                let loss_at = |shift: f32| {
                    let mut moved = start.clone();
                    moved[at] += shift;
                    let moved = Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap();
                    var.set(&moved).unwrap();
                    scalar(&loss())
                };
                let slope = (loss_at(0.01) - loss_at(-0.01)) / 0.02;
                loss_at(0.0);
                assert!(
                    (slope - gradient).abs() < 1e-3,
                    "{name}, {at}: gradient {gradient}, finite difference {slope}"
                );
            }
        }
    }

    #[test]
    fn the_scale_stops_at_its_limit() {
        let features = tensor(&[[3.0, 1.0], [-1.0, 2.0]]);
        let sentences = tensor(&[[2.0, 1.9], [0.3, 0.4]]);
        let loss = |logit_scale| {
            let loss = contrast(logit_scale).0.loss(&features, &sentences);
            scalar(&loss.unwrap())
        };
        let limit = LARGEST_SCALE.ln() as f32;
        assert_eq!(loss(limit), loss(limit + 3.0));
        assert_ne!(loss(limit), loss(limit - 0.1));
    }
}
