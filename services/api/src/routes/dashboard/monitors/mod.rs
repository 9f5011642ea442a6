//! Pages of what is watched: `/monitors` and one page for each endpoint, and its badges.

pub(super) mod badges;
pub(super) mod bars;
pub(super) mod board;
pub(super) mod detail;
pub(super) mod history;
pub(super) mod list;
pub(super) mod spans;
