//! Augmented attention: keys `g2(k_i)` and values `g1(v_i)` of the demonstrations.
//!
//! | form | g(x) | variables |
//! |---|---|---|
//! | `mlp` | `x + c U gelu(V x)` | `V` `[hidden, d]`, `U` `[d, hidden]` |
//! | `elementwise` | `x + c tanh(x)` | none |
//!
//! Paper gap: the source says non-linear maps, possibly neural networks; both forms, `c` and `hidden`
//! are ours. `gelu(x) = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2`.

use super::terms::{Augmentation, Form, Terms};
use super::{Entry, Modification, ParameterSpec, Weights};
use crate::ModelError;
use crate::ops;
use candle_core::{D, Tensor};
use icl_registry::Options;

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "augmented",
    equation: "k_i -> g2(k_i), v_i -> g1(v_i), g(x) = x + c U gelu(V x) or x + c tanh(x)",
    neutral: "on=none",
    examples: &[
        "form=mlp,on=keys,c=0.5,hidden=7",
        "form=mlp,on=values,c=0.5,hidden=5",
        "form=elementwise,on=both,c=0.5",
        "form=mlp,on=both,c=0.25,hidden=3",
    ],
    build: |options| Ok(Box::new(Augmented::from_options(options)?)),
};

impl Augmentation {
    fn variables(self, side: &str, d: usize) -> Vec<ParameterSpec> {
        let Form::Mlp { hidden } = self.form else {
            return Vec::new();
        };
        // Paper gap: initial values. V keeps the size of its input; U starts small, near identity.
        vec![
            ParameterSpec::new(format!("{side}.v"), &[hidden, d], 1.0 / (d as f64).sqrt()),
            ParameterSpec::new(format!("{side}.u"), &[d, hidden], 0.1 / (hidden as f64).sqrt()),
        ]
    }

    /// `g(x)` over the last axis, with the variables of `side`.
    fn apply(self, weights: &Weights, side: &str, x: &Tensor) -> Result<Tensor, ModelError> {
        let scale = f64::from(self.scale);
        Ok(match self.form {
            Form::Identity => x.clone(),
            Form::Elementwise => (x + (ops::tanh(x, weights.isa())? * scale)?)?,
            Form::Mlp { hidden } => {
                let d = x.dim(D::Minus1)?;
                let inner = ops::linear(x, &weights.get((hidden, d), &format!("{side}.v"))?)?;
                let inner = ops::gelu(&inner, weights.isa())?;
                let out = ops::linear(&inner, &weights.get((d, hidden), &format!("{side}.u"))?)?;
                (x + (out * scale)?)?
            }
        })
    }
}

/// `g1` on values and `g2` on keys.
#[derive(Debug)]
pub(super) struct Augmented {
    values: Augmentation,
    keys: Augmentation,
}

impl Augmented {
    /// Reads `form`, `on`, `c` and `hidden`.
    pub(super) fn from_options(options: &mut Options) -> Result<Self, ModelError> {
        let hidden = options.number("hidden", 24, [1, crate::prompt::MAX_D])?;
        let forms = [("mlp", Form::Mlp { hidden }), ("elementwise", Form::Elementwise)];
        let form = options.choice("form", &forms)?;
        let scale = options.number("c", 0.5, [0.0, 16.0])?;
        let sides = [
            ("keys", (true, false)),
            ("values", (false, true)),
            ("both", (true, true)),
            ("none", (false, false)),
        ];
        let (on_keys, on_values) = options.choice("on", &sides)?;
        let side = |on| {
            if on { Augmentation { form, scale } } else { Augmentation::IDENTITY }
        };
        Ok(Self { values: side(on_values), keys: side(on_keys) })
    }
}

impl Modification for Augmented {
    fn variables(&self, d: usize) -> Vec<ParameterSpec> {
        let mut variables = self.keys.variables("g_keys", d);
        variables.extend(self.values.variables("g_values", d));
        variables
    }

    fn keys(&self, weights: &Weights, keys: &Tensor) -> Result<Tensor, ModelError> {
        self.keys.apply(weights, "g_keys", keys)
    }

    fn values(&self, weights: &Weights, values: &Tensor) -> Result<Tensor, ModelError> {
        self.values.apply(weights, "g_values", values)
    }

    fn terms(&self) -> Option<Terms> {
        Some(Terms { values: self.values, keys: self.keys, ..Terms::PLAIN })
    }
}
