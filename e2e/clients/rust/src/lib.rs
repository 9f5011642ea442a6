//! What every application here takes from its environment.

use std::env;

/// The settings of an application.
pub struct Settings {
    /// The server that hits go to.
    pub server_url: String,
    /// The key that they go under.
    pub api_key: String,
    /// The port to listen on, on the loopback.
    pub port: u16,
}

impl Settings {
    /// Reads `WATCHKEEPER_URL`, `API_KEY` and `PORT`.
    ///
    /// # Errors
    /// When one is missing, or the port is none.
    pub fn from_env() -> std::io::Result<Self> {
        let port = variable("PORT")?.parse().map_err(std::io::Error::other)?;
        Ok(Self { server_url: variable("WATCHKEEPER_URL")?, api_key: variable("API_KEY")?, port })
    }
}

fn variable(name: &str) -> std::io::Result<String> {
    env::var(name).map_err(|error| std::io::Error::other(format!("{name}: {error}")))
}
