//! Pre-training on masked words beside candle's gradients in double precision, and what must hold for every run.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use candle_core::{Device, Tensor, Var};
use icl_model::adam::AdamSettings;
use icl_model::attention::{self, ParameterSpec, Parameters};
use icl_model::bert::config::BertConfig;
use icl_model::bert::model::{Embedded, Last};
use icl_model::bert::variables::{self, POSITIONS, SEGMENTS, WORDS};
use icl_model::bert::{Batch, Bert, Head, Masked, MaskedWords, Masking, Sequence, Text, Walk};
use icl_model::objective::{LossAndGradient, Objective as _, Set};
use icl_model::trainer::{Length, Trainer, Unkept};
use icl_numerics::lanes::Isa;
use icl_numerics::order;
use icl_numerics::threads::Threads;

const MASK: u32 = 4;

fn bert(specification: &str) -> Bert {
    let config = BertConfig {
        vocab_size: 29,
        hidden_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 20,
        max_position_embeddings: 17,
        initializer_range: 0.3,
        ..BertConfig::default()
    };
    Bert { config, modification: attention::parse(specification).unwrap().into() }
}

/// Every variable away from its start, so that no gradient is zero by symmetry.
fn parameters(bert: &Bert) -> Parameters {
    let specs = variables::specs(&bert.config, Head::MaskedWords, bert.modification.as_ref());
    let spread = |spec: ParameterSpec| ParameterSpec { init_std: 0.3, ..spec };
    let mut parameters = Parameters::from_specs(specs.into_iter().map(spread).collect(), 5);
    for (spec, range) in parameters.ranges() {
        if spec.name.ends_with("LayerNorm.weight") {
            parameters.packed_mut()[range].iter_mut().for_each(|gain| *gain += 1.0);
        }
    }
    parameters
}

/// Each ordinary word piece is followed by the one seven further on, in sequences of several lengths.
fn text(n: u32) -> Vec<Sequence> {
    let sequence = |i: u32| {
        let length = 5 + i % 8;
        let words = (0..length).map(|j| 5 + (i * 5 + j * 7) % 24);
        let ids: Vec<u32> = std::iter::once(2).chain(words).chain([3]).collect();
        let segments = (0..ids.len()).map(|j| u32::from(j > 4)).collect();
        Sequence { ids, segments }
    };
    (0..n).map(sequence).collect()
}

fn walk(batch: usize, part: usize, epochs: usize, dropout: f64) -> Walk {
    Walk { seed: 3, epochs, batch, part, hidden_dropout: dropout, attention_dropout: dropout }
}

fn objective(
    bert: &Bert,
    layout: &Parameters,
    (n, walk): (u32, Walk),
    machine: (Isa, Threads),
) -> MaskedWords {
    let text = Text { training: text(n), validation: text(40) };
    let masking = Masking::new(MASK, (5..29).collect());
    MaskedWords::new(bert.clone(), layout, text, (masking, walk), machine).unwrap()
}

/// Loss and gradient by candle in double precision, the embedding inside its graph.
fn oracle(bert: &Bert, layout: &Parameters, masked: &[Masked]) -> (f64, Vec<f64>) {
    let device = Device::Cpu;
    let packed: Vec<f64> = layout.packed().iter().map(|x| f64::from(*x)).collect();
    let packed = Var::from_tensor(&Tensor::new(packed, &device).unwrap()).unwrap();
    let weights = layout.unpack(packed.as_tensor(), Isa::detect()).unwrap();
    let sequences: Vec<&Sequence> = masked.iter().map(|masked| &masked.sequence).collect();
    let batch = Batch::new(&bert.config, &sequences).unwrap();
    let (d, rows, n) = (bert.config.hidden_size, bert.config.vocab_size, batch.n_tokens as u32);
    let pick = |name: &str, rows: usize, ids: Vec<u32>| {
        let ids = Tensor::new(ids, &device).unwrap();
        weights.get((rows, d), name).unwrap().index_select(&ids, 0).unwrap()
    };
    let positions = (0..batch.ids.len() as u32).map(|i| i % n).collect();
    let sums = (pick(WORDS, rows, batch.ids.clone()) + pick(POSITIONS, 17, positions)).unwrap();
    let sums = (sums + pick(SEGMENTS, 2, batch.segments.clone())).unwrap();
    let tokens = sums.reshape((batch.n, batch.n_tokens, d)).unwrap();
    let embedded = Embedded::new(tokens, &batch.real).unwrap();
    let states = bert.encode(&weights, &embedded, Last::All, None).unwrap();
    let places = masked.iter().zip(0_u32..);
    let places = places.flat_map(|(m, i)| m.places.iter().map(move |place| i * n + *place as u32));
    let places = Tensor::new(places.collect::<Vec<u32>>(), &device).unwrap();
    let last = states.last().unwrap().reshape(((), d)).unwrap();
    let chosen = last.index_select(&places, 0).unwrap();
    let words = weights.get((rows, d), WORDS).unwrap();
    let scores = bert.word_scores(&weights, &chosen, &words).unwrap();
    let (mut losses, mut slopes) = (Vec::new(), Vec::new());
    let labels: Vec<u32> = masked.iter().flat_map(|masked| masked.words.clone()).collect();
    for (row, label) in scores.to_vec2::<f64>().unwrap().iter().zip(&labels) {
        let (loss, slope) = cross_entropy(row, *label);
        losses.push(loss);
        slopes.extend(slope.into_iter().map(|slope| slope / labels.len() as f64));
    }
    let slopes = Tensor::from_vec(slopes, scores.shape(), &device).unwrap();
    let gradients = (scores * slopes).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = gradients.get(packed.as_tensor()).unwrap().to_vec1().unwrap();
    (order::mean(&losses).unwrap(), gradient)
}

/// `-ln softmax(x)[label]` and its gradient.
fn cross_entropy(x: &[f64], label: u32) -> (f64, Vec<f64>) {
    let entries: Vec<f64> = x.iter().map(|x| icl_numerics::math::exp(*x)).collect();
    let sum: f64 = entries.iter().sum();
    let slope = |(i, entry): (usize, &f64)| entry / sum - f64::from(u8::from(i == label as usize));
    let slopes = entries.iter().enumerate().map(slope).collect();
    (icl_numerics::math::ln(sum) - x[label as usize], slopes)
}

#[test]
fn every_variables_gradient_is_that_of_candle_in_double_precision() {
    for specification in ["plain", "regularised:alpha=0.5", "negative:m=2,beta=0.5"] {
        let bert = bert(specification);
        let layout = parameters(&bert);
        let objective = objective(&bert, &layout, (9, walk(9, 4, 1, 0.0)), detected());
        let found = objective.loss_and_gradient(layout.packed(), 0, 9).unwrap();
        let (loss, wanted) = oracle(&bert, &layout, &objective.masked(0).unwrap());
        assert!((found.loss - loss).abs() < 1e-5, "{specification}: {} {loss}", found.loss);
        for (spec, range) in layout.ranges() {
            let wanted = &wanted[range.clone()];
            let norm = order::sum_of_squares(wanted).sqrt();
            // a constant added to keys cancels in softmax
            let nothing = spec.name.ends_with("key.bias");
            assert!(nothing || norm > 1e-4, "{specification} {}: no gradient", spec.name);
            for (a, b) in found.gradient[range].iter().zip(wanted) {
                // single precision through two layers: a few hundred roundings of numbers up to the norm
                let bound = 2e-5 * (1.0 + norm);
                assert!(
                    (f64::from(*a) - b).abs() < bound,
                    "{specification} {}: {a} {b}",
                    spec.name
                );
            }
        }
    }
}

/// A word piece that no sequence holds still has a gradient: it is one of those that are told apart.
#[test]
fn the_table_has_the_gradients_of_both_of_its_uses() {
    let bert = bert("plain");
    let layout = parameters(&bert);
    let objective = objective(&bert, &layout, (3, walk(3, 3, 1, 0.0)), detected());
    let LossAndGradient { gradient, .. } =
        objective.loss_and_gradient(layout.packed(), 0, 3).unwrap();
    let words = layout.range(WORDS).unwrap();
    let row = |id: usize| &gradient[words.start + 12 * id..words.start + 12 * (id + 1)];
    let masked = objective.masked(0).unwrap();
    let held = |id: u32| masked.iter().any(|masked| masked.sequence.ids.contains(&id));
    let absent = (0..29).find(|id| !held(*id)).unwrap();
    assert!(row(absent as usize).iter().all(|g| *g != 0.0));
}

fn detected() -> (Isa, Threads) {
    (Isa::detect(), Threads::One)
}

const LENGTH: Length = Length { steps: 40, batch: 8, n_validation: 40, validate_every: 20 };

#[test]
fn threads_and_instruction_sets_change_no_bit_of_a_run_with_dropout() {
    let bert = bert("plain");
    let run = |isa: Isa, threads: Threads| {
        let layout = parameters(&bert);
        let objective = objective(&bert, &layout, (50, walk(8, 3, 6, 0.1)), (isa, threads));
        let mut trainer = Trainer::new(&objective, LENGTH, AdamSettings::default(), layout);
        let curve = trainer.run(&Unkept).unwrap();
        (curve, trainer.into_parameters())
    };
    let one = run(Isa::Portable, Threads::One);
    for isa in Isa::available() {
        assert_eq!(run(isa, Threads::One), one, "{isa:?}");
        assert_eq!(run(isa, Threads::new(3).unwrap()), one, "{isa:?}");
    }
}

#[test]
fn words_that_follow_from_their_neighbours_are_learned() {
    let bert = bert("plain");
    let layout = variables::initialised(parameters(&bert).variables().to_vec(), 1);
    let objective = objective(&bert, &layout, (240, walk(8, 8, 20, 0.0)), detected());
    let length = Length { steps: objective.steps(), validate_every: 600, ..LENGTH };
    let adam = AdamSettings { learning_rate: 3e-3, clip: 1.0, ..AdamSettings::default() };
    let mut trainer = Trainer::new(&objective, length, adam, layout);
    let start = trainer.evaluate(Set::Validation, 40).unwrap().nmse();
    let curve = trainer.run(&Unkept).unwrap();
    // the uniform prediction has 1, one that knows how often every word comes .94
    assert!((start - 1.0).abs() < 0.5 && curve.last().unwrap().nmse < 0.7, "{start} {curve:?}");
}

#[test]
fn what_the_pass_cannot_train_is_refused() {
    let made = |specification: &str, text: Text, walk: Walk| {
        let bert = bert(specification);
        let layout = parameters(&bert);
        let masking = Masking::new(MASK, (5..29).collect());
        let made = MaskedWords::new(bert, &layout, text, (masking, walk), detected());
        made.map(|_| ()).map_err(|error| error.to_string())
    };
    let text = || Text { training: text(3), validation: Vec::new() };
    let empty = Sequence { ids: vec![2, 3], segments: vec![0, 0] };
    for specification in ["plain", "augmented:hidden=3"] {
        made(specification, text(), walk(2, 2, 1, 0.0)).unwrap();
    }
    for (specification, text, walk, part) in [
        ("plain", text(), walk(0, 2, 1, 0.0), "batch"),
        ("plain", Text::default(), walk(2, 2, 1, 0.0), "examples"),
        ("plain", Text { validation: vec![empty], ..text() }, walk(2, 2, 1, 0.0), "ordinary"),
    ] {
        let message = made(specification, text, walk).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
    let bert = bert("plain");
    let layout = parameters(&bert);
    let objective = objective(&bert, &layout, (4, walk(2, 2, 1, 0.0)), detected());
    assert!(objective.loss_and_gradient(layout.packed(), 4, 2).is_err());
    assert!(objective.loss_and_gradient(layout.packed(), 0, 3).is_err());
}
