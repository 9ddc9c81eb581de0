//! What the lens says: differences, the bound they must keep, and what was assumed.

use crate::input::Input;
use crate::layer::{Layer, Mix};
use crate::options::{Options, Precision};
use crate::side::Output;
use crate::view::{Dual, Sizes};
use icl_numerics::largest;
use serde_json::{Value, json};

/// Where the outputs stop being numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct From {
    /// The smallest `|q|` of an affected query.
    query: f64,
    /// The largest `|k|` that it sees.
    key: f64,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Report {
    absolute: f64,
    relative: f64,
    /// For the exact map only: features approximate.
    bound: Option<f64>,
    /// The largest `|q_i| |k_j|`.
    logits: f64,
    /// Entries of attention and dual that are no finite numbers, of how many.
    not_finite: [usize; 2],
    entries: usize,
    from: Option<From>,
    facts: Value,
    assumed: Vec<String>,
}

/// The largest relative difference that rounding explains.
///
/// Queries and keys are sums of `d` products, scores sums of `d_h` products. Rounding errors of `n`-term sums
/// grow like `sqrt(n) u` with `u = eps / 2` (N. J. Higham, T. Mary, "A new approach to probabilistic
/// rounding error analysis", 2019; the certain bound is `n u`), relative to the norm product `|q| |k|`, which
/// may be far above the score itself. So a score is known up to `(2 sqrt(d) + sqrt(d_h)) u L` on each side,
/// `L` the largest norm product, and both sides together differ by twice that. A change `x` of the scores
/// changes numerator and denominator of the softmax by a factor of `1 + x` each:
///
/// ```text
/// bound = c eps (1 + L),      c = 2 (2 sqrt(d) + sqrt(d_h))
/// ```
///
/// and at least 1e-12 (f64) or 1e-5 (f32), which the sums over values and the output projection stay below.
pub(crate) fn bound(precision: Precision, d: usize, size: usize, logits: f64) -> f64 {
    let (epsilon, least) = match precision {
        Precision::F64 => (f64::EPSILON, 1e-12),
        Precision::F32 => (f64::from(f32::EPSILON), 1e-5),
    };
    let c = 2.0 * (2.0 * (d as f64).sqrt() + (size as f64).sqrt());
    largest::at_least(c * epsilon * (1.0 + logits), least)
}

impl Report {
    /// Compares the two sides.
    pub(crate) fn new(
        options: &Options,
        layer: &Layer,
        input: &Input,
        attention: &Output,
        dual: &Dual,
    ) -> Self {
        let (attended, predicted) = (&attention.values, &dual.output.values);
        let top = largest::magnitude(attended.iter().copied());
        let absolute = largest::difference(attended, predicted);
        let relative = if top == 0.0 { absolute } else { absolute / top };
        let products = dual.sizes.iter().flat_map(|head| {
            head.queries.iter().zip(&head.keys).map(|(q, k)| if *k == 0.0 { 0.0 } else { q * k })
        });
        let logits = largest::value(products);
        let not_finite = |x: &[f64]| x.iter().filter(|x| !x.is_finite()).count();
        let exact = options.exact();
        let size = layer.heads.size;
        Self {
            absolute,
            relative,
            bound: exact.then(|| bound(options.precision, layer.d, size, logits)),
            logits,
            not_finite: [not_finite(attended), not_finite(predicted)],
            entries: attended.len(),
            from: from(layer, input, [attention, &dual.output], &dual.sizes),
            facts: facts(options, layer, input),
            assumed: assumed(options, layer, input),
        }
    }

    /// Whether all outputs are numbers and the bound is kept.
    pub fn holds(&self) -> bool {
        self.not_finite == [0, 0] && self.bound.is_none_or(|bound| self.relative <= bound)
    }

    /// Largest difference between attention and dual; NaN if one of them is.
    pub fn absolute_difference(&self) -> f64 {
        self.absolute
    }

    /// The same relative to the largest output of attention.
    pub fn relative_difference(&self) -> f64 {
        self.relative
    }

    /// The largest relative difference that rounding explains; none where features approximate.
    pub fn bound(&self) -> Option<f64> {
        self.bound
    }

    /// What was assumed, one line each.
    pub fn assumed(&self) -> &[String] {
        &self.assumed
    }

    /// As JSON; numbers that are not finite are null.
    pub fn json(&self) -> Value {
        let mut record = json!({
            "largest_absolute_difference": self.absolute,
            "largest_relative_difference": self.relative,
            "bound": self.bound,
            "logits": self.logits,
            "holds": self.holds(),
            "non_finite": { "attention": self.not_finite[0], "dual": self.not_finite[1] },
            "non_finite_from": self.from.map(|from| json!({ "query": from.query, "key": from.key })),
            "assumed": self.assumed,
        });
        if let (Some(record), Some(facts)) = (record.as_object_mut(), self.facts.as_object()) {
            record.extend(facts.clone());
        }
        record
    }

    /// Adds what was left out, or the like.
    pub(crate) fn assume(&mut self, line: String) {
        self.assumed.push(line);
    }

    /// As lines of text.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let [attention, dual] = self.not_finite;
        let n = self.entries;
        if attention + dual > 0 {
            lines.push(format!(
                "not finite: {attention} of {n} entries of attention, {dual} of {n} of the dual{}",
                match self.from {
                    Some(From { query, key }) => {
                        format!("; from |q| = {query:.3e} on, where |k| reaches {key:.3e}")
                    }
                    None => ", from the output projection on".to_owned(),
                }
            ));
        } else {
            lines.push(format!(
                "largest difference {:.3e}, relative to the largest output {:.3e}",
                self.absolute, self.relative
            ));
        }
        match self.bound {
            Some(bound) => lines.push(format!(
                "bound {bound:.3e}, for |q| |k| up to {:.3e}: {}",
                self.logits,
                if self.holds() { "kept" } else { "not kept" }
            )),
            None => lines.push(format!(
                "no bound: features approximate softmax; |q| |k| up to {:.3e}",
                self.logits
            )),
        }
        lines.extend(self.assumed.iter().map(|line| format!("assumed: {line}")));
        lines
    }
}

/// The smallest query of a head whose output is not finite on either side.
fn from(layer: &Layer, input: &Input, sides: [&Output; 2], sizes: &[Sizes]) -> Option<From> {
    let (n, heads) = (input.n_tokens, layer.heads.heads);
    let mut smallest: Option<From> = None;
    for (at, _) in sides.iter().flat_map(|side| side.faults.iter().enumerate().filter(|f| *f.1)) {
        let (b, i, h) = (at / (n * heads), at / heads % n, at % heads);
        let head = &sizes[b * heads + h];
        let here = From { query: head.queries[i], key: head.keys[i] };
        if smallest.is_none_or(|s| here.query < s.query || s.query.is_nan()) {
            smallest = Some(here);
        }
    }
    smallest
}

fn facts(options: &Options, layer: &Layer, input: &Input) -> Value {
    json!({
        "tokens": input.n_tokens,
        "d": input.d,
        "batch": input.batch,
        "demonstrations": input.n_demos,
        "layout": layer.layout.name(),
        "heads": layer.heads.heads,
        "kv_heads": layer.heads.kv_heads,
        "head_size": layer.heads.size,
        "dtype": options.precision.name(),
        "feature_map": options.kernel.specification(),
        "threads": options.threads,
    })
}

fn assumed(options: &Options, layer: &Layer, input: &Input) -> Vec<String> {
    let heads = layer.heads;
    let mut lines = vec![
        format!(
            "layout {}: {} heads of size {}, {} of keys and values; scores divided by sqrt({})",
            layer.layout.name(),
            heads.heads,
            heads.size,
            heads.kv_heads,
            heads.size
        ),
        format!(
            "the first {} of {} tokens are demonstrations, the others the query side; one set of \
             coefficients (constant channel) serves all queries",
            input.n_demos, input.n_tokens
        ),
        "differences are relative to the largest magnitude of the attention's output".to_owned(),
    ];
    lines.extend(layer.assumed.iter().cloned());
    if matches!(layer.mix, Mix::Joined) {
        lines.push("no output projection: heads side by side are the output".to_owned());
    }
    if let Some(theta) = options.rotary {
        lines.push(format!("queries and keys are rotated by positions 0 to T-1, base {theta}"));
    }
    if input.padded() {
        lines.push(format!(
            "padding is seen by no query; padded queries attend to what they see; {} queries that see \
             nothing have heads of zero",
            input.blind()
        ));
    }
    if !options.exact() {
        lines.push(format!(
            "features: {} of at most {} features, seed {}, in f64; the dual then approximates softmax",
            options.kernel.specification(),
            options.d_r,
            options.seed
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_grows_with_the_logits_and_is_no_looser_than_a_hundredfold() {
        assert_eq!(bound(Precision::F64, 8, 8, 1.0), 1e-12);
        assert_eq!(bound(Precision::F32, 8, 8, 1.0), 1e-5);
        let logits = 1e5;
        let large = bound(Precision::F64, 64, 16, logits);
        assert!(large > 1e-12 && large < 100.0 * f64::EPSILON * logits);
        assert!(bound(Precision::F64, 8, 8, f64::NAN).is_nan());
    }
}
