/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, refuses, or answers with an error.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The database has not answered yet.
    #[error("the database has not answered within {0:?}")]
    TooSlow(std::time::Duration),
    /// A migration failed.
    #[error("migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database was migrated by a newer release.
    #[error(
        "the database has schema version {found}, this release knows only up to {known}; \
         run the newer release again, or restore a backup from before its upgrade"
    )]
    NewerSchema {
        /// Version found in the database.
        found: i64,
        /// Newest version known to this binary.
        known: i64,
    },
    /// The URL names neither SQLite nor Postgres, or cannot be understood.
    #[error("database URL: {0}")]
    Url(String),
    /// Stored hits cannot be decoded.
    #[error("stored hits are damaged: {0}")]
    Damaged(String),
    /// The queue of unwritten hits is full.
    #[error("too many hits wait to be written")]
    Overloaded,
    /// A group of hits could not be written, for the reason given.
    #[error("{0}")]
    Unwritten(String),
    /// The database is away, and the spool has no room for what should wait for it.
    #[error("the database is away and the spool is full")]
    SpoolFull,
    /// The idempotency key was used for another payload before.
    #[error("the idempotency key stands for another payload")]
    KeyReused,
    /// The term under which results are given has ended: another replica has taken over.
    #[error("the term has ended")]
    Fenced,
    /// Somebody else changed the same at the same time, several times over.
    #[error("others keep changing the same endpoints")]
    Raced,
    /// What is known of a project's addresses takes more memory than one question may have.
    #[error(
        "too much is known of this project's addresses to ask by it; leave out their host names, cities, \
         regions and classes, or set a shorter retention, with which addresses go that were not seen since"
    )]
    TooManyAddresses,
    /// The project was deleted meanwhile.
    #[error("no such project")]
    NoProject,
    /// The key belongs to another project.
    #[error("another project has this key")]
    KeyTaken,
    /// Another share or status page has this slug.
    #[error("another has this name")]
    SlugTaken,
    /// Another status page answers at this host.
    #[error("another status page has this host")]
    HostTaken,
    /// A file of the embedded store cannot be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Whether what was given, or the rows that it touches, are at fault, so that
    /// giving it again changes nothing: a value that the database does not take
    /// (SQLSTATE 22), a constraint (23), damage.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Database(sqlx::Error::Database(error)) => {
                let constraint = !matches!(error.kind(), sqlx::error::ErrorKind::Other);
                let value = error.code().is_some_and(|code| code.len() == 5 && code.starts_with("22"));
                constraint || value
            }
            _ => false,
        }
    }

    /// Whether the database refused a text for the character U+0000, which Postgres cannot keep.
    #[must_use]
    pub fn is_of_text(&self) -> bool {
        const INVALID_BYTES: &str = "22021";
        match self {
            Self::Database(error) => {
                error.as_database_error().and_then(|it| it.code()).is_some_and(|code| code == INVALID_BYTES)
            }
            _ => false,
        }
    }
}

impl From<parquet::errors::ParquetError> for StoreError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<arrow_schema::ArrowError> for StoreError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}
