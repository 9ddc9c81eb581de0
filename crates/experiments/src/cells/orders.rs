//! Orders in which a dual takes its demonstrations, and the error that drawing them leaves.

use artifact::statistics::standard_error;
use icl_numerics::order;
use icl_numerics::stream::Stream;

/// One of the orders of one prompt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrderIndex {
    pub(crate) prompt: usize,
    /// Orders of every prompt.
    pub(crate) orders: usize,
    pub(crate) order: usize,
}

/// An order of `n` demonstrations: random permutations, each with all its rotations.
///
/// Every order is uniform, and over the rotations of one permutation every demonstration is equally often
/// among those left after a step: means over orders vary much less than those of independent orders.
pub(crate) fn rotated_order(stream: &Stream, index: OrderIndex, n: usize) -> Vec<usize> {
    let OrderIndex { prompt, orders, order } = index;
    let permutation = prompt * orders.div_ceil(n) + order / n;
    let mut rotated = stream.sample(permutation as u64).permutation(n);
    rotated.rotate_left(order % n);
    rotated
}

/// Standard error of the mean square of distances, prompt by prompt: the prompts are given, the
/// permutations of the `n` demonstrations are drawn, each with its rotations.
pub(super) fn error_over_orders(distances: &[f64], prompts: usize, n: usize) -> f64 {
    let orders = (distances.len() / prompts.max(1)).max(1);
    // fewer orders than two permutations' rotations are taken one by one
    let group = if orders < 2 * n { 1 } else { n };
    let mean_square = |group: &[f64]| order::sum_of_squares(group) / group.len() as f64;
    let errors: Vec<f64> = distances
        .chunks_exact(orders)
        .map(|prompt| {
            let groups = prompt.chunks_exact(group).map(mean_square);
            standard_error(&groups.collect::<Vec<f64>>())
        })
        .collect();
    order::sum_of_squares(&errors).sqrt() / errors.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    /// Prompts of six orders of four demonstrations take two permutations each.
    fn orders(prompt: usize) -> Vec<Vec<usize>> {
        let stream = Stream::new(7, "value-stability");
        let order = |order: usize| OrderIndex { prompt, orders: 6, order };
        (0..6).map(|o| rotated_order(&stream, order(o), 4)).collect()
    }

    /// Permutations by an independent implementation of the stream in another language.
    #[test]
    fn value_stability_of_the_orders() {
        assert_eq!(orders(0)[..2], [[0, 2, 1, 3], [2, 1, 3, 0]]);
        assert_eq!(orders(0)[4..], [[0, 1, 3, 2], [1, 3, 2, 0]]);
        assert_eq!(orders(1)[0], [1, 3, 0, 2]);
    }

    #[test]
    fn every_demonstration_stands_once_at_every_place_over_the_rotations() {
        for prompt in 0..3 {
            let all = orders(prompt);
            for place in 0..4 {
                let mut seen: Vec<usize> = all[..4].iter().map(|order| order[place]).collect();
                seen.sort_unstable();
                assert_eq!(seen, [0, 1, 2, 3]);
            }
            assert_ne!(all[0], all[4], "another permutation after the rotations");
        }
        assert_ne!(orders(0)[0], orders(1)[0], "prompts share no permutation");
    }

    /// Two prompts of two permutations with two rotations each: groups of equal mean squares have no error,
    /// whatever their members; others have the distance of their means.
    #[test]
    fn rotations_of_a_permutation_are_one_observation() {
        let even = [1.0, 3.0, 3.0, 1.0, 2.0, 4.0, 4.0, 2.0];
        assert_eq!(error_over_orders(&even, 2, 2), 0.0);
        // mean squares 1 and 9, and twice 5: standard errors |9 - 1| / 2 and 0, over two prompts
        let uneven = [1.0, 1.0, 3.0, 3.0, 1.0, 3.0, 3.0, 1.0];
        let t = Tolerance::roundoff_f64(8);
        t.assert_close(error_over_orders(&uneven, 2, 2), 2.0, 2.0, "error");
        // fewer orders than two permutations' rotations: every order counts
        t.assert_close(error_over_orders(&[1.0, 3.0], 1, 2), 4.0, 4.0, "error");
    }
}
