//! Folders of pretrained models as Hugging Face lays them out: `config.json` and the weights, as one safetensors file,
//! in shards, or pickled.

use super::config::BertConfig;
use super::variables::{self, CLASSIFIER, MODIFICATION, POOLER};
use crate::ModelError;
use crate::attention::{ParameterSpec, Parameters};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One file of weights.
const SAFETENSORS: &str = "model.safetensors";
/// Which shard holds which tensor.
const INDEX: &str = "model.safetensors.index.json";
/// The older format; candle reads its tensors and runs nothing.
const PICKLE: &str = "pytorch_model.bin";
const CONFIG: &str = "config.json";

/// A pretrained model as it stands in its folder.
#[derive(Debug, Clone)]
pub struct Pretrained {
    /// Its settings.
    pub config: BertConfig,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// Tensors by our names.
    tensors: BTreeMap<String, Tensor>,
    /// The file of the weights, or their index.
    weights: PathBuf,
}

/// Parameters from a folder.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// All variables.
    pub parameters: Parameters,
    /// Those that the folder does not hold, drawn from our streams.
    pub drawn: Vec<String>,
    /// Tensors of the folder that were not used.
    pub unused: Vec<String>,
}

impl Pretrained {
    /// Reads a folder.
    ///
    /// # Errors
    /// [`ModelError::File`] naming the file and the field or tensor, what was found and what was expected.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let config_file = folder.join(CONFIG);
        let config = BertConfig::from_json(&config_file, &text(&config_file)?)?;
        let (weights, parts) = weight_files(folder)?;
        let mut tensors = BTreeMap::new();
        for part in &parts {
            for (name, tensor) in read_tensors(part)? {
                tensors.insert(our_name(&name), tensor);
            }
        }
        let files = [vec![config_file], parts].concat();
        Ok(Self { config, files, tensors, weights })
    }

    /// A model from the content of its files, the weights as [`to_safetensors`] writes them.
    ///
    /// # Errors
    /// [`ModelError::File`] if the weights are damaged.
    pub fn from_safetensors(config: BertConfig, bytes: &[u8]) -> Result<Self, ModelError> {
        let weights = PathBuf::from(SAFETENSORS);
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)
            .map_err(|error| damaged(&weights, &error))?;
        let tensors = tensors.into_iter().map(|(name, tensor)| (our_name(&name), tensor)).collect();
        Ok(Self { config, files: Vec::new(), tensors, weights })
    }

    /// The given variables: those of the encoder from the folder; a pooler, a classifier and a modification's
    /// variables that it does not hold, from the streams of `seed`.
    ///
    /// # Errors
    /// [`ModelError::File`] naming the first tensor that is missing, has another shape, holds something that is not
    /// a finite number, or belongs to another encoder.
    pub fn parameters(&self, specs: Vec<ParameterSpec>, seed: u64) -> Result<Loaded, ModelError> {
        let n = specs.iter().map(ParameterSpec::len).sum();
        let mut parameters = Parameters::from_values(specs, vec![0.0; n])?;
        let (mut drawn, mut used) = (Vec::new(), BTreeSet::new());
        for (spec, range) in parameters.ranges() {
            match self.tensors.get(&spec.name) {
                Some(tensor) => {
                    let values = self.values(tensor, &spec)?;
                    parameters.packed_mut()[range].copy_from_slice(&values);
                    used.insert(spec.name);
                }
                None if may_be_drawn(&spec.name) => {
                    let own = variables::initialised(vec![spec.clone()], seed);
                    parameters.packed_mut()[range].copy_from_slice(own.packed());
                    drawn.push(spec.name);
                }
                None => {
                    let expected = format!("f32 {:?}", spec.shape);
                    return Err(ModelError::file(&self.weights, &spec.name, "nothing", &expected));
                }
            }
        }
        let unused: Vec<String> =
            self.tensors.keys().filter(|name| !used.contains(*name)).cloned().collect();
        let own = |name: &&String| name.starts_with("encoder.") || name.starts_with("embeddings.");
        if let Some(name) = unused.iter().filter(|name| !ignored(name)).find(own) {
            let modified = name.contains(MODIFICATION);
            let expected = if modified {
                "a plain model, or the modification that it was trained with"
            } else {
                "no such tensor in a model of this config.json"
            };
            return Err(ModelError::file(&self.weights, name, "a tensor", expected));
        }
        Ok(Loaded { parameters, drawn, unused })
    }

    fn values(&self, tensor: &Tensor, spec: &ParameterSpec) -> Result<Vec<f32>, ModelError> {
        if tensor.dims() != spec.shape {
            let found = format!("{} {:?}", tensor.dtype().as_str(), tensor.dims());
            let expected = format!("{:?}, as config.json says", spec.shape);
            return Err(ModelError::file(&self.weights, &spec.name, &found, &expected));
        }
        let values: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        match values.iter().position(|x| !x.is_finite()) {
            None => Ok(values),
            Some(i) => {
                let found = format!("{} at entry {i}", values[i]);
                Err(ModelError::file(&self.weights, &spec.name, &found, "finite numbers"))
            }
        }
    }
}

/// The content of a `model.safetensors` that transformers loads: a sequence classifier, or a model of masked words.
///
/// # Errors
/// [`ModelError::Setting`] if the format refuses a tensor.
pub fn to_safetensors(parameters: &Parameters) -> Result<Vec<u8>, ModelError> {
    let refuse = |error: safetensors::SafeTensorError| {
        ModelError::setting("weights", error, "tensors that safetensors can hold")
    };
    let tensor = |(spec, range): (ParameterSpec, std::ops::Range<usize>)| {
        let bytes: Vec<u8> =
            parameters.packed()[range].iter().flat_map(|x| x.to_le_bytes()).collect();
        (their_name(&spec.name), (spec.shape, bytes))
    };
    let tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> =
        parameters.ranges().into_iter().map(tensor).collect();
    let views: BTreeMap<&String, TensorView<'_>> = tensors
        .iter()
        .map(|(name, (shape, bytes))| {
            Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(refuse)?))
        })
        .collect::<Result<_, ModelError>>()?;
    // transformers asks for the framework
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata.into_iter().collect())).map_err(refuse)
}

fn their_name(name: &str) -> String {
    if name.starts_with(CLASSIFIER) || name.starts_with("cls.") {
        name.to_owned()
    } else {
        format!("bert.{name}")
    }
}

/// A tensor's name without the prefix of a model with a head, and with the newer names of norms.
fn our_name(name: &str) -> String {
    let name = name.strip_prefix("bert.").unwrap_or(name);
    match name.rsplit_once('.') {
        Some((norm, "gamma")) => format!("{norm}.weight"),
        Some((norm, "beta")) => format!("{norm}.bias"),
        _ => name.to_owned(),
    }
}

fn may_be_drawn(name: &str) -> bool {
    name.starts_with(POOLER) || name.starts_with(CLASSIFIER) || name.contains(MODIFICATION)
}

/// The numbers of positions, which some files hold as a tensor.
fn ignored(name: &str) -> bool {
    name == "embeddings.position_ids"
}

fn text(path: &Path) -> Result<String, ModelError> {
    let expected = "a file of the folder of a pretrained BERT; name that folder";
    if path.exists() && !path.is_file() {
        return Err(ModelError::file(path, "file", "a folder, pipe or device", expected));
    }
    std::fs::read_to_string(path)
        .map_err(|error| ModelError::file(path, "file", &error.to_string(), expected))
}

/// The files that make a model: settings and weights.
///
/// # Errors
/// [`ModelError::File`] if there are no weights.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let (_, parts) = weight_files(folder)?;
    Ok([vec![folder.join(CONFIG)], parts].concat())
}

/// The file that names the weights, and the files that hold them.
fn weight_files(folder: &Path) -> Result<(PathBuf, Vec<PathBuf>), ModelError> {
    let [one, index, pickle] = [SAFETENSORS, INDEX, PICKLE].map(|name| folder.join(name));
    if one.is_file() {
        return Ok((one.clone(), vec![one]));
    }
    if index.is_file() {
        let shards = shards(folder, &index)?;
        return Ok((index, shards));
    }
    if pickle.is_file() {
        return Ok((pickle.clone(), vec![pickle]));
    }
    let expected = format!("{SAFETENSORS}, {INDEX} or {PICKLE}");
    Err(ModelError::file(folder, "weights", "none", &expected))
}

/// The shards that an index names, each once, in order.
fn shards(folder: &Path, index: &Path) -> Result<Vec<PathBuf>, ModelError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let refuse = |found: &str| {
        ModelError::file(index, "weight_map", found, "names of files of the same folder")
    };
    let Index { weight_map } =
        serde_json::from_str(&text(index)?).map_err(|error| refuse(&error.to_string()))?;
    let names: BTreeSet<String> = weight_map.into_values().collect();
    let shard = |name: String| {
        let plain = Path::new(&name).file_name().is_some_and(|file| file == name.as_str());
        if plain { Ok(folder.join(name)) } else { Err(refuse(&name)) }
    };
    names.into_iter().map(shard).collect()
}

fn damaged(path: &Path, error: &candle_core::Error) -> ModelError {
    let found = error.to_string();
    let found = found.lines().next().unwrap_or("nothing");
    ModelError::file(path, "content", found, "an undamaged file of tensors; fetch it again")
}

fn read_tensors(path: &Path) -> Result<Vec<(String, Tensor)>, ModelError> {
    let damaged = |error: candle_core::Error| damaged(path, &error);
    if path.extension().is_some_and(|extension| extension == "bin") {
        return candle_core::pickle::read_all(path).map_err(damaged);
    }
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).map_err(damaged)?;
    Ok(tensors.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_age_are_ours() {
        for (theirs, ours) in [
            ("bert.embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"),
            ("encoder.layer.3.output.LayerNorm.beta", "encoder.layer.3.output.LayerNorm.bias"),
            ("bert.pooler.dense.weight", "pooler.dense.weight"),
            ("classifier.bias", "classifier.bias"),
        ] {
            assert_eq!(our_name(theirs), ours);
            assert_eq!(our_name(&their_name(ours)), ours);
        }
    }
}
