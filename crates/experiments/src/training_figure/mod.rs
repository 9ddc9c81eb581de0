//! The family of figures with an equivalence curve and panels of test losses against plain.

mod claims;
mod drawing;
mod settings;
mod tables;

use crate::cells::equivalence::{self, CurveSettings};
use crate::cells::{training, transformer};
use crate::item::{Context, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Results;
use artifact::tolerance::Tolerance;
use settings::{PLAIN, Settings};
use std::collections::BTreeMap;

/// The work of the item `id` of this family.
pub(crate) fn plan(
    id: &'static str,
    file: &SettingsFile,
    context: Context,
) -> anyhow::Result<Plan> {
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
        None => equivalence::cell(EQUIVALENCE.into(), curve, device),
        Some(stack) => {
            let (prompts, orders) = (settings.dual_prompts, settings.dual_orders);
            transformer::curve_cell(EQUIVALENCE.into(), stack, prompts, orders, device)
        }
    }];
    for (panel, modification) in settings.runs() {
        for seed in 0..settings.seeds {
            let (name, n_final) = (run_name(&panel, &modification, seed), settings.n_final);
            let cell = match settings.transformer(&modification, seed) {
                None => training::cell(name, settings.train(&modification, seed), n_final, device),
                Some(stack) => transformer::training_cell(name, stack, n_final, device),
            };
            cells.push(
                cell.map_err(|error| file.refuse("panels", &error.to_string(), "known settings"))?,
            );
        }
    }
    Ok(Plan::new(cells, move |results| assemble(id, &settings, results)))
}

/// Cell and table of the equivalence curve.
const EQUIVALENCE: &str = "equivalence";

/// Name of a training cell.
fn run_name(panel: &str, setting: &str, seed: u64) -> String {
    format!("{panel}/{setting}/{seed}")
}

/// Relative losses of one setting: held-out by seed and step, and at the end on the final set by seed.
struct Run {
    panel: String,
    setting: String,
    steps: Vec<i64>,
    losses: Vec<Vec<f64>>,
    finals: Vec<f64>,
}

fn collect(settings: &Settings, results: &Results) -> anyhow::Result<Vec<Run>> {
    let one = |(panel, setting): (String, String)| -> anyhow::Result<Run> {
        let names = (0..settings.seeds).map(|seed| run_name(&panel, &setting, seed));
        let tables = results.each(names)?;
        let (mut steps, mut losses) = (Vec::new(), Vec::new());
        for table in &tables {
            let curve = training::held_out(table)?;
            steps = curve.0;
            losses.push(curve.1);
        }
        Ok(Run { panel, setting, steps, losses, finals: training::finals(&tables)? })
    };
    settings.runs().into_iter().map(one).collect()
}

fn assemble(id: &'static str, settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let equivalence = results.get(EQUIVALENCE)?.clone().named(EQUIVALENCE);
    let runs = collect(settings, results)?;
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
        figures: vec![(figure, vec![EQUIVALENCE, "bands"])],
        claims: all_claims,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(setting: &str, finals: [f64; 6]) -> Run {
        let losses = finals.iter().map(|last| vec![1.0, *last]).collect();
        Run {
            panel: "p".into(),
            setting: setting.into(),
            steps: vec![0, 9],
            losses,
            finals: finals.to_vec(),
        }
    }

    fn runs() -> Vec<Run> {
        let plain = [0.50, 0.51, 0.49, 0.52, 0.48, 0.50];
        let shifted = |by: f64| plain.map(|x| x + by * (1.0 + x / 10.0));
        vec![run("plain", plain), run("lower", shifted(-0.1)), run("higher", shifted(0.1))]
    }

    #[test]
    fn settings_are_compared_with_plain_seed_by_seed() {
        let runs = runs();
        let comparisons = claims::comparisons("test", &runs).unwrap();
        let words: Vec<_> = comparisons.iter().map(|one| (one.name.as_str(), one.word())).collect();
        assert_eq!(words, [("lower", "better"), ("higher", "worse")]);
        // the spread over seeds, which both share, is not in the difference
        assert!(comparisons.iter().all(|one| one.upper - one.lower < 0.001));
        let table = tables::comparison_table(&runs, &comparisons).unwrap();
        assert_eq!(table.texts("verdict").unwrap(), ["better", "worse"]);
        let claims = claims::comparison_claims("test", &comparisons);
        assert!(claims.iter().all(|claim| !claim.expected && claim.sampled));
        assert_eq!(claims[0].id, "test/lower");
    }

    #[test]
    fn tables_hold_every_seed_and_bands_their_means() {
        let runs = runs();
        let finals = tables::final_table(&runs).unwrap();
        assert_eq!((finals.rows(), tables::training_table(&runs).unwrap().rows()), (18, 36));
        let bands = tables::band_table("test", &runs).unwrap();
        let (means, lower) = (bands.floats("mean").unwrap(), bands.floats("lower").unwrap());
        let upper = bands.floats("upper").unwrap();
        assert!((means[1] - 0.5).abs() < 1e-12 && means[0] == 1.0 && lower[0] == upper[0]);
        assert!((0..means.len()).all(|i| lower[i] <= means[i] && means[i] <= upper[i]));
    }
}
