//! Candle operations with portable bits and exact gradients.
//!
//! candle's own `exp` and `tanh` call the system's libm (other bits on other CPUs) and its GELU has a
//! gradient of six digits; these are the same functions on `icl_numerics`.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};
use icl_numerics::elementary::Function;
use icl_numerics::lanes::Isa;
use icl_numerics::math;

/// Largest inner dimension of a matrix product whose bits do not depend on the CPU's caches.
pub const MAX_INNER: usize = 512;

/// `e^x`, element by element.
///
/// # Errors
/// If candle refuses the operation.
pub fn exp(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Exp)
}

/// Hyperbolic tangent, element by element.
///
/// # Errors
/// If candle refuses the operation.
pub fn tanh(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Tanh)
}

/// `x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2`, element by element.
///
/// # Errors
/// If candle refuses the operation.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    let inner = ((x + ((x * x)? * x)? * 0.044_715)? * GELU_SCALE)?;
    ((tanh(&inner)? + 1.0)? * x)? * 0.5
}

/// `sqrt(2 / pi)`.
pub const GELU_SCALE: f64 = 0.797_884_560_802_865_4;

/// `x W^T` over the last axis; `W` is `[out, in]`.
///
/// # Errors
/// If shapes do not fit.
pub fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let (out, inner) = w.dims2()?;
    let mut shape = x.dims().to_vec();
    let rows = x.elem_count() / inner;
    shape.pop();
    shape.push(out);
    let flat = x.contiguous()?.reshape((rows, inner))?;
    product_transposed(&flat, w)?.reshape(shape)
}

/// The projections of every head: `x` `[batch, tokens, d]`, `w` `[heads, d_out, d]` gives
/// `[batch, heads, tokens, d_out]`.
///
/// # Errors
/// If shapes do not fit.
pub fn heads(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let (batch, n_tokens, d) = x.dims3()?;
    let (n_heads, d_out, _) = w.dims3()?;
    let flat = linear(&x.contiguous()?, &w.contiguous()?.reshape((n_heads * d_out, d))?)?;
    flat.reshape((batch, n_tokens, n_heads, d_out))?.transpose(1, 2)?.contiguous()
}

/// `a b^T` over the last two axes; see [`product`].
///
/// # Errors
/// If shapes do not fit.
pub fn product_transposed(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    product(a, &b.transpose(D::Minus2, D::Minus1)?)
}

/// `a b` over the last two axes: the only matrix product of this crate.
///
/// gemm splits an inner dimension of more than [`MAX_INNER`] by the sizes of the CPU's caches, which moves
/// last digits from machine to machine. So all three dimensions are cut into blocks of at most
/// [`MAX_INNER`]: the inner one, whose partial products are added in order, and the outer two, which
/// become the inner dimensions of the gradients' products.
///
/// # Errors
/// If shapes do not fit.
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (m, n) = (a.dim(D::Minus2)?, b.dim(D::Minus1)?);
    if m == 0 || n == 0 || a.dim(D::Minus1)? == 0 {
        bail!("product of {:?} and {:?}: a dimension is 0", a.dims(), b.dims());
    }
    let columns = blocks(n)
        .map(|(j, width)| {
            let b = b.narrow(D::Minus1, j, width)?;
            let rows = blocks(m)
                .map(|(i, height)| inner_blocks(&a.narrow(D::Minus2, i, height)?, &b))
                .collect::<Result<Vec<_>>>()?;
            joined(rows, D::Minus2)
        })
        .collect::<Result<Vec<_>>>()?;
    joined(columns, D::Minus1)
}

/// Starts and widths of the blocks of a dimension.
fn blocks(size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..size).step_by(MAX_INNER).map(move |start| (start, MAX_INNER.min(size - start)))
}

fn joined(mut parts: Vec<Tensor>, axis: D) -> Result<Tensor> {
    match parts.len() {
        1 => Ok(parts.swap_remove(0)),
        _ => Tensor::cat(&parts, axis),
    }
}

/// The product of two blocks, the inner dimension in chunks added in order.
#[expect(
    clippy::disallowed_methods,
    reason = "the only raw product; no dimension exceeds 512 here"
)]
fn inner_blocks(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for (start, width) in blocks(a.dim(D::Minus1)?) {
        // contiguous: candle's broadcast product misreads a transposed left-hand side
        let a = a.narrow(D::Minus1, start, width)?.contiguous()?;
        let b = b.narrow(D::Minus2, start, width)?;
        let part = a.matmul(&b)?;
        sum = Some(match sum {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    sum.ok_or_else(|| candle_core::Error::Msg("product with inner dimension 0".into()))
}

/// Applies `f64`/`f32` versions of one function to a contiguous buffer.
fn map(
    storage: &CpuStorage,
    layout: &Layout,
    single: Function,
    double: fn(f64) -> f64,
) -> Result<(CpuStorage, Shape)> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("input not contiguous") };
    let out = match storage {
        CpuStorage::F32(x) => {
            let mut y = x[start..end].to_vec();
            single.map(Isa::detect(), &mut y);
            CpuStorage::F32(y)
        }
        CpuStorage::F64(x) => CpuStorage::F64(x[start..end].iter().map(|x| double(*x)).collect()),
        _ => bail!(
            "found dtype {:?}, expected f32 or f64",
            candle_core::backend::BackendStorage::dtype(storage)
        ),
    };
    Ok((out, layout.shape().clone()))
}

struct Exp;

impl CustomOp1 for Exp {
    fn name(&self) -> &'static str {
        "portable-exp"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        map(storage, layout, Function::Exp, math::exp)
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        (grad * y).map(Some)
    }
}

struct Tanh;

impl CustomOp1 for Tanh {
    fn name(&self) -> &'static str {
        "portable-tanh"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        map(storage, layout, Function::Tanh, math::tanh)
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let slope = (1.0 - (y * y)?)?;
        (grad * slope).map(Some)
    }
}
