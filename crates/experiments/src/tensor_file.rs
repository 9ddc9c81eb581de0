//! A user's safetensors files: read with every fault named, written as a whole.

use anyhow::anyhow;
use artifact::output;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A tensor, widened to `f64`.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

/// The tensors of a file.
#[derive(Debug)]
pub(crate) struct TensorFile {
    path: PathBuf,
    arrays: BTreeMap<String, Result<Array, String>>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl TensorFile {
    /// Reads a file; tensors of a dtype other than f32 and f64 are refused when they are asked for.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = output::read(path)?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| {
            anyhow!(
                "{}: found {} bytes that are no safetensors file ({error}), expected an undamaged one; \
                 write it again",
                path.display(),
                bytes.len()
            )
        })?;
        let mut arrays = BTreeMap::new();
        let mut shapes = BTreeMap::new();
        for (name, tensor) in file.tensors() {
            shapes.insert(name.clone(), tensor.shape().to_vec());
            arrays.insert(name, widen(&tensor));
        }
        Ok(Self { path: path.to_owned(), arrays, shapes })
    }

    /// Whether there is a tensor of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    /// Refuses tensors of other names.
    pub(crate) fn only(&self, known: &[&str]) -> anyhow::Result<()> {
        match self.shapes.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, shape)) => Err(anyhow!(
                "{}: tensor `{name}`: found an extra one of shape {shape:?}, expected only {}; leave it out",
                self.path.display(),
                known.join(", ")
            )),
        }
    }

    /// A tensor of the given shape.
    pub(crate) fn shaped(&self, name: &str, shape: &[usize]) -> anyhow::Result<Array> {
        let array = self.array(name, &format!("{shape:?}"))?;
        if array.shape == shape {
            return Ok(array);
        }
        Err(self.refuse(name, &array.shape, &format!("{shape:?}, as the tokens say")))
    }

    /// A tensor of the given shape, if there is one of that name.
    pub(crate) fn optional(&self, name: &str, shape: &[usize]) -> anyhow::Result<Option<Array>> {
        if self.has(name) { self.shaped(name, shape).map(Some) } else { Ok(None) }
    }

    /// A tensor of any shape.
    pub(crate) fn array(&self, name: &str, expected: &str) -> anyhow::Result<Array> {
        match self.arrays.get(name) {
            Some(Ok(array)) => Ok(array.clone()),
            Some(Err(fault)) => Err(anyhow!(
                "{}: tensor `{name}` of shape {:?}: found {fault}, expected finite f32 or f64 numbers; \
                 convert or correct it",
                self.path.display(),
                self.shapes.get(name).cloned().unwrap_or_default()
            )),
            None => Err(anyhow!(
                "{}: tensor `{name}`: found none (the file has: {}), expected one of shape {expected}; \
                 add it",
                self.path.display(),
                self.shapes.keys().cloned().collect::<Vec<_>>().join(", ")
            )),
        }
    }

    /// A tensor of another shape than expected.
    pub(crate) fn refuse(&self, name: &str, found: &[usize], expected: &str) -> anyhow::Error {
        anyhow!(
            "{}: tensor `{name}`: found shape {found:?}, expected {expected}; reshape it",
            self.path.display()
        )
    }
}

/// The numbers of a tensor, or what is wrong with them.
fn widen(tensor: &TensorView<'_>) -> Result<Array, String> {
    let values: Vec<f64> = match tensor.dtype() {
        Dtype::F64 => {
            tensor.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
        }
        Dtype::F32 => tensor
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f64::from(f32::from_le_bytes(*b)))
            .collect(),
        other => return Err(format!("dtype {other:?}")),
    };
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(format!("{} at entry {i}", values[i])),
        None => Ok(Array { shape: tensor.shape().to_vec(), values }),
    }
}

/// Writes tensors as `f64`, or rounded to `f32`.
pub(crate) fn write_tensors(
    path: &Path,
    arrays: &[(&str, Vec<usize>, &[f64])],
    double: bool,
) -> anyhow::Result<()> {
    let bytes = |values: &[f64]| -> Vec<u8> {
        if double {
            values.iter().flat_map(|x| x.to_le_bytes()).collect()
        } else {
            values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect()
        }
    };
    let data: Vec<Vec<u8>> = arrays.iter().map(|(_, _, values)| bytes(values)).collect();
    let dtype = if double { Dtype::F64 } else { Dtype::F32 };
    let views = arrays
        .iter()
        .zip(&data)
        .map(|((name, shape, _), data)| Ok((*name, TensorView::new(dtype, shape.clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(output::write_atomically(path, &safetensors::serialize(views, None)?)?)
}
