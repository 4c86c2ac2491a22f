//! What a run learns: the seam between the training loop and every model that it trains.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;

use crate::error::Result;

/// Examples by number, and the loss of a network on them.
pub trait Task: Sync {
    /// Number of training examples.
    fn len(&self) -> usize;

    /// Whether there is no training example.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of validation examples.
    fn validation_len(&self) -> usize;

    /// Names of the parts of a loss, in their order: columns of the log.
    fn parts(&self) -> Vec<&'static str>;

    /// Reads what the loss on training examples will need, while a step on others runs elsewhere.
    ///
    /// # Errors
    /// If an example cannot be read.
    fn prepare(&self, _batch: &[usize], _epoch: usize) -> Result<()> {
        Ok(())
    }

    /// The loss on training examples, means over them. Whatever is drawn by chance is drawn from
    /// `draw`, so that a resumed run draws the same.
    ///
    /// # Errors
    /// If an example cannot be read or a tensor operation fails.
    fn loss(&self, batch: &[usize], draw: &mut Draw) -> Result<Loss>;

    /// The loss on validation examples, the same every time.
    ///
    /// # Errors
    /// As for [`Task::loss`].
    fn validate(&self, batch: &[usize]) -> Result<Loss>;

    /// Name of what says how good the network is, and is to rise.
    fn score_name(&self) -> &'static str;

    /// The score that mean parts of a loss come to.
    fn score(&self, parts: &[f64]) -> f64;
}

/// What an example is seen with.
#[derive(Debug)]
pub struct Draw {
    /// Passes over the data begun, from 0.
    pub epoch: usize,
    /// A generator of this step and worker's own.
    pub rng: ChaCha8Rng,
}

/// A loss on some examples.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What is minimised, a scalar.
    pub total: Tensor,
    /// Its parts, by [`Task::parts`].
    pub parts: Vec<f64>,
}
