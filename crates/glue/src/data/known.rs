//! Digests of the files of GLUE.

/// Whose text a file holds. The two differ for MRPC alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// What the Hugging Face loader yields; for MRPC, the tokenised text of `SentEval`.
    Loader,
    /// Microsoft's own text of MRPC, split as in GLUE.
    Microsoft,
}

/// A file of which the digest is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// SHA-256.
    pub sha256: &'static str,
    /// Rows.
    pub rows: usize,
    /// Whose text it is.
    pub text: Text,
}

impl Known {
    /// The known file with this digest.
    pub fn find(sha256: &str) -> Option<Self> {
        ALL.iter().find(|known| known.sha256 == sha256).copied()
    }

    /// Whose text it is, in words.
    pub fn description(self) -> &'static str {
        match self.text {
            Text::Loader => "GLUE, as the Hugging Face loader yields it",
            Text::Microsoft => "GLUE, in Microsoft's text of MRPC",
        }
    }
}

const fn known(sha256: &'static str, rows: usize, text: Text) -> Known {
    Known { sha256, rows, text }
}

/// Train, dev and test of every task.
static ALL: [Known; 15] = [
    // CoLA
    known("cb368ebeb9f27d7ad03720d27ddc95687a311bdb100781a2fe59a5f5b1bc0624", 8551, Text::Loader),
    known("8c013e21dc39957cac37378d87bebe225b694a0d5fe13eded66c2856628833fd", 1043, Text::Loader),
    known("3b4df85f7a9a0633574b38d181e18090ac961a24b18fb6bcd74999ddea8ad0b8", 1063, Text::Loader),
    // MRPC
    known("15d9c71e62d662b1cc9237e2015047cad4c1f62552d49858a9bce2b944d79897", 3668, Text::Loader),
    known("320459df9454dbdc8eea69ad1eb294967e7dfe03e7cf791f37d954a316f5253d", 408, Text::Loader),
    known("aee460ceda833926b8ab2ad952d399f5cf8bc9335cff19afcac03dc449558622", 1725, Text::Loader),
    // MRPC, Microsoft's text
    known(
        "122becc469405bc16f9defcb8715d2a4b7ce600e9d9381e6dc42bfdd1494c51d",
        3668,
        Text::Microsoft,
    ),
    known("81c8a1a9e1dfe461dd2c1a4f98f43fe18bece44d2bf9e3d0b245b88e5aa5eaf7", 408, Text::Microsoft),
    known(
        "4ee428d354c01fa35c2f0f6ab835398abb0bec01f17ed68fbcb6c04265505b0a",
        1725,
        Text::Microsoft,
    ),
    // STS-B
    known("41c4d978b6162abdcada7e49a982211954cca5459c228db478af333124b257a2", 5749, Text::Loader),
    known("fe7dc0632a5033562f3cadff991f6e8d9b9b6311861660e78c3c82eb7db67f59", 1500, Text::Loader),
    known("16b4223d7d44a644fbc10f1b449472cfe81e1715fb07cf44023b0aa88ce856eb", 1379, Text::Loader),
    // RTE
    known("41e3a9b063433392343fad9e962cf2f58b681c78d8f71592f4186f0837246c5c", 2490, Text::Loader),
    known("80230dfa1347282e7b532b06a1004a76a710087541189bf874223ddf0e3819fb", 277, Text::Loader),
    known("6e33f09b5c2bfd5fd5fde217070f3dd49e484e33b9752b5864cf36fc421a213f", 3000, Text::Loader),
];
