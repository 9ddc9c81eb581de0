//! Training: steps of Adam on fresh examples, losses of the validation set on the way, and checkpoints from
//! which an interrupted run goes on to the same bits.

use crate::ModelError;
use crate::adam::{Adam, AdamSettings};
use crate::attention::Parameters;
use crate::checkpoint;
use crate::objective::{CurvePoint, Evaluation, LossAndGradient, Objective, Set};
use std::collections::BTreeMap;
use std::path::Path;

/// How long a run is and how it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Steps.
    pub steps: usize,
    /// Examples per step.
    pub batch: usize,
    /// Examples of the validation set.
    pub n_validation: usize,
    /// Steps between its losses.
    pub validate_every: usize,
}

/// Where a run keeps its state, so that an interruption loses little of it.
pub trait Checkpoint {
    /// The state last saved, if there is one.
    fn load(&self) -> Option<Vec<u8>>;

    /// Whether it is time to save the state; asked after every step.
    fn due(&self) -> bool;

    /// Keeps a state in place of the one before.
    ///
    /// # Errors
    /// Whatever kept it from being written; the run then ends.
    fn save(&self, state: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

    /// Told after every step: steps taken, and steps of the whole run.
    fn progress(&self, step: usize, steps: usize) {
        let _ = (step, steps);
    }
}

/// Nothing is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unkept;

impl Checkpoint for Unkept {
    fn load(&self) -> Option<Vec<u8>> {
        None
    }

    fn due(&self) -> bool {
        false
    }

    fn save(&self, _: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// A run after its last step, before its last validation, as another device may have computed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The parameters.
    pub parameters: Parameters,
    /// The optimiser.
    pub adam: Adam,
    /// Losses of the validation set along the training, without that of the end.
    pub curve: Vec<CurvePoint>,
    /// The parameters at watched steps, packed, by step.
    pub watched: BTreeMap<usize, Vec<f32>>,
}

/// A run: parameters and optimiser on their way down an objective.
pub struct Trainer<'a> {
    objective: &'a dyn Objective,
    length: Length,
    parameters: Parameters,
    adam: Adam,
    curve: Vec<CurvePoint>,
    finished: Option<Finished>,
}

impl<'a> Trainer<'a> {
    /// A run from `parameters` on.
    pub fn new(
        objective: &'a dyn Objective,
        length: Length,
        adam: AdamSettings,
        parameters: Parameters,
    ) -> Self {
        let adam = Adam::new(adam, &parameters);
        Self { objective, length, parameters, adam, curve: Vec::new(), finished: None }
    }

    /// The same run; if `finished` is there, [`Self::run`] ends from it, to the same bits.
    #[must_use]
    pub fn with_finished(self, finished: Option<Finished>) -> Self {
        Self { finished, ..self }
    }

    /// The parameters now.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The optimiser now.
    pub fn adam(&self) -> &Adam {
        &self.adam
    }

    /// Ends the run; its parameters.
    pub fn into_parameters(self) -> Parameters {
        self.parameters
    }

    /// Continues from saved parameters and the saved optimiser.
    pub fn restore(&mut self, parameters: Parameters, adam: Adam) {
        self.parameters = parameters;
        self.adam = adam;
    }

    /// Mean loss over the first `n` examples of a set.
    ///
    /// # Errors
    /// As [`Objective::losses`].
    pub fn evaluate(&self, set: Set, n: usize) -> Result<Evaluation, ModelError> {
        Ok(self.evaluate_each(set, n)?.0)
    }

    /// Mean loss over the first `n` examples of a set, and the loss of each.
    ///
    /// # Errors
    /// As [`Objective::losses`].
    pub fn evaluate_each(&self, set: Set, n: usize) -> Result<(Evaluation, Vec<f64>), ModelError> {
        let losses = self.objective.losses(self.parameters.packed(), set, n)?;
        Ok((Evaluation::new(&losses, self.objective.block())?, losses.values))
    }

    /// One step of Adam on fresh examples; returns the training loss before it.
    ///
    /// # Errors
    /// [`ModelError::Diverged`] if loss or gradient is not finite.
    pub fn step(&mut self) -> Result<f64, ModelError> {
        let first = self.adam.step * self.length.batch as u64;
        let LossAndGradient { loss, gradient } =
            self.objective.loss_and_gradient(self.parameters.packed(), first, self.length.batch)?;
        let step = self.adam.step as usize + 1;
        if !loss.is_finite() {
            return Err(ModelError::Diverged { step, what: "the training loss" });
        }
        if !are_finite(&gradient) {
            return Err(ModelError::Diverged { step, what: "a gradient" });
        }
        self.adam.update(self.parameters.packed_mut(), &gradient)?;
        self.objective.take_back(gradient);
        Ok(loss)
    }

    /// Trains to the end, from the checkpoint if it fits; validation losses at step 0, every `validate_every`
    /// steps and at the end.
    ///
    /// # Errors
    /// As [`Self::step`]; [`ModelError::Checkpoint`] if a state cannot be kept.
    pub fn run(&mut self, checkpoint: &dyn Checkpoint) -> Result<Vec<CurvePoint>, ModelError> {
        if let Some(Finished { parameters, adam, curve, .. }) = self.finished.take() {
            (self.parameters, self.adam, self.curve) = (parameters, adam, curve);
        } else if let Some(state) = checkpoint.load() {
            self.resume(&state);
        }
        loop {
            let step = self.adam.step as usize;
            let last = step >= self.length.steps;
            if last || step.is_multiple_of(self.length.validate_every) {
                let evaluation = self.evaluate(Set::Validation, self.length.n_validation)?;
                let (loss, nmse) = (evaluation.loss, evaluation.nmse());
                self.curve.push(CurvePoint { step, loss, nmse });
            }
            if last {
                return Ok(std::mem::take(&mut self.curve));
            }
            self.step()?;
            checkpoint.progress(step + 1, self.length.steps);
            if checkpoint.due() {
                checkpoint.save(&self.state()?).map_err(ModelError::Checkpoint)?;
            }
        }
    }

    /// Trains to each of these steps, ascending, and calls there; the parameters at the last one.
    ///
    /// # Errors
    /// As [`Self::step`], and what a call returns.
    pub fn watch<E: From<ModelError>>(
        mut self,
        steps: &[usize],
        mut look: impl FnMut(usize, &Self) -> Result<(), E>,
    ) -> Result<Parameters, E> {
        let there = |run: &Finished| steps.iter().all(|step| run.watched.contains_key(step));
        let mut elsewhere = self.finished.take().filter(there);
        for step in steps {
            match elsewhere.as_mut().and_then(|run| run.watched.remove(step)) {
                Some(parameters) => self.parameters.packed_mut().copy_from_slice(&parameters),
                None => {
                    while (self.adam.step as usize) < *step {
                        self.step()?;
                    }
                }
            }
            look(*step, &self)?;
        }
        Ok(self.parameters)
    }

    fn state(&self) -> Result<Vec<u8>, ModelError> {
        checkpoint::run_to_bytes(&self.parameters, &self.adam, &self.curve)
    }

    /// Goes on from a saved state; one that does not fit leaves the run at its start.
    fn resume(&mut self, state: &[u8]) {
        let path = Path::new("checkpoint");
        let read = || -> Result<Option<(Parameters, Adam, Vec<CurvePoint>)>, ModelError> {
            let parameters = checkpoint::from_bytes(&self.parameters, path, state)?;
            let adam = checkpoint::adam_from_bytes(self.adam.clone(), path, state)?;
            let curve = checkpoint::curve_from_bytes(path, state)?;
            Ok(adam.map(|adam| (parameters, adam, curve)))
        };
        if let Ok(Some((parameters, adam, curve))) = read()
            && adam.step as usize <= self.length.steps
        {
            (self.parameters, self.adam, self.curve) = (parameters, adam, curve);
        }
    }
}

/// Whether all numbers are finite; in blocks without a way out, which lanes can do.
fn are_finite(x: &[f32]) -> bool {
    x.chunks(1024).all(|block| block.iter().fold(true, |all, x| all & x.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::ParameterSpec;
    use crate::objective::Losses;
    use std::cell::{Cell, RefCell};

    /// `1/2 |w - c|^2` with a `c` that moves from example to example.
    struct Bowl;

    fn centre(example: u64) -> f64 {
        1.0 + (example % 7) as f64 / 10.0
    }

    impl Objective for Bowl {
        fn losses(&self, w: &[f32], _: Set, n: usize) -> Result<Losses, ModelError> {
            let loss = |i: usize| -> f64 {
                let gap = |w: &f32| f64::from(*w) - centre(i as u64);
                w.iter().map(|w| gap(w) * gap(w) / 2.0).sum()
            };
            Ok(Losses { values: (0..n).map(loss).collect(), square_targets: vec![n as f64] })
        }

        fn loss_and_gradient(
            &self,
            w: &[f32],
            first: u64,
            n: usize,
        ) -> Result<LossAndGradient, ModelError> {
            let mean = (first..first + n as u64).map(centre).sum::<f64>() / n as f64;
            let gradient = w.iter().map(|w| w - mean as f32).collect();
            Ok(LossAndGradient { loss: 1.0, gradient })
        }

        fn block(&self) -> usize {
            usize::MAX
        }
    }

    /// Keeps a state every third step and fails at a given one.
    #[derive(Default)]
    struct Fragile {
        state: RefCell<Option<Vec<u8>>>,
        steps: Cell<usize>,
        breaks_at: Option<usize>,
    }

    impl Checkpoint for Fragile {
        fn load(&self) -> Option<Vec<u8>> {
            self.state.borrow().clone()
        }

        fn due(&self) -> bool {
            self.steps.set(self.steps.get() + 1);
            self.steps.get().is_multiple_of(3) || Some(self.steps.get()) == self.breaks_at
        }

        fn save(&self, state: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            if Some(self.steps.get()) == self.breaks_at {
                return Err("interrupted".into());
            }
            *self.state.borrow_mut() = Some(state.to_vec());
            Ok(())
        }
    }

    const LENGTH: Length = Length { steps: 20, batch: 16, n_validation: 5, validate_every: 6 };

    fn trainer() -> Trainer<'static> {
        let parameters = Parameters::from_specs(vec![ParameterSpec::new("w", &[3], 1.0)], 4);
        Trainer::new(&Bowl, LENGTH, AdamSettings::default(), parameters)
    }

    #[test]
    fn an_interrupted_run_goes_on_from_its_checkpoint_to_the_same_bits() {
        let mut whole = trainer();
        let curve = whole.run(&Unkept).unwrap();
        assert_eq!(curve.iter().map(|p| p.step).collect::<Vec<_>>(), [0, 6, 12, 18, 20]);
        for breaks_at in 1..=20 {
            let broken = Fragile { breaks_at: Some(breaks_at), ..Fragile::default() };
            let error = trainer().run(&broken).unwrap_err();
            assert!(error.to_string().contains("interrupted"), "{error}");
            let again = Fragile { state: broken.state, ..Fragile::default() };
            let mut resumed = trainer();
            assert_eq!(resumed.run(&again).unwrap(), curve, "{breaks_at}");
            assert_eq!(resumed.parameters(), whole.parameters());
            assert_eq!(resumed.adam(), whole.adam());
            // at most the steps since the last state are taken again
            let kept = (breaks_at - 1) / 3 * 3;
            assert_eq!(again.steps.get(), 20 - kept);
        }
    }

    #[test]
    fn a_run_that_was_finished_elsewhere_ends_as_the_whole_one() {
        let mut whole = trainer();
        let curve = whole.run(&Unkept).unwrap();
        let (parameters, adam) = (whole.parameters().clone(), whole.adam().clone());
        let curve_before = curve[..4].to_vec();
        let finished = Finished { parameters, adam, curve: curve_before, ..nothing_watched() };
        let mut ended = trainer().with_finished(Some(finished));
        // no step is taken: a checkpoint would be asked
        let broken = Fragile { breaks_at: Some(1), ..Fragile::default() };
        assert_eq!(ended.run(&broken).unwrap(), curve);
        assert_eq!((ended.parameters(), ended.adam()), (whole.parameters(), whole.adam()));
    }

    #[test]
    fn a_watched_run_is_seen_at_its_steps_wherever_it_was_trained() {
        let steps = [0, 3, 7, 20];
        let seen = |trainer: Trainer<'_>| {
            let mut seen = Vec::new();
            let look = |step, at: &Trainer<'_>| {
                seen.push((step, at.parameters().packed().to_vec()));
                Ok::<(), ModelError>(())
            };
            let last = trainer.watch(&steps, look).unwrap();
            assert_eq!(last.packed(), seen[3].1);
            seen
        };
        let expected = seen(trainer());
        let by_hand = |step: usize| {
            let mut trainer = trainer();
            (0..step).for_each(|_| assert!(trainer.step().is_ok()));
            (step, trainer.into_parameters().packed().to_vec())
        };
        assert_eq!(expected, steps.map(by_hand));
        // other numbers are taken as they are if every step is there, and none of them otherwise
        let other = |step: &usize| (*step, vec![*step as f32; 3]);
        let there: BTreeMap<_, _> = steps.iter().map(other).collect();
        let with = |watched| Some(Finished { watched, ..nothing_watched() });
        let found = seen(trainer().with_finished(with(there.clone())));
        assert_eq!(found, there.into_iter().collect::<Vec<_>>());
        let lacking = steps[..3].iter().map(other).collect();
        assert_eq!(seen(trainer().with_finished(with(lacking))), expected);
    }

    fn nothing_watched() -> Finished {
        let trainer = trainer();
        let (parameters, adam) = (trainer.parameters, trainer.adam);
        Finished { parameters, adam, curve: Vec::new(), watched: BTreeMap::new() }
    }

    #[test]
    fn a_state_that_does_not_fit_leaves_the_run_at_its_start() {
        let curve = trainer().run(&Unkept).unwrap();
        let other = Parameters::from_specs(vec![ParameterSpec::new("v", &[3], 1.0)], 4);
        let adam = Adam::new(AdamSettings::default(), &other);
        let foreign = checkpoint::run_to_bytes(&other, &adam, &curve).unwrap();
        for state in [foreign, b"no checkpoint".to_vec(), Vec::new()] {
            let kept = Fragile { state: RefCell::new(Some(state)), ..Fragile::default() };
            assert_eq!(trainer().run(&kept).unwrap(), curve);
        }
    }
}
