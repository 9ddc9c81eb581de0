//! Where a layer's training starts.

use crate::attention::Parameters;
use crate::prompt::PromptShape;

/// Where a layer's training starts: the sign of each head's initial `w_v[s, s]`, the weight from a label to itself.
///
/// With the query token in the softmax the layer has two optima, and this sign says which of them training finds; see
/// [`dual_model::floor`](../../dual_model/floor/index.html) and `docs/theory.md`, section 12. Two heads find the best
/// of theirs from opposite signs. With few inputs some seeds leave for another optimum from either sign: the drawn scores may
/// have the other one, or read labels. Starts within a branch keep out of all others (section 14).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The sign as drawn.
    #[default]
    Drawn,
    /// Negative for heads 0, 2, .., positive for heads 1, 3, ..: the better optimum.
    Opposed,
    /// Positive for heads 0, 2, .., negative for heads 1, 3, ..
    Aligned,
    /// As [`Start::Opposed`] with scores to match: `w_k` is `w_q` times the head's sign from inputs and zero from labels,
    /// `w_v` is zero from inputs to labels.
    WithinOpposed,
    /// The same as [`Start::Aligned`].
    WithinAligned,
}

impl Start {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_drawn(&self) -> bool {
        *self == Self::Drawn
    }

    /// Sets the projections of a layer, named `<prefix>w_k` and so on, for tokens of `shape`.
    pub(super) fn set(self, parameters: &mut Parameters, prefix: &str, shape: PromptShape) {
        let (first, within) = match self {
            Self::Drawn => return,
            Self::Opposed => (-1.0, false),
            Self::Aligned => (1.0, false),
            Self::WithinOpposed => (-1.0, true),
            Self::WithinAligned => (1.0, true),
        };
        let (d, d_t) = (shape.d(), shape.d_t);
        let sign = |head: usize| if head.is_multiple_of(2) { first } else { -first };
        let name = |projection: &str| format!("{prefix}{projection}");
        let queries = parameters.get(&name("w_q")).unwrap_or_default().to_vec();
        let values = parameters.get_mut(&name("w_v")).unwrap_or_default();
        for (head, w_v) in values.chunks_exact_mut(d * d).enumerate() {
            for (i, row) in w_v.chunks_exact_mut(d).enumerate().skip(d_t) {
                row[i] = f32::copysign(row[i], sign(head));
                row[..if within { d_t } else { 0 }].fill(0.0);
            }
        }
        let keys = parameters.get_mut(&name("w_k")).unwrap_or_default();
        let rows = keys.chunks_exact_mut(d).zip(queries.chunks_exact(d)).enumerate();
        for (i, (w_k, w_q)) in rows.filter(|_| within) {
            w_k[d_t..].fill(0.0);
            w_k[..d_t].iter_mut().zip(w_q).for_each(|(k, q)| *k = sign(i / d) * q);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention;
    use crate::settings::TrainSettings;

    /// Projections `[heads, d, d]` of a layer of two heads for tokens `[t_1, t_2, s]`.
    fn projections(start: Start) -> [Vec<f32>; 3] {
        let prompt = PromptShape { n_demos: 2, d_t: 2, d_s: 1 };
        let settings = TrainSettings { prompt, n_heads: 2, start, ..TrainSettings::base() };
        let plain = attention::parse("plain").unwrap();
        let parameters = settings.parameters(plain.as_ref());
        ["w_q", "w_k", "w_v"].map(|name| parameters.get(name).unwrap().to_vec())
    }

    #[test]
    fn a_start_sets_signs_and_leaves_sizes() {
        let drawn = projections(Start::Drawn);
        for (start, signs) in [(Start::Opposed, [-1.0, 1.0]), (Start::Aligned, [1.0, -1.0])] {
            let set = projections(start);
            assert_eq!(set[..2], drawn[..2]);
            for (head, sign) in signs.into_iter().enumerate() {
                let label = 9 * head + 8;
                assert_eq!(set[2][label], sign * drawn[2][label].abs());
            }
        }
    }

    #[test]
    fn within_a_branch_scores_have_its_sign_and_labels_and_inputs_do_not_mix() {
        let drawn = projections(Start::Drawn);
        for (start, signs) in
            [(Start::WithinOpposed, [-1.0, 1.0]), (Start::WithinAligned, [1.0, -1.0])]
        {
            let [w_q, w_k, w_v] = projections(start);
            assert_eq!(w_q, drawn[0]);
            for (head, sign) in signs.into_iter().enumerate() {
                for i in 0..3 {
                    let row = 9 * head + 3 * i;
                    assert_eq!(w_k[row..row + 2], [sign * w_q[row], sign * w_q[row + 1]]);
                    assert_eq!(w_k[row + 2], 0.0);
                }
                let label = 9 * head + 6;
                assert_eq!(w_v[label..label + 3], [0.0, 0.0, sign * drawn[2][label + 2].abs()]);
                // the rest is as drawn
                assert_eq!(w_v[label - 6..label], drawn[2][label - 6..label]);
            }
        }
    }
}
