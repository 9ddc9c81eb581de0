//! The figure: tokens run down at both sides, by the duals and by the stack; between them stands every layer's dual.

use super::ITEM;
use crate::scheme::page::{Page, short};
use artifact::figure::Figure;
use artifact::table::Table;

/// Side of an entry.
const CELL: f64 = 9.0;
/// From the tokens of a layer to those of the next.
const ROW: f64 = 98.0;
/// Upper edge of the first tokens.
const TOP: f64 = 46.0;
/// Left edges of the tokens by the duals, of a dual's frame, of both its matrices, and of the stack's tokens.
const DUALS: f64 = 16.0;
const FRAME: f64 = 122.0;
const W0: f64 = 150.0;
const W1: f64 = 284.0;
const STACK: f64 = 420.0;

pub(super) fn figure(table: &Table, differences: &[f64]) -> anyhow::Result<Figure> {
    let mut page = Page::new(table);
    let depth = differences.len();
    let own = |kind: &str| -> Vec<String> { (1..=depth).map(|l| format!("{kind} {l}")).collect() };
    let token_names = [vec!["dual 0".to_owned()], own("dual"), own("stack")].concat();
    let tokens = page.range(&token_names.iter().map(String::as_str).collect::<Vec<_>>())?;
    page.heading([DUALS + 27.0, 10.0], "by the duals");
    page.heading([244.0, 10.0], "every layer's dual, one W for all queries");
    page.heading([STACK + 27.0, 10.0], "by the stack");
    for side in [DUALS, STACK] {
        page.draw("dual 0", "tokens H⁰", ([side, TOP], CELL), tokens)?;
    }
    for (l, difference) in differences.iter().enumerate() {
        draw_dual(&mut page, l)?;
        draw_tokens(&mut page, l + 1, tokens, *difference)?;
    }
    let bottom = TOP + ROW * depth as f64 + 84.0;
    page.colour_bar([110.0, bottom], tokens, "tokens");
    page.colour_bar([310.0, bottom], [-1.0, 1.0], "W over its layer's largest entry");
    let caption = format!(
        "One prompt in {depth} Transformer layers with residual paths. Left: each layer's dual (a constant channel under \
         the values makes its W independent of the query) is trained on the tokens that the dual before it predicted, by \
         one increment for every demonstration, and predicts the next tokens: W₁ φ(q) over the normaliser D, then the \
         residual path and the feed-forward part. W matters only up to a factor; one below 1 % of its \
         scale says so. Right: the tokens of the stack itself. A dash says that an entry is negative."
    );
    Ok(page.figure(ITEM.id, bottom + 20.0, caption))
}

/// The dual between the tokens of layer `l` and those of the next.
fn draw_dual(page: &mut Page<'_>, l: usize) -> anyhow::Result<()> {
    let top = TOP + ROW * l as f64;
    let (_, width) = page.matrix(&format!("dual {l}"))?;
    let (w0, w1, step) =
        (format!("W0 {}", l + 1), format!("W1 {}", l + 1), format!("step {}", l + 1));
    let steps: Vec<String> = (1..width).map(|i| format!("{step} {i}")).collect();
    let names: Vec<&str> = steps.iter().chain([&w0, &w1]).map(String::as_str).collect();
    let w = page.range(&names)?;
    page.frame([FRAME, top - 22.0], [240.0, 72.0]);
    page.upright([FRAME + 9.0, top + 14.0], format!("dual {}", l + 1));
    page.arrow([DUALS + 58.0, top + 18.0], [FRAME - 4.0, top + 18.0], "");
    page.draw(&w0, "W₀ from the query token", ([W0 + 14.0, top - 4.0], CELL), w)?;
    page.arrow([W0 + 72.0, top + 18.0], [W1 - 4.0, top + 18.0], &format!("+ {} steps", width - 1));
    page.draw(&w1, "W₁", ([W1, top - 4.0], CELL), w)?;
    page.arrow([FRAME + 20.0, top + 53.0], [DUALS + 59.0, top + ROW + 4.0], "");
    page.text([FRAME + 124.0, top + 61.0], "W₁ φ(q) / D, residual path, feed-forward part");
    Ok(())
}

/// The tokens of layer `l` at both sides.
fn draw_tokens(
    page: &mut Page<'_>,
    l: usize,
    tokens: [f64; 2],
    difference: f64,
) -> anyhow::Result<()> {
    let top = TOP + ROW * l as f64;
    let label = format!("tokens H{}", superscript(l));
    page.draw(&format!("dual {l}"), &label, ([DUALS, top], CELL), tokens)?;
    let from = if l > 1 { 51.0 } else { 41.0 };
    page.arrow([STACK + 27.0, top - ROW + from], [STACK + 27.0, top - 15.0], "");
    page.text([STACK + 46.0, top - ROW / 2.0 + 18.0], format!("layer {l}"));
    page.draw(&format!("stack {l}"), &label, ([STACK, top], CELL), tokens)?;
    page.small([STACK + 27.0, top + 43.0], format!("differ by {}", short(difference)));
    Ok(())
}

fn superscript(digit: usize) -> char {
    "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(digit).unwrap_or('ⁿ')
}
