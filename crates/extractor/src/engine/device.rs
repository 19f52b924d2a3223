//! Which device and precision to run in, and what this machine has to offer. CUDA is found at run time: the binary links
//! libtorch's CPU library alone and opens `libtorch_cuda.so` when it is there.

use serde::Serialize;
use std::{
    ffi::{c_int, c_uint},
    fmt,
    path::PathBuf,
    process::Command,
    str::FromStr,
    sync::OnceLock,
};
use tch::Kind;

/// Precision of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats throughout.
    F32,
    /// 32-bit floats whose convolutions and products keep 10 bits of mantissa (NVIDIA Ampere and later).
    Tf32,
    /// 16-bit brain floats.
    Bf16,
    /// IEEE 16-bit floats.
    F16,
}

impl Precision {
    /// The word for it on the command line and in provenance.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Precision::F32 | Precision::Tf32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::F16 => Kind::Half,
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::F32, Self::Tf32, Self::Bf16, Self::F16]
            .into_iter()
            .find(|precision| precision.name() == word)
            .ok_or_else(|| format!("unknown precision {word}; use one of f32, bf16, f16, tf32"))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What `--device` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// CUDA where it works, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// One CUDA device; never falls back.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => word
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("unknown device {word}; use auto, cpu, cuda or cuda:N")),
        }
    }
}

/// A device or precision that this machine cannot give.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// CUDA was asked for by name.
    #[error("--device cuda:{index}: {reason}; `headstart doctor` says more, --device cpu runs without")]
    NoCuda {
        /// The device asked for.
        index: usize,
        /// Why there is none.
        reason: String,
    },
    /// The environment overrules the precision.
    #[error(
        "--dtype {precision}, but {TF32_VARIABLE}={value} is exported, which makes NVIDIA's libraries {effect}; unset it, \
         or use --dtype {instead}"
    )]
    Overruled {
        /// What was asked for.
        precision: Precision,
        /// What the variable says.
        value: String,
        /// What that does.
        effect: &'static str,
        /// The precision that it stands for.
        instead: Precision,
    },
    /// The precision does not exist on this device.
    #[error("{precision} is not available on {device}: {reason}")]
    Precision {
        /// What was asked for.
        precision: Precision,
        /// Where.
        device: String,
        /// Why not, and what to use.
        reason: String,
    },
}

/// What NVIDIA's libraries read when they load: 0 forbids TF32, anything else forces it.
const TF32_VARIABLE: &str = "NVIDIA_TF32_OVERRIDE";

/// The device to run on in this precision. `Auto` warns when a driver is there but CUDA does not load.
///
/// # Errors
/// When CUDA was asked for by name and is not usable, or the precision is not available on the device, or an exported
/// variable would have the GPU compute in another one.
pub fn resolve(choice: DeviceChoice, precision: Precision) -> Result<tch::Device, DeviceError> {
    let exported = std::env::var_os(TF32_VARIABLE);
    if choice != DeviceChoice::Cpu && exported.is_none() && precision != Precision::Tf32 {
        forbid_tf32();
    }
    let device = match choice {
        DeviceChoice::Cpu => tch::Device::Cpu,
        DeviceChoice::Cuda(index) => match load_cuda() {
            Ok(count) if index < *count => tch::Device::Cuda(index),
            Ok(count) => {
                let reason = format!("this machine has {count} CUDA device(s), numbered from 0");
                return Err(DeviceError::NoCuda { index, reason });
            }
            Err(reason) => return Err(DeviceError::NoCuda { index, reason: reason.clone() }),
        },
        DeviceChoice::Auto => match load_cuda() {
            Ok(count) if *count > 0 => tch::Device::Cuda(0),
            outcome => {
                if let (true, Err(reason)) = (driver_present(), outcome) {
                    tracing::warn!("an NVIDIA driver is here but CUDA does not load, so the CPU is used: {reason}");
                }
                tch::Device::Cpu
            }
        },
    };
    if let (tch::Device::Cuda(_), Some(value)) = (device, &exported) {
        agrees(precision, &value.to_string_lossy())?;
    }
    if let (tch::Device::Cuda(index), Precision::Tf32 | Precision::Bf16) = (device, precision)
        && let Some(capability) = compute_capability(index)
        && capability < 8.0
    {
        let reason = format!("its compute capability is {capability}, and 8.0 is needed; use f32 or f16");
        return Err(DeviceError::Precision { precision, device: format!("cuda:{index}"), reason });
    }
    if device == tch::Device::Cpu && !cpu_precisions().contains(&precision) {
        let offered: Vec<&str> = cpu_precisions().iter().map(|p| p.name()).collect();
        return Err(DeviceError::Precision {
            precision,
            device: "the CPU".into(),
            reason: format!("this CPU offers {}", offered.join(", ")),
        });
    }
    Ok(device)
}

/// The precisions the CPU computes faster than by emulation.
pub fn cpu_precisions() -> Vec<Precision> {
    let mut offered = vec![Precision::F32];
    if cpu_flag(&["avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"]) {
        offered.push(Precision::Bf16);
    }
    if cpu_flag(&["avx512_fp16", "amx_fp16", "asimdhp"]) {
        offered.push(Precision::F16);
    }
    offered
}

fn cpu_flag(wanted: &[&str]) -> bool {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo
        .lines()
        .find(|line| line.starts_with("flags") || line.starts_with("Features"))
        .is_some_and(|line| line.split_whitespace().any(|flag| wanted.contains(&flag)))
}

fn driver_present() -> bool {
    ["/proc/driver/nvidia/version", "/dev/nvidiactl"].iter().any(|path| std::path::Path::new(path).exists())
}

/// Whether an exported [`TF32_VARIABLE`] leaves a GPU the precision asked for; the others do not depend on it.
fn agrees(precision: Precision, value: &str) -> Result<(), DeviceError> {
    let value = value.to_string();
    match (precision, value == "0") {
        (Precision::F32, false) => {
            Err(DeviceError::Overruled { precision, value, effect: "compute in TF32", instead: Precision::Tf32 })
        }
        (Precision::Tf32, true) => {
            Err(DeviceError::Overruled { precision, value, effect: "keep to f32", instead: Precision::F32 })
        }
        _ => Ok(()),
    }
}

/// libtorch computes f32 convolutions in TF32 unless told otherwise, and tch has no switch for it.
fn forbid_tf32() {
    // SAFETY: what must not happen meanwhile is that C code of another thread reads the environment (Rust's own readers
    // hold a lock). CUDA's threads do not exist before its library is opened, which comes after this, and rayon's, which
    // may have listed or decoded images, are idle between the calls of this thread and never run such code.
    unsafe { std::env::set_var(TF32_VARIABLE, "0") };
}

/// Opens libtorch's CUDA half once per process; the number of devices, or why there are none.
fn load_cuda() -> &'static Result<usize, String> {
    static LOADED: OnceLock<Result<usize, String>> = OnceLock::new();
    LOADED.get_or_init(|| {
        open_cuda_library()?;
        let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
        if tch::Cuda::is_available() && count > 0 {
            Ok(count)
        } else {
            Err("libtorch's CUDA library loaded, but it sees no usable GPU (driver missing or too old?)".into())
        }
    })
}

fn open_cuda_library() -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    let beside = torch_folder().map(|folder| folder.join("libtorch_cuda.so"));
    let candidates = beside.filter(|path| path.exists()).into_iter().chain([PathBuf::from("libtorch_cuda.so")]);
    let mut reasons = Vec::new();
    for candidate in candidates {
        // SAFETY: the library is libtorch's own other half, whose initialisers register its kernels.
        match unsafe { Library::open(Some(&candidate), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                // It registers itself for the life of the process.
                std::mem::forget(library);
                return Ok(());
            }
            Err(error) => reasons.push(format!("{}: {}", candidate.display(), with_causes(&error))),
        }
    }
    Err(format!("libtorch_cuda.so does not load ({}); scripts/setup --cuda installs it", reasons.join("; ")))
}

/// An error with everything under it: libloading's own text does not quote what the dynamic linker said.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The folder libtorch_cpu.so was loaded from.
fn torch_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path =
        maps.lines().filter_map(|line| line.split_once('/')).find(|(_, path)| path.ends_with("libtorch_cpu.so"))?;
    PathBuf::from(format!("/{}", path.1)).parent().map(PathBuf::from)
}

/// The version of the libtorch that was loaded, from its own lips: the folder it lies in may be called anything.
fn libtorch_version() -> Option<String> {
    use libloading::os::unix::Library;
    // SAFETY: the function is declared in torch/csrc/inductor/aoti_torch/c/shim.h, takes nothing and only returns a constant.
    let packed = unsafe {
        Library::this().get::<unsafe extern "C" fn() -> u64>(b"aoti_torch_abi_version").ok().map(|version| version())
    };
    // torch/headeronly/version.h: major, minor and patch in the upper three bytes.
    packed.map(|packed| packed.to_be_bytes()).map(|[major, minor, patch, ..]| format!("{major}.{minor}.{patch}"))
}

/// What `headstart doctor` tells about libtorch and the devices.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceReport {
    /// Folder libtorch was loaded from.
    pub libtorch: Option<String>,
    /// Version of the libtorch that was loaded; none where it does not say.
    pub libtorch_version: Option<String>,
    /// Threads libtorch computes with on the CPU.
    pub threads: i32,
    /// Precisions the CPU offers.
    pub cpu_precisions: Vec<&'static str>,
    /// Whether an NVIDIA driver is installed.
    pub nvidia_driver: bool,
    /// Number of usable CUDA devices.
    pub cuda_devices: usize,
    /// Why there are none.
    pub cuda_problem: Option<String>,
    /// cuDNN's version, when CUDA is usable.
    pub cudnn: Option<i64>,
    /// Names and memory of the GPUs, as nvidia-smi prints them.
    pub gpus: Vec<String>,
}

/// Looks at this machine.
pub fn report() -> DeviceReport {
    let cuda = load_cuda();
    let devices = cuda.as_ref().copied().unwrap_or(0);
    DeviceReport {
        libtorch: torch_folder().map(|path| path.display().to_string()),
        libtorch_version: libtorch_version(),
        threads: tch::get_num_threads(),
        cpu_precisions: cpu_precisions().into_iter().map(Precision::name).collect(),
        nvidia_driver: driver_present(),
        cuda_devices: devices,
        cuda_problem: cuda.as_ref().err().cloned(),
        cudnn: (devices > 0).then(tch::utils::version_cudnn),
        gpus: gpu_names(),
    }
}

fn gpu_names() -> Vec<String> {
    nvidia_smi("name,memory.total,driver_version,compute_cap")
}

/// What a GPU can do, as NVIDIA numbers it (8.0 for the A100); none where the driver does not say. The driver is asked,
/// because nvidia-smi counts devices in another order and knows nothing of `CUDA_VISIBLE_DEVICES`.
fn compute_capability(index: usize) -> Option<f32> {
    use libloading::os::unix::Library;
    type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
    /// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `…_MINOR` in cuda.h.
    const MAJOR_AND_MINOR: [c_int; 2] = [75, 76];
    let index = c_int::try_from(index).ok()?;
    // SAFETY: this is the driver's library, which libtorch has loaded; the signatures are those of cuda.h, in which a
    // CUdevice is an int, 0 means success, and every pointer is valid for its call.
    unsafe {
        let driver = Library::new("libcuda.so.1").ok()?;
        let start = driver.get::<unsafe extern "C" fn(c_uint) -> c_int>(b"cuInit").ok()?;
        let device = driver.get::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet").ok()?;
        let attribute = driver.get::<Attribute>(b"cuDeviceGetAttribute").ok()?;
        let mut handle = 0;
        if start(0) != 0 || device(&mut handle, index) != 0 {
            return None;
        }
        let [major, minor] = MAJOR_AND_MINOR.map(|wanted| {
            let mut value = 0;
            (attribute(&mut value, wanted, handle) == 0).then_some(value as f32)
        });
        Some(major? + minor? / 10.0)
    }
}

/// One line for each GPU.
fn nvidia_smi(fields: &str) -> Vec<String> {
    let output = Command::new("nvidia-smi").args([&format!("--query-gpu={fields}"), "--format=csv,noheader"]).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_string()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_does_not_load_says_why() {
        // SAFETY: there is no such library, so nothing is run.
        let error = unsafe { libloading::os::unix::Library::new("/nowhere/libabsent.so") }.unwrap_err();
        let text = with_causes(&error);
        assert!(text.contains("/nowhere/libabsent.so") && text.contains("No such file"), "{text}");
        if let Err(problem) = open_cuda_library() {
            assert!(problem.contains("libtorch_cuda.so: ") && problem.contains("scripts/setup --cuda"), "{problem}");
        }
    }

    #[test]
    fn a_variable_that_overrules_the_precision_is_refused() {
        for (precision, value) in
            [(Precision::F32, "0"), (Precision::Tf32, "1"), (Precision::F16, "1"), (Precision::Bf16, "0")]
        {
            assert!(agrees(precision, value).is_ok(), "{precision} {value}");
        }
        let text = agrees(Precision::F32, "1").unwrap_err().to_string();
        assert!(text.contains("NVIDIA_TF32_OVERRIDE=1") && text.contains("--dtype tf32"), "{text}");
        let text = agrees(Precision::Tf32, "0").unwrap_err().to_string();
        assert!(text.contains("NVIDIA_TF32_OVERRIDE=0") && text.contains("--dtype f32"), "{text}");
    }

    #[test]
    fn libtorch_tells_its_version() {
        // A test binary that calls nothing of libtorch is linked without it.
        assert!(tch::get_num_threads() > 0);
        // tch 0.24 goes with no other (Cargo.toml).
        assert_eq!(libtorch_version().as_deref(), Some("2.11.0"));
    }
}
