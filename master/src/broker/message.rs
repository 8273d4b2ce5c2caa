//! A message as it was delivered, and what its properties say. Does no IO.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// The header that names the table of a message.
pub(super) const TABLE: &str = "table";

/// The header with parameters of a file, as the query of `POST /api/v1/jobs` has them.
pub(super) const PARAMETERS: &str = "parameters";

/// Why a message failed.
pub(super) const REASON: &str = "x-tally-reason";

/// Where it came from.
pub(super) const QUEUE: &str = "x-tally-queue";

/// How often it was tried.
pub(super) const ATTEMPTS: &str = "x-tally-attempts";

/// Who sent it: the property may only be set by the user that it names.
const USER: &str = "x-tally-user-id";

/// Headers by which a message is sent to other queues as well. Who sends it on must not.
const COPIES: [&str; 2] = ["CC", "BCC"];

/// Longest reason that a header has, in bytes: a frame must hold all headers.
const MAX_REASON: usize = 1000;

/// A delivery that is not acknowledged yet.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) tag: u64,
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
}

impl From<Delivery> for Message {
    fn from(delivery: Delivery) -> Self {
        let Delivery { delivery_tag, data, properties, .. } = delivery;
        Self { tag: delivery_tag, body: data, properties }
    }
}

impl Message {
    /// A header that is a text.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        match self.properties.headers().as_ref()?.inner().get(name)? {
            AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
            _ => None,
        }
    }

    /// Attempts before this one, by whoever sent it on to be tried again.
    pub(super) fn attempts(&self) -> u32 {
        let headers = self.properties.headers().as_ref();
        match headers.and_then(|headers| headers.inner().get(ATTEMPTS)) {
            Some(AMQPValue::LongUInt(n)) => *n,
            Some(AMQPValue::LongInt(n)) => u32::try_from(*n).unwrap_or(0),
            Some(AMQPValue::LongLongInt(n)) => u32::try_from(*n).unwrap_or(0),
            _ => 0,
        }
    }

    /// The id that its sender gave it.
    pub(super) fn message_id(&self) -> Option<&str> {
        self.properties.message_id().as_ref().map(ShortString::as_str).filter(|id| !id.is_empty())
    }

    /// Who waits for an answer, and by what it is known there.
    pub(super) fn reply_to(&self) -> Option<(ShortString, Option<ShortString>)> {
        let to = self.properties.reply_to().clone().filter(|to| !to.as_str().is_empty())?;
        let id = self.properties.correlation_id().clone();
        Some((to, id.or_else(|| self.properties.message_id().clone())))
    }

    /// The properties under which it is sent on after so many attempts, persistent, and with no time
    /// of its own: what has failed must not vanish.
    pub(super) fn properties_on(
        &self,
        queue: &str,
        attempts: u32,
        reason: &str,
    ) -> BasicProperties {
        let given = &self.properties;
        let mut headers = FieldTable::default();
        for (name, value) in given.headers().iter().flat_map(FieldTable::inner) {
            if !COPIES.contains(&name.as_str()) {
                headers.insert(name.clone(), value.clone());
            }
        }
        let text = |text: &str| AMQPValue::LongString(text.as_bytes().into());
        headers.insert(REASON.into(), text(shortened(reason)));
        headers.insert(QUEUE.into(), text(queue));
        headers.insert(
            ATTEMPTS.into(),
            AMQPValue::LongInt(i32::try_from(attempts).unwrap_or(i32::MAX)),
        );
        if let Some(user) = given.user_id() {
            headers.insert(USER.into(), text(user.as_str()));
        }
        let mut on = BasicProperties::default().with_headers(headers).with_delivery_mode(2);
        on = some(on, given.content_type(), BasicProperties::with_content_type);
        on = some(on, given.content_encoding(), BasicProperties::with_content_encoding);
        on = some(on, given.correlation_id(), BasicProperties::with_correlation_id);
        on = some(on, given.reply_to(), BasicProperties::with_reply_to);
        on = some(on, given.message_id(), BasicProperties::with_message_id);
        on = some(on, given.kind(), BasicProperties::with_type);
        on = some(on, given.app_id(), BasicProperties::with_app_id);
        on = some(on, given.priority(), BasicProperties::with_priority);
        some(on, given.timestamp(), BasicProperties::with_timestamp)
    }
}

fn some<T: Clone>(
    properties: BasicProperties,
    value: &Option<T>,
    with: impl FnOnce(BasicProperties, T) -> BasicProperties,
) -> BasicProperties {
    match value {
        Some(value) => with(properties, value.clone()),
        None => properties,
    }
}

fn shortened(text: &str) -> &str {
    let end = (0..=MAX_REASON.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(properties: BasicProperties) -> Message {
        Message { tag: 1, body: b"{}".to_vec(), properties }
    }

    #[test]
    fn what_is_sent_on_keeps_its_properties_and_says_why() {
        let mut headers = FieldTable::default();
        headers.insert("table".into(), AMQPValue::LongString("orders".into()));
        headers.insert("CC".into(), AMQPValue::LongString("others".into()));
        let properties = BasicProperties::default()
            .with_headers(headers)
            .with_message_id("m-1".into())
            .with_correlation_id("c-1".into())
            .with_reply_to("answers".into())
            .with_expiration("1000".into())
            .with_user_id("shop".into());
        let first = message(properties);
        assert_eq!((first.attempts(), first.header(TABLE).as_deref()), (0, Some("orders")));
        let on = message(first.properties_on("q", 3, &"é".repeat(600)));
        assert_eq!((on.attempts(), on.message_id()), (3, Some("m-1")));
        assert_eq!(on.header(QUEUE).as_deref(), Some("q"));
        assert_eq!(on.header(REASON).unwrap().len(), MAX_REASON);
        assert_eq!(on.header(TABLE).as_deref(), Some("orders"));
        assert_eq!(on.header(USER).as_deref(), Some("shop"));
        assert_eq!(on.header("CC"), None, "it would go to others again");
        assert_eq!(on.reply_to(), Some(("answers".into(), Some("c-1".into()))));
        assert_eq!((on.properties.expiration(), on.properties.user_id()), (&None, &None));
        assert_eq!(on.properties.delivery_mode(), &Some(2));
    }

    #[test]
    fn what_strangers_put_into_headers_harms_nobody() {
        let mut headers = FieldTable::default();
        headers.insert(ATTEMPTS.into(), AMQPValue::LongLongInt(-5));
        headers.insert(TABLE.into(), AMQPValue::LongString(vec![0xff, 0xfe].into()));
        let message = message(BasicProperties::default().with_headers(headers));
        assert_eq!((message.attempts(), message.header(TABLE)), (0, None));
        assert_eq!(message.reply_to(), None);
    }
}
