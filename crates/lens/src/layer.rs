//! A user's layer in one form, whatever the layout of its file.

use crate::error::{LensError, Result};
use crate::options::{Layout, Options};

/// An affine map `y = W x + b`.
#[derive(Debug, Clone)]
pub(crate) struct Affine {
    /// `[rows, columns]`, row by row.
    pub(crate) weight: Vec<f64>,
    /// `[rows]`.
    pub(crate) bias: Option<Vec<f64>>,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Affine {
    /// The map onto rows `start .. start + n`: weights and bias of one head.
    pub(crate) fn part(&self, start: usize, n: usize) -> (&[f64], Option<&[f64]>) {
        let weight = &self.weight[start * self.columns..(start + n) * self.columns];
        (weight, self.bias.as_ref().map(|bias| &bias[start..start + n]))
    }
}

/// What becomes of the heads' outputs.
#[derive(Debug, Clone)]
pub(crate) enum Mix {
    /// They stand side by side.
    Joined,
    /// They are added.
    Summed,
    /// They stand side by side and pass a projection.
    Projected(Affine),
}

/// Numbers of heads and their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the field's words")]
pub(crate) struct Heads {
    pub(crate) heads: usize,
    /// Heads of keys and values; query head `h` reads head `h / (heads / kv_heads)`.
    pub(crate) kv_heads: usize,
    pub(crate) size: usize,
}

/// A user's layer: head `h` of the queries has rows `h size .. (h+1) size`, head `g` of keys and values
/// likewise.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) layout: Layout,
    /// Size of a token.
    pub(crate) d: usize,
    pub(crate) heads: Heads,
    pub(crate) query: Affine,
    pub(crate) key: Affine,
    pub(crate) value: Affine,
    pub(crate) mix: Mix,
    /// What was assumed about the file.
    pub(crate) assumed: Vec<String>,
}

impl Layer {
    /// Size of the heads' outputs side by side.
    pub(crate) fn joined(&self) -> usize {
        self.heads.heads * self.heads.size
    }

    /// Size of an output.
    pub(crate) fn width(&self) -> usize {
        match &self.mix {
            Mix::Joined => self.joined(),
            Mix::Summed => self.heads.size,
            Mix::Projected(output) => output.rows,
        }
    }

    /// Query heads that read one head of keys and values.
    pub(crate) fn group(&self) -> usize {
        self.heads.heads / self.heads.kv_heads
    }
}

impl Heads {
    /// Heads of a layer whose queries have `query` rows and whose keys and values have `key` rows, from what
    /// the options say.
    pub(crate) fn from_rows(options: &Options, query: usize, key: usize) -> Result<Self> {
        let size = match (options.head_size, options.heads, options.kv_heads) {
            (Some(size), _, _) => size,
            (None, Some(heads), _) => divided("--heads", heads, query, "queries")?,
            (None, None, Some(kv_heads)) => divided("--kv-heads", kv_heads, key, "keys")?,
            (None, None, None) => query,
        };
        if !query.is_multiple_of(size) || !key.is_multiple_of(size) {
            let one = if size == query { " (one head, as --heads is not given)" } else { "" };
            let found = format!("{query} rows of queries and {key} rows of keys");
            let expected = format!("multiples of the head size {size}{one}");
            let next = "state --heads, or --head-size and --kv-heads";
            return Err(LensError::refused("heads", found, expected, next));
        }
        let found = Self { heads: query / size, kv_heads: key / size, size };
        found.agrees(options)?;
        Ok(found)
    }

    /// Checks that heads read from shapes are those that the options state, and that they group.
    pub(crate) fn agrees(self, options: &Options) -> Result<()> {
        for (option, stated, found) in [
            ("--heads", options.heads, self.heads),
            ("--kv-heads", options.kv_heads, self.kv_heads),
            ("--head-size", options.head_size, self.size),
        ] {
            if let Some(stated) = stated
                && stated != found
            {
                let expected = format!("{found}, as the shapes of the weights say");
                let next = "leave it out or correct it";
                return Err(LensError::refused(option, stated.to_string(), expected, next));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let found =
                format!("{} of queries and {} of keys and values", self.heads, self.kv_heads);
            let next = "correct --heads or --kv-heads";
            return Err(LensError::refused("heads", found, "a multiple", next));
        }
        Ok(())
    }
}

fn divided(option: &str, heads: usize, rows: usize, side: &str) -> Result<usize> {
    if !rows.is_multiple_of(heads) {
        let expected = format!("a divisor of {rows}, the rows of the {side}");
        let next = "choose one, or state --head-size";
        return Err(LensError::refused(option, heads.to_string(), expected, next));
    }
    Ok(rows / heads)
}

/// `[n, rows, columns]` with the last two axes exchanged.
pub(crate) fn transposed(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(values.len());
    for matrix in values.chunks_exact(rows * columns) {
        for j in 0..columns {
            out.extend(matrix.iter().skip(j).step_by(columns));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads, heads of keys and values, and size, from what is stated of the same three.
    fn heads(
        [heads, kv_heads, head_size]: [usize; 3],
        query: usize,
        key: usize,
    ) -> Result<(usize, usize, usize)> {
        let stated = |n: usize| (n > 0).then_some(n);
        let [heads, kv_heads, head_size] = [heads, kv_heads, head_size].map(stated);
        let options = Options { heads, kv_heads, head_size, ..Options::default() };
        let heads = Heads::from_rows(&options, query, key)?;
        Ok((heads.heads, heads.kv_heads, heads.size))
    }

    #[test]
    fn heads_follow_from_rows_and_what_is_stated() {
        assert_eq!(heads([0, 0, 0], 8, 8).unwrap(), (1, 1, 8));
        assert_eq!(heads([4, 0, 0], 8, 4).unwrap(), (4, 2, 2));
        assert_eq!(heads([0, 2, 0], 8, 4).unwrap(), (4, 2, 2));
        assert_eq!(heads([0, 0, 4], 16, 4).unwrap(), (4, 1, 4));
        for (stated, part) in [
            ([0, 0, 0], "one head"),
            ([3, 0, 0], "--heads: found 3"),
            ([2, 2, 0], "--kv-heads: found 2, expected 1"),
            ([0, 0, 3], "head size 3"),
        ] {
            let error = heads(stated, 8, 4).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(heads([0, 0, 2], 6, 8).is_err());
    }

    #[test]
    fn matrices_are_transposed_one_by_one() {
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        let want = [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0];
        assert_eq!(transposed(&values, 2, 3), want);
    }
}
