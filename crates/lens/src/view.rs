//! The dual's side: one set of coefficients per sequence and head answers every query.

use crate::error::Result;
use crate::features::{map, map_of_head};
use crate::input::{Input, Seen};
use crate::layer::{Affine, Layer, Mix};
use crate::options::Options;
use crate::rotary::Rotary;
use crate::side::{self, Output};
use dual_model::Real;
use dual_model::dual::KeyValue;
use dual_model::feature_map::FeatureMap;
use dual_model::projection::Projection;
use dual_model::shared::{SharedDual, SharedFeatureDual};
use icl_numerics::{largest, order};
use std::ops::Range;

/// What the dual found.
#[derive(Debug, Clone)]
pub(crate) struct Dual {
    pub(crate) output: Output,
    /// One per sequence and head, `[batch, heads]`.
    pub(crate) sizes: Vec<Sizes>,
}

/// Norms of one head; queries and keys carry `d_h^(-1/4)` each.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    /// `|q_i|`.
    pub(crate) queries: Vec<f64>,
    /// The largest `|k_j|` that query `i` sees; 0 if it sees none.
    pub(crate) keys: Vec<f64>,
    /// `|v_j|`.
    pub(crate) values: Vec<f64>,
}

/// The layer in precision `R`.
struct Side<'a> {
    options: &'a Options,
    layer: &'a Layer,
    input: &'a Input,
    rotary: Option<&'a Rotary>,
    /// The feature map, unless it is fitted to each head.
    map: Option<Box<dyn FeatureMap>>,
}

/// The dual's prediction for every token.
pub(crate) fn explain<R: Real>(
    options: &Options,
    layer: &Layer,
    input: &Input,
    rotary: Option<&Rotary>,
) -> Result<Dual> {
    let fitted = options.kernel.entry().fitted;
    let map = if fitted { None } else { Some(map(options, layer.heads.size, 1.0, &[])?) };
    let side = Side { options, layer, input, rotary, map };
    let (joined, sizes) = if options.exact() {
        side::by_heads(layer, input, |b, g| side.exact::<R>(b, g))?
    } else {
        side::by_heads(layer, input, |b, g| side.featured(b, g))?
    };
    let mix = match &layer.mix {
        Mix::Projected(output) => {
            let (weight, bias) = output.part(0, output.rows);
            Some(Projection::<R>::new(weight, bias, output.columns)?.on(options.isa))
        }
        Mix::Joined | Mix::Summed => None,
    };
    let project = |rows: &[f64]| {
        let Some(mix) = &mix else { return Ok(rows.to_vec()) };
        let mut out = vec![R::ZERO; rows.len() / layer.joined() * layer.width()];
        mix.apply(&rounded::<R>(rows), &mut out)?;
        Ok(widened(&out))
    };
    let add = |x: f64, y: f64| (R::from_f64(x) + R::from_f64(y)).to_f64();
    let output = side::mixed(layer, joined, project, add)?;
    Ok(Dual { output, sizes: sizes.concat() })
}

fn rounded<R: Real>(x: &[f64]) -> Vec<R> {
    x.iter().map(|x| R::from_f64(*x)).collect()
}

fn widened<R: Real>(x: &[R]) -> Vec<f64> {
    x.iter().map(|x| x.to_f64()).collect()
}

impl Side<'_> {
    /// Rows of one head of a map.
    fn part<'a>(&self, affine: &'a Affine, head: usize) -> (&'a [f64], Option<&'a [f64]>) {
        affine.part(head * self.layer.heads.size, self.layer.heads.size)
    }

    /// Keys or queries of one head: they carry `d_h^(-1/4)` each, so that scores are divided by `sqrt(d_h)`.
    fn of_keys<R: Real>(&self, affine: &Affine, head: usize) -> Result<Projection<R>> {
        let (weight, bias) = self.part(affine, head);
        Ok(Projection::of_keys(weight, bias, affine.columns)?.on(self.options.isa))
    }

    fn of_values<R: Real>(&self, head: usize) -> Result<Projection<R>> {
        let (weight, bias) = self.part(&self.layer.value, head);
        Ok(Projection::new(weight, bias, self.layer.value.columns)?.on(self.options.isa))
    }

    /// A block of tokens, projected; turned by their positions if `turn`.
    fn projected<R: Real>(
        &self,
        map: &Projection<R>,
        b: usize,
        rows: Range<usize>,
        turn: bool,
    ) -> Result<Vec<R>> {
        let size = self.layer.heads.size;
        let x = rounded::<R>(self.input.rows(b, rows.clone()));
        let mut out = vec![R::ZERO; rows.len() * size];
        map.apply(&x, &mut out)?;
        if let Some(rotary) = self.rotary.filter(|_| turn) {
            for (row, t) in out.chunks_exact_mut(size).zip(rows) {
                for i in 0..rotary.pairs {
                    let (first, second) = rotary.pair(i);
                    let c = R::from_f64(rotary.cosines[t * rotary.pairs + i]);
                    let s = R::from_f64(rotary.sines[t * rotary.pairs + i]);
                    let (x, y) = (row[first], row[second]);
                    (row[first], row[second]) = (x * c - y * s, x * s + y * c);
                }
            }
        }
        Ok(out)
    }

    /// All tokens, projected.
    fn all<R: Real>(&self, map: &Projection<R>, b: usize, turn: bool) -> Result<Vec<R>> {
        let parts =
            side::by_blocks(self.input.n_tokens, |rows| self.projected(map, b, rows, turn))?;
        Ok(parts.concat())
    }

    /// The query heads that read head `g`: trained once on what is visible, then asked block by block.
    fn exact<R: Real>(&self, b: usize, g: usize) -> Result<(Vec<Vec<f64>>, Vec<Sizes>)> {
        let (n, size) = (self.input.n_tokens, self.layer.heads.size);
        let keys = self.all::<R>(&self.of_keys(&self.layer.key, g)?, b, true)?;
        let values = self.all::<R>(&self.of_values(g)?, b, false)?;
        let seen = self.input.seen(b);
        let mut dual = SharedDual::new(size, size).on(self.options.isa);
        for j in &seen.keys {
            let (key, value) = (row(&keys, *j, size), row(&values, *j, size));
            dual.step(KeyValue { key, value })?;
        }
        let (mut outputs, mut sizes) = (Vec::new(), Vec::new());
        let known = KeySizes::new(&seen, &keys, &values, size);
        for h in g * self.layer.group()..(g + 1) * self.layer.group() {
            let map = self.of_keys::<R>(&self.layer.query, h)?;
            let parts = side::by_blocks(n, |rows| {
                let queries = self.projected(&map, b, rows.clone(), true)?;
                let mut out = vec![R::ZERO; queries.len()];
                dual.predict_seen(&queries, &seen.counts[rows], &mut out)?;
                Ok((widened(&out), norms(&queries, size)))
            })?;
            let (out, queries): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            outputs.push(out.concat());
            sizes.push(known.with(queries.concat()));
        }
        Ok((outputs, sizes))
    }

    /// The same with features, in `f64`: a stream of steps, each query asked when what it sees is in.
    fn featured(&self, b: usize, g: usize) -> Result<(Vec<Vec<f64>>, Vec<Sizes>)> {
        let size = self.layer.heads.size;
        let keys = self.all::<f64>(&self.of_keys(&self.layer.key, g)?, b, true)?;
        let values = self.all::<f64>(&self.of_values(g)?, b, false)?;
        let seen = self.input.seen(b);
        let known = KeySizes::new(&seen, &keys, &values, size);
        let (mut outputs, mut sizes) = (Vec::new(), Vec::new());
        for h in g * self.layer.group()..(g + 1) * self.layer.group() {
            let map = self.of_keys::<f64>(&self.layer.query, h)?;
            let queries = self.all(&map, b, true)?;
            let own;
            let map = if let Some(map) = &self.map {
                map.as_ref()
            } else {
                own = map_of_head(self.options, size, &queries, &keys)?;
                own.as_ref()
            };
            let rows = HeadRows { keys: &keys, queries: &queries, values: &values, size };
            outputs.push(stream(map, &seen, rows)?);
            sizes.push(known.with(norms(&queries, size)));
        }
        Ok((outputs, sizes))
    }
}

fn row<R>(x: &[R], i: usize, size: usize) -> &[R] {
    &x[i * size..(i + 1) * size]
}

/// One head, each `[tokens, size]`.
#[derive(Clone, Copy)]
struct HeadRows<'a> {
    keys: &'a [f64],
    queries: &'a [f64],
    values: &'a [f64],
    size: usize,
}

/// Steps and queries of one head in the order of the tokens.
fn stream(map: &dyn FeatureMap, seen: &Seen, head: HeadRows<'_>) -> Result<Vec<f64>> {
    let HeadRows { keys, queries, values, size } = head;
    let mut state = SharedFeatureDual::new(map, size, size);
    let mut taken = 0;
    let mut out = Vec::with_capacity(queries.len());
    for (i, count) in seen.counts.iter().enumerate() {
        for j in &seen.keys[taken..*count] {
            state.step(KeyValue { key: row(keys, *j, size), value: row(values, *j, size) })?;
        }
        taken = *count;
        match count {
            0 => out.resize(out.len() + size, 0.0),
            _ => out.extend(state.predict(row(queries, i, size))?),
        }
    }
    Ok(out)
}

/// Norms of keys and values of one head.
struct KeySizes {
    keys: Vec<f64>,
    values: Vec<f64>,
}

impl KeySizes {
    fn new<R: Real>(seen: &Seen, keys: &[R], values: &[R], size: usize) -> Self {
        let norms_of_keys = norms(keys, size);
        let mut largest_so_far = vec![0.0];
        let mut top = 0.0_f64;
        for j in &seen.keys {
            let norm = norms_of_keys[*j];
            // NaN, once seen, stays
            top = if norm <= top || top.is_nan() { top } else { norm };
            largest_so_far.push(top);
        }
        let keys = seen.counts.iter().map(|count| largest_so_far[*count]).collect();
        Self { keys, values: norms(values, size) }
    }

    fn with(&self, queries: Vec<f64>) -> Sizes {
        Sizes { queries, keys: self.keys.clone(), values: self.values.clone() }
    }
}

/// `|x|` of every row, without overflow on the way.
fn norms<R: Real>(x: &[R], size: usize) -> Vec<f64> {
    let norm = |row: &[R]| {
        let row: Vec<f64> = row.iter().map(|x| x.to_f64()).collect();
        let top = largest::magnitude(row.iter().copied());
        if top == 0.0 || top.is_nan() {
            return top;
        }
        let scaled: Vec<f64> = row.iter().map(|x| x / top).collect();
        top * order::sum_of_squares(&scaled).sqrt()
    };
    x.chunks_exact(size).map(norm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    #[test]
    fn norms_neither_overflow_nor_lose_what_is_not_finite() {
        // scaling by the largest entry rounds a quotient, a square and a root
        let tolerance = Tolerance::roundoff_f64(4);
        let got = norms(&[3.0, 4.0, 3e200, 4e200, 0.0, 0.0], 2);
        let relative = [got[0] / 5.0, got[1] / 5e200, got[2] + 1.0];
        tolerance.assert_all_close(&relative, &[1.0; 3], "norms");
        assert!(norms(&[1.0, f64::INFINITY], 2)[0].is_nan());
    }
}
