//! The terms of which modifications of the source are made.

/// The shape of `g`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `g(x) = x`.
    Identity,
    /// `g(x) = x + c tanh(x)`.
    Elementwise,
    /// `g(x) = x + c U gelu(V x)`, `V` of `hidden` rows.
    Mlp {
        /// Rows of `V`.
        hidden: usize,
    },
}

/// `g`: its form and its scale `c`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    /// The form.
    pub form: Form,
    /// `c`.
    pub scale: f32,
}

impl Augmentation {
    /// `g(x) = x`.
    pub const IDENTITY: Self = Self { form: Form::Identity, scale: 0.0 };
}

/// A modification made of the three known terms; what the fused kernel computes and has a dual loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// `alpha` on the query side.
    pub alpha: f32,
    /// `g1`.
    pub values: Augmentation,
    /// `g2`.
    pub keys: Augmentation,
    /// `(m, beta)` of the negatives.
    pub negatives: Option<(usize, f32)>,
}

impl Terms {
    /// Plain attention.
    pub const PLAIN: Self = Self {
        alpha: 0.0,
        values: Augmentation::IDENTITY,
        keys: Augmentation::IDENTITY,
        negatives: None,
    };
}
