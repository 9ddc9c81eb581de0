//! What a computation is given: where to say how far it is, and where to save it.

use super::{Cell, Observer};
use crate::store::{Store, is_checkpoint_name};
use crate::{ArtifactError, Place};

/// What a cell's computation is given. Whatever it is used for, the result is the same: progress is for the
/// eye, and a computation that goes on from a checkpoint ends with the bits of one that was never stopped.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    work: Option<Work<'a>>,
    /// Begin and end of this part of the cell, as shares of the whole.
    part: [f64; 2],
}

/// The cell that is computed, and for whom.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) cell: &'a Cell,
    /// Its place among the cells of the run.
    pub(super) index: usize,
    pub(super) key: &'a str,
    pub(super) store: &'a Store,
    pub(super) observer: &'a dyn Observer,
}

impl Context<'static> {
    /// A context that nobody watches and that keeps nothing.
    pub fn detached() -> Self {
        Self { work: None, part: [0.0, 1.0] }
    }
}

impl<'a> Context<'a> {
    pub(super) fn of(work: Work<'a>) -> Self {
        Self { work: Some(work), part: [0.0, 1.0] }
    }

    /// Says that a share of the work, 0 to 1, is done.
    pub fn advance(&self, share: f64) {
        let [begin, end] = self.part;
        if let Some(Work { cell, index, observer, .. }) = self.work {
            observer.advanced(index, cell, begin + (end - begin) * share.clamp(0.0, 1.0));
        }
    }

    /// The context of a part of the work that takes it from one share to another.
    #[must_use]
    pub fn part(&self, begin: f64, end: f64) -> Self {
        let [from, to] = self.part;
        let share = |x: f64| from + (to - from) * x;
        Self { part: [share(begin), share(end)], ..*self }
    }

    /// The checkpoint of this name, 1 to 32 lower-case letters, digits and `-`. Each part of a cell that goes
    /// on by itself has its own.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if the name is another.
    pub fn checkpoint(&self, name: &str) -> Result<Checkpoint<'a>, ArtifactError> {
        if is_checkpoint_name(name) {
            return Ok(Checkpoint { work: self.work, name: name.to_owned() });
        }
        let expected = "1 to 32 lower-case letters, digits and `-`";
        let place = Place::Part("name".into());
        Err(ArtifactError::table("checkpoint", place, format!("`{name}`"), expected))
    }
}

/// Bytes that a computation keeps until its result is stored, also if its process is killed.
pub struct Checkpoint<'a> {
    work: Option<Work<'a>>,
    name: String,
}

impl Checkpoint<'_> {
    /// What was saved last, by whichever process; none at the beginning, and none of a damaged file, which the
    /// run's observer is told of.
    pub fn load(&self) -> Option<Vec<u8>> {
        let Work { cell, key, store, observer, .. } = self.work?;
        store.load_checkpoint(key, &self.name).unwrap_or_else(|finding| {
            observer.note(&format!("{}: {}: {finding}", cell.name, finding.file));
            None
        })
    }

    /// Whether it is time to save.
    pub fn due(&self) -> bool {
        self.work.is_some_and(|work| work.observer.checkpoint_due(work.index))
    }

    /// Keeps `bytes` in the place of what was saved before; a process that is killed meanwhile leaves either.
    ///
    /// # Errors
    /// [`ArtifactError::File`] if they cannot be written.
    pub fn save(&self, bytes: &[u8]) -> Result<(), ArtifactError> {
        if let Some(work) = self.work {
            work.store.save_checkpoint(work.key, &self.name, bytes)?;
            work.observer.checkpoint_saved(work.index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detached_context_keeps_nothing_and_refuses_the_same_names() {
        let context = Context::detached();
        context.part(0.0, 0.5).advance(0.5);
        let checkpoint = context.checkpoint("training").unwrap();
        checkpoint.save(b"state").unwrap();
        assert!(checkpoint.load().is_none() && !checkpoint.due());
        for name in ["", "Training", "a.b", "../x"] {
            let error = context.checkpoint(name).err().unwrap().to_string();
            assert!(error.contains(&format!("`{name}`")) && error.contains("expected"), "{error}");
        }
    }
}
