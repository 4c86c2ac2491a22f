//! Rows for a convolution's products, gathered from neighbouring positions, and spread back.

use std::ops::Range;

use candle_core::Result;

use super::ConvConfig;

/// The sizes of one convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) config: ConvConfig,
    pub(super) batch: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
}

/// So many gathered numbers are multiplied at once: they stay in the second-level cache.
const CHUNK_VALUES: usize = 1 << 17;

impl Geometry {
    /// For inputs of `dims`, (batch, height, width, channels).
    pub(super) fn new(dims: (usize, usize, usize, usize), config: ConvConfig) -> Result<Self> {
        let (batch, height, width, channels) = dims;
        let pad = config.pad_before + config.pad_after;
        let outputs = |size: usize| (size + pad).checked_sub(config.kernel);
        let (Some(out_height), Some(out_width)) = (outputs(height), outputs(width)) else {
            candle_core::bail!("a kernel of {} on {height} x {width}", config.kernel);
        };
        Ok(Self {
            config,
            batch,
            height,
            width,
            channels,
            out_height: out_height / config.stride + 1,
            out_width: out_width / config.stride + 1,
        })
    }

    /// Length of a gathered row: (kernel row, kernel column, channel).
    pub(super) fn row(&self) -> usize {
        self.config.kernel * self.config.kernel * self.channels
    }

    /// Rows of positions in the output, over the whole batch.
    pub(super) fn lines(&self) -> usize {
        self.batch * self.out_height
    }

    /// Output lines in pieces whose gathered rows fit the cache.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let length = (CHUNK_VALUES / (self.row() * self.out_width).max(1)).max(1);
        let lines = self.lines();
        (0..lines)
            .step_by(length)
            .map(move |start| start..(start + length).min(lines))
    }

    /// Whether gathering would copy the input as it is.
    pub(super) fn is_identity(&self) -> bool {
        self.config == ConvConfig::POINTWISE
    }

    /// Gathers the rows of some output lines.
    pub(super) fn gather(&self, x: &[f32], lines: Range<usize>, rows: &mut Vec<f32>) {
        let length = lines.len() * self.out_width * self.row();
        // What lies outside the image is zero; where nothing does, every number is written below.
        if self.config.pad_before + self.config.pad_after > 0 {
            rows.clear();
        }
        rows.resize(length, 0.0);
        self.walk(lines, |row, input| {
            rows[row].copy_from_slice(&x[input]);
        });
    }

    /// Adds gathered rows to the positions that they came from.
    pub(super) fn spread(&self, rows: &[f32], lines: Range<usize>, x: &mut [f32]) {
        self.walk(lines, |row, input| {
            for (x, value) in x[input].iter_mut().zip(&rows[row]) {
                *x += value;
            }
        });
    }

    /// Calls `each` with every run of gathered numbers and the run of the input that it stands for;
    /// the two are equally long, and what lies outside the image is left out.
    fn walk(&self, lines: Range<usize>, mut each: impl FnMut(Range<usize>, Range<usize>)) {
        let ConvConfig {
            kernel,
            stride,
            pad_before: pad,
            ..
        } = self.config;
        let line = kernel * self.channels;
        let first = lines.start;
        for output in lines {
            let (image, out_y) = (output / self.out_height, output % self.out_height);
            for kernel_y in 0..kernel {
                let Some(y) = (out_y * stride + kernel_y)
                    .checked_sub(pad)
                    .filter(|&y| y < self.height)
                else {
                    continue;
                };
                let input = (image * self.height + y) * self.width;
                for out_x in 0..self.out_width {
                    // Columns `skip..end` of the kernel lie inside the image.
                    let skip = pad.saturating_sub(out_x * stride);
                    let x = (out_x * stride + skip).saturating_sub(pad);
                    let end = kernel.min((self.width + pad).saturating_sub(out_x * stride));
                    if skip >= end {
                        continue;
                    }
                    let row = ((output - first) * self.out_width + out_x) * self.row();
                    let start = row + kernel_y * line + skip * self.channels;
                    let length = (end - skip) * self.channels;
                    let from = (input + x) * self.channels;
                    each(start..start + length, from..from + length);
                }
            }
        }
    }
}
