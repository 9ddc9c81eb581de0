//! Claims, each over seeds.

use super::layer::Variant;
use super::measure::maps;
use super::{ITEM, JUDGED, NEEDED, Settings, Z};
use artifact::claim::{self, Claim, Place, Side, at_most};
use artifact::statistics::interval;
use artifact::table::Table;
use dual_model::feature_map::Estimate;
use icl_numerics::{largest, math};

/// The claim of an estimate from one number per seed.
fn over_seeds(
    [claim, table]: [&str; 2],
    statement: &str,
    sample: &[f64],
    side: Side,
    bound: f64,
) -> anyhow::Result<Claim> {
    let place = Place { item: ITEM.id, claim, table };
    Ok(claim::over_seeds(place, statement, interval::mean(sample)?, side, bound))
}

/// Entries of a column in the rows where all of these columns have these texts.
pub(super) fn select(
    table: &Table,
    texts: &[(&str, &str)],
    column: &str,
) -> anyhow::Result<Vec<f64>> {
    let mut rows: Vec<usize> = (0..table.rows()).collect();
    for (name, text) in texts {
        let entries = table.entries(name)?;
        rows.retain(|i| entries[*i] == *text);
    }
    let all = table.numbers(column)?;
    Ok(rows.into_iter().map(|i| all[i]).collect())
}

pub(super) fn claims(
    settings: &Settings,
    z: &Table,
    judged: &Table,
    needed: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let mut claims = vec![grows(settings, z)?];
    claims.extend(predictions(judged)?);
    claims.push(same_attention(needed)?);
    claims.extend(variants(needed)?);
    claims.extend(features(settings, needed)?);
    Ok(claims)
}

/// Training makes `z` larger.
fn grows(settings: &Settings, z: &Table) -> anyhow::Result<Claim> {
    let plain = Variant::AsTrained.name();
    let median =
        |step: usize| select(z, &[("variant", plain), ("step", &step.to_string())], "z_50");
    let (start, end) = (median(settings.checkpoints[0])?, median(settings.steps)?);
    let ratios: Vec<f64> = end.iter().zip(&start).map(|(end, start)| end / start).collect();
    let statement = "Median z after the training over that before";
    over_seeds(["grows", Z], statement, &ratios, Side::AtLeast, 1.0)
}

/// Measured over predicted errors of every seed, on the prompts that are judged; a seed without any says nothing.
fn ratios(judged: &Table, map: &str, quantity: &str) -> anyhow::Result<Vec<f64>> {
    let column = |name: &str| select(judged, &[("map", map)], name);
    let (above, below) = (column(quantity)?, column(&format!("{quantity}_predicted"))?);
    let ratios = above.iter().zip(&below).filter(|(_, below)| **below > 0.0);
    Ok(ratios.map(|(above, below)| (above / below).sqrt()).collect())
}

/// First order is right where the next one says so.
fn predictions(judged: &Table) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for map in maps().filter(|map| map.estimate == Estimate::Unbiased) {
        for quantity in ["matrix", "output"] {
            let ratios = ratios(judged, map.id, quantity)?;
            if ratios.is_empty() {
                // nothing to hold against a measurement; the table says so
                continue;
            }
            let statement = format!(
                "Root mean square error of the {quantity} by {} features, measured over predicted, prompts whose next order is \
                 below 10 %",
                map.id
            );
            for (side, bound, end) in [(Side::AtLeast, 0.9, "low"), (Side::AtMost, 1.1, "high")] {
                let name = format!("predicted-{}-{quantity}-{end}", map.id);
                claims.push(over_seeds([&name, JUDGED], &statement, &ratios, side, bound)?);
            }
        }
    }
    Ok(claims)
}

/// The variants are the same attention.
fn same_attention(needed: &Table) -> anyhow::Result<Claim> {
    let largest = largest::value(needed.floats("difference")?);
    Ok(at_most(
        Place { item: ITEM.id, claim: "same-attention", table: NEEDED },
        "Largest difference of an exact attention weight between the variants of keys and queries",
        largest,
        1e-12,
    ))
}

/// `log10` of the features that a map needs under a variant, seed by seed.
pub(super) fn of(needed: &Table, map: &str, variant: Variant) -> anyhow::Result<Vec<f64>> {
    select(needed, &[("map", map), ("variant", variant.name())], "matrix")
}

/// What balancing saves, whose mean `z` is the least of all with these scores; and whether centring saves more, which no
/// theorem says.
fn variants(needed: &Table) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for map in maps() {
        let plain = of(needed, map.id, Variant::AsTrained)?;
        let balanced = of(needed, map.id, Variant::Balanced)?;
        let both = of(needed, map.id, Variant::BalancedCentred)?;
        let saved = |before: &[f64], after: &[f64]| -> Vec<f64> {
            before.iter().zip(after).map(|(before, after)| before - after).collect()
        };
        let statement = |what: &str| {
            format!("log10 of the factor by which {what} the {} features needed", map.id)
        };
        claims.push(over_seeds(
            [&format!("balanced-{}", map.id), NEEDED],
            &statement("balanced queries and keys lower"),
            &saved(&plain, &balanced),
            Side::AtLeast,
            0.0,
        )?);
        let centred = over_seeds(
            [&format!("centred-{}", map.id), NEEDED],
            &statement("centring balanced keys lowers"),
            &saved(&balanced, &both),
            Side::AtLeast,
            0.0,
        )?;
        claims.push(Claim { expected: false, ..centred });
    }
    Ok(claims)
}

/// How many features a tenth of an error needs, against the 1200 of the base setting, and how many fewer FAVOR++ needs.
fn features(settings: &Settings, needed: &Table) -> anyhow::Result<[Claim; 2]> {
    let base = 100.0 * (settings.d_t + 1) as f64;
    let positive = of(needed, "positive", Variant::AsTrained)?;
    let damped = of(needed, "favor++", Variant::AsTrained)?;
    let saved: Vec<f64> = positive.iter().zip(&damped).map(|(p, f)| p - f).collect();
    let statement = format!(
        "log10 of the positive features that an error of {} needs in the median prompt: above that of {base}",
        settings.error
    );
    Ok([
        over_seeds(["needed", NEEDED], &statement, &positive, Side::AtLeast, math::log10(base))?,
        over_seeds(
            ["favor++", NEEDED],
            "log10 of the factor by which favor++ needs fewer features than the positive map",
            &saved,
            Side::AtLeast,
            0.0,
        )?,
    ])
}
