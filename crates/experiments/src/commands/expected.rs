//! Expected claims, and how documents write their numbers.

use crate::profile::Profile;
use crate::workspace::Workspace;
use artifact::claim::Claim;
use artifact::verify::read_claims;

/// The claims of an item that is blessed at profile paper; none of another.
pub(super) fn expected_claims(workspace: &Workspace, id: &str) -> anyhow::Result<Vec<Claim>> {
    let path = workspace.expected(Profile::Paper).data.join(id).join("claims.json");
    Ok(read_claims(&path)?)
}

pub(super) fn number(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 {
        "0".into()
    } else if (1e-3..1e4).contains(&size) {
        format!("{x:.4}")
    } else {
        format!("{x:.2e}")
    }
}

/// A claim's interval in words.
pub(super) fn interval(claim: &Claim) -> String {
    let [low, high] = claim.interval.map(number);
    if claim.sampled { format!("[{low}, {high}]") } else { "exact".into() }
}
