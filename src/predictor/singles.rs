//! Named lists of `f32` in a safetensors file.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};

use crate::error::{Error, Result};

/// The file's bytes.
///
/// # Errors
/// If they cannot be put into the format.
pub(super) fn to_bytes(lists: &[(&str, &[f32])]) -> Result<Vec<u8>> {
    let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let lists: Vec<(&str, usize, Vec<u8>)> = lists
        .iter()
        .map(|(name, values)| (*name, values.len(), bytes(values)))
        .collect();
    let views = lists
        .iter()
        .map(|(name, len, bytes)| Ok((*name, TensorView::new(Dtype::F32, vec![*len], bytes)?)))
        .collect::<std::result::Result<HashMap<_, _>, SafeTensorError>>();
    let written = views.and_then(|views| safetensors::serialize(views, None));
    written.map_err(|error| Error::Tensor(candle_core::Error::Msg(error.to_string())))
}

/// The lists of these names in [`to_bytes`]' result; what is wrong as text.
pub(super) fn from_bytes<const N: usize>(
    bytes: &[u8],
    names: [&str; N],
) -> std::result::Result<[Vec<f32>; N], String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut lists = std::array::from_fn(|_| vec![]);
    for (list, name) in lists.iter_mut().zip(names) {
        let tensor = file.tensor(name).map_err(|error| error.to_string())?;
        if tensor.dtype() != Dtype::F32 {
            return Err(format!("{name} is {:?}, not F32", tensor.dtype()));
        }
        let (values, _) = tensor.data().as_chunks::<4>();
        *list = values.iter().map(|it| f32::from_le_bytes(*it)).collect();
        if !list.iter().all(|x| x.is_finite()) {
            return Err(format!("{name} holds numbers that are none"));
        }
    }
    Ok(lists)
}
