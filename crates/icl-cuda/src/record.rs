//! The record of a run, as `kernels/layer.h` reads it.

/// `Source`: the prompts of a named stream.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Source {
    pub(crate) key: [u32; 8],
    pub(crate) label_key: [u32; 8],
    pub(crate) pool_key: [u32; 8],
    pub(crate) pool_size: i32,
    pub(crate) pool_at: i32,
}

/// `Map`: `g` and the places of its variables.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Map {
    pub(crate) form: i32,
    pub(crate) hidden: i32,
    pub(crate) scale: f32,
    pub(crate) v_at: i32,
    pub(crate) u_at: i32,
}

/// `Run`: everything that one block reads.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    pub(crate) state_at: i64,
    pub(crate) work_at: i64,
    pub(crate) losses_at: i64,
    pub(crate) curve_at: i64,
    pub(crate) training: Source,
    pub(crate) validation: Source,
    pub(crate) test: Source,
    pub(crate) n_demos: i32,
    pub(crate) d_t: i32,
    pub(crate) d_s: i32,
    pub(crate) n_heads: i32,
    pub(crate) kernel: i32,
    pub(crate) d_r: i32,
    pub(crate) omegas_at: i32,
    pub(crate) scale: f32,
    pub(crate) share: f32,
    pub(crate) root_of_d: f64,
    pub(crate) keys: Map,
    pub(crate) values: Map,
    pub(crate) negatives: i32,
    pub(crate) n_negatives: i32,
    pub(crate) negatives_weight: f32,
    pub(crate) query_side: f32,
    pub(crate) shrinkage: f32,
    pub(crate) task: i32,
    pub(crate) inputs: i32,
    pub(crate) map: i32,
    pub(crate) factor: f32,
    pub(crate) noise: f32,
    pub(crate) guess: f32,
    pub(crate) guessed: i32,
    pub(crate) noisy: i32,
    pub(crate) n_parameters: i32,
    pub(crate) w_q_at: i32,
    pub(crate) w_k_at: i32,
    pub(crate) w_v_at: i32,
    pub(crate) layers: i32,
    pub(crate) layer_stride: i32,
    pub(crate) d_ff: i32,
    pub(crate) residual: i32,
    pub(crate) w_1_at: i32,
    pub(crate) b_1_at: i32,
    pub(crate) w_2_at: i32,
    pub(crate) b_2_at: i32,
    pub(crate) linear_layers: i32,
    pub(crate) moments_at: i32,
    pub(crate) c_at: i32,
    pub(crate) steps: i32,
    pub(crate) batch: i32,
    pub(crate) n_validation: i32,
    pub(crate) validate_every: i32,
    pub(crate) block_of_losses: i32,
    pub(crate) columns: i32,
    pub(crate) schedule_at: i32,
    pub(crate) n_watched: i32,
    pub(crate) watched_at: i32,
    pub(crate) prompt_weight: f32,
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) epsilon: f32,
    pub(crate) clip: f64,
}

/// `Ending`: what the host reads back.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) status: i32,
    pub(crate) step: i32,
}

/// A run that reached its end.
pub(crate) const RUN_WELL: i32 = 0;
/// A loss that is not finite.
pub(crate) const LOSS_NOT_FINITE: i32 = 1;
