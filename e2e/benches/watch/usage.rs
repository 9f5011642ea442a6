//! What a process uses, by /proc.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Processor time and memory.
pub struct Usage {
    /// Seconds in all, of user and system.
    pub processor: f64,
    /// MiB at most so far.
    pub memory: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // After the name, which is in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| -> Result<f64> { Ok(fields.get(index).context("stat")?.parse()?) };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        // A tick is a hundredth of a second on every Linux that there is.
        Ok(Self { processor: (ticks(11)? + ticks(12)?) / 100.0, memory: kibibytes / 1_024 })
    }
}

/// Keeps a process to one core.
pub fn pin(pid: u32) -> Result<()> {
    let status = Command::new("taskset").args(["-a", "-p", "-c", "0", &pid.to_string()]).output()?.status;
    if !status.success() {
        bail!("taskset: {status}");
    }
    Ok(())
}
