//! The family of figures with an equivalence curve and panels of test losses against plain.

mod claims;
mod drawing;
pub(crate) mod labels;
mod settings;
mod tables;

use crate::cells::equivalence::{self, CurveSettings};
use crate::cells::references::{self, ReferenceSettings, References};
use crate::cells::{training, transformer};
use crate::item::{Context, Outputs, Plan};
use crate::settings::SettingsFile;
use anyhow::Context as _;
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
    let (train, n_final, floor) =
        (settings.train(PLAIN, 0), settings.n_final, settings.floor > 0.0);
    let compared = ReferenceSettings { train, n_final, floor };
    cells.push(references::cell(REFERENCES.into(), compared, device));
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

/// Cell and table of what losses are compared with.
const REFERENCES: &str = "references";

/// Name of a training cell.
fn run_name(panel: &str, setting: &str, seed: u64) -> String {
    format!("{panel}/{setting}/{seed}")
}

/// Losses of one setting over `Var(s)`: held-out by seed and step, and at the end on the final set by seed; there also
/// the root of the median loss over the target's median absolute deviation.
struct Run {
    panel: String,
    setting: String,
    steps: Vec<i64>,
    losses: Vec<Vec<f64>>,
    finals: Vec<f64>,
    robust: Vec<f64>,
}

fn collect(
    settings: &Settings,
    results: &Results,
    held_out: &References,
    last: &References,
) -> anyhow::Result<Vec<Run>> {
    let robust = last.robust_scale()?;
    let (held_out, last) = (held_out.square()?, last.square()?);
    let one = |(panel, setting): (String, String)| -> anyhow::Result<Run> {
        let names = (0..settings.seeds).map(|seed| run_name(&panel, &setting, seed));
        let tables = results.each(names)?;
        let (mut steps, mut losses) = (Vec::new(), Vec::new());
        for table in &tables {
            let curve = training::held_out(table)?;
            steps = curve.0;
            losses.push(curve.1.iter().map(|loss| held_out * loss).collect());
        }
        let finals = training::finals(&tables)?.iter().map(|loss| last * loss).collect();
        let medians = training::medians(&tables)?;
        let robust = medians.iter().map(|loss| robust * (last * loss).sqrt()).collect();
        Ok(Run { panel, setting, steps, losses, finals, robust })
    };
    settings.runs().into_iter().map(one).collect()
}

fn assemble(id: &'static str, settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let equivalence = results.get(EQUIVALENCE)?.clone();
    let reference_table = results.get(REFERENCES)?.clone();
    let held_out = References::of(&reference_table, training::HELD_OUT)?;
    let references = References::of(&reference_table, training::FINAL)?;
    let runs = collect(settings, results, &held_out, &references)?;
    let training = tables::training_table(&runs)?;
    let finals = tables::final_table(&runs)?;
    let comparisons = claims::comparisons(settings, &runs)?;
    let comparison = tables::comparison_table(&runs, &comparisons)?;
    let mut all_claims = claims::equivalence_claims(id, &equivalence)?;
    let plain = runs.first().context("plain is missing")?;
    all_claims.extend(claims::plain_claims(id, settings, plain, &references)?);
    all_claims.push(claims::settled(id, &runs));
    all_claims.extend(claims::comparison_claims(id, &comparisons));
    let figure = drawing::figure(
        id,
        settings,
        &drawing::Tables {
            equivalence: &equivalence,
            training: &training,
            finals: &finals,
            comparison: &comparison,
            last: &references,
            plain: &plain.finals,
        },
    )?;
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
            (reference_table, BTreeMap::new()),
            (training, all(&["loss_over_variance"])),
            (finals, all(&["loss_over_variance", "robust_error"])),
            (comparison, BTreeMap::new()),
        ],
        figures: vec![(figure, vec![EQUIVALENCE, REFERENCES, "training", "finals", "comparison"])],
        claims: all_claims,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifact::claim::Verdict;
    use artifact::statistics::comparison::{Differences, compare};

    fn run(setting: &str, finals: [f64; 6]) -> Run {
        let losses = finals.iter().map(|last| vec![1.0, *last]).collect();
        let (panel, setting, steps) = ("p".into(), setting.into(), vec![0, 9]);
        Run { panel, setting, steps, losses, finals: finals.to_vec(), robust: finals.to_vec() }
    }

    fn runs() -> Vec<Run> {
        let plain = [0.50, 0.51, 0.49, 0.52, 0.48, 0.50];
        let shifted = |by: f64| plain.map(|x| x + by * (1.0 + x / 10.0));
        vec![run("plain", plain), run("lower", shifted(-0.1)), run("higher", shifted(0.1))]
    }

    #[test]
    fn settings_are_compared_with_plain_seed_by_seed() {
        let runs = runs();
        let differences =
            |run: &Run| Differences::relative(&run.setting, &run.finals, &runs[0].finals, 0.01);
        // six seeds alone cannot show two differences after Holm: 2 of 64 times two is above 5 %
        let found = compare(&[differences(&runs[1])]).unwrap();
        assert_eq!(found[0].word().text(), "better");
        let found = compare(&[differences(&runs[1]), differences(&runs[2])]).unwrap();
        assert!(found.iter().all(|one| one.word().text() == "undecided"));
        // the spread over seeds, which both share, is not in the difference
        assert!(found.iter().all(|one| one.difference.upper - one.difference.lower < 0.004));
        let table = tables::comparison_table(&runs, &found).unwrap();
        assert_eq!(table.texts("verdict").unwrap(), ["undecided"; 2]);
        let claims = claims::comparison_claims("test", &found);
        assert!(claims.iter().all(|claim| !claim.expected && claim.sampled));
        assert_eq!(claims[0].id, "test/lower");
    }

    #[test]
    fn a_loss_that_still_falls_is_not_settled() {
        let falling = |last: f64| Run {
            steps: vec![0, 10, 20, 30, 40],
            losses: vec![vec![1.0, 0.9, 0.8, 0.7, last]],
            ..run("x", [last; 6])
        };
        assert_eq!(claims::settled("t", &[falling(0.699)]).verdict, Verdict::Holds);
        let claim = claims::settled("t", &[falling(0.699), falling(0.65)]);
        assert!(claim.verdict == Verdict::Fails && !claim.breaks());
    }

    #[test]
    fn tables_hold_every_seed() {
        let runs = runs();
        let finals = tables::final_table(&runs).unwrap();
        assert_eq!((finals.rows(), tables::training_table(&runs).unwrap().rows()), (18, 36));
    }
}
