//! From words to the one meaning that they have: the rules of the grammar as a reader.

use super::lexicon::{
    ADJECTIVES, ADVERBS, BE, BY, DO, INTRANSITIVE, NAMES, NOT, NOUNS, PLACES, PREPOSITIONS, STOP,
    THAT, THE, TRANSITIVE,
};
use super::meaning::{Act, Meaning, Party, Who};

/// The meaning of a sentence; none if it breaks a rule: order of the words, agreement of verb and subject, a name with
/// an article.
pub fn read(sentence: &str) -> Option<Meaning> {
    let words: Vec<&str> = sentence.split(' ').collect();
    let mut reader = Reader { words: &words };
    let meaning = reader.sentence()?;
    reader.words.is_empty().then_some(meaning)
}

/// The words that are left.
struct Reader<'a> {
    words: &'a [&'a str],
}

/// Place of a word among forms.
fn find(forms: &[&str], word: &str) -> Option<usize> {
    forms.iter().position(|form| *form == word)
}

impl Reader<'_> {
    fn take<T>(&mut self, kind: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (first, rest) = self.words.split_first()?;
        let found = kind(first)?;
        self.words = rest;
        Some(found)
    }

    fn word(&mut self, wanted: &str) -> Option<()> {
        self.take(|word| (word == wanted).then_some(()))
    }

    fn sentence(&mut self) -> Option<Meaning> {
        let subject = self.party()?;
        let plural = usize::from(subject.who.plural());
        let noun = matches!(subject.who, Who::Kind { .. });
        let known_for = match self.word(THAT) {
            Some(()) if noun => Some(self.act(plural)?),
            Some(()) => return None,
            None => None,
        };
        if known_for.is_none() && self.word(BE[plural]).is_some() {
            return self.passive(subject);
        }
        let denied = self.word(DO[plural]).is_some();
        if denied {
            self.word(NOT)?;
        }
        let manner = self.manner();
        let act = self.act(if denied { 1 } else { plural })?;
        self.ending(Meaning { agent: subject, known_for, act, manner, place: None, denied })
    }

    fn passive(&mut self, patient: Party) -> Option<Meaning> {
        let denied = self.word(NOT).is_some();
        let manner = self.manner();
        let verb = self.take(|word| {
            TRANSITIVE.iter().position(|verb| verb.iter().any(|forms| forms[2] == word))
        })?;
        self.word(BY)?;
        let agent = self.party()?;
        let act = Act::To(verb, patient);
        self.ending(Meaning { agent, known_for: None, act, manner, place: None, denied })
    }

    fn party(&mut self) -> Option<Party> {
        if let Some(name) = self.take(|word| find(&NAMES, word)) {
            return Some(Party { who: Who::Named(name), adjective: None });
        }
        self.word(THE)?;
        let adjective =
            self.take(|word| ADJECTIVES.iter().position(|synonyms| synonyms.contains(&word)));
        let who = self.take(|word| {
            NOUNS.iter().enumerate().find_map(|(noun, synonyms)| {
                let number = synonyms.iter().find_map(|forms| find(forms, word))?;
                Some(Who::Kind { noun, plural: number == 1 })
            })
        })?;
        Some(Party { who, adjective })
    }

    /// A verb in the form for a singular (0) or plural (1) subject, with whom it is done to.
    fn act(&mut self, form: usize) -> Option<Act> {
        let alone = self.take(|word| {
            INTRANSITIVE.iter().position(|verb| verb.iter().any(|forms| forms[form] == word))
        });
        if let Some(verb) = alone {
            return Some(Act::Alone(verb));
        }
        let verb = self.take(|word| {
            TRANSITIVE.iter().position(|verb| verb.iter().any(|forms| forms[form] == word))
        })?;
        Some(Act::To(verb, self.party()?))
    }

    fn manner(&mut self) -> Option<usize> {
        self.take(|word| ADVERBS.iter().position(|synonyms| synonyms.contains(&word)))
    }

    /// Where, if anywhere, and the full stop.
    fn ending(&mut self, mut meaning: Meaning) -> Option<Meaning> {
        if let Some(preposition) = self.take(|word| find(&PREPOSITIONS, word)) {
            self.word(THE)?;
            meaning.place = Some((preposition, self.take(|word| find(&PLACES, word))?));
        }
        self.word(STOP)?;
        Some(meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::wording::Wording;
    use icl_numerics::stream::Stream;

    #[test]
    fn every_wording_is_read_back_to_its_meaning() {
        let stream = Stream::new(1, "reading");
        for i in 0..2000 {
            let mut draws = stream.sample(i);
            for meaning in [Meaning::any(&mut draws), Meaning::exchangeable(&mut draws)] {
                let sentence = Wording::draw(&mut draws).sentence(&meaning);
                assert_eq!(read(&sentence), Some(meaning), "{sentence}");
            }
        }
    }

    #[test]
    fn broken_rules_are_noticed() {
        read("the dog that sees the boys sleeps .").unwrap();
        for sentence in [
            "the dog see the boys .",
            "the dogs is seen by anna .",
            "the dog that see the boys sleeps .",
            "the dog that sees the boys sleep .",
            "the dog does not sees anna .",
            "the anna sleeps .",
            "anna that sleeps runs .",
            "dog the sleeps .",
            "the dog big sleeps .",
            "the dog sleeps the boy .",
            "the dog sees .",
            "the dog sleeps",
            "the dog sleeps . .",
            "the dog sleeps near house .",
            "",
        ] {
            assert_eq!(read(sentence), None, "{sentence}");
        }
    }
}
