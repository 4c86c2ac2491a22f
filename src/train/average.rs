//! The running mean of a network's weights (Ho et al., 2020, app. B): steadier than the weights
//! themselves, and what a diffusion model is used with.

use std::collections::HashMap;

use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

use crate::nn::ops;

/// Exponential moving means of named variables.
#[derive(Debug)]
pub(super) struct Average {
    decay: f64,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    var: Var,
    mean: Tensor,
}

impl Average {
    /// Begins at the variables as they are.
    pub(super) fn new(vars: &[(String, Var)], decay: f64) -> Result<Self> {
        let slot = |(name, var): &(String, Var)| {
            Ok(Slot {
                name: name.clone(),
                var: var.clone(),
                mean: var.as_detached_tensor().copy()?,
            })
        };
        Ok(Self {
            decay,
            slots: vars.iter().map(slot).collect::<Result<_>>()?,
        })
    }

    /// Takes up the variables after a step, counted from 0; early on, the mean is over all of them.
    pub(super) fn update(&mut self, step: usize) -> Result<()> {
        let step = step as f64;
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        self.slots.par_iter_mut().try_for_each(|slot| {
            let var = slot.var.as_detached_tensor();
            slot.mean = ops::weighted_sum(&slot.mean, decay, &var, 1.0 - decay)?;
            Ok(())
        })
    }

    /// Runs `work` with the means in the variables' place.
    pub(super) fn instead<T>(
        &self,
        work: impl FnOnce() -> crate::error::Result<T>,
    ) -> crate::error::Result<T> {
        let mut kept = vec![];
        for slot in &self.slots {
            kept.push(slot.var.as_detached_tensor().copy()?);
            slot.var.set(&slot.mean)?;
        }
        let outcome = work();
        for (slot, kept) in self.slots.iter().zip(&kept) {
            slot.var.set(kept)?;
        }
        outcome
    }

    /// The means as named tensors: `average.*`.
    pub(super) fn state(&self) -> impl Iterator<Item = (String, Tensor)> {
        let named = |slot: &Slot| (format!("average.{}", slot.name), slot.mean.clone());
        self.slots.iter().map(named)
    }

    /// Takes up a state made by [`Average::state`].
    pub(super) fn restore(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        for slot in &mut self.slots {
            let path = format!("average.{}", slot.name);
            match state.get(&path) {
                Some(mean) if mean.shape() == slot.mean.shape() => slot.mean = mean.copy()?,
                _ => return Err(candle_core::Error::CannotFindTensor { path }.bt()),
            }
        }
        Ok(())
    }
}
