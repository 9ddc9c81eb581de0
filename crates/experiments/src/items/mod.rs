//! One file per item. A new item is one file here, one TOML in `experiments/`, one line in the registry.

pub(crate) mod ext_alignment;
pub(crate) mod ext_baselines;
pub(crate) mod ext_exact_dual;
pub(crate) mod ext_feature_failure;
pub(crate) mod ext_gap;
pub(crate) mod ext_gradient_checks;
pub(crate) mod ext_linear_step;
pub(crate) mod ext_mutants;
pub(crate) mod ext_stacks;
pub(crate) mod ext_streaming;
pub(crate) mod fig10_long_prompt;
pub(crate) mod fig11_two_heads;
pub(crate) mod fig12_random_feature_layer;
pub(crate) mod fig13_transformer_layer;
pub(crate) mod fig14_two_layers;
pub(crate) mod fig15_combined;
pub(crate) mod fig1_dual_scheme;
pub(crate) mod fig2_representation_lens;
pub(crate) mod fig3_linear;
pub(crate) mod fig4_transformer_layer_scheme;
pub(crate) mod fig5_multi_layer_scheme;
pub(crate) mod fig6_attention_heatmaps;
pub(crate) mod fig7_feature_error;
pub(crate) mod fig8_trigonometric;
pub(crate) mod fig9_exponential;
