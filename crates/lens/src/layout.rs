//! Which tensors of a file are the layer, and in which layout.

use crate::error::{LensError, Result};
use crate::options::{Layout, Options};
use crate::tensor_file::{TensorFile, some};

/// Names under which layers are saved.
#[derive(Debug)]
pub(crate) struct Family {
    layouts: &'static [Layout],
    /// Queries, keys, values; or all three in one.
    pub(crate) weights: &'static [&'static str],
    pub(crate) biases: &'static [&'static str],
    /// Output projection: weight and bias.
    outputs: &'static [(&'static str, &'static str)],
}

const FAMILIES: [Family; 7] = [
    Family {
        layouts: &[Layout::Linear, Layout::PerHead, Layout::Summed],
        weights: &["w_q", "w_k", "w_v"],
        biases: &["b_q", "b_k", "b_v"],
        outputs: &[("w_o", "b_o")],
    },
    Family {
        layouts: &[Layout::PerHead],
        weights: &["W_Q", "W_K", "W_V"],
        biases: &["b_Q", "b_K", "b_V"],
        outputs: &[("W_O", "b_O")],
    },
    Family {
        layouts: &[Layout::Linear],
        weights: &["q_proj.weight", "k_proj.weight", "v_proj.weight"],
        biases: &["q_proj.bias", "k_proj.bias", "v_proj.bias"],
        outputs: &[("o_proj.weight", "o_proj.bias"), ("out_proj.weight", "out_proj.bias")],
    },
    Family {
        layouts: &[Layout::Linear],
        weights: &["self.query.weight", "self.key.weight", "self.value.weight"],
        biases: &["self.query.bias", "self.key.bias", "self.value.bias"],
        outputs: &[("output.dense.weight", "output.dense.bias")],
    },
    Family {
        layouts: &[Layout::Linear],
        weights: &["query.weight", "key.weight", "value.weight"],
        biases: &["query.bias", "key.bias", "value.bias"],
        outputs: &[("dense.weight", "dense.bias")],
    },
    Family {
        layouts: &[Layout::Conv1d],
        weights: &["c_attn.weight"],
        biases: &["c_attn.bias"],
        outputs: &[("c_proj.weight", "c_proj.bias")],
    },
    Family {
        layouts: &[Layout::InProj],
        weights: &["in_proj_weight"],
        biases: &["in_proj_bias"],
        outputs: &[("out_proj.weight", "out_proj.bias")],
    },
];

/// Names beside a layer that do not change what it computes before its output: buffers, and the
/// normalisation after it.
const BESIDE: [&str; 10] = [
    "bias",
    "masked_bias",
    "mask",
    "IGNORE",
    "inv_freq",
    "rotary_emb.inv_freq",
    "rotary_sin",
    "rotary_cos",
    "output.LayerNorm.weight",
    "output.LayerNorm.bias",
];

/// A layer of a file.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) family: &'static Family,
    pub(crate) prefix: String,
}

impl Found {
    /// The full name of a tensor.
    pub(crate) fn name(&self, part: &str) -> String {
        format!("{}{part}", self.prefix)
    }

    /// Names of the output projection that the file has, if any.
    pub(crate) fn output(&self, file: &TensorFile) -> Result<Option<(String, String)>> {
        let mut names = self.family.outputs.iter().map(|(w, b)| (self.name(w), self.name(b)));
        let found = names.find(|(weight, bias)| [weight, bias].iter().any(|n| has(file, n)));
        if let Some((weight, bias)) = &found
            && !has(file, weight)
        {
            let next = "add the weight or leave the bias out";
            return Err(file.refuse(
                bias,
                "it",
                format!("both or neither of it and {weight}"),
                next,
            ));
        }
        Ok(found)
    }
}

fn has(file: &TensorFile, name: &str) -> bool {
    file.shape(name).is_some()
}

/// The only layer that fits the options.
pub(crate) fn find(options: &Options, file: &TensorFile) -> Result<Found> {
    let mut layers: Vec<Found> = file.names().filter_map(candidate).collect();
    let known = layers.len();
    if let Some(prefix) = &options.prefix {
        let stated = prefix.trim_end_matches('.');
        layers.retain(|layer| layer.prefix.trim_end_matches('.') == stated);
    }
    let all = layers.len();
    if let Some(layout) = options.layout {
        layers.retain(|layer| layer.family.layouts.contains(&layout));
    }
    match (layers.as_slice(), known, all) {
        ([layer], ..) => Ok(layer.clone()),
        ([], 0, _) => Err(none(file)),
        ([], _, 0) => {
            let prefixes: Vec<Found> = file.names().filter_map(candidate).collect();
            let found = format!("no attention layer of that prefix, but {}", listed(&prefixes));
            Err(file.fault(found, "one", "correct --prefix"))
        }
        ([], ..) => {
            let layout = options.layout.map_or("", Layout::name);
            let next = "leave --layout out or correct it";
            Err(file.fault("no attention layer of that layout", format!("{layout} names"), next))
        }
        ([first, .., last], ..) if first.prefix == last.prefix => Err(file.fault(
            format!(
                "two layers, `{}` and `{}`",
                first.name(first.family.weights[0]),
                last.name(last.family.weights[0])
            ),
            "one",
            "choose with --layout",
        )),
        (several, ..) => {
            let found = format!("{} attention layers: {}", several.len(), listed(several));
            Err(file.fault(found, "one", "choose with --prefix"))
        }
    }
}

fn none(file: &TensorFile) -> LensError {
    let names: Vec<&str> = FAMILIES.iter().map(|family| family.weights[0]).collect();
    let found = format!("no attention layer among the tensors {}", some(file.names()));
    let expected = format!("a name that ends in one of {}", names.join(", "));
    file.fault(found, expected, "rename the tensors of the layer")
}

fn listed(layers: &[Found]) -> String {
    some(layers.iter().map(|layer| layer.prefix.trim_end_matches('.')))
}

/// The layer whose query weight has that name: the family with the longest suffix.
fn candidate(name: &str) -> Option<Found> {
    let matching = FAMILIES.iter().filter_map(|family| {
        let prefix = name.strip_suffix(family.weights[0])?;
        let whole = prefix.is_empty() || prefix.ends_with('.');
        whole.then(|| Found { family, prefix: prefix.to_owned() })
    });
    matching.min_by_key(|found| found.prefix.len())
}

/// The layout stated, or the only one that fits names, shape and metadata.
pub(crate) fn layout(
    options: &Options,
    file: &TensorFile,
    found: &Found,
    d: usize,
) -> Result<Layout> {
    let name = found.name(found.family.weights[0]);
    if let (None, [layout]) = (options.layout, found.family.layouts) {
        return Ok(*layout);
    }
    if let Some(layout) = options.layout {
        return Ok(layout);
    }
    let shape = file.shape(&name).unwrap_or_default();
    let own = file.metadata("settings").is_some() || has(file, "adam.first");
    let biased = found.family.biases.iter().any(|bias| has(file, &found.name(bias)));
    let summed = !biased && found.output(file)?.is_none() && own;
    match *shape {
        [_, _] if summed => Ok(Layout::Summed),
        [_, _] => Ok(Layout::Linear),
        [_, rows, columns] if rows == d && columns == d => {
            if summed {
                return Ok(Layout::Summed);
            }
            if biased || found.output(file)?.is_some() {
                return Ok(Layout::PerHead);
            }
            let found = format!("shape {shape:?}, which fits the layouts per-head and summed");
            let next = "choose with --layout per-head or --layout summed";
            Err(file.refuse(&name, found, "one that fits one layout", next))
        }
        [_, rows, _] if rows == d => Ok(Layout::PerHead),
        _ => Err(file.refuse(
            &name,
            format!("shape {shape:?}"),
            format!("[H d_h, {d}] (linear) or [H, {d}, d_h] (per-head), for tokens of size {d}"),
            "transpose it, or check that tokens and weights belong together",
        )),
    }
}

/// Refuses tensors that stand in the layer and are not known: they may change what it computes.
pub(crate) fn only(file: &TensorFile, found: &Found, layout: Layout) -> Result<()> {
    let outputs = found.family.outputs.iter().flat_map(|(weight, bias)| [*weight, *bias]);
    let known: Vec<&str> =
        found.family.weights.iter().chain(found.family.biases).copied().chain(outputs).collect();
    for name in file.names() {
        let Some(part) = name.strip_prefix(&found.prefix) else { continue };
        let optimiser = layout == Layout::Summed && part.starts_with("adam.");
        if !known.contains(&part) && !BESIDE.contains(&part) && !optimiser {
            let shape = file.shape(name).unwrap_or_default();
            return Err(file.refuse(
                name,
                format!("an extra one of shape {shape:?} beside the layer"),
                format!("only {}", known.join(", ")),
                "explain a layer without it: what it does is not known here",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_known_by_the_end_of_their_names() {
        for (name, prefix, layout) in [
            ("w_q", "", Layout::Linear),
            ("model.layers.3.self_attn.q_proj.weight", "model.layers.3.self_attn.", Layout::Linear),
            (
                "bert.encoder.layer.0.attention.self.query.weight",
                "bert.encoder.layer.0.attention.",
                Layout::Linear,
            ),
            ("h.0.attn.c_attn.weight", "h.0.attn.", Layout::Conv1d),
            ("in_proj_weight", "", Layout::InProj),
            ("blocks.0.attn.W_Q", "blocks.0.attn.", Layout::PerHead),
        ] {
            let found = candidate(name).unwrap();
            assert_eq!((found.prefix.as_str(), found.family.layouts[0]), (prefix, layout));
        }
        for name in ["now_q", "eq_proj.weight", "w_k", "query", ""] {
            assert!(candidate(name).is_none(), "{name}");
        }
    }
}
