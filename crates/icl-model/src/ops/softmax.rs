//! Softmax over the last axis, with an additive mask.

use super::{is_ours, numbers};
use candle_core::{CpuStorage, CustomOp2, D, Layout, Result, Shape, Tensor, bail};
use icl_numerics::elementary;
use icl_numerics::lanes::{Isa, Kernel, LANES, Lane16, Lanes};
use icl_numerics::math;

/// `e^(x_j + b_j) / sum_j e^(x_j + b_j)` over the last axis of `scores`. `bias` broadcasts against the scores; it is 0
/// where an entry counts and minus infinity where not, and has no gradient. A row without an entry that counts is 0.
///
/// The sum is taken in sixteen partial sums in single precision and in order in double: candle's own sum of `f32` has
/// other bits on a CPU without AVX2.
///
/// # Errors
/// If the bias does not broadcast.
pub fn softmax(scores: &Tensor, bias: Option<&Tensor>, isa: Isa) -> Result<Tensor> {
    if !is_ours(scores) {
        return device_softmax(scores, bias);
    }
    let none = || Tensor::zeros(1, scores.dtype(), scores.device());
    let bias = bias.map_or_else(none, |bias| Ok(bias.detach()))?;
    let bias = bias.broadcast_as(scores.shape())?;
    scores.contiguous()?.apply_op2(&bias, Softmax(isa))
}

#[expect(clippy::disallowed_methods, reason = "a GPU has no C library")]
fn device_softmax(scores: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let scores = bias.map_or_else(|| Ok(scores.clone()), |bias| scores.broadcast_add(bias))?;
    let top = scores.max_keepdim(D::Minus1)?.detach();
    // a row without an entry: minus infinity from minus infinity would be no number
    let empty = top.eq(f64::NEG_INFINITY)?;
    let top = empty.where_cond(&top.zeros_like()?, &top)?;
    let entries = scores.broadcast_sub(&top)?.exp()?;
    let sum = (entries.sum_keepdim(D::Minus1)? + empty.to_dtype(scores.dtype())?)?;
    entries.broadcast_div(&sum)
}

struct Softmax(Isa);

impl CustomOp2 for Softmax {
    fn name(&self) -> &'static str {
        "portable-softmax"
    }

    fn cpu_fwd(
        &self,
        scores: &CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let n = layout.dims().last().copied().unwrap_or(0);
        if n == 0 {
            bail!("softmax: found shape {:?}, expected entries to sum over", layout.shape());
        }
        let rows = BiasRows::new(bias_layout, n);
        let weights = match (scores, bias) {
            (CpuStorage::F32(_), CpuStorage::F32(bias)) => {
                let mut weights = numbers::<f32>(scores, layout)?.to_vec();
                self.0.run(Rows { x: &mut weights, bias, places: rows });
                CpuStorage::F32(weights)
            }
            (CpuStorage::F64(_), CpuStorage::F64(bias)) => {
                let mut weights = numbers::<f64>(scores, layout)?.to_vec();
                for (i, row) in weights.chunks_exact_mut(n).enumerate() {
                    softmax_f64(row, rows.entries(i, bias));
                }
                CpuStorage::F64(weights)
            }
            _ => bail!("softmax: found other numbers, expected f32 or f64 for scores and bias"),
        };
        Ok((weights, layout.shape().clone()))
    }

    fn bwd(
        &self,
        _scores: &Tensor,
        _bias: &Tensor,
        weights: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let of_scores = weights.apply_op2_no_bwd(&gradient.contiguous()?, &Slope(self.0))?;
        Ok((Some(of_scores), None))
    }
}

/// Where the entries of the bias stand for every row of the scores.
struct BiasRows {
    n: usize,
    dims: Vec<usize>,
    strides: Vec<usize>,
    /// Distance of two entries of a row: 0 for a bias of rows without entries of their own.
    step: usize,
    start: usize,
}

impl BiasRows {
    fn new(layout: &Layout, n: usize) -> Self {
        let last = layout.dims().len() - 1;
        Self {
            n,
            dims: layout.dims()[..last].to_vec(),
            strides: layout.stride()[..last].to_vec(),
            step: layout.stride()[last],
            start: layout.start_offset(),
        }
    }

    /// The entries of row `i`.
    fn entries<'a, T: Copy>(&self, mut i: usize, bias: &'a [T]) -> impl Iterator<Item = T> + 'a {
        let mut place = self.start;
        for (dim, stride) in self.dims.iter().zip(&self.strides).rev() {
            place += i % dim * stride;
            i /= dim;
        }
        let step = self.step;
        (0..self.n).map(move |j| bias[place + j * step])
    }
}

/// Rows of scores, replaced by their weights.
struct Rows<'a> {
    x: &'a mut [f32],
    bias: &'a [f32],
    places: BiasRows,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for (i, row) in self.x.chunks_exact_mut(self.places.n).enumerate() {
            for (x, bias) in row.iter_mut().zip(self.places.entries(i, self.bias)) {
                *x += bias;
            }
            softmax_row(l, row);
        }
    }
}

/// Replaces a row of scores by its weights.
#[inline(always)]
pub(crate) fn softmax_row<L: Lanes>(l: L, row: &mut [f32]) {
    let mut top = f32::NEG_INFINITY;
    for x in row.iter() {
        top = if *x > top { *x } else { top };
    }
    if top == f32::NEG_INFINITY && row.iter().all(|x| *x == top) {
        return row.fill(0.0);
    }
    let exp = |x: &Lane16| l.store(elementary::exp(l, l.sub(l.load(x), l.splat(top))));
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    for x in whole {
        *x = exp(&Lane16(*x)).0;
    }
    let mut last = Lane16::ZERO;
    last.0[..rest.len()].copy_from_slice(rest);
    rest.copy_from_slice(&exp(&last)[..rest.len()]);
    let sum = super::norm::sum(l, row);
    for x in row.iter_mut() {
        *x /= sum;
    }
}

fn softmax_f64(row: &mut [f64], bias: impl Iterator<Item = f64>) {
    let mut top = f64::NEG_INFINITY;
    for (x, bias) in row.iter_mut().zip(bias) {
        *x += bias;
        top = if *x > top { *x } else { top };
    }
    if top == f64::NEG_INFINITY && row.iter().all(|x| *x == top) {
        return row.fill(0.0);
    }
    let mut sum = 0.0;
    for x in row.iter_mut() {
        *x = math::exp(*x - top);
        sum += *x;
    }
    for x in row.iter_mut() {
        *x /= sum;
    }
}

/// `w (g - sum_j w_j g_j)` from the weights `w` and their gradient `g`.
struct Slope(Isa);

impl CustomOp2 for Slope {
    fn name(&self) -> &'static str {
        "softmax-gradient"
    }

    fn cpu_fwd(
        &self,
        weights: &CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let n = layout.dims().last().copied().unwrap_or(1);
        let slope = match weights {
            CpuStorage::F32(_) => {
                let mut slope = numbers::<f32>(gradient, gradient_layout)?.to_vec();
                self.0.run(SlopeRows { g: &mut slope, w: numbers(weights, layout)?, n });
                CpuStorage::F32(slope)
            }
            CpuStorage::F64(_) => {
                let mut slope = numbers::<f64>(gradient, gradient_layout)?.to_vec();
                let weights = numbers::<f64>(weights, layout)?;
                for (g, w) in slope.chunks_exact_mut(n).zip(weights.chunks_exact(n)) {
                    let mean: f64 = g.iter().zip(w).map(|(g, w)| g * w).sum();
                    g.iter_mut().zip(w).for_each(|(g, w)| *g = w * (*g - mean));
                }
                CpuStorage::F64(slope)
            }
            _ => bail!("found other numbers, expected f32 or f64"),
        };
        Ok((slope, layout.shape().clone()))
    }
}

/// Rows of gradients of weights, replaced by those of the scores.
struct SlopeRows<'a> {
    g: &'a mut [f32],
    w: &'a [f32],
    n: usize,
}

impl Kernel for SlopeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for (g, w) in self.g.chunks_exact_mut(self.n).zip(self.w.chunks_exact(self.n)) {
            let mean = super::norm::dot(l, g, w);
            for (g, w) in g.iter_mut().zip(w) {
                *g = w * (*g - mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    const SHAPE: (usize, usize, usize, usize) = (2, 3, 5, 37);

    fn scores(dtype: DType) -> Tensor {
        let n = SHAPE.0 * SHAPE.1 * SHAPE.2 * SHAPE.3;
        let entries: Vec<f64> = (0..n).map(|i| 9.0 * ((i as f64 * 0.37) % 1.0) - 4.0).collect();
        Tensor::from_vec(entries, SHAPE, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    }

    /// Of the second example, the last seven entries do not count.
    fn padding(dtype: DType) -> Tensor {
        let hidden = |i: usize| if i >= 67 { f64::NEG_INFINITY } else { 0.0 };
        let entries: Vec<f64> = (0..2 * 37).map(hidden).collect();
        Tensor::from_vec(entries, (2, 1, 1, 37), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    }

    fn entries(x: &Tensor) -> Vec<f64> {
        x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn weights_and_gradients_are_those_of_the_steps_one_by_one() {
        let factors = Tensor::arange(0_f64, 1110.0, &Device::Cpu).unwrap();
        let factors = (factors / 1110.0).unwrap().reshape(SHAPE).unwrap();
        for isa in Isa::available() {
            for (dtype, tolerance) in [(DType::F64, 1e-15), (DType::F32, 3e-7)] {
                for bias in [None, Some(padding(dtype))] {
                    let x = Var::from_tensor(&scores(dtype)).unwrap();
                    let factors = factors.to_dtype(dtype).unwrap();
                    let both = [softmax(&x, bias.as_ref(), isa), device_softmax(&x, bias.as_ref())];
                    let [ours, theirs] = both.map(|weights| {
                        let weights = weights.unwrap();
                        let loss = (&weights * &factors).unwrap().sum_all().unwrap();
                        let gradients = loss.backward().unwrap();
                        (entries(&weights), entries(gradients.get(&x).unwrap()))
                    });
                    // weights below 1: a few units in the last place of 1
                    for (ours, theirs) in [(&ours.0, &theirs.0), (&ours.1, &theirs.1)] {
                        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance;
                        assert!(ours.iter().zip(theirs).all(close), "{dtype:?} {isa:?}");
                    }
                    let hidden = ours.0[37 * 15 + 30..37 * 16].iter().all(|w| *w == 0.0);
                    assert_eq!(hidden, bias.is_some());
                }
            }
        }
    }

    #[test]
    fn a_row_without_an_entry_is_zero_and_what_is_no_number_stays_none() {
        for dtype in [DType::F32, DType::F64] {
            let row = [f64::NEG_INFINITY; 3];
            let bias = Tensor::new(&row, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let x = Tensor::new(&[1.0, 2.0, 3.0], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let isa = Isa::detect();
            assert_eq!(entries(&softmax(&x, Some(&bias), isa).unwrap()), [0.0; 3]);
            let row = [1.0, f64::NAN, 3.0];
            let x = Tensor::new(&row, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            assert!(entries(&softmax(&x, None, isa).unwrap()).iter().all(|w| w.is_nan()));
            let row = [f64::NAN; 3];
            let x = Tensor::new(&row, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            assert!(entries(&softmax(&x, None, isa).unwrap()).iter().all(|w| w.is_nan()));
        }
    }
}
