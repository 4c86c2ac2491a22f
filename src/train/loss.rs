//! The joint loss (docs/method.md): `cosine + huber + 0.1 * bce`.

use candle_core::{D, Result, Tensor};

use crate::heads::joint::JointOutput;

/// Weight of the vocabulary's binary cross-entropy.
pub const WORDS_WEIGHT: f64 = 0.1;

/// The parts of the loss, each a scalar: means over the batch.
#[derive(Clone, Debug)]
pub struct JointLoss {
    /// `1 - cos(e, e*)`, in [0, 2].
    pub cosine: Tensor,
    /// Huber's loss with delta 1 over the components of the embedding.
    pub huber: Tensor,
    /// Binary cross-entropy over the vocabulary, if there is one.
    pub words: Option<Tensor>,
}

impl JointLoss {
    /// Compares predictions with targets: `embedding` (batch, dim) of unit rows, `words`
    /// (batch, words) of zeros and ones where the model has a vocabulary.
    ///
    /// # Errors
    /// If the shapes disagree.
    pub fn new(output: &JointOutput, embedding: &Tensor, words: Option<&Tensor>) -> Result<Self> {
        let cosine = (&output.embedding * embedding)?.sum(D::Minus1)?;
        let words = match (&output.word_logits, words) {
            (Some(logits), Some(words)) => Some(bce_with_logits(logits, words)?),
            _ => None,
        };
        Ok(Self {
            cosine: cosine.affine(-1.0, 1.0)?.mean_all()?,
            huber: huber(&output.embedding, embedding)?,
            words,
        })
    }

    /// The weighted sum that is minimised.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn total(&self) -> Result<Tensor> {
        let regression = (&self.cosine + &self.huber)?;
        match &self.words {
            Some(words) => regression + (words * WORDS_WEIGHT)?,
            None => Ok(regression),
        }
    }
}

/// Huber's loss with delta 1, mean over all components.
fn huber(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    let distance = (prediction - target)?.abs()?;
    // With m = min(d, 1), d^2 / 2 below 1 and d - 1/2 above it are both m (d - m / 2).
    let bounded = distance.minimum(1.0)?;
    (&bounded * (&distance - (&bounded * 0.5)?)?)?.mean_all()
}

/// Binary cross-entropy on logits, mean over all: `max(x, 0) - x t + ln(1 + exp(-|x|))`.
///
/// This form is finite for every finite logit; the logarithm of a sigmoid is not.
fn bce_with_logits(logits: &Tensor, target: &Tensor) -> Result<Tensor> {
    let softplus = logits.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()?;
    ((logits.relu()? - (logits * target)?)? + softplus)?.mean_all()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn vector(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    fn scalar(x: Tensor) -> f32 {
        x.to_scalar().unwrap()
    }

    #[test]
    fn huber_is_quadratic_then_linear() {
        let loss = |d: f32| scalar(huber(&vector(&[d]), &vector(&[0.0])).unwrap());
        for (d, expected) in [(0.0, 0.0), (0.5, 0.125), (-1.0, 0.5), (3.0, 2.5)] {
            assert!((loss(d) - expected).abs() < 1e-6, "{d}");
        }
    }

    #[test]
    fn bce_is_finite_and_right_for_confident_logits() {
        let bce = |x: f32, t: f32| scalar(bce_with_logits(&vector(&[x]), &vector(&[t])).unwrap());
        assert!((bce(0.0, 1.0) - std::f32::consts::LN_2).abs() < 1e-6);
        assert!((bce(1000.0, 0.0) - 1000.0).abs() < 1e-3);
        assert!(bce(1000.0, 1.0).abs() < 1e-6);
        assert!((bce(-1000.0, 1.0) - 1000.0).abs() < 1e-3);
        let logits = Var::from_tensor(&vector(&[-1000.0, -2.0, 2.0, 1000.0])).unwrap();
        let loss = bce_with_logits(&logits, &vector(&[1.0, 0.0, 1.0, 0.0])).unwrap();
        let grads = loss.backward().unwrap();
        let grad: Vec<f32> = grads.get(&logits).unwrap().to_vec1().unwrap();
        // sigmoid(x) - t, over four.
        for (found, expected) in grad.iter().zip([-0.25, 0.0298, -0.0298, 0.25]) {
            assert!((found - expected).abs() < 1e-4, "{grad:?}");
        }
    }
}
