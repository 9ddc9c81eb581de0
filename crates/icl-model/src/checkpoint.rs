//! Weights, optimiser state, curve and settings as safetensors.
//!
//! A file holds the variables by name, row-major `f32`, each head's projection `[n_heads, d, d]` (or
//! `[d, d]` for one head, the convention of `icl lens`), `adam.first`, `adam.second`, `adam.step` where a
//! training run is to be continued, `curve.step`, `curve.loss` and `curve.nmse` in the middle of one, and the settings as JSON
//! in the metadata entry `settings`.

use crate::ModelError;
use crate::adam::Adam;
use crate::attention::Parameters;
use crate::objective::CurvePoint;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the number of steps taken.
const STEP: &str = "adam.step";
const CURVE_STEP: &str = "curve.step";
const CURVE_LOSS: &str = "curve.loss";
const CURVE_NMSE: &str = "curve.nmse";

/// Serialises parameters (and an optimiser state) with `settings` as metadata.
///
/// # Errors
/// [`ModelError::Setting`] if the format refuses a tensor.
pub fn to_bytes(
    parameters: &Parameters,
    adam: Option<&Adam>,
    settings: &str,
) -> Result<Vec<u8>, ModelError> {
    serialised(parameters, adam, &[], settings)
}

/// Serialises a training run in its middle.
///
/// # Errors
/// [`ModelError::Setting`] if the format refuses a tensor.
pub fn run_to_bytes(
    parameters: &Parameters,
    adam: &Adam,
    curve: &[CurvePoint],
) -> Result<Vec<u8>, ModelError> {
    serialised(parameters, Some(adam), curve, "")
}

fn serialised(
    parameters: &Parameters,
    adam: Option<&Adam>,
    curve: &[CurvePoint],
    settings: &str,
) -> Result<Vec<u8>, ModelError> {
    let mut arrays: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (variable, range) in parameters.ranges() {
        let mut shape = variable.shape;
        if shape.len() == 3 && shape[0] == 1 {
            shape.remove(0);
        }
        arrays.insert(variable.name, (shape, bytes(&parameters.packed()[range])));
    }
    let metadata = std::collections::BTreeMap::from([("settings".to_owned(), settings.to_owned())]);
    if let Some(adam) = adam {
        arrays.insert("adam.first".into(), (vec![adam.first.len()], bytes(&adam.first)));
        arrays.insert("adam.second".into(), (vec![adam.second.len()], bytes(&adam.second)));
    }
    let refuse = |error: safetensors::SafeTensorError| {
        ModelError::setting("weights", error, "tensors that safetensors can hold")
    };
    let mut views = arrays
        .iter()
        .map(|(name, (shape, data))| {
            Ok((name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).map_err(refuse)?))
        })
        .collect::<Result<Vec<_>, ModelError>>()?;
    let step = adam.map(|adam| adam.step.to_le_bytes());
    if let Some(step) = &step {
        let view = TensorView::new(Dtype::U64, vec![1], step).map_err(refuse)?;
        views.push((STEP.to_owned(), view));
    }
    let steps: Vec<u8> = curve.iter().flat_map(|p| (p.step as u64).to_le_bytes()).collect();
    let losses: Vec<u8> = curve.iter().flat_map(|p| p.loss.to_le_bytes()).collect();
    let squares: Vec<u8> = curve.iter().flat_map(|p| p.nmse.to_le_bytes()).collect();
    if !curve.is_empty() {
        let n = vec![curve.len()];
        for (name, dtype, data) in [
            (CURVE_STEP, Dtype::U64, &steps),
            (CURVE_LOSS, Dtype::F64, &losses),
            (CURVE_NMSE, Dtype::F64, &squares),
        ] {
            let view = TensorView::new(dtype, n.clone(), data).map_err(refuse)?;
            views.push((name.to_owned(), view));
        }
    }
    safetensors::serialize(views, Some(metadata.into_iter().collect())).map_err(refuse)
}

/// Reads parameters laid out like `template` from the bytes of a file; `path` is for messages.
///
/// # Errors
/// [`ModelError::File`] naming the tensor, its dtype or shape, and what was expected.
pub fn from_bytes(
    template: &Parameters,
    path: &Path,
    bytes: &[u8],
) -> Result<Parameters, ModelError> {
    let file = parse(path, bytes)?;
    let mut parameters = template.clone();
    for (variable, range) in template.ranges() {
        let values = read(&file, path, &variable.name, &variable.shape)?;
        parameters.packed_mut()[range].copy_from_slice(&values);
    }
    let own = |name: &str| name.starts_with("adam.") || name.starts_with("curve.");
    let known = |name: &str| own(name) || template.range(name).is_some();
    if let Some(name) = file.names().into_iter().find(|name| !known(name)) {
        let names: Vec<_> = template.variables().iter().map(|v| v.name.clone()).collect();
        return Err(ModelError::file(path, name, "a tensor of that name", &names.join(", ")));
    }
    Ok(parameters)
}

/// Reads the optimiser's state, if the file holds one.
///
/// # Errors
/// [`ModelError::File`] if it does not fit `adam`.
pub fn adam_from_bytes(
    mut adam: Adam,
    path: &Path,
    bytes: &[u8],
) -> Result<Option<Adam>, ModelError> {
    let file = parse(path, bytes)?;
    if file.tensor("adam.first").is_err() {
        return Ok(None);
    }
    let shape = [adam.first.len()];
    adam.first = read(&file, path, "adam.first", &shape)?;
    adam.second = read(&file, path, "adam.second", &shape)?;
    let step = file
        .tensor(STEP)
        .ok()
        .and_then(|step| Some(u64::from_le_bytes(step.data().try_into().ok()?)));
    adam.step =
        step.ok_or_else(|| ModelError::file(path, STEP, "nothing", "u64 [1], the steps taken"))?;
    Ok(Some(adam))
}

/// Reads the curve of a run in its middle; empty where the file holds none.
///
/// # Errors
/// [`ModelError::File`] if its parts do not fit together.
pub fn curve_from_bytes(path: &Path, bytes: &[u8]) -> Result<Vec<CurvePoint>, ModelError> {
    let file = parse(path, bytes)?;
    let words = |name: &str, dtype: Dtype| -> Option<Vec<[u8; 8]>> {
        let tensor = file.tensor(name).ok().filter(|tensor| tensor.dtype() == dtype)?;
        Some(tensor.data().as_chunks::<8>().0.to_vec())
    };
    if file.tensor(CURVE_STEP).is_err() {
        return Ok(Vec::new());
    }
    let steps = words(CURVE_STEP, Dtype::U64).unwrap_or_default();
    let losses = words(CURVE_LOSS, Dtype::F64).unwrap_or_default();
    let nmses = words(CURVE_NMSE, Dtype::F64).unwrap_or_default();
    if losses.len() != steps.len() || nmses.len() != steps.len() {
        let found = format!("{}, {}, {} entries", steps.len(), losses.len(), nmses.len());
        return Err(ModelError::file(path, "curve", &found, "as many of step, loss and nmse"));
    }
    let point = |((step, loss), nmse): ((&[u8; 8], &[u8; 8]), &[u8; 8])| CurvePoint {
        step: u64::from_le_bytes(*step) as usize,
        loss: f64::from_le_bytes(*loss),
        nmse: f64::from_le_bytes(*nmse),
    };
    Ok(steps.iter().zip(&losses).zip(&nmses).map(point).collect())
}

/// The file's metadata.
///
/// # Errors
/// [`ModelError::File`] if the header is damaged.
pub fn metadata(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, String>, ModelError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(path, &error))?;
    let entries = header.metadata().as_ref();
    Ok(entries.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect())
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, ModelError> {
    SafeTensors::deserialize(bytes).map_err(|error| damaged(path, &error))
}

fn damaged(path: &Path, error: &safetensors::SafeTensorError) -> ModelError {
    ModelError::file(
        path,
        "header",
        &error.to_string(),
        "an undamaged safetensors file; write it again",
    )
}

fn read(
    file: &SafeTensors<'_>,
    path: &Path,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, ModelError> {
    let expected = format!("f32 {shape:?}");
    let tensor =
        file.tensor(name).map_err(|_| ModelError::file(path, name, "nothing", &expected))?;
    let without_head = if shape.first() == Some(&1) { &shape[1..] } else { shape };
    let fits = tensor.shape() == shape || tensor.shape() == without_head;
    if tensor.dtype() != Dtype::F32 || !fits {
        let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
        return Err(ModelError::file(path, name, &found, &expected));
    }
    let values: Vec<f32> =
        tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(ModelError::file(
            path,
            name,
            &format!("{} at entry {i}", values[i]),
            "finite numbers",
        )),
        None => Ok(values),
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adam::AdamSettings;
    use crate::attention::{LayerShape, parse as modification};

    fn parameters() -> Parameters {
        let shape = LayerShape { d: 3, n_heads: 2 };
        let modification = modification("augmented:hidden=5").unwrap();
        Parameters::initialised(shape, modification.as_ref(), 0.1, 4)
    }

    #[test]
    fn a_round_trip_keeps_every_bit_and_the_optimiser() {
        let parameters = parameters();
        let mut adam = Adam::new(AdamSettings::default(), &parameters);
        let gradient = vec![0.25; parameters.packed().len()];
        let mut moved = parameters.clone();
        adam.update(moved.packed_mut(), &gradient).unwrap();
        let path = Path::new("layer.safetensors");
        let file = to_bytes(&moved, Some(&adam), "{}").unwrap();
        assert_eq!(from_bytes(&parameters, path, &file).unwrap(), moved);
        let fresh = || Adam::new(AdamSettings::default(), &parameters);
        assert_eq!(adam_from_bytes(fresh(), path, &file).unwrap().as_ref(), Some(&adam));
        assert!(curve_from_bytes(path, &file).unwrap().is_empty());
        let point = |step: usize| CurvePoint { step, loss: 0.1 * step as f64, nmse: 1.0 };
        let curve: Vec<CurvePoint> = (0..3).map(point).collect();
        let file = run_to_bytes(&moved, &adam, &curve).unwrap();
        assert_eq!(curve_from_bytes(path, &file).unwrap(), curve);
        assert_eq!(adam_from_bytes(fresh(), path, &file).unwrap(), Some(adam));
    }

    #[test]
    fn damage_is_refused_with_file_and_tensor() {
        let parameters = parameters();
        let path = Path::new("layer.safetensors");
        let file = to_bytes(&parameters, None, "{}").unwrap();
        let message =
            from_bytes(&parameters, path, &file[..file.len() - 1]).unwrap_err().to_string();
        assert!(message.contains("layer.safetensors"), "{message}");
        let other = Parameters::zeros(
            LayerShape { d: 5, n_heads: 2 },
            modification("plain").unwrap().as_ref(),
            0.1,
        );
        let message = from_bytes(&other, path, &file).unwrap_err().to_string();
        assert!(message.contains("w_q") && message.contains("[2, 5, 5]"), "{message}");
    }
}
