//! When a long cell saves how far it is: often enough that a run that is killed loses little, rarely enough that
//! saving costs little.

use std::time::{Duration, Instant};

/// Shortest time between two checkpoints; a cell that takes less writes none.
const SHORTEST: Duration = Duration::from_millis(750);
/// Share of a cell's time so far that the next checkpoint may come later.
const LOST: f64 = 0.03;
/// Time between two checkpoints, at least, as a multiple of what the last one cost.
const TIMES_COST: u32 = 10;

/// The checkpoints of one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    start: Instant,
    last: Instant,
    asked: Instant,
    cost: Duration,
}

impl Pace {
    /// Of a cell that begins now.
    pub(crate) fn new(now: Instant) -> Self {
        Self { start: now, last: now, asked: now, cost: Duration::ZERO }
    }

    /// Whether it is time to save.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        let share = now.duration_since(self.start).mul_f64(LOST);
        let wait = SHORTEST.max(share).max(self.cost * TIMES_COST);
        self.asked = now;
        now.duration_since(self.last) >= wait
    }

    /// It has saved, having been told to when [`Self::due`] was asked last.
    pub(crate) fn saved(&mut self, now: Instant) {
        self.cost = now.duration_since(self.asked);
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// The longest time between two checkpoints, and their number, of a cell that asks every `step` and saves
    /// in `cost`.
    fn checkpoints(seconds: u64, step: Duration, cost: Duration) -> (Duration, usize) {
        let start = clock::now();
        let (mut pace, mut now, mut last) = (Pace::new(start), start, start);
        let (mut longest, mut count) = (Duration::ZERO, 0);
        while now.duration_since(start) < Duration::from_secs(seconds) {
            now += step;
            if pace.due(now) {
                longest = longest.max(now.duration_since(last));
                now += cost;
                pace.saved(now);
                (last, count) = (now, count + 1);
            }
        }
        (longest.max(now.duration_since(last)), count)
    }

    #[test]
    fn a_long_cell_loses_at_most_a_twentieth_and_spends_at_most_a_tenth() {
        for seconds in [20, 60, 600] {
            let (step, cost) = (Duration::from_millis(5), Duration::from_millis(20));
            let (longest, count) = checkpoints(seconds, step, cost);
            let whole = Duration::from_secs(seconds);
            assert!(longest <= whole / 20, "{seconds} s: {longest:?}");
            assert!(cost * count as u32 <= whole / 10, "{seconds} s: {count}");
        }
        // where saving takes long there is less of it
        let (_, count) = checkpoints(600, Duration::from_millis(5), Duration::from_secs(4));
        assert!((5..=15).contains(&count), "{count}");
    }

    #[test]
    fn a_short_cell_writes_none() {
        let mut pace = Pace::new(clock::now());
        assert!(!pace.due(clock::now() + Duration::from_millis(700)));
    }
}
