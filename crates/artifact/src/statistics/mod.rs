//! Statistics of small samples: bootstrap intervals, normal intervals, paired comparisons, slopes.

pub mod bootstrap;
pub mod comparison;
mod interval;
mod slope;

pub use bootstrap::Interval;
pub use interval::{around, error_of, extreme, root_mean_square, share_interval, standard_error};
pub use slope::{log_slope, log_slope_error, slope};
