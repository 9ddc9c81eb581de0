//! What the program says: results on standard output, everything else on standard error.
//!
//! A reader that closes the pipe (`icl list | head -1`) has seen enough: what follows is dropped, the
//! command goes on to its end and keeps its exit code. Any other fault of standard output, such as a full
//! disk, is an error at the end. Standard error carries no result, so its faults are ignored.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};

/// Prints a line of a result.
macro_rules! say {
    () => { $crate::console::write_line(format_args!("")) };
    ($($part:tt)*) => { $crate::console::write_line(format_args!($($part)*)) };
}

/// Prints a line beside the result: progress, notes, errors.
macro_rules! note {
    ($($part:tt)*) => { $crate::console::write_note(format_args!($($part)*)) };
}

pub(crate) use {note, say};

/// The first fault of standard output.
static FAULT: Mutex<Option<io::Error>> = Mutex::new(None);

/// Whether standard output carries a file, so that no line may come between.
static DIVERTED: AtomicBool = AtomicBool::new(false);

/// From now on results go to standard error as well: standard output carries a file.
pub(crate) fn divert() {
    DIVERTED.store(true, Ordering::Relaxed);
}

/// See [`say`].
pub(crate) fn write_line(line: Arguments<'_>) {
    if DIVERTED.load(Ordering::Relaxed) {
        return write_note(line);
    }
    let mut fault = FAULT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if fault.is_none() {
        let mut out = io::stdout().lock();
        *fault = out.write_fmt(line).and_then(|()| out.write_all(b"\n")).err();
    }
}

/// See [`note`].
pub(crate) fn write_note(line: Arguments<'_>) {
    let mut out = io::stderr().lock();
    let _ = out.write_fmt(line).and_then(|()| out.write_all(b"\n"));
}

/// Flushes standard output and reports its first fault, unless the reader closed it.
pub(crate) fn finish() -> anyhow::Result<()> {
    let flushed = io::stdout().flush().err();
    let first = FAULT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    match first.or(flushed) {
        Some(fault) if fault.kind() != ErrorKind::BrokenPipe => Err(anyhow::anyhow!(
            "standard output: cannot write: {fault}; free space or redirect it"
        )),
        _ => Ok(()),
    }
}

/// How a word on a terminal looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Neither.
    Open,
}

/// A text in the colour of its tone where standard output is a terminal that shows colours and nobody has set `NO_COLOR`;
/// otherwise the text.
pub(crate) fn toned(text: &str, tone: Tone) -> String {
    static COLOURS: LazyLock<bool> = LazyLock::new(|| {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
    });
    if *COLOURS { coloured(text, tone) } else { text.to_owned() }
}

fn coloured(text: &str, tone: Tone) -> String {
    let code = match tone {
        Tone::Good => 32,
        Tone::Bad => 31,
        Tone::Open => 33,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// Prints a text indented by two spaces, in lines of at most `width` characters.
pub(crate) fn print_wrapped(text: &str, width: usize) {
    let mut line = String::from(" ");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > width {
            say!("{line}");
            line = String::from(" ");
        }
        line.push(' ');
        line.push_str(word);
    }
    say!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_end_with_the_word_and_stay_away_from_what_is_no_terminal() {
        assert_eq!(coloured("bits", Tone::Good), "\u{1b}[32mbits\u{1b}[0m");
        // tests have no terminal
        assert!(io::stdout().is_terminal() || toned("differs", Tone::Bad) == "differs");
    }
}
