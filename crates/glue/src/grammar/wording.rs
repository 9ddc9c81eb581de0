//! From a meaning to words.

use super::lexicon::{
    ADJECTIVES, ADVERBS, BE, BY, DO, INTRANSITIVE, NAMES, NOT, NOUNS, PLACES, PREPOSITIONS, STOP,
    THAT, THE, TRANSITIVE,
};
use super::meaning::{Act, Meaning, Party, Who, chance};
use icl_numerics::stream::Draws;

/// Which of the wordings of a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wording {
    /// Whether the patient comes first: "the boy is seen by the dog".
    passive: bool,
    /// One bit for every choice between synonyms; which one belongs to the word's part in the sentence.
    synonyms: u64,
}

impl Wording {
    /// Any, every choice even.
    pub fn draw(draws: &mut Draws<'_>) -> Self {
        Self { passive: chance(draws, 0.5), synonyms: draws.next_u64() }
    }

    /// Any in the active voice.
    pub fn active(draws: &mut Draws<'_>) -> Self {
        Self { passive: false, ..Self::draw(draws) }
    }

    /// The words that say `meaning`, the full stop included. What the agent is known for stands in the active voice
    /// only.
    pub fn words(self, meaning: &Meaning) -> Vec<&'static str> {
        let mut voice = Voice { synonyms: self.synonyms, words: Vec::new() };
        match meaning.act {
            Act::To(verb, patient) if self.passive && meaning.known_for.is_none() => {
                voice.passive(meaning, verb, patient);
            }
            _ => voice.active(meaning),
        }
        if let Some((preposition, place)) = meaning.place {
            voice.words.extend([PREPOSITIONS[preposition], THE, PLACES[place]]);
        }
        voice.words.push(STOP);
        voice.words
    }

    /// The words with blanks between them.
    pub fn sentence(self, meaning: &Meaning) -> String {
        self.words(meaning).join(" ")
    }
}

/// Words that have been said, and what is left of the choices.
struct Voice {
    synonyms: u64,
    words: Vec<&'static str>,
}

impl Voice {
    /// Which of two synonyms. The choice belongs to the kind of word (`slot`), so that wordings differ where they can.
    fn choice(&self, slot: u32) -> usize {
        usize::from(self.synonyms >> slot & 1 == 1)
    }

    fn active(&mut self, meaning: &Meaning) {
        let plural = meaning.agent.who.plural();
        self.party(meaning.agent, 0);
        if let Some(act) = meaning.known_for {
            self.words.push(THAT);
            self.act(act, plural, 8);
        }
        if meaning.denied {
            self.words.extend([DO[usize::from(plural)], NOT]);
        }
        self.manner(meaning.manner);
        self.act(meaning.act, plural || meaning.denied, 16);
    }

    fn passive(&mut self, meaning: &Meaning, verb: usize, patient: Party) {
        self.party(patient, 18);
        self.words.push(BE[usize::from(patient.who.plural())]);
        if meaning.denied {
            self.words.push(NOT);
        }
        self.manner(meaning.manner);
        self.words.extend([TRANSITIVE[verb][self.choice(16)][2], BY]);
        self.party(meaning.agent, 0);
    }

    /// A verb, with whom it is done to.
    fn act(&mut self, act: Act, plural: bool, slot: u32) {
        let synonym = self.choice(slot);
        match act {
            Act::Alone(verb) => self.words.push(INTRANSITIVE[verb][synonym][usize::from(plural)]),
            Act::To(verb, patient) => {
                self.words.push(TRANSITIVE[verb][synonym][usize::from(plural)]);
                self.party(patient, slot + 2);
            }
        }
    }

    fn manner(&mut self, manner: Option<usize>) {
        self.words.extend(manner.map(|manner| ADVERBS[manner][self.choice(24)]));
    }

    fn party(&mut self, party: Party, slot: u32) {
        match party.who {
            Who::Named(name) => self.words.push(NAMES[name]),
            Who::Kind { noun, plural } => {
                self.words.push(THE);
                let adjective = party.adjective.map(|a| ADJECTIVES[a][self.choice(slot + 1)]);
                self.words.extend(adjective);
                self.words.push(NOUNS[noun][self.choice(slot)][usize::from(plural)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_meaning_has_its_wordings() {
        let party = |noun, plural, adjective| Party { who: Who::Kind { noun, plural }, adjective };
        let meaning = Meaning {
            agent: party(0, true, Some(0)),
            known_for: None,
            act: Act::To(1, party(1, false, None)),
            manner: Some(2),
            place: Some((0, 1)),
            denied: true,
        };
        let say = |passive, synonyms| Wording { passive, synonyms }.sentence(&meaning);
        assert_eq!(say(false, 0), "the big dogs do not often see the boy near the river .");
        assert_eq!(
            say(true, u64::MAX),
            "the lad is not frequently noticed by the large hounds near the river ."
        );
        let known = Meaning {
            known_for: Some(Act::Alone(0)),
            act: Act::To(0, Party { who: Who::Named(0), adjective: None }),
            manner: None,
            place: None,
            denied: false,
            ..meaning
        };
        let said = Wording { passive: true, synonyms: 0 }.sentence(&known);
        assert_eq!(said, "the big dogs that sleep chase anna .");
    }
}
