//! Partials that the master has not acknowledged yet. They outlive a session: a slave that
//! reconnects hands them in again, and the master's message ids make that harmless.

use std::collections::VecDeque;

use tally_common::id::MessageId;

use crate::worker::Partial;

/// Partials on their way to the master.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Partial>,
    sending: Vec<Partial>,
}

impl Outbox {
    /// Takes a new partial in.
    pub(crate) fn push(&mut self, partial: Partial) {
        self.waiting.push_back(partial);
    }

    /// The next partial to send, if any waits. It is remembered until [`Outbox::acknowledge`] or
    /// [`Outbox::put_back`].
    pub(crate) fn send_next(&mut self) -> Option<Partial> {
        let partial = self.waiting.pop_front()?;
        self.sending.push(partial.clone());
        Some(partial)
    }

    /// The master has given its verdict: the partial may be forgotten.
    pub(crate) fn acknowledge(&mut self, id: MessageId) {
        self.sending.retain(|partial| partial.message_id != id);
    }

    /// The partial did not get through: it will be sent again.
    pub(crate) fn put_back(&mut self, id: MessageId) {
        if let Some(i) = self.sending.iter().position(|partial| partial.message_id == id) {
            self.waiting.push_front(self.sending.swap_remove(i));
        }
    }

    /// The session is over: all that was on its way will be sent again.
    pub(crate) fn put_all_back(&mut self) {
        self.waiting.extend(self.sending.drain(..));
    }

    /// Partials held.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.sending.len()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn partial(n: u128) -> Partial {
        Partial {
            message_id: MessageId::from_uuid(Uuid::from_u128(n)),
            attempt: 1,
            totals: Default::default(),
            groups: 0,
            crc32c: 0,
            frames: Vec::new(),
            span: tracing::Span::none(),
        }
    }

    #[test]
    fn a_partial_is_forgotten_only_when_acknowledged() {
        let mut outbox = Outbox::default();
        outbox.push(partial(1));
        outbox.push(partial(2));
        let first = outbox.send_next().unwrap();
        let second = outbox.send_next().unwrap();
        assert!(outbox.send_next().is_none());
        outbox.put_back(first.message_id);
        assert_eq!(outbox.send_next().unwrap().message_id, first.message_id);
        outbox.acknowledge(second.message_id);
        outbox.put_all_back();
        assert_eq!(outbox.len(), 1);
        assert_eq!(outbox.send_next().unwrap().message_id, first.message_id);
    }
}
