//! The arguments of `icl floor`.

use clap::{Args, ValueEnum};
use dual_model::floor::{Negatives, Query};

#[derive(Debug, Args)]
#[command(after_help = "\
The task is y = w . x with w ~ N(0, I) and inputs x ~ U(-A, A)^D. At its best only two numbers of a head \
matter: scores beta x_i . x_q (beta holds W_K^T W_Q and the division by the root of d) and the output scale c. \
The branch `aligned` has beta > 0, `opposed` beta < 0; two heads are also `equal`, (c, beta) and (-c, -beta), \
or `unequal`, beta of both signs. Losses are relative: 1 is the prediction zero.")]
pub(crate) struct FloorArguments {
    /// Demonstrations, 1 to 1024; with --negative at most 256
    #[arg(long, value_name = "N")]
    pub(crate) n: usize,
    /// Size of an input, 1 to 128
    #[arg(long, value_name = "D")]
    pub(crate) d_t: usize,
    /// Heads, 1 or 2
    #[arg(long, default_value_t = 1)]
    pub(crate) heads: usize,
    /// Whether the query token is in the softmax
    #[arg(long, value_enum, default_value = "in")]
    pub(crate) query: QueryChoice,
    /// Inputs are uniform on (-A, A); changes beta alone
    #[arg(long, default_value_t = 1.0, value_name = "A")]
    pub(crate) half_width: f64,
    /// The modified loss `negative`: M negatives of weight B / M; this beta is not that of the scores
    #[arg(long, value_name = "m=M,beta=B", value_parser = parse_negative)]
    pub(crate) negative: Option<Negatives>,
    /// Random prompts; otherwise as many as a standard error of 0.045 % needs
    #[arg(long, value_name = "P")]
    pub(crate) prompts: Option<u64>,
    /// Seed of the prompts
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Machine-readable
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whether the query token is in the softmax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryChoice {
    /// It is, with a masked label, as in the figures
    In,
    /// The softmax is over the demonstrations alone
    Out,
}

impl QueryChoice {
    /// What the library calls it.
    pub(crate) fn query(self) -> Query {
        match self {
            Self::In => Query::Inside,
            Self::Out => Query::Outside,
        }
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// `m=M,beta=B`, in either order; ranges are the library's.
fn parse_negative(text: &str) -> Result<Negatives, String> {
    let (mut m, mut beta) = (None, None);
    for option in text.split(',') {
        match option.split_once('=') {
            Some(("m", value)) if m.is_none() => m = value.parse().ok(),
            Some(("beta", value)) if beta.is_none() => beta = value.parse().ok(),
            _ => {}
        }
    }
    match (m, beta) {
        (Some(m), Some(beta)) if text.split(',').count() == 2 => Ok(Negatives { m, beta }),
        _ => Err(format!("found {text}, expected m=M,beta=B, for example m=3,beta=0.5")),
    }
}
