//! One random attention layer seen from both sides: candle's layer, and the keys, queries and values that
//! a dual takes.

use candle_core::{DType, Device, Tensor};
use dual_model::head::{Head, HeadMatrices};
use dual_model::{Matrix, Real};
use icl_model::attention::{self, LayerShape, Weights};
use icl_model::kernel::AttentionKernel;
use icl_model::mask::Mask;
use icl_model::reference::Layer;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::stream::Stream;

/// Sizes and seed of a layer with its tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerPair {
    pub(crate) seed: u64,
    pub(crate) d: usize,
    pub(crate) n_heads: usize,
    pub(crate) n_tokens: usize,
    pub(crate) n_demos: usize,
    /// Standard deviation of a logit `k . q`; twenty makes largest logits of about eighty.
    pub(crate) logit_sd: f64,
}

impl LayerPair {
    fn normals(&self, purpose: &str, n: usize, sd: f64) -> Vec<f64> {
        let stream = Stream::new(self.seed, &format!("layer/{purpose}"));
        let mut draws = stream.sample(0);
        (0..n).map(|_| sd * draws.normal()).collect()
    }

    /// Tokens `[n_tokens, d]` and projections `w_q`, `w_k`, `w_v` `[heads, d, d]`.
    fn arrays(&self) -> (Vec<f64>, [Vec<f64>; 3]) {
        let d = self.d as f64;
        // entries of q and k then have variance logit_sd, their product over d entries logit_sd^2 d,
        // and the scale d^(-1/2) takes the d away
        let sd = self.logit_sd.sqrt() / d.sqrt();
        let n = self.n_heads * self.d * self.d;
        let projections = [("w_q", sd), ("w_k", sd), ("w_v", 1.0 / d.sqrt())]
            .map(|(name, sd)| self.normals(name, n, sd));
        (self.normals("tokens", self.n_tokens * self.d, 1.0), projections)
    }

    /// `h'` of every token by candle, `[n_tokens * d]`.
    pub(crate) fn attention(
        &self,
        dtype: DType,
        mask: &Mask,
        kernel: &AttentionKernel,
    ) -> anyhow::Result<Vec<f64>> {
        let (tokens, projections) = self.arrays();
        let tensor = |x: Vec<f64>, shape: &[usize]| -> anyhow::Result<Tensor> {
            Ok(Tensor::from_vec(x, shape, &Device::Cpu)?.to_dtype(dtype)?)
        };
        let shape = [self.n_heads, self.d, self.d];
        let named = |(name, x): (&str, Vec<f64>)| Ok((name.to_owned(), tensor(x, &shape)?));
        let weights: Vec<_> = ["w_q", "w_k", "w_v"]
            .into_iter()
            .zip(projections)
            .map(named)
            .collect::<anyhow::Result<_>>()?;
        let weights = Weights::new(weights, dtype, &Device::Cpu, Isa::Portable);
        let tokens = tensor(tokens, &[1, self.n_tokens, self.d])?;
        let plain = attention::parse("plain")?;
        let shape = LayerShape { d: self.d, n_heads: self.n_heads };
        let layer = Layer { shape, modification: plain.as_ref(), kernel };
        let out = layer.forward(&weights, &tokens, self.n_demos, mask)?.output;
        Ok(out.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    }

    /// Keys, queries and values of every head.
    pub(crate) fn heads<R: Real>(&self) -> anyhow::Result<Vec<Head<R>>> {
        let (tokens, projections) = self.arrays();
        let round = |x: &[f64]| x.iter().map(|x| R::from_f64(*x)).collect::<Vec<R>>();
        let tokens = Matrix::new(self.n_tokens, self.d, round(&tokens))?;
        let [w_q, w_k, w_v] = projections.map(|w| round(&w));
        let matrices = HeadMatrices::of_heads(self.d, &w_q, &w_k, &w_v)?;
        let heads = matrices.iter().map(|matrices| Head::project(&tokens, matrices));
        Ok(heads.collect::<Result<_, _>>()?)
    }
}

/// Sum of the heads' predictions, and the largest difference to `attention` relative to its largest entry.
pub(crate) fn difference<R: Real>(heads: &[Matrix<R>], attention: &[f64]) -> f64 {
    let scale = largest::magnitude(attention.iter().copied());
    let gap = |(i, a): (usize, &f64)| {
        let mut sum = R::ZERO;
        for head in heads {
            sum += head.entries()[i];
        }
        (sum.to_f64() - a).abs()
    };
    largest::value(attention.iter().enumerate().map(gap)) / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::Named as _;
    use crate::views::masking::Masking;
    use dual_model::sequence::exact_predictions;
    use icl_numerics::order;

    const PAIR: LayerPair =
        LayerPair { seed: 2, d: 5, n_heads: 2, n_tokens: 9, n_demos: 6, logit_sd: 1.5 };

    /// The masks as they are defined: whether query `i` sees key `j`.
    fn sees(masking: Masking, n: usize, i: usize, j: usize) -> bool {
        let half = n.div_ceil(2);
        match masking {
            Masking::None => true,
            Masking::Causal => j <= i,
            Masking::Padding => j < half,
            Masking::PrefixLm => j < half || j <= i,
        }
    }

    /// Softmax attention of one head, by plain loops over what a query sees.
    fn attention(head: &Head, masking: Masking) -> Vec<f64> {
        let n = PAIR.n_tokens;
        let mut out = Vec::new();
        for (i, query) in head.queries.iter_rows().enumerate() {
            let mut sum = [0.0; PAIR.d];
            let mut total = 0.0;
            for j in (0..n).filter(|j| sees(masking, n, i, *j)) {
                let weight = icl_numerics::math::exp(order::dot(head.keys.row(j), query));
                total += weight;
                sum.iter_mut().zip(head.values.row(j)).for_each(|(s, v)| *s += weight * v);
            }
            out.extend(sum.iter().map(|s| s / total));
        }
        out
    }

    #[test]
    fn both_sides_and_plain_loops_agree_under_every_mask() {
        let heads = PAIR.heads::<f64>().unwrap();
        for masking in Masking::ALL {
            let (name, (mask, visibility)) = (masking.name(), masking.of(PAIR.n_tokens));
            let candle = PAIR.attention(DType::F64, &mask, &AttentionKernel::Softmax).unwrap();
            let loops: Vec<Matrix> = heads
                .iter()
                .map(|head| Matrix::new(9, 5, attention(head, *masking)).unwrap())
                .collect();
            assert!(difference(&loops, &candle) < 1e-13, "{name}");
            let duals: Vec<Matrix> = heads
                .iter()
                .map(|head| exact_predictions(head, PAIR.n_demos, visibility).unwrap())
                .collect();
            assert!(difference(&duals, &candle) < 1e-13, "{name}");
        }
    }

    #[test]
    fn logits_have_the_stated_standard_deviation() {
        // 40 queries x 40 keys in 64 dimensions; queries share keys: the mean square is known within a tenth
        let pair = LayerPair { d: 64, n_heads: 1, n_tokens: 40, logit_sd: 3.0, ..PAIR };
        let head = &pair.heads::<f64>().unwrap()[0];
        let logits: Vec<f64> = head
            .queries
            .iter_rows()
            .flat_map(|q| head.keys.iter_rows().map(|k| order::dot(q, k)).collect::<Vec<_>>())
            .collect();
        let sd = (order::sum_of_squares(&logits) / logits.len() as f64).sqrt();
        assert!((sd - 3.0).abs() < 0.3, "{sd}");
    }

    #[test]
    fn a_difference_is_relative_to_the_largest_entry_and_keeps_nan() {
        let heads = [
            Matrix::new(1, 2, vec![1.0, 2.0]).unwrap(),
            Matrix::new(1, 2, vec![0.5, 2.0]).unwrap(),
        ];
        assert_eq!(difference(&heads, &[2.0, 4.0]), 0.125);
        assert!(difference(&heads, &[f64::NAN, 4.0]).is_nan());
        let nan = [Matrix::new(1, 2, vec![f64::NAN, 4.0]).unwrap()];
        assert!(difference(&nan, &[2.0, 4.0]).is_nan());
    }
}
