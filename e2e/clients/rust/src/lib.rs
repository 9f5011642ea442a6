//! What every application here takes from its environment.

use std::env;

/// The settings of an application.
#[derive(Clone)]
pub struct Settings {
    /// The server that hits go to.
    pub server_url: String,
    /// The key that they go under.
    pub api_key: String,
    /// The port to listen on, on the loopback.
    pub port: u16,
    /// The privacy level that the client is told, 0 unless another is set.
    pub privacy_level: i32,
    /// The header by which the application knows its users, if it does.
    pub user_id_header: Option<String>,
}

impl Settings {
    /// Reads `WATCHKEEPER_URL`, `API_KEY` and `PORT`, and `PRIVACY_LEVEL` and `USER_ID_HEADER`, which may be
    /// missing.
    ///
    /// # Errors
    /// When one of the others is missing, or a number is none.
    pub fn from_env() -> std::io::Result<Self> {
        let port = variable("PORT")?.parse().map_err(std::io::Error::other)?;
        let privacy_level = match env::var("PRIVACY_LEVEL") {
            Ok(level) => level.parse().map_err(std::io::Error::other)?,
            Err(_) => 0,
        };
        Ok(Self {
            server_url: variable("WATCHKEEPER_URL")?,
            api_key: variable("API_KEY")?,
            port,
            privacy_level,
            user_id_header: env::var("USER_ID_HEADER").ok(),
        })
    }
}

fn variable(name: &str) -> std::io::Result<String> {
    env::var(name).map_err(|error| std::io::Error::other(format!("{name}: {error}")))
}
