//! AdamW (Loshchilov & Hutter, 2019), with its state in the open so that runs resume exactly.

use std::collections::HashMap;

use candle_core::{Result, Tensor, Var};

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
                let zeros = var.zeros_like()?;
                Ok(Slot {
                    name,
                    mean: zeros.clone(),
                    square: zeros,
                    var,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            options,
            slots,
            steps: 0,
        })
    }

    /// Steps taken so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The variables in the order of `step`'s gradients.
    pub fn vars(&self) -> impl Iterator<Item = &Var> {
        self.slots.iter().map(|slot| &slot.var)
    }

    /// Moves every variable against its gradient, given in the order of [`AdamW::vars`].
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn step(&mut self, gradients: &[Tensor], learning_rate: f64) -> Result<()> {
        let AdamWOptions {
            beta1,
            beta2,
            eps,
            weight_decay,
        } = self.options;
        self.steps += 1;
        let power = self.steps as i32;
        let mean_scale = 1.0 / (1.0 - beta1.powi(power));
        let square_scale = 1.0 / (1.0 - beta2.powi(power));
        for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
            slot.mean = ((&slot.mean * beta1)? + (gradient * (1.0 - beta1))?)?;
            slot.square = ((&slot.square * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
            let root = ((&slot.square * square_scale)?.sqrt()? + eps)?;
            let update = ((&slot.mean * (mean_scale * learning_rate))? / root)?;
            let decay = if slot.var.rank() > 1 {
                learning_rate * weight_decay
            } else {
                0.0
            };
            slot.var
                .set(&((slot.var.as_tensor() * (1.0 - decay))? - update)?)?;
        }
        Ok(())
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
        let get = |part: &str, name: &str| {
            let path = format!("{part}.{name}");
            match state.get(&path) {
                Some(tensor) => Ok(tensor.clone()),
                None => Err(candle_core::Error::CannotFindTensor { path }.bt()),
            }
        };
        for slot in &mut self.slots {
            slot.var.set(&get("model", &slot.name)?)?;
            slot.mean = get("mean", &slot.name)?;
            slot.square = get("square", &slot.name)?;
        }
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    // torch 2.15: w = torch.nn.Parameter(torch.tensor([[1.0, -2.0]]))
    // opt = torch.optim.AdamW([w], lr=0.1, weight_decay=0.05)
    // for g in ([0.5, -1.0], [0.1, 2.0], [-0.3, 0.2]): w.grad = torch.tensor([g]); opt.step()
    #[test]
    fn follows_the_reference() {
        let var = Var::new(&[[1f32, -2.0]], &Device::Cpu).unwrap();
        let mut optimiser =
            AdamW::new(vec![("w".into(), var.clone())], AdamWOptions::default()).unwrap();
        for gradient in [[0.5f32, -1.0], [0.1, 2.0], [-0.3, 0.2]] {
            let gradient = Tensor::new(&[gradient], &Device::Cpu).unwrap();
            optimiser.step(&[gradient], 0.1).unwrap();
        }
        let found = var.to_vec2::<f32>().unwrap();
        assert!((found[0][0] - REFERENCE[0]).abs() < 1e-5, "{found:?}");
        assert!((found[0][1] - REFERENCE[1]).abs() < 1e-5, "{found:?}");
    }

    const REFERENCE: [f32; 2] = [0.785_098_55, -1.941_456_3];
}
