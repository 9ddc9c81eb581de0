//! `icl lens` against an implementation of its own: plain loops over `f64`, from the heads' matrices.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "an implementation of its own, and damaged files")]

use dual_model::feature_map::{ALL, Estimate};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Numbers between -1 and 1.
fn draw(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Matrices of every head, `[size][d]`, biases `[size]`, and the output projection `[d][heads * size]`.
#[derive(Clone)]
struct Model {
    d: usize,
    size: usize,
    query: Vec<Vec<f64>>,
    key: Vec<Vec<f64>>,
    value: Vec<Vec<f64>>,
    biases: [Vec<f64>; 3],
    output: Option<(Vec<f64>, Vec<f64>)>,
    summed: bool,
}

#[derive(Clone, Default)]
struct Setting {
    causal: bool,
    /// `[batch][tokens]`.
    mask: Option<Vec<Vec<bool>>>,
    /// Base, and whether neighbours turn together.
    rotary: Option<(f64, bool)>,
}

impl Model {
    fn new(seed: u64, d: usize, heads: usize, kv: usize, size: usize) -> Self {
        let side = |k: u64, n: usize| -> Vec<Vec<f64>> {
            (0..n as u64).map(|h| draw(seed + 100 * k + h, size * d)).collect()
        };
        Self {
            d,
            size,
            query: side(1, heads),
            key: side(2, kv),
            value: side(3, kv),
            biases: [heads, kv, kv].map(|n| draw(seed + 7 * n as u64, n * size)),
            output: Some((draw(seed + 8, d * heads * size), draw(seed + 9, d))),
            summed: false,
        }
    }

    fn project(&self, weight: &[f64], bias: &[f64], x: &[f64]) -> Vec<f64> {
        let row = |r: usize| -> f64 {
            let products = (0..self.d).map(|c| weight[r * self.d + c] * x[c]);
            products.sum::<f64>() + bias.get(r).copied().unwrap_or(0.0)
        };
        (0..self.size).map(row).collect()
    }

    /// Output of token `i` of sequence `b`; the plain definition.
    fn attend(&self, setting: &Setting, x: &[Vec<f64>], b: usize, i: usize) -> Vec<f64> {
        let group = self.query.len() / self.key.len();
        let part = |side: usize, h: usize| {
            self.biases[side].get(h * self.size..(h + 1) * self.size).unwrap_or_default()
        };
        let mut joined = Vec::new();
        for h in 0..self.query.len() {
            let g = h / group;
            let q = turn(setting, i, self.project(&self.query[h], part(0, h), &x[i]));
            let sees = |j: &usize| {
                (!setting.causal || *j <= i) && setting.mask.as_ref().is_none_or(|m| m[b][*j])
            };
            let seen: Vec<usize> = (0..x.len()).filter(sees).collect();
            let score = |j: &usize| -> f64 {
                let k = turn(setting, *j, self.project(&self.key[g], part(1, g), &x[*j]));
                k.iter().zip(&q).map(|(k, q)| k * q).sum::<f64>() / (self.size as f64).sqrt()
            };
            let scores: Vec<f64> = seen.iter().map(score).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            let mut head = vec![0.0; self.size];
            for (j, s) in seen.iter().zip(&scores) {
                let v = self.project(&self.value[g], part(2, g), &x[*j]);
                for (head, v) in head.iter_mut().zip(v) {
                    *head += (s - top).exp() / total * v;
                }
            }
            joined.push(head);
        }
        if self.summed {
            return (0..self.size).map(|c| joined.iter().map(|head| head[c]).sum()).collect();
        }
        let joined = joined.concat();
        let Some((weight, bias)) = &self.output else { return joined };
        let row = |(row, bias): (&[f64], &f64)| -> f64 {
            row.iter().zip(&joined).map(|(w, x)| w * x).sum::<f64>() + bias
        };
        weight.chunks_exact(joined.len()).zip(bias).map(row).collect()
    }

    fn forward(&self, setting: &Setting, tokens: &[Vec<Vec<f64>>]) -> Vec<f64> {
        let mut out = Vec::new();
        for (b, x) in tokens.iter().enumerate() {
            (0..x.len()).for_each(|i| out.extend(self.attend(setting, x, b, i)));
        }
        out
    }

    /// The tensors of the layout `linear` under three families of names.
    fn by_rows(&self, layout: &str) -> Tensors {
        let (d, size, heads, kv) = (self.d, self.size, self.query.len(), self.key.len());
        let (wo, bo) = self.output.clone().unwrap_or_default();
        let sides = [("q", &self.query, heads), ("k", &self.key, kv), ("v", &self.value, kv)];
        let mut out = Tensors::new();
        let mut put = |name: String, shape: &[usize], values: Vec<f64>| {
            out.insert(name, (shape.to_vec(), values));
        };
        for (i, (s, weights, n)) in sides.into_iter().enumerate() {
            let long = ["query", "key", "value"][i];
            let [weight, bias] = match layout {
                "linear" => [format!("w_{s}"), format!("b_{s}")],
                "llama" => ["weight", "bias"].map(|x| format!("m.3.self_attn.{s}_proj.{x}")),
                _ => ["weight", "bias"].map(|x| format!("l.0.attention.self.{long}.{x}")),
            };
            put(weight, &[n * size, d], weights.concat());
            put(bias, &[n * size], self.biases[i].clone());
        }
        let [weight, bias] = match layout {
            "linear" => ["w_o".into(), "b_o".into()],
            "llama" => ["weight", "bias"].map(|x| format!("m.3.self_attn.o_proj.{x}")),
            _ => ["weight", "bias"].map(|x| format!("l.0.attention.output.dense.{x}")),
        };
        put(weight, &[d, heads * size], wo);
        put(bias, &[d], bo);
        out
    }

    /// The tensors of a file in the given layout, by name: shape and numbers.
    fn tensors(&self, layout: &str) -> Tensors {
        let (d, size) = (self.d, self.size);
        let (heads, kv) = (self.query.len(), self.key.len());
        let rows = |side: &[Vec<f64>]| side.concat();
        let columns = |side: &[Vec<f64>]| -> Vec<f64> {
            side.iter().flat_map(|w| transposed(w, size, d)).collect()
        };
        let (wo, bo) = self.output.clone().unwrap_or_default();
        let mut out = Tensors::new();
        let mut put = |name: String, shape: &[usize], values: Vec<f64>| {
            out.insert(name, (shape.to_vec(), values));
        };
        let sides = [("q", &self.query, heads), ("k", &self.key, kv), ("v", &self.value, kv)];
        let all = [rows(&self.query), rows(&self.key), rows(&self.value)].concat();
        match layout {
            "linear" | "llama" | "bert" => return self.by_rows(layout),
            "conv1d" => {
                let n = 3 * heads * size;
                put("h.0.attn.c_attn.weight".into(), &[d, n], transposed(&all, n, d));
                put("h.0.attn.c_attn.bias".into(), &[n], self.biases.concat());
                let weight = transposed(&wo, d, heads * size);
                put("h.0.attn.c_proj.weight".into(), &[heads * size, d], weight);
                put("h.0.attn.c_proj.bias".into(), &[d], bo);
            }
            "in-proj" => {
                put("in_proj_weight".into(), &[3 * heads * size, d], all);
                put("in_proj_bias".into(), &[3 * heads * size], self.biases.concat());
                put("out_proj.weight".into(), &[d, heads * size], wo);
                put("out_proj.bias".into(), &[d], bo);
            }
            "per-head" => {
                for (i, (s, weights, n)) in sides.into_iter().enumerate() {
                    let s = s.to_uppercase();
                    put(format!("blocks.0.attn.W_{s}"), &[n, d, size], columns(weights));
                    put(format!("blocks.0.attn.b_{s}"), &[n, size], self.biases[i].clone());
                }
                let weight = transposed(&wo, d, heads * size);
                put("blocks.0.attn.W_O".into(), &[heads, size, d], weight);
                put("blocks.0.attn.b_O".into(), &[d], bo);
            }
            _ => {
                for (s, weights, n) in sides {
                    put(format!("w_{s}"), &[n, d, d], rows(weights));
                }
            }
        }
        out
    }
}

fn transposed(x: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows * columns).map(|i| x[i % rows * columns + i / rows]).collect()
}

fn turn(setting: &Setting, t: usize, mut x: Vec<f64>) -> Vec<f64> {
    let Some((theta, interleaved)) = setting.rotary else { return x };
    let n = x.len();
    for i in 0..n / 2 {
        let angle = t as f64 * theta.powf(-2.0 * i as f64 / n as f64);
        let (a, b) = if interleaved { (2 * i, 2 * i + 1) } else { (i, i + n / 2) };
        let (u, v) = (x[a], x[b]);
        x[a] = u * angle.cos() - v * angle.sin();
        x[b] = u * angle.sin() + v * angle.cos();
    }
    x
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

fn save(path: &Path, tensors: &Tensors, settings: Option<&str>) {
    let bytes = |values: &[f64]| values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let raw = tensors
        .iter()
        .map(|(name, (shape, values))| (name.as_str(), Dtype::F64, shape.clone(), bytes(values)));
    save_raw(path, &raw.collect::<Vec<_>>(), settings);
}

/// Name, dtype, shape and bytes of a tensor.
type Raw<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

fn save_raw(path: &Path, raw: &[Raw<'_>], settings: Option<&str>) {
    let views = raw.iter().map(|(name, dtype, shape, data)| {
        (*name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let metadata = settings.map(|text| [("settings".to_owned(), text.to_owned())].into());
    std::fs::write(path, safetensors::serialize(views, metadata).unwrap()).unwrap();
}

struct Run {
    code: i32,
    record: Value,
    error: String,
    out: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    bytes: Vec<u8>,
}

/// Runs the lens on `x` and `w` in `dir`.
fn lens(dir: &Path, flags: &[&str]) -> Run {
    let out = dir.join("o");
    let _ = std::fs::remove_file(&out);
    let mut command = Command::new(env!("CARGO_BIN_EXE_icl"));
    command.arg("lens").arg("--tokens").arg(dir.join("x")).arg("--weights").arg(dir.join("w"));
    let output = command.args(["--json", "--out"]).arg(&out).args(flags).output().unwrap();
    let bytes = std::fs::read(&out).unwrap_or_default();
    let mut arrays = BTreeMap::new();
    if let Ok(file) = SafeTensors::deserialize(&bytes) {
        for (name, view) in file.tensors() {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
                _ => data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            };
            arrays.insert(name, (view.shape().to_vec(), values));
        }
    }
    Run {
        code: output.status.code().unwrap(),
        record: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        error: String::from_utf8_lossy(&output.stderr).into_owned(),
        out: arrays,
        bytes,
    }
}

fn tokens(batch: usize, n: usize, d: usize, scale: f64) -> Vec<Vec<Vec<f64>>> {
    let row = |b: usize, i: usize| -> Vec<f64> {
        draw((b * n + i) as u64 + 1000, d).iter().map(|x| scale * x).collect()
    };
    (0..batch).map(|b| (0..n).map(|i| row(b, i)).collect()).collect()
}

fn save_tokens(dir: &Path, x: &[Vec<Vec<f64>>], mask: Option<&[Vec<bool>]>) {
    let shape = vec![x.len(), x[0].len(), x[0][0].len()];
    let numbers = x.concat().concat().iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut raw = vec![("tokens", Dtype::F64, shape.clone(), numbers)];
    if let Some(mask) = mask {
        let bytes = mask.concat().iter().flat_map(|m| i64::from(*m).to_le_bytes()).collect();
        raw.push(("attention_mask", Dtype::I64, shape[..2].to_vec(), bytes));
    }
    save_raw(&dir.join("x"), &raw, None);
}

/// Both outputs agree with the plain loops.
fn assert_agrees(run: &Run, want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(run.code, 0, "{what}: {} {}", run.error, run.record);
    let top = want.iter().fold(0.0_f64, |top, x| top.max(x.abs()));
    for side in ["attention", "dual"] {
        let got = &run.out[side].1;
        assert_eq!(got.len(), want.len(), "{what}");
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() <= tolerance * top, "{what}: {side}: {got} {want}");
        }
    }
}

#[test]
fn every_layout_mask_and_rotation_agrees_with_plain_loops() {
    let dir = tempfile::tempdir().unwrap();
    let x = tokens(2, 7, 6, 1.0);
    let right = vec![vec![true, true, true, true, true, false, false], vec![true; 7]];
    let left = vec![vec![false, false, true, true, false, true, true], vec![false; 7]];
    for (layout, flags) in [
        ("linear", ["--heads", "2"]),
        ("llama", ["--head-size", "4"]),
        ("bert", ["--heads", "2"]),
        ("conv1d", ["--heads", "2"]),
        ("in-proj", ["--heads", "2"]),
        ("per-head", ["--d-r", "8"]),
        ("summed", ["--layout", "summed"]),
    ] {
        let mut model = Model::new(5, 6, 2, 2, if layout == "summed" { 6 } else { 4 });
        if layout == "summed" {
            (model.summed, model.output, model.biases) = (true, None, Default::default());
        }
        save(&dir.path().join("w"), &model.tensors(layout), None);
        for (causal, mask) in [
            (false, None),
            (true, None),
            (false, Some(&right)),
            (true, Some(&right)),
            (true, Some(&left)),
        ] {
            save_tokens(dir.path(), &x, mask.map(Vec::as_slice));
            for rotary in [None, Some((100.0, false)), Some((50.0, true))] {
                let setting = Setting { causal, mask: mask.cloned(), rotary };
                let mut flags = flags.to_vec();
                flags.extend(causal.then_some(["--mask", "causal"]).into_iter().flatten());
                if let Some((theta, interleaved)) = rotary {
                    flags.extend(["--rotary", if theta == 50.0 { "50" } else { "100" }]);
                    flags.extend([
                        "--rotary-style",
                        if interleaved { "interleaved" } else { "half" },
                    ]);
                }
                let run = lens(dir.path(), &flags);
                let want = model.forward(&setting, &x);
                assert_agrees(&run, &want, 1e-12, &format!("{layout} {flags:?} {mask:?}"));
                let named = if ["llama", "bert"].contains(&layout) { "linear" } else { layout };
                assert_eq!(run.record["layout"], named);
                assert_eq!(run.record["heads"], 2);
                assert_eq!(run.out["attention_weights"].0, [2, 2, 7, 7]);
                let number = |x: &f64| x.is_finite();
                assert!(run.out.values().all(|(_, values)| values.iter().all(number)));
            }
        }
    }
}

#[test]
fn fewer_heads_of_keys_and_values_are_told_by_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let x = tokens(1, 6, 6, 1.0);
    save_tokens(dir.path(), &x, None);
    for kv in [1, 2] {
        let model = Model::new(11, 6, 4, kv, 2);
        let want = model.forward(&Setting { causal: true, ..Setting::default() }, &x);
        for (layout, flags) in [
            ("linear", vec!["--heads", "4"]),
            ("llama", vec!["--kv-heads", if kv == 1 { "1" } else { "2" }]),
            ("per-head", vec![]),
        ] {
            save(&dir.path().join("w"), &model.tensors(layout), None);
            let run =
                lens(dir.path(), &[&flags[..], &["--mask", "causal", "--demos", "3"]].concat());
            assert_agrees(&run, &want, 1e-12, layout);
            assert_eq!(
                (&run.record["kv_heads"], &run.record["head_size"]),
                (&kv.into(), &2.into())
            );
        }
    }
}

#[test]
fn large_keys_keep_a_bound_that_grows_and_features_stay_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let x = tokens(1, 9, 8, 1.0);
    save_tokens(dir.path(), &x, None);
    let mut model = Model::new(3, 8, 2, 2, 4);
    // keys that share a large bias
    model.biases[1] = vec![350.0; 8];
    save(&dir.path().join("w"), &model.tensors("linear"), None);
    let want = model.forward(&Setting::default(), &x);
    let run = lens(dir.path(), &["--heads", "2"]);
    assert_agrees(&run, &want, run.record["bound"].as_f64().unwrap(), "f64");
    let run = lens(dir.path(), &["--heads", "2", "--dtype", "f32"]);
    assert_agrees(&run, &want, run.record["bound"].as_f64().unwrap(), "f32");
    let bound = run.record["bound"].as_f64().unwrap();
    let logits = run.record["logits"].as_f64().unwrap();
    assert!(logits > 500.0 && bound < 100.0 * f64::from(f32::EPSILON) * logits, "{bound} {logits}");
    model.biases[0] = vec![-350.0; 8];
    save(&dir.path().join("w"), &model.tensors("linear"), None);
    // another kernel may be zero for all keys that a query sees: softmax never is
    let maps = ALL.iter().filter(|entry| entry.estimate == Estimate::Unbiased);
    for map in maps.map(|entry| entry.id).chain(["favor++:a=-0.1", "taylor", "taylor:order=2"]) {
        for dtype in ["f64", "f32"] {
            let flags = ["--heads", "2", "--feature-map", map, "--d-r", "64", "--dtype", dtype];
            let run = lens(dir.path(), &flags);
            assert_eq!(run.code, 0, "{map} {dtype}: {} {}", run.error, run.record);
            assert!(run.out["dual"].1.iter().all(|x| x.is_finite()), "{map}");
            assert_eq!(run.record["non_finite"]["dual"], 0);
            assert_eq!(run.record["feature_map"], map);
        }
    }
    for (map, part) in [
        ("no-map", "unknown feature map `no-map`; known: exact"),
        ("taylor:order=9", "setting `taylor:order`: found 9, expected 0 to 3"),
        ("positive:a=1", "expected no options"),
    ] {
        let run = lens(dir.path(), &["--heads", "2", "--feature-map", map, "--d-r", "64"]);
        assert!(run.code == 2 && run.error.contains(part), "{map}: {}", run.error);
    }
}

#[test]
fn outputs_that_are_not_finite_are_counted_and_fail_the_run() {
    let dir = tempfile::tempdir().unwrap();
    save_tokens(dir.path(), &tokens(1, 5, 4, 1e155), None);
    let mut model = Model::new(2, 4, 1, 1, 4);
    model.output = None;
    let mut tensors = model.tensors("linear");
    tensors.retain(|name, _| !name.ends_with("_o"));
    save(&dir.path().join("w"), &tensors, None);
    for flags in [&[][..], &["--feature-map", "positive"], &["--dtype", "f32"]] {
        let run = lens(dir.path(), flags);
        assert_eq!(run.code, 1, "{flags:?} {}", run.record);
        assert_eq!(run.record["holds"], false);
        assert!(run.record["largest_absolute_difference"].is_null());
        assert!(run.record["non_finite"]["dual"].as_u64().unwrap() > 0, "{}", run.record);
    }
    let run = lens(dir.path(), &[]);
    assert!(run.record["non_finite_from"]["query"].as_f64().unwrap() > 1e154);
}

#[test]
fn layers_of_icl_train_are_known_by_their_settings() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let x = tokens(1, 9, 12, 1.0);
    save_tokens(dir.path(), &x, None);
    for heads in ["1", "2"] {
        let mut train = Command::new(env!("CARGO_BIN_EXE_icl"));
        train
            .args(["train", "--task", "linear", "--steps", "2", "--batch", "16", "--n-test", "16"]);
        let done = train.args(["--heads", heads, "--out"]).arg(file("w")).output().unwrap();
        assert!(done.status.success());
        let run = lens(dir.path(), &["--heads", heads]);
        assert_eq!((run.code, &run.record["layout"]), (0, &"summed".into()), "{}", run.error);
        assert_eq!(run.out["dual"].0, [1, 9, 12]);
        let run = lens(dir.path(), &["--heads", "3"]);
        assert!(run.code == 2 && run.error.contains("--heads: found 3"), "{}", run.error);
    }
    let bytes = std::fs::read(file("w")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let settings = header.metadata().as_ref().unwrap()["settings"].clone();
    let mut model = Model::new(1, 12, 2, 2, 12);
    (model.summed, model.output, model.biases) = (true, None, Default::default());
    for (old, new, part) in [
        ("\"plain\"", "\"regularised:alpha=0.5\"", "modification"),
        ("\"kernel\":\"softmax\"", "\"kernel\":{\"positive\":8}", "kernel = positive"),
        ("\"kernel\":\"softmax\"", "\"kernel\":\"linear\"", "kernel = linear"),
    ] {
        let settings = settings.replacen(old, new, 1);
        save(&file("w"), &model.tensors("summed"), Some(&settings));
        let run = lens(dir.path(), &[]);
        assert!(run.code == 2 && run.error.contains(part), "{}", run.error);
    }
    // nothing says which of two layouts it is
    save(&file("w"), &model.tensors("summed"), None);
    let run = lens(dir.path(), &[]);
    assert!(run.code == 2, "{}", run.record);
    for part in ["per-head", "summed", "--layout", "[2, 12, 12]"] {
        assert!(run.error.contains(part), "{}", run.error);
    }
    let run = lens(dir.path(), &["--layout", "per-head"]);
    assert_eq!((run.code, run.out["dual"].0.clone()), (0, vec![1, 9, 24]));
}

#[test]
fn half_precisions_mean_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    save_tokens(dir.path(), &tokens(1, 5, 4, 1.0), None);
    // sixteenths from -1 on: whole in both precisions
    let value = |i: usize| (i as f64 - 8.0) / 16.0;
    let bf16 = |x: f64| ((x as f32).to_bits() >> 16) as u16;
    let f16 = |x: f64| match (x as f32).to_bits() {
        bits if bits << 1 == 0 => 0,
        bits => {
            ((bits >> 16 & 0x8000) | ((bits >> 23 & 255) - 112) << 10 | bits >> 13 & 1023) as u16
        }
    };
    let plain: Tensors = ["w_q", "w_k", "w_v"]
        .map(|name| (name.to_owned(), (vec![4, 4], (0..16).map(value).collect())))
        .into();
    save(&dir.path().join("w"), &plain, None);
    let want = lens(dir.path(), &[]);
    for (dtype, half) in [(Dtype::BF16, &bf16 as &dyn Fn(f64) -> u16), (Dtype::F16, &f16)] {
        let data: Vec<u8> = (0..16).flat_map(|i| half(value(i)).to_le_bytes()).collect();
        let raw = ["w_q", "w_k", "w_v"].map(|name| (name, dtype, vec![4, 4], data.clone()));
        save_raw(&dir.path().join("w"), &raw, None);
        let got = lens(dir.path(), &[]);
        assert_eq!((got.code, got.bytes), (0, want.bytes.clone()), "{dtype:?}: {}", got.error);
    }
}

#[test]
fn bytes_do_not_depend_on_threads_and_large_weights_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::new(9, 8, 4, 2, 2);
    save(&dir.path().join("w"), &model.tensors("linear"), None);
    save_tokens(dir.path(), &tokens(2, 150, 8, 1.0), None);
    for map in ["exact", "positive"] {
        for dtype in ["f64", "f32"] {
            let flags =
                ["--heads", "4", "--mask", "causal", "--feature-map", map, "--dtype", dtype];
            let run = |n: &str| {
                lens(dir.path(), &[&flags[..], &["--d-r", "32", "--threads", n]].concat())
            };
            let (one, three) = (run("1"), run("3"));
            assert_eq!((one.code, three.code), (0, 0), "{}", one.error);
            assert!(one.bytes == three.bytes, "{map} {dtype}");
        }
    }
    save_tokens(dir.path(), &tokens(1, 1100, 8, 1.0), None);
    let run = lens(dir.path(), &["--heads", "4"]);
    assert_eq!(run.code, 0);
    assert_eq!(run.out.keys().collect::<Vec<_>>(), ["attention", "dual"]);
    assert!(run.record["assumed"].to_string().contains("--contributions"));
    let run = lens(dir.path(), &["--heads", "4", "--contributions", "--mask", "causal"]);
    let rows = run.out["attention_weights"].1.chunks_exact(1100);
    assert!(rows.into_iter().all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-12));
}

#[test]
fn what_cannot_be_read_is_refused_with_found_expected_and_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let w = dir.path().join("w");
    save_tokens(dir.path(), &tokens(1, 5, 6, 1.0), None);
    let model = Model::new(5, 6, 2, 2, 3);
    let good = model.tensors("linear");
    let check = |tensors: &Tensors, flags: &[&str], parts: &[&str]| {
        save(&w, tensors, None);
        let run = lens(dir.path(), flags);
        assert_eq!(run.code, 2, "{parts:?}: {} {}", run.error, run.record);
        for part in parts {
            assert!(run.error.contains(part), "{part}: {}", run.error);
        }
    };
    let changed = |name: &str, tensor: Option<(Vec<usize>, Vec<f64>)>| {
        let mut tensors = good.clone();
        tensors.remove(name);
        tensors.extend(tensor.map(|tensor| (name.to_owned(), tensor)));
        tensors
    };
    check(&good, &["--heads", "4"], &["--heads: found 4", "divisor of 6"]);
    check(&good, &["--heads", "0"], &["--heads", "from 1"]);
    check(&good, &["--d-r", "99999"], &["65536"]);
    check(&good, &["--demos", "6"], &["--demos: found 6", "at most T = 5"]);
    check(&good, &["--rotary", "100", "--heads", "2"], &["--rotary", "size 3", "even"]);
    check(&good, &["--layout", "conv1d"], &["--layout"]);
    check(&good, &["--prefix", "h.0"], &["--prefix"]);
    check(&changed("w_v", None), &[], &["w_v", "none", "[H d_h, 6]"]);
    check(&changed("w_o", None), &[], &["b_o", "both or neither"]);
    check(&changed("w_v", Some((vec![3, 6], vec![0.0; 18]))), &[], &["w_v", "[3, 6]", "keys, 6"]);
    check(
        &changed("w_q", Some((vec![6, 5], vec![0.0; 30]))),
        &[],
        &["w_q", "[6, 5]", "tokens of size 6"],
    );
    check(&changed("w_k", Some((vec![6, 6], vec![f64::NAN; 36]))), &[], &["w_k", "NaN", "finite"]);
    check(&changed("q_norm", Some((vec![3], vec![1.0; 3]))), &[], &["q_norm", "extra", "[3]"]);
    let mut two = model.tensors("llama");
    let other: Tensors =
        two.iter().map(|(name, t)| (name.replace("m.3", "m.4"), t.clone())).collect();
    two.extend(other);
    check(&two, &[], &["2 attention layers", "--prefix", "m.4.self_attn"]);
    save(&w, &two, None);
    assert_eq!(lens(dir.path(), &["--prefix", "m.4.self_attn", "--heads", "2"]).code, 0);
}

#[test]
fn damaged_files_and_masks_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let w = dir.path().join("w");
    save_tokens(dir.path(), &tokens(1, 5, 6, 1.0), None);
    let good = Model::new(5, 6, 2, 2, 3).tensors("linear");
    for bytes in
        [&[][..], b"not tensors", &(1_u64 << 60).to_le_bytes(), &[2, 0, 0, 0, 0, 0, 0, 0, 123]]
    {
        std::fs::write(&w, bytes).unwrap();
        let run = lens(dir.path(), &[]);
        assert!(run.code == 2 && run.error.contains("header: found"), "{}", run.error);
    }
    save(&w, &good, None);
    let bytes = std::fs::read(&w).unwrap();
    std::fs::write(&w, &bytes[..bytes.len() - 8]).unwrap();
    assert_eq!(lens(dir.path(), &[]).code, 2);
    std::fs::write(&w, &bytes).unwrap();
    let numbers = vec![0; 8 * 2 * 5 * 6];
    let raw = |name, shape: &[usize], entry: u8| {
        let mask = vec![entry; shape.iter().product()];
        let tokens = ("tokens", Dtype::F64, vec![2, 5, 6], numbers.clone());
        let raw = [tokens, (name, Dtype::U8, shape.to_vec(), mask)];
        save_raw(&dir.path().join("x"), &raw, None);
        lens(dir.path(), &[])
    };
    for (name, shape, entry, part) in [
        ("attention_mask", &[2, 4][..], 1, "[2, 4]"),
        ("attention_mask", &[2, 5], 2, "0 (padding) or 1"),
        ("lengths", &[2], 6, "from 0 to T = 5"),
        ("lengths", &[3], 5, "[3]"),
        ("mask", &[2, 5], 1, "extra"),
    ] {
        let run = raw(name, shape, entry);
        assert!(run.code == 2 && run.error.contains(part), "{part}: {}", run.error);
    }
    assert_eq!(raw("lengths", &[2], 3).code, 0);
}
