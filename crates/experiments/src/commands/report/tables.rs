//! The first rows of exported tables, and figures as parts of a page.

use artifact::output;
use serde::Serialize;
use std::path::Path;

/// Rows that a page shows of a table; the file has all.
const ROWS: usize = 20;

#[derive(Serialize)]
pub(super) struct Table {
    name: String,
    path: String,
    rows: usize,
    header: Vec<String>,
    first: Vec<Vec<String>>,
}

impl Table {
    /// The table at `path` inside `dir`; none if it cannot be read.
    pub(super) fn read(dir: &Path, path: &str) -> Option<Self> {
        let bytes = output::read(&dir.join(path)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let header = fields(lines.next()?);
        let first = lines.clone().take(ROWS).map(fields).collect();
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        Some(Self { name, path: path.to_owned(), rows: lines.count(), header, first })
    }
}

/// Fields of a line: quoted ones may hold commas, and doubled quotes stand for one.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                if let Some(field) = fields.last_mut() {
                    field.push('"');
                }
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    fields
}

/// A figure's document without its size and font, which the page has once.
pub(super) fn inline(svg: &str) -> (String, String) {
    let (before, rest) = svg.split_once("<style>").unwrap_or((svg, ""));
    let (font, after) = rest.split_once("</style>").unwrap_or(("", rest));
    let start = before.find("viewBox").unwrap_or(0);
    (format!("<svg {}{after}", &before[start..]), font.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_hold_commas_and_quotes() {
        assert_eq!(fields("a,\"b,c\",\"d\"\"e\","), ["a", "b,c", "d\"e", ""]);
    }

    #[test]
    fn a_figure_keeps_its_view_and_leaves_its_font() {
        let svg = "<svg width=\"3pt\" viewBox=\"0 0 1 1\">\n<style>@font</style>\n<g/></svg>";
        let (inline, font) = inline(svg);
        assert_eq!(inline, "<svg viewBox=\"0 0 1 1\">\n\n<g/></svg>");
        assert_eq!(font, "@font");
    }
}
