//! The figure.

use super::ITEM;
use crate::scheme::page::{Page, short};
use artifact::figure::Figure;
use artifact::table::Table;

const CELL: f64 = 9.0;

pub(super) fn figure(table: &Table, difference: f64) -> anyhow::Result<Figure> {
    let mut page = Page::new(table);
    let tokens = page.range(&["H", "V", "h'", "hidden", "z", "M V", "b", "f(q) + b"])?;
    draw_layer(&mut page, tokens)?;
    page.arrow([444.5, 86.0], [444.5, 142.0], "");
    page.arrow([444.5, 142.0], [444.5, 86.0], "");
    page.text([374.0, 121.0], format!("largest difference {}", short(difference)));
    draw_dual(&mut page, tokens)?;
    let caption = "One prompt in one Transformer layer without residual paths. The \
                   activation pattern Σ of the query makes the layer linear in the attention's values; the dual is \
                   trained on the transformed values, one increment for every demonstration, and the constant \
                   b = W₂ Σ b₁ + b₂ does not depend on the demonstrations. Features are exact on these keys; colours grow \
                   with the root of an entry, a dash says that it is negative, and a matrix below 1 % of its scale says so; the mask is on a scale from 0 to 1; both outputs are printed."
        .into();
    Ok(page.figure(ITEM.id, 332.0, caption))
}

fn draw_layer(page: &mut Page<'_>, tokens: [f64; 2]) -> anyhow::Result<()> {
    page.heading([244.0, 8.0], "a Transformer layer: attention, then a ReLU feed-forward part");
    page.frame([0.0, 16.0], [488.0, 92.0]);
    page.draw("H", "tokens H", ([16.0, 48.0], CELL), tokens)?;
    page.arrow([76.0, 66.0], [128.0, 66.0], "attention");
    page.draw("h'", "h′", ([138.0, 48.0], CELL), tokens)?;
    page.arrow([154.0, 66.0], [206.0, 66.0], "W₁ h′ + b₁");
    page.draw("hidden", "hidden", ([216.0, 39.0], CELL), tokens)?;
    page.arrow([232.0, 66.0], [280.0, 66.0], "> 0");
    page.draw("mask", "mask Σ", ([290.0, 39.0], CELL), [0.0, 1.0])?;
    page.arrow([306.0, 66.0], [428.0, 66.0], "W₂ Σ (W₁ h′ + b₁) + b₂");
    page.draw_column("z", "output z", ([440.0, 48.0], CELL), tokens)
}

fn draw_dual(page: &mut Page<'_>, tokens: [f64; 2]) -> anyhow::Result<()> {
    let n = page.matrix("H")?.1 - 1;
    let steps: Vec<String> = (1..=n).map(|i| format!("step {i}")).collect();
    let names: Vec<&str> = steps.iter().map(String::as_str).chain(["W0", "W1"]).collect();
    let (features, w) = (page.range(&["phi(K)"])?, page.range(&names)?);
    page.heading([150.0, 121.0], "its dual: f(x) + b, trained on the values W₂ Σ W₁ v");
    page.frame([0.0, 130.0], [488.0, 158.0]);
    page.draw("M V", "W₂ Σ W₁ V", ([16.0, 156.0], CELL), tokens)?;
    page.draw("phi(K)", "φ(K)", ([90.0, 152.0], CELL), features)?;
    page.draw("W0", "W₀ from the query token", ([184.0, 156.0], CELL), w)?;
    page.arrow([244.0, 174.0], [304.0, 174.0], &format!("+ {n} increments"));
    page.draw("W1", "W₁", ([310.0, 156.0], CELL), w)?;
    page.arrow([370.0, 174.0], [392.0, 174.0], "φ(q)");
    page.draw("b", "+ b", ([402.0, 156.0], CELL), tokens)?;
    page.draw_column("f(q) + b", "f(q) + b", ([440.0, 156.0], CELL), tokens)?;
    page.text([54.0, 252.0], "increments by");
    page.text([54.0, 261.0], "demonstration");
    page.draw_steps("step", n, ([104.0, 238.0], CELL), 74.0, w)?;
    page.colour_bar([60.0, 310.0], tokens, "tokens, values, hidden, outputs");
    page.colour_bar([220.0, 310.0], features, "features");
    page.colour_bar([370.0, 310.0], w, "W and its increments");
    Ok(())
}
