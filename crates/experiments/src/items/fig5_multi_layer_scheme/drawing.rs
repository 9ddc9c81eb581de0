//! The figure.

use super::ITEM;
use crate::scheme::page::{Page, short};
use artifact::figure::Figure;
use artifact::table::Table;

const CELL: f64 = 9.0;
/// Height of a layer's row.
const ROW: f64 = 132.0;
/// Side of an increment's entry.
const SMALL: f64 = 5.0;

pub(super) fn figure(table: &Table, differences: &[f64]) -> anyhow::Result<Figure> {
    let mut page = Page::new(table);
    let depth = differences.len();
    let own = |kind: &str| -> Vec<String> { (1..=depth).map(|l| format!("{kind} {l}")).collect() };
    let token_names = [vec!["dual 0".to_owned()], own("dual"), own("stack")].concat();
    let tokens = page.range(&token_names.iter().map(String::as_str).collect::<Vec<_>>())?;
    for (l, difference) in differences.iter().enumerate() {
        draw_layer(&mut page, l, tokens, *difference)?;
    }
    let bottom = ROW * depth as f64 + 12.0;
    page.colour_bar([110.0, bottom], tokens, "tokens");
    page.colour_bar([310.0, bottom], [-1.0, 1.0], "W over its layer's largest entry");
    let caption = format!(
        "One prompt in {depth} Transformer layers with residual paths. Each layer has one \
         dual for all queries (a constant channel under the values makes W independent of the query); it is trained \
         on the tokens that the duals before predicted, one increment for every demonstration, and W matters only up to a factor. Right: predicted tokens and those of the stack."
    );
    Ok(page.figure(ITEM.id, bottom + 20.0, caption))
}

/// The row of layer `l`.
fn draw_layer(
    page: &mut Page<'_>,
    l: usize,
    tokens: [f64; 2],
    difference: f64,
) -> anyhow::Result<()> {
    let top = ROW * l as f64;
    page.frame([0.0, top], [488.0, ROW - 10.0]);
    page.upright([12.0, top + 61.0], format!("layer {}", l + 1));
    let (_, width) = page.matrix(&format!("dual {l}"))?;
    page.draw(&format!("dual {l}"), "tokens", ([30.0, top + 24.0], CELL), tokens)?;
    page.arrow([90.0, top + 42.0], [112.0, top + 42.0], "");
    let (w0, w1, step) =
        (format!("W0 {}", l + 1), format!("W1 {}", l + 1), format!("step {}", l + 1));
    let steps: Vec<String> = (1..width).map(|i| format!("{step} {i}")).collect();
    let names: Vec<&str> = steps.iter().chain([&w0, &w1]).map(String::as_str).collect();
    let w = page.range(&names)?;
    page.draw(&w0, "W₀ from the query token", ([132.0, top + 20.0], CELL), w)?;
    page.arrow([192.0, top + 42.0], [240.0, top + 42.0], &format!("+ {} steps", width - 1));
    page.draw(&w1, "W₁ for all queries", ([246.0, top + 20.0], CELL), w)?;
    page.arrow([306.0, top + 42.0], [346.0, top + 42.0], "/ D, FFN");
    page.draw(&format!("dual {}", l + 1), "duals", ([352.0, top + 24.0], CELL), tokens)?;
    page.draw(&format!("stack {}", l + 1), "stack", ([424.0, top + 24.0], CELL), tokens)?;
    page.text([415.0, top + 71.0], format!("largest difference {}", short(difference)));
    page.text([80.0, top + 95.0], "increments");
    page.draw_steps(&step, width - 1, ([132.0, top + 88.0], SMALL), 41.0, w)
}
