//! Where candle's side of a comparison is computed: on the CPU by our own operations, there by candle's own as a GPU has
//! them, and on the GPU that `ICL_TEST_DEVICE` names (`cuda` or `cuda:N`; the tests must be built with CUDA).

use candle_core::Device;
use icl_model::device::DeviceName;
use icl_model::ops;
use icl_numerics::lanes::Isa;
use std::cell::RefCell;
use std::sync::OnceLock;

thread_local! {
    static HERE: RefCell<Device> = const { RefCell::new(Device::Cpu) };
}

/// The device of the place in which this is called.
pub(crate) fn device() -> Device {
    HERE.with_borrow(Clone::clone)
}

/// The GPU that is named, if one is.
fn gpu() -> Option<Device> {
    static GPU: OnceLock<Option<Device>> = OnceLock::new();
    let open = || {
        let name = std::env::var_os("ICL_TEST_DEVICE")?;
        let name: DeviceName = name.to_str().unwrap().parse().unwrap();
        (name != DeviceName::Cpu).then(|| name.with(Isa::Portable).candle().unwrap())
    };
    GPU.get_or_init(open).clone()
}

/// What `f` computes in every place, with the place's name.
pub(crate) fn everywhere<T>(f: impl Fn() -> T) -> Vec<(&'static str, T)> {
    let mut found = vec![("cpu", f()), ("as on a gpu", ops::as_on_a_gpu(&f))];
    if let Some(gpu) = gpu() {
        HERE.set(gpu);
        found.push(("gpu", f()));
        HERE.set(Device::Cpu);
    }
    found
}
