//! Memory that is used again: activations of a step are as large as those of the last, and fresh memory from the system
//! has to be cleared page by page.

use icl_numerics::product::Packing;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Memory that nobody uses at the moment.
#[derive(Debug, Clone, Default)]
pub(in crate::bert) struct Pool {
    buffers: Arc<Mutex<Vec<Vec<f32>>>>,
    packings: Arc<Mutex<Vec<Packing>>>,
}

/// Numbers in memory of a pool, to which it goes back.
#[derive(Debug)]
pub(in crate::bert) struct Buffer {
    /// At least `len` numbers.
    entries: Vec<f32>,
    len: usize,
    pool: Pool,
}

impl Pool {
    /// Room for `len` numbers, which are any.
    pub(super) fn take(&self, len: usize) -> Buffer {
        let mut free = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        // the smallest that is large enough, unless it is far too large
        let fits = |entries: &Vec<f32>| (len..=2 * len + 1024).contains(&entries.len());
        let place = (0..free.len()).filter(|i| fits(&free[*i])).min_by_key(|i| free[*i].len());
        let entries = place.map(|place| free.swap_remove(place));
        drop(free);
        // rounded up by a quarter at most: batches of any length have few sizes then
        let unit = (len.next_power_of_two() / 8).max(1);
        let entries = entries.unwrap_or_else(|| vec![0.0; len.next_multiple_of(unit)]);
        Buffer { entries, len, pool: self.clone() }
    }

    /// Room for packed factors; it is given back by [`Self::give_back`].
    pub(super) fn packing(&self) -> Packing {
        self.packings.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Takes room for packed factors back.
    pub(super) fn give_back(&self, packing: Packing) {
        self.packings.lock().unwrap_or_else(PoisonError::into_inner).push(packing);
    }

    /// A copy of `x`.
    pub(super) fn copy(&self, x: &[f32]) -> Buffer {
        let mut buffer = self.take(x.len());
        buffer.copy_from_slice(x);
        buffer
    }

    /// Zeros.
    pub(super) fn zeros(&self, len: usize) -> Buffer {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }
}

impl Buffer {
    /// The first `len` numbers alone.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        self.pool.copy(self)
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.entries[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.entries[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        self.pool.buffers.lock().unwrap_or_else(PoisonError::into_inner).push(entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_by_what_fits() {
        let pool = Pool::default();
        let first = pool.zeros(5000);
        let place = first.as_ptr();
        drop(first);
        assert_ne!(pool.take(100).as_ptr(), place);
        let mut second = pool.zeros(4000);
        assert_eq!((second.as_ptr(), second.len()), (place, 4000));
        second.truncate(7);
        assert_eq!(second[..], [0.0; 7]);
        let copy = second.clone();
        assert_ne!(copy.as_ptr(), place);
    }
}
