//! Explicit parallelism: on which threads independent units of work run.
//!
//! Results come in the order of the units, so no number depends on the threads.

use rayon::prelude::*;
use std::sync::Arc;

/// Threads for independent units of work.
#[derive(Debug, Clone, Default)]
pub enum Threads {
    /// The caller's thread alone.
    #[default]
    One,
    /// A pool.
    Pool(Arc<rayon::ThreadPool>),
    /// The pool in which the caller itself runs: for work inside a unit of work.
    Callers,
}

impl Threads {
    /// A pool of `n` threads.
    ///
    /// # Errors
    /// If the system refuses the threads.
    pub fn new(n: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        Ok(Self::Pool(Arc::new(rayon::ThreadPoolBuilder::new().num_threads(n).build()?)))
    }

    /// How many there are.
    #[must_use]
    pub fn number(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Pool(pool) => pool.current_num_threads(),
            Self::Callers => rayon::current_num_threads(),
        }
    }

    /// `f` on one of these threads: its own parallel work then runs on them.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::One | Self::Callers => f(),
            Self::Pool(pool) => pool.install(f),
        }
    }

    /// `f` of the units `0 .. n`, in their order; every thread has buffers of its own.
    pub fn map<S, T: Send>(
        &self,
        n: usize,
        buffers: impl Fn() -> S + Sync + Send,
        f: impl Fn(&mut S, usize) -> T + Sync + Send,
    ) -> Vec<T> {
        match self {
            Self::One => {
                let mut own = buffers();
                (0..n).map(|i| f(&mut own, i)).collect()
            }
            Self::Pool(pool) => {
                pool.install(|| (0..n).into_par_iter().map_init(buffers, f).collect())
            }
            Self::Callers => (0..n).into_par_iter().map_init(buffers, f).collect(),
        }
    }
}

/// `f` on a thread of its own, for which the caller waits.
///
/// For libraries with a pool of their own: while a thread of our pool waits for another pool, it takes up other units of
/// work, one inside the other on its stack, and those below wait until all above are done.
///
/// # Panics
/// If `f` does.
pub fn apart<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let joined = std::thread::scope(|scope| scope.spawn(f).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_unit_that_waits_for_another_pool_takes_up_no_other_unit() {
        let (ours, theirs) = (Threads::new(1).unwrap(), Threads::new(1).unwrap());
        let (open, deepest) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let unit = |(): &mut (), i: usize| {
            let depth = open.fetch_add(1, Ordering::SeqCst) + 1;
            deepest.fetch_max(depth, Ordering::SeqCst);
            let found = apart(|| theirs.run(|| i * i));
            open.fetch_sub(1, Ordering::SeqCst);
            found
        };
        assert_eq!(ours.map(8, || (), unit), [0, 1, 4, 9, 16, 25, 36, 49]);
        assert_eq!(deepest.into_inner(), 1);
    }

    #[test]
    fn results_stand_in_the_order_of_the_units() {
        let square = |calls: &mut usize, i: usize| {
            *calls += 1;
            i * i
        };
        let want: Vec<usize> = (0..1000).map(|i| i * i).collect();
        for threads in [Threads::One, Threads::new(1).unwrap(), Threads::new(5).unwrap()] {
            assert_eq!(threads.map(1000, || 0, square), want);
            assert_eq!(threads.map(0, || 0, square), Vec::<usize>::new());
        }
        let five = Threads::new(5).unwrap();
        assert_eq!((five.number(), five.run(|| Threads::Callers.number())), (5, 5));
    }

    #[test]
    fn work_inside_a_pool_may_use_the_same_pool() {
        let threads = Threads::new(2).unwrap();
        for inside in [threads.clone(), Threads::Callers] {
            let inner = |(): &mut (), i: usize| inside.map(3, || (), |(), j| i + j).len();
            assert_eq!(threads.map(4, || (), inner), [3; 4]);
        }
    }
}
