//! Statistics of small samples: intervals, the exact test of paired comparisons, slopes.

pub mod comparison;
pub mod interval;
pub mod sign_flip;
mod slope;
pub mod student;

pub use interval::{
    Interval, around, error_of, extreme, root_mean_square, share_interval, standard_error,
};
pub use slope::{log_slope, log_slope_error, slope};
