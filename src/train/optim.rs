//! AdamW (Loshchilov & Hutter, 2019), with its state in the open so that runs resume exactly.

use std::collections::HashMap;

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var};
use rayon::prelude::*;

use crate::nn::ops;

/// Settings of [`AdamW`] besides the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWOptions {
    /// Decay of the mean gradient.
    pub beta1: f64,
    /// Decay of the mean squared gradient.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Decoupled decay of matrices; vectors (biases, norms) do not decay.
    pub weight_decay: f64,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.05,
        }
    }
}

/// The optimiser's state: a variable with its two moments.
#[derive(Debug)]
struct Slot {
    name: String,
    var: Var,
    mean: Tensor,
    square: Tensor,
}

impl Slot {
    fn step(
        &mut self,
        gradient: &Tensor,
        scale: f64,
        learning_rate: f64,
        options: AdamWOptions,
        steps: usize,
    ) -> Result<()> {
        let update = Update {
            rate: learning_rate / (1.0 - options.beta1.powi(steps as i32)),
            square_scale: 1.0 / (1.0 - options.beta2.powi(steps as i32)),
            eps: options.eps,
            decay: if self.var.rank() > 1 {
                learning_rate * options.weight_decay
            } else {
                0.0
            },
        };
        let betas = [options.beta1, options.beta2];
        if gradient.device().is_cpu() {
            self.step_in_place(gradient, scale, betas, &update)
        } else {
            self.step_by_tensors(gradient, scale, betas, &update)
        }
    }

    fn step_in_place(
        &mut self,
        gradient: &Tensor,
        scale: f64,
        [beta1, beta2]: [f64; 2],
        update: &Update,
    ) -> Result<()> {
        let gradient = gradient.contiguous()?;
        self.mean.inplace_op2(
            &gradient,
            &Decay {
                keep: beta1,
                scale,
                squared: false,
            },
        )?;
        self.square.inplace_op2(
            &gradient,
            &Decay {
                keep: beta2,
                scale,
                squared: true,
            },
        )?;
        self.var.inplace_op3(&self.mean, &self.square, update)
    }

    fn step_by_tensors(
        &mut self,
        gradient: &Tensor,
        scale: f64,
        [beta1, beta2]: [f64; 2],
        update: &Update,
    ) -> Result<()> {
        let to_mean = (gradient * (scale * (1.0 - beta1)))?;
        self.mean = ((&self.mean * beta1)? + &to_mean)?;
        // Its square serves as well: the gradient is not scaled once more.
        let to_square = (to_mean.sqr()? * ((1.0 - beta2) / (1.0 - beta1).powi(2)))?;
        self.square = ((&self.square * beta2)? + to_square)?;
        let root = ((&self.square * update.square_scale)?.sqrt()? + update.eps)?;
        let step = ((&self.mean * update.rate)? / root)?;
        self.var
            .set(&((self.var.as_tensor() * (1.0 - update.decay))? - step)?)
    }
}

/// `m = keep m + (1 - keep) g`, or with g squared, in one pass over memory.
struct Decay {
    keep: f64,
    scale: f64,
    squared: bool,
}

impl InplaceOp2 for Decay {
    fn name(&self) -> &'static str {
        "moment-decay"
    }

    fn cpu_fwd(
        &self,
        moment: &mut CpuStorage,
        moment_layout: &Layout,
        gradient: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        let gradient = ops::values(gradient, layout, self.name())?;
        let moment = values_mut(moment, moment_layout, self.name())?;
        let (keep, scale) = (self.keep as f32, self.scale as f32);
        if self.squared {
            for (moment, gradient) in moment.iter_mut().zip(gradient) {
                let gradient = gradient * scale;
                *moment = keep * *moment + (1.0 - keep) * gradient * gradient;
            }
        } else {
            for (moment, gradient) in moment.iter_mut().zip(gradient) {
                *moment = keep * *moment + (1.0 - keep) * scale * gradient;
            }
        }
        Ok(())
    }
}

/// Decay and step of a variable, in one pass over memory.
struct Update {
    rate: f64,
    square_scale: f64,
    eps: f64,
    decay: f64,
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "adamw-update"
    }

    fn cpu_fwd(
        &self,
        var: &mut CpuStorage,
        var_layout: &Layout,
        mean: &CpuStorage,
        mean_layout: &Layout,
        square: &CpuStorage,
        square_layout: &Layout,
    ) -> Result<()> {
        let mean = ops::values(mean, mean_layout, self.name())?;
        let square = ops::values(square, square_layout, self.name())?;
        let var = values_mut(var, var_layout, self.name())?;
        let (rate, square_scale) = (self.rate as f32, self.square_scale as f32);
        let (eps, keep) = (self.eps as f32, 1.0 - self.decay as f32);
        for ((var, mean), square) in var.iter_mut().zip(mean).zip(square) {
            *var = keep * *var - rate * mean / ((square * square_scale).sqrt() + eps);
        }
        Ok(())
    }
}

fn values_mut<'a>(
    storage: &'a mut CpuStorage,
    layout: &Layout,
    op: &'static str,
) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => Err(candle_core::Error::RequiresContiguous { op }.bt()),
    }
}

/// AdamW over named variables.
#[derive(Debug)]
pub struct AdamW {
    options: AdamWOptions,
    slots: Vec<Slot>,
    steps: usize,
}

impl AdamW {
    /// Moments start at zero.
    ///
    /// # Errors
    /// If the device refuses a tensor.
    pub fn new(vars: Vec<(String, Var)>, options: AdamWOptions) -> Result<Self> {
        let slots = vars
            .into_iter()
            .map(|(name, var)| {
                // Moments are changed in place, so each has memory of its own.
                let (mean, square) = (var.zeros_like()?, var.zeros_like()?);
                Ok(Slot {
                    name,
                    var,
                    mean,
                    square,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            options,
            slots,
            steps: 0,
        })
    }

    /// The variables in the order of `step`'s gradients.
    pub fn vars(&self) -> impl Iterator<Item = &Var> {
        self.slots.iter().map(|slot| &slot.var)
    }

    /// Moves every variable against its gradient, given in the order of [`AdamW::vars`] and scaled
    /// by `scale` first.
    ///
    /// # Errors
    /// If a tensor operation fails; the optimiser is then not to be used.
    pub fn step(&mut self, gradients: &[Tensor], scale: f64, learning_rate: f64) -> Result<()> {
        self.steps += 1;
        let (options, steps) = (self.options, self.steps);
        self.slots
            .par_iter_mut()
            .zip(gradients)
            .try_for_each(|(slot, gradient)| {
                slot.step(gradient, scale, learning_rate, options, steps)
            })
    }

    /// Variables and moments as named tensors: `model.*`, `mean.*`, `square.*`.
    pub fn state(&self) -> HashMap<String, Tensor> {
        let mut state = HashMap::new();
        for slot in &self.slots {
            state.insert(
                format!("model.{}", slot.name),
                slot.var.as_detached_tensor(),
            );
            state.insert(format!("mean.{}", slot.name), slot.mean.clone());
            state.insert(format!("square.{}", slot.name), slot.square.clone());
        }
        state
    }

    /// Takes up a state made by [`AdamW::state`] after `steps` steps.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape; the optimiser is then not to be used.
    pub fn restore(&mut self, state: &HashMap<String, Tensor>, steps: usize) -> Result<()> {
        let get = |part: &str, slot: &Slot| -> Result<Tensor> {
            let path = format!("{part}.{}", slot.name);
            let Some(tensor) = state.get(&path) else {
                return Err(candle_core::Error::CannotFindTensor { path }.bt());
            };
            if tensor.shape() != slot.var.shape() {
                candle_core::bail!("{path} is {:?}, not {:?}", tensor.shape(), slot.var.shape());
            }
            // Moments are changed in place, so they must not share memory with `state`.
            tensor.copy()
        };
        for slot in &mut self.slots {
            slot.var.set(&get("model", slot)?)?;
            slot.mean = get("mean", slot)?;
            slot.square = get("square", slot)?;
        }
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::device;

    const GRADIENTS: [[f32; 2]; 3] = [[0.5, -1.0], [0.1, 2.0], [-0.3, 0.2]];

    // torch 2.15: w = torch.nn.Parameter(torch.tensor([[1.0, -2.0]]))
    // opt = torch.optim.AdamW([w], lr=0.1, weight_decay=0.05)
    // for g in GRADIENTS: w.grad = torch.tensor([g]); opt.step()
    const REFERENCE: [f32; 2] = [0.785_098_55, -1.941_456_3];

    #[test]
    fn follows_the_reference() {
        let device = device();
        let var = Var::new(&[[1f32, -2.0]], &device).unwrap();
        let mut optimiser =
            AdamW::new(vec![("w".into(), var.clone())], AdamWOptions::default()).unwrap();
        for gradient in GRADIENTS {
            let twice = Tensor::new(&[gradient.map(|it| 2.0 * it)], &device).unwrap();
            optimiser.step(&[twice], 0.5, 0.1).unwrap();
        }
        is_the_references(&var);
    }

    /// What other devices do.
    #[test]
    fn steps_by_tensors_follow_the_reference() {
        let var = Var::new(&[[1f32, -2.0]], &device()).unwrap();
        let mut slot = Slot {
            name: "w".into(),
            mean: var.zeros_like().unwrap(),
            square: var.zeros_like().unwrap(),
            var,
        };
        for (gradient, steps) in GRADIENTS.into_iter().zip(1..) {
            let twice = Tensor::new(&[gradient.map(|it| 2.0 * it)], &device()).unwrap();
            let update = Update {
                rate: 0.1 / (1.0 - 0.9f64.powi(steps)),
                square_scale: 1.0 / (1.0 - 0.999f64.powi(steps)),
                eps: 1e-8,
                decay: 0.1 * 0.05,
            };
            slot.step_by_tensors(&twice, 0.5, [0.9, 0.999], &update)
                .unwrap();
        }
        is_the_references(&slot.var);
    }

    fn is_the_references(var: &Var) {
        let found = var.to_vec2::<f32>().unwrap();
        assert!((found[0][0] - REFERENCE[0]).abs() < 1e-5, "{found:?}");
        assert!((found[0][1] - REFERENCE[1]).abs() < 1e-5, "{found:?}");
    }
}
