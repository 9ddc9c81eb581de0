//! A layer's variables as tensors, by name.

use crate::ModelError;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::VarBuilder;
use icl_numerics::lanes::Isa;
use std::fmt;

/// Variables by name and shape, as candle's `VarBuilder` looks them up, on the device where they stand.
///
/// Gradients reach what the tensors were made from. The instruction set is that of the portable functions of
/// [`ops`](crate::ops).
#[derive(Clone)]
pub struct Weights {
    vars: VarBuilder<'static>,
    isa: Isa,
}

impl Weights {
    /// The given tensors, all of one dtype and on one device.
    pub fn new(
        tensors: impl IntoIterator<Item = (String, Tensor)>,
        dtype: DType,
        device: &Device,
        isa: Isa,
    ) -> Self {
        let tensors = tensors.into_iter().collect();
        Self { vars: VarBuilder::from_tensors(tensors, dtype, device), isa }
    }

    /// The variable `name`.
    ///
    /// # Errors
    /// If there is none of that name or it has another shape; candle names both.
    pub fn get(&self, shape: impl Into<Shape>, name: &str) -> Result<Tensor, ModelError> {
        Ok(self.vars.get(shape, name)?)
    }

    /// The variable `name`, if there is one.
    ///
    /// # Errors
    /// If it has another shape.
    pub fn find(&self, shape: impl Into<Shape>, name: &str) -> Result<Option<Tensor>, ModelError> {
        self.vars.contains_tensor(name).then(|| self.get(shape, name)).transpose()
    }

    /// The variables whose names begin with `prefix` and a full stop.
    #[must_use]
    pub fn part(&self, prefix: impl fmt::Display) -> Self {
        Self { vars: self.vars.pp(prefix), isa: self.isa }
    }

    /// candle's own view of the same variables.
    pub fn vars(&self) -> &VarBuilder<'static> {
        &self.vars
    }

    /// Instruction set of the portable functions.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights").field("prefix", &self.vars.prefix()).finish_non_exhaustive()
    }
}
