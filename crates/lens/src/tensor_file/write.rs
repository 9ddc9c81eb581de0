//! Tensors that are written.

use crate::error::Result;
use crate::options::Precision;
use safetensors::tensor::{Dtype, TensorView};

/// Tensors as a safetensors file's content, as `f64` or rounded to `f32`.
pub(crate) fn serialized(
    arrays: &[(&str, Vec<usize>, &[f64])],
    precision: Precision,
) -> Result<Vec<u8>> {
    let bytes = |values: &[f64]| -> Vec<u8> {
        match precision {
            Precision::F64 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Precision::F32 => values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        }
    };
    let data: Vec<Vec<u8>> = arrays.iter().map(|(_, _, values)| bytes(values)).collect();
    let dtype = match precision {
        Precision::F64 => Dtype::F64,
        Precision::F32 => Dtype::F32,
    };
    let views = arrays
        .iter()
        .zip(&data)
        .map(|((name, shape, _), data)| Ok((*name, TensorView::new(dtype, shape.clone(), data)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(safetensors::serialize(views, None)?)
}
