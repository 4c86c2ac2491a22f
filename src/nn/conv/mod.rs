//! Two-dimensional convolution. In (batch, height, width, channels), out the same with other sizes.
//!
//! Channels come last here, as nowhere in published code, because then every position is a row: a
//! convolution is a product of rows gathered from neighbours, 1 x 1 kernels and attention need no
//! transposition, and norms run along memory. Weights keep their published shape.

mod composed;
mod gather;
mod op;

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};

use gather::Geometry;
pub(super) use op::linear;

/// How a kernel moves over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvConfig {
    /// Width and height of the kernel.
    pub kernel: usize,
    /// Positions from one output to the next.
    pub stride: usize,
    /// Zeros put before the first row and column.
    pub pad_before: usize,
    /// Zeros put after the last row and column.
    pub pad_after: usize,
}

impl ConvConfig {
    /// 1 x 1: a linear layer at every position.
    pub const POINTWISE: Self = Self {
        kernel: 1,
        stride: 1,
        pad_before: 0,
        pad_after: 0,
    };

    /// 3 x 3 that keeps the size.
    pub const SAME: Self = Self {
        kernel: 3,
        stride: 1,
        pad_before: 1,
        pad_after: 1,
    };

    /// 3 x 3 that halves the size.
    pub const HALVE: Self = Self {
        stride: 2,
        ..Self::SAME
    };
}

/// A convolution with `weight` (outputs, inputs, kernel, kernel) and `bias` (outputs).
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    config: ConvConfig,
}

impl Conv2d {
    /// Reads the layer, or starts it as PyTorch does: uniform within `1 / sqrt(inputs * kernel^2)`.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn new(
        inputs: usize,
        outputs: usize,
        config: ConvConfig,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let bound = 1.0 / ((inputs * config.kernel * config.kernel) as f64).sqrt();
        let init = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        Self::started(inputs, outputs, config, init, vb)
    }

    /// Reads the layer, or starts it at zero: the last layer of a residual branch, which then begins
    /// as the identity.
    ///
    /// # Errors
    /// If a weight is missing or of another shape.
    pub fn zero(
        inputs: usize,
        outputs: usize,
        config: ConvConfig,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        Self::started(inputs, outputs, config, Init::Const(0.0), vb)
    }

    fn started(
        inputs: usize,
        outputs: usize,
        config: ConvConfig,
        init: Init,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let shape = (outputs, inputs, config.kernel, config.kernel);
        Ok(Self {
            weight: vb.get_with_hints(shape, "weight", init)?,
            bias: vb.get_with_hints(outputs, "bias", Init::Const(0.0))?,
            config,
        })
    }
}

impl Module for Conv2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        op::conv2d(x, &self.weight, &self.bias, self.config)
    }
}
