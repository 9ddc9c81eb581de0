//! Claims and figure from the checks of all prompts.

use super::{claims, drawing};
use crate::item::Outputs;
use artifact::table::Table;
use std::collections::BTreeMap;

pub(super) fn assemble(prompts: &[&Table]) -> anyhow::Result<Outputs> {
    Ok(Outputs {
        tables: vec![(Table::stack("checks", prompts.iter().copied())?, BTreeMap::new())],
        figures: vec![(drawing::figure(prompts)?, vec!["checks"])],
        claims: claims::claims(prompts)?,
    })
}
