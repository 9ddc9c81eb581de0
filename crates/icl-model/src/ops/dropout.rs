//! Dropout with a given mask.

use super::{is_ours, numbers};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

/// `x mask`, element by element, where `mask` is a constant: 0 where an entry is dropped, otherwise the factor that
/// keeps the mean. candle's own product would compute a gradient of the mask as well.
///
/// # Errors
/// If the shapes differ.
pub fn dropped(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    if !is_ours(x) {
        return x * mask.detach();
    }
    x.contiguous()?.apply_op2(mask, Dropped)
}

struct Dropped;

impl CustomOp2 for Dropped {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        mask: &CpuStorage,
        mask_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if x_layout.shape() != mask_layout.shape() {
            bail!(
                "dropout: found a mask {:?}, expected {:?}",
                mask_layout.shape(),
                x_layout.shape()
            );
        }
        let kept = match x {
            CpuStorage::F32(_) => {
                let (x, mask) = (numbers::<f32>(x, x_layout)?, numbers::<f32>(mask, mask_layout)?);
                CpuStorage::F32(x.iter().zip(mask).map(|(x, mask)| x * mask).collect())
            }
            CpuStorage::F64(_) => {
                let (x, mask) = (numbers::<f64>(x, x_layout)?, numbers::<f64>(mask, mask_layout)?);
                CpuStorage::F64(x.iter().zip(mask).map(|(x, mask)| x * mask).collect())
            }
            _ => bail!("found other numbers, expected f32 or f64"),
        };
        Ok((kept, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        mask: &Tensor,
        _kept: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(gradient.contiguous()?.apply_op2_no_bwd(mask, self)?), None))
    }
}
