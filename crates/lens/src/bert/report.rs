//! What is said of every head, and of the model.

use super::arrays::Arrays;
use super::measure::Measured;
use crate::error::LensError;
use crate::options::Precision;
use crate::report::bound;
use dual_model::feature_map::log10_features;
use icl_model::bert::BertConfig;
use icl_numerics::{largest, order};
use serde_json::{Value, json};

/// The relative error of a kernel entry for which positive features are counted.
pub const RELATIVE_ERROR: f64 = 0.1;

/// One head of one layer, over all tokens of all sequences; queries and keys carry `d_h^(-1/4)` each.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadView {
    /// Layer, from 0.
    pub layer: usize,
    /// Head, from 0.
    pub head: usize,
    /// Largest difference between attention and the dual's prediction; NaN if one of them is.
    pub absolute_difference: f64,
    /// The same relative to the largest output of the head.
    pub relative_difference: f64,
    /// The largest relative difference that rounding explains; it grows with `|q| |k|`.
    pub bound: f64,
    /// Largest `|q_i . k_j|`.
    pub largest_logit: f64,
    /// Largest `|q_i|`.
    pub largest_query: f64,
    /// Mean `|q_i|`.
    pub mean_query: f64,
    /// Largest `|k_j|`.
    pub largest_key: f64,
    /// Mean `|k_j|`.
    pub mean_key: f64,
    /// Norm of what a token gets from the others over that of all it gets, mean over tokens.
    pub share: f64,
    /// Mean `z = |q_i + k_j|^2` over the pairs of tokens of a sequence.
    pub mean_z: f64,
    /// Largest `z`.
    pub largest_z: f64,
    /// `log10` of the positive features with which a kernel entry of mean `z` has the relative error
    /// [`RELATIVE_ERROR`]: `d_r = (e^z - 1) / 0.1^2`, `docs/theory.md`, section 4.
    pub log10_features: f64,
    /// The same for the largest `z`.
    pub log10_features_at_largest: f64,
}

impl HeadView {
    /// Head `at` of all heads, layer by layer, from what was measured on every sequence.
    pub(super) fn new(
        config: &BertConfig,
        at: usize,
        measured: &[&Measured],
        precision: Precision,
    ) -> Self {
        let n_heads = config.num_attention_heads;
        let all = |f: fn(&Measured) -> f64| -> Vec<f64> { measured.iter().map(|m| f(m)).collect() };
        let top = |f: fn(&Measured) -> f64| largest::value(all(f));
        let tokens = measured.iter().map(|m| m.n).sum::<usize>() as f64;
        let pairs = measured.iter().map(|m| m.n * m.n).sum::<usize>() as f64;
        let mean = |f: fn(&Measured) -> f64, n: f64| order::sum(&all(f)) / n;
        let (absolute, output) = (top(|m| m.difference), top(|m| m.output));
        let (mean_z, largest_z) = (mean(|m| m.sum_of_z, pairs), top(|m| m.z));
        let product = top(|m| m.norms[0] * m.norms[1]);
        Self {
            layer: at / n_heads,
            head: at % n_heads,
            absolute_difference: absolute,
            relative_difference: if output == 0.0 { absolute } else { absolute / output },
            bound: bound(precision, config.hidden_size, config.head_size(), product),
            largest_logit: top(|m| m.logit),
            largest_query: top(|m| m.norms[0]),
            mean_query: mean(|m| m.sums_of_norms[0], tokens),
            largest_key: top(|m| m.norms[1]),
            mean_key: mean(|m| m.sums_of_norms[1], tokens),
            share: mean(|m| m.shares, tokens),
            mean_z,
            largest_z,
            log10_features: log10_features(mean_z, RELATIVE_ERROR),
            log10_features_at_largest: log10_features(largest_z, RELATIVE_ERROR),
        }
    }

    /// Whether all is finite and the bound is kept.
    pub fn holds(&self) -> bool {
        let sizes = [self.largest_logit, self.largest_z, self.share];
        self.relative_difference <= self.bound && sizes.iter().all(|x| x.is_finite())
    }

    /// For machines; numbers that are not finite are null.
    fn json(&self) -> Value {
        json!({
            "layer": self.layer,
            "head": self.head,
            "largest_absolute_difference": self.absolute_difference,
            "largest_relative_difference": self.relative_difference,
            "bound": self.bound,
            "holds": self.holds(),
            "largest_logit": self.largest_logit,
            "largest_query": self.largest_query,
            "mean_query": self.mean_query,
            "largest_key": self.largest_key,
            "mean_key": self.mean_key,
            "share": self.share,
            "mean_z": self.mean_z,
            "largest_z": self.largest_z,
            "log10_features": self.log10_features,
            "log10_features_at_largest": self.log10_features_at_largest,
        })
    }

    /// A row of the table.
    fn line(&self) -> String {
        format!(
            "{:5} {:4} {:9.1e} {:7.1} {:6.2} {:6.2} {:6.2} {:6.2} {:6.3} {:6.1} 10^{:.1}{}",
            self.layer,
            self.head,
            self.relative_difference,
            self.largest_logit,
            self.largest_query,
            self.mean_query,
            self.largest_key,
            self.mean_key,
            self.share,
            self.mean_z,
            self.log10_features,
            if self.holds() { "" } else { " !" },
        )
    }
}

/// What lies between the attention of a model and its duals.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Every head, layer by layer.
    pub heads: Vec<HeadView>,
    /// Sequences.
    pub sequences: usize,
    /// Their tokens, without padding.
    pub tokens: usize,
    pub(super) precision: Precision,
    pub(super) arrays: Option<Arrays>,
}

/// Heads of the table's columns.
const COLUMNS: [&str; 2] = [
    "                     |q . k|       |q|           |k|    others'   z = |q + k|^2",
    "layer head   differ. largest  larg.   mean  larg.   mean  share   mean features",
];

impl Explained {
    /// Whether every head's outputs are finite and differ by no more than rounding explains.
    pub fn holds(&self) -> bool {
        self.heads.iter().all(HeadView::holds)
    }

    /// The head whose difference is largest relative to its bound; the first that does not hold, if one does not.
    pub fn worst(&self) -> Option<&HeadView> {
        let used = |head: &HeadView| head.relative_difference / head.bound;
        let failed = self.heads.iter().find(|head| !head.holds());
        failed.or_else(|| self.heads.iter().max_by(|a, b| used(a).total_cmp(&used(b))))
    }

    /// For machines; numbers that are not finite are null.
    pub fn json(&self) -> Value {
        let top = |f: fn(&HeadView) -> f64| largest::value(self.heads.iter().map(f));
        json!({
            "holds": self.holds(),
            "dtype": self.precision.name(),
            "sequences": self.sequences,
            "tokens": self.tokens,
            "largest_absolute_difference": top(|head| head.absolute_difference),
            "largest_relative_difference": top(|head| head.relative_difference),
            "relative_error_of_features": RELATIVE_ERROR,
            "heads": self.heads.iter().map(HeadView::json).collect::<Vec<_>>(),
            "assumed": Self::assumed(),
        })
    }

    /// As a table of 80 columns, a line on the worst head, and what was assumed.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = COLUMNS.map(str::to_owned).to_vec();
        lines.extend(self.heads.iter().map(HeadView::line));
        lines.push(String::new());
        if let Some(worst) = self.worst() {
            let verdict = if self.holds() { "kept" } else { "not kept" };
            lines.push(format!(
                "closest to its bound: layer {} head {}, {:.1e} of {:.1e}: {verdict}",
                worst.layer, worst.head, worst.relative_difference, worst.bound
            ));
        }
        lines.extend(Self::assumed().iter().map(|line| format!("assumed: {line}")));
        lines
    }

    fn assumed() -> [String; 4] {
        [
            "every token is its own query side, all others are its demonstrations".to_owned(),
            "differences are relative to the head's largest output".to_owned(),
            "share: norm of what the others add over that of all, mean over tokens".to_owned(),
            "features: positive ones, for kernels within 10 % at the mean z".to_owned(),
        ]
    }

    /// The content of a safetensors file, in the precision of the run: `attention_mask` `[B, T]`, and of every layer
    /// `layer_0.input` `[B, T, d]`, `layer_0.attention` and `layer_0.dual` `[B, H, T, d_h]`; padding is zero.
    ///
    /// # Errors
    /// [`LensError::Refused`] if arrays were not asked for, [`LensError::Safetensors`] if the format refuses them.
    pub fn to_safetensors(&self) -> std::result::Result<Vec<u8>, LensError> {
        let absent =
            || LensError::refused("arrays", "none", "arrays of every layer", "ask for them");
        self.arrays.as_ref().ok_or_else(absent)?.to_safetensors(self.precision)
    }
}
