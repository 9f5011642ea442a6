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
    /// The namespace's name, which no other ever has.
    pub name: String,
    /// The machine's own address, as those inside see it.
    pub host: Ipv4Addr,
    /// The node's.
    pub node: Ipv4Addr,
    number: u8,
}

impl Network {
    /// Makes one, with the first addresses that are free. `announce` is told its name before it is
    /// there, so that whoever has to remove it knows it.
    ///
    /// # Errors
    /// Without the right to make one, or `ip`; when all addresses are taken.
    pub fn create(announce: impl FnOnce(&str) -> Result<()>) -> Result<Self> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("watchkeeper-{}", &id[..12]);
        announce(&name)?;
        ip(&["netns", "add", &name])?;
        for number in 0..NETWORKS {
            let interface = format!("wk{number}");
            let arguments =
                ["link", "add", &interface, "type", "veth", "peer", "name", "eth0", "netns", &name];
            // Only one of several who try at once is told that it has made it.
            let made = Command::new("ip").args(arguments).output().context("ip")?;
            if made.status.success() {
                let (host, node) = (Ipv4Addr::new(10, 200, number, 1), Ipv4Addr::new(10, 200, number, 2));
                let network = Self { name, host, node, number };
                network.join(&interface)?;
                return Ok(network);
            }
            let message = String::from_utf8_lossy(&made.stderr);
            if !message.contains("File exists") {
                bail!("a pair of interfaces cannot be made: {}", message.trim());
            }
        }
        bail!("all {NETWORKS} networks are in use")
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

    fn join(&self, outside: &str) -> Result<()> {
        let name = self.name.as_str();
        let [host, node] = [self.host, self.node].map(|address| format!("{address}/24"));
        let (pods, services, via) = (self.pods(), self.services(), self.node.to_string());
        ip(&["addr", "add", &host, "dev", outside])?;
        ip(&["link", "set", outside, "up"])?;
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
