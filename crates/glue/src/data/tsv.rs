//! GLUE's tab-separated files.

use super::{Row, label};
use crate::task::Columns;
use crate::{GlueError, Task};
use icl_numerics::threads::apart;
use polars::prelude::{CsvParseOptions, CsvReadOptions, SerReader as _, StringChunked};
use std::io::Cursor;
use std::path::Path;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const NEXT: &str = "fetch the file again, or check that it is of this task";

pub(super) fn rows(path: &Path, task: Task, bytes: &[u8]) -> Result<Vec<Row>, GlueError> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let columns = layout(path, task, bytes)?;
    let body = if columns.header { after_first_line(bytes) } else { bytes };
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let options = CsvParseOptions::default()
        .with_separator(b'\t')
        .with_quote_char(None)
        .with_eol_char(b'\n')
        .with_missing_is_null(false);
    let reader = CsvReadOptions::default()
        .with_has_header(false)
        .with_infer_schema_length(Some(0))
        .with_n_threads(Some(1))
        .with_parse_options(options)
        .into_reader_with_file_handle(Cursor::new(body));
    let frame = apart(|| reader.finish())
        .map_err(|error| GlueError::file(path, "rows", error.to_string(), "a table", NEXT))?;
    let column = |index: usize| -> Result<&StringChunked, GlueError> {
        let broken = |found: String| GlueError::file(path, "columns", found, "text", NEXT);
        let column = frame.select_at_idx(index);
        let column = column.ok_or_else(|| broken(format!("{} columns", frame.width())))?;
        column.str().map_err(|error| broken(error.to_string()))
    };
    let first = column(columns.sentences[0])?;
    let second = columns.sentences.get(1).map(|index| column(*index)).transpose()?;
    let labels = columns.labelled().then(|| column(columns.label)).transpose()?;
    (0..frame.height())
        .map(|row| {
            let text = |column: &StringChunked| column.get(row).unwrap_or("").to_owned();
            let word = labels.map(text);
            let label = word.map(|word| {
                label(task, &word).map_err(|expected| {
                    let field = field(columns, row, "label");
                    GlueError::file(path, field, format!("`{word}`"), expected, NEXT)
                })
            });
            let (first, second) = (text(first), second.map(text));
            if first.is_empty() || second.as_ref().is_some_and(String::is_empty) {
                let field = field(columns, row, "sentence");
                return Err(GlueError::file(path, field, "nothing", "a sentence", NEXT));
            }
            Ok(Row { first, second, label: label.transpose()? })
        })
        .collect()
}

fn field(columns: Columns, row: usize, what: &str) -> String {
    format!("line {}, {what}", row + 1 + usize::from(columns.header))
}

fn after_first_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
    &bytes[end..]
}

/// Which of the task's layouts the file has, by its first line; every line must have as many fields.
fn layout(path: &Path, task: Task, bytes: &[u8]) -> Result<Columns, GlueError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        GlueError::file(path, format!("line {line}"), "other bytes", "UTF-8 text", NEXT)
    })?;
    if text.is_empty() {
        return Err(GlueError::file(path, "rows", "none", "at least one", NEXT));
    }
    let fields = |line: &str| line.split('\t').count();
    let known = [task.columns(), task.unlabelled_columns()];
    let first = text.split('\n').next().unwrap_or("");
    let columns =
        known.into_iter().find(|columns| fits(task, *columns, first)).ok_or_else(|| {
            let numbers = known.map(|columns| columns.number.to_string()).join(" or ");
            let expected = format!("{numbers} columns of {task}, separated by tabs");
            GlueError::file(path, "line 1", format!("`{}`", cut(first)), expected, NEXT)
        })?;
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    for (i, line) in lines.enumerate() {
        if fields(line) != columns.number {
            let (found, line) = (format!("{} fields", fields(line)), format!("line {}", i + 1));
            return Err(GlueError::file(path, line, found, columns.number.to_string(), NEXT));
        }
    }
    Ok(columns)
}

/// Whether a first line is one of these columns: as many fields, and a header where there is to be one.
fn fits(task: Task, columns: Columns, line: &str) -> bool {
    let fields: Vec<&str> = line.split('\t').collect();
    if fields.len() != columns.number {
        return false;
    }
    let named = |word: &str| word.to_lowercase().replace("quality", "label");
    match (task, columns.labelled()) {
        // MRPC's files have the same columns with and without labels
        (Task::Mrpc, labelled) => (named(fields[0]) == "label") == labelled,
        (Task::Cola, true) => true,
        _ => ["index", "id"].contains(&fields[0]),
    }
}

/// The beginning of a line, for messages.
fn cut(line: &str) -> String {
    line.chars().take(60).collect()
}
