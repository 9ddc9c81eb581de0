//! Training reaches the known floors and does not depend on the implementation.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use icl_model::adam::AdamSettings;
use icl_model::prompt::PromptShape;
use icl_model::task::Scale;
use icl_model::train::{Path, TrainSettings, Trainer};
use icl_numerics::lanes::Isa;

fn settings(steps: usize) -> TrainSettings {
    TrainSettings {
        task: "linear".into(),
        scale: Scale::Raw,
        prompt: PromptShape { n_demos: 15, d_t: 11, d_s: 1 },
        n_heads: 1,
        modification: "plain".into(),
        d_r: 0,
        steps,
        batch: 1024,
        adam: AdamSettings::default(),
        initial_sd: 0.1,
        n_test: 1024,
        test_every: 100,
        seed: 1,
        path: Path::Fused,
    }
}

fn relative_loss(settings: TrainSettings) -> f64 {
    let mut trainer = Trainer::new(settings, Isa::detect()).unwrap();
    trainer.run().unwrap();
    trainer.final_evaluation(131_072).unwrap().relative()
}

#[test]
fn one_head_reaches_the_floor_of_its_family() {
    // restricted family with the query token in the softmax: .721 of E[s^2]; a trained layer 1.02 x
    let loss = relative_loss(settings(500));
    println!("one head: {loss}");
    assert!(loss <= 1.02 * 0.721, "{loss}");
}

#[test]
fn two_heads_approach_one_gradient_step() {
    let loss = relative_loss(TrainSettings { n_heads: 2, ..settings(2000) });
    println!("two heads: {loss}");
    assert!(loss <= 1.03 * 0.435, "{loss}");
}

#[test]
#[ignore = "slow: 40 s"]
fn both_implementations_train_to_the_same_test_loss() {
    for d_r in [0, 40] {
        let fused = relative_loss(TrainSettings { d_r, ..settings(1000) });
        let composite =
            relative_loss(TrainSettings { d_r, path: Path::Composite, ..settings(1000) });
        println!("d_r {d_r}: fused {fused}, composite {composite}");
        assert!((fused / composite - 1.0).abs() < 1e-3, "{fused} {composite}");
    }
}
