//! `icl completions` and `icl man`: made from the command line's own description.

use crate::cli::Arguments;
use crate::console::say;
use crate::outcome::Outcome;
use clap::CommandFactory as _;
use clap_complete::Shell;

/// Completions for a shell.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "icl", &mut text);
    print(&text)
}

/// The manual page.
pub(crate) fn man() -> anyhow::Result<Outcome> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Arguments::command()).render(&mut text)?;
    print(&text)
}

fn print(text: &[u8]) -> anyhow::Result<Outcome> {
    say!("{}", std::str::from_utf8(text)?.trim_end());
    Ok(Outcome::Reproduced)
}
