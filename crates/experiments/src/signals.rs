//! SIGINT and SIGTERM: what is finished is kept, nothing is left half-written.

use crate::console::note;
use artifact::output;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the command that runs can be resumed.
static RESUMABLE: AtomicBool = AtomicBool::new(false);

/// From now on a signal ends the program with a line that says how to resume.
pub(crate) fn tell_how_to_resume() {
    RESUMABLE.store(true, Ordering::Relaxed);
}

/// Watches for SIGINT and SIGTERM in a thread of its own: removes this process's temporary files, says how to
/// resume, and ends the program with 130 or 143.
#[cfg(unix)]
pub(crate) fn watch() -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            output::remove_live();
            if RESUMABLE.load(Ordering::Relaxed) {
                note!("\nstopped: finished cells are in the store; the same command computes only the rest");
            }
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// Other systems end the program in their own way; finished cells are kept there too.
#[cfg(not(unix))]
pub(crate) fn watch() -> anyhow::Result<()> {
    Ok(())
}
