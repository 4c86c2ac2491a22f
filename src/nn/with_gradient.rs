//! Operations whose backward pass is written by hand in terms of tensors, for any device.
//!
//! candle keeps every step between the inputs and the result of what is composed of its operations, for the
//! backward pass. Of an operation made here it keeps the inputs and the result; what the gradient needs besides is made
//! again (Chen et al., 2016).

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Result, Shape,
    Storage, Tensor, Var,
};

/// A gradient for each input, or none, from the inputs and the result's gradient.
type Backward = dyn Fn(&[&Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// What `forward` makes of one to three inputs, with the gradients that `backward` makes.
///
/// # Errors
/// As `forward`, or if there are more inputs.
pub(super) fn with_gradient(
    inputs: &[&Tensor],
    forward: impl Fn(&[&Tensor]) -> Result<Tensor>,
    backward: impl Fn(&[&Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !inputs.iter().any(|input| input.track_op()) {
        return forward(inputs);
    }
    let detached: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    let value = forward(&detached.iter().collect::<Vec<_>>())?;
    let value = match value.layout().contiguous_offsets() {
        Some((0, _)) => value,
        _ => value.force_contiguous()?,
    };
    let given = Given {
        value: Mutex::new(Some(value)),
        backward: Box::new(backward),
    };
    match inputs {
        [a] => a.apply_op1(given),
        [a, b] => a.apply_op2(b, given),
        [a, b, c] => a.apply_op3(b, c, given),
        _ => candle_core::bail!("{} inputs of an operation, not one to three", inputs.len()),
    }
}

/// What `work` makes of one to three inputs, all of it again in the backward pass.
///
/// # Errors
/// As for [`with_gradient`].
pub(super) fn made_again(
    inputs: &[&Tensor],
    work: impl Fn(&[&Tensor]) -> Result<Tensor> + Clone + Send + Sync + 'static,
) -> Result<Tensor> {
    let again = work.clone();
    with_gradient(inputs, work, move |inputs, grad| {
        let vars = inputs.iter().map(|input| Var::from_tensor(&input.detach()));
        let vars: Vec<Var> = vars.collect::<Result<_>>()?;
        let value = again(&vars.iter().map(|var| var.as_tensor()).collect::<Vec<_>>())?;
        let mut gradients = (value * grad)?.sum_all()?.backward()?;
        Ok(vars.iter().map(|var| gradients.remove(var)).collect())
    })
}

/// A result that is known already.
struct Given {
    /// Until candle has taken it.
    value: Mutex<Option<Tensor>>,
    backward: Box<Backward>,
}

impl Given {
    /// What `storage` finds in the result's memory.
    fn take<S>(
        &self,
        storage: impl Fn(&Storage, &Layout) -> Result<Option<S>>,
    ) -> Result<(S, Shape)> {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(value) = value.take() else {
            candle_core::bail!("a result that was taken before")
        };
        let (own, layout) = value.storage_and_layout();
        match storage(&own, layout)? {
            Some(storage) => Ok((storage, layout.shape().clone())),
            None => candle_core::bail!("a result on another device than its inputs"),
        }
    }

    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        self.take(|storage, _| {
            Ok(match storage {
                Storage::Cpu(own) => Some(own.clone()),
                _ => None,
            })
        })
    }

    fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        self.take(|storage, layout| match storage {
            Storage::Cuda(own) => own.try_clone(layout).map(Some),
            _ => Ok(None),
        })
    }

    fn on_metal(&self) -> Result<(MetalStorage, Shape)> {
        self.take(|storage, layout| match storage {
            Storage::Metal(own) => own.try_clone(layout).map(Some),
            _ => Ok(None),
        })
    }
}

/// The name that errors have for all of them.
const NAME: &str = "with-gradient";

impl CustomOp1 for Given {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let gradients = (self.backward)(&[a], grad)?;
        Ok(gradients.into_iter().next().flatten())
    }
}

impl CustomOp2 for Given {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut gradients = (self.backward)(&[a, b], grad)?.into_iter();
        let mut next = || gradients.next().flatten();
        Ok((next(), next()))
    }
}

impl CustomOp3 for Given {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut gradients = (self.backward)(&[a, b, c], grad)?.into_iter();
        let mut next = || gradients.next().flatten();
        Ok((next(), next(), next()))
    }
}
