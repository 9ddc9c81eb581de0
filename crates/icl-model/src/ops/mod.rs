//! Candle operations with portable bits and exact gradients.
//!
//! candle's own `exp` and `tanh` call the system's libm (other bits on other CPUs) and its GELU has a
//! gradient of six digits; these are the same functions on `icl_numerics`. On another device than the CPU they
//! are candle's own, with the same gradients.

mod dropout;
mod norm;
mod product;
mod row;
mod softmax;

pub use dropout::dropped;
pub use norm::layer_norm;
pub(crate) use norm::{dot, norm_gradient, norm_rows};
pub use product::{MAX_INNER, product, product_transposed};
pub use row::add_row;
pub(crate) use row::column_sums;
pub use softmax::softmax;
pub(crate) use softmax::softmax_row;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail,
};
use candle_nn::Linear;
use icl_numerics::elementary::{self, Function};
use icl_numerics::lanes::Isa;
use icl_numerics::math;
use std::cell::Cell;

thread_local! {
    static COMPOSED: Cell<bool> = const { Cell::new(false) };
}

/// Calls `f` with candle's own operations in place of ours on this thread, as a GPU has them: so what a GPU computes can
/// be tested without one. Results are those of candle's class on this CPU, not portable.
pub fn as_on_a_gpu<T>(f: impl FnOnce() -> T) -> T {
    let before = COMPOSED.replace(true);
    let result = f();
    COMPOSED.set(before);
    result
}

/// Whether an operation on `x` is ours.
fn is_ours(x: &Tensor) -> bool {
    x.device().is_cpu() && !COMPOSED.get()
}

/// `e^x`, element by element.
///
/// # Errors
/// If candle refuses the operation.
pub fn exp(x: &Tensor, isa: Isa) -> Result<Tensor> {
    if is_ours(x) { x.contiguous()?.apply_op1(Exp(isa)) } else { device_exp(x) }
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
    if is_ours(x) { x.contiguous()?.apply_op1(Tanh(isa)) } else { device_tanh(x) }
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
    let inner = ((x + ((x * x)? * x)? * 0.044_715)? * elementary::GELU_SCALE)?;
    ((tanh(&inner, isa)? + 1.0)? * x)? * 0.5
}

/// `x Phi(x)` with the normal distribution function, element by element: the exact GELU of pretrained models.
///
/// # Errors
/// If candle refuses the operation.
pub fn exact_gelu(x: &Tensor, isa: Isa) -> Result<Tensor> {
    if is_ours(x) { x.contiguous()?.apply_op1(ExactGelu(isa)) } else { device_gelu(x) }
}

fn device_gelu(x: &Tensor) -> Result<Tensor> {
    let twice = ((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)?;
    (x * twice)? * 0.5
}

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
        Some(bias) => add_row(&y, bias),
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

/// The numbers of a contiguous tensor on the CPU.
fn numbers<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("input not contiguous") };
    Ok(&storage.as_slice::<T>()?[start..end])
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

struct ExactGelu(Isa);

impl CustomOp1 for ExactGelu {
    fn name(&self) -> &'static str {
        "portable-gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        map(storage, layout, (Function::Gelu, self.0), |x| x * math::normal_cdf(x))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        x.apply_op2_no_bwd(&gradient.contiguous()?, &GeluGradient(self.0)).map(Some)
    }
}

/// `g (Phi(x) + x phi(x))`.
struct GeluGradient(Isa);

impl CustomOp2 for GeluGradient {
    fn name(&self) -> &'static str {
        "gelu-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let double = |x| math::normal_cdf(x) + x * math::normal_density(x);
        let (mut slope, shape) = map(x, layout, (Function::GeluSlope, self.0), double)?;
        match &mut slope {
            CpuStorage::F32(slope) => {
                let gradient = numbers::<f32>(gradient, gradient_layout)?;
                slope.iter_mut().zip(gradient).for_each(|(slope, g)| *slope *= g);
            }
            CpuStorage::F64(slope) => {
                let gradient = numbers::<f64>(gradient, gradient_layout)?;
                slope.iter_mut().zip(gradient).for_each(|(slope, g)| *slope *= g);
            }
            _ => bail!("found other numbers, expected f32 or f64"),
        }
        Ok((slope, shape))
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
        let both: [[Tensor; 2]; 3] = [
            [exp(&x, Isa::Portable).unwrap(), device_exp(&x).unwrap()],
            [tanh(&x, Isa::Portable).unwrap(), device_tanh(&x).unwrap()],
            [exact_gelu(&x, Isa::Portable).unwrap(), device_gelu(&x).unwrap()],
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
                    assert!((a - b).abs() <= 2e-15 * (1.0 + b.abs()), "{a} {b}");
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
