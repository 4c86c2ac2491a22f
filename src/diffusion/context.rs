//! What a U-Net attends to: the token states of texts of different lengths.

use candle_core::{Device, Result, Tensor};

/// Token states of a batch of texts, padded to the longest.
#[derive(Clone, Debug)]
pub struct Context {
    /// (batch, tokens, dim)
    states: Tensor,
    /// (batch, 1, 1, tokens): zero for tokens, very negative for padding; `None` if nothing is padded.
    bias: Option<Tensor>,
}

/// Added to the score of a padded token, whose weight after softmax is then nothing.
const NEVER: f32 = -1e4;

impl Context {
    /// `texts` holds each text's states, row by row, `dim` numbers a token.
    ///
    /// # Errors
    /// If a text is not whole rows, or the device refuses the tensor.
    pub fn padded(texts: &[&[f32]], dim: usize, device: &Device) -> Result<Self> {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        if dim == 0 || texts.iter().any(|text| !text.len().is_multiple_of(dim)) {
            candle_core::bail!("token states are not rows of {dim}");
        }
        let tokens = longest / dim;
        let mut states = vec![0f32; texts.len() * longest];
        let mut bias = vec![0f32; texts.len() * tokens];
        for (number, text) in texts.iter().enumerate() {
            states[number * longest..][..text.len()].copy_from_slice(text);
            bias[number * tokens..][text.len() / dim..tokens].fill(NEVER);
        }
        let padded = bias.contains(&NEVER);
        let bias = || Tensor::from_vec(bias, (texts.len(), 1, 1, tokens), device);
        Ok(Self {
            states: Tensor::from_vec(states, (texts.len(), tokens, dim), device)?,
            bias: padded.then(bias).transpose()?,
        })
    }

    /// Texts of one length: `states` is (batch, tokens, dim).
    pub fn even(states: Tensor) -> Self {
        Self { states, bias: None }
    }

    pub(crate) fn states(&self) -> &Tensor {
        &self.states
    }

    pub(super) fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_padded_and_padding_is_told() {
        let context = Context::padded(&[&[1.0, 2.0], &[3.0; 6]], 2, &Device::Cpu).unwrap();
        assert_eq!(context.states.dims(), [2, 3, 2]);
        let bias: Vec<f32> = context
            .bias()
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        assert_eq!(bias, [0.0, NEVER, NEVER, 0.0, 0.0, 0.0]);
        let even = Context::padded(&[&[1.0, 2.0], &[3.0, 4.0]], 2, &Device::Cpu).unwrap();
        assert!(even.bias().is_none());
        assert!(Context::padded(&[&[1.0; 3]], 2, &Device::Cpu).is_err());
    }
}
