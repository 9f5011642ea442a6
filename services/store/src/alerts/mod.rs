//! Who is told of what: the outbox of notices.
//!
//! A transition puts its notices into `notices` in the transaction that stores
//! it, so there is one notice for each transition and channel, whatever dies.
//! What must not go out yet (an endpoint that flaps or whose parent is down, a
//! cooldown, quiet hours, an escalation, a reminder) waits there with a *hold*
//! and goes out when that ends, unless another transition drops it before.
//! What each channel was told last stands in `alerts`.

mod channel;
mod claim;
mod enqueue;
mod notice;
mod parents;
mod plan;
mod read;

pub use channel::Channel;
pub use claim::{Claim, Verdict};
pub(crate) use enqueue::close;
pub use enqueue::{enqueue, shown_target};
pub use notice::{Details, Hold, Kind, Notice, NoticeState};
pub use read::{NoticeFilter, Queue};

#[cfg(test)]
mod tests;
