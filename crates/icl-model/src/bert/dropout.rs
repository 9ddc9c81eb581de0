//! Dropout from named streams: an entry's fate is a function of the seed, the place in the model and the example.

use crate::ModelError;
use candle_core::{DType, Device, Tensor};
use icl_numerics::lanes::{Isa, Kernel, LANES, Lanes};
use icl_numerics::stream::Stream;

/// Where in the model entries are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// After the embedding.
    Embedding,
    /// Attention weights of a layer.
    Attention(usize),
    /// After a layer's attention.
    AttentionOutput(usize),
    /// After a layer's feed-forward part.
    FeedForward(usize),
    /// After the pooler.
    Pooler,
}

impl Site {
    fn purpose(self) -> String {
        match self {
            Self::Embedding => "dropout/embedding".into(),
            Self::Attention(layer) => format!("dropout/{layer}/attention"),
            Self::AttentionOutput(layer) => format!("dropout/{layer}/attention-output"),
            Self::FeedForward(layer) => format!("dropout/{layer}/feed-forward"),
            Self::Pooler => "dropout/pooler".into(),
        }
    }
}

/// Dropout of the examples `first ..` of a training run.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the first example, counted over all steps.
    pub first: u64,
    /// Share of dropped entries of hidden states.
    pub hidden: f64,
    /// Share of dropped attention weights.
    pub attention: f64,
    /// Instruction set with which they are drawn.
    pub isa: Isa,
}

impl Dropout {
    /// Factors `[examples, ..]` for a site: 0, or one over the share that is kept; none where nothing is dropped.
    ///
    /// A share is rounded to a multiple of `2^-16`: sixteen bits decide over an entry.
    ///
    /// # Errors
    /// If candle cannot build the tensor.
    pub fn mask(
        &self,
        site: Site,
        shape: &[usize],
        dtype: DType,
        device: &Device,
    ) -> Result<Option<Tensor>, ModelError> {
        let size: usize = shape[1..].iter().product();
        if !self.drops(site) {
            return Ok(None);
        }
        let mut factors = vec![0.0; shape[0] * size];
        for (example, own) in factors.chunks_exact_mut(size).enumerate() {
            self.fill(site, example as u64, own);
        }
        Ok(Some(Tensor::from_vec(factors, shape, device)?.to_dtype(dtype)?))
    }

    /// The number of 65536 below which an entry is dropped; none where nothing is.
    fn threshold(&self, site: Site) -> Option<u32> {
        let share = if matches!(site, Site::Attention(_)) { self.attention } else { self.hidden };
        Some((share * 65_536.0).round() as u32).filter(|threshold| *threshold > 0)
    }

    /// Whether anything is dropped at a site.
    pub(super) fn drops(&self, site: Site) -> bool {
        self.threshold(site).is_some()
    }

    /// The first factors of one example, counted from the first; 1 where nothing is dropped.
    pub(super) fn fill(&self, site: Site, example: u64, factors: &mut [f32]) {
        let Some(threshold) = self.threshold(site) else { return factors.fill(1.0) };
        let keep = (65_536.0 / f64::from(65_536 - threshold)) as f32;
        let stream =
            Stream::new(self.seed, &format!("{}/{}", site.purpose(), self.first + example));
        self.isa.run(Fill { factors, stream: &stream, threshold, keep });
    }
}

/// Factors from a stream, 512 from sixteen of its samples at a time.
struct Fill<'a> {
    factors: &'a mut [f32],
    stream: &'a Stream,
    threshold: u32,
    keep: f32,
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { factors, stream, threshold, keep } = self;
        let factor = |bits: u32| if bits < threshold { 0.0 } else { keep };
        for (part, factors) in factors.chunks_mut(32 * LANES).enumerate() {
            let words = stream.block_on_lanes(l, (part * LANES) as u64, 0);
            for (word, factors) in words.into_iter().zip(factors.chunks_mut(2 * LANES)) {
                let word = l.store_u(word);
                let (low, high) = factors.split_at_mut(LANES.min(factors.len()));
                low.iter_mut().zip(word).for_each(|(x, word)| *x = factor(word & 0xffff));
                high.iter_mut().zip(word).for_each(|(x, word)| *x = factor(word >> 16));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(first: u64, shape: &[usize]) -> Vec<f32> {
        let isa = Isa::detect();
        let dropout = Dropout { seed: 3, first, hidden: 0.25, attention: 0.0, isa };
        let mask = dropout.mask(Site::Embedding, shape, DType::F32, &Device::Cpu).unwrap();
        mask.unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_share_and_the_mean_are_kept() {
        let factors = factors(0, &[200, 7, 31]);
        let dropped = factors.iter().filter(|factor| **factor == 0.0).count() as f64;
        assert!(factors.iter().all(|factor| *factor == 0.0 || (*factor - 4.0 / 3.0).abs() < 1e-6));
        let n = factors.len() as f64;
        // six standard errors of a share of 1/4
        assert!((dropped / n - 0.25).abs() < 6.0 * (0.25 * 0.75 / n).sqrt());
    }

    #[test]
    fn a_mask_belongs_to_the_example_wherever_the_batch_is_cut() {
        let whole = factors(5, &[4, 3, 9]);
        assert_eq!(whole[27..], factors(6, &[3, 3, 9]));
        assert_ne!(whole[..27], whole[27..54]);
        let isa = Isa::Portable;
        let none = Dropout { seed: 3, first: 0, hidden: 0.0, attention: 0.5, isa };
        assert!(none.mask(Site::Pooler, &[1, 1], DType::F32, &Device::Cpu).unwrap().is_none());
        assert!(
            none.mask(Site::Attention(0), &[1, 1], DType::F32, &Device::Cpu).unwrap().is_some()
        );
    }
}
