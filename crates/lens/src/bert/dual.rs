//! The dual's side: keys, queries and values of one head from a layer's input, and the dual of every token.

use super::encoder::Encoder;
use crate::error::Result;
use dual_model::head::Head;
use dual_model::projection::Projection;
use dual_model::sequence::exact_from_others;
use dual_model::{Matrix, Real};
use icl_model::bert::variables;
use icl_numerics::lanes::Isa;

/// Weight `[d, d]` and bias `[d]` of queries, keys and values of a layer.
pub(super) struct LayerMaps<'a> {
    sides: [(&'a [f32], &'a [f32]); 3],
    d: usize,
    size: usize,
}

/// The maps of one head.
pub(super) struct HeadMaps<R> {
    query: Projection<R>,
    key: Projection<R>,
    value: Projection<R>,
    d: usize,
    size: usize,
}

/// One head on one sequence; queries and keys carry `d_h^(-1/4)` each.
pub(super) struct Duals {
    /// `[tokens, d_h]`.
    pub(super) queries: Vec<f64>,
    /// `[tokens, d_h]`.
    pub(super) keys: Vec<f64>,
    /// `W_0 phi(q_i)` of every token, `[tokens, d_h]`.
    pub(super) initial: Vec<f64>,
    /// `W_1 phi(q_i)` of every token, `[tokens, d_h]`.
    pub(super) trained: Vec<f64>,
    /// `d_h`.
    pub(super) size: usize,
}

impl<'a> LayerMaps<'a> {
    pub(super) fn new(encoder: &'a Encoder, l: usize) -> Result<Self> {
        let side = |side: &str| -> Result<(&'a [f32], &'a [f32])> {
            let name = format!("{}.attention.self.{side}", variables::layer(l));
            let weight = encoder.variable(&format!("{name}.weight"))?;
            Ok((weight, encoder.variable(&format!("{name}.bias"))?))
        };
        let sides = [side("query")?, side("key")?, side("value")?];
        let config = encoder.config();
        Ok(Self { sides, d: config.hidden_size, size: config.head_size() })
    }

    /// Rows `h d_h .. (h + 1) d_h` of every map.
    pub(super) fn head<R: Real>(&self, h: usize, isa: Isa) -> Result<HeadMaps<R>> {
        let Self { sides, d, size } = self;
        let [query, key, value] = sides.map(|(weight, bias)| {
            let weight = widened(&weight[h * size * d..(h + 1) * size * d]);
            (weight, widened(&bias[h * size..(h + 1) * size]))
        });
        let of_keys = |(weight, bias): &(Vec<f64>, Vec<f64>)| -> Result<Projection<R>> {
            Ok(Projection::of_keys(weight, Some(bias), *d)?.on(isa))
        };
        let value = Projection::new(&value.0, Some(&value.1), *d)?.on(isa);
        Ok(HeadMaps { query: of_keys(&query)?, key: of_keys(&key)?, value, d: *d, size: *size })
    }
}

impl<R: Real> HeadMaps<R> {
    /// The duals of all tokens of a sequence `x` `[tokens, d]`.
    pub(super) fn explain(&self, x: &[f64]) -> Result<Duals> {
        let n = x.len() / self.d;
        let x: Vec<R> = x.iter().map(|x| R::from_f64(*x)).collect();
        let projected = |map: &Projection<R>| -> Result<Matrix<R>> {
            let mut out = vec![R::ZERO; n * self.size];
            map.apply(&x, &mut out)?;
            Ok(Matrix::new(n, self.size, out)?)
        };
        let head = Head {
            keys: projected(&self.key)?,
            queries: projected(&self.query)?,
            values: projected(&self.value)?,
        };
        let duals = exact_from_others(&head)?;
        let numbers = |x: &Matrix<R>| x.entries().iter().map(|x| x.to_f64()).collect();
        Ok(Duals {
            queries: numbers(&head.queries),
            keys: numbers(&head.keys),
            initial: numbers(&duals.initial),
            trained: numbers(&duals.trained),
            size: self.size,
        })
    }
}

fn widened(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}
