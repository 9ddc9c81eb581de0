//! Parts of a batch, side by side on threads.

use crate::ModelError;
use crate::objective::LossAndGradient;
use icl_numerics::threads::Threads;

/// Sums of the losses and gradients of the parts `0 .. n`, in their order, as many held at a time as there are threads;
/// `take_back` gets gradients that have been added.
///
/// # Errors
/// That of the first part that fails.
pub(super) fn summed(
    threads: &Threads,
    n: usize,
    part: impl Fn(usize) -> Result<LossAndGradient, ModelError> + Sync + Send,
    take_back: impl Fn(Vec<f32>),
) -> Result<LossAndGradient, ModelError> {
    let mut whole = LossAndGradient { loss: 0.0, gradient: Vec::new() };
    let at_once = threads.number().max(1);
    for first in (0..n).step_by(at_once) {
        let count = at_once.min(n - first);
        for part in threads.map(count, || (), |(): &mut (), p| part(first + p)) {
            let LossAndGradient { loss, gradient } = part?;
            whole.loss += loss;
            if whole.gradient.is_empty() {
                whole.gradient = gradient;
            } else {
                whole.gradient.iter_mut().zip(&gradient).for_each(|(sum, g)| *sum += g);
                take_back(gradient);
            }
        }
    }
    Ok(whole)
}
