//! What the item claims of trained models.

use super::function_class::FunctionClass;
use super::prompts::{Prompts, Strategy};
use super::{AVERAGING, ITEM, LEAST_SQUARES, MODEL, NEAREST, RIDGE, Settings, losses};
use crate::named::Named as _;
use anyhow::Context as _;
use artifact::claim::{Claim, Place, Side, at_most, over_seeds};
use artifact::statistics::interval;
use artifact::table::Table;
use icl_numerics::largest;

fn place(claim: &str) -> Place<'_> {
    Place { item: ITEM.id, claim, table: "runs" }
}

/// Loss of a predictor without training.
fn untrained(runs: &Table, name: &str, prompts: Prompts) -> anyhow::Result<f64> {
    let losses = losses(runs, name, prompts)?;
    losses.first().copied().with_context(|| format!("runs: no row of {name}"))
}

/// Every seed's loss over that of a predictor on the same prompts.
fn over(runs: &Table, name: &str, prompts: Prompts) -> anyhow::Result<Vec<f64>> {
    let other = untrained(runs, name, prompts)?;
    Ok(losses(runs, MODEL, prompts)?.iter().map(|loss| loss / other).collect())
}

/// Models beside predictors without training, and on prompts unlike those of training.
pub(super) fn claims(settings: &Settings, runs: &Table) -> anyhow::Result<Vec<Claim>> {
    let standard = |class| settings.standard(class, settings.n_demos);
    let linear = standard(FunctionClass::Linear);
    let judged = |claim: &str, statement: &str, ratios: &[f64], side, bound| {
        anyhow::Ok(over_seeds(place(claim), statement, interval::mean(ratios)?, side, bound))
    };
    let mut claims = vec![exact(settings, runs)?];
    for class in FunctionClass::ALL {
        for (short, name) in [("averaging", AVERAGING), ("nearest", NEAREST)] {
            let (class_name, prompts) = (class.name(), standard(*class));
            let claim = format!("{}-below-{short}", class_name.replace(' ', "-"));
            let statement = format!("Loss of the Transformer over {name}, {class_name} functions");
            let ratios = over(runs, name, prompts)?;
            claims.push(judged(&claim, &statement, &ratios, Side::AtMost, 1.0)?);
        }
    }
    let ridge = over(runs, RIDGE, linear)?;
    claims.push(judged(
        "far-from-ridge",
        "Loss of the Transformer over ridge, linear functions: far above",
        &ridge,
        Side::AtLeast,
        10.0,
    )?);
    let doubled = Prompts { strategy: Strategy::InputsDoubled, ..linear };
    let (doubled, plain) = (losses(runs, MODEL, doubled)?, losses(runs, MODEL, linear)?);
    let ratios: Vec<f64> = doubled.iter().zip(&plain).map(|(a, b)| a / b).collect();
    claims.push(judged(
        "inputs-doubled",
        "Loss of the Transformer on linear functions with inputs doubled, over that of its training's prompts",
        &ratios,
        Side::AtLeast,
        1.5,
    )?);
    Ok(claims)
}

/// Least squares is exact on linear functions from `N = d` on.
fn exact(settings: &Settings, runs: &Table) -> anyhow::Result<Claim> {
    let beyond = settings.by_number(FunctionClass::Linear).filter(|p| p.n_demos >= settings.d);
    let losses: Vec<f64> =
        beyond.map(|p| untrained(runs, LEAST_SQUARES, p)).collect::<anyhow::Result<_>>()?;
    let statement = "Loss of least squares on linear functions, every N from d on";
    Ok(at_most(place("ols-exact"), statement, largest::value(losses), 1e-10))
}
