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

/// Whether the dual takes one step on all demonstrations or one on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// One full-batch step.
    Batch,
    /// One step on each demonstration, in their order.
    Samples,
}

/// Which demonstrations are the negatives `N(i)` of demonstration `i`, by its plain scores `q_i . k_j` as a query
/// or by their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The `m` others with the lowest scores.
    Lowest,
    /// The `m` others with the highest scores.
    Highest,
    /// The `m` that follow in the prompt's order, cyclically: among exchangeable demonstrations a set that does not
    /// depend on what they say, so a random one.
    Next,
    /// All others.
    All,
}

/// The negatives of a modification.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Negatives {
    /// `m`; not read where all others are negatives.
    pub m: usize,
    /// `beta`.
    pub beta: f32,
    /// Which ones.
    pub rule: Rule,
}

impl Negatives {
    /// Size of `N(i)` among `n` demonstrations that see each other.
    pub fn count(&self, n: usize) -> usize {
        match self.rule {
            Rule::All => n.saturating_sub(1),
            _ => self.m,
        }
    }

    /// `beta / |N(i)|` among `n` demonstrations that see each other.
    pub fn weight(&self, n: usize) -> f32 {
        self.beta / self.count(n) as f32
    }
}

/// A modification made of the three known terms; what the fused kernel computes and has a dual loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// `alpha` of the regularised loss.
    pub alpha: f32,
    /// The steps on that loss.
    pub steps: Steps,
    /// `g1`.
    pub values: Augmentation,
    /// `g2`.
    pub keys: Augmentation,
    /// The negatives, if there are any.
    pub negatives: Option<Negatives>,
}

impl Terms {
    /// Plain attention.
    pub const PLAIN: Self = Self {
        alpha: 0.0,
        steps: Steps::Batch,
        values: Augmentation::IDENTITY,
        keys: Augmentation::IDENTITY,
        negatives: None,
    };

    /// Factor on the values of the query side after one full-batch step; 1 for steps on each demonstration.
    pub fn query_side_factor(&self) -> f32 {
        match self.steps {
            Steps::Batch => 1.0 - self.alpha,
            Steps::Samples => 1.0,
        }
    }

    /// Factor on `W` before the step on every demonstration; 1 for one full-batch step.
    pub fn shrinkage(&self) -> f32 {
        match self.steps {
            Steps::Batch => 1.0,
            Steps::Samples => 1.0 - self.alpha,
        }
    }
}
