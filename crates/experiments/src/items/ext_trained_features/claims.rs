//! Claims, each over seeds.

use super::layer::Variant;
use super::measure::maps;
use super::{ITEM, MEASURED, NEEDED, Settings, Z};
use artifact::claim::{self, Claim, Place, Side, at_most};
use artifact::statistics::interval;
use artifact::table::Table;
use dual_model::feature_map::Estimate;
use icl_numerics::{largest, math, order};

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
    measured: &Table,
    needed: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let mut claims = vec![grows(settings, z)?];
    claims.extend(predictions(settings, measured)?);
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

/// Measured over predicted errors of one seed, over all prompts and rows of a map for which the next order is small.
fn ratio(measured: &Table, map: &str, seed: u64, quantity: &str) -> anyhow::Result<f64> {
    let of = [("map", map), ("seed", &seed.to_string())];
    let sum =
        |column: &str| -> anyhow::Result<f64> { Ok(order::sum(&select(measured, &of, column)?)) };
    let (above, below) =
        (sum(&format!("judged_{quantity}"))?, sum(&format!("judged_{quantity}_predicted"))?);
    Ok((above / below).sqrt())
}

/// First order is right where the next one says so.
fn predictions(settings: &Settings, measured: &Table) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for map in maps().filter(|map| map.estimate == Estimate::Unbiased) {
        let judged = order::sum(&select(measured, &[("map", map.id)], "judged")?);
        if judged == 0.0 {
            // nothing to hold against a measurement; the table says so
            continue;
        }
        for quantity in ["matrix", "output"] {
            let ratios = (0..settings.seeds).map(|seed| ratio(measured, map.id, seed, quantity));
            // a seed without any such prompt says nothing
            let ratios: Vec<f64> = ratios.collect::<anyhow::Result<Vec<f64>>>()?;
            let ratios: Vec<f64> = ratios.into_iter().filter(|ratio| !ratio.is_nan()).collect();
            let statement = format!(
                "Root mean square error of the {quantity} by {} features, measured over predicted, prompts whose next order is \
                 below 10 %",
                map.id
            );
            for (side, bound, end) in [(Side::AtLeast, 0.9, "low"), (Side::AtMost, 1.1, "high")] {
                let name = format!("predicted-{}-{quantity}-{end}", map.id);
                claims.push(over_seeds([&name, MEASURED], &statement, &ratios, side, bound)?);
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

/// What balancing and centring saves.
fn variants(needed: &Table) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for map in maps() {
        let plain = of(needed, map.id, Variant::AsTrained)?;
        let best = of(needed, map.id, Variant::BalancedCentred)?;
        let saved: Vec<f64> = plain.iter().zip(&best).map(|(plain, best)| plain - best).collect();
        let statement = format!(
            "log10 of the factor by which balanced, centred keys lower the {} features needed",
            map.id
        );
        let name = format!("saves-{}", map.id);
        claims.push(over_seeds([&name, NEEDED], &statement, &saved, Side::AtLeast, 0.0)?);
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
