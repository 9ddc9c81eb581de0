//! Progress of a run: a bar with ETA on a terminal, one plain line per 30 s otherwise.

use crate::clock;
use crate::console::note;
use crate::pace::Pace;
use artifact::cell::{Cell, Observer};
use icl_numerics::largest;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(30);
/// The bar counts thousandths of weight.
const UNIT: f64 = 1000.0;

/// Watches cells and measures their seconds.
pub(crate) struct Progress {
    bar: ProgressBar,
    terminal: bool,
    begin: Instant,
    state: Mutex<State>,
}

struct State {
    started: BTreeMap<usize, Instant>,
    seconds: BTreeMap<usize, f64>,
    paces: BTreeMap<usize, Pace>,
    total_weight: f64,
    done_weight: f64,
    /// Weight that is done of the cells in work.
    parts: BTreeMap<usize, f64>,
    missing: usize,
    last_line: Instant,
}

impl Progress {
    /// A new watcher; time counts from now.
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let now = clock::now();
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let state = State {
            started: BTreeMap::new(),
            seconds: BTreeMap::new(),
            paces: BTreeMap::new(),
            total_weight: 0.0,
            done_weight: 0.0,
            parts: BTreeMap::new(),
            missing: 0,
            last_line: now,
        };
        Self {
            bar: ProgressBar::with_draw_target(None, target),
            terminal,
            begin: now,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // a panic in another cell does not make these counts wrong
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Seconds since the start.
    pub(crate) fn elapsed(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// Seconds of every computed cell, by index.
    pub(crate) fn seconds(&self) -> BTreeMap<usize, f64> {
        self.state().seconds.clone()
    }

    /// Moves the bar, or prints a line if the last one is long ago.
    fn show(&self, state: &mut State) {
        let done = state.done_weight + state.parts.values().sum::<f64>();
        self.bar.set_position((done * UNIT) as u64);
        if self.terminal || state.last_line.elapsed() < LINE_EVERY {
            return;
        }
        state.last_line = clock::now();
        let part = done / largest::at_least(state.total_weight, 1e-9);
        let left = self.elapsed() * (1.0 - part) / largest::at_least(part, 1e-9);
        note!(
            "cells: {} of {} done, {:.0} %, about {left:.0} s left",
            state.seconds.len(),
            state.missing,
            100.0 * part
        );
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn planned(&self, restored: usize, missing: usize, weight: f64) {
        note!("plan: {} cells, {restored} restored, {missing} to compute", restored + missing);
        let mut state = self.state();
        state.total_weight = weight;
        state.missing = missing;
        self.bar.set_length((weight * UNIT) as u64);
        let template = "{bar:24} {percent:>3}% ETA {eta:<5} {msg:.40}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        if missing > 0 {
            self.bar.enable_steady_tick(Duration::from_millis(500));
        }
    }

    fn started(&self, i: usize, _: &Cell) {
        let now = clock::now();
        let mut state = self.state();
        state.started.insert(i, now);
        state.paces.insert(i, Pace::new(now));
    }

    fn advanced(&self, i: usize, cell: &Cell, share: f64) {
        let mut state = self.state();
        state.parts.insert(i, share * cell.weight);
        self.show(&mut state);
    }

    fn finished(&self, i: usize, cell: &Cell) {
        let mut state = self.state();
        if let Some(start) = state.started.get(&i) {
            let seconds = start.elapsed().as_secs_f64();
            state.seconds.insert(i, seconds);
        }
        state.done_weight += cell.weight;
        state.parts.remove(&i);
        self.bar.set_message(cell.name.clone());
        self.show(&mut state);
    }

    fn checkpoint_due(&self, i: usize) -> bool {
        self.state().paces.get_mut(&i).is_some_and(|pace| pace.due(clock::now()))
    }

    fn checkpoint_saved(&self, i: usize) {
        if let Some(pace) = self.state().paces.get_mut(&i) {
            pace.saved(clock::now());
        }
    }

    fn note(&self, text: &str) {
        if self.terminal {
            self.bar.println(format!("note: {text}"));
        } else {
            note!("note: {text}");
        }
    }
}
