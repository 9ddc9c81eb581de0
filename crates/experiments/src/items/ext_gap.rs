//! The generalisation gap in the number of demonstrations: exact supremum, theory, bound.

use crate::cells::{Kept, machine};
use crate::item::{Context, Item, Outputs, Plan};
use crate::named::{Named as _, named};
use crate::settings::SettingsFile;
use crate::views::heads;
use anyhow::Context as _;
use artifact::cell::{self, Cell};
use artifact::claim::{Claim, Measurement, Place, agree, at_least, at_most, sampled};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::{
    extreme, log_slope, log_slope_error, root_mean_square, share_interval, standard_error,
};
use artifact::table::{ColumnType, Table};
use dual_model::Matrix;
use dual_model::gap::Population;
use dual_model::head::{HeadMatrices, key_scale};
use icl_model::device::Device;
use icl_model::prompt::PromptShape;
use icl_model::settings::TrainSettings;
use icl_model::training::LayerTraining;
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use icl_numerics::{math, order};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-gap",
    paper: "beyond the paper",
    claim: "The uniform gap falls as the root of the number of demonstrations; the Rademacher-type bound holds \
         and is loose by a known constant",
    plan: &plan,
};

named! {
    /// Kernel of the population.
    enum Similarity {
        /// `exp(x . y)`.
        Exp = "exp",
        /// `exp(-|x - y|^2 / 2)`.
        NormalisedExp = "normalised-exp",
        /// `x . y`.
        Linear = "linear",
    }
}

named! {
    /// Where keys and values come from.
    enum Origin {
        /// Matrices before training, of the size of the tokens.
        Random = "random",
        /// Matrices after training.
        Trained = "trained",
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    population: usize,
    n_demos: Vec<usize>,
    draws: usize,
    delta: f64,
    kernels: Vec<Similarity>,
    weights: Vec<Origin>,
    train_steps: usize,
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    if !(2..=4096).contains(&settings.population) {
        return Err(file.refuse("population", &settings.population.to_string(), "2 to 4096"));
    }
    if !(settings.delta > 0.0 && settings.delta < 1.0) {
        return Err(file.refuse("delta", &settings.delta.to_string(), "between 0 and 1"));
    }
    let mut cells = Vec::new();
    for kernel in &settings.kernels {
        for weights in &settings.weights {
            cells.push(cell(&settings, *kernel, *weights, context.device));
        }
    }
    let draws = settings.draws;
    Ok(Plan::new(cells, move |results| assemble(draws, &results.all())))
}

const FLOATS: [&str; 9] = [
    "mean_gap",
    "mean_error",
    "rms_gap",
    "rms_error",
    "theory_rms",
    "bound",
    "bound_with_deviation",
    "covered",
    "looseness",
];

/// Largest factor on the draws for few demonstrations.
const MORE_DRAWS: usize = 16;

fn cell(settings: &Settings, kernel: Similarity, weights: Origin, device: Device) -> Cell {
    let settings = settings.clone();
    let mut schema = vec![
        ("kernel".to_owned(), ColumnType::Text),
        ("weights".to_owned(), ColumnType::Text),
        ("n_demos".to_owned(), ColumnType::Integer),
    ];
    schema.extend(FLOATS.map(|name| (name.to_owned(), ColumnType::Float)));
    Cell::new(
        format!("{}/{}", kernel.name(), weights.name()),
        settings.draws as f64 * settings.n_demos.len() as f64 / 50.0,
        json!({
            "kind": "gap/2", "settings": settings, "kernel": kernel, "weights": weights
        }),
        schema,
        move |context| measure(context, &settings, kernel, weights, device),
    )
}

/// Keys and values of a population of demonstrations of the base setting.
fn population(
    context: &cell::Context<'_>,
    settings: &Settings,
    kernel: Similarity,
    weights: Origin,
    device: Device,
) -> anyhow::Result<Population> {
    let prompt = PromptShape { n_demos: 15, d_t: 11, d_s: 1 };
    let d = prompt.d();
    let (steps, init_std) = match weights {
        Origin::Trained => (settings.train_steps, 0.3),
        Origin::Random => (0, 1.0 / (d as f64).sqrt()),
    };
    let train = TrainSettings {
        steps,
        init_std,
        n_validation: 16,
        validate_every: settings.train_steps.max(1),
        ..TrainSettings::base()
    };
    let layer = LayerTraining::new(train, &machine(device))?;
    let mut trainer = layer.trainer();
    trainer.run(&Kept::new(context)?)?;
    // one task, many inputs: tokens [t; W t]
    let stream = Stream::new(0, "gap/population");
    let mut draws = stream.sample(0);
    let w: Vec<f64> = (0..prompt.d_t).map(|_| draws.normal()).collect();
    let token = |i: usize| {
        let mut draws = stream.sample(1 + i as u64);
        let mut t: Vec<f64> = (0..prompt.d_t).map(|_| 2.0 * draws.uniform() - 1.0).collect();
        t.push(order::dot(&w, &t));
        t
    };
    let tokens: Vec<Vec<f64>> = (0..settings.population).map(token).collect();
    let tokens = Matrix::from_rows(tokens.iter().map(Vec::as_slice))?;
    let HeadMatrices { mut w_k, w_v, .. } =
        heads::of_parameters(trainer.parameters(), d)?.swap_remove(0);
    // the scale goes to the matrix and not, as in `Head::project`, to the keys: the order of the published digits
    w_k.entries_mut().iter_mut().for_each(|w| *w *= key_scale(d));
    let (keys, values) = (w_k.apply_to_rows(&tokens)?, w_v.apply_to_rows(&tokens)?);
    let half = |x: &[f64]| order::dot(x, x) / 2.0;
    let population = match kernel {
        Similarity::Exp => Population::new(&keys, &values, |x, y| math::exp(order::dot(x, y)))?,
        Similarity::NormalisedExp => {
            Population::new(&keys, &values, |x, y| math::exp(order::dot(x, y) - half(x) - half(y)))?
        }
        Similarity::Linear => Population::new(&keys, &values, order::dot)?,
    };
    Ok(population)
}

fn measure(
    context: &cell::Context<'_>,
    settings: &Settings,
    kernel: Similarity,
    weights: Origin,
    device: Device,
) -> anyhow::Result<Table> {
    let population = population(context, settings, kernel, weights, device)?;
    let largest = settings.n_demos.iter().max().copied().unwrap_or(1);
    let mut columns: [Vec<f64>; 9] = Default::default();
    for n in &settings.n_demos {
        let stream = Stream::new(0, &format!("gap/samples/{n}"));
        // small samples are cheap, and their gaps have the heavier tail
        let draws = settings.draws * (largest / n).clamp(1, MORE_DRAWS);
        let gap = |i: usize| {
            let mut draws = stream.sample(i as u64);
            let sample: Vec<usize> =
                (0..*n).map(|_| draws.below(population.len() as u64) as usize).collect();
            population.supremum(&sample, 1.0)
        };
        let gaps: Vec<f64> = (0..draws).map(gap).collect();
        let count = gaps.len() as f64;
        let bound = population.rademacher_bound(*n, 1.0);
        let with_deviation = bound + population.deviation(*n, 1.0, settings.delta);
        let [root, root_error] = root_mean_square(&gaps);
        let row = [
            order::sum(&gaps) / count,
            standard_error(&gaps),
            root,
            root_error,
            population.root_mean_square(*n, 1.0),
            bound,
            with_deviation,
            gaps.iter().filter(|gap| **gap <= with_deviation).count() as f64 / count,
            population.looseness(),
        ];
        columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
    }
    let rows = settings.n_demos.len();
    let mut builder = Table::builder("gap")
        .texts("kernel", &vec![kernel.name(); rows])
        .texts("weights", &vec![weights.name(); rows])
        .integers("n_demos", settings.n_demos.iter().map(|n| *n as i64).collect());
    for (name, column) in FLOATS.into_iter().zip(columns) {
        builder = builder.floats(name, column);
    }
    Ok(builder.build()?)
}

fn assemble(draws: usize, results: &[&Table]) -> anyhow::Result<Outputs> {
    let table = Table::stack("gap", results.iter().copied())?;
    let claims = claims(draws, &table, results)?;
    let figure = Figure {
        id: ITEM.id.into(),
        columns: 2,
        panel_height: 200.0,
        panels: results.iter().copied().map(panel).collect::<anyhow::Result<_>>()?,
        caption: format!(
            "ext-gap. Uniform gap between the dual's loss over N demonstrations and over the population, for all W \
             of norm at most 1 (exact supremum by the kernel trick): its root mean square over {draws} draws of \
             demonstrations or more, the theory of that, and the Rademacher-type bound. Standard errors, in gap.csv, \
             are below the markers' size."
        ),
    };
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec!["gap"])],
        claims,
    })
}

fn claims(draws: usize, table: &Table, results: &[&Table]) -> anyhow::Result<Vec<Claim>> {
    let (rms, rms_error) = (table.floats("rms_gap")?, table.floats("rms_error")?);
    let (mean, mean_error) = (table.floats("mean_gap")?, table.floats("mean_error")?);
    let (theory, bound) = (table.floats("theory_rms")?, table.floats("bound")?);
    let looseness = table.floats("looseness")?;
    let covered = largest::least(table.floats("covered")?);
    let rows = || 0..rms.len();
    let place = |name| Place { item: ITEM.id, claim: name, table: "gap" };
    let against_theory =
        rows().map(|i| Measurement { value: rms[i], error: rms_error[i], closed: theory[i] });
    let ratios = rows().map(|i| {
        let ratio = bound[i] / rms[i];
        Measurement { value: ratio, error: ratio * rms_error[i] / rms[i], closed: looseness[i] }
    });
    let shares: Vec<[f64; 2]> =
        rows().map(|i| [mean[i] / bound[i], mean_error[i] / bound[i]]).collect();
    let (share, share_ends) = extreme(&shares, 1.0);
    let below = at_most(place("bound"), "Mean gap over bound, at every N", share, 1.0);
    let inside = at_least(
        place("deviation"),
        "Share of draws below bound plus deviation term",
        covered,
        0.95,
    );
    let mut claims = slope_claims(results)?;
    claims.extend([
        agree(place("theory"), "Root mean square gap within 5 % of theory", against_theory, 0.05),
        sampled(below, share_ends),
        sampled(inside, share_interval(covered, draws)),
        agree(place("looseness"), "Bound over gap within 5 % of its constant", ratios, 0.05),
    ]);
    Ok(claims)
}

/// The flattest and the steepest slope of the gap against `N`.
fn slope_claims(results: &[&Table]) -> anyhow::Result<Vec<Claim>> {
    let slope = |one: &Table| -> anyhow::Result<[f64; 2]> {
        let (n, gap) = (one.numbers("n_demos")?, one.floats("rms_gap")?);
        Ok([log_slope(&n, &gap), log_slope_error(&n, &gap, &one.floats("rms_error")?)])
    };
    let slopes: Vec<[f64; 2]> =
        results.iter().copied().map(slope).collect::<anyhow::Result<_>>()?;
    let (low, low_ends) = extreme(&slopes, -1.0);
    let (high, high_ends) = extreme(&slopes, 1.0);
    let statement = "Slope of the gap against N, both logarithmic";
    let place = |name| Place { item: ITEM.id, claim: name, table: "gap" };
    Ok(vec![
        sampled(at_least(place("slope-low"), statement, low, -0.53), low_ends),
        sampled(at_most(place("slope-high"), statement, high, -0.47), high_ends),
    ])
}

fn panel(table: &Table) -> anyhow::Result<Panel> {
    let x = table.numbers("n_demos")?;
    let line = |label: &str, style: Style, column: &str| -> anyhow::Result<Series> {
        Ok(Series::line(label, style, x.clone(), table.floats(column)?))
    };
    let name = |column: &str| -> anyhow::Result<String> {
        table.texts(column)?.into_iter().next().context("an empty table of gaps")
    };
    Ok(Panel::Lines(LinePanel {
        title: format!("{} kernel, {} weights", name("kernel")?, name("weights")?),
        x: Axis::log("demonstrations N"),
        y: Axis::log("uniform gap"),
        series: vec![
            line("root mean square", Style::series(0).solid(), "rms_gap")?,
            line("theory", Style::THEORY, "theory_rms")?,
            line("bound", Style::series(1), "bound")?,
        ],
    }))
}
