//! A layer's parameters: named arrays packed into one vector.

use super::{Modification, Weights};
use crate::ModelError;
use crate::device::Device;
use candle_core::{DType, Tensor};
use icl_numerics::lanes::Isa;
use icl_numerics::stream::Stream;

/// Sizes of one attention layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerShape {
    /// Token size.
    pub d: usize,
    /// Heads, each with its own `d x d` projections.
    pub n_heads: usize,
}

/// A trained variable: name, shape and the standard deviation of its initial values.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Name, also in files.
    pub name: String,
    /// Shape, row-major.
    pub shape: Vec<usize>,
    /// Standard deviation of the initial values.
    pub init_std: f64,
}

impl ParameterSpec {
    /// A variable.
    pub fn new(name: impl Into<String>, shape: &[usize], init_std: f64) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), init_std }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All variables of a layer, packed in the order `w_q`, `w_k`, `w_v`, then the modification's.
///
/// `w_q`, `w_k`, `w_v` are `[n_heads, d, d]`, applied as `y = W x`.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    variables: Vec<ParameterSpec>,
    values: Vec<f32>,
}

impl Parameters {
    /// Zeros for a layer with `modification`.
    pub fn zeros(shape: LayerShape, modification: &dyn Modification, init_std: f64) -> Self {
        let projection = [shape.n_heads, shape.d, shape.d];
        let mut variables: Vec<ParameterSpec> = ["w_q", "w_k", "w_v"]
            .map(|name| ParameterSpec::new(name, &projection, init_std))
            .into();
        variables.extend(modification.variables(shape.d));
        let values = vec![0.0; variables.iter().map(ParameterSpec::len).sum()];
        Self { variables, values }
    }

    /// Independent normals, each variable from its own stream `(seed, "init/<name>")`: a variable's
    /// start does not depend on which others exist, so modified and plain layers start alike.
    pub fn initialised(
        shape: LayerShape,
        modification: &dyn Modification,
        init_std: f64,
        seed: u64,
    ) -> Self {
        Self::from_specs(Self::zeros(shape, modification, init_std).variables, seed)
    }

    /// The given variables, started as in [`Self::initialised`].
    pub fn from_specs(variables: Vec<ParameterSpec>, seed: u64) -> Self {
        let values = vec![0.0; variables.iter().map(ParameterSpec::len).sum()];
        let mut parameters = Self { variables, values };
        for (variable, range) in parameters.ranges() {
            let stream = Stream::new(seed, &format!("init/{}", variable.name));
            for (i, value) in parameters.values[range].iter_mut().enumerate() {
                *value = (variable.init_std * stream.sample(i as u64).normal()) as f32;
            }
        }
        parameters
    }

    /// The given variables with these values, packed.
    ///
    /// # Errors
    /// [`ModelError::Shape`] if there are more or fewer values than the variables have.
    pub fn from_values(
        variables: Vec<ParameterSpec>,
        values: Vec<f32>,
    ) -> Result<Self, ModelError> {
        let expected: usize = variables.iter().map(ParameterSpec::len).sum();
        if values.len() != expected {
            let (found, expected) = (vec![values.len()], vec![expected]);
            return Err(ModelError::Shape { op: "parameters", found, expected });
        }
        Ok(Self { variables, values })
    }

    /// The variables in packing order.
    pub fn variables(&self) -> &[ParameterSpec] {
        &self.variables
    }

    /// All values, packed, `[n_parameters]`.
    pub fn packed(&self) -> &[f32] {
        &self.values
    }

    /// All values, packed, to be changed.
    pub fn packed_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The values of the variable `name`.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        let range = self.range(name)?;
        Some(&self.values[range])
    }

    /// The values of the variable `name`, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let range = self.range(name)?;
        Some(&mut self.values[range])
    }

    /// Where the variable `name` lies in the packed values.
    pub fn range(&self, name: &str) -> Option<std::ops::Range<usize>> {
        self.ranges().into_iter().find(|(v, _)| v.name == name).map(|(_, range)| range)
    }

    /// Every variable with its place in the packed values.
    pub fn ranges(&self) -> Vec<(ParameterSpec, std::ops::Range<usize>)> {
        let mut start = 0;
        let place = |variable: &ParameterSpec| {
            let range = start..start + variable.len();
            start = range.end;
            (variable.clone(), range)
        };
        self.variables.iter().map(place).collect()
    }

    /// All values as tensors by name, on candle's device; nothing is trained through them.
    ///
    /// # Errors
    /// If candle cannot build a tensor.
    pub fn weights(&self, dtype: DType, device: Device) -> Result<Weights, ModelError> {
        let packed = Tensor::new(self.packed(), &device.candle()?)?.to_dtype(dtype)?;
        self.unpack(&packed, device.isa())
    }

    /// Tensors by name, each in its own shape, cut from one packed tensor `[n_parameters]`, so that gradients arrive
    /// packed.
    ///
    /// # Errors
    /// If candle refuses an operation.
    pub fn unpack(&self, packed: &Tensor, isa: Isa) -> Result<Weights, ModelError> {
        let cut = |(spec, range): (ParameterSpec, std::ops::Range<usize>)| {
            let flat = packed.narrow(0, range.start, range.len())?;
            Ok((spec.name, flat.reshape(spec.shape)?))
        };
        let tensors: Vec<_> =
            self.ranges().into_iter().map(cut).collect::<Result<_, ModelError>>()?;
        Ok(Weights::new(tensors, packed.dtype(), packed.device(), isa))
    }
}
