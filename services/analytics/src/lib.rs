//! The questions one can ask of hits, and their answers. Questions are data;
//! every protocol's routes translate into them.

mod answer;
mod ask;
mod calendar;
mod condition;
mod derive;
mod dimension;
mod engine;
mod expression;
mod filter;
mod metric;
mod metrics;
mod newest;
#[cfg(test)]
mod oracle;
mod order;
mod page;
mod question;
mod row;
#[cfg(test)]
mod rows;
mod select;
mod summary;
mod text_test;
mod visits;
mod wildcards;

pub use answer::{Answer, Row, Table};
pub use ask::{Analytics, AnalyticsOptions, AskError, DEFAULT_CACHE_BYTES};
pub use condition::{Comparison, Condition, Field, Test};
pub use dimension::{Bucket, Dimension, UnknownDimension, Value};
pub use expression::{Expression, ExpressionError};
pub use filter::Filter;
pub use metric::{Metric, UnknownMetric};
pub use newest::{Sieve, newest};
pub use page::{Columns, Page, Reader, Rows};
pub use question::{Column, MAX_GROUPS, Order, Panel, Question, SESSION_IDLE};
pub use select::{Selection, select};
pub use summary::{Summary, summarize};
pub use visits::{Visit, VisitCount, Visits};
