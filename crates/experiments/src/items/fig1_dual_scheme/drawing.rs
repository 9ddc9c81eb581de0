//! The figure.

use super::ITEM;
use crate::scheme::page::{Page, short};
use artifact::figure::Figure;
use artifact::table::Table;
use icl_numerics::largest;

/// Side of an entry in points.
const CELL: f64 = 9.0;

pub(super) fn figure(table: &Table, difference: f64) -> anyhow::Result<Figure> {
    let mut page = Page::new(table);
    let n = page.matrix("weights")?.1 - 1;
    draw_attention(&mut page)?;
    draw_dual(&mut page, n)?;
    // the demonstration that attention weighs most
    let weights = page.matrix("weights")?.0;
    let most = largest::value(weights[..n].iter().copied());
    let followed = weights.iter().position(|weight| *weight == most).unwrap_or(0);
    page.follow(&["H", "K", "V", "weights", "phi(K)"], followed);
    page.follow_whole(&format!("step {}", followed + 1))?;
    page.arrow([444.5, 92.0], [444.5, 162.0], "");
    page.arrow([444.5, 162.0], [444.5, 92.0], "");
    page.text([374.0, 141.0], format!("largest difference {}", short(difference)));
    let caption = format!(
        "One prompt of the linear task ({n} demonstrations and the query token, one column \
         each) in one attention layer. Above: attention. Below: its dual with features that are exact on these \
         keys. W starts with the query token's part and gains one increment v φ(k)ᵀ / D for every \
         demonstration. Outlined: one demonstration, from its token to its increment. Colours grow with the root of an entry, a dash says that it is negative; attention \
         weights are on a scale from 0 to 1; both outputs are printed."
    );
    Ok(page.figure(ITEM.id, 352.0, caption))
}

fn draw_attention(page: &mut Page<'_>) -> anyhow::Result<()> {
    let tokens = page.range(&TOKENS)?;
    page.heading([244.0, 8.0], "softmax attention reads the demonstrations");
    page.frame([0.0, 16.0], [488.0, 112.0]);
    page.draw("H", "tokens H", ([16.0, 56.0], CELL), tokens)?;
    page.arrow([76.0, 70.0], [112.0, 56.0], "");
    page.arrow([76.0, 78.0], [112.0, 98.0], "");
    page.draw("K", "keys K", ([118.0, 34.0], CELL), tokens)?;
    page.draw("V", "values V", ([118.0, 86.0], CELL), tokens)?;
    page.draw("q", "query q", ([192.0, 34.0], CELL), tokens)?;
    page.arrow([208.0, 52.0], [262.0, 52.0], "softmax(K q)");
    page.draw("weights", "weights", ([268.0, 47.5], CELL), [0.0, 1.0])?;
    page.arrow([328.0, 54.0], [432.0, 66.0], "");
    page.arrow([178.0, 104.0], [432.0, 82.0], "");
    page.text([300.0, 106.0], "weighted sum of the values");
    page.draw_column("h'", "output h′", ([440.0, 54.0], CELL), tokens)
}

fn draw_dual(page: &mut Page<'_>, n: usize) -> anyhow::Result<()> {
    let steps: Vec<String> = (1..=n).map(|i| format!("step {i}")).collect();
    let mut names: Vec<&str> = steps.iter().map(String::as_str).collect();
    names.extend(["W0", "W1"]);
    let (tokens, w) = (page.range(&TOKENS)?, page.range(&names)?);
    let features = page.range(&["phi(K)", "phi(q)"])?;
    page.heading([150.0, 141.0], "the dual f(x) = W φ(x) takes one gradient step");
    page.frame([0.0, 150.0], [488.0, 158.0]);
    page.draw("phi(K)", "features φ(K)", ([16.0, 172.0], CELL), features)?;
    page.draw("phi(q)", "φ(q)", ([90.0, 172.0], CELL), features)?;
    page.draw("W0", "W₀ from the query token", ([160.0, 176.0], CELL), w)?;
    page.arrow([220.0, 194.0], [300.0, 194.0], &format!("+ {n} increments"));
    page.draw("W1", "W₁", ([306.0, 176.0], CELL), w)?;
    page.arrow([366.0, 194.0], [432.0, 194.0], "W₁ φ(q)");
    page.draw_column("f(q)", "prediction f(q)", ([440.0, 176.0], CELL), tokens)?;
    page.text([54.0, 272.0], "increments by");
    page.text([54.0, 281.0], "demonstration");
    page.draw_steps("step", n, ([104.0, 258.0], CELL), 74.0, w)?;
    page.colour_bar([60.0, 330.0], tokens, "tokens, keys, values, outputs");
    page.colour_bar([220.0, 330.0], features, "features");
    page.colour_bar([370.0, 330.0], w, "W and its increments");
    Ok(())
}

/// Matrices on the tokens' scale.
const TOKENS: [&str; 6] = ["H", "K", "V", "q", "f(q)", "h'"];
