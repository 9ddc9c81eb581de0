//! In which order examples are trained on.

use icl_numerics::stream::Stream;

/// Batches of one pool are filled by length, so that little is padded and lengths are still mixed over an epoch.
const POOL: usize = 50;

/// The batches of an epoch: a random permutation, cut into pools of fifty batches, each sorted by length and cut into
/// batches, the batches in random order. The last batch of an epoch may be smaller.
pub fn batches(lengths: &[usize], batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let stream = Stream::new(seed, "bert/order");
    let mut draws = stream.sample(epoch);
    let permutation = draws.permutation(lengths.len());
    let mut sorted = Vec::with_capacity(lengths.len());
    for pool in permutation.chunks(POOL * batch) {
        let mut pool = pool.to_vec();
        pool.sort_by_key(|i| lengths[*i]);
        sorted.extend(pool);
    }
    let batches: Vec<&[usize]> = sorted.chunks(batch).collect();
    draws.permutation(batches.len()).into_iter().map(|b| batches[b].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_comes_once_an_epoch_with_others_of_its_length() {
        let lengths: Vec<usize> = (0..1000).map(|i| 5 + i * 7919 % 120).collect();
        let [first, second] = [0, 1].map(|epoch| batches(&lengths, 8, 3, epoch));
        assert_ne!(first, second);
        assert_eq!(first, batches(&lengths, 8, 3, 0));
        for epoch in [first, second] {
            let mut seen: Vec<usize> = epoch.concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..1000).collect::<Vec<_>>());
            let padded: usize = epoch
                .iter()
                .map(|batch| batch.len() * batch.iter().map(|i| lengths[*i]).max().unwrap())
                .sum();
            // of 400 examples in a pool, the length rises by about 2.4 within a batch
            assert!((padded as f64) < 1.05 * lengths.iter().sum::<usize>() as f64);
        }
    }
}
