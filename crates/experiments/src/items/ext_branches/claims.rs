//! Claims: the sign predicts the branch, runs reach its floor, no start finds a better optimum.

use super::{ENDS, ITEM, Settings, floors, run};
use artifact::claim::{Claim, Place, Side, at_least, over_seeds, sampled};
use artifact::statistics::{Interval, interval, share_interval};
use artifact::table::Table;
use dual_model::floor::Kind;
use icl_numerics::largest;

fn place(claim: &str) -> Place<'_> {
    Place { item: ITEM.id, claim, table: ENDS }
}

pub(super) fn claims(
    settings: &Settings,
    ends: &Table,
    floors: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let (weights, branches) = (ends.floats("label_weight")?, ends.texts("branch")?);
    let (losses, over) = (ends.floats("final_loss")?, ends.floats("over_floor")?);
    let drawn = run::of_start(ends, "as the figures")?;
    let predicted = |i: &usize| {
        let kind = if weights[*i] < 0.0 { Kind::Opposed } else { Kind::Aligned };
        branches[*i] == kind.name()
    };
    let hits = drawn.iter().filter(|i| predicted(i)).count();
    let share = hits as f64 / drawn.len().max(1) as f64;
    let sign = at_least(
        place("sign"),
        "Share of random starts whose branch the sign of w_v[s, s] predicts: negative opposed, positive aligned",
        share,
        0.9,
    );
    let mut claims = vec![sampled(sign, share_interval(share, drawn.len())).with_best(1.0)];
    for kind in [Kind::Opposed, Kind::Aligned] {
        let own: Vec<f64> =
            drawn.iter().filter(|i| branches[**i] == kind.name()).map(|i| over[*i]).collect();
        if own.is_empty() {
            continue;
        }
        let name = format!("floor/{}", kind.name());
        let statement = format!(
            "Loss of the runs in the {} branch over its floor on the same prompts",
            kind.name()
        );
        claims.push(over_seeds(
            place(&name),
            &statement,
            interval::mean(&own)?,
            Side::AtMost,
            1.005,
        ));
    }
    let lowest = floors::on_same_prompts(floors)?.into_iter().map(|floor| floor.loss);
    let lowest = largest::least(lowest);
    let free = run::of_start(ends, "free")?;
    let best = largest::least(free.iter().map(|i| losses[*i] / lowest));
    let best = Interval { mean: best, lower: best, upper: best, n: free.len() };
    let statement = "Lowest loss of the free starts over the lower floor on the same prompts: none finds a better optimum";
    claims.push(over_seeds(place("no-better"), statement, best, Side::AtLeast, 0.998));
    let expected = settings.seeds >= FEWEST_RUNS;
    Ok(claims.into_iter().map(|claim| Claim { expected, ..claim }).collect())
}

/// Shorter profiles have fewer runs and steps: nothing is expected of them.
const FEWEST_RUNS: u64 = 50;
