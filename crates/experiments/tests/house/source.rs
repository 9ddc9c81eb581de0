//! Source files: their modules, their code without comments and literals, their functions.

use std::path::{Path, PathBuf};

/// A source file of a crate.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Path of its module, without the crate: `["a", "b"]` for `src/a/b.rs` and `src/a/b/mod.rs`.
    pub(crate) module: Vec<String>,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(module: &[&str], text: &str) -> Self {
        let module = module.iter().map(|part| (*part).to_owned()).collect();
        Self { path: PathBuf::new(), module, text: text.to_owned() }
    }

    pub(crate) fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// Name and number of lines of every function with a body, in the order of their ends.
    pub(crate) fn functions(&self) -> Vec<(String, usize)> {
        let (mut found, mut open) = (Vec::new(), Vec::new());
        // a function whose body has not begun, and the depth of braces
        let (mut pending, mut depth) = (None, 0);
        let mut previous = String::new();
        for (line, word) in words(&code(&self.text)) {
            match word.as_str() {
                "{" => {
                    depth += 1;
                    open.extend(pending.take().map(|(name, first)| (name, first, depth)));
                }
                "}" => {
                    if open.last().is_some_and(|(_, _, at)| *at == depth)
                        && let Some((name, first, _)) = open.pop()
                    {
                        found.push((name, line - first + 1));
                    }
                    depth -= 1;
                }
                // a declaration without a body; `[f64; 2]` of a signature stands before its brace
                ";" if previous != "number" => pending = None,
                name if previous == "fn" => pending = Some((name.to_owned(), line)),
                _ => {}
            }
            previous = word;
        }
        found
    }
}

/// Identifiers and the marks `{`, `}`, `;` with their lines.
fn words(code: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut word = String::new();
        for c in text.chars().chain([' ']) {
            if c.is_alphanumeric() || c == '_' {
                word.push(c);
                continue;
            }
            if !word.is_empty() {
                words.push((line, std::mem::take(&mut word)));
            }
            if ['{', '}', ';'].contains(&c) {
                words.push((line, c.to_string()));
            }
        }
    }
    words
}

/// All source files of a crate, without its tests and benches.
pub(crate) fn read(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    collect(&folder.join("src"), &[], &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn collect(folder: &Path, module: &[String], sources: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let child = || [module, std::slice::from_ref(&stem)].concat();
        if path.is_dir() {
            collect(&path, &child(), sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let root = ["mod", "lib", "main"].contains(&stem.as_str());
            let module = if root { module.to_vec() } else { child() };
            let text = std::fs::read_to_string(&path).unwrap();
            sources.push(Source { path, module, text });
        }
    }
}

/// The code: comments, strings and characters are blanks, lines stay lines.
pub(crate) fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = literal(&chars, i);
        if end > i {
            out.extend(chars[i..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            i = end;
        } else {
            out.push(chars[i]);
            i += 1;
        }
    }
    out
}

/// End of the comment, string or character that begins at `i`; `i` if there is none.
fn literal(chars: &[char], i: usize) -> usize {
    let at = |k: usize| chars.get(k).copied().unwrap_or('\0');
    let find = |from: usize, mark: &str| {
        let mark: Vec<char> = mark.chars().collect();
        let rest = chars.get(from..).unwrap_or_default();
        let found = rest.windows(mark.len()).position(|window| window == mark);
        found.map_or(chars.len(), |k| from + k + mark.len())
    };
    match (at(i), at(i + 1)) {
        // the line's end stays
        ('/', '/') => find(i, "\n") - usize::from(find(i, "\n") < chars.len()),
        ('/', '*') => find(i, "*/"),
        ('r', '"' | '#') if i == 0 || !at(i - 1).is_alphanumeric() => {
            let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
            if at(i + 1 + hashes) == '"' {
                find(i + 2 + hashes, &format!("\"{}", "#".repeat(hashes)))
            } else {
                i
            }
        }
        ('"', _) => closed(chars, i + 1, '"'),
        ('\'', '\\') => closed(chars, i + 1, '\''),
        ('\'', _) if at(i + 2) == '\'' => i + 3,
        _ => i,
    }
}

/// The place after the mark that closes a literal, past what is escaped.
fn closed(chars: &[char], mut i: usize, mark: char) -> usize {
    while i < chars.len() && chars[i] != mark {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// The code without the tests, which stand at the end of a file.
pub(crate) fn without_tests(text: &str) -> String {
    let code = code(text);
    let end = code.find("#[cfg(test)]\nmod tests").or_else(|| code.find("#[cfg(test)] mod tests"));
    code[..end.unwrap_or(code.len())].to_owned()
}
