//! Matrices of a trained layer's heads as a dual takes them, in `f64`.

use anyhow::Context as _;
use dual_model::head::HeadMatrices;
use icl_model::attention::{LayerShape, Parameters, Weights};

/// The heads of packed parameters.
pub(crate) fn of_parameters(
    parameters: &Parameters,
    d: usize,
) -> anyhow::Result<Vec<HeadMatrices>> {
    of_arrays(d, |name| {
        let array = parameters.get(name).with_context(|| format!("the layer has no `{name}`"))?;
        Ok(array.iter().map(|x| f64::from(*x)).collect())
    })
}

/// The heads of tensors in `f64`.
pub(crate) fn of_weights(
    weights: &Weights,
    LayerShape { d, n_heads }: LayerShape,
) -> anyhow::Result<Vec<HeadMatrices>> {
    of_arrays(d, |name| Ok(weights.get((n_heads, d, d), name)?.flatten_all()?.to_vec1()?))
}

fn of_arrays(
    d: usize,
    array: impl Fn(&str) -> anyhow::Result<Vec<f64>>,
) -> anyhow::Result<Vec<HeadMatrices>> {
    Ok(HeadMatrices::of_heads(d, &array("w_q")?, &array("w_k")?, &array("w_v")?)?)
}
