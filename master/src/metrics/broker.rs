//! What comes of the messages of an AMQP broker.

use ::metrics::{counter, gauge};

use super::names;

/// Kinds of queues that an AMQP broker may have for the master.
const KINDS: [&str; 2] = ["operations", "files"];

/// Shows each series from the start.
pub(super) fn begin() {
    for kind in KINDS {
        for outcome in ["done", "refused", "dead", "retried"] {
            counter!(names::BROKER_MESSAGES, "kind" => kind, "outcome" => outcome).absolute(0);
        }
        gauge!(names::BROKER_IN_FLIGHT, "kind" => kind).set(0);
        gauge!(names::BROKER_CONNECTED, "kind" => kind).set(0);
        counter!(names::BROKER_RECONNECTS, "kind" => kind).absolute(0);
    }
}

/// A message of the broker was acknowledged.
#[cfg(feature = "broker")]
pub(crate) fn broker_message(kind: &'static str, outcome: &'static str) {
    counter!(names::BROKER_MESSAGES, "kind" => kind, "outcome" => outcome).increment(1);
}

/// So many messages of the broker more (or fewer) are in work.
#[cfg(feature = "broker")]
pub(crate) fn broker_in_flight(kind: &'static str, delta: i32) {
    gauge!(names::BROKER_IN_FLIGHT, "kind" => kind).increment(delta);
}

/// A queue of the broker more (or fewer) is being consumed.
#[cfg(feature = "broker")]
pub(crate) fn broker_connected(kind: &'static str, delta: i32) {
    gauge!(names::BROKER_CONNECTED, "kind" => kind).increment(delta);
}

/// A queue of the broker is not consumed, and another attempt follows.
#[cfg(feature = "broker")]
pub(crate) fn broker_reconnect(kind: &'static str) {
    counter!(names::BROKER_RECONNECTS, "kind" => kind).increment(1);
}
