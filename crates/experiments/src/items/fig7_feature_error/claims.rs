//! Claims of the figure.

use super::data::{SYNTHETIC, TRAINED};
use super::{Curve, ITEM, random};
use anyhow::Context as _;
use artifact::claim::{Claim, Measurement, Place, agree, at_least, at_most, sampled};
use artifact::statistics::{around, log_slope, log_slope_error, share_interval};
use artifact::table::Table;
use icl_numerics::{largest, order};

fn place<'a>(claim: &'a str, table: &'a str) -> Place<'a> {
    Place { item: ITEM.id, claim, table }
}

/// `expected`: of variances, predictions and negative normalisers, which few draws do not show.
pub(super) fn claims(
    expected: bool,
    errors: &Table,
    variances: &Table,
    means: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let mut claims = slopes(errors)?;
    claims.push(orthogonal(variances)?);
    claims.push(favor_plus_plus(means)?);
    claims.extend(without_randomness(errors)?);
    claims.push(trained(errors)?);
    let drawn = [closed_forms(means)?, predictions(errors)?, vec![negative(errors)?]].concat();
    claims.extend(drawn.into_iter().map(|claim| Claim { expected, ..claim }));
    Ok(claims)
}

/// One over the number of features, on random keys and queries.
fn slopes(errors: &Table) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for map in random() {
        let curve = Curve::of(errors, SYNTHETIC, map.id)?;
        let column = |name: &str| curve.column(errors, name);
        let (x, y, y_errors) = (column("d_r")?, column("kernel_mse")?, column("kernel_mse_error")?);
        let slope = log_slope(&x, &y);
        let interval = around(slope, log_slope_error(&x, &y, &y_errors));
        let statement = format!("Slope of the {} kernel's mean squared error against d_r", map.id);
        let name = |side: &str| format!("slope-{}-{side}", map.id);
        let low = at_least(place(&name("low"), "errors"), &statement, slope, -1.1);
        let high = at_most(place(&name("high"), "errors"), &statement, slope, -0.9);
        claims.extend([low, high].map(|claim| sampled(claim, interval)));
    }
    Ok(claims)
}

/// Measured variances of single blocks of features.
fn closed_forms(means: &Table) -> anyhow::Result<Vec<Claim>> {
    let (measured, closed) = (means.floats("measured")?, means.floats("closed_form")?);
    let errors = means.floats("standard_error")?;
    let one = |(i, map): (usize, &'static dual_model::feature_map::Entry)| {
        let statement =
            format!("Measured variance of the {} map within 5 % of its closed form", map.id);
        let of = Measurement { value: measured[i], error: errors[i], closed: closed[i] };
        let name = format!("variance-{}", map.id);
        agree(place(&name, "mean-variances"), &statement, [of], 0.05)
    };
    Ok(random().enumerate().map(one).collect())
}

/// Largest relative change by the next order at which the first one is held against the measurement.
const LARGEST_NEXT: f64 = 0.05;

/// Matrix and output on random keys and queries: mean over numbers of features of measured over predicted mean squares,
/// wherever the next order says that the first is good to 5 %.
fn predictions(errors: &Table) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for map in random() {
        let curve = Curve::of(errors, SYNTHETIC, map.id)?;
        let next = curve.column(errors, "next_order")?;
        let rows: Vec<usize> = (0..next.len()).filter(|i| next[*i] <= LARGEST_NEXT).collect();
        let ratio = |quantity: &str| -> anyhow::Result<Measurement> {
            let column = |name: &str| curve.column(errors, &format!("{quantity}_{name}"));
            let (mse, theory, error) =
                (column("mse")?, column("mse_theory")?, column("mse_error")?);
            let ratios: Vec<f64> = rows.iter().map(|i| mse[*i] / theory[*i]).collect();
            let own: Vec<f64> = rows.iter().map(|i| error[*i] / theory[*i]).collect();
            let value = order::mean(&ratios).unwrap_or(f64::NAN);
            // draws of different numbers of features are independent
            let error = order::sum_of_squares(&own).sqrt() / rows.len() as f64;
            Ok(Measurement { value, error, closed: 1.0 })
        };
        let statement = format!(
            "Mean square of the errors of matrix and output by the {} map, measured over predicted, where the next \
             order is below 5 %: distance from one",
            map.id
        );
        let name = format!("theory-{}", map.id);
        let both = [ratio("matrix")?, ratio("output")?];
        claims.push(agree(place(&name, "errors"), &statement, both, 0.1));
    }
    Ok(claims)
}

fn of_map(variances: &Table, map: &str) -> anyhow::Result<Vec<f64>> {
    let (maps, measured) = (variances.texts("map")?, variances.floats("measured")?);
    Ok(maps.iter().zip(measured).filter(|(name, _)| *name == map).map(|(_, x)| x).collect())
}

fn orthogonal(variances: &Table) -> anyhow::Result<Claim> {
    let independent = of_map(variances, "positive")?;
    let orthogonal = of_map(variances, "orthogonal")?;
    let below = orthogonal.iter().zip(&independent).filter(|(o, i)| o <= i).count();
    let share = below as f64 / independent.len() as f64;
    let claim = at_least(
        place("orthogonal", "variances"),
        "Share of pairs in which the variance of orthogonal rows is at or below that of independent ones",
        share,
        0.9,
    );
    Ok(sampled(claim, share_interval(share, independent.len())).with_best(1.0))
}

fn favor_plus_plus(means: &Table) -> anyhow::Result<Claim> {
    let at = |name: &str| {
        random().position(|map| map.id == name).with_context(|| format!("no map `{name}`"))
    };
    let (above, below) = (at("favor++")?, at("positive")?);
    let (measured, errors) = (means.floats("measured")?, means.floats("standard_error")?);
    let ratio = measured[above] / measured[below];
    // as of independent draws; they share omega, so this is too wide
    let error =
        ratio * order::sum_of_squares(&[above, below].map(|i| errors[i] / measured[i])).sqrt();
    let claim = at_most(
        place("favor++", "mean-variances"),
        "Mean variance of favor++ over that of the positive map",
        ratio,
        1.0,
    );
    Ok(sampled(claim, around(ratio, error)))
}

/// Exact features are exact; Taylor's series is better than any random map where scores are small.
fn without_randomness(errors: &Table) -> anyhow::Result<[Claim; 2]> {
    let mut exact = Vec::new();
    for data in [SYNTHETIC, TRAINED] {
        exact.extend(Curve::of(errors, data, "exact")?.column(errors, "matrix_mse")?);
    }
    let last = |map: &str| -> anyhow::Result<f64> {
        let column = Curve::of(errors, SYNTHETIC, map)?.column(errors, "matrix_mse")?;
        column.last().copied().context("no number of features")
    };
    let best = random().map(|map| last(map.id)).collect::<anyhow::Result<Vec<f64>>>()?;
    let ratio = (last("taylor")? / largest::least(best)).sqrt();
    Ok([
        at_most(
            place("exact", "errors"),
            "Root mean square error of the matrix by exact features, the larger of both data",
            largest::value(exact).sqrt(),
            1e-12,
        ),
        at_most(
            place("taylor", "errors"),
            "Error of the matrix by Taylor features over that of the best random map, random keys, most features",
            ratio,
            1.0,
        ),
    ])
}

/// Normalisers of trigonometric attention change their sign.
fn negative(errors: &Table) -> anyhow::Result<Claim> {
    let curve = Curve::of(errors, TRAINED, "trigonometric")?;
    let (share, draws) = (curve.column(errors, "negative")?, curve.column(errors, "draws")?);
    let claim = at_least(
        place("negative", "errors"),
        "Share of negative normalisers of trigonometric attention with the fewest features, trained layer",
        share[0],
        0.05,
    );
    // rows of one draw share the features: as many trials as draws
    Ok(sampled(claim, share_interval(share[0], draws[0] as usize)))
}

/// In the trained layer the prediction itself says that there are too few features.
fn trained(errors: &Table) -> anyhow::Result<Claim> {
    let curve = Curve::of(errors, TRAINED, "positive")?;
    let (theory, square) =
        (curve.column(errors, "matrix_mse_theory")?, curve.column(errors, "matrix_square")?);
    let (theory, square) = theory.last().zip(square.last()).context("no number of features")?;
    Ok(at_least(
        place("trained", "errors"),
        "Predicted error of the trained layer's matrix by the most positive features, relative to the matrix",
        (theory / square).sqrt(),
        1.0,
    ))
}
