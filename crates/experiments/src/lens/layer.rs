//! A user's layer in one form, whatever the layout of its file.

use super::arguments::{Layout, LensArguments};
use anyhow::bail;

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
    /// the arguments say.
    pub(crate) fn from_rows(
        arguments: &LensArguments,
        query: usize,
        key: usize,
    ) -> anyhow::Result<Self> {
        let size = match (arguments.head_size, arguments.heads, arguments.kv_heads) {
            (Some(size), _, _) => size,
            (None, Some(heads), _) => divided("--heads", heads, query, "queries")?,
            (None, None, Some(kv_heads)) => divided("--kv-heads", kv_heads, key, "keys")?,
            (None, None, None) => query,
        };
        if !query.is_multiple_of(size) || !key.is_multiple_of(size) {
            bail!(
                "heads: found {query} rows of queries and {key} rows of keys, expected multiples of the head \
                 size {size}{}; state --heads, or --head-size and --kv-heads",
                if size == query { " (one head, as --heads is not given)" } else { "" }
            );
        }
        let found = Self { heads: query / size, kv_heads: key / size, size };
        found.agrees(arguments)?;
        Ok(found)
    }

    /// Checks that heads read from shapes are those that the arguments state, and that they group.
    pub(crate) fn agrees(self, arguments: &LensArguments) -> anyhow::Result<()> {
        for (option, stated, found) in [
            ("--heads", arguments.heads, self.heads),
            ("--kv-heads", arguments.kv_heads, self.kv_heads),
            ("--head-size", arguments.head_size, self.size),
        ] {
            if let Some(stated) = stated
                && stated != found
            {
                bail!(
                    "{option}: found {stated}, expected {found}, as the shapes of the weights say; leave it \
                     out or correct it"
                );
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            bail!(
                "heads: found {} of queries and {} of keys and values, expected a multiple; correct --heads \
                 or --kv-heads",
                self.heads,
                self.kv_heads
            );
        }
        Ok(())
    }
}

fn divided(option: &str, heads: usize, rows: usize, side: &str) -> anyhow::Result<usize> {
    if !rows.is_multiple_of(heads) {
        bail!(
            "{option}: found {heads}, expected a divisor of {rows}, the rows of the {side}; choose one, or \
             state --head-size"
        );
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
    use crate::lens::parse;

    fn heads(flags: &[&str], query: usize, key: usize) -> anyhow::Result<(usize, usize, usize)> {
        let heads = Heads::from_rows(&parse(flags).unwrap(), query, key)?;
        Ok((heads.heads, heads.kv_heads, heads.size))
    }

    #[test]
    fn heads_follow_from_rows_and_what_is_stated() {
        assert_eq!(heads(&[], 8, 8).unwrap(), (1, 1, 8));
        assert_eq!(heads(&["--heads", "4"], 8, 4).unwrap(), (4, 2, 2));
        assert_eq!(heads(&["--kv-heads", "2"], 8, 4).unwrap(), (4, 2, 2));
        assert_eq!(heads(&["--head-size", "4"], 16, 4).unwrap(), (4, 1, 4));
        for (flags, part) in [
            (&[][..], "one head"),
            (&["--heads", "3"], "--heads: found 3"),
            (&["--heads", "2", "--kv-heads", "2"], "--kv-heads: found 2, expected 1"),
            (&["--head-size", "3"], "head size 3"),
        ] {
            let error = heads(flags, 8, 4).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(heads(&["--head-size", "2"], 6, 8).is_err());
    }

    #[test]
    fn matrices_are_transposed_one_by_one() {
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        let want = [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0];
        assert_eq!(transposed(&values, 2, 3), want);
    }
}
