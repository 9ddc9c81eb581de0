//! Settings, as in the TOML, and the places of the grid that they span.

use crate::item::Context;
use crate::settings::SettingsFile;
use icl_model::adam::{AdamSettings, Course};
use icl_model::prompt::{Labels, PromptShape, QueryLabel};
use icl_model::settings::{StackSettings, Start, TrainSettings};
use serde::Deserialize;

/// What is trained, and what stands in the place of the query's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One attention layer, the label masked.
    Masked,
    /// One attention layer, a guess.
    Guessed,
    /// A Transformer layer, the label masked.
    Layer,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Masked, Self::Guessed, Self::Layer];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Masked => "masked",
            Self::Guessed => "guessed",
            Self::Layer => "layer",
        }
    }

    /// For readers.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Masked => "One attention layer, the query's label masked",
            Self::Guessed => "One attention layer, a guess in the place of the query's label",
            Self::Layer => "A Transformer layer, the query's label masked",
        }
    }
}

/// A number of demonstrations, and from which start a masked query's layer finds the better of its branches.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Size {
    pub(super) n_demos: usize,
    pub(super) start: Start,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) d_t: usize,
    pub(super) sizes: Vec<Size>,
    pub(super) noise: Vec<f64>,
    pub(super) guess: f64,
    pub(super) guessed_start: Start,
    pub(super) masked: Vec<String>,
    pub(super) guessed: Vec<String>,
    pub(super) layer: Vec<String>,
    pub(super) hidden: usize,
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) learning_rate: f64,
    pub(super) initial_sd: f64,
    pub(super) n_final: usize,
    pub(super) seeds: u64,
    pub(super) margin: f64,
}

pub(super) const PLAIN: &str = "plain";
/// Names of the branches with `beta < 0` and with `beta > 0`.
pub(super) const OPPOSED: &str = "opposed";
pub(super) const ALIGNED: &str = "aligned";

/// A place of the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// Noise on labels, in standard deviations of an answer.
    pub(super) noise: f64,
    pub(super) n_demos: usize,
    pub(super) start: Start,
}

impl Place {
    fn name(&self) -> String {
        format!("{}/noise {}/N {}", self.kind.name(), self.noise, self.n_demos)
    }

    /// Name of the cell of what the prompts allow: a Transformer layer reads those of an attention layer.
    pub(super) fn reference_name(&self) -> String {
        let kind = if self.kind == Kind::Layer { Kind::Masked } else { self.kind };
        format!("{}/reference", Self { kind, ..*self }.name())
    }

    /// The branch of the family in which training starts.
    pub(super) fn start_branch(&self) -> &'static str {
        match self.start {
            Start::Aligned | Start::WithinAligned => ALIGNED,
            _ => OPPOSED,
        }
    }

    /// Name of a training cell.
    pub(super) fn run_name(&self, modification: &str, seed: u64) -> String {
        format!("{}/{modification}/{seed}", self.name())
    }
}

/// The strength of a regularised setting.
pub(super) fn alpha(setting: &str) -> Option<f64> {
    setting.strip_prefix("regularised:alpha=")?.parse().ok()
}

impl Settings {
    pub(super) fn read(file: &SettingsFile, context: Context) -> anyhow::Result<Self> {
        let settings: Self = file.typed(context.profile)?;
        if !(settings.margin > 0.0 && settings.margin < 1.0) {
            return Err(file.refuse("margin", &settings.margin.to_string(), "between 0 and 1"));
        }
        if settings
            .noise
            .iter()
            .chain([&settings.guess])
            .any(|noise| !(0.0..=100.0).contains(noise))
        {
            let found = format!("{:?}, {}", settings.noise, settings.guess);
            return Err(file.refuse("noise, guess", &found, "0 to 100"));
        }
        if settings.sizes.iter().any(|size| !(2..=256).contains(&size.n_demos)) {
            return Err(file.refuse("sizes", &format!("{:?}", settings.sizes), "2 to 256"));
        }
        if settings.n_final < 2 {
            return Err(file.refuse("n_final", &settings.n_final.to_string(), "at least 2"));
        }
        Ok(settings)
    }

    /// The modifications that a kind is trained with, as the TOML names them.
    pub(super) fn modifications(&self, kind: Kind) -> &[String] {
        match kind {
            Kind::Masked => &self.masked,
            Kind::Guessed => &self.guessed,
            Kind::Layer => &self.layer,
        }
    }

    /// Places of a kind, noise by noise; none if nothing is compared there.
    pub(super) fn places(&self, kind: Kind) -> Vec<Place> {
        let at = |noise: &f64| {
            let noise = *noise;
            self.sizes.iter().map(move |size| {
                let start = if kind == Kind::Guessed { self.guessed_start } else { size.start };
                Place { kind, noise, n_demos: size.n_demos, start }
            })
        };
        let none = self.modifications(kind).is_empty();
        let noises = if none { &[][..] } else { &self.noise[..] };
        noises.iter().flat_map(at).collect()
    }

    /// The values of `alpha` for which a kind's family of weights is searched: 0 and those of its regularised settings.
    pub(super) fn alphas(&self, kind: Kind) -> Vec<f64> {
        let own = self.modifications(kind).iter().filter_map(|name| alpha(name));
        let none = std::iter::once(0.0);
        if kind == Kind::Guessed { none.chain(own).collect() } else { none.collect() }
    }

    /// A modification for `N` demonstrations: `{half}` stands for half of them.
    fn modification(name: &str, place: &Place) -> String {
        name.replace("{half}", &(place.n_demos / 2).to_string())
    }

    pub(super) fn train(&self, place: &Place, modification: &str, seed: u64) -> TrainSettings {
        // the standard deviation of w . t for t ~ U(-1, 1)
        let sd = (self.d_t as f64 / 3.0).sqrt();
        let guessed = place.kind == Kind::Guessed;
        TrainSettings {
            prompt: PromptShape { n_demos: place.n_demos, d_t: self.d_t, d_s: 1 },
            labels: Labels {
                noise: place.noise * sd,
                query: if guessed {
                    QueryLabel::Guess(self.guess * sd)
                } else {
                    QueryLabel::Masked
                },
            },
            modification: Self::modification(modification, place),
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings {
                learning_rate: self.learning_rate,
                schedule: Course::Cosine.over(self.steps),
                ..AdamSettings::default()
            },
            init_std: self.initial_sd,
            start: place.start,
            n_validation: 16,
            validate_every: self.steps.max(1),
            seed,
            ..TrainSettings::base()
        }
    }

    pub(super) fn stack(&self, place: &Place, modification: &str, seed: u64) -> StackSettings {
        let train = self.train(place, modification, seed);
        StackSettings { train, layers: 1, d_ff: self.hidden, residual: true }
    }
}
