//! BERT beside transformers: hidden states, logits, word scores and training losses of small random models
//! (`tests/bert/make_fixtures.py` writes them), and what must hold for every model.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use candle_core::{DType, Device, Tensor};
use icl_model::ModelError;
use icl_model::adam::{AdamSettings, Group, Schedule};
use icl_model::attention::{self, Modification, Parameters, Weights};
use icl_model::bert::embedding::Tables;
use icl_model::bert::model::{Bert, Last};
use icl_model::bert::{
    Batch, Classifier, Example, Examples, FineTuning, Head, Pretrained, Sequence, Target,
    Vocabulary, Walk, folder, variables,
};
use icl_model::machine::Machine;
use icl_model::objective::{Objective as _, Set};
use icl_model::ops;
use icl_model::trainer::{Length, Trainer, Unkept};
use icl_numerics::lanes::Isa;
use icl_numerics::threads::Threads;
use icl_numerics::{largest, order as sums};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MODELS: [&str; 3] = ["one-head", "twelve-heads", "score"];

/// The models beside this file, and those below the folder that `ICL_BERT_WIDE` names.
fn models() -> Vec<String> {
    let wide = std::env::var_os("ICL_BERT_WIDE").map(|folder| {
        let mut models: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        models.sort();
        models
    });
    let wide = wide.into_iter().flatten().map(|path| path.to_str().unwrap().to_owned());
    MODELS.map(str::to_owned).into_iter().chain(wide).collect()
}

/// A path of its own stands for itself.
fn place(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bert").join(model)
}

/// What transformers computed.
struct Expected(BTreeMap<String, Tensor>);

impl Expected {
    fn open(model: &str) -> Self {
        let file = place(model).join("expected.safetensors");
        let tensors = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
        Self(tensors.into_iter().collect())
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        self.0[name].to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn batch(&self) -> Batch {
        let words = |name: &str| self.numbers(name).iter().map(|x| *x as u32).collect::<Vec<_>>();
        let (n, n_tokens) = self.0["ids"].dims2().unwrap();
        let real = self.numbers("mask").iter().map(|x| *x == 1.0).collect();
        Batch { n, n_tokens, ids: words("ids"), segments: words("segments"), real }
    }

    fn n_logits(&self) -> usize {
        self.0["logits"].dims()[1]
    }
}

fn modification(specification: &str) -> Arc<dyn Modification> {
    attention::parse(specification).unwrap().into()
}

fn bert(model: &str, specification: &str) -> (Bert, Pretrained) {
    let pretrained = Pretrained::open(&place(model)).unwrap();
    let modification = modification(specification);
    (Bert { config: pretrained.config.clone(), modification }, pretrained)
}

fn parameters(bert: &Bert, pretrained: &Pretrained, head: Head) -> Parameters {
    let specs = variables::specs(&bert.config, head, bert.modification.as_ref());
    pretrained.parameters(specs, 1).unwrap().parameters
}

fn weights(parameters: &Parameters, dtype: DType) -> Weights {
    let packed = Tensor::new(parameters.packed(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    parameters.unpack(&packed, Isa::detect()).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what} {i}: {a} {b}");
    }
}

#[test]
fn hidden_states_logits_and_word_scores_are_those_of_transformers() {
    for model in &models() {
        let expected = Expected::open(model);
        let (bert, pretrained) = bert(model, "plain");
        let head = Head::Classifier(expected.n_logits());
        let classifier = parameters(&bert, &pretrained, head);
        let masked = parameters(&bert, &pretrained, Head::MaskedWords);
        let tables = Tables::new(&classifier, bert.config.hidden_size).unwrap();
        // f64: rounding of a few hundred operations on numbers to 10; f32: what is asked of it
        for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 1e-4)] {
            let what = |part: &str| format!("{model} {dtype:?} {part}");
            let batch = expected.batch();
            batch.check(&bert.config).unwrap();
            let embedded = tables.embed(classifier.packed(), &batch, dtype, &Device::Cpu).unwrap();
            let own = weights(&classifier, dtype);
            let states = bert.encode(&own, &embedded, Last::All, None).unwrap();
            let all = Tensor::stack(&states, 0).unwrap();
            let wanted = expected.numbers("hidden_states");
            assert_close(&numbers(&all), &wanted, tolerance, &what("hidden states"));
            let last = states.last().unwrap();
            let logits = bert.logits(&own, last, expected.n_logits(), None).unwrap();
            assert_close(
                &numbers(&logits),
                &expected.numbers("logits"),
                tolerance,
                &what("logits"),
            );
            let first = bert.encode(&own, &embedded, Last::First, None).unwrap();
            let first = bert.logits(&own, first.last().unwrap(), expected.n_logits(), None);
            // one row of a product may be summed in another order than many
            assert_close(&numbers(&first.unwrap()), &numbers(&logits), tolerance / 10.0, "first");
            let (d, rows) = (bert.config.hidden_size, bert.config.vocab_size);
            let words = tables.words(masked.packed());
            let words = Tensor::from_slice(words, (rows, d), &Device::Cpu).unwrap();
            let words = words.to_dtype(dtype).unwrap();
            let scores =
                bert.word_scores(&weights(&masked, dtype), &last.reshape(((), d)).unwrap(), &words);
            let wanted = expected.numbers("word_scores");
            assert_close(&numbers(&scores.unwrap()), &wanted, tolerance, &what("word scores"));
        }
    }
}

/// Sequences of the fixture's batch, without padding.
fn examples(expected: &Expected) -> Vec<Example> {
    let batch = expected.batch();
    let labels = expected.numbers("labels");
    let example = |i: usize| {
        let row = i * batch.n_tokens..(i + 1) * batch.n_tokens;
        let real: Vec<usize> = row.filter(|token| batch.real[*token]).collect();
        let take = |x: &[u32]| real.iter().map(|token| x[*token]).collect();
        let sequence = Sequence { ids: take(&batch.ids), segments: take(&batch.segments) };
        Example { sequence, label: labels[i] }
    };
    (0..batch.n).map(example).collect()
}

fn walk(batch: usize, part: usize, epochs: usize, dropout: f64) -> Walk {
    Walk { seed: 3, epochs, batch, part, hidden_dropout: dropout, attention_dropout: dropout }
}

fn tuning(
    model: &str,
    specification: &str,
    walk: Walk,
    machine: &Machine,
) -> (FineTuning, Parameters) {
    let expected = Expected::open(model);
    let n_logits = expected.n_logits();
    let target = if n_logits == 1 { Target::Score } else { Target::Class(n_logits) };
    let (bert, pretrained) = bert(model, specification);
    let start = parameters(&bert, &pretrained, Head::Classifier(n_logits));
    let training = examples(&expected);
    let examples = Examples { validation: training.clone(), training, test: Vec::new() };
    let classifier = Classifier::new(bert, target, start.clone(), machine).unwrap();
    (FineTuning::new(classifier, examples, walk).unwrap(), start)
}

fn detected() -> Machine {
    Machine::cpu(Isa::detect(), Threads::One)
}

#[test]
fn losses_of_thirty_steps_follow_pytorch() {
    for model in ["one-head", "score"] {
        let wanted = Expected::open(model).numbers("losses");
        let steps = wanted.len();
        let (tuning, start) = tuning(model, "plain", walk(6, 6, steps, 0.0), &detected());
        let undecayed = |name: &str| Group { name_contains: name.into(), rate: 1.0, decay: 0.0 };
        let adam = AdamSettings {
            learning_rate: 2e-3,
            decay: 0.01,
            clip: 1.0,
            schedule: Schedule::WarmUpThenLinear { warm_up: 5, total: steps as u64 },
            groups: vec![undecayed("bias"), undecayed("LayerNorm")],
            ..AdamSettings::default()
        };
        let length = Length { steps, batch: 6, n_validation: 6, validate_every: steps };
        let mut trainer = Trainer::new(&tuning, length, adam, start);
        let found: Vec<f64> = (0..steps).map(|_| trainer.step().unwrap()).collect();
        // f32 beside f64, over thirty steps
        assert_close(&found, &wanted, 1e-3, model);
        assert!(found[steps - 1] < 0.5 * found[0], "{model}: {found:?}");
    }
}

#[test]
fn every_variable_has_a_gradient_that_agrees_with_differences() {
    // without negatives: the choice of N(i) jumps, which `tests/heads.rs` steps around in double precision
    for specification in ["plain", "combined:alpha=0.5,on=both,hidden=3,beta=0"] {
        let (tuning, start) = long_tuning(specification);
        let at = |packed: &[f32]| tuning.loss_and_gradient(packed, 0, 4).unwrap();
        let gradient = at(start.packed()).gradient;
        for (spec, range) in start.ranges() {
            let own = &gradient[range.clone()];
            // along its own gradient, where the difference is largest; a constant added to keys cancels in softmax
            let norm = own.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt();
            if spec.name.ends_with("key.bias") && specification == "plain" {
                assert!(norm < 1e-5, "{}", spec.name);
                continue;
            }
            assert!(norm > 1e-6, "{specification} {}: no gradient", spec.name);
            let step = 5e-4;
            let moved = |side: f64| {
                let mut packed = start.packed().to_vec();
                for (x, g) in packed[range.clone()].iter_mut().zip(own) {
                    *x += (side * step * f64::from(*g) / norm) as f32;
                }
                at(&packed).loss
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            // f32 losses of about 1: a few 1e-7 / 5e-4, and a third derivative times the step squared
            let bound = 1e-3 + 1e-2 * norm;
            assert!((slope - norm).abs() < bound, "{specification} {}: {slope} {norm}", spec.name);
        }
    }
}

fn long_tuning(specification: &str) -> (FineTuning, Parameters) {
    let expected = Expected::open("one-head");
    let (bert, pretrained) = bert("one-head", specification);
    let start = parameters(&bert, &pretrained, Head::Classifier(2));
    let long = |example: &Example| example.sequence.ids.len() > 4;
    let training: Vec<Example> = examples(&expected).into_iter().filter(long).take(4).collect();
    let examples = Examples { training, ..Examples::default() };
    let classifier = Classifier::new(bert, Target::Class(2), start.clone(), &detected()).unwrap();
    (FineTuning::new(classifier, examples, walk(4, 4, 1, 0.0)).unwrap(), start)
}

/// The rows of word pieces that do not occur take no part: without them a run has the same bits, theirs by decay alone.
#[test]
fn a_run_on_the_word_pieces_that_occur_has_the_bits_of_one_on_all() {
    let steps = 12;
    for model in ["one-head", "score"] {
        let walk = walk(4, 2, steps, 0.1);
        let (whole, start) = tuning(model, "plain", walk, &detected());
        // clipping sums over all parameters, of which the others are zeros in other places
        let schedule = Schedule::WarmUpThenLinear { warm_up: 3, total: steps as u64 };
        let adam = AdamSettings { learning_rate: 2e-3, decay: 0.1, schedule, ..Default::default() };
        let length = Length { steps, batch: 4, n_validation: 6, validate_every: 5 };
        let mut trainer = Trainer::new(&whole, length, adam.clone(), start.clone());
        let curve = trainer.run(&Unkept).unwrap();

        let examples = examples(&Expected::open(model));
        let classifier = whole.classifier();
        let vocabulary = Vocabulary::of(classifier, examples.iter());
        let (narrow, narrow_start) = vocabulary.narrowed(classifier, &start).unwrap();
        assert!(narrow_start.packed().len() < start.packed().len(), "all word pieces occur");
        let training = vocabulary.renumbered(examples).unwrap();
        let examples = Examples { validation: training.clone(), training, test: Vec::new() };
        let narrow = FineTuning::new(narrow, examples, walk).unwrap();
        let mut own = Trainer::new(&narrow, length, adam.clone(), narrow_start);
        assert_eq!(own.run(&Unkept).unwrap(), curve);
        let widened = vocabulary.widened(own.parameters(), start, &adam, steps as u64);
        assert_eq!(&widened, trainer.parameters());
    }
}

/// The hand-written pass beside candle's operations and gradients, with padding in one and none in the other; and beside
/// those operations as a GPU has them.
#[test]
fn the_fused_pass_has_the_losses_and_gradients_of_candle() {
    let models = ["one-head", "score", "twelve-heads"];
    for (model, dropout) in models.into_iter().flat_map(|model| [(model, 0.0), (model, 0.1)]) {
        for specification in [
            "plain",
            "regularised:alpha=0.5",
            "negative:m=2,beta=0.5",
            "augmented:on=both,hidden=3",
            "augmented:on=keys,c=2,hidden=5",
            "augmented:form=elementwise,on=values,c=0.5",
            "combined:alpha=0.25,on=none,m=1,beta=0.5",
            "combined:alpha=0.25,on=both,c=1,hidden=3,m=2,beta=0.5",
        ] {
            let expected = Expected::open(model);
            let n_logits = expected.n_logits();
            let target = if n_logits == 1 { Target::Score } else { Target::Class(n_logits) };
            let (bert, pretrained) = bert(model, specification);
            let start = parameters(&bert, &pretrained, Head::Classifier(n_logits));
            let mut training = examples(&expected);
            if dropout > 0.0 {
                // the masks of attention are drawn for the batch's length: equal where nothing is padded
                let longest = training.iter().map(|e| e.sequence.ids.len()).max().unwrap();
                training.retain(|e| e.sequence.ids.len() == longest);
            }
            let n = training.len();
            let [fused, operations, gpu] = [By::Fused, By::Operations, By::Gpu].map(|by| {
                let classifier =
                    Classifier::new(bert.clone(), target, start.clone(), &detected()).unwrap();
                let classifier = match by {
                    By::Fused => classifier,
                    By::Operations | By::Gpu => classifier.by_operations(),
                };
                let examples = Examples { training: training.clone(), ..Examples::default() };
                let walk = walk(n, n, 1, dropout);
                let tuning = FineTuning::new(classifier, examples, walk).unwrap();
                let found = || {
                    let logits = tuning.classifier().logits(start.packed(), &training).unwrap();
                    let means = tuning.classifier().means(start.packed(), &training).unwrap();
                    let step = tuning.loss_and_gradient(start.packed(), 0, n).unwrap();
                    (step, [logits, means].concat().concat())
                };
                if by == By::Gpu { ops::as_on_a_gpu(found) } else { found() }
            });
            for (by, found) in [("fused", &fused), ("gpu", &gpu)] {
                let name = format!("{model} {specification} dropout {dropout} {by}");
                // f32: what is asked of logits; gradients relative to the largest
                let far = |a: &[f32], b: &[f32]| largest::difference(&double(a), &double(b));
                assert!(far(&found.1, &operations.1) <= 2e-5, "{name}");
                assert!((found.0.loss - operations.0.loss).abs() < 1e-5, "{name}");
                let size = largest::magnitude(double(&operations.0.gradient));
                for (spec, range) in start.ranges() {
                    let (a, b) =
                        (&found.0.gradient[range.clone()], &operations.0.gradient[range.clone()]);
                    assert!(far(a, b) <= 1e-4 * size, "{name} {}: {}", spec.name, far(a, b));
                }
            }
            assert_ne!(gpu.1, operations.1, "{model} {specification}: the same path");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The hand-written pass.
    Fused,
    /// candle's graph of our operations.
    Operations,
    /// candle's graph of candle's operations.
    Gpu,
}

fn double(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Eleven bits of half precision stand for the eight of bf16, for which candle has no product on a CPU.
#[test]
fn a_step_in_half_precision_is_near_that_in_single() {
    for model in MODELS {
        let (tuning, start) = tuning(model, "plain", walk(4, 4, 1, 0.0), &detected());
        let whole = tuning.loss_and_gradient(start.packed(), 0, 4).unwrap();
        let classifier = tuning.classifier().clone().in_precision(DType::F16);
        let training = examples(&Expected::open(model));
        let examples = Examples { training, ..Examples::default() };
        let half = FineTuning::new(classifier, examples, walk(4, 4, 1, 0.0)).unwrap();
        let half = ops::as_on_a_gpu(|| half.loss_and_gradient(start.packed(), 0, 4).unwrap());
        // a few units of 2^-11 through the layers
        assert!(
            (half.loss / whole.loss - 1.0).abs() < 0.02,
            "{model}: {} {}",
            half.loss,
            whole.loss
        );
        let (a, b) = (double(&half.gradient), double(&whole.gradient));
        let size = |x: &[f64]| sums::sum_of_squares(x).sqrt();
        let gap: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        assert!(size(&gap) < 0.05 * size(&b), "{model}: {} {}", size(&gap), size(&b));
    }
}

#[test]
fn neutral_settings_have_the_logits_of_plain_bit_for_bit() {
    let logits = |specification: &str| {
        let (tuning, start) = long_tuning(specification);
        tuning.losses(start.packed(), Set::Training, 4).unwrap().values
    };
    let plain = logits("plain");
    for entry in attention::ALL {
        assert_eq!(logits(&format!("{}:{}", entry.id, entry.neutral)), plain, "{}", entry.id);
    }
    // and others do not
    for specification in ["regularised:alpha=0.5", "negative:m=1,beta=0.5", "augmented:c=1"] {
        assert_ne!(logits(specification), plain, "{specification}");
    }
}

#[test]
fn threads_parts_and_instruction_sets_change_no_bit_of_a_run_with_dropout() {
    let run = |isa: Isa, threads: Threads| {
        let walk = walk(4, 2, 3, 0.1);
        let machine = Machine::cpu(isa, threads);
        let (tuning, start) = tuning("score", "plain", walk, &machine);
        let length = Length { steps: tuning.steps(), batch: 4, n_validation: 6, validate_every: 2 };
        let mut trainer = Trainer::new(&tuning, length, AdamSettings::default(), start);
        let curve = trainer.run(&Unkept).unwrap();
        (curve, trainer.into_parameters())
    };
    let one = run(Isa::Portable, Threads::One);
    assert_eq!(one.0.len(), 4);
    for isa in Isa::available() {
        assert_eq!(run(isa, Threads::One), one, "{isa:?}");
        assert_eq!(run(isa, Threads::new(3).unwrap()), one, "{isa:?}");
    }
}

#[test]
fn padding_changes_the_last_digits_at_most() {
    let (tuning, start) = tuning("one-head", "plain", walk(6, 6, 1, 0.0), &detected());
    let all = examples(&Expected::open("one-head"));
    let together = tuning.classifier().logits(start.packed(), &all).unwrap();
    for (example, wanted) in all.iter().zip(together) {
        let alone =
            tuning.classifier().logits(start.packed(), std::slice::from_ref(example)).unwrap();
        let [alone, wanted] = [&alone[0], &wanted].map(|row| row.iter().map(|x| f64::from(*x)));
        // one row of a product is summed in another order than several; f32 logits of about 1
        let [alone, wanted] = [alone.collect::<Vec<_>>(), wanted.collect()];
        assert_close(&alone, &wanted, 1e-5, "logits");
    }
}

#[test]
fn a_saved_folder_is_read_again_to_the_same_bits() {
    let (bert, pretrained) = bert("one-head", "augmented:hidden=3,c=0.5");
    let first = parameters(&bert, &pretrained, Head::Classifier(2));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        #[expect(clippy::disallowed_methods, reason = "a scratch folder")]
        std::fs::write(folder.path().join(name), bytes).unwrap();
    };
    file("model.safetensors", &folder::to_safetensors(&first).unwrap());
    file("config.json", serde_json::to_string(&bert.config).unwrap().as_bytes());
    let again = Pretrained::open(folder.path()).unwrap();
    assert_eq!(again.config, bert.config);
    let specs = first.variables().to_vec();
    let loaded = again.parameters(specs, 7).unwrap();
    assert_eq!((loaded.parameters, loaded.drawn.len()), (first, 0));
    // a plain model does not silently lose what was trained
    let plain = variables::specs(&bert.config, Head::Classifier(2), modification("plain").as_ref());
    let error = again.parameters(plain, 7).unwrap_err().to_string();
    assert!(error.contains("the modification that it was trained with"), "{error}");
}

#[test]
fn a_missing_pooler_is_drawn_and_anything_else_is_refused_by_name() {
    let (bert, pretrained) = bert("one-head", "plain");
    let specs = |head| variables::specs(&bert.config, head, bert.modification.as_ref());
    // the fixture's classifier has two logits
    let error = pretrained.parameters(specs(Head::Classifier(3)), 1).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, ModelError::File { .. }));
    assert!(message.contains("classifier.weight") && message.contains("[3, 32]"), "{message}");
    let mut wider = bert.config.clone();
    wider.num_hidden_layers = 3;
    let wider = variables::specs(&wider, Head::None, bert.modification.as_ref());
    let message = pretrained.parameters(wider, 1).unwrap_err().to_string();
    assert!(message.contains("encoder.layer.2") && message.contains("nothing"), "{message}");
    let mut narrower = bert.config.clone();
    narrower.num_hidden_layers = 1;
    let narrower = variables::specs(&narrower, Head::None, bert.modification.as_ref());
    let message = pretrained.parameters(narrower, 1).unwrap_err().to_string();
    assert!(message.contains("encoder.layer.1"), "{message}");
    let message = Pretrained::open(Path::new("nowhere")).unwrap_err().to_string();
    assert!(message.contains("nowhere/config.json"), "{message}");
}
