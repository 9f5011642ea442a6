//! A network of a node's own: a network namespace, joined to the machine by a pair of interfaces.
//!
//! Nothing inside reaches beyond the machine, nothing of the machine's is changed but two routes,
//! and several can be there side by side: each has a number and the addresses that follow from it.

use std::net::Ipv4Addr;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

// Of 10.200.0.0/16 to 10.202.0.0/16, a /24 of each for one network.
const NETWORKS: u8 = 250;

/// A network namespace with addresses for a node, its pods and its Services.
#[derive(Debug, Clone)]
pub struct Network {
    /// The namespace's name, as `watchkeeper-0`.
    pub name: String,
    /// The machine's own address, as those inside see it.
    pub host: Ipv4Addr,
    /// The node's.
    pub node: Ipv4Addr,
    number: u8,
}

impl Network {
    /// Makes the first that is not there yet.
    ///
    /// # Errors
    /// Without the right to make one, or `ip`; when all numbers are taken.
    pub fn create() -> Result<Self> {
        for number in 0..NETWORKS {
            let network = Self::numbered(number);
            // Only one of several who try at once is told that it has made it.
            let made = Command::new("ip").args(["netns", "add", &network.name]).output().context("ip")?;
            if made.status.success() {
                network.join().inspect_err(|_| network.remove())?;
                return Ok(network);
            }
            let message = String::from_utf8_lossy(&made.stderr);
            if !message.contains("File exists") {
                bail!("a network namespace cannot be made: {}", message.trim());
            }
        }
        bail!("all {NETWORKS} networks are in use")
    }

    fn numbered(number: u8) -> Self {
        Self {
            name: format!("watchkeeper-{number}"),
            host: Ipv4Addr::new(10, 200, number, 1),
            node: Ipv4Addr::new(10, 200, number, 2),
            number,
        }
    }

    /// The range of pods.
    #[must_use]
    pub fn pods(&self) -> String {
        format!("10.201.{}.0/24", self.number)
    }

    /// The range of Services.
    #[must_use]
    pub fn services(&self) -> String {
        format!("10.202.{}.0/24", self.number)
    }

    /// One address of the Services' range.
    #[must_use]
    pub fn service(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 202, self.number, last)
    }

    fn join(&self) -> Result<()> {
        let (name, outside) = (self.name.as_str(), format!("wk{}", self.number));
        let [host, node] = [self.host, self.node].map(|address| format!("{address}/24"));
        let (pods, services, via) = (self.pods(), self.services(), self.node.to_string());
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        ip(&["addr", "add", &host, "dev", &outside])?;
        ip(&["link", "set", &outside, "up"])?;
        ip(&["-n", name, "addr", "add", &node, "dev", "eth0"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        // Services are on no interface: without a route the kernel would give up on the node's own
        // packets to them before the rules that redirect them.
        ip(&["-n", name, "route", "add", &services, "via", &self.host.to_string()])?;
        ip(&["route", "add", &pods, "via", &via])?;
        ip(&["route", "add", &services, "via", &via])?;
        run(Command::new("ip")
            .args(["netns", "exec", name, "sh", "-c"])
            .arg("echo 1 >/proc/sys/net/ipv4/ip_forward"))
    }

    fn remove(&self) {
        // The interfaces and routes go with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> Result<()> {
    let Output { status, stderr, .. } = command.output().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&stderr).trim());
    }
    Ok(())
}
