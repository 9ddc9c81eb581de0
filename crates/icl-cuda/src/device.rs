//! Launches on a GPU, through candle's device.

#![allow(unsafe_code, reason = "a launch trusts its arguments")]

use crate::CudaError;
use crate::batch::{Batch, Launch};
use crate::record::{Ending, Run};
use candle_core::cuda_backend::cudarc::driver::sys::CUdevice_attribute;
use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, LaunchConfig, PushKernelArg};
use candle_core::{CudaDevice, Device};

/// The kernels for every architecture from `compute_80` on; the driver translates them.
const PTX: &str = include_str!(env!("ICL_TRAIN_PTX"));
/// Name under which candle keeps them.
const MODULE: &str = "icl_train";
/// Threads of a block, `__launch_bounds__` of the kernels.
const THREADS: usize = 512;
/// Steps of a launch on a card that also drives a display and ends launches of more than seconds.
const STEPS_BESIDE_A_DISPLAY: usize = 64;
/// Most blocks that evaluate test prompts.
const TEST_BLOCKS: usize = 264;
/// Share of the free memory that one launch takes.
const SHARE_OF_MEMORY: f64 = 0.7;

// SAFETY: plain numbers in C's layout, without pointers.
unsafe impl DeviceRepr for Run {}
// SAFETY: as above.
unsafe impl DeviceRepr for Ending {}

/// A GPU.
#[derive(Debug, Clone)]
pub struct Gpu {
    device: CudaDevice,
}

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// Compute capability.
    pub capability: (i32, i32),
    /// Bytes of memory, free and in all.
    pub memory: (usize, usize),
}

/// Names what was tried.
fn tried<T, E: std::fmt::Display>(
    doing: &'static str,
    result: Result<T, E>,
) -> Result<T, CudaError> {
    result.map_err(|error| {
        // candle puts a backtrace behind the first line
        let text = error.to_string();
        let reason = text.lines().next().unwrap_or_default().to_owned();
        CudaError::Device { doing, reason }
    })
}

impl Gpu {
    /// The GPU of this index.
    ///
    /// # Errors
    /// [`CudaError::Device`] if there is none, or its driver is too old.
    pub fn new(index: usize) -> Result<Self, CudaError> {
        match tried("open the GPU", Device::new_cuda(index))? {
            Device::Cuda(device) => Ok(Self { device }),
            _ => tried("open the GPU", Err("candle answers with another device")),
        }
    }

    /// What it is.
    ///
    /// # Errors
    /// [`CudaError::Device`] if the driver does not say.
    pub fn card(&self) -> Result<Card, CudaError> {
        let stream = self.device.cuda_stream();
        let context = stream.context();
        Ok(Card {
            name: tried("ask for the card's name", context.name())?,
            capability: tried("ask for its compute capability", context.compute_capability())?,
            memory: tried("ask for its memory", context.mem_get_info())?,
        })
    }

    /// All steps of a batch, unless the driver ends what takes long.
    fn steps_of_a_launch(&self, batch: &Batch) -> Result<usize, CudaError> {
        let timeout = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT;
        let limited = self.device.cuda_stream().context().attribute(timeout);
        let limited = tried("ask for the card's limit of time", limited)? != 0;
        Ok(if limited { STEPS_BESIDE_A_DISPLAY } else { batch.steps().max(1) })
    }
}

fn blocks(n: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (n as u32, 1, 1),
        block_dim: (THREADS as u32, 1, 1),
        shared_mem_bytes: 0,
    }
}

impl Launch for Gpu {
    fn columns(&self, batch: usize) -> usize {
        batch.max(THREADS)
    }

    fn room(&self) -> Result<usize, CudaError> {
        // what earlier launches held comes back when they are over
        tried("wait for the GPU", self.device.cuda_stream().synchronize())?;
        let (free, _) = self.card()?.memory;
        Ok((free as f64 * SHARE_OF_MEMORY) as usize / size_of::<f32>())
    }

    fn train(&self, batch: &mut Batch) -> Result<(), CudaError> {
        let device = &self.device;
        let kernel = device.get_or_load_custom_func("train", MODULE, PTX);
        let kernel = tried("load the kernel `train`", kernel)?;
        let runs = tried("copy the runs", device.clone_htod(&batch.runs))?;
        // an empty copy has no address
        batch.constants.push(0.0);
        let constants = tried("copy constants", device.clone_htod(&batch.constants))?;
        let mut state = tried("copy parameters", device.clone_htod(&batch.state))?;
        let mut work = tried("allocate scratch", device.alloc_zeros::<f32>(batch.n_work))?;
        let mut doubles = tried("allocate losses", device.alloc_zeros::<f64>(batch.doubles.len()))?;
        let mut endings = tried("copy endings", device.clone_htod(&batch.endings))?;
        let steps = self.steps_of_a_launch(batch)?;
        for first in (0..batch.steps().max(1)).step_by(steps) {
            let (first, end) = (first as i32, (first + steps) as i32);
            let mut launch = kernel.builder();
            launch.arg(&runs).arg(&constants).arg(&mut state).arg(&mut work).arg(&mut doubles);
            launch.arg(&mut endings).arg(&first).arg(&end);
            // SAFETY: the arguments are those of `train` in `kernels/train.cu`; `Covered::add_to` gives every block its own
            // parts of the buffers, of the sizes that it uses.
            tried("launch `train`", unsafe { launch.launch(blocks(batch.runs.len())) })?;
        }
        batch.state = tried("copy parameters back", device.clone_dtoh(&state))?;
        batch.doubles = tried("copy losses back", device.clone_dtoh(&doubles))?;
        batch.endings = tried("copy endings back", device.clone_dtoh(&endings))?;
        Ok(())
    }

    fn losses(&self, batch: &Batch, n: usize) -> Result<Vec<f64>, CudaError> {
        let device = &self.device;
        let [prepare, test] =
            ["prepare_test", "test"].map(|name| device.get_or_load_custom_func(name, MODULE, PTX));
        let prepare = tried("load the kernel `prepare_test`", prepare)?;
        let test = tried("load the kernel `test`", test)?;
        let runs = tried("copy the run", device.clone_htod(&batch.runs))?;
        let constants: Vec<f32> = batch.constants.iter().copied().chain([0.0]).collect();
        let constants = tried("copy constants", device.clone_htod(&constants))?;
        let mut state = tried("copy parameters", device.clone_htod(&batch.state))?;
        let mut work = tried("allocate scratch", device.alloc_zeros::<f32>(batch.n_work))?;
        let fit = self.room()? / (THREADS * batch.numbers_per_prompt.max(1));
        let n_blocks = TEST_BLOCKS.min(n.div_ceil(THREADS)).min(fit).max(1);
        let stride = n_blocks * THREADS;
        let n_columns = stride * batch.numbers_per_prompt;
        let mut columns = tried("allocate scratch", device.alloc_zeros::<f32>(n_columns))?;
        let mut losses = tried("allocate losses", device.alloc_zeros::<f64>(n))?;
        let mut launch = prepare.builder();
        launch.arg(&runs).arg(&mut state).arg(&mut work);
        // SAFETY: the arguments are those of `prepare_test`, for the only run of the batch.
        tried("launch `prepare_test`", unsafe { launch.launch(blocks(1)) })?;
        let (stride, first, n) = (stride as i64, 0_i64, n as i64);
        let mut launch = test.builder();
        launch.arg(&runs).arg(&constants).arg(&mut state).arg(&mut work).arg(&mut columns);
        launch.arg(&stride).arg(&first).arg(&n).arg(&mut losses);
        // SAFETY: the arguments are those of `test`; every thread has a column, every prompt a loss.
        tried("launch `test`", unsafe { launch.launch(blocks(n_blocks)) })?;
        tried("copy losses back", device.clone_dtoh(&losses))
    }
}
