//! Candle operations with portable bits and exact gradients.
//!
//! candle's own `exp` and `tanh` call the system's libm (other bits on other CPUs) and its GELU has a
//! gradient of six digits; these are the same functions on `icl_numerics`. On another device than the CPU they
//! are candle's own, with the same gradients.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};
use candle_nn::Linear;
use icl_numerics::elementary::Function;
use icl_numerics::lanes::Isa;
use icl_numerics::math;

/// Largest inner dimension of a matrix product whose bits do not depend on the CPU's caches.
pub const MAX_INNER: usize = 512;

/// `e^x`, element by element.
///
/// # Errors
/// If candle refuses the operation.
pub fn exp(x: &Tensor, isa: Isa) -> Result<Tensor> {
    if x.device().is_cpu() { x.contiguous()?.apply_op1(Exp(isa)) } else { device_exp(x) }
}

#[expect(clippy::disallowed_methods, reason = "a GPU has no C library")]
fn device_exp(x: &Tensor) -> Result<Tensor> {
    x.exp()
}

/// Hyperbolic tangent, element by element.
///
/// # Errors
/// If candle refuses the operation.
pub fn tanh(x: &Tensor, isa: Isa) -> Result<Tensor> {
    if x.device().is_cpu() { x.contiguous()?.apply_op1(Tanh(isa)) } else { device_tanh(x) }
}

#[expect(clippy::disallowed_methods, reason = "a GPU has no C library")]
fn device_tanh(x: &Tensor) -> Result<Tensor> {
    x.tanh()
}

/// `x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2`, element by element.
///
/// # Errors
/// If candle refuses the operation.
pub fn gelu(x: &Tensor, isa: Isa) -> Result<Tensor> {
    let inner = ((x + ((x * x)? * x)? * 0.044_715)? * GELU_SCALE)?;
    ((tanh(&inner, isa)? + 1.0)? * x)? * 0.5
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

/// `x W^T + b` over the last axis: what candle's own `Linear` computes, without its matrix product.
///
/// # Errors
/// If shapes do not fit.
pub fn affine(map: &Linear, x: &Tensor) -> Result<Tensor> {
    let y = linear(x, map.weight())?;
    match map.bias() {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// The map onto rows `start .. start + n` of the output: one head of several.
///
/// # Errors
/// If there are fewer rows.
pub fn rows(map: &Linear, start: usize, n: usize) -> Result<Linear> {
    let bias = map.bias().map(|bias| bias.narrow(0, start, n)).transpose()?;
    Ok(Linear::new(map.weight().narrow(0, start, n)?, bias))
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
    (single, isa): (Function, Isa),
    double: fn(f64) -> f64,
) -> Result<(CpuStorage, Shape)> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("input not contiguous") };
    let out = match storage {
        CpuStorage::F32(x) => {
            let mut y = x[start..end].to_vec();
            single.map(isa, &mut y);
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

struct Exp(Isa);

impl CustomOp1 for Exp {
    fn name(&self) -> &'static str {
        "portable-exp"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        map(storage, layout, (Function::Exp, self.0), math::exp)
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        (grad * y).map(Some)
    }
}

struct Tanh(Isa);

impl CustomOp1 for Tanh {
    fn name(&self) -> &'static str {
        "portable-tanh"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        map(storage, layout, (Function::Tanh, self.0), math::tanh)
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let slope = (1.0 - (y * y)?)?;
        (grad * slope).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// The functions of another device, here on the CPU: the same values and gradients to rounding.
    #[test]
    fn the_functions_of_a_device_have_the_values_and_gradients_of_the_portable_ones() {
        let points: Vec<f64> = (-40..=40).map(|i| f64::from(i) / 8.0).collect();
        let x = Var::new(points.as_slice(), &Device::Cpu).unwrap();
        let both: [[Tensor; 2]; 2] = [
            [exp(&x, Isa::Portable).unwrap(), device_exp(&x).unwrap()],
            [tanh(&x, Isa::Portable).unwrap(), device_tanh(&x).unwrap()],
        ];
        for [ours, device] in both {
            let slope = |y: &Tensor| {
                let gradients = y.sum_all().unwrap().backward().unwrap();
                gradients.get(x.as_tensor()).unwrap().to_vec1::<f64>().unwrap()
            };
            let pairs = [
                (ours.to_vec1::<f64>().unwrap(), device.to_vec1::<f64>().unwrap()),
                (slope(&ours), slope(&device)),
            ];
            for (ours, device) in pairs {
                for (a, b) in ours.iter().zip(&device) {
                    // both are correct to a few units in the last place; 1 - tanh^2 cancels
                    assert!((a - b).abs() <= 1e-15 * (1.0 + b.abs()), "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn rows_of_an_affine_map_are_those_of_its_output() {
        let entries: Vec<f64> = (0..12).map(f64::from).collect();
        let weight = Tensor::from_vec(entries, (4, 3), &Device::Cpu).unwrap();
        let map =
            Linear::new(weight, Some(Tensor::new(&[0.5, 1.5, 2.5, 3.5], &Device::Cpu).unwrap()));
        let x = Tensor::new(&[[1.0, -2.0, 0.5]], &Device::Cpu).unwrap();
        let whole = affine(&map, &x).unwrap().to_vec2::<f64>().unwrap();
        // rows 3 to 8: 3 - 8 + 2.5 + 1.5 and 6 - 14 + 4 + 2.5
        assert_eq!(whole[0][1..3], [-1.0, -1.5]);
        let part = affine(&rows(&map, 1, 2).unwrap(), &x).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(part[0], whole[0][1..3]);
    }
}
