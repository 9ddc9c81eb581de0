//! The words of the grammar. Two words for one thing are synonyms.

/// Singular and plural of two synonyms.
pub(super) const NOUNS: [[[&str; 2]; 2]; 10] = [
    [["dog", "dogs"], ["hound", "hounds"]],
    [["boy", "boys"], ["lad", "lads"]],
    [["doctor", "doctors"], ["physician", "physicians"]],
    [["baby", "babies"], ["infant", "infants"]],
    [["singer", "singers"], ["vocalist", "vocalists"]],
    [["thief", "thieves"], ["robber", "robbers"]],
    [["farmer", "farmers"], ["grower", "growers"]],
    [["king", "kings"], ["ruler", "rulers"]],
    [["teacher", "teachers"], ["tutor", "tutors"]],
    [["rabbit", "rabbits"], ["hare", "hares"]],
];
/// With a singular subject, with a plural one, and after `is`, of two synonyms.
pub(super) const TRANSITIVE: [[[&str; 3]; 2]; 6] = [
    [["chases", "chase", "chased"], ["pursues", "pursue", "pursued"]],
    [["sees", "see", "seen"], ["notices", "notice", "noticed"]],
    [["helps", "help", "helped"], ["assists", "assist", "assisted"]],
    [["greets", "greet", "greeted"], ["welcomes", "welcome", "welcomed"]],
    [["fears", "fear", "feared"], ["dreads", "dread", "dreaded"]],
    [["carries", "carry", "carried"], ["lifts", "lift", "lifted"]],
];
/// With a singular and with a plural subject, of two synonyms.
pub(super) const INTRANSITIVE: [[[&str; 2]; 2]; 4] = [
    [["sleeps", "sleep"], ["slumbers", "slumber"]],
    [["runs", "run"], ["jogs", "jog"]],
    [["laughs", "laugh"], ["giggles", "giggle"]],
    [["waits", "wait"], ["lingers", "linger"]],
];
/// Two synonyms.
pub(super) const ADJECTIVES: [[&str; 2]; 5] = [
    ["big", "large"],
    ["small", "little"],
    ["happy", "glad"],
    ["clever", "smart"],
    ["old", "aged"],
];
/// Two synonyms.
pub(super) const ADVERBS: [[&str; 2]; 3] =
    [["quickly", "rapidly"], ["quietly", "silently"], ["often", "frequently"]];
pub(super) const NAMES: [&str; 6] = ["anna", "ben", "clara", "david", "emma", "felix"];
pub(super) const PREPOSITIONS: [&str; 2] = ["near", "behind"];
pub(super) const PLACES: [&str; 4] = ["house", "river", "forest", "school"];

pub(super) const THE: &str = "the";
pub(super) const THAT: &str = "that";
pub(super) const NOT: &str = "not";
pub(super) const BY: &str = "by";
pub(super) const STOP: &str = ".";
/// With a singular and with a plural subject.
pub(super) const DO: [&str; 2] = ["does", "do"];
/// With a singular and with a plural subject.
pub(super) const BE: [&str; 2] = ["is", "are"];

/// The word pieces of BERT that are no words, in the order of its vocabularies.
pub const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// The number of the mask in [`vocabulary`].
pub const MASK: u32 = 4;

/// All words, every one once.
pub fn words() -> Vec<&'static str> {
    let mut words = vec![THE, THAT, NOT, BY, STOP];
    words.extend(DO.iter().chain(&BE));
    words.extend(NOUNS.iter().flatten().flatten());
    words.extend(TRANSITIVE.iter().flatten().flatten());
    words.extend(INTRANSITIVE.iter().flatten().flatten());
    words.extend(ADJECTIVES.iter().chain(&ADVERBS).flatten());
    words.extend(NAMES.iter().chain(&PREPOSITIONS).chain(&PLACES));
    words
}

/// The content of `vocab.txt`: special word pieces, then the words, one a line.
pub fn vocabulary() -> String {
    SPECIAL.into_iter().chain(words()).map(|word| format!("{word}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_word_comes_once_and_the_mask_stands_where_it_is_said_to() {
        let words = words();
        let different: BTreeSet<&str> = words.iter().copied().collect();
        assert_eq!(different.len(), words.len());
        assert!((100..=300).contains(&words.len()), "{}", words.len());
        assert_eq!(vocabulary().lines().nth(MASK as usize), Some("[MASK]"));
    }
}
