//! `SHA256SUMS`, as `sha256sum -c` reads it.

use crate::digest::sha256;
use crate::output;
use std::collections::BTreeMap;

/// The text of `SHA256SUMS` for `files`, as `sha256sum -c` reads it, sorted by path.
pub fn sums<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let sorted: BTreeMap<&str, &[u8]> = files.into_iter().collect();
    sorted.iter().map(|(path, bytes)| format!("{}  {path}\n", sha256(bytes))).collect()
}

/// What a line of `SHA256SUMS` is.
pub const SUMS_LINE: &str = "64 hexadecimal digits, two spaces, a path inside the folder";

/// A line of `SHA256SUMS` that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// Its number, from 1.
    pub line: usize,
    /// What stands there.
    pub found: String,
}

/// Parses `SHA256SUMS` into path and digest; the second list says which lines are not [`SUMS_LINE`].
pub fn parse_sums(text: &str) -> (BTreeMap<String, String>, Vec<LineFault>) {
    let (mut sums, mut faults) = (BTreeMap::new(), Vec::new());
    for (i, line) in text.lines().enumerate() {
        let digest = |digest: &str| {
            digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        match line.split_once("  ") {
            Some((found, path)) if digest(found) && output::is_inside(path) => {
                sums.insert(path.to_owned(), found.to_owned());
            }
            _ => faults.push(LineFault { line: i + 1, found: line.to_owned() }),
        }
    }
    (sums, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_sorted_and_read_back() {
        let text = sums([("b", b"2".as_slice()), ("a", b"1")]);
        let (parsed, faults) = parse_sums(&text);
        assert_eq!(parsed["a"], sha256(b"1"));
        assert!(text.starts_with(&parsed["a"]) && faults.is_empty());
        let (parsed, faults) = parse_sums(&format!("abc  x\n{text}"));
        assert!(parsed.len() == 2 && faults[0].line == 1, "{faults:?}");
        for path in ["../x", "/x", "a/../../x", "a//b", "./x", "a\\b", "a\tb", ""] {
            let (parsed, faults) = parse_sums(&format!("{}  {path}\n", "0".repeat(64)));
            assert!(parsed.is_empty() && faults.len() == 1, "{path}");
        }
    }
}
