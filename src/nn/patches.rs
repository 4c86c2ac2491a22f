//! Square patches of an image, each embedded linearly. In (batch, 3, side, side), out
//! (batch, patches, dim), the patches row by row.

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};

use super::ops;
use super::product::product;

/// A convolution whose stride is its size, as the matrix product that it is.
#[derive(Clone, Debug)]
pub struct PatchEmbedding {
    weight: Tensor,
    bias: Option<Tensor>,
    side: usize,
    patch: usize,
}

impl PatchEmbedding {
    /// Reads or starts the layer: `weight` (dim, 3, patch, patch) and, if asked for, `bias` (dim).
    /// Images are `side` pixels wide and high, patches are `patch`.
    ///
    /// # Errors
    /// If the patches do not divide the image, or a weight is missing or of another shape.
    pub fn new(
        side: usize,
        patch: usize,
        dim: usize,
        with_bias: bool,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        if patch == 0 || side == 0 || !side.is_multiple_of(patch) {
            candle_core::bail!("patches of {patch} pixels do not divide {side}");
        }
        let bound = 1.0 / ((3 * patch * patch) as f64).sqrt();
        let init = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        let bias = with_bias.then(|| vb.get_with_hints(dim, "bias", Init::Const(0.0)));
        Ok(Self {
            weight: vb.get_with_hints((dim, 3, patch, patch), "weight", init)?,
            bias: bias.transpose()?,
            side,
            patch,
        })
    }

    /// Patches along a side of the image.
    pub fn grid(&self) -> usize {
        self.side / self.patch
    }
}

impl Module for PatchEmbedding {
    fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = pixels.dims4()?;
        let side = self.side;
        if (channels, height, width) != (3, side, side) {
            candle_core::bail!(
                "images are {channels} x {height} x {width}, not 3 x {side} x {side}"
            );
        }
        let (grid, patch, dim) = (self.grid(), self.patch, self.weight.dim(0)?);
        let length = 3 * patch * patch;
        let patches = pixels
            .reshape(&[batch, 3, grid, patch, grid, patch])?
            .permute([0, 2, 4, 1, 3, 5])?
            .reshape((batch * grid * grid, length))?;
        let mut embedded = product(&patches, &self.weight.reshape((dim, length))?.t()?)?;
        if let Some(bias) = &self.bias {
            embedded = ops::add_bias(&embedded, bias)?;
        }
        embedded.reshape((batch, grid * grid, dim))
    }
}
