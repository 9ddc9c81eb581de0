//! Softmax attention of one head over a user's own numbers, as candle operations, a block of queries at a
//! time, so that nothing of the size of tokens squared stands in memory.

use crate::ModelError;
use crate::composite::ops;
use candle_core::{D, Tensor};

/// An affine map; the bias is optional.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[d_out, d_in]`.
    pub weight: Tensor,
    /// `[d_out]`.
    pub bias: Option<Tensor>,
}

impl Linear {
    /// `x W^T + b` over the last axis.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let y = ops::linear(x, &self.weight)?;
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }

    /// The map onto rows `start .. start + n` of the output: one head.
    ///
    /// # Errors
    /// If there are fewer rows.
    pub fn rows(&self, start: usize, n: usize) -> Result<Self, ModelError> {
        let bias = self.bias.as_ref().map(|bias| bias.narrow(0, start, n)).transpose()?;
        Ok(Self { weight: self.weight.narrow(0, start, n)?, bias })
    }
}

/// `softmax(q k^T + bias)`, not normalised yet.
#[derive(Debug, Clone)]
pub struct Attended {
    /// `exp(score - largest score of the query)`, `[queries, keys]`.
    kernel: Tensor,
    /// Sum over the keys, `[queries, 1]`.
    normaliser: Tensor,
}

impl Attended {
    /// Queries `[queries, d_h]`, already divided by `sqrt(d_h)`, over keys `[keys, d_h]`; the bias
    /// `[queries, keys]` is 0, or minus infinity where a query does not see a key.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn new(queries: &Tensor, keys: &Tensor, bias: Option<&Tensor>) -> Result<Self, ModelError> {
        let mut scores = ops::product_transposed(queries, keys)?;
        if let Some(bias) = bias {
            scores = (scores + bias)?;
        }
        let top = scores.max_keepdim(D::Minus1)?;
        let kernel = ops::exp(&scores.broadcast_sub(&top)?)?;
        let normaliser = kernel.sum_keepdim(D::Minus1)?;
        Ok(Self { kernel, normaliser })
    }

    /// The output for values `[keys, d_v]`: `[queries, d_v]`.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn output(&self, values: &Tensor) -> Result<Tensor, ModelError> {
        Ok(ops::product(&self.kernel, values)?.broadcast_div(&self.normaliser)?)
    }

    /// The weights `[queries, keys]`; rows sum to 1.
    ///
    /// # Errors
    /// If candle refuses an operation.
    pub fn weights(&self) -> Result<Tensor, ModelError> {
        Ok(self.kernel.broadcast_div(&self.normaliser)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::block;
    use candle_core::{DType, Device};

    #[test]
    fn a_block_of_queries_gets_its_rows_of_the_whole() {
        let draw = |seed: f64, n: usize| {
            let entries: Vec<f64> = (0..n * 3).map(|i| (i as f64 * seed) % 1.0 - 0.5).collect();
            Tensor::from_vec(entries, (n, 3), &Device::Cpu).unwrap()
        };
        let (q, k, v) = (draw(0.37, 7), draw(0.59, 7), draw(0.83, 7));
        let rows = |x: &Tensor| x.to_vec2::<f64>().unwrap();
        let bias = block(0..7, 7, true, None, DType::F64, &Device::Cpu).unwrap();
        let whole = rows(&Attended::new(&q, &k, bias.as_ref()).unwrap().output(&v).unwrap());
        let (q, k, v) = (q.narrow(0, 2, 3), k.narrow(0, 0, 5), v.narrow(0, 0, 5));
        let bias = block(2..5, 5, true, None, DType::F64, &Device::Cpu).unwrap();
        let part = Attended::new(&q.unwrap(), &k.unwrap(), bias.as_ref()).unwrap();
        for (part, whole) in rows(&part.output(&v.unwrap()).unwrap()).iter().zip(&whole[2..5]) {
            for (part, whole) in part.iter().zip(whole) {
                assert!((part - whole).abs() < 1e-15);
            }
        }
        let sums = rows(&part.weights().unwrap().sum_keepdim(1).unwrap());
        assert!(sums.iter().all(|sum| (sum[0] - 1.0).abs() < 1e-15));
    }
}
