//! What numbers were measured on.

use serde::Serialize;

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor, as the system names it.
    pub cpu: String,
    /// Processors that this process may use.
    pub threads: usize,
    /// Its vector instructions that matter here, as the system names them.
    pub instructions: Vec<&'static str>,
    /// Memory, in bytes; 0 where the system does not say.
    pub memory: u64,
    /// libtorch's version; none in a binary without it, or where it does not say.
    pub libtorch: Option<String>,
    /// GPUs that CUDA can use.
    pub gpus: Vec<String>,
    /// Version of headstart.
    pub headstart: &'static str,
}

/// Looks at this machine.
pub fn machine() -> Machine {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |names: &[&str]| {
        let line = cpuinfo.lines().find(|line| names.iter().any(|name| line.starts_with(name)));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    };
    let flags: Vec<&str> = field(&["flags", "Features"]).split_whitespace().collect();
    let known = ["avx2", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "amx_bf16", "asimd", "bf16", "sve"];
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes: Option<u64> = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    let (libtorch, gpus) = torch();
    Machine {
        cpu: match field(&["model name", "Model"]) {
            "" => std::env::consts::ARCH.to_string(),
            name => name.to_string(),
        },
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        instructions: known.into_iter().filter(|flag| flags.contains(flag)).collect(),
        memory: kilobytes.unwrap_or(0) * 1024,
        libtorch,
        gpus,
        headstart: env!("CARGO_PKG_VERSION"),
    }
}

#[cfg(feature = "torch")]
fn torch() -> (Option<String>, Vec<String>) {
    let report = crate::engine::report();
    (report.libtorch_version, if report.cuda_devices > 0 { report.gpus } else { Vec::new() })
}

#[cfg(not(feature = "torch"))]
fn torch() -> (Option<String>, Vec<String>) {
    (None, Vec::new())
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_a_name_and_a_thread() {
        let machine = super::machine();
        assert!(!machine.cpu.is_empty() && machine.threads > 0);
    }
}
