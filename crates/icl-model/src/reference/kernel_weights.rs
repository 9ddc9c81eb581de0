//! The weights of a kernel: `K(k_j, q_i)` over its sum, and the linear kernel's shares.

use crate::ModelError;
use crate::kernel::{AttentionKernel, Kernel, Omegas};
use crate::ops;
use candle_core::{D, Tensor};
use icl_numerics::lanes::Isa;

/// The weights `[.., queries, keys]` of queries `[.., queries, d]` over keys `[.., keys, d]`, both with the factor
/// `d^(-1/4)` (or the queries with `d^(-1/2)`); `bias` is 0 where a query sees a key and minus infinity where not,
/// and broadcasts against the weights. Shifts that cancel in the ratio keep every exponent small.
///
/// Rows sum to 1, or to 0 for a query that sees no key; those of the linear kernel, which is not normalised, do not.
///
/// # Errors
/// If shapes do not fit, or the kernel leaves out the only key.
pub fn kernel_weights(
    kernel: &AttentionKernel,
    q: &Tensor,
    k: &Tensor,
    bias: Option<&Tensor>,
    isa: Isa,
) -> Result<Tensor, ModelError> {
    match kernel {
        Kernel::Softmax => Ok(ops::softmax(&ops::product_transposed(q, k)?, bias, isa)?),
        Kernel::SoftmaxWithoutQuery => {
            let last = last_key(k, 0.0, f64::NEG_INFINITY)?;
            let bias = match bias {
                Some(bias) => bias.broadcast_add(&last)?,
                None => last,
            };
            kernel_weights(&Kernel::Softmax, q, k, Some(&bias), isa)
        }
        Kernel::Linear => linear(q, k, bias, isa),
        Kernel::Positive(omegas) => positive(omegas, q, k, bias, isa),
    }
}

fn linear(q: &Tensor, k: &Tensor, bias: Option<&Tensor>, isa: Isa) -> Result<Tensor, ModelError> {
    let scores = ops::product_transposed(q, k)?;
    let share = match bias {
        None => {
            let n = k.dim(D::Minus2)?;
            last_key(k, 1.0 / (n - 1) as f64, 0.0)?
        }
        Some(bias) => {
            // 1 where a key is seen and not the last one; a query's share is one over their number
            let seen = ops::exp(bias, isa)?.broadcast_mul(&last_key(k, 1.0, 0.0)?)?;
            let number = seen.sum_keepdim(D::Minus1)?.clamp(1.0, f64::INFINITY)?;
            seen.broadcast_div(&number)?
        }
    };
    Ok(scores.broadcast_mul(&share)?)
}

fn positive(
    omegas: &Omegas,
    q: &Tensor,
    k: &Tensor,
    bias: Option<&Tensor>,
    isa: Isa,
) -> Result<Tensor, ModelError> {
    let omegas = Tensor::from_slice(omegas.rows(), (omegas.d_r(), omegas.d()), k.device())?;
    let omegas = omegas.to_dtype(k.dtype())?;
    let half_norm = (k.sqr()?.sum_keepdim(D::Minus1)? * 0.5)?;
    let least = half_norm.min_keepdim(D::Minus2)?.detach();
    let shifted = half_norm.broadcast_sub(&least)?;
    let k_exponent = ops::linear(k, &omegas)?.broadcast_sub(&shifted)?;
    let q_exponent = ops::linear(q, &omegas)?;
    let top = q_exponent.max_keepdim(D::Minus1)?.detach();
    let phi_q = ops::exp(&q_exponent.broadcast_sub(&top)?, isa)?;
    let phi_k = ops::exp(&k_exponent, isa)?;
    let estimate = ops::product_transposed(&phi_q, &phi_k)?;
    let entries = match bias {
        Some(bias) => estimate.broadcast_mul(&ops::exp(bias, isa)?)?,
        None => estimate,
    };
    let mut normaliser = entries.sum_keepdim(D::Minus1)?;
    if let Some(empty) = empty_rows(bias, &normaliser)? {
        normaliser = (normaliser + empty.to_dtype(entries.dtype())?)?;
    }
    Ok(entries.broadcast_div(&normaliser)?)
}

/// 1 for every row in which the bias excludes every key, else 0, in the shape of `rows` `[.., queries, 1]`; none
/// without a bias.
fn empty_rows(bias: Option<&Tensor>, rows: &Tensor) -> Result<Option<Tensor>, ModelError> {
    let Some(bias) = bias else { return Ok(None) };
    let empty = bias.max_keepdim(D::Minus1)?.eq(f64::NEG_INFINITY)?;
    Ok(Some(empty.broadcast_as(rows.shape())?.contiguous()?))
}

/// A row `[keys]` of `entry`, with `last` for the last key.
fn last_key(k: &Tensor, entry: f64, last: f64) -> Result<Tensor, ModelError> {
    let n = k.dim(D::Minus2)?;
    if n < 2 {
        return Err(ModelError::setting("tokens", n, "a demonstration beside the query token"));
    }
    let mut row = vec![entry; n];
    row[n - 1] = last;
    Ok(Tensor::from_vec(row, n, k.device())?.to_dtype(k.dtype())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{Mask, block};
    use candle_core::{DType, Device};

    fn draw(seed: f64, n: usize) -> Tensor {
        let entries: Vec<f64> = (0..n * 3).map(|i| (i as f64 * seed) % 1.0 - 0.5).collect();
        Tensor::from_vec(entries, (n, 3), &Device::Cpu).unwrap()
    }

    fn rows(x: &Tensor) -> Vec<Vec<f64>> {
        x.to_vec2().unwrap()
    }

    #[test]
    fn the_linear_kernel_keeps_the_mask() {
        let tensor =
            |entries: [f64; 4]| Tensor::from_slice(&entries, (1, 1, 4, 1), &Device::Cpu).unwrap();
        let (q, k) = (tensor([1.0; 4]), tensor([2.0, 3.0, 5.0, 7.0]));
        let weights = |mask: &Mask| {
            let bias = mask.bias(1, 4, DType::F64, &Device::Cpu).unwrap();
            let isa = Isa::detect();
            let weights = kernel_weights(&Kernel::Linear, &q, &k, bias.as_ref(), isa).unwrap();
            weights.flatten_to(2).unwrap().to_vec2::<f64>().unwrap()
        };
        let open = weights(&Mask::None);
        let third = 1.0 / 3.0;
        assert!(open.iter().all(|row| row[..] == [2.0 * third, 3.0 * third, 5.0 * third, 0.0]));
        let causal = weights(&Mask::Causal);
        assert_eq!(causal[0], [2.0, 0.0, 0.0, 0.0]);
        assert_eq!(causal[1], [1.0, 1.5, 0.0, 0.0]);
        let padded = weights(&Mask::Padding(vec![2]));
        assert!(padded.iter().all(|row| row[..] == [1.0, 1.5, 0.0, 0.0]));
    }

    #[test]
    fn a_block_of_queries_gets_its_rows_of_the_whole() {
        let softmax = |q: &Tensor, k: &Tensor, bias: Option<&Tensor>| {
            kernel_weights(&Kernel::Softmax, q, k, bias, Isa::detect()).unwrap()
        };
        let (q, k, v) = (draw(0.37, 7), draw(0.59, 7), draw(0.83, 7));
        let bias = block(0..7, 7, true, None, DType::F64, &Device::Cpu).unwrap();
        let whole = rows(&ops::product(&softmax(&q, &k, bias.as_ref()), &v).unwrap());
        let (q, k, v) = (q.narrow(0, 2, 3), k.narrow(0, 0, 5), v.narrow(0, 0, 5));
        let bias = block(2..5, 5, true, None, DType::F64, &Device::Cpu).unwrap();
        let part = softmax(&q.unwrap(), &k.unwrap(), bias.as_ref());
        let output = ops::product(&part, &v.unwrap()).unwrap();
        for (part, whole) in rows(&output).iter().zip(&whole[2..5]) {
            for (part, whole) in part.iter().zip(whole) {
                assert!((part - whole).abs() < 1e-15);
            }
        }
        let sums = rows(&part.sum_keepdim(1).unwrap());
        assert!(sums.iter().all(|sum| (sum[0] - 1.0).abs() < 1e-15));
    }

    #[test]
    fn a_query_that_sees_no_key_has_weights_and_output_zero_and_the_others_keep_their_bits() {
        let (q, k, v) = (draw(0.37, 4), draw(0.59, 4), draw(0.83, 4));
        let keys = [false, true, true, true];
        let bias = block(0..4, 4, true, Some(&keys), DType::F64, &Device::Cpu).unwrap();
        let omegas = Omegas::draw(1, 5, 3);
        for kernel in [Kernel::Softmax, Kernel::Linear, Kernel::Positive(omegas)] {
            let isa = Isa::detect();
            let all = kernel_weights(&kernel, &q, &k, bias.as_ref(), isa).unwrap();
            let weights = rows(&all);
            assert_eq!(weights[0], [0.0; 4], "{kernel:?}");
            assert_eq!(rows(&ops::product(&all, &v).unwrap())[0], [0.0; 3], "{kernel:?}");
            assert!(weights[1..].iter().flatten().all(|w| w.is_finite()));
            assert!(weights[3][..3].iter().any(|w| *w != 0.0));
        }
        let alone = draw(0.37, 1);
        let kernel = Kernel::SoftmaxWithoutQuery;
        let error = kernel_weights(&kernel, &alone, &alone, None, Isa::detect()).unwrap_err();
        assert!(error.to_string().contains("demonstration"), "{error}");
    }
}
