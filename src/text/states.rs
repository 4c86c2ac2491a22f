//! The states of all tokens of many texts, in half precision: a hundred thousand prompts take three
//! gigabytes.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// States of texts of different lengths, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenStates {
    dim: usize,
    values: Vec<f16>,
    /// Where each text's states end.
    ends: Vec<usize>,
}

impl TokenStates {
    /// No texts yet, whose tokens will have `dim` numbers.
    pub fn new(dim: usize) -> Self {
        Self {
            dim,
            values: vec![],
            ends: vec![],
        }
    }

    /// Adds a text's states, token by token.
    pub fn push(&mut self, states: &[f32]) {
        let start = self.values.len();
        self.values.resize(start + states.len(), f16::ZERO);
        self.values[start..].convert_from_f32_slice(states);
        self.ends.push(self.values.len());
    }

    /// Numbers a token.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The states of a text, token by token.
    ///
    /// # Panics
    /// If there are no more than `text` texts.
    pub fn text(&self, text: usize) -> Vec<f32> {
        let start = text.checked_sub(1).map_or(0, |before| self.ends[before]);
        let halves = &self.values[start..self.ends[text]];
        let mut states = vec![0f32; halves.len()];
        halves.convert_to_f32_slice(&mut states);
        states
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were_put_in() {
        let mut states = TokenStates::new(2);
        for text in [&[1.0, -2.0][..], &[], &[0.5, 0.25, 3.0, 4.0]] {
            states.push(text);
        }
        assert_eq!((states.len(), states.dim()), (3, 2));
        assert_eq!(states.text(0), [1.0, -2.0]);
        assert!(states.text(1).is_empty());
        assert_eq!(states.text(2), [0.5, 0.25, 3.0, 4.0]);
    }
}
