//! A row added to every row.

use super::{is_ours, numbers};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail,
};

/// `x + b` over the last axis; `b` is `[n]`.
///
/// candle's own sum over leading axes, the gradient of `b`, divides once for every entry.
///
/// # Errors
/// If `b` is not a row of `x`.
pub fn add_row(x: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !is_ours(x) {
        return x.broadcast_add(b);
    }
    x.contiguous()?.apply_op2(&b.contiguous()?, AddRow)
}

struct AddRow;

fn added<T: WithDType>(x: &[T], b: &[T]) -> Vec<T> {
    let mut y = x.to_vec();
    for row in y.chunks_exact_mut(b.len()) {
        row.iter_mut().zip(b).for_each(|(y, b)| *y += *b);
    }
    y
}

impl CustomOp2 for AddRow {
    fn name(&self) -> &'static str {
        "add-row"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (shape, row) = (x_layout.shape(), b_layout.shape());
        if row.rank() != 1 || shape.dims().last() != row.dims().last() || row.elem_count() == 0 {
            bail!("add-row: found {:?} and {:?}, expected a row of the first", shape, row);
        }
        let sum = match x {
            CpuStorage::F32(_) => {
                CpuStorage::F32(added::<f32>(numbers(x, x_layout)?, numbers(b, b_layout)?))
            }
            CpuStorage::F64(_) => {
                CpuStorage::F64(added::<f64>(numbers(x, x_layout)?, numbers(b, b_layout)?))
            }
            _ => bail!("found other numbers, expected f32 or f64"),
        };
        Ok((sum, shape.clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        _b: &Tensor,
        _sum: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let of_row = gradient.contiguous()?.apply_op1_no_bwd(&ColumnSums)?;
        Ok((Some(gradient.clone()), Some(of_row)))
    }
}

/// The sum of all rows, in their order.
struct ColumnSums;

/// The sum of rows of `n` entries, in their order.
pub(crate) fn column_sums<T: WithDType>(x: &[T], n: usize) -> Vec<T> {
    let mut sums = vec![T::zero(); n];
    for row in x.chunks_exact(n) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
    }
    sums
}

impl CustomOp1 for ColumnSums {
    fn name(&self) -> &'static str {
        "column-sums"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let n = layout.dims().last().copied().unwrap_or(1);
        let sums = match x {
            CpuStorage::F32(_) => CpuStorage::F32(column_sums::<f32>(numbers(x, layout)?, n)),
            CpuStorage::F64(_) => CpuStorage::F64(column_sums::<f64>(numbers(x, layout)?, n)),
            _ => bail!("found other numbers, expected f32 or f64"),
        };
        Ok((sums, Shape::from(n)))
    }
}
