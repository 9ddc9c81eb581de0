//! The heads of a layer over all sequences, forward and back: from rows of all heads to each head's part and back.

use super::attention::{Backward, Forward, Gradients, Head, Part, negatives};
use super::augmented::Augmented;
use super::matrix::{Matrix, Run};
use super::{Ragged, Settings};
use crate::bert::dropout::Site;
use std::ops::Range;

/// Queries, keys and values of a layer, heads side by side, and what demonstrations' keys and values are made into.
#[derive(Clone, Copy)]
pub(super) struct Projections<'a> {
    q: &'a Matrix,
    k: &'a Matrix,
    v: &'a Matrix,
    augmented: [Option<&'a Matrix>; 2],
}

/// What the way back needs of a head over a sequence.
pub(super) struct StoredHead {
    weights: Vec<f32>,
    negatives: Vec<usize>,
    factors: Vec<f32>,
}

/// Gradients of the projections; of the own keys and values where the demonstrations' are others.
pub(super) struct OfProjections {
    pub(super) q: Matrix,
    pub(super) k: Matrix,
    pub(super) v: Matrix,
    pub(super) own_k: Option<Matrix>,
    pub(super) own_v: Option<Matrix>,
}

/// The rows of a sequence: its tokens, and those of them that are queries.
struct Place {
    tokens: Range<usize>,
    queries: Range<usize>,
}

impl<'a> Projections<'a> {
    pub(super) fn new(
        [q, k, v]: [&'a Matrix; 3],
        [keys, values]: &'a [Option<Augmented>; 2],
    ) -> Self {
        let output = |side: &'a Option<Augmented>| side.as_ref().map(|side| &side.output);
        Self { q, k, v, augmented: [output(keys), output(values)] }
    }

    /// Where a sequence stands whose `n_queries` queries are the rows from `start` on among all queries.
    fn place(&self, tokens: Range<usize>, start: usize, n_queries: usize) -> Place {
        // all tokens may be projected though few are computed further
        let first = if self.q.rows == self.k.rows { tokens.start } else { start };
        Place { tokens, queries: first..first + n_queries }
    }

    /// Head `h` over a sequence.
    fn head<'b>(
        &self,
        settings: &Settings,
        place: &Place,
        h: usize,
        stored: &'b StoredHead,
    ) -> Head<'b>
    where
        'a: 'b,
    {
        let part = |m: &'a Matrix, rows: &Range<usize>| part(settings, m, rows, h);
        let [keys, values] = self.augmented.map(|m| m.map(|m| part(m, &place.tokens)));
        let (k, v) = (part(self.k, &place.tokens), part(self.v, &place.tokens));
        Head {
            q: part(self.q, &place.queries),
            k: keys.unwrap_or(k),
            v: values.unwrap_or(v),
            own_k: keys.map(|_| k),
            own_v: values.map(|_| v),
            terms: settings.terms,
            negatives: &stored.negatives,
            factors: &stored.factors,
        }
    }

    /// All heads of all sequences, and their outputs side by side, in layer `number`.
    pub(super) fn attend(
        &self,
        settings: &Settings,
        run: &Run<'_>,
        number: usize,
        ragged: Ragged<'_>,
        counts: &[usize],
    ) -> (Vec<StoredHead>, Matrix) {
        let Settings { d, heads, terms, isa, .. } = *settings;
        let size = d / heads;
        let mut joined = run.pool.take(counts.iter().sum::<usize>() * d);
        let (mut stored, mut start) = (Vec::new(), 0);
        for (b, rows) in ragged.rows().enumerate() {
            let (n, n_queries) = (rows.len(), counts[b]);
            let site = Site::Attention(number);
            let mut factors = Vec::new();
            if let Some(dropout) = ragged.dropout.filter(|dropout| dropout.drops(site)) {
                factors.resize(heads * n_queries * n, 0.0);
                dropout.fill(site, b as u64, &mut factors);
            }
            let place = self.place(rows, start, n_queries);
            for h in 0..heads {
                let negatives = match terms.negatives {
                    // every token chooses, by plain scores
                    Some(of) => {
                        let [q, k] = [self.q, self.k].map(|x| part(settings, x, &place.tokens, h));
                        negatives(isa, q, k, of.m)
                    }
                    None => Vec::new(),
                };
                let own = h * n_queries * n..(h + 1) * n_queries * n;
                let factors = factors.get(own).unwrap_or(&[]).to_vec();
                let mut head = StoredHead { weights: Vec::new(), negatives, factors };
                let (output, weights) = isa.run(Forward(self.head(settings, &place, h, &head)));
                head.weights = weights;
                for (i, row) in output.chunks_exact(size).enumerate() {
                    let place = (start + i) * d + h * size;
                    joined[place..place + size].copy_from_slice(row);
                }
                stored.push(head);
            }
            start += n_queries;
        }
        (stored, Matrix::new(joined, d))
    }

    /// Gradients from that of the heads' outputs side by side.
    pub(super) fn gradients(
        &self,
        settings: &Settings,
        run: &Run<'_>,
        stored: &[StoredHead],
        of_joined: &Matrix,
        (ragged, counts): (Ragged<'_>, &[usize]),
    ) -> OfProjections {
        let Settings { d, heads, isa, .. } = *settings;
        let zeros = |m: &Matrix| Matrix::new(run.pool.zeros(m.entries.len()), d);
        let [own_k, own_v] = self.augmented.map(|m| m.map(zeros));
        let (q, k, v) = (zeros(self.q), zeros(self.k), zeros(self.v));
        let mut of = OfProjections { q, k, v, own_k, own_v };
        let mut start = 0;
        for (b, rows) in ragged.rows().enumerate() {
            let n_queries = counts[b];
            let place = self.place(rows, start, n_queries);
            for h in 0..heads {
                let stored = &stored[b * heads + h];
                let head = self.head(settings, &place, h, stored);
                let g = part(settings, of_joined, &(start..start + n_queries), h);
                let own = isa.run(Backward { head, weights: &stored.weights, g });
                of.put(&place, h, own);
            }
            start += n_queries;
        }
        of
    }
}

impl OfProjections {
    /// Puts the gradients of head `h` over a sequence in their place.
    fn put(&mut self, place: &Place, h: usize, of: Gradients) {
        let sides = [
            (Some(&mut self.q), &place.queries, of.q),
            (Some(&mut self.k), &place.tokens, of.k),
            (Some(&mut self.v), &place.tokens, of.v),
            (self.own_k.as_mut(), &place.tokens, of.own_k),
            (self.own_v.as_mut(), &place.tokens, of.own_v),
        ];
        for (all, rows, part) in sides {
            let Some(Matrix { entries, columns: d, .. }) = all else { continue };
            let size = part.len() / rows.len();
            let rows = entries[rows.start * *d..rows.end * *d].chunks_exact_mut(*d);
            for (row, part) in rows.zip(part.chunks_exact(size)) {
                row[h * size..(h + 1) * size].copy_from_slice(part);
            }
        }
    }
}

/// Head `h`'s part of some rows.
fn part<'a>(settings: &Settings, m: &'a Matrix, rows: &Range<usize>, h: usize) -> Part<'a> {
    let (d, size) = (settings.d, settings.d / settings.heads);
    Part { rows: &m.entries[rows.start * d..rows.end * d], d, first: h * size, size }
}
