//! The tensors of a layer, read from each layout into one form.

use crate::error::Result;
use crate::layer::{Affine, Heads, Layer, Mix, transposed};
use crate::layout::{self, Found};
use crate::options::{Layout, Options};
use crate::tensor_file::{Array, TensorFile};
use icl_model::kernel::Kernel;
use icl_model::settings::TrainSettings;

/// The layer of the file, in one form; `d` is the size of a token.
pub(crate) fn layer(options: &Options, file: &TensorFile, d: usize) -> Result<Layer> {
    let found = layout::find(options, file)?;
    let layout = layout::layout(options, file, &found, d)?;
    layout::only(file, &found, layout)?;
    let reader = Reader { file, found: &found, d };
    let mut assumed = Vec::new();
    let (heads, [query, key, value]) = match layout {
        Layout::Linear => reader.linear(options)?,
        Layout::Conv1d | Layout::InProj => reader.fused(options, layout)?,
        Layout::PerHead => reader.per_head(options)?,
        Layout::Summed => {
            assumed.push(own_settings(file)?);
            reader.summed(options)?
        }
    };
    let mix = match layout {
        Layout::Summed => Mix::Summed,
        _ => reader.output(layout, heads)?,
    };
    let by_rows = !matches!(layout, Layout::PerHead | Layout::Summed);
    if by_rows && [options.heads, options.kv_heads, options.head_size] == [None; 3] {
        assumed.push("one head, as --heads is not given".to_owned());
    }
    Ok(Layer { layout, d, heads, query, key, value, mix, assumed })
}

/// Heads, and the maps of queries, keys and values.
type Maps = (Heads, [Affine; 3]);

struct Reader<'a> {
    file: &'a TensorFile,
    found: &'a Found,
    d: usize,
}

const BELONG: &str = "check that tokens and weights belong together";

impl Reader<'_> {
    fn weight(&self, i: usize, expected: &str) -> Result<(String, Array)> {
        let name = self.found.name(self.found.family.weights[i]);
        let array = self.file.array(&name, expected)?;
        Ok((name, array))
    }

    /// A bias of `n` entries, flat or one row a head; if there is one.
    fn bias(&self, name: &str, heads: usize, n: usize) -> Result<Option<Vec<f64>>> {
        let Some(shape) = self.file.shape(name) else { return Ok(None) };
        if shape != [n] && shape != [heads, n / heads] {
            let found = format!("shape {shape:?}");
            return Err(self.file.refuse(
                name,
                found,
                format!("[{n}], as its weight says"),
                BELONG,
            ));
        }
        self.file.array(name, &format!("[{n}]")).map(|array| Some(array.values))
    }

    fn biased(&self, i: usize, heads: usize, weight: Vec<f64>) -> Result<Affine> {
        let rows = weight.len() / self.d;
        let bias = self.bias(&self.found.name(self.found.family.biases[i]), heads, rows)?;
        Ok(Affine { weight, bias, rows, columns: self.d })
    }

    /// `[rows, d]` three times; keys and values have as many rows.
    fn linear(&self, options: &Options) -> Result<Maps> {
        let d = self.d;
        let weight = |i: usize| {
            let (name, array) = self.weight(i, &format!("[H d_h, {d}]"))?;
            if array.shape.len() != 2 || array.shape[1] != d {
                let expected = format!("[H d_h, {d}] (y = x Wᵀ), for tokens of size {d}");
                let found = format!("shape {:?}", array.shape);
                return Err(self.file.refuse(&name, found, expected, BELONG));
            }
            Ok((name, array))
        };
        let [query, key, value] = [weight(0)?, weight(1)?, weight(2)?];
        let rows = |(_, array): &(String, Array)| array.shape[0];
        if rows(&key) != rows(&value) {
            let (name, array) = &value;
            let expected = format!("as many rows as the keys, {}", rows(&key));
            return Err(self.file.refuse(
                name,
                format!("shape {:?}", array.shape),
                expected,
                BELONG,
            ));
        }
        let heads = Heads::from_rows(options, rows(&query), rows(&key))?;
        let map = |i: usize, (_, array): (String, Array)| self.biased(i, 1, array.values);
        Ok((heads, [map(0, query)?, map(1, key)?, map(2, value)?]))
    }

    /// Queries, keys and values in one: `[d, 3 H d_h]` (conv1d) or `[3 H d_h, d]` (in-proj).
    fn fused(&self, options: &Options, layout: Layout) -> Result<Maps> {
        let d = self.d;
        let expected = match layout {
            Layout::Conv1d => format!("[{d}, 3 H d_h] (y = x W), for tokens of size {d}"),
            _ => format!("[3 H d_h, {d}] (y = x Wᵀ), for tokens of size {d}"),
        };
        let (name, array) = self.weight(0, &expected)?;
        let (rows, values) = match (layout, array.shape.as_slice()) {
            (Layout::Conv1d, [inner, rows]) if *inner == d => {
                (*rows, transposed(&array.values, d, *rows))
            }
            (Layout::InProj, [rows, inner]) if *inner == d => (*rows, array.values),
            _ => (0, Vec::new()),
        };
        if rows == 0 || !rows.is_multiple_of(3) {
            let found = format!("shape {:?}", array.shape);
            return Err(self.file.refuse(&name, found, expected, BELONG));
        }
        let heads = Heads::from_rows(options, rows / 3, rows / 3)?;
        let whole = self.biased(0, 1, values)?;
        let third = |i: usize| {
            let (weight, bias) = whole.part(i * rows / 3, rows / 3);
            let bias = bias.map(<[f64]>::to_vec);
            Affine { weight: weight.to_vec(), bias, rows: rows / 3, columns: d }
        };
        Ok((heads, [third(0), third(1), third(2)]))
    }

    /// `[H, d, d_h]`: `y = x W` in every head.
    fn per_head(&self, options: &Options) -> Result<Maps> {
        let expected = format!("[H, {0}, d_h], for tokens of size {0}", self.d);
        let (shapes, maps) = self.three(&expected, |shape, values| match *shape {
            [_, d, size] if d == self.d => Some(transposed(values, d, size)),
            _ => None,
        })?;
        let heads = Heads { heads: shapes[0][0], kv_heads: shapes[1][0], size: shapes[0][2] };
        let keys = &shapes[1];
        if keys[2] != heads.size || shapes[2] != *keys {
            let found = format!("keys {keys:?} and values {:?}", shapes[2]);
            let expected = format!("equal shapes, with heads of size {}", heads.size);
            return Err(self.file.fault(found, expected, BELONG));
        }
        heads.agrees(options)?;
        Ok((heads, maps))
    }

    /// `[H, d, d]`, or `[d, d]` for one head: `y = W x` in every head.
    fn summed(&self, options: &Options) -> Result<Maps> {
        let d = self.d;
        let expected = format!("[H, {d}, {d}] or [{d}, {d}], for tokens of size {d}");
        let (shapes, maps) = self.three(&expected, |shape, values| {
            let (square, rank) = (shape.ends_with(&[d, d]), shape.len());
            (square && (rank == 2 || rank == 3)).then(|| values.to_vec())
        })?;
        let number = if shapes[0].len() == 3 { shapes[0][0] } else { 1 };
        if shapes.iter().any(|shape| *shape != shapes[0]) {
            let found = format!("shapes {shapes:?}");
            return Err(self.file.fault(found, "three equal shapes", BELONG));
        }
        if let Some((weight, _)) = self.found.output(self.file)? {
            let next = "choose --layout per-head or linear, or leave it out";
            return Err(self.file.refuse(&weight, "it", "none in the layout summed", next));
        }
        let heads = Heads { heads: number, kv_heads: number, size: d };
        heads.agrees(options)?;
        Ok((heads, maps))
    }

    /// Three weights, brought to `[H rows, d]` by `rows`, with their biases.
    fn three(
        &self,
        expected: &str,
        rows: impl Fn(&[usize], &[f64]) -> Option<Vec<f64>>,
    ) -> Result<([Vec<usize>; 3], [Affine; 3])> {
        let one = |i: usize| -> Result<(Vec<usize>, Affine)> {
            let (name, array) = self.weight(i, expected)?;
            let Some(weight) = rows(&array.shape, &array.values) else {
                let found = format!("shape {:?}", array.shape);
                return Err(self.file.refuse(&name, found, expected, BELONG));
            };
            let heads = if array.shape.len() == 3 { array.shape[0] } else { 1 };
            Ok((array.shape, self.biased(i, heads, weight)?))
        };
        let [(a, query), (b, key), (c, value)] = [one(0)?, one(1)?, one(2)?];
        Ok(([a, b, c], [query, key, value]))
    }

    /// The output projection, brought to `[d_out, H d_h]`.
    fn output(&self, layout: Layout, heads: Heads) -> Result<Mix> {
        let Some((name, bias)) = self.found.output(self.file)? else { return Ok(Mix::Joined) };
        let inner = heads.heads * heads.size;
        let expected = match layout {
            Layout::Conv1d => format!("[{inner}, d] (y = x W)"),
            Layout::PerHead => format!("[{}, {}, d]", heads.heads, heads.size),
            _ => format!("[d, {inner}] (y = x Wᵀ)"),
        };
        let array = self.file.array(&name, &expected)?;
        let (rows, weight) = match (layout, array.shape.as_slice()) {
            (Layout::Conv1d, [columns, rows]) if *columns == inner => {
                (*rows, transposed(&array.values, inner, *rows))
            }
            (Layout::PerHead, [h, size, rows]) if [*h, *size] == [heads.heads, heads.size] => {
                (*rows, transposed(&array.values, inner, *rows))
            }
            (Layout::Linear | Layout::InProj, [rows, columns]) if *columns == inner => {
                (*rows, array.values)
            }
            (_, shape) => {
                let found = format!("shape {shape:?}");
                return Err(self.file.refuse(&name, found, expected, BELONG));
            }
        };
        let bias = self.bias(&bias, 1, rows)?;
        Ok(Mix::Projected(Affine { weight, bias, rows, columns: inner }))
    }
}

/// Checks the settings that `icl train` wrote: only plain softmax attention has this dual.
fn own_settings(file: &TensorFile) -> Result<String> {
    let Some(text) = file.metadata("settings") else {
        return Ok("no settings in the metadata: plain softmax attention".to_owned());
    };
    let settings: TrainSettings = serde_json::from_str(text).map_err(|error| {
        file.fault(
            format!("metadata `settings`: {error}"),
            "those of a layer of `icl train`",
            "state --layout if the file is not one",
        )
    })?;
    let kernel = match settings.kernel {
        Kernel::Softmax => "softmax",
        Kernel::SoftmaxWithoutQuery => "softmax-without-query",
        Kernel::Linear => "linear",
        Kernel::Positive(_) => "positive",
    };
    for (field, found, expected) in
        [("modification", settings.modification.as_str(), "plain"), ("kernel", kernel, "softmax")]
    {
        if found != expected {
            return Err(file.fault(
                format!("metadata `settings`: {field} = {found}"),
                format!("{expected}: the lens explains plain softmax attention"),
                "train a layer without it",
            ));
        }
    }
    Ok("a layer of `icl train`: rows are outputs, queries and keys are scaled by d^(-1/4) each, the \
        heads' outputs are summed"
        .to_owned())
}
