//! What a sentence says.

use super::lexicon::{
    ADJECTIVES, ADVERBS, INTRANSITIVE, NAMES, NOUNS, PLACES, PREPOSITIONS, TRANSITIVE,
};
use icl_numerics::stream::Draws;

/// Somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A name.
    Named(usize),
    /// A noun, one of its kind or several.
    Kind {
        /// The noun.
        noun: usize,
        /// Whether there are several.
        plural: bool,
    },
}

impl Who {
    /// Whether a verb agrees in the plural.
    pub fn plural(self) -> bool {
        matches!(self, Self::Kind { plural: true, .. })
    }
}

/// Somebody, described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party {
    /// Who.
    pub who: Who,
    /// An adjective; never of a name.
    pub adjective: Option<usize>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// To nobody.
    Alone(usize),
    /// To somebody.
    To(usize, Party),
}

/// A simple sentence. A noun, an act, an adjective and so on is its number in the lexicon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// Who acts.
    pub agent: Party,
    /// What else the agent is known to do, "the dog that sees the boys"; never of a name.
    pub known_for: Option<Act>,
    /// What is done.
    pub act: Act,
    /// How.
    pub manner: Option<usize>,
    /// Where: preposition and place.
    pub place: Option<(usize, usize)>,
    /// Whether it is denied.
    pub denied: bool,
}

/// Uniform in `0..n`.
pub(super) fn below(draws: &mut Draws<'_>, n: usize) -> usize {
    draws.below(n as u64) as usize
}

/// True with probability `share`.
pub(super) fn chance(draws: &mut Draws<'_>, share: f64) -> bool {
    draws.uniform() < share
}

/// Uniform in `0..n` without `other`.
pub(super) fn other(draws: &mut Draws<'_>, n: usize, other: usize) -> usize {
    (other + 1 + below(draws, n - 1)) % n
}

impl Party {
    /// A noun, with an adjective in a share of cases.
    pub(super) fn noun(draws: &mut Draws<'_>, plural: bool, adjective: f64) -> Self {
        let who = Who::Kind { noun: below(draws, NOUNS.len()), plural };
        let (described, which) = (chance(draws, adjective), below(draws, ADJECTIVES.len()));
        Self { who, adjective: described.then_some(which) }
    }

    /// A name in one of eight cases, otherwise as [`Self::noun`].
    fn any(draws: &mut Draws<'_>, adjective: f64) -> Self {
        let (named, name, plural) =
            (chance(draws, 0.125), below(draws, NAMES.len()), chance(draws, 0.5));
        let noun = Self::noun(draws, plural, adjective);
        if named { Self { who: Who::Named(name), adjective: None } } else { noun }
    }
}

impl Meaning {
    /// A sentence of any form, for text and for acceptability.
    pub(super) fn any(draws: &mut Draws<'_>) -> Self {
        let agent = Party::any(draws, 0.4);
        let (known, alone) = (chance(draws, 0.2), chance(draws, 0.2));
        let known_for = Some(Act::any(draws, 0.3)).filter(|_| known && agent.who.is_noun());
        let act = Act::any(draws, if alone { 1.0 } else { 0.0 });
        let (hurried, manner) = (chance(draws, 0.3), below(draws, ADVERBS.len()));
        let (placed, preposition, place) =
            (chance(draws, 0.25), below(draws, PREPOSITIONS.len()), below(draws, PLACES.len()));
        Self {
            agent,
            known_for,
            act,
            manner: hurried.then_some(manner),
            place: placed.then_some((preposition, place)),
            denied: chance(draws, 0.25),
        }
    }

    /// Two different nouns of one number, one of them described, and what the first does to the second: exchanged,
    /// they leave every word as it is.
    pub(super) fn exchangeable(draws: &mut Draws<'_>) -> Self {
        let plural = chance(draws, 0.5);
        let first = below(draws, NOUNS.len());
        let second = other(draws, NOUNS.len(), first);
        let (described, adjective) = (chance(draws, 0.5), below(draws, ADJECTIVES.len()));
        let party = |noun: usize, described: bool| Party {
            who: Who::Kind { noun, plural },
            adjective: described.then_some(adjective),
        };
        let act = Act::To(below(draws, TRANSITIVE.len()), party(second, !described));
        let agent = party(first, described);
        Self { agent, known_for: None, act, manner: None, place: None, denied: false }
    }

    /// Agent and patient exchanged, each with its adjective; unchanged where there is no patient.
    #[must_use]
    pub fn exchanged(mut self) -> Self {
        if let Act::To(_, patient) = &mut self.act {
            std::mem::swap(patient, &mut self.agent);
        }
        self
    }

    /// The adjectives of agent and patient exchanged.
    #[must_use]
    pub(super) fn with_adjectives_exchanged(mut self) -> Self {
        if let Act::To(_, patient) = &mut self.act {
            std::mem::swap(&mut patient.adjective, &mut self.agent.adjective);
        }
        self
    }

    /// Whether this follows from `premise`: the same, or less said of what is not denied.
    pub fn follows_from(&self, premise: &Self) -> bool {
        let less = |own: Option<usize>, theirs: Option<usize>| own.is_none() || own == theirs;
        let party = |a: Party, b: Party| a.who == b.who && less(a.adjective, b.adjective);
        let act = match (self.act, premise.act) {
            (Act::Alone(a), Act::Alone(b)) => a == b,
            (Act::To(a, whom), Act::To(b, their)) => a == b && party(whom, their),
            _ => false,
        };
        let weaker = act
            && party(self.agent, premise.agent)
            && less(self.manner, premise.manner)
            && (self.place.is_none() || self.place == premise.place)
            && (self.known_for.is_none() || self.known_for == premise.known_for);
        if self.denied || premise.denied { self == premise } else { weaker }
    }

    /// The same but for some of [`Self::slots`], each in half of all cases: who and whom together, which, how, whether.
    pub(super) fn altered(&self, draws: &mut Draws<'_>) -> Self {
        let [exchanged, described, hurried, denied] = [(); 4].map(|()| chance(draws, 0.5));
        let manner = self.manner.map(|own| other(draws, ADVERBS.len(), own));
        let mut altered = if exchanged { self.clone().exchanged() } else { self.clone() };
        if described {
            altered = altered.with_adjectives_exchanged();
        }
        if hurried {
            altered.manner = manner;
        }
        altered.denied ^= denied;
        altered
    }

    /// How many of five slots are the same, 0 to 5.
    pub fn likeness(&self, other: &Self) -> f64 {
        let pairs = self.slots().into_iter().zip(other.slots());
        pairs.filter(|(a, b)| a == b).count() as f64
    }

    /// The five slots that likeness counts: who, whom, which of the two is described, how, and whether at all.
    fn slots(&self) -> [Option<usize>; 5] {
        let noun = |who: Who| match who {
            Who::Named(_) => None,
            Who::Kind { noun, .. } => Some(noun),
        };
        let (agent, patient) = match self.act {
            Act::Alone(_) => (self.agent, None),
            Act::To(_, patient) => (self.agent, Some(patient)),
        };
        let described = |party: &Party| party.adjective.and_then(|_| noun(party.who));
        let which = described(&agent).or(patient.as_ref().and_then(described));
        let whom = patient.and_then(|patient| noun(patient.who));
        [noun(agent.who), whom, which, self.manner, Some(usize::from(self.denied))]
    }
}

impl Who {
    fn is_noun(self) -> bool {
        matches!(self, Self::Kind { .. })
    }
}

impl Act {
    /// To nobody in a share of cases.
    fn any(draws: &mut Draws<'_>, alone: f64) -> Self {
        let (alone, act) = (chance(draws, alone), below(draws, INTRANSITIVE.len()));
        let (to, patient) = (below(draws, TRANSITIVE.len()), Party::any(draws, 0.3));
        if alone { Self::Alone(act) } else { Self::To(to, patient) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::stream::Stream;

    #[test]
    fn what_follows_is_less_and_the_other_way_round_it_does_not() {
        let stream = Stream::new(2, "meaning");
        for i in 0..200 {
            let premise =
                Meaning { manner: Some(1), ..Meaning::exchangeable(&mut stream.sample(i)) };
            let less = Meaning { manner: None, ..premise.clone() };
            assert!(less.follows_from(&premise) && premise.follows_from(&premise));
            assert!(!premise.follows_from(&less));
            assert!(!premise.clone().exchanged().follows_from(&premise));
            assert!(!less.clone().with_adjectives_exchanged().follows_from(&premise));
            let denied = Meaning { denied: true, ..less.clone() };
            assert!(!denied.follows_from(&premise) && !less.follows_from(&denied));
            assert!(denied.follows_from(&denied));
            assert_eq!(premise.clone().exchanged().exchanged(), premise);
        }
    }
}
