//! What the sets `N(i)` depend on: a demonstration is read as a query, label included, by columns of `W_Q` that no
//! query without a label trains.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use icl_model::attention::{self, Parameters};
use icl_model::machine::Machine;
use icl_model::prompt::PromptBatch;
use icl_model::settings::TrainSettings;
use icl_model::trainer::Unkept;
use icl_model::training::LayerTraining;
use icl_numerics::lanes::Isa;
use icl_numerics::threads::Threads;

const M: usize = 3;

fn layer(rule: &str, steps: usize) -> LayerTraining {
    let settings = TrainSettings {
        modification: format!("negative:m={M},beta=0.5,rule={rule}"),
        steps,
        batch: 256,
        n_validation: 64,
        validate_every: steps.max(1),
        ..TrainSettings::base()
    };
    LayerTraining::new(settings, &Machine::cpu(Isa::detect(), Threads::One)).unwrap()
}

fn trained(layer: &LayerTraining) -> Parameters {
    let mut trainer = layer.trainer();
    trainer.run(&Unkept).unwrap();
    trainer.parameters().clone()
}

/// The label's column of `W_Q` `[d, d]` in another's place.
fn with_label_column(
    parameters: &Parameters,
    d: usize,
    column: impl Fn(usize) -> f32,
) -> Parameters {
    let mut changed = parameters.clone();
    let range = changed.range("w_q").unwrap();
    let w_q = &mut changed.packed_mut()[range];
    (0..d).for_each(|row| w_q[row * d + d - 1] = column(row));
    changed
}

/// `N(i)` of every demonstration of every prompt, by sorting plain scores.
fn sets(parameters: &Parameters, batch: &PromptBatch) -> Vec<Vec<usize>> {
    let (d, n) = (batch.shape.d(), batch.shape.n_demos);
    let project = |name: &str, token: &[f32]| -> Vec<f64> {
        let rows = parameters.get(name).unwrap().chunks(d);
        rows.map(|row| row.iter().zip(token).map(|(w, x)| f64::from(w * x)).sum()).collect()
    };
    let mut sets = Vec::new();
    for p in 0..batch.n_prompts {
        let tokens = batch.prompt(p);
        let tokens: Vec<&[f32]> = tokens.chunks(d).take(n).collect();
        let keys: Vec<Vec<f64>> = tokens.iter().map(|token| project("w_k", token)).collect();
        for (i, token) in tokens.iter().enumerate() {
            let query = project("w_q", token);
            let score = |j: usize| query.iter().zip(&keys[j]).map(|(q, k)| q * k).sum::<f64>();
            let mut others: Vec<usize> = (0..n).filter(|j| *j != i).collect();
            others.sort_by(|a, b| score(*a).total_cmp(&score(*b)));
            others.truncate(M);
            sets.push(others);
        }
    }
    sets
}

#[test]
fn the_labels_column_of_w_q_is_not_trained_and_changes_a_part_of_the_negatives() {
    let layer = layer("lowest", 300);
    let (start, end) = (layer.trainer().parameters().clone(), trained(&layer));
    let d = layer.settings().prompt.d();
    let (before, after) = (start.get("w_q").unwrap(), end.get("w_q").unwrap());
    for (place, (a, b)) in before.iter().zip(after).enumerate() {
        assert_eq!(a == b, place % d == d - 1, "entry {place} of W_Q");
    }
    let batch = layer.validation();
    let without = with_label_column(&end, d, |_| 0.0);
    let (own, others) = (sets(&end, &batch), sets(&without, &batch));
    let pairs = own.iter().zip(&others);
    let changed: usize =
        pairs.map(|(own, others)| own.iter().filter(|j| !others.contains(j)).count()).sum();
    let share = changed as f64 / (own.len() * M) as f64;
    println!("negatives that depend on the untrained column: {share:.3}");
    // none would mean that the dependence is gone, most that nothing else counts
    assert!((0.03..0.5).contains(&share), "{share}");
    // so a prediction depends on the start beyond what is trained
    let [own, others] =
        [&end, &without].map(|parameters| layer.predict(parameters, &batch).unwrap());
    assert!(own != others);
}

#[test]
fn without_scores_nothing_untrained_is_read() {
    for rule in ["next", "all"] {
        let specification = match rule {
            "all" => "negative:beta=0.5,rule=all".to_owned(),
            rule => format!("negative:m={M},beta=0.5,rule={rule}"),
        };
        let settings =
            TrainSettings { modification: specification, ..layer("next", 0).settings().clone() };
        let machine = Machine::cpu(Isa::detect(), Threads::One);
        let layer = LayerTraining::new(settings, &machine).unwrap();
        let parameters = layer.trainer().parameters().clone();
        let d = layer.settings().prompt.d();
        let other = with_label_column(&parameters, d, |row| row as f32);
        let batch = layer.validation();
        let predictions = [&parameters, &other].map(|p| layer.predict(p, &batch).unwrap());
        assert_eq!(predictions[0], predictions[1], "{rule}");
    }
    assert!(attention::parse("negative:m=3,rule=nearest").is_err());
}
