//! What attention and dual have in common: the order of the work, never its arithmetic.

use crate::error::Result;
use crate::input::Input;
use crate::layer::{Layer, Mix};
use rayon::prelude::*;
use std::ops::Range;

/// Queries whose scores stand in memory together, and tokens that are projected together.
pub(crate) const BLOCK: usize = 64;

/// Short sequences that are in work at the same time.
const TOGETHER: usize = 256;

/// Blocks of `n` tokens.
pub(crate) fn blocks(n: usize) -> Vec<Range<usize>> {
    (0..n).step_by(BLOCK).map(|start| start..n.min(start + BLOCK)).collect()
}

/// `f` of every block of tokens, in their order. Results do not depend on the threads.
pub(crate) fn by_blocks<T: Send>(
    n: usize,
    f: impl Fn(Range<usize>) -> Result<T> + Sync + Send,
) -> Result<Vec<T>> {
    blocks(n).into_par_iter().map(f).collect()
}

/// The heads' outputs side by side, `[batch, tokens, H d_h]`, and what else each pair of sequence and head
/// of keys and values returned. `f` gives the outputs of its query heads, each `[tokens, d_h]`. Short
/// sequences run beside each other, of long ones the blocks do.
pub(crate) fn by_heads<T: Send>(
    layer: &Layer,
    input: &Input,
    f: impl Fn(usize, usize) -> Result<(Vec<Vec<f64>>, T)> + Sync + Send,
) -> Result<(Vec<f64>, Vec<T>)> {
    let (n, size, width) = (input.n_tokens, layer.heads.size, layer.joined());
    let mut joined = vec![0.0; input.batch * n * width];
    let mut others = Vec::new();
    let kv_heads = layer.heads.kv_heads;
    let units: Vec<(usize, usize)> =
        (0..input.batch).flat_map(|b| (0..kv_heads).map(move |g| (b, g))).collect();
    for units in units.chunks(if n <= BLOCK { TOGETHER } else { 1 }) {
        let found: Vec<_> = units.par_iter().map(|(b, g)| f(*b, *g)).collect::<Result<_>>()?;
        for ((b, g), (outputs, other)) in units.iter().zip(found) {
            for (h, output) in outputs.iter().enumerate() {
                let column = (g * layer.group() + h) * size;
                let rows = joined[b * n * width..(b + 1) * n * width].chunks_exact_mut(width);
                for (row, output) in rows.zip(output.chunks_exact(size)) {
                    row[column..column + size].copy_from_slice(output);
                }
            }
            others.push(other);
        }
    }
    Ok((joined, others))
}

/// One side's output.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// `[batch, tokens, width]`.
    pub(crate) values: Vec<f64>,
    /// Whether the head's output was not finite, `[batch, tokens, heads]`; empty if all were.
    pub(crate) faults: Vec<bool>,
}

/// The layer's output of heads side by side `[tokens, H d_h]`, by blocks of tokens.
pub(crate) fn mixed(
    layer: &Layer,
    joined: Vec<f64>,
    project: impl Fn(&[f64]) -> Result<Vec<f64>> + Sync + Send,
    add: impl Fn(f64, f64) -> f64,
) -> Result<Output> {
    let (width, size) = (layer.joined(), layer.heads.size);
    let finite = |x: &[f64]| x.iter().all(|x| x.is_finite());
    let faults = if finite(&joined) {
        Vec::new()
    } else {
        joined.chunks_exact(size).map(|head| !finite(head)).collect()
    };
    let values = match &layer.mix {
        Mix::Joined => joined,
        Mix::Projected(_) => {
            let one = |rows: Range<usize>| project(&joined[rows.start * width..rows.end * width]);
            by_blocks(joined.len() / width, one)?.concat()
        }
        Mix::Summed => {
            let sum = |row: &[f64]| {
                let mut heads = row.chunks_exact(size);
                let mut sum = heads.next().unwrap_or_default().to_vec();
                heads.for_each(|x| sum.iter_mut().zip(x).for_each(|(s, x)| *s = add(*s, *x)));
                sum
            };
            joined.chunks_exact(width).flat_map(sum).collect()
        }
    };
    Ok(Output { values, faults })
}
