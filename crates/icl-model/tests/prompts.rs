//! What prompts are drawn from.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use icl_model::prompt::{MapEntries, PromptSampler, PromptShape};
use icl_model::task::{self, Scale};
use icl_numerics::lanes::Isa;

/// Mean 0, variance 1 and the fourth moment of each distribution, on targets of inputs of size one: `s = w t`, and
/// `E[s^2] = E[t^2] = 1/3`, `E[s^4] = E[w^4] / 5`.
#[test]
fn entries_of_the_map_have_unit_variance_and_the_fourth_moment_of_their_name() {
    let shape = PromptShape::new(1, 1, 1).unwrap();
    for (map, fourth) in [
        (MapEntries::Normal, 3.0),
        (MapEntries::Uniform, 9.0 / 5.0),
        (MapEntries::Signs, 1.0),
        (MapEntries::Sparse, 4.0),
    ] {
        let task = task::find("linear").unwrap();
        let sampler =
            PromptSampler::new(task, Scale::Raw, shape, 0, "map", Isa::detect()).with_map(map);
        let rows = sampler.batch(0, 100_000).target_rows();
        let moment = |k: usize| {
            let power = |s: &f32| (0..k).map(|_| f64::from(*s)).product::<f64>();
            rows.iter().map(power).sum::<f64>() / rows.len() as f64
        };
        // standard deviations of s, s^2 and s^4 are below 1, 1 and 4; five standard errors of 1e5 draws
        assert!(moment(1).abs() < 5.0 / 316.0, "{map:?}");
        assert!((moment(2) - 1.0 / 3.0).abs() < 5.0 / 316.0, "{map:?}");
        assert!((moment(4) - fourth / 5.0).abs() < 20.0 / 316.0, "{map:?}: {}", moment(4));
        if map == MapEntries::Sparse {
            let zero = rows.iter().filter(|s| **s == 0.0).count() as f64 / rows.len() as f64;
            assert!((zero - 0.75).abs() < 0.007, "{zero}");
        }
    }
}
