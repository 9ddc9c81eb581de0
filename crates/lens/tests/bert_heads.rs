//! Every head of random encoders beside its duals, and a whole encoder in plain loops.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "an implementation of its own")]

use icl_lens::Precision;
use icl_lens::bert::{Encoder, Explained, HeadView, Settings, explain};
use icl_model::attention::{self, Parameters};
use icl_model::bert::config::Activation;
use icl_model::bert::{BertConfig, Head, Sequence, variables};
use icl_numerics::lanes::Isa;
use icl_numerics::stream::Stream;
use icl_numerics::threads::Threads;
use safetensors::SafeTensors;

/// Heads, their size, layers, and how large queries and keys are: logits reach from about one to about fifty.
const CONFIGURATIONS: [([usize; 3], f64); 12] = [
    ([1, 32, 2], 1.0),
    ([2, 64, 1], 1.5),
    ([3, 16, 3], 3.0),
    ([4, 32, 2], 2.0),
    ([5, 24, 1], 0.3),
    ([6, 64, 1], 1.0),
    ([7, 12, 2], 3.0),
    ([8, 8, 2], 0.3),
    ([9, 16, 1], 2.0),
    ([10, 32, 1], 1.0),
    ([11, 20, 1], 1.5),
    ([12, 32, 2], 2.0),
];

const WORDS: usize = 50;

fn config([heads, size, layers]: [usize; 3]) -> BertConfig {
    BertConfig {
        vocab_size: WORDS,
        hidden_size: heads * size,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        intermediate_size: 40,
        hidden_act: Activation::Relu,
        max_position_embeddings: 24,
        ..BertConfig::default()
    }
}

/// All variables drawn, biases and gains included; those of the attention `gain / sqrt(d)` in size.
fn parameters(config: &BertConfig, gain: f64, seed: u64) -> Parameters {
    let plain = attention::parse("plain").unwrap();
    let mut parameters =
        variables::initialised(variables::specs(config, Head::None, plain.as_ref()), seed);
    for (spec, range) in parameters.ranges() {
        let stream = Stream::new(seed, &format!("bert-heads/{}", spec.name));
        let mut draws = stream.sample(0);
        let (mean, sd) = match spec.name.as_str() {
            name if name.ends_with("LayerNorm.weight") => (1.0, 0.1),
            name if name.contains("attention.self") => (0.0, gain),
            _ => (0.0, 1.0),
        };
        let fan_in = if spec.shape.len() == 2 { spec.shape[1] } else { 10 };
        for value in &mut parameters.packed_mut()[range] {
            *value = (mean + sd / (fan_in as f64).sqrt() * draws.normal()) as f32;
        }
    }
    parameters
}

/// Sequences of these lengths; the second half of each is another segment.
fn sequences(lengths: &[usize], seed: u64) -> Vec<Sequence> {
    let stream = Stream::new(seed, "bert-heads/words");
    let sequence = |(i, n): (usize, &usize)| {
        let mut draws = stream.sample(i as u64);
        Sequence {
            ids: (0..*n).map(|_| draws.below(WORDS as u64) as u32).collect(),
            segments: (0..*n).map(|t| u32::from(t > n / 2)).collect(),
        }
    };
    lengths.iter().enumerate().map(sequence).collect()
}

/// More than one padded batch, with a sequence of one token alone.
const LENGTHS: [usize; 10] = [1, 7, 2, 19, 3, 11, 5, 13, 4, 17];

fn settings(precision: Precision) -> Settings {
    Settings { precision, isa: Isa::detect(), ..Settings::default() }
}

#[test]
fn every_head_of_random_encoders_is_its_dual() {
    for (i, (sizes, gain)) in CONFIGURATIONS.into_iter().enumerate() {
        let (config, seed) = (config(sizes), 100 + i as u64);
        let encoder = Encoder::new(config.clone(), parameters(&config, gain, seed)).unwrap();
        let sequences = sequences(&LENGTHS, seed);
        // what is asked of both, for outputs of about this size; what rounding explains is far less
        for (precision, tolerance) in [(Precision::F64, 1e-10), (Precision::F32, 1e-4)] {
            let explained = explain(&encoder, &sequences, &settings(precision)).unwrap();
            assert_eq!(explained.heads.len(), sizes[2] * sizes[0]);
            assert_eq!((explained.sequences, explained.tokens), (10, 82));
            assert!(explained.holds(), "{:?}", explained.worst());
            for (at, head) in explained.heads.iter().enumerate() {
                let what = format!("{sizes:?} seed {seed} {precision:?}: {head:?}");
                assert_eq!((head.layer, head.head), (at / sizes[0], at % sizes[0]), "{what}");
                assert!(head.absolute_difference <= tolerance, "{what}");
                assert!(head.relative_difference <= tolerance, "{what}");
                // both sides were computed, from layers with something to compare
                assert!(head.absolute_difference > 0.0 && head.share > 0.1, "{what}");
                assert!(head.largest_logit > 0.1 && head.largest_logit < 100.0, "{what}");
                assert!(head.mean_query < head.largest_query, "{what}");
                assert!(head.mean_key < head.largest_key && head.mean_z < head.largest_z, "{what}");
                assert!(head.log10_features < head.log10_features_at_largest, "{what}");
            }
        }
    }
}

/// An encoder in plain loops over `f64`, one sequence at a time.
struct Plain<'a> {
    config: &'a BertConfig,
    parameters: &'a Parameters,
}

type Rows = Vec<Vec<f64>>;

impl Plain<'_> {
    fn get(&self, name: &str) -> Vec<f64> {
        self.parameters.get(name).unwrap().iter().map(|x| f64::from(*x)).collect()
    }

    fn affine(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (weight, bias) =
            (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        let row = |(row, bias): (&[f64], &f64)| -> f64 {
            bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
        };
        weight.chunks_exact(x.len()).zip(&bias).map(row).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (gain, bias) = (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        let scale = 1.0 / (variance + self.config.layer_norm_eps).sqrt();
        (0..x.len()).map(|i| (x[i] - mean) * scale * gain[i] + bias[i]).collect()
    }

    fn embedded(&self, sequence: &Sequence) -> Rows {
        let d = self.config.hidden_size;
        let table = |name: &str| self.get(&format!("embeddings.{name}_embeddings.weight"));
        let (words, places, kinds) = (table("word"), table("position"), table("token_type"));
        let token = |(t, (id, kind)): (usize, (&u32, &u32))| {
            let entry = |c: usize| {
                words[*id as usize * d + c] + places[t * d + c] + kinds[*kind as usize * d + c]
            };
            self.norm("embeddings.LayerNorm", &(0..d).map(entry).collect::<Vec<f64>>())
        };
        sequence.ids.iter().zip(&sequence.segments).enumerate().map(token).collect()
    }

    /// Outputs of the heads, `[heads][tokens][d_h]`, and of the layer.
    fn layer(&self, l: usize, x: &Rows) -> (Vec<Rows>, Rows) {
        let name = |part: &str| format!("encoder.layer.{l}.{part}");
        let side = |side: &str| -> Rows {
            x.iter().map(|x| self.affine(&name(&format!("attention.self.{side}")), x)).collect()
        };
        let (q, k, v) = (side("query"), side("key"), side("value"));
        let size = self.config.head_size();
        let head = |h: usize| -> Rows {
            let part = |x: &'_ [f64]| x[h * size..(h + 1) * size].to_vec();
            let one = |q: &Vec<f64>| {
                let score = |k: &Vec<f64>| -> f64 {
                    let products = part(q).into_iter().zip(part(k)).map(|(q, k)| q * k);
                    (products.sum::<f64>() / (size as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = k.iter().map(score).collect();
                let total: f64 = scores.iter().sum();
                let mut out = vec![0.0; size];
                for (score, v) in scores.iter().zip(&v) {
                    out.iter_mut().zip(part(v)).for_each(|(out, v)| *out += score / total * v);
                }
                out
            };
            q.iter().map(one).collect()
        };
        let heads: Vec<Rows> = (0..self.config.num_attention_heads).map(head).collect();
        let add =
            |x: &[f64], y: Vec<f64>| -> Vec<f64> { x.iter().zip(y).map(|(x, y)| x + y).collect() };
        let token = |t: usize| {
            let joined: Vec<f64> = heads.iter().flat_map(|head| head[t].clone()).collect();
            let a = add(&x[t], self.affine(&name("attention.output.dense"), &joined));
            let a = self.norm(&name("attention.output.LayerNorm"), &a);
            let mut inner = self.affine(&name("intermediate.dense"), &a);
            inner.iter_mut().for_each(|x| *x = x.max(0.0));
            let out = add(&a, self.affine(&name("output.dense"), &inner));
            self.norm(&name("output.LayerNorm"), &out)
        };
        let out = (0..x.len()).map(token).collect();
        (heads, out)
    }
}

fn array(bytes: &[u8], name: &str) -> (Vec<usize>, Vec<f64>) {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let numbers = view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
    (view.shape().to_vec(), numbers)
}

fn explained(encoder: &Encoder, sequences: &[Sequence]) -> (Explained, Vec<u8>) {
    let settings = Settings { arrays: true, ..settings(Precision::F64) };
    let explained = explain(encoder, sequences, &settings).unwrap();
    let bytes = explained.to_safetensors().unwrap();
    (explained, bytes)
}

#[test]
fn inputs_attention_and_dual_are_those_of_plain_loops_and_padding_is_zero() {
    let config = config([3, 8, 2]);
    let parameters = parameters(&config, 1.5, 7);
    let sequences = sequences(&LENGTHS, 7);
    let encoder = Encoder::new(config.clone(), parameters.clone()).unwrap();
    let (_, bytes) = explained(&encoder, &sequences);
    let (n_tokens, d, size) = (19, 24, 8);
    let (shape, mask) = array(&bytes, "attention_mask");
    assert_eq!(shape, [10, n_tokens]);
    let plain = Plain { config: &config, parameters: &parameters };
    let mut states: Vec<Rows> = sequences.iter().map(|s| plain.embedded(s)).collect();
    // rounding of some hundred operations on numbers up to ten
    let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-12, "{got} {want}");
    for l in 0..2 {
        let (shape, input) = array(&bytes, &format!("layer_{l}.input"));
        assert_eq!(shape, [10, n_tokens, d]);
        for side in ["attention", "dual"] {
            let (shape, found) = array(&bytes, &format!("layer_{l}.{side}"));
            assert_eq!(shape, [10, 3, n_tokens, size]);
            for (s, x) in states.iter().enumerate() {
                let (heads, _) = plain.layer(l, x);
                for t in 0..n_tokens {
                    let real = t < x.len();
                    assert_eq!(mask[s * n_tokens + t], f64::from(u8::from(real)));
                    for c in 0..d {
                        let want = if real { x[t][c] } else { 0.0 };
                        close(input[(s * n_tokens + t) * d + c], want);
                        let (h, c) = (c / size, c % size);
                        let want = if real { heads[h][t][c] } else { 0.0 };
                        close(found[((s * 3 + h) * n_tokens + t) * size + c], want);
                    }
                }
            }
        }
        states = states.iter().map(|x| plain.layer(l, x).1).collect();
    }
}

#[test]
fn numbers_depend_neither_on_threads_nor_on_the_instruction_set() {
    let config = config([5, 12, 2]);
    let encoder = Encoder::new(config.clone(), parameters(&config, 2.0, 3)).unwrap();
    let sequences = sequences(&LENGTHS, 3);
    for precision in [Precision::F64, Precision::F32] {
        let run = |threads: Threads, isa: Isa| {
            explain(&encoder, &sequences, &Settings { precision, threads, isa, arrays: true })
        };
        let one = run(Threads::One, Isa::Portable).unwrap();
        for isa in Isa::available() {
            let other = run(Threads::new(3).unwrap(), isa).unwrap();
            assert_eq!(one.heads, other.heads, "{}", isa.name());
            assert_eq!(one.to_safetensors().unwrap(), other.to_safetensors().unwrap());
        }
    }
}

#[test]
fn a_variable_that_is_not_finite_fails_its_layer_and_those_after_it() {
    let config = config([2, 8, 3]);
    let mut parameters = parameters(&config, 1.0, 4);
    let range = parameters.range("encoder.layer.1.attention.self.key.bias").unwrap();
    parameters.packed_mut()[range.start] = f32::NAN;
    let encoder = Encoder::new(config, parameters).unwrap();
    let explained = explain(&encoder, &sequences(&[4, 3], 4), &settings(Precision::F64)).unwrap();
    let holds: Vec<bool> = explained.heads.iter().map(HeadView::holds).collect();
    // the second head of that layer is sound
    assert_eq!(holds, [true, true, false, true, false, false]);
    assert!(!explained.holds() && explained.worst().unwrap().layer == 1);
    let record = explained.json();
    assert!(record["largest_absolute_difference"].is_null() && record["holds"] == false);
    assert!(explained.lines().iter().any(|line| line.ends_with('!')));
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let config = config([2, 8, 1]);
    let encoder = Encoder::new(config.clone(), parameters(&config, 1.0, 5)).unwrap();
    let word = |id: u32| Sequence { ids: vec![id; 2], segments: vec![0; 2] };
    for (sequences, part) in [
        (vec![], "text: found no sequence"),
        (vec![word(1), word(50)], "less than 50"),
        (sequences(&[25], 5), "1 to 24 tokens"),
        (sequences(&[3, 0], 5), "no token in sequence 1"),
    ] {
        let error = explain(&encoder, &sequences, &Settings::default()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let explained = explain(&encoder, &[word(1)], &Settings::default()).unwrap();
    assert!(explained.to_safetensors().unwrap_err().to_string().contains("arrays"));
    let deeper = BertConfig { num_hidden_layers: 2, ..config.clone() };
    let deeper = Encoder::new(deeper, parameters(&config, 1.0, 5)).unwrap();
    assert!(explain(&deeper, &[word(1)], &Settings::default()).is_err());
}
