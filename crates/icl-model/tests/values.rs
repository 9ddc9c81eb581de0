//! Prompts, initial values and features are what they have always been: pinned against a second implementation.
//!
//! The numbers come from ChaCha8 and Box-Muller written anew in Python in double precision, from the definitions
//! in `icl_numerics::stream` and `icl_model::prompt`. Inputs are multiples of 2^-23 and must be equal; normals
//! and labels are equal to rounding.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use icl_model::attention::{self, ParameterSpec, Parameters};
use icl_model::kernel::Omegas;
use icl_model::prompt::{PromptSampler, PromptShape};
use icl_model::task::{self, Scale};
use icl_numerics::lanes::Isa;

fn close(found: f32, want: f64, relative: f64) {
    assert!((f64::from(found) - want).abs() <= relative * (1.0 + want.abs()), "{found} {want}");
}

#[test]
fn prompts_are_those_of_the_definition() {
    let shape = PromptShape::new(5, 3, 2).unwrap();
    let task = task::find("linear").unwrap();
    let sampler = PromptSampler::new(task, Scale::Raw, shape, 1, "test", Isa::Portable);
    let batch = sampler.batch(0, 48);
    // prompt; inputs of the first demonstration and of the query; their labels
    let pinned = [
        (
            0_usize,
            [-0.080_937_03_f32, 0.958_888_53, -0.540_755_75],
            [0.510_444_16_f32, 0.968_336_2, -0.535_827_5],
            [0.456_558_892_043_397_4, 0.138_489_166_869_173_7],
            [0.275_372_810_835_736_5, -0.326_019_858_677_685_4],
        ),
        (
            37,
            [-0.853_343_25, -0.001_579_523_1, -0.609_916_57],
            [-0.322_067_38, -0.566_920_9, -0.903_252_5],
            [-0.289_110_653_998_962_3, 0.947_180_761_386_747_9],
            [0.567_257_941_099_702_8, 0.525_538_666_020_287_4],
        ),
    ];
    for (p, first, query, label, target) in pinned {
        let tokens = batch.prompt(p);
        assert_eq!(tokens[..3], first, "prompt {p}");
        assert_eq!(tokens[25..28], query, "prompt {p}");
        // a sum of three products of numbers of order one in f32
        tokens[3..5].iter().zip(label).for_each(|(found, want)| close(*found, want, 1e-6));
        batch.target(p).iter().zip(target).for_each(|(found, want)| close(*found, want, 1e-6));
    }
}

#[test]
fn initial_values_are_those_of_the_definition_whatever_other_variables_exist() {
    let specs = |names: &[&str]| -> Parameters {
        let spec = |name: &&str| ParameterSpec::new(*name, &[5, 5], 0.3);
        Parameters::from_specs(names.iter().map(spec).collect(), 3)
    };
    let (all, two) = (specs(&["w_q", "w_k", "g_keys.v"]), specs(&["g_keys.v", "w_q"]));
    let pinned = [
        ("w_q", [0.239_953_889_939_945_65, 0.038_788_060_998_845_44, 0.177_655_695_034_334]),
        ("w_k", [-0.514_309_243_667_958_8, 0.177_684_374_883_817_25, -0.141_874_566_719_722_84]),
        (
            "g_keys.v",
            [0.247_666_565_679_368_34, -0.226_119_147_176_910_13, -0.110_077_074_752_835_25],
        ),
    ];
    for (name, [first, second, last]) in pinned {
        let values = all.get(name).unwrap();
        for (i, want) in [(0, first), (1, second), (24, last)] {
            close(values[i], want, f64::from(f32::EPSILON));
        }
        if let Some(again) = two.get(name) {
            assert_eq!(again, values, "{name}");
        }
    }
    // the layer's own variables are drawn the same way
    let shape = attention::LayerShape { d: 5, n_heads: 1 };
    let plain = attention::parse("plain").unwrap();
    let layer = Parameters::initialised(shape, plain.as_ref(), 0.3, 3);
    assert_eq!(layer.get("w_q"), all.get("w_q"));
}

#[test]
fn features_are_those_of_the_definition() {
    let omegas = Omegas::draw(2, 2, 3);
    let pinned = [
        -0.969_337_987_600_098_4,
        -0.110_554_853_396_155_45,
        0.335_395_672_584_608_2,
        -0.341_407_931_724_538,
        1.657_144_406_940_784_6,
        1.459_166_953_895_890_7,
    ];
    for (found, want) in omegas.rows().iter().zip(pinned) {
        close(*found as f32, want, f64::from(f32::EPSILON));
        assert_eq!(f64::from(*found as f32), *found, "rounded to f32");
    }
}
