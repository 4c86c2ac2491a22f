//! How the tokens of a map fall into windows, shifted or not (Liu et al., 2021, s. 3.2).

use candle_core::{Device, Result, Tensor};

/// The order of a map's tokens in which each window stands together.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    /// Number of windows in a map.
    pub(super) count: usize,
    /// Width and height of a window in tokens.
    pub(super) side: usize,
    order: Tensor,
    inverse: Tensor,
    /// (windows, 1, tokens, tokens), added to scores, where windows are shifted.
    pub(super) mask: Option<Tensor>,
}

impl Windows {
    /// Windows of `window` tokens a side on maps of `map`, shifted by half if there is a `shift`: what is added to
    /// the scores of tokens that only this brings together. A map
    /// that is not larger than a window is one window.
    ///
    /// # Errors
    /// If windows do not divide the map.
    pub(super) fn new(
        map: usize,
        window: usize,
        shift: Option<f32>,
        device: &Device,
    ) -> Result<Self> {
        let side = window.min(map);
        if side == 0 || !map.is_multiple_of(side) {
            candle_core::bail!("windows of {window} tokens do not divide a map of {map}");
        }
        let masked = shift.unwrap_or_default();
        let shift = if shift.is_some() && map > side {
            side / 2
        } else {
            0
        };
        let (count, tokens) = ((map / side).pow(2), side * side);
        let (mut order, mut regions) = (vec![], vec![]);
        // Where the map was torn apart by the shift, counted along one axis.
        let region = |at: usize| usize::from(at + side >= map) + usize::from(at + shift >= map);
        for window in 0..count {
            let (top, left) = (window / (map / side) * side, window % (map / side) * side);
            for token in 0..tokens {
                let (row, column) = (top + token / side, left + token % side);
                order.push(((row + shift) % map * map + (column + shift) % map) as u32);
                regions.push((region(row), region(column)));
            }
        }
        let mut inverse = vec![0; order.len()];
        for (place, &token) in order.iter().enumerate() {
            inverse[token as usize] = place as u32;
        }
        let mask = (shift > 0).then(|| {
            let mask = regions.chunks(tokens).flat_map(|regions| {
                let apart = |a, b| if a == b { 0.0 } else { masked };
                regions
                    .iter()
                    .flat_map(move |&a| regions.iter().map(move |&b| apart(a, b)))
            });
            Tensor::from_vec(mask.collect(), (count, 1, tokens, tokens), device)
        });
        Ok(Self {
            count,
            side,
            order: Tensor::from_vec(order, map * map, device)?,
            inverse: Tensor::from_vec(inverse, map * map, device)?,
            mask: mask.transpose()?,
        })
    }

    /// (batch, map * map, dim), from row by row to window by window.
    pub(super) fn split(&self, x: &Tensor) -> Result<Tensor> {
        x.index_select(&self.order, 1)
    }

    /// Undoes [`Windows::split`].
    pub(super) fn join(&self, x: &Tensor) -> Result<Tensor> {
        x.index_select(&self.inverse, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(map: usize, window: usize, shifted: bool) -> (Windows, Vec<u32>) {
        let windows = Windows::new(map, window, shifted.then_some(-200.0), &Device::Cpu).unwrap();
        let order = windows.order.to_vec1().unwrap();
        (windows, order)
    }

    #[test]
    fn windows_stand_together() {
        let (windows, order) = order(4, 2, false);
        assert_eq!(
            order,
            [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
        );
        assert_eq!((windows.count, windows.side), (4, 2));
        assert!(windows.mask.is_none());
    }

    #[test]
    fn a_shift_wraps_around_and_masks_what_is_no_neighbour() {
        let (windows, order) = order(4, 2, true);
        assert_eq!(order[..4], [5, 6, 9, 10]);
        assert_eq!(order[12..], [15, 12, 3, 0]);
        let mask = windows.mask.unwrap().squeeze(1).unwrap();
        let mask: Vec<Vec<Vec<f32>>> = mask.to_vec3().unwrap();
        assert_eq!(mask[0], [[0.0; 4]; 4]);
        // All four corners of the map: nobody sees anybody.
        for (i, row) in mask[3].iter().enumerate() {
            for (j, &score) in row.iter().enumerate() {
                assert_eq!(score, if i == j { 0.0 } else { -200.0 });
            }
        }
    }

    #[test]
    fn joining_undoes_splitting() {
        let windows = Windows::new(8, 4, Some(-1.0), &Device::Cpu).unwrap();
        let x = Tensor::arange(0f32, 128.0, &Device::Cpu).unwrap();
        let x = x.reshape((1, 64, 2)).unwrap();
        let back = windows.join(&windows.split(&x).unwrap()).unwrap();
        assert_eq!(back.to_vec3::<f32>().unwrap(), x.to_vec3::<f32>().unwrap());
    }

    #[test]
    fn a_map_within_a_window_is_one_window_unshifted() {
        let (windows, order) = order(4, 8, true);
        assert_eq!((windows.count, windows.side), (1, 4));
        assert_eq!(order, (0..16).collect::<Vec<u32>>());
        assert!(windows.mask.is_none());
        assert!(Windows::new(6, 4, None, &Device::Cpu).is_err());
    }
}
