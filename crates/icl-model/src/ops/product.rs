//! The matrix product.

use super::is_ours;
use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp2, D, Layout, Result, Shape, Tensor, bail};

/// Largest inner dimension of a matrix product whose bits do not depend on the CPU's caches.
pub const MAX_INNER: usize = 512;

/// `a b` over the last two axes: the only matrix product of this crate.
///
/// gemm splits an inner dimension of more than [`MAX_INNER`] by the sizes of the CPU's caches, which moves
/// last digits from machine to machine. So the inner dimension is cut into chunks of at most [`MAX_INNER`],
/// whose products are added in order; the products of the gradients likewise.
///
/// # Errors
/// If shapes do not fit.
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !is_ours(a) {
        return device_product(&a.contiguous()?, b);
    }
    stacked(a)?.apply_op2(&stacked(b)?, Product)
}

/// `a b^T` over the last two axes; see [`product`].
///
/// # Errors
/// If shapes do not fit.
pub fn product_transposed(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    product(a, &b.transpose(D::Minus2, D::Minus1)?)
}

#[expect(clippy::disallowed_methods, reason = "a GPU's bits are of another class")]
fn device_product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.matmul(b)
}

/// The tensor itself if its matrices lie at equal distances, as gemm needs them, otherwise a copy.
fn stacked(x: &Tensor) -> Result<Tensor> {
    let (dims, strides) = (x.dims(), x.stride());
    let batch = dims.len().saturating_sub(2);
    let equal = (1..batch).all(|i| strides[i - 1] == strides[i] * dims[i]);
    // a matrix repeated along a batch has distance 0, which candle takes for another case
    let repeated = strides[..batch].contains(&0);
    if equal && !repeated { Ok(x.clone()) } else { x.contiguous() }
}

struct Product;

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "chunked-product"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        multiply(a, a_layout, b, b_layout)
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _product: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let a_transposed = a.transpose(D::Minus2, D::Minus1)?;
        Ok((Some(product_transposed(gradient, b)?), Some(product(&a_transposed, gradient)?)))
    }
}

/// The product on the CPU: matrices must lie at equal distances, inner axes are cut into chunks.
fn multiply(
    a: &CpuStorage,
    a_layout: &Layout,
    b: &CpuStorage,
    b_layout: &Layout,
) -> Result<(CpuStorage, Shape)> {
    let (a_dims, b_dims) = (a_layout.dims(), b_layout.dims());
    let rank = a_dims.len();
    if rank < 2 || b_dims.len() != rank || a_dims[..rank - 2] != b_dims[..rank - 2] {
        bail!("product of {a_dims:?} and {b_dims:?}: expected the same leading axes");
    }
    let (m, inner, n) = (a_dims[rank - 2], a_dims[rank - 1], b_dims[rank - 1]);
    if b_dims[rank - 2] != inner || [m, inner, n].contains(&0) {
        bail!("product of {a_dims:?} and {b_dims:?}: expected equal inner axes, none of size 0");
    }
    let batch = a_dims[..rank - 2].iter().product();
    let chunk = |start: usize| -> Result<CpuStorage> {
        let width = MAX_INNER.min(inner - start);
        let a_part = a_layout.narrow(rank - 1, start, width)?;
        let b_part = b_layout.narrow(rank - 2, start, width)?;
        a.matmul(b, (batch, m, n, width), &a_part, &b_part)
    };
    let mut sum = chunk(0)?;
    for start in (MAX_INNER..inner).step_by(MAX_INNER) {
        add(&mut sum, &chunk(start)?)?;
    }
    let shape = [&a_dims[..rank - 1], &[n]].concat();
    Ok((sum, Shape::from(shape)))
}

/// `sum += part`.
fn add(sum: &mut CpuStorage, part: &CpuStorage) -> Result<()> {
    match (sum, part) {
        (CpuStorage::F32(sum), CpuStorage::F32(part)) => {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        (CpuStorage::F64(sum), CpuStorage::F64(part)) => {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        (_, part) => bail!("found dtype {:?}, expected f32 or f64", part.dtype()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn numbers(shape: &[usize], step: f64) -> Tensor {
        let n: usize = shape.iter().product();
        let entries: Vec<f64> = (0..n).map(|i| (i as f64 * step) % 1.0 - 0.5).collect();
        Tensor::from_vec(entries, shape, &Device::Cpu).unwrap()
    }

    /// Plain loops over `[batch, m, k]` and `[batch, k, n]`.
    fn by_loops(a: &Tensor, b: &Tensor) -> Vec<f64> {
        let (a, b) = (a.to_vec3::<f64>().unwrap(), b.to_vec3::<f64>().unwrap());
        let entry = |a: &[f64], b: &[Vec<f64>], j: usize| -> f64 {
            a.iter().zip(b).map(|(x, row)| x * row[j]).sum()
        };
        let matrix = |(a, b): (&Vec<Vec<f64>>, &Vec<Vec<f64>>)| -> Vec<f64> {
            a.iter().flat_map(|a| (0..b[0].len()).map(|j| entry(a, b, j))).collect()
        };
        a.iter().zip(&b).flat_map(matrix).collect()
    }

    fn close(found: &Tensor, wanted: &[f64]) {
        let found: Vec<f64> = found.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(found.len(), wanted.len());
        // inner dimensions to 1300 of numbers below 1/2
        assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn products_and_their_gradients_are_those_of_loops_in_every_layout() {
        for inner in [1, 5, 512, 513, 1300] {
            let a = numbers(&[2, 3, inner], 0.37);
            let b = numbers(&[2, inner, 4], 0.59);
            close(&product(&a, &b).unwrap(), &by_loops(&a, &b));
            // transposed views, and a batch that is cut out of another axis
            let a_view = a.transpose(1, 2).unwrap().contiguous().unwrap().transpose(1, 2).unwrap();
            let b_view = b.transpose(0, 1).unwrap().contiguous().unwrap().transpose(0, 1).unwrap();
            close(&product(&a_view, &b_view).unwrap(), &by_loops(&a, &b));
            let repeated = b.narrow(0, 0, 1).unwrap().broadcast_as((2, inner, 4)).unwrap();
            let copied = repeated.contiguous().unwrap();
            close(&product(&a_view, &repeated).unwrap(), &by_loops(&a, &copied));
        }
    }

    #[test]
    fn gradients_are_products_with_the_transposed_factors() {
        let a = Var::from_tensor(&numbers(&[2, 3, 700], 0.37)).unwrap();
        let b = Var::from_tensor(&numbers(&[2, 700, 600], 0.59)).unwrap();
        let factors = numbers(&[2, 3, 600], 0.83);
        let loss = (product(&a, &b).unwrap() * &factors).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let transposed = |x: &Tensor| x.transpose(1, 2).unwrap().contiguous().unwrap();
        close(gradients.get(&a).unwrap(), &by_loops(&factors, &transposed(&b)));
        close(gradients.get(&b).unwrap(), &by_loops(&transposed(&a), &factors));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for (a, b) in [
            (vec![2, 3, 4], vec![2, 5, 6]),
            (vec![2, 3, 4], vec![1, 4, 6]),
            (vec![3, 4], vec![2, 4, 6]),
            (vec![2, 0, 4], vec![2, 4, 6]),
        ] {
            let (a, b) = (numbers(&a, 0.1), numbers(&b, 0.1));
            assert!(product(&a, &b).unwrap_err().to_string().contains("product of"));
        }
    }
}
