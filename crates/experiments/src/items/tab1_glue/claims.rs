//! What is claimed of the table.

use super::inference::Compared;
use super::runs::{Floors, Runs};
use super::{ITEM, PLAIN};
use artifact::claim::{self, Claim, Place, Side, over_seeds};
use artifact::statistics::interval;
use icl_glue::Floor;

fn place<'a>(claim: &'a str, table: &'a str) -> Place<'a> {
    Place { item: ITEM.id, claim, table }
}

/// Whether a modification scores higher than plain, and whether plain beats the floors, is tested, not expected.
pub(super) fn claims(
    runs: &[Runs],
    floors: &[Floors],
    compared: &[Compared],
) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for one in compared {
        let name = format!("{}/{}/{}", short(&one.model), one.task.id(), one.setting);
        let statement = format!(
            "{}, {}: {} scores higher than plain (plain minus it is at most 0)",
            one.model, one.task, one.setting
        );
        claims.push(claim::compared(place(&name, "comparison"), &statement, &one.comparison));
    }
    for plain in runs.iter().filter(|one| one.setting == PLAIN) {
        let floors = floors.iter().filter(|floors| floors.task == plain.task);
        for floors in floors {
            for floor in [Floor::Majority, Floor::Cosine, Floor::Overlap] {
                claims.extend(floor_claim(plain, floors, floor.name())?);
            }
        }
    }
    Ok(claims)
}

fn floor_claim(plain: &Runs, floors: &Floors, floor: &str) -> anyhow::Result<Option<Claim>> {
    let Some(score) = floors.dev_score(floor)? else { return Ok(None) };
    let gaps: Vec<f64> = plain.dev_scores()?.into_iter().map(|own| score - own).collect();
    let name = format!("{}/{}/{floor}", short(&plain.model), plain.task.id());
    let gap = interval::mean(&gaps)?;
    let statement = format!(
        "{}, {}: plain scores higher than the floor of {floor} (the floor minus it is at most 0)",
        plain.model, plain.task
    );
    let claim = over_seeds(place(&name, "table1"), &statement, gap, Side::AtMost, 0.0);
    Ok(Some(Claim { expected: false, ..claim }))
}

/// The model's label up to its first comma.
fn short(model: &str) -> &str {
    model.split(',').next().unwrap_or(model)
}
