//! Tables, figure and claims.

use super::ITEM;
use super::effects::{Effect, effects};
use super::settings::{BASE, Settings, kind};
use crate::item::Outputs;
use crate::training_figure::labels::{SIGNS, sign, style};
use anyhow::Context as _;
use artifact::cell::Results;
use artifact::claim::{Claim, Place, Side, at_most, compared, over_seeds};
use artifact::figure::{Axis, DotPanel, DotRow, Figure, Panel, Style};
use artifact::statistics::comparison::Comparison;
use artifact::statistics::interval;
use artifact::table::{ColumnType, Schema, Table};
use icl_numerics::{largest, order};
use std::collections::BTreeMap;

pub(super) fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let effects = effects(settings, results)?;
    let figure = figure(settings, &effects)?;
    Ok(Outputs {
        tables: vec![(gaps(&effects)?, BTreeMap::new()), (seeds(&effects)?, BTreeMap::new())],
        figures: vec![(figure, vec!["gaps"])],
        claims: claims(&effects)?,
    })
}

/// Columns of the table `gaps`.
pub(crate) fn gaps_schema() -> Schema {
    const TEXTS: [&str; 6] = ["variation", "source_says", "base_has", "tried", "setting", "word"];
    [
        "variation",
        "source_says",
        "base_has",
        "tried",
        "plain",
        "plain_lower",
        "plain_upper",
        "trivial",
        "setting",
        "difference",
        "lower",
        "upper",
        "margin",
        "p_difference",
        "p_equivalence",
        "word",
        "identity",
    ]
    .map(|name| {
        let kind = if TEXTS.contains(&name) { ColumnType::Text } else { ColumnType::Float };
        (name.to_owned(), kind)
    })
    .to_vec()
}

/// One row for every comparison.
fn gaps(effects: &[Effect<'_>]) -> anyhow::Result<Table> {
    let rows: Vec<(&Effect<'_>, &Comparison, f64)> = effects
        .iter()
        .flat_map(|effect| {
            let runs = effect.compared().zip(&effect.comparisons);
            runs.map(move |(run, comparison)| (effect, comparison, run.identity))
        })
        .collect();
    let texts = |f: fn(&Effect<'_>) -> String| rows.iter().map(|row| f(row.0)).collect::<Vec<_>>();
    let floats = |f: &dyn Fn(&Comparison) -> f64| rows.iter().map(|row| f(row.1)).collect();
    let plain: Vec<_> = rows.iter().map(|row| row.0.plain()).collect::<anyhow::Result<Vec<_>>>()?;
    let table = Table::builder("gaps")
        .texts("variation", &texts(|effect| effect.name.to_owned()))
        .texts("source_says", &texts(|effect| effect.variation.source.clone()))
        .texts("base_has", &texts(|effect| effect.variation.chosen.clone()))
        .texts("tried", &texts(|effect| effect.variation.tried.clone()))
        .floats("plain", plain.iter().map(|one| one.mean).collect())
        .floats("plain_lower", plain.iter().map(|one| one.lower).collect())
        .floats("plain_upper", plain.iter().map(|one| one.upper).collect())
        .floats("trivial", rows.iter().map(|row| row.0.trivial).collect())
        .texts("setting", &rows.iter().map(|row| row.1.name.as_str()).collect::<Vec<_>>())
        .floats("difference", floats(&|one| one.difference.mean))
        .floats("lower", floats(&|one| one.difference.lower))
        .floats("upper", floats(&|one| one.difference.upper))
        .floats("margin", floats(&|one| one.margin))
        .floats("p_difference", floats(&|one| one.evidence.p_difference))
        .floats("p_equivalence", floats(&|one| one.evidence.p_equivalence))
        .texts("word", &rows.iter().map(|row| row.1.word().text()).collect::<Vec<_>>())
        .floats("identity", rows.iter().map(|row| row.2).collect())
        .build()?;
    anyhow::ensure!(table.schema() == gaps_schema(), "columns are not those of the schema");
    Ok(table)
}

/// The last loss of every run: what differences, intervals and words are computed from.
fn seeds(effects: &[Effect<'_>]) -> anyhow::Result<Table> {
    let (mut variations, mut settings, mut seeds, mut losses) = (vec![], vec![], vec![], vec![]);
    for effect in effects {
        for run in &effect.runs {
            for (seed, loss) in run.losses.iter().enumerate() {
                variations.push(effect.name);
                settings.push(run.modification.as_str());
                seeds.push(seed as i64);
                losses.push(*loss);
            }
        }
    }
    let table = Table::builder("seeds")
        .texts("variation", &variations)
        .texts("setting", &settings)
        .integers("seed", seeds)
        .floats("loss_over_variance", losses)
        .build()?;
    Ok(table)
}

fn place<'a>(claim: &'a str, table: &'a str) -> Place<'a> {
    Place { item: ITEM.id, claim, table }
}

fn claims(effects: &[Effect<'_>]) -> anyhow::Result<Vec<Claim>> {
    let runs = effects.iter().flat_map(|effect| &effect.runs);
    let identity = largest::value(runs.map(|run| run.identity));
    let mut claims = vec![at_most(
        place("identity", "gaps"),
        "Largest distance of a trained layer from the dual trained on its modified loss, over all variations, settings \
         and seeds, relative to the output",
        identity,
        1e-12,
    )];
    claims.extend(branch_claims(effects)?);
    for effect in effects {
        for one in &effect.comparisons {
            let name = format!("{}/{}", effect.name, one.name);
            let statement =
                format!("{}: {} has a lower test loss than plain", effect.name, one.name);
            claims.push(compared(place(&name, "gaps"), &statement, one));
        }
    }
    Ok(claims)
}

/// What theory says of plain layers that are trained otherwise than the base's, as ratios of losses to the base's:
/// where optima are compared, of the best seeds, since a seed that has not arrived says nothing of them.
fn branch_claims(effects: &[Effect<'_>]) -> anyhow::Result<Vec<Claim>> {
    let base = effects.first().context("no variation")?;
    let find = |name: &str| effects.iter().find(|effect| effect.name == name);
    let mut claims = Vec::new();
    if let Some(aligned) = find("aligned start") {
        let place = place("plain/aligned start", "seeds");
        let statement = "Plain from the aligned start, relative to the opposed one: the floors' ratio is 1.14, and a seed \
                         that changes to the better optimum lowers the mean";
        let ratio = interval::ratio(&aligned.plain, &base.plain)?;
        claims.push(over_seeds(place, statement, ratio, Side::AtLeast, 1.1));
    }
    for (name, why) in [
        ("query outside", "the query token's own weight is nearly 0 at the better optimum"),
        (
            "sparse map",
            "the loss depends on the map's covariance alone while scores read inputs only",
        ),
    ] {
        let Some(effect) = find(name) else { continue };
        let ratio = largest::least(effect.plain.iter().copied())
            / largest::least(base.plain.iter().copied());
        let id = format!("plain/{name}");
        let statement = format!(
            "{name}: lowest loss of plain over the seeds relative to the base's, distance from 1: {why}; a final set's \
             own error is 0.5 %"
        );
        let claim = at_most(place(&id, "seeds"), &statement, (ratio - 1.0).abs(), 0.02);
        claims.push(Claim { seeds: Some(effect.plain.len()), ..claim }.judged());
    }
    Ok(claims)
}

/// A forest of intervals, one panel for every kind.
fn figure(settings: &Settings, effects: &[Effect<'_>]) -> anyhow::Result<Figure> {
    let names: Vec<&str> = settings.modifications.iter().map(String::as_str).collect();
    let mut panels = vec![Panel::Dots(plain_panel(effects)?)];
    panels.extend(names.iter().map(|name| Panel::Dots(forest(effects, kind(name)))));
    Ok(Figure {
        id: ITEM.id.into(),
        columns: names.len() + 1,
        shares: [vec![2.1], vec![1.0; names.len()]].concat(),
        panel_height: 50.0 + 8.4 * effects.len() as f64,
        panels,
        caption: format!(
            "One gap of the paper filled otherwise at a time (rows; `{BASE}` is the base). (a) Loss of plain over that of \
             the best predictor that looks at no input, every seed a ring, a bar the mean; rows without rings vary a \
             modification only and are compared with the base's plain. Others: mean paired difference of the loss by a \
             modification ({}) relative to plain, with its 95 % interval. Signs: {SIGNS} (exact sign-flip test, Holm \
             over all comparisons, margin {:.0} %); diamonds at an end lie beyond it. What sources say, what the base has \
             and what is tried is in gaps.csv. n = {} seeds.",
            settings.modifications.join("; "),
            100.0 * settings.margin,
            settings.seeds,
        ),
    })
}

/// Every seed of plain, over the loss of the best predictor without inputs.
fn plain_panel(effects: &[Effect<'_>]) -> anyhow::Result<DotPanel> {
    let row = |effect: &Effect<'_>| -> anyhow::Result<DotRow> {
        let own = effect.variation.has_own_plain();
        let over = |x: &f64| x / effect.trivial;
        let values = if own { effect.plain.iter().map(over).collect() } else { Vec::new() };
        Ok(DotRow {
            label: effect.name.to_owned(),
            style: style(super::settings::PLAIN),
            values,
            interval: own.then_some([effect.plain()?.mean / effect.trivial; 3]),
            bound: None,
            note: String::new(),
            parted: false,
        })
    };
    Ok(DotPanel {
        title: "plain".into(),
        x: Axis::linear("loss / best without inputs"),
        rows: effects.iter().map(row).collect::<anyhow::Result<_>>()?,
        rules: vec![(1.0, String::new(), Style::LIMIT)],
        margins: [92.0, 0.0],
    })
}

/// Ends of the axes: beyond a quarter all effects are plain to see.
const WIDEST: f64 = 0.25;

fn forest(effects: &[Effect<'_>], kind_of_panel: &str) -> DotPanel {
    let row = |effect: &Effect<'_>| {
        let plain = order::mean(&effect.plain).unwrap_or(f64::NAN);
        let found = effect.comparisons.iter().find(|one| kind(&one.name) == kind_of_panel);
        let difference = found.map(|one| one.difference);
        DotRow {
            label: String::new(),
            style: style(kind_of_panel),
            values: Vec::new(),
            interval: difference.map(|d| [d.mean, d.lower, d.upper].map(|x| x / plain)),
            bound: None,
            note: found.map_or("", |one| sign(one.word().text())).to_owned(),
            parted: false,
        }
    };
    DotPanel {
        title: kind_of_panel.into(),
        x: Axis::linear("change / plain").from_to(-WIDEST, WIDEST),
        rows: effects.iter().map(row).collect(),
        rules: vec![(0.0, String::new(), Style::LIMIT)],
        margins: [4.0, 8.0],
    }
}
