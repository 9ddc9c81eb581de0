//! What would change if the paper's gaps were filled otherwise: one gap at a time.

pub(crate) mod gaps;

use crate::cells::equivalence::{self, CurveSettings};
use crate::cells::training;
use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::cell::Results;
use artifact::claim::{Claim, Place, at_most, compared};
use artifact::figure::{Figure, HeatPanel, Panel};
use artifact::statistics::comparison::{Comparison, Differences, compare};
use artifact::table::Table;
use gaps::{GAPS, Gap};
use icl_model::settings::TrainSettings;
use icl_numerics::{largest, order};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-sensitivity",
    paper: "beyond the paper",
    claim: "The identities hold however the gaps are filled; which modifications help depends on it",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    variations: Vec<String>,
    modifications: Vec<String>,
    steps: usize,
    batch: usize,
    n_final: usize,
    seeds: u64,
}

const PLAIN: &str = "plain";

impl Settings {
    fn gaps(&self) -> Vec<&'static Gap> {
        GAPS.iter().filter(|gap| self.variations.iter().any(|name| name == gap.name)).collect()
    }

    fn train(&self, gap: &Gap, modification: &str, seed: u64) -> TrainSettings {
        let mut train = TrainSettings {
            modification: modification.to_owned(),
            steps: self.steps,
            batch: self.batch,
            seed,
            ..TrainSettings::base()
        };
        (gap.apply)(&mut train);
        train.validate_every = train.steps.max(1);
        train
    }

    /// Plain and the modifications.
    fn runs(&self) -> impl Iterator<Item = &str> {
        std::iter::once(PLAIN).chain(self.modifications.iter().map(String::as_str))
    }
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    for name in &settings.variations {
        if !GAPS.iter().any(|gap| gap.name == name) {
            let known: Vec<&str> = GAPS.iter().map(|gap| gap.name).collect();
            return Err(file.refuse("variations", name, &known.join(", ")));
        }
    }
    if settings.seeds < 2 {
        return Err(file.refuse("seeds", &settings.seeds.to_string(), "at least 2"));
    }
    let mut cells = Vec::new();
    for gap in settings.gaps() {
        // the identity: exact end and closed form, on the plain layer
        cells.push(equivalence::cell(
            curve_name(gap),
            CurveSettings {
                train: settings.train(gap, PLAIN, 0),
                prompts: 4,
                orders: 200,
                feature_orders: 1,
                d_r: 16,
            },
            context.device,
        ));
        for modification in settings.runs() {
            for seed in 0..settings.seeds {
                let train = settings.train(gap, modification, seed);
                let name = run_name(gap, modification, seed);
                let cell = training::cell(name, train, settings.n_final, context.device);
                cells.push(cell.map_err(|e| file.refuse("training", &e.to_string(), "in range"))?);
            }
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

/// Name of the cell of a gap's equivalence curve.
fn curve_name(gap: &Gap) -> String {
    format!("{}/equivalence", gap.name)
}

/// Name of a training cell.
fn run_name(gap: &Gap, modification: &str, seed: u64) -> String {
    format!("{}/{modification}/{seed}", gap.name)
}

/// What one gap did.
struct Effect {
    gap: &'static Gap,
    /// Distance of the dual from attention after the last step.
    identity: f64,
    plain: f64,
    comparisons: Vec<Comparison>,
    /// Last relative test loss by setting, plain first, and seed.
    finals: Vec<Vec<f64>>,
}

fn effects(settings: &Settings, results: &Results) -> anyhow::Result<Vec<Effect>> {
    let one = |gap: &'static Gap| -> anyhow::Result<Effect> {
        let curve = results.get(&curve_name(gap))?;
        let names = curve.texts("dual")?;
        let (steps, far) = (curve.integers("step")?, curve.floats("largest_relative")?);
        let last = steps.iter().max().copied().context("an empty curve")?;
        let ends =
            (0..names.len()).filter(|i| names[*i] == equivalence::EXACT && steps[*i] == last);
        let identity = largest::value(ends.map(|i| far[i]));
        let finals = |modification: &str| -> anyhow::Result<Vec<f64>> {
            let seeds = (0..settings.seeds).map(|seed| run_name(gap, modification, seed));
            training::finals(&results.each(seeds)?)
        };
        let finals: Vec<Vec<f64>> = settings.runs().map(finals).collect::<anyhow::Result<_>>()?;
        let plain = order::mean(finals.first().context("plain is missing")?).unwrap_or(0.0);
        Ok(Effect { gap, identity, plain, comparisons: Vec::new(), finals })
    };
    let mut effects: Vec<Effect> =
        settings.gaps().into_iter().map(one).collect::<anyhow::Result<_>>()?;
    compare_all(settings, &mut effects)?;
    Ok(effects)
}

/// Every setting against plain, at Holm's level over all comparisons of the item.
fn compare_all(settings: &Settings, effects: &mut [Effect]) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for effect in effects.iter() {
        let (plain, modified) = effect.finals.split_first().context("plain is missing")?;
        for (name, losses) in settings.modifications.iter().zip(modified) {
            let values = losses.iter().zip(plain).map(|(a, b)| a - b).collect();
            all.push(Differences { name: name.clone(), values, margin: 0.01 * effect.plain });
        }
    }
    let mut comparisons = compare(&all)?.into_iter();
    for effect in effects {
        effect.comparisons = comparisons.by_ref().take(settings.modifications.len()).collect();
    }
    Ok(())
}

/// The last loss of every run: what differences, intervals and verdicts are computed from.
fn seeds(settings: &Settings, effects: &[Effect]) -> anyhow::Result<Table> {
    let names: Vec<&str> = settings.runs().collect();
    let (mut gaps, mut settings_of, mut seeds, mut losses) = (vec![], vec![], vec![], vec![]);
    for effect in effects {
        for (name, finals) in names.iter().zip(&effect.finals) {
            for (seed, loss) in finals.iter().enumerate() {
                gaps.push(effect.gap.name);
                settings_of.push(*name);
                seeds.push(seed as i64);
                losses.push(*loss);
            }
        }
    }
    let table = Table::builder("seeds")
        .texts("gap", &gaps)
        .texts("setting", &settings_of)
        .integers("seed", seeds)
        .floats("relative_loss", losses)
        .build()?;
    Ok(table)
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let effects = effects(settings, results)?;
    let table = table(settings, &effects)?;
    let claims = claims(&effects);
    let figure = figure(settings, &effects);
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new()), (seeds(settings, &effects)?, BTreeMap::new())],
        figures: vec![(figure, vec!["gaps"])],
        claims,
    })
}

/// One row for every gap and modification.
fn table(settings: &Settings, effects: &[Effect]) -> anyhow::Result<Table> {
    let rows = || effects.iter().flat_map(|e| e.comparisons.iter().map(move |c| (e, c)));
    let texts = |f: fn(&Effect) -> &'static str| rows().map(|(e, _)| f(e)).collect::<Vec<_>>();
    let floats = |f: fn(&Effect, &Comparison) -> f64| rows().map(|(e, c)| f(e, c)).collect();
    let table = Table::builder("gaps")
        .texts("gap", &texts(|e| e.gap.name))
        .texts("source_says", &texts(|e| e.gap.source))
        .texts("we_chose", &texts(|e| e.gap.chosen))
        .texts("tried", &texts(|e| e.gap.tried))
        .floats("identity", floats(|e, _| e.identity))
        .floats("plain", floats(|e, _| e.plain))
        .texts("setting", &rows().map(|(_, c)| c.name.as_str()).collect::<Vec<_>>())
        .floats("difference", floats(|_, c| c.difference.mean))
        .floats("lower", floats(|_, c| c.difference.lower))
        .floats("upper", floats(|_, c| c.difference.upper))
        .texts("verdict", &rows().map(|(_, c)| c.word().text()).collect::<Vec<_>>())
        .build()?;
    anyhow::ensure!(table.rows() == effects.len() * settings.modifications.len(), "an empty cell");
    Ok(table)
}

fn claims(effects: &[Effect]) -> Vec<Claim> {
    let identity = largest::value(effects.iter().map(|effect| effect.identity));
    let mut claims = vec![at_most(
        Place { item: ITEM.id, claim: "identity", table: "gaps" },
        "Largest distance of the dual from attention after the last step, over all gaps",
        identity,
        1e-12,
    )];
    for effect in effects {
        for one in &effect.comparisons {
            let name = format!("{}/{}", effect.gap.name, one.name);
            let statement =
                format!("{}: {} has a lower test loss than plain", effect.gap.name, one.name);
            let place = Place { item: ITEM.id, claim: &name, table: "gaps" };
            claims.push(compared(place, &statement, one));
        }
    }
    claims
}

fn figure(settings: &Settings, effects: &[Effect]) -> Figure {
    let relative =
        |e: &Effect| e.comparisons.iter().map(|c| c.difference.mean / e.plain).collect::<Vec<_>>();
    let entries: Vec<f64> = effects.iter().flat_map(relative).collect();
    let top = largest::at_least(largest::magnitude(entries.iter().copied()), 1e-9);
    let panel = HeatPanel {
        title: "change of the test loss by a modification, relative to plain".into(),
        x_label: "blue: better than plain".into(),
        y_label: String::new(),
        columns: settings.modifications.len(),
        entries,
        range: [-top, top],
        names: [
            effects.iter().map(|effect| effect.gap.name.to_owned()).collect(),
            settings.modifications.iter().map(|name| name.replacen(':', " ", 1)).collect(),
        ],
    };
    Figure {
        id: ITEM.id.into(),
        columns: 1,
        panel_height: 330.0,
        panels: vec![Panel::Heat(panel)],
        caption: format!(
            "ext-sensitivity. One gap of the paper filled otherwise at a time (rows): mean over {} seeds of the \
             paired difference to plain, relative to plain's loss. What the source says, what we chose, and the \
             verdict with its interval (bootstrap, Holm over the three modifications) are in gaps.csv.",
            settings.seeds
        ),
    }
}
