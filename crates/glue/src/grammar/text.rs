//! Text for pre-training: documents of two sentences, of which the second says again what the first says.

use super::meaning::{Act, Meaning, chance};
use super::wording::Wording;
use crate::Row;
use icl_numerics::stream::{Draws, Stream};

/// The documents `first .. first + n` of the text of `seed`. Half of the second sentences may leave something out.
///
/// The first sentence is in the active voice, the second in either. What a masked word was follows from the other
/// sentence, for a reader who knows which words mean the same, and who does what in either voice.
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
    let (any, shorter) = (chance(draws, 0.5), chance(draws, 0.5));
    let meaning = if any { Meaning::any(draws) } else { Meaning::exchangeable(draws) };
    let again = if shorter && !meaning.denied { less(draws, &meaning) } else { meaning.clone() };
    let first = Wording::active(draws).sentence(&meaning);
    let second = Wording::draw(draws).sentence(&again);
    Row { first, second: Some(second), label: None }
}

/// A meaning without some of its additions.
fn less(draws: &mut Draws<'_>, meaning: &Meaning) -> Meaning {
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
    fn second_sentences_follow_from_the_first_and_documents_have_their_places() {
        let all = documents(3, 0, 500);
        for row in &all {
            let [first, second] =
                [&row.first, row.second.as_ref().unwrap()].map(|s| read(s).unwrap());
            assert!(second.follows_from(&first), "{row:?}");
        }
        assert_eq!(all[100..110], documents(3, 100, 10));
        assert_ne!(all, documents(4, 0, 500));
    }
}
