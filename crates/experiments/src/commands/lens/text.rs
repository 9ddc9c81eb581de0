//! A user's sentences.

use anyhow::{Context as _, bail};
use artifact::digest;
use icl_glue::Row;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Most sentences.
const MOST_SENTENCES: usize = 1024;
/// Most bytes of a file.
const MOST_BYTES: u64 = 1 << 24;

/// Sentences and pairs of a file.
#[derive(Debug)]
pub(super) struct Text {
    /// The line of each, from 1.
    pub(super) lines: Vec<usize>,
    /// Sentences or pairs, without labels.
    pub(super) rows: Vec<Row>,
    /// Lines without a word.
    pub(super) blank: usize,
    /// SHA-256 of the file.
    pub(super) sha256: String,
}

impl Text {
    /// Reads a file or a pipe.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let mut bytes = Vec::new();
        let file =
            File::open(path).with_context(|| format!("{name}: cannot read; check the path"))?;
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
        read.with_context(|| format!("{name}: cannot read; name a file of sentences"))?;
        if bytes.len() as u64 > MOST_BYTES {
            bail!("{name}: size: found more than {MOST_BYTES} bytes, expected fewer; cut the file");
        }
        Self::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> anyhow::Result<Self> {
        let name = path.display();
        let text = std::str::from_utf8(bytes).map_err(|error| {
            anyhow::anyhow!("{name}: found {error}, expected UTF-8; convert it")
        })?;
        let mut found =
            Self { lines: Vec::new(), rows: Vec::new(), blank: 0, sha256: digest::sha256(bytes) };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (i, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                found.blank += 1;
                continue;
            }
            if found.rows.len() == MOST_SENTENCES {
                bail!(
                    "{name}: line {}: found more than {MOST_SENTENCES} sentences, expected at most so many: \
                     memory and time grow with them; cut the file",
                    i + 1
                );
            }
            found.lines.push(i + 1);
            found.rows.push(row(line).map_err(|fault| {
                anyhow::anyhow!(
                    "{name}: line {}: found {fault}, expected a sentence, or two with one tab between; \
                     correct the line",
                    i + 1
                )
            })?);
        }
        if found.rows.is_empty() {
            bail!("{name}: found no sentence, expected at least one line with one; add it");
        }
        Ok(found)
    }
}

/// A sentence or a pair, or what is wrong with it.
fn row(line: &str) -> Result<Row, String> {
    let parts: Vec<&str> = line.split('\t').map(str::trim).collect();
    if parts.len() > 1 && parts.iter().any(|part| part.is_empty()) {
        return Err("a tab beside nothing".to_owned());
    }
    match parts[..] {
        [first] => Ok(Row { first: first.to_owned(), second: None, label: None }),
        [first, second] => {
            Ok(Row { first: first.to_owned(), second: Some(second.to_owned()), label: None })
        }
        _ => Err(format!("{} parts", parts.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sentences_or_pairs_and_blank_ones_are_counted() {
        let text =
            Text::parse(Path::new("t"), "\u{feff}One.\r\n\n a b\tc \n \t \n".as_bytes()).unwrap();
        assert_eq!((text.lines, text.blank), (vec![1, 3], 2));
        let pairs: Vec<_> =
            text.rows.iter().map(|r| (r.first.as_str(), r.second.as_deref())).collect();
        assert_eq!(pairs, [("One.", None), ("a b", Some("c"))]);
    }

    #[test]
    fn what_is_no_sentence_is_refused_with_its_line() {
        let many = "a\n".repeat(MOST_SENTENCES + 1);
        for (text, part) in [
            (&b""[..], "found no sentence"),
            (b" \n\n", "found no sentence"),
            (b"a\nb\tc\td", "line 2: found 3 parts"),
            (b"a\t", "line 1: found a tab beside nothing"),
            (b"a\xff", "expected UTF-8"),
            (many.as_bytes(), "line 1025: found more than 1024 sentences"),
        ] {
            let error = Text::parse(Path::new("t.txt"), text).unwrap_err().to_string();
            assert!(error.starts_with("t.txt: ") && error.contains(part), "{error}");
        }
    }
}
