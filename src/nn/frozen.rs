//! Variables that training leaves as they are.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

/// The variables of `vb` as constants: no step of what is computed from them alone is kept for a backward pass, which for an
/// autoencoder on large images is most of the memory of a training run.
pub fn frozen<'a>(vb: &VarBuilder<'a>) -> VarBuilder<'a> {
    let (dtype, device) = (vb.dtype(), vb.device().clone());
    VarBuilder::from_backend(Box::new(Frozen(vb.clone())), dtype, device)
}

struct Frozen<'a>(VarBuilder<'a>);

impl SimpleBackend for Frozen<'_> {
    fn get(&self, shape: Shape, name: &str, init: Init, _: DType, _: &Device) -> Result<Tensor> {
        Ok(self.0.get_with_hints(shape, name, init)?.detach())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        Ok(self.0.get_unchecked(name)?.detach())
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_tensor(name)
    }
}

#[cfg(test)]
mod tests {
    use candle_nn::VarMap;

    use super::*;

    #[test]
    fn values_follow_the_variable_and_pass_no_gradient() {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let constant = frozen(&vb.pp("a"))
            .get_with_hints(3, "x", Init::Const(1.0))
            .unwrap();
        assert!(!constant.track_op());
        let vars = map.data().lock().unwrap();
        let twos = Tensor::full(2f32, 3, &Device::Cpu).unwrap();
        vars["a.x"].set(&twos).unwrap();
        assert_eq!(constant.to_vec1::<f32>().unwrap(), [2.0; 3]);
    }
}
