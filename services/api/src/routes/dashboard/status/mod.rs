//! Status pages: what the public sees, what the administrator edits, and the same as data.

pub(super) mod answers;
pub(super) mod api;
mod feeds;
pub(super) mod forms;
pub(super) mod incidents;
mod judge;
pub(super) mod public;
pub(super) mod view;
