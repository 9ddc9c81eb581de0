//! LayerNorm with gain and bias.

use super::{is_ours, numbers};
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use icl_numerics::lanes::{Isa, Kernel, LANES, Lane16, Lanes};
use icl_numerics::order;

/// `(x - mean) / sqrt(variance + epsilon) gain + bias` over the last axis; `gain` and `bias` are `[n]`.
///
/// Source: J. Ba, J. Kiros, G. Hinton, "Layer normalization" (2016).
///
/// # Errors
/// If gain and bias are not rows of `x`.
pub fn layer_norm(
    x: &Tensor,
    gain: &Tensor,
    bias: &Tensor,
    epsilon: f64,
    isa: Isa,
) -> Result<Tensor> {
    if !is_ours(x) {
        return device_layer_norm(x, gain, bias, epsilon);
    }
    let norm = LayerNorm { epsilon, isa };
    x.contiguous()?.apply_op3(&gain.contiguous()?, &bias.contiguous()?, norm)
}

fn device_layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
    normed.broadcast_mul(gain)?.broadcast_add(bias)
}

#[derive(Clone, Copy)]
struct LayerNorm {
    epsilon: f64,
    isa: Isa,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "portable-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let n = row_length(layout, [gain_layout, bias_layout])?;
        let normed = match x {
            CpuStorage::F32(_) => {
                let mut y = numbers::<f32>(x, layout)?.to_vec();
                let rows = [numbers(gain, gain_layout)?, numbers(bias, bias_layout)?];
                norm_rows(self.isa, &mut y, rows, self.epsilon);
                CpuStorage::F32(y)
            }
            CpuStorage::F64(_) => {
                let mut y = numbers::<f64>(x, layout)?.to_vec();
                let gain = numbers::<f64>(gain, gain_layout)?;
                let bias = numbers::<f64>(bias, bias_layout)?;
                for row in y.chunks_exact_mut(n) {
                    let _ = standardise(row, self.epsilon);
                    let scaled = row.iter_mut().zip(gain.iter().zip(bias));
                    scaled.for_each(|(y, (gain, bias))| *y = *y * gain + bias);
                }
                CpuStorage::F64(y)
            }
            _ => bail!("found other numbers, expected f32 or f64"),
        };
        Ok((normed, layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        bias: &Tensor,
        _normed: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let all = x.apply_op3_no_bwd(gain, &gradient.contiguous()?, &Slope(*self))?;
        let (n, whole) = (gain.elem_count(), x.elem_count());
        let of_x = all.narrow(0, 0, whole)?.reshape(x.shape())?;
        let of_gain = all.narrow(0, whole, n)?.reshape(gain.shape())?;
        let of_bias = all.narrow(0, whole + n, n)?.reshape(bias.shape())?;
        Ok((Some(of_x), Some(of_gain), Some(of_bias)))
    }
}

fn row_length(layout: &Layout, rows: [&Layout; 2]) -> Result<usize> {
    let n = layout.dims().last().copied().unwrap_or(0);
    if n == 0 || rows.iter().any(|row| row.dims() != [n]) {
        let found = [layout.dims(), rows[0].dims(), rows[1].dims()];
        bail!("layer-norm: found shapes {found:?}, expected two rows of the first");
    }
    Ok(n)
}

/// Replaces a row by its deviations from the mean over the root of variance and epsilon; returns one over the root.
fn standardise(row: &mut [f64], epsilon: f64) -> f64 {
    let n = row.len() as f64;
    let mean = order::sum(row) / n;
    row.iter_mut().for_each(|x| *x -= mean);
    let factor = 1.0 / (order::sum_of_squares(row) / n + epsilon).sqrt();
    row.iter_mut().for_each(|x| *x *= factor);
    factor
}

/// `sum_i a_i b_i` in sixteen partial sums, joined as a binary tree.
#[inline(always)]
pub(crate) fn dot<L: Lanes>(l: L, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sum = l.splat(0.0);
    for (a, b) in a.iter().zip(b) {
        sum = l.mul_add(l.load(&Lane16(*a)), l.load(&Lane16(*b)), sum);
    }
    let mut sums = l.store(sum);
    for (sum, (a, b)) in sums.0.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += a * b;
    }
    sums.sum()
}

/// `sum_i a_i`, in the order of [`dot`].
#[inline(always)]
pub(super) fn sum<L: Lanes>(l: L, a: &[f32]) -> f32 {
    let (a, rest) = a.as_chunks::<LANES>();
    let mut sum = l.splat(0.0);
    for a in a {
        sum = l.add(sum, l.load(&Lane16(*a)));
    }
    let mut sums = l.store(sum);
    for (sum, a) in sums.0.iter_mut().zip(rest) {
        *sum += a;
    }
    sums.sum()
}

/// [`standardise`] on lanes.
#[inline(always)]
fn standardise_on_lanes<L: Lanes>(l: L, row: &mut [f32], epsilon: f32) -> f32 {
    let n = row.len() as f32;
    let mean = sum(l, row) / n;
    row.iter_mut().for_each(|x| *x -= mean);
    let factor = 1.0 / (dot(l, row, row) / n + epsilon).sqrt();
    row.iter_mut().for_each(|x| *x *= factor);
    factor
}

/// Replaces every row of `y` by its norm with `[gain, bias]`.
pub(crate) fn norm_rows(isa: Isa, y: &mut [f32], [gain, bias]: [&[f32]; 2], epsilon: f64) {
    isa.run(Rows { y, gain, bias, epsilon: epsilon as f32 });
}

/// Replaces the rows at the start of `all` by their gradients, and the zeros behind them by those of gain and bias, from
/// the gradient `g` of the norm.
pub(crate) fn norm_gradient(isa: Isa, all: &mut [f32], gain: &[f32], g: &[f32], epsilon: f64) {
    isa.run(SlopeRows { all, gain, g, epsilon: epsilon as f32 });
}

struct Rows<'a> {
    y: &'a mut [f32],
    gain: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for row in self.y.chunks_exact_mut(self.gain.len()) {
            let _ = standardise_on_lanes(l, row, self.epsilon);
            let scaled = row.iter_mut().zip(self.gain.iter().zip(self.bias));
            scaled.for_each(|(y, (gain, bias))| *y = *y * gain + bias);
        }
    }
}

/// Gradients of `x`, gain and bias, one after another, from `x`, gain and the gradient `g` of the result. With the
/// standardised row `y` and `h = g gain`: `dx = factor (h - mean h - y mean(h y))`, `dgain = sum g y`, `dbias = sum g`.
struct Slope(LayerNorm);

impl CustomOp3 for Slope {
    fn name(&self) -> &'static str {
        "layer-norm-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let LayerNorm { epsilon, isa } = self.0;
        let n = row_length(layout, [gain_layout, gain_layout])?;
        let length = layout.shape().elem_count() + 2 * n;
        let all = match x {
            CpuStorage::F32(_) => {
                let gain = numbers(gain, gain_layout)?;
                let g = numbers(gradient, gradient_layout)?;
                let mut all = numbers::<f32>(x, layout)?.to_vec();
                all.resize(length, 0.0);
                norm_gradient(isa, &mut all, gain, g, epsilon);
                CpuStorage::F32(all)
            }
            CpuStorage::F64(_) => {
                let mut all = numbers::<f64>(x, layout)?.to_vec();
                all.resize(length, 0.0);
                let g = numbers(gradient, gradient_layout)?;
                slope_f64(&mut all, numbers(gain, gain_layout)?, g, epsilon);
                CpuStorage::F64(all)
            }
            _ => bail!("found other numbers, expected f32 or f64"),
        };
        Ok((all, Shape::from(length)))
    }
}

struct SlopeRows<'a> {
    /// The rows of `x`, then room for the gradients of gain and bias.
    all: &'a mut [f32],
    gain: &'a [f32],
    g: &'a [f32],
    epsilon: f32,
}

impl Kernel for SlopeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let n = self.gain.len();
        let (rows, of_rows) = self.all.split_at_mut(self.g.len());
        let (of_gain, of_bias) = of_rows.split_at_mut(n);
        let mut h = vec![0.0; n];
        for (y, g) in rows.chunks_exact_mut(n).zip(self.g.chunks_exact(n)) {
            let factor = standardise_on_lanes(l, y, self.epsilon);
            for i in 0..n {
                of_gain[i] += g[i] * y[i];
                of_bias[i] += g[i];
                h[i] = g[i] * self.gain[i];
            }
            let (mean, slope) = (sum(l, &h) / n as f32, dot(l, &h, y) / n as f32);
            for (y, h) in y.iter_mut().zip(&h) {
                *y = factor * (h - mean - *y * slope);
            }
        }
    }
}

fn slope_f64(all: &mut [f64], gain: &[f64], g: &[f64], epsilon: f64) {
    let n = gain.len();
    let (rows, of_rows) = all.split_at_mut(g.len());
    let (of_gain, of_bias) = of_rows.split_at_mut(n);
    for (y, g) in rows.chunks_exact_mut(n).zip(g.chunks_exact(n)) {
        let factor = standardise(y, epsilon);
        let h: Vec<f64> = g.iter().zip(gain).map(|(g, gain)| g * gain).collect();
        for i in 0..n {
            of_gain[i] += g[i] * y[i];
            of_bias[i] += g[i];
        }
        let (mean, slope) = (order::sum(&h) / n as f64, order::dot(&h, y) / n as f64);
        y.iter_mut().zip(&h).for_each(|(y, h)| *y = factor * (h - mean - *y * slope));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    fn draw(shape: &[usize], step: f64, dtype: DType) -> Var {
        let n: usize = shape.iter().product();
        let entries: Vec<f64> = (0..n).map(|i| 3.0 * ((i as f64 * step) % 1.0) - 1.0).collect();
        let tensor = Tensor::from_vec(entries, shape, &Device::Cpu).unwrap();
        Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()
    }

    fn entries(x: &Tensor) -> Vec<f64> {
        x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn values_and_gradients_are_those_of_the_steps_one_by_one() {
        for isa in Isa::available() {
            for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-4)] {
                for n in [1, 5, 16, 37, 64] {
                    let x = draw(&[2, 3, n], 0.37, dtype);
                    let (gain, bias) = (draw(&[n], 0.59, dtype), draw(&[n], 0.83, dtype));
                    let factors = draw(&[2, 3, n], 0.71, dtype);
                    let both = [
                        layer_norm(&x, &gain, &bias, 1e-3, isa),
                        device_layer_norm(&x, &gain, &bias, 1e-3),
                    ];
                    let [ours, theirs] = both.map(|normed| {
                        let normed = normed.unwrap();
                        let loss = (&normed * factors.as_tensor()).unwrap().sum_all().unwrap();
                        let gradients = loss.backward().unwrap();
                        let of = |x: &Var| entries(gradients.get(x).unwrap());
                        [entries(&normed), of(&x), of(&gain), of(&bias)].concat()
                    });
                    // numbers to 10; a gradient of x is a difference of numbers 30 times as large
                    for (a, b) in ours.iter().zip(&theirs) {
                        assert!((a - b).abs() <= tolerance, "{n} {dtype:?} {isa:?}: {a} {b}");
                    }
                }
            }
        }
    }
}
