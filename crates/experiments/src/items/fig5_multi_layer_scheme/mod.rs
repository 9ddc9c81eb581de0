//! One dual per layer of a stack, drawn from the numbers of one prompt.

mod drawing;

use crate::item::{Item, Outputs};
use crate::scheme::Scheme;
use crate::scheme::matrices::{self, Matrices};
use crate::scheme::page::Page;
use crate::scheme::prompt::{LayerNumbers, Settings, layers};
use artifact::claim::{Place, at_most};
use artifact::table::Table;
use dual_model::Matrix;
use dual_model::shared::SharedFeatureDual;
use icl_model::device::Device;
use icl_model::settings::RunSettings;
use icl_numerics::largest;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig5-multi-layer-scheme",
    paper: "Figure 5",
    claim: "Every layer of a stack has its own dual, trained on the tokens of the layer before; composed, they are \
         the stack",
    plan: &|file, context| SCHEME.plan(file, context),
};

static SCHEME: Scheme = Scheme {
    kind: "stack-scheme/1",
    run: |settings| RunSettings::Stack(settings.stack(true)),
    matrices,
    assemble,
};

fn matrices(settings: &Settings, device: Device) -> anyhow::Result<Table> {
    let (stack, tokens) = layers(settings, true, device)?;
    let n = settings.n_demos;
    let mut all = Matrices::default();
    all.add_transposed("dual 0", &tokens);
    let (mut ours, mut theirs) = (tokens.clone(), tokens);
    for (l, layer) in stack.iter().enumerate() {
        // the dual's side: one W for all queries, a constant channel under the values
        let numbers = LayerNumbers::new(layer, &ours)?;
        let map = numbers.features();
        let (head, d) = (&numbers.head, ours.columns());
        let mut state = SharedFeatureDual::new(&map, d, d);
        state.step(head.key_value(n))?;
        all.add(format!("W0 {}", l + 1), state.weights().clone());
        let step = |state: &mut SharedFeatureDual<'_, _>, j: usize| state.step(head.key_value(j));
        all.add_steps(&format!("step {}", l + 1), &mut state, n, |state| state.weights(), step)?;
        all.add(format!("W1 {}", l + 1), state.weights().clone());
        let after = head
            .queries
            .iter_rows()
            .zip(ours.iter_rows())
            .map(|(q, x)| Ok(numbers.after_attention(x, &state.predict(q)?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        ours = Matrix::from_rows(after.iter().map(Vec::as_slice))?;
        all.add_transposed(format!("dual {}", l + 1), &ours);
        // candle's side, on candle's own tokens
        theirs = LayerNumbers::new(layer, &theirs)?.candle_all(layer, n)?;
        all.add_transposed(format!("stack {}", l + 1), &theirs);
    }
    all.to_table(matrices::MATRICES)
}

/// Layers in a table.
fn depth(page: &Page<'_>) -> usize {
    (1..64).take_while(|l| page.matrix(&format!("W1 {l}")).is_ok()).count()
}

fn differences(page: &Page<'_>) -> anyhow::Result<Vec<f64>> {
    (1..=depth(page))
        .map(|l| page.difference(&format!("dual {l}"), &format!("stack {l}")))
        .collect()
}

fn assemble(result: &Table) -> anyhow::Result<Outputs> {
    let table = result.clone().named(matrices::MATRICES);
    let differences = differences(&Page::new(&table))?;
    let claim = at_most(
        Place { item: ITEM.id, claim: "equal", table: matrices::MATRICES },
        "Largest difference between the stack's tokens and the composed duals', over the layers",
        largest::value(differences.iter().copied()),
        1e-10,
    );
    let figure = drawing::figure(&table, &differences)?;
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec![matrices::MATRICES])],
        claims: vec![claim],
    })
}
