//! The first rows of exported tables, and figures as parts of a page.

use artifact::output;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Rows up to which a page shows a whole table, and rows that it shows of a longer one; the file has all.
const WHOLE: usize = 100;
const FIRST: usize = 20;

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
        let rows = lines.clone().count();
        let first = lines.take(if rows > WHOLE { FIRST } else { WHOLE }).map(fields).collect();
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        Some(Self { name, path: path.to_owned(), rows, header, first })
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

/// A figure as a part of the page.
pub(super) struct Inline {
    /// The document with an id, without its size and font.
    pub(super) svg: String,
    /// The rule of its font, which the page has once.
    pub(super) font: String,
    /// Its view.
    pub(super) view: String,
}

impl Inline {
    /// From a figure's document.
    pub(super) fn new(id: &str, svg: &str) -> Self {
        let (before, rest) = svg.split_once("<style>").unwrap_or((svg, ""));
        let (font, after) = rest.split_once("</style>").unwrap_or(("", rest));
        let start = before.find("viewBox").unwrap_or(0);
        let view = before[start..].split('"').nth(1).unwrap_or_default().to_owned();
        let svg = format!("<svg id=\"art-{id}\" {}{after}", &before[start..]);
        Self { svg, font: font.to_owned(), view }
    }
}

/// The matrices of a scheme by name, row by row, with their numbers of columns: what a page needs to draw them anew.
pub(super) fn matrices(dir: &Path, path: &str) -> Option<BTreeMap<String, (usize, Vec<f64>)>> {
    let bytes = output::read(&dir.join(path)).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut matrices: BTreeMap<String, (usize, Vec<f64>)> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let [name, _, column, value] = fields(line).try_into().ok()?;
        let (columns, entries) = matrices.entry(name).or_default();
        *columns = (*columns).max(column.parse::<usize>().ok()? + 1);
        entries.push(value.parse().ok()?);
    }
    Some(matrices)
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
        let inline = Inline::new("a", svg);
        assert_eq!(inline.svg, "<svg id=\"art-a\" viewBox=\"0 0 1 1\">\n\n<g/></svg>");
        assert_eq!((inline.font.as_str(), inline.view.as_str()), ("@font", "0 0 1 1"));
    }
}
