//! Claims: what coincides, what does not, and in how many prompts the pairs become more similar.

use super::{ITEM, PROMPTS};
use crate::scheme::matrices::MATRICES;
use crate::scheme::page::Page;
use crate::scheme::prompt::Settings;
use artifact::claim::{Claim, Place, Side, at_least, at_most, over_seeds, sampled};
use artifact::statistics::{interval, share_interval};
use artifact::table::Table;
use icl_numerics::largest;

fn place<'a>(claim: &'a str, table: &'a str) -> Place<'a> {
    Place { item: ITEM.id, claim, table }
}

/// Share of each prompt's pairs that gain.
pub(super) fn shares(
    settings: &Settings,
    prompts: &Table,
    column: &str,
) -> anyhow::Result<Vec<f64>> {
    let n = settings.n_demos as f64;
    Ok(prompts.integers(column)?.into_iter().map(|count| count as f64 / n).collect())
}

/// Share of the prompts in which every pair gains, and how many prompts there are.
pub(super) fn whole(
    settings: &Settings,
    prompts: &Table,
    column: &str,
) -> anyhow::Result<(f64, usize)> {
    let counts = prompts.integers(column)?;
    let all = counts.iter().filter(|count| **count == settings.n_demos as i64).count();
    Ok((all as f64 / counts.len() as f64, counts.len()))
}

pub(super) fn claims(
    settings: &Settings,
    matrices: &Table,
    prompts: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let mut claims = identities(matrices, prompts)?.to_vec();
    claims.extend(alignment(settings, prompts)?);
    Ok(claims)
}

/// What holds for every prompt, to rounding.
fn identities(matrices: &Table, prompts: &Table) -> anyhow::Result<[Claim; 4]> {
    let page = Page::new(matrices);
    let coincide = largest::value([
        page.difference("without: increments", "in context: increments")?,
        page.difference("without: prediction", "in context: prediction")?,
    ]);
    let mixed = page.difference("contrastive: increments", "contrastive: attention to pulls")?;
    let closed = page.matrix("contrastive: gradient")?.0;
    let gradient = page
        .difference("contrastive: gradient", "contrastive: gradient by differences")?
        / largest::magnitude(closed);
    let ratios = prompts.floats("sum_over_square")?;
    let step = largest::magnitude(ratios.into_iter().map(|ratio| ratio - 1.0));
    Ok([
        at_most(
            place("coincide", MATRICES),
            "Increments and prediction of the step without negatives against attention's terms and output",
            coincide,
            1e-12,
        ),
        at_most(
            place("contrastive", MATRICES),
            "Increments of the contrastive step against attention to values less their softmax mean",
            mixed,
            1e-12,
        ),
        at_most(
            place("gradient", MATRICES),
            "Closed gradient of the contrastive loss against central differences, relative",
            gradient,
            1e-7,
        ),
        at_most(
            place("step", PROMPTS),
            "Sum of the similarities' gains against D |dW|^2, relative, all held-out prompts: on average pairs do become \
             more similar",
            step,
            1e-9,
        ),
    ])
}

/// How often single pairs become more similar.
fn alignment(settings: &Settings, prompts: &Table) -> anyhow::Result<[Claim; 3]> {
    let pairs = interval::mean(&shares(settings, prompts, "similar_without")?)?;
    let (all, n) = whole(settings, prompts, "similar_without")?;
    let contrasts = [
        shares(settings, prompts, "contrast_contrastive")?,
        shares(settings, prompts, "contrast_without")?,
    ];
    let more: Vec<f64> = contrasts[0].iter().zip(&contrasts[1]).map(|(a, b)| a - b).collect();
    let every = at_least(
        place("prompts", PROMPTS),
        "Share of held-out prompts in which it makes every pair more similar",
        all,
        0.5,
    );
    Ok([
        over_seeds(
            place("pairs", PROMPTS),
            "Share of pairs that the step without negatives makes more similar, all held-out prompts",
            pairs,
            Side::AtLeast,
            0.5,
        ),
        Claim { expected: false, ..sampled(every, share_interval(all, n)) },
        Claim {
            expected: false,
            ..over_seeds(
                place("contrast", PROMPTS),
                "Share of pairs whose contrast the contrastive step raises, less the share by the step without negatives",
                interval::mean(&more)?,
                Side::AtLeast,
                0.0,
            )
        },
    ])
}
