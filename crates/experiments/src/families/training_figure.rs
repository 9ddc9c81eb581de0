//! The family of figures with an equivalence curve and panels of test losses against plain.

use super::claims::{at_most, tested};
use super::comparison::{Comparison, Differences, compare};
use super::equivalence::{self, CurveSettings};
use super::{training, transformer};
use crate::registry::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::claim::Claim;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::bootstrap_mean;
use artifact::table::Table;
use artifact::tolerance::Tolerance;
use icl_model::adam::AdamSettings;
use icl_model::prompt::{Inputs, PromptShape};
use icl_model::task::{self, Scale};
use icl_model::train::{AttentionKind, Path, TrainSettings};
use icl_model::transformer_train::TransformerSettings;
use icl_numerics::stream::Stream;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Settings of an item of this family, as in its TOML.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    task: String,
    scale: Scale,
    n_demos: usize,
    d_t: usize,
    d_s: usize,
    n_heads: usize,
    d_r: usize,
    steps: usize,
    batch: usize,
    learning_rate: f64,
    clip: f64,
    initial_sd: f64,
    test_every: usize,
    n_test: usize,
    n_final: usize,
    seeds: u64,
    panels: Vec<PanelSettings>,
    dual_prompts: usize,
    dual_orders: usize,
    dual_feature_orders: usize,
    dual_d_r: usize,
    floor: Floor,
    /// Whole layers instead of attention alone.
    #[serde(default)]
    transformer: Option<Transformer>,
}

/// Feed-forward part and depth.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transformer {
    layers: usize,
    hidden: usize,
    residual: bool,
}

/// One panel of test losses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PanelSettings {
    title: String,
    modifications: Vec<String>,
}

/// A known value that plain has to reach, as a share of `E[s^2]`; 0 where none is known.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Floor {
    relative_loss: f64,
    factor: f64,
    expected: bool,
}

const PLAIN: &str = "plain";

impl Settings {
    fn read(file: &SettingsFile, context: Context) -> anyhow::Result<Self> {
        let settings: Self = file.typed(context.profile)?;
        let ranges = [
            ("seeds", settings.seeds as usize, 1, 1000),
            ("n_final", settings.n_final, 1, 1 << 24),
            ("dual_prompts", settings.dual_prompts, 1, settings.n_test),
            ("dual_orders", settings.dual_orders, 1, 1_000_000),
            ("dual_feature_orders", settings.dual_feature_orders, 1, 1_000_000),
            ("dual_d_r", settings.dual_d_r, 1, 65_536),
        ];
        for (field, found, low, high) in ranges {
            if found < low || found > high {
                return Err(file.refuse(field, &found.to_string(), &format!("{low} to {high}")));
            }
        }
        settings
            .train(PLAIN, 0)
            .check()
            .map_err(|error| file.refuse("training", &error.to_string(), "settings in range"))?;
        Ok(settings)
    }

    fn train(&self, modification: &str, seed: u64) -> TrainSettings {
        TrainSettings {
            task: self.task.clone(),
            scale: self.scale,
            prompt: PromptShape { n_demos: self.n_demos, d_t: self.d_t, d_s: self.d_s },
            inputs: Inputs::Uniform,
            n_heads: self.n_heads,
            modification: modification.to_owned(),
            attention: AttentionKind::Paper,
            d_r: self.d_r,
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings {
                learning_rate: self.learning_rate,
                clip: self.clip,
                ..AdamSettings::default()
            },
            initial_sd: self.initial_sd,
            n_test: self.n_test,
            test_every: self.test_every,
            seed,
            path: Path::Fused,
        }
    }

    /// The same with whole layers, if this figure has them.
    fn transformer(&self, modification: &str, seed: u64) -> Option<TransformerSettings> {
        let Transformer { layers, hidden, residual } = self.transformer?;
        let train = TrainSettings { path: Path::Composite, ..self.train(modification, seed) };
        Some(TransformerSettings { train, layers, hidden, residual })
    }

    /// Plain and every panel's modifications, in order: `(panel, modification)`.
    fn runs(&self) -> Vec<(String, String)> {
        let plain = (PLAIN.to_owned(), PLAIN.to_owned());
        let panel = |panel: &PanelSettings| {
            let title = panel.title.clone();
            panel.modifications.iter().map(move |m| (title.clone(), m.clone())).collect::<Vec<_>>()
        };
        std::iter::once(plain).chain(self.panels.iter().flat_map(panel)).collect()
    }
}

/// An item of this family.
pub(crate) struct TrainingFigure {
    pub(crate) id: &'static str,
    pub(crate) paper: &'static str,
    pub(crate) claim: &'static str,
}

impl Item for TrainingFigure {
    fn id(&self) -> &'static str {
        self.id
    }

    fn paper(&self) -> &'static str {
        self.paper
    }

    fn claim(&self) -> &'static str {
        self.claim
    }

    fn plan(&self, file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
        plan(self.id, file, context)
    }
}

fn plan(id: &'static str, file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings = Settings::read(file, context)?;
    let curve = CurveSettings {
        train: settings.train(PLAIN, 0),
        prompts: settings.dual_prompts,
        orders: settings.dual_orders,
        feature_orders: settings.dual_feature_orders,
        d_r: settings.dual_d_r,
    };
    let isa = context.isa;
    let mut cells = vec![match settings.transformer(PLAIN, 0) {
        None => equivalence::cell(curve, isa),
        Some(stack) => {
            transformer::curve_cell(stack, settings.dual_prompts, settings.dual_orders, isa)
        }
    }];
    for (_, modification) in settings.runs() {
        for seed in 0..settings.seeds {
            let cell = match settings.transformer(&modification, seed) {
                None => training::cell(settings.train(&modification, seed), settings.n_final, isa),
                Some(stack) => transformer::training_cell(stack, settings.n_final, isa),
            };
            cells.push(
                cell.map_err(|error| file.refuse("panels", &error.to_string(), "known settings"))?,
            );
        }
    }
    let assemble = move |results: &[Table]| assemble(id, &settings, results);
    Ok(Plan { cells, assemble: Box::new(assemble) })
}

/// Relative losses of one setting: held-out by seed and step, and at the end on the final set by seed.
struct Run {
    panel: String,
    setting: String,
    steps: Vec<i64>,
    losses: Vec<Vec<f64>>,
    finals: Vec<f64>,
}

fn collect(settings: &Settings, results: &[Table]) -> anyhow::Result<Vec<Run>> {
    let per_run = settings.seeds as usize;
    let runs = settings.runs().into_iter().zip(results.chunks_exact(per_run));
    runs.map(|((panel, setting), tables)| {
        let mut steps = tables.first().context("no seed")?.integers("step")?;
        // the last row is that of the final set
        steps.pop();
        let mut losses: Vec<Vec<f64>> =
            tables.iter().map(|table| table.floats("relative_loss")).collect::<Result<_, _>>()?;
        let finals = losses.iter_mut().filter_map(Vec::pop).collect();
        Ok(Run { panel, setting, steps, losses, finals })
    })
    .collect()
}

fn assemble(id: &'static str, settings: &Settings, results: &[Table]) -> anyhow::Result<Outputs> {
    let (curve, trainings) = results.split_first().context("no result")?;
    let equivalence = curve.clone().named("equivalence");
    let runs = collect(settings, trainings)?;
    let training = training_table(&runs)?;
    let finals = final_table(&runs)?;
    let bands = band_table(id, &runs)?;
    let comparisons = comparisons(id, &runs)?;
    let comparison = comparison_table(&runs, &comparisons)?;
    let mut claims = equivalence_claims(id, &equivalence)?;
    claims.extend(floor_claim(id, settings, &runs)?);
    claims.extend(comparison_claims(id, &comparisons));
    let figure = figure(id, settings, &equivalence, &bands)?;
    let training_tolerance = Tolerance {
        absolute: 0.0,
        relative: 1e-3,
        reason: "fused and composite training agree within 1e-3 (test both_implementations_train_to_the_same_test_loss)".into(),
    };
    let all = |columns: &[&str]| -> BTreeMap<String, Tolerance> {
        columns.iter().map(|name| ((*name).to_owned(), training_tolerance.clone())).collect()
    };
    Ok(Outputs {
        tables: vec![
            (equivalence, BTreeMap::new()),
            (training, all(&["relative_loss"])),
            (finals, all(&["relative_loss"])),
            (bands, all(&["mean", "lower", "upper"])),
            (comparison, BTreeMap::new()),
        ],
        figures: vec![(figure, vec!["equivalence", "bands"])],
        claims,
    })
}

/// Every run's test loss: panel, setting, seed, step, relative loss.
fn training_table(runs: &[Run]) -> anyhow::Result<Table> {
    let (mut panels, mut names, mut seeds, mut steps, mut losses) =
        (vec![], vec![], vec![], vec![], vec![]);
    for run in runs {
        for (seed, row) in run.losses.iter().enumerate() {
            for (step, loss) in run.steps.iter().zip(row) {
                panels.push(run.panel.as_str());
                names.push(run.setting.as_str());
                seeds.push(seed as i64);
                steps.push(*step);
                losses.push(*loss);
            }
        }
    }
    let table = Table::builder("training")
        .texts("panel", &panels)
        .texts("setting", &names)
        .integers("seed", seeds)
        .integers("step", steps)
        .floats("relative_loss", losses)
        .build()?;
    Ok(table)
}

/// Every run's loss after training on the final set: panel, setting, seed, relative loss.
fn final_table(runs: &[Run]) -> anyhow::Result<Table> {
    let rows = || runs.iter().flat_map(|run| run.finals.iter().enumerate().map(move |f| (run, f)));
    let table = Table::builder("finals")
        .texts("panel", &rows().map(|(run, _)| run.panel.as_str()).collect::<Vec<_>>())
        .texts("setting", &rows().map(|(run, _)| run.setting.as_str()).collect::<Vec<_>>())
        .integers("seed", rows().map(|(_, (seed, _))| seed as i64).collect())
        .floats("relative_loss", rows().map(|(_, (_, loss))| *loss).collect())
        .build()?;
    Ok(table)
}

/// Mean and 95 % bootstrap band over seeds: what the figure shows.
fn band_table(id: &str, runs: &[Run]) -> anyhow::Result<Table> {
    let (mut panels, mut names, mut steps) = (vec![], vec![], vec![]);
    let (mut means, mut lowers, mut uppers) = (vec![], vec![], vec![]);
    let stream = Stream::new(0, &format!("bootstrap/{id}"));
    for run in runs {
        for (i, step) in run.steps.iter().enumerate() {
            let sample: Vec<f64> = run.losses.iter().map(|row| row[i]).collect();
            let mut draws = stream.sample(i as u64);
            let interval = bootstrap_mean(&sample, 0.95, |n| draws.below(n))?;
            panels.push(run.panel.as_str());
            names.push(run.setting.as_str());
            steps.push(*step);
            means.push(interval.mean);
            lowers.push(interval.lower);
            uppers.push(interval.upper);
        }
    }
    let table = Table::builder("bands")
        .texts("panel", &panels)
        .texts("setting", &names)
        .integers("step", steps)
        .floats("mean", means)
        .floats("lower", lowers)
        .floats("upper", uppers)
        .build()?;
    Ok(table)
}

fn comparisons(id: &str, runs: &[Run]) -> anyhow::Result<Vec<Comparison>> {
    let plain = &runs.first().context("plain is missing")?.finals;
    let differences = |run: &Run| Differences {
        name: run.setting.clone(),
        values: run.finals.iter().zip(plain).map(|(a, b)| a - b).collect(),
    };
    let all: Vec<Differences> = runs[1..].iter().map(differences).collect();
    compare(&all, &format!("comparison/{id}"))
}

fn comparison_table(runs: &[Run], comparisons: &[Comparison]) -> anyhow::Result<Table> {
    let column = |f: fn(&Comparison) -> f64| comparisons.iter().map(f).collect::<Vec<f64>>();
    let names: Vec<&str> = comparisons.iter().map(|one| one.name.as_str()).collect();
    let panels: Vec<&str> = runs[1..].iter().map(|run| run.panel.as_str()).collect();
    let finals = runs[1..].iter().map(|run| mean(&run.finals)).collect();
    let verdicts: Vec<&str> = comparisons.iter().map(word).collect();
    let table = Table::builder("comparison")
        .texts("panel", &panels)
        .texts("setting", &names)
        .floats("relative_loss", finals)
        .floats("difference", column(|one| one.mean))
        .floats("lower", column(|one| one.lower))
        .floats("upper", column(|one| one.upper))
        .floats("p_holm", column(|one| one.p_holm))
        .floats("detectable", column(|one| one.detectable))
        .texts("verdict", &verdicts)
        .build()?;
    Ok(table)
}

fn mean(x: &[f64]) -> f64 {
    icl_numerics::order::mean(x).unwrap_or(0.0)
}

fn word(one: &Comparison) -> &'static str {
    if one.upper < 0.0 {
        "better"
    } else if one.lower > 0.0 {
        "worse"
    } else {
        "no difference shown"
    }
}

fn equivalence_claims(id: &str, table: &Table) -> anyhow::Result<Vec<Claim>> {
    let names = table.texts("dual")?;
    let steps = table.integers("step")?;
    let last = steps.iter().max().copied().unwrap_or(0);
    let (measured, closed) = (table.floats("mean_square")?, table.floats("closed_form")?);
    let largest = table.floats("largest_relative")?;
    let rows = || (0..names.len()).filter(|i| names[*i] == equivalence::EXACT);
    let deviation = rows()
        .filter(|i| steps[*i] < last)
        .map(|i| (measured[i] / closed[i] - 1.0).abs())
        .fold(0.0, f64::max);
    let end = |name: &str| {
        let at_end = (0..names.len()).filter(|i| names[*i] == name && steps[*i] == last);
        at_end.map(|i| largest[i]).fold(0.0, f64::max)
    };
    let mut claims = vec![
        at_most(
            [id, "closed-form", "equivalence"],
            "The exact dual's mean squared step curve deviates from its closed form by at most 3 %",
            deviation,
            0.03,
        ),
        at_most(
            [id, "exact-end", "equivalence"],
            "After the last step the exact dual equals the layer, relative to the output's norm",
            end(equivalence::EXACT),
            1e-12,
        ),
    ];
    if names.iter().any(|name| name == equivalence::FEATURES) {
        claims.push(at_most(
            [id, "feature-end", "equivalence"],
            "After the last step the feature dual equals feature attention, relative to the output's norm",
            end(equivalence::FEATURES),
            1e-12,
        ));
    }
    Ok(claims)
}

fn floor_claim(id: &str, settings: &Settings, runs: &[Run]) -> anyhow::Result<Vec<Claim>> {
    let Floor { relative_loss, factor, expected } = settings.floor;
    if relative_loss == 0.0 {
        return Ok(Vec::new());
    }
    let finals = &runs.first().context("plain is missing")?.finals;
    let stream = Stream::new(0, &format!("floor/{id}"));
    let mut draws = stream.sample(0);
    let interval = bootstrap_mean(finals, 0.95, |n| draws.below(n))?;
    let statement =
        format!("Plain reaches {factor} x {relative_loss} of E[s^2], the floor of its family");
    let bound = factor * relative_loss;
    let ends = [interval.lower, interval.upper];
    let claim = tested([id, "floor", "finals"], &statement, interval.mean, ends, bound);
    Ok(vec![Claim { expected, ..claim }])
}

/// "Better than plain" is under test, not expected.
fn comparison_claims(id: &str, comparisons: &[Comparison]) -> Vec<Claim> {
    let one = |one: &Comparison| {
        let statement = format!("{} has a lower test loss than plain", one.name);
        let ends = [one.lower, one.upper];
        tested([id, &one.name, "comparison"], &statement, one.mean, ends, 0.0)
    };
    comparisons.iter().map(one).collect()
}

/// Rows of `table` where `column` is `value`.
fn rows(table: &Table, column: &str, value: &str) -> anyhow::Result<Vec<usize>> {
    let texts = table.texts(column)?;
    Ok((0..texts.len()).filter(|i| texts[*i] == value).collect())
}

fn pick(values: &[f64], rows: &[usize]) -> Vec<f64> {
    rows.iter().map(|i| values[*i]).collect()
}

fn figure(
    id: &str,
    settings: &Settings,
    equivalence: &Table,
    bands: &Table,
) -> anyhow::Result<Figure> {
    let mut panels = vec![Panel::Lines(equivalence_panel(equivalence)?)];
    for panel in &settings.panels {
        panels.push(Panel::Lines(loss_panel(panel, bands)?));
    }
    let caption = caption(id, settings)?;
    Ok(Figure { id: id.to_owned(), columns: 2, panel_height: 210.0, panels, caption })
}

fn caption(id: &str, settings: &Settings) -> anyhow::Result<String> {
    let task = task::find(&settings.task)?;
    let features =
        format!(" ({} for features, d_r = {})", settings.dual_feature_orders, settings.dual_d_r);
    let (model, output, features) = match settings.transformer {
        None => (String::new(), "attention's output", features),
        Some(Transformer { layers, hidden, residual }) => {
            let paths = if residual { "with" } else { "without" };
            let model = format!(
                " {layers} Transformer layer(s) {paths} residual paths, {hidden} hidden units."
            );
            (model, "the last layer's output for the query", String::new())
        }
    };
    Ok(format!(
        "{id}. Task {} ({}), d_t = {}, d_s = {}, N = {}, {} head(s).{model} Upper left: distance of the dual's \
         prediction from {output} along its gradient steps; band: 95 % of {} held-out prompts and {} random \
         orders{features}; dashed: root of the closed-form mean square. Others: test loss of the modifications \
         against plain; mean and 95 % bootstrap band over {} seeds.",
        task.id(),
        task.equation(),
        settings.d_t,
        settings.d_s,
        settings.n_demos,
        settings.n_heads,
        settings.dual_prompts,
        settings.dual_orders,
        settings.seeds
    ))
}

fn equivalence_panel(table: &Table) -> anyhow::Result<LinePanel> {
    let steps = table.numbers("step")?;
    let (mean, lower, upper) =
        (table.floats("mean")?, table.floats("lower")?, table.floats("upper")?);
    let closed: Vec<f64> = table.floats("closed_form")?.iter().map(|x| x.max(0.0).sqrt()).collect();
    let mut series = Vec::new();
    let shown =
        [(equivalence::EXACT, "exact dual"), (equivalence::FEATURES_SOFTMAX, "feature dual")];
    for (i, (name, label)) in shown.into_iter().enumerate() {
        let rows = rows(table, "dual", name)?;
        if rows.is_empty() {
            continue;
        }
        let line =
            Series::line(label, Style::series(i).solid(), pick(&steps, &rows), pick(&mean, &rows));
        series.push(line.with_band(pick(&lower, &rows), pick(&upper, &rows)));
    }
    let exact = rows(table, "dual", equivalence::EXACT)?;
    let label = "closed form (rms)";
    series.push(Series::line(label, Style::THEORY, pick(&steps, &exact), pick(&closed, &exact)));
    Ok(LinePanel {
        title: "equivalence".into(),
        x: Axis::linear("gradient step of the dual"),
        y: Axis::linear("‖f(q) − h′‖"),
        series,
    })
}

fn loss_panel(panel: &PanelSettings, table: &Table) -> anyhow::Result<LinePanel> {
    let steps = table.numbers("step")?;
    let (mean, lower, upper) =
        (table.floats("mean")?, table.floats("lower")?, table.floats("upper")?);
    let panels = table.texts("panel")?;
    let draw = |owner: &str, name: &str, style: Style| -> anyhow::Result<Series> {
        let mut rows = rows(table, "setting", name)?;
        rows.retain(|i| panels[*i] == owner);
        let line = Series::line(&short(name), style, pick(&steps, &rows), pick(&mean, &rows));
        Ok(line.with_band(pick(&lower, &rows), pick(&upper, &rows)))
    };
    let mut series = vec![draw(PLAIN, PLAIN, Style::REFERENCE)?];
    for (i, name) in panel.modifications.iter().enumerate() {
        series.push(draw(&panel.title, name, Style::series(i))?);
    }
    Ok(LinePanel {
        title: panel.title.clone(),
        x: Axis::linear("training step"),
        y: Axis::linear("2 · test loss / E[s²]"),
        series,
    })
}

/// A setting without its modification's name: `alpha=0.1` becomes `α=0.1`.
fn short(name: &str) -> String {
    let options = name.split_once(':').map_or(name, |(_, options)| options);
    let plain = options.replace("alpha", "α").replace("beta", "β").replace(',', " ");
    plain.replace("form=", "").replace("on=", "").replace("hidden=", "h=")
}
