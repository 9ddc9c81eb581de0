//! Text for pre-training: documents of two sentences, of which the second is about what the first says.

use super::lexicon::ADVERBS;
use super::meaning::{Act, Meaning, SLOTS, below, chance};
use super::wording::Wording;
use crate::Row;
use icl_numerics::stream::{Draws, Stream};

/// The documents `first .. first + n` of the text of `seed`. A third of the second sentences say the same again, a third
/// leave something out, a third change something: how, which, what, whom, who, the former before the latter.
///
/// The first sentence is in the active voice, the second in either. What a masked word was follows from the other
/// sentence, for a reader who knows which words mean the same, who does what in either voice, and how alike the two are.
pub fn documents(seed: u64, first: u64, n: usize) -> Vec<Row> {
    let stream = Stream::new(seed, "grammar/text");
    (first..first + n as u64).map(|i| document(&mut stream.sample(i))).collect()
}

/// Documents as BERT's own text: a sentence on every line, an empty line between documents.
pub fn to_lines(documents: &[Row]) -> String {
    let lines = |row: &Row| format!("{}\n{}\n", row.first, row.second.as_deref().unwrap_or(""));
    documents.iter().map(lines).collect::<Vec<_>>().join("\n")
}

fn document(draws: &mut Draws<'_>) -> Row {
    let kind = below(draws, 3);
    let mut meaning =
        if chance(draws, 0.5) { Meaning::any(draws) } else { Meaning::exchangeable(draws) };
    let again = match kind {
        0 => meaning.clone(),
        1 if meaning.denied => meaning.clone(),
        1 => less(draws, &meaning),
        _ => {
            let manner = Some(below(draws, ADVERBS.len()));
            meaning = Meaning { manner, ..Meaning::exchangeable(draws) };
            let likeness = below(draws, SLOTS + 1);
            meaning.alike(draws, likeness)
        }
    };
    let first = Wording::active(draws).sentence(&meaning);
    let second = Wording::draw(draws).sentence(&again);
    Row { first, second: Some(second), label: None }
}

/// A meaning without some of its additions.
pub(super) fn less(draws: &mut Draws<'_>, meaning: &Meaning) -> Meaning {
    let mut less = meaning.clone();
    let [adjective, manner, place, known] = [(); 4].map(|()| chance(draws, 0.5));
    if adjective {
        less.agent.adjective = None;
        if let Act::To(_, patient) = &mut less.act {
            patient.adjective = None;
        }
    }
    less.manner = less.manner.filter(|_| !manner);
    less.place = less.place.filter(|_| !place);
    less.known_for = less.known_for.filter(|_| !known);
    less
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::reading::read;

    #[test]
    fn most_second_sentences_follow_from_the_first_and_documents_have_their_places() {
        let all = documents(3, 0, 500);
        let follows = |row: &&Row| {
            let [first, second] =
                [&row.first, row.second.as_ref().unwrap()].map(|s| read(s).unwrap());
            second.follows_from(&first)
        };
        let n = all.iter().filter(follows).count();
        // two thirds, and the sixth of the rest that changes nothing: six standard errors
        assert!((n as f64 / 500.0 - 13.0 / 18.0).abs() < 0.12, "{n}");
        assert_eq!(all[100..110], documents(3, 100, 10));
        assert_ne!(all, documents(4, 0, 500));
    }
}
