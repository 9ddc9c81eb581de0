//! The family of figures with an equivalence curve and panels of test losses against plain.

mod claims;
mod drawing;
mod settings;
mod tables;

use crate::cells::equivalence::{self, CurveSettings};
use crate::cells::{training, transformer};
use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::table::Table;
use artifact::tolerance::Tolerance;
use settings::{PLAIN, Settings};
use std::collections::BTreeMap;

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
    let device = context.device;
    let mut cells = vec![match settings.transformer(PLAIN, 0) {
        None => equivalence::cell(curve, device),
        Some(stack) => {
            transformer::curve_cell(stack, settings.dual_prompts, settings.dual_orders, device)
        }
    }];
    for (_, modification) in settings.runs() {
        for seed in 0..settings.seeds {
            let cell = match settings.transformer(&modification, seed) {
                None => {
                    training::cell(settings.train(&modification, seed), settings.n_final, device)
                }
                Some(stack) => transformer::training_cell(stack, settings.n_final, device),
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
    let training = tables::training_table(&runs)?;
    let finals = tables::final_table(&runs)?;
    let bands = tables::band_table(id, &runs)?;
    let comparisons = claims::comparisons(id, &runs)?;
    let comparison = tables::comparison_table(&runs, &comparisons)?;
    let mut all_claims = claims::equivalence_claims(id, &equivalence)?;
    all_claims.extend(claims::floor_claim(id, settings, &runs)?);
    all_claims.extend(claims::comparison_claims(id, &comparisons));
    let figure = drawing::figure(id, settings, &equivalence, &bands)?;
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
        claims: all_claims,
    })
}
