//! Figures and tables as LaTeX: a fragment for each, to be `\input` by a paper.
//!
//! A document needs `graphicx` and `booktabs`; everything outside ASCII is written as commands that pdfLaTeX knows.

use crate::ArtifactError;
use crate::figure::{Figure, plain_number};
use crate::table::{ColumnType, Table};
use std::fmt::Write as _;

/// Rows up to which a table becomes a fragment; longer ones are for machines.
pub const MOST_ROWS: usize = 48;
/// Columns up to which it does.
pub const MOST_COLUMNS: usize = 13;

/// Says that nobody wrote it.
const HEADER: &str = "% Made by `icl run`: changes are lost.\n";

/// A figure: picture, caption and label.
///
/// # Errors
/// [`ArtifactError::Figure`] if a character of the caption has no command here.
pub fn figure(figure: &Figure) -> Result<String, ArtifactError> {
    let id = &figure.id;
    let caption = escaped(id, &figure.caption)?;
    Ok(format!(
        "{HEADER}\\begin{{figure}}[htbp]\n  \\centering\n  \\includegraphics[width=\\linewidth]{{{id}.pdf}}\n  \
         \\caption{{{caption}}}\n  \\label{{fig:{id}}}\n\\end{{figure}}\n"
    ))
}

/// A table of the item `id` with rules of booktabs, floats to three digits, no wider than the page; none if it is too
/// large to be read.
///
/// # Errors
/// [`ArtifactError::Figure`] if a character has no command here.
pub fn table(id: &str, claim: &str, table: &Table) -> Result<Option<String>, ArtifactError> {
    let schema = table.schema();
    if table.rows() > MOST_ROWS || schema.len() > MOST_COLUMNS {
        return Ok(None);
    }
    let name = table.name();
    let mut columns = Vec::new();
    for (column, kind) in &schema {
        columns.push(match kind {
            ColumnType::Float => {
                table.floats(column)?.into_iter().map(|x| escaped(name, &number(x))).collect()
            }
            _ => table.entries(column)?.iter().map(|text| escaped(name, text)).collect(),
        });
    }
    let columns: Vec<Vec<String>> = columns.into_iter().collect::<Result<_, _>>()?;
    let side = |(_, kind): &(String, ColumnType)| if *kind == ColumnType::Text { 'l' } else { 'r' };
    let sides: String = schema.iter().map(side).collect();
    let header = schema.iter().map(|(column, _)| escaped(name, &column.replace('_', " ")));
    let header: Vec<String> = header.collect::<Result<_, _>>()?;
    let mut body = String::new();
    for row in 0..table.rows() {
        let cells: Vec<&str> = columns.iter().map(|column| column[row].as_str()).collect();
        _ = writeln!(body, "    {} \\\\", cells.join(" & "));
    }
    let caption = escaped(name, &format!("{claim}: table {name} of {id}."))?;
    let header = header.join(" & ");
    Ok(Some(format!(
        "{HEADER}\\begin{{table}}[htbp]\n  \\centering\\footnotesize\n  \\caption{{{caption}}}\n  \
         \\label{{tab:{id}:{name}}}\n  \\sbox0{{\\begin{{tabular}}{{{sides}}}\n    \\toprule\n    {header} \\\\\n    \
         \\midrule\n{body}    \\bottomrule\n  \\end{{tabular}}}}%\n  \
         \\ifdim\\wd0>\\linewidth\\resizebox{{\\linewidth}}{{!}}{{\\usebox0}}\\else\\usebox0\\fi\n\\end{{table}}\n"
    )))
}

/// A number of a table.
fn number(x: f64) -> String {
    if x.is_finite() { plain_number(x) } else { x.to_string() }
}

/// Text in which everything stands for itself.
fn escaped(of: &str, text: &str) -> Result<String, ArtifactError> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => out.extend(['\\', c]),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' | '>' | '|' => _ = write!(out, "\\ensuremath{{{c}}}"),
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&command(c).ok_or_else(|| ArtifactError::Figure {
                figure: of.to_owned(),
                what: "LaTeX text".into(),
                found: format!("`{c}`"),
                expected: "a character with a command (latex.rs)".into(),
            })?),
        }
    }
    Ok(out)
}

/// Digits above and below the line.
const RAISED: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const LOWERED: &str = "₀₁₂₃₄₅₆₇₈₉";
/// Signs of formulas.
const MATHS: [(char, &str); 50] = [
    ('°', "^\\circ"),
    ('±', "\\pm"),
    ('·', "\\cdot"),
    ('×', "\\times"),
    ('Δ', "\\Delta"),
    ('Σ', "\\Sigma"),
    ('Ω', "\\Omega"),
    ('α', "\\alpha"),
    ('β', "\\beta"),
    ('γ', "\\gamma"),
    ('δ', "\\delta"),
    ('ε', "\\epsilon"),
    ('η', "\\eta"),
    ('θ', "\\theta"),
    ('κ', "\\kappa"),
    ('λ', "\\lambda"),
    ('μ', "\\mu"),
    ('ν', "\\nu"),
    ('ξ', "\\xi"),
    ('π', "\\pi"),
    ('ρ', "\\rho"),
    ('σ', "\\sigma"),
    ('τ', "\\tau"),
    ('φ', "\\varphi"),
    ('ψ', "\\psi"),
    ('ω', "\\omega"),
    ('‖', "\\|"),
    ('′', "'"),
    ('⁺', "^{+}"),
    ('⁻', "^{-}"),
    ('ⁿ', "^{n}"),
    ('ᵀ', "^{\\top}"),
    ('₊', "_{+}"),
    ('₋', "_{-}"),
    ('ᵢ', "_{i}"),
    ('ⱼ', "_{j}"),
    ('ᵣ', "_{r}"),
    ('ₖ', "_{k}"),
    ('ₙ', "_{n}"),
    ('→', "\\rightarrow"),
    ('←', "\\leftarrow"),
    ('↑', "\\uparrow"),
    ('↓', "\\downarrow"),
    ('∈', "\\in"),
    ('−', "-"),
    ('≈', "\\approx"),
    ('≠', "\\neq"),
    ('≤', "\\leq"),
    ('≥', "\\geq"),
    ('√', "\\surd"),
];
/// Signs of texts.
const TEXT: [(char, &str); 9] = [
    ('\u{2009}', "\\,"),
    ('\u{a0}', "~"),
    ('–', "--"),
    ('—', "---"),
    ('…', "\\dots{}"),
    ('●', "\\ensuremath{\\bullet}"),
    ('○', "\\ensuremath{\\circ}"),
    ('∞', "\\ensuremath{\\infty}"),
    ('∑', "\\ensuremath{\\sum}"),
];

/// The command of a character outside ASCII.
fn command(c: char) -> Option<String> {
    let digit = |digits: &str| digits.chars().position(|known| known == c);
    if let Some(digit) = digit(RAISED) {
        return Some(format!("\\ensuremath{{^{digit}}}"));
    }
    if let Some(digit) = digit(LOWERED) {
        return Some(format!("\\ensuremath{{_{digit}}}"));
    }
    if let Some((_, command)) = TEXT.iter().find(|(known, _)| *known == c) {
        return Some((*command).to_owned());
    }
    let (_, maths) = MATHS.iter().find(|(known, _)| *known == c)?;
    Some(format!("\\ensuremath{{{maths}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stands_for_itself() {
        assert_eq!(escaped("t", "5 % of c_1 {x}").unwrap(), "5 \\% of c\\_1 \\{x\\}");
        assert_eq!(
            escaped("t", "10⁻¹⁶ ≤ φ").unwrap(),
            "10\\ensuremath{^{-}}\\ensuremath{^1}\\ensuremath{^6} \\ensuremath{\\leq} \\ensuremath{\\varphi}"
        );
        assert!(escaped("t", "漢").unwrap_err().to_string().contains("漢"));
    }

    #[test]
    fn every_character_of_the_figures_font_has_a_command() {
        let glyphs = include_str!("../assets/glyphs.txt");
        // marks of schemes are drawn, not written
        let drawn = ['▲', '▼', '◆', '■', '↔'];
        for c in glyphs.chars().filter(|c| !c.is_ascii() && !drawn.contains(c)) {
            assert!(command(c).is_some(), "{c}");
        }
    }

    #[test]
    fn small_tables_become_fragments_and_large_ones_do_not() {
        let small = Table::builder("t")
            .texts("name_of", &["a & b", "c"])
            .floats("x", vec![0.25, -3.3e-16])
            .integers("n", vec![1, 2])
            .build()
            .unwrap();
        let fragment = table("item", "A claim", &small).unwrap().unwrap();
        assert!(fragment.contains("\\begin{tabular}{lrr}") && fragment.contains("name of & x & n"));
        assert!(fragment.contains("a \\& b & 0.25 & 1 \\\\"), "{fragment}");
        let large = Table::builder("t").floats("x", vec![0.0; MOST_ROWS + 1]).build().unwrap();
        assert_eq!(table("item", "A claim", &large).unwrap(), None);
    }
}
