//! Affine projections of many tokens, `y = W x + b`, and for keys and queries `y = d_h^(-1/4) (W x + b)`.
//!
//! The form for long sequences and wide layers: rows side by side in the registers, tokens by blocks, sums in
//! the order of the inputs. [`crate::head::Head::project`] is the plain one.

use crate::head::key_scale;
use crate::shared::{BLOCK, products};
use crate::{DualError, Real};
use icl_numerics::lanes::{Isa, Kernel, Lanes};

/// Tokens that pass a block of rows together, while it is in the cache.
const TILE: usize = 16;

/// An affine map, its rows in blocks of 32.
#[derive(Debug, Clone)]
pub struct Projection<R = f64> {
    d_in: usize,
    d_out: usize,
    /// Blocks of 32 rows, `[blocks, d_in, 32]`, the last one padded with zeros.
    rows: Vec<R>,
    bias: Option<Vec<R>>,
    scale: R,
    isa: Isa,
}

impl<R: Real> Projection<R> {
    /// The map with weights `[d_out, d_in]`, row by row, and a bias `[d_out]`; both are rounded first.
    ///
    /// # Errors
    /// [`DualError::Size`] if the weights are no whole number of rows or the bias has another size.
    pub fn new(weights: &[f64], bias: Option<&[f64]>, d_in: usize) -> Result<Self, DualError> {
        let d_out = weights.len() / d_in;
        DualError::size("projection weights", weights.len(), d_out * d_in)?;
        DualError::size("projection bias", bias.map_or(d_out, <[f64]>::len), d_out)?;
        let mut rows = vec![R::ZERO; d_out.div_ceil(BLOCK) * BLOCK * d_in];
        for (j, row) in weights.chunks_exact(d_in).enumerate() {
            let block = j / BLOCK * BLOCK * d_in;
            for (i, w) in row.iter().enumerate() {
                rows[block + i * BLOCK + j % BLOCK] = R::from_f64(*w);
            }
        }
        let bias = bias.map(|bias| bias.iter().map(|b| R::from_f64(*b)).collect());
        Ok(Self { d_in, d_out, rows, bias, scale: R::ONE, isa: Isa::Portable })
    }

    /// The same for the keys or the queries of one head of size `d_out`, which carry [`key_scale`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_keys(weights: &[f64], bias: Option<&[f64]>, d_in: usize) -> Result<Self, DualError> {
        let map = Self::new(weights, bias, d_in)?;
        Ok(Self { scale: R::from_f64(key_scale(map.d_out)), ..map })
    }

    /// The same on another instruction set; it changes no bit.
    #[must_use]
    pub fn on(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// The map of every token of `x` `[tokens, d_in]`, into `out` `[tokens, d_out]`.
    ///
    /// # Errors
    /// [`DualError::Size`] if sizes differ.
    pub fn apply(&self, x: &[R], out: &mut [R]) -> Result<(), DualError> {
        let n_tokens = x.len() / self.d_in;
        DualError::size("tokens", x.len(), n_tokens * self.d_in)?;
        DualError::size("projected tokens", out.len(), n_tokens * self.d_out)?;
        self.isa.run(Apply { map: self, x, out });
        Ok(())
    }
}

/// Sums in the order of the inputs, products and sums apart: the bits are the same everywhere.
struct Apply<'a, R> {
    map: &'a Projection<R>,
    x: &'a [R],
    out: &'a mut [R],
}

impl<R: Real> Kernel for Apply<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let Projection { d_in, d_out, rows, bias, scale, .. } = self.map;
        let tiles = self.x.chunks(TILE * d_in).zip(self.out.chunks_mut(TILE * d_out));
        for (x, out) in tiles {
            for (b, block) in rows.chunks_exact(BLOCK * d_in).enumerate() {
                let columns = b * BLOCK..(*d_out).min((b + 1) * BLOCK);
                for (x, out) in x.chunks_exact(*d_in).zip(out.chunks_exact_mut(*d_out)) {
                    products(block, x, &mut out[columns.clone()]);
                }
            }
            for out in out.chunks_exact_mut(*d_out) {
                for (j, y) in out.iter_mut().enumerate() {
                    let sum = bias.as_ref().map_or(*y, |bias| *y + bias[j]);
                    *y = *scale * sum;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature_map::gaussian_rows;
    use icl_numerics::order;
    use icl_numerics::stream::Stream;
    use icl_numerics::tolerance::Tolerance;

    #[test]
    fn every_row_is_its_dot_product_plus_bias_times_the_scale_of_keys() {
        for (n, d_in, d_out, scale) in
            [(1, 1, 1, 1.0), (17, 5, 48, 0.379_917_842_825_796), (35, 40, 81, 1.0 / 3.0)]
        {
            let draw = |purpose: &str, n: usize, d: usize| {
                gaussian_rows(&Stream::new(1, purpose), n, d).concat()
            };
            let (x, w, b) = (draw("x", n, d_in), draw("w", d_out, d_in), draw("b", 1, d_out));
            let plain = Projection::<f64>::new(&w, Some(&b), d_in).unwrap();
            let keys = Projection::<f64>::of_keys(&w, Some(&b), d_in).unwrap();
            for (map, scale) in [(plain, 1.0), (keys, scale)] {
                let mut out = vec![0.0; n * d_out];
                map.apply(&x, &mut out).unwrap();
                for (x, out) in x.chunks_exact(d_in).zip(out.chunks_exact(d_out)) {
                    let rows = w.chunks_exact(d_in).zip(&b);
                    let want: Vec<f64> =
                        rows.map(|(row, b)| scale * (order::dot(row, x) + b)).collect();
                    Tolerance::roundoff_f64(400).assert_all_close(out, &want, "projection");
                }
                assert!(map.apply(&x, &mut out[1..]).is_err());
            }
        }
    }
}
