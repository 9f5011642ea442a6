//! What several end-to-end tests share. The processes that they run are the business of
//! `watchkeeper-testkit`.

pub mod clients;
pub mod load;
pub mod promtool;
pub mod stores;
pub mod upstream;
