//! Decoded columns of a batch, in chunks: the rows of one UTC day, by time.

use std::{hash::Hash, sync::Arc};

use rustc_hash::FxHashMap;
use watchkeeper_store::{ColumnValues, HitColumns, StoreError, Texts, day_of};

use super::{
    codes::{Codes, Integers},
    dictionary::Dictionary,
};

/// A column of hits that questions can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Column {
    Source,
    Method,
    Host,
    Path,
    Query,
    Route,
    Status,
    DurationUs,
    RequestBytes,
    ResponseBytes,
    HttpVersion,
    Ip,
    UserAgent,
    User,
    Referrer,
    Country,
    Framework,
    Visitor,
    Client,
    Os,
    Device,
    Bot,
    Home,
    Log,
}

impl Column {
    /// Its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::Query => "query",
            Self::Route => "route",
            Self::Status => "status",
            Self::DurationUs => "duration_us",
            Self::RequestBytes => "request_bytes",
            Self::ResponseBytes => "response_bytes",
            Self::HttpVersion => "http_version",
            Self::Ip => "ip",
            Self::UserAgent => "user_agent",
            Self::User => "user",
            Self::Referrer => "referrer",
            Self::Country => "country",
            Self::Framework => "framework",
            Self::Visitor => "visitor",
            Self::Client => "client",
            Self::Os => "os",
            Self::Device => "device",
            Self::Bot => "bot",
            Self::Home => "home",
            Self::Log => "log",
        }
    }

    /// The column whose dictionary it shares: a route falls back to the path, a consumer is a user
    /// or else an address.
    pub fn dictionary(self) -> Self {
        match self {
            Self::Route => Self::Path,
            Self::Ip => Self::User,
            other => other,
        }
    }

    /// Whether it is kept as integers; anything else but visitors is texts, a status its digits.
    pub fn is_integer(self) -> bool {
        matches!(self, Self::DurationUs | Self::RequestBytes | Self::ResponseBytes)
    }
}

/// Rows that a chunk has for each text at least where hits are counted ahead: the counts then take
/// half a byte a row at most.
const ROWS_A_TEXT: usize = 8;

/// How the rows of a batch make chunks.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The chunks, by day.
    pub chunks: Vec<Chunk>,
    /// The place in the file of each row, chunk after chunk; `None` where it is the same.
    order: Option<Vec<u32>>,
}

/// Rows of one UTC day, by time.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub day: i64,
    pub rows: usize,
    pub ts: Integers,
}

/// One column of one chunk.
#[derive(Debug)]
pub(crate) enum ColumnChunk {
    Texts(TextChunk),
    Integers(Integers),
    Visitors(VisitorChunk),
}

/// Texts of a chunk. Code 0 is unknown, here and there.
#[derive(Debug)]
pub(crate) struct TextChunk {
    /// Codes of the chunk.
    pub codes: Codes,
    /// Their codes in the dictionary.
    pub shared: Arc<[u32]>,
    /// Hits of each code of the chunk; nothing where texts are too many for that to be worth its room.
    pub hits: Vec<u32>,
}

/// Visitors of a chunk. Code 0 is unknown, any other one more than the place in `ids`.
#[derive(Debug)]
pub(crate) struct VisitorChunk {
    pub codes: Codes,
    /// Their ids.
    pub ids: Vec<i64>,
}

impl Layout {
    /// Reads the times of a batch.
    pub fn read(file: &HitColumns) -> Result<Self, StoreError> {
        let times: Vec<i64> = match file.read("ts")? {
            Some(ColumnValues::Integers(times)) => times.into_iter().map(Option::unwrap_or_default).collect(),
            _ if file.rows() == 0 => Vec::new(),
            _ => return Err(StoreError::Damaged("a batch of hits has no times".into())),
        };
        let order = if times.is_sorted() {
            None
        } else {
            let mut order: Vec<u32> = (0..u32::try_from(times.len()).unwrap_or(u32::MAX)).collect();
            order.sort_by_key(|row| times[*row as usize]);
            Some(order)
        };
        let times: Vec<i64> = match &order {
            None => times,
            Some(order) => order.iter().map(|row| times[*row as usize]).collect(),
        };
        let chunks = times
            .chunk_by(|one, next| day_of(*one) == day_of(*next))
            .map(|times| Chunk {
                day: times.first().map_or(0, |ts| day_of(*ts)),
                rows: times.len(),
                ts: Integers::pack(times.iter().copied().map(Some)),
            })
            .collect();
        Ok(Self { chunks, order })
    }

    pub fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.ts.bytes() + size_of::<Chunk>()).sum();
        chunks + self.order.as_ref().map_or(0, |order| 4 * order.len())
    }

    /// Values in the file's order, by chunk.
    fn split<T: Copy>(&self, values: &[T]) -> Vec<Vec<T>> {
        let mut first = 0;
        self.chunks
            .iter()
            .map(|chunk| {
                let rows = first..first + chunk.rows;
                first = rows.end;
                match &self.order {
                    None => values[rows].to_vec(),
                    Some(order) => order[rows].iter().map(|row| values[*row as usize]).collect(),
                }
            })
            .collect()
    }

    /// Reads a column, chunk by chunk; `dictionary` numbers its texts.
    pub fn column(
        &self,
        file: &HitColumns,
        column: Column,
        dictionary: &Dictionary,
    ) -> Result<Vec<ColumnChunk>, StoreError> {
        let values = file.read(column.name())?;
        let rows: usize = self.chunks.iter().map(|chunk| chunk.rows).sum();
        let wrong = || StoreError::Damaged(format!("column {} has another type", column.name()));
        if column.is_integer() || column == Column::Visitor {
            let values = match values {
                None => vec![None; rows],
                Some(ColumnValues::Integers(values)) if values.len() == rows => values,
                Some(_) => return Err(wrong()),
            };
            let chunks = self.split(&values).into_iter();
            return Ok(if column.is_integer() {
                chunks.map(|values| ColumnChunk::Integers(Integers::pack(values.iter().copied()))).collect()
            } else {
                chunks.map(|values| ColumnChunk::Visitors(VisitorChunk::new(&values))).collect()
            });
        }
        let (codes, texts) = match values {
            None => (vec![0; rows], Texts::default()),
            Some(ColumnValues::Texts { codes, values }) => (codes, values),
            Some(ColumnValues::Integers(values)) => numbered(values),
            Some(ColumnValues::Flags(values)) => numbered(values),
        };
        if codes.len() != rows {
            return Err(wrong());
        }
        let shared: Arc<[u32]> = [0].into_iter().chain(dictionary.encode(&texts)).collect();
        if self.chunks.len() == 1 && self.order.is_none() {
            return Ok(vec![ColumnChunk::Texts(TextChunk::new(codes, shared))]);
        }
        let text = |codes| ColumnChunk::Texts(TextChunk::new(codes, Arc::clone(&shared)));
        Ok(self.split(&codes).into_iter().map(text).collect())
    }
}

/// Statuses and flags as texts with codes.
fn numbered<T: Hash + Eq + Copy + ToString>(values: Vec<Option<T>>) -> (Vec<u32>, Texts) {
    let mut places: FxHashMap<T, u32> = FxHashMap::default();
    let mut texts = Texts::default();
    let mut last: Option<(T, u32)> = None;
    let codes = values
        .into_iter()
        .map(|value| {
            let Some(value) = value else { return 0 };
            if let Some((before, code)) = last
                && before == value
            {
                return code;
            }
            let code = *places.entry(value).or_insert_with(|| {
                texts.push(&value.to_string());
                u32::try_from(texts.len()).unwrap_or(u32::MAX)
            });
            last = Some((value, code));
            code
        })
        .collect();
    (codes, texts)
}

impl TextChunk {
    fn new(codes: Vec<u32>, shared: Arc<[u32]>) -> Self {
        let mut hits = Vec::new();
        if shared.len() <= codes.len() / ROWS_A_TEXT {
            hits.resize(shared.len(), 0);
            codes.iter().for_each(|code| hits[*code as usize] += 1);
        }
        Self { codes: Codes::pack(codes), shared, hits }
    }
}

impl VisitorChunk {
    fn new(values: &[Option<i64>]) -> Self {
        let (mut ids, mut places) = (Vec::new(), FxHashMap::default());
        let mut code = |id: i64| {
            *places.entry(id).or_insert_with(|| {
                ids.push(id);
                u32::try_from(ids.len()).unwrap_or(u32::MAX)
            })
        };
        let codes = Codes::pack(values.iter().map(|value| value.map_or(0, &mut code)).collect());
        ids.shrink_to_fit();
        Self { codes, ids }
    }
}

impl ColumnChunk {
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Texts(texts) => texts.codes.bytes() + 4 * (texts.shared.len() + texts.hits.len()),
                Self::Integers(integers) => integers.bytes(),
                Self::Visitors(visitors) => visitors.codes.bytes() + 8 * visitors.ids.len(),
            }
    }

    /// Texts of its own dictionary, an upper bound of the dictionary's that it needs.
    pub fn texts(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.shared.len() - 1,
            _ => 0,
        }
    }
}
