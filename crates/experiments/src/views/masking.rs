//! The masks under which both sides are compared.

use crate::named::named;
use dual_model::sequence::Visibility;
use icl_model::mask::Mask;

named! {
    /// What a query sees.
    pub(crate) enum Masking {
        /// Every token.
        None = "none",
        /// No later token.
        Causal = "causal",
        /// The first half.
        Padding = "padding",
        /// The first half, and no later token.
        PrefixLm = "prefix-lm",
    }
}

impl Masking {
    /// candle's mask of `n_tokens` tokens, and the dual's.
    pub(crate) fn of(self, n_tokens: usize) -> (Mask, Visibility) {
        let half = n_tokens.div_ceil(2);
        match self {
            Self::None => (Mask::None, Visibility::All),
            Self::Causal => (Mask::Causal, Visibility::Causal),
            Self::Padding => (Mask::Padding(vec![half]), Visibility::Prefix(half)),
            Self::PrefixLm => (Mask::PrefixLm(half), Visibility::PrefixLm(half)),
        }
    }
}
