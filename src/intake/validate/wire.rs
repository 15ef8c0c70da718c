//! The request as JSON has it. The names of the fields are the contract's, and a field that is not here is refused.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::{
    AttachmentReference, Channel, Content, NotificationRequest, Priority, Routing, TimeOfDay, Timestamp,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireRequest<'a> {
    #[serde(default)]
    pub(super) user_id: Option<Box<str>>,
    #[serde(default)]
    pub(super) to: Option<Object<WireTo>>,
    #[serde(default)]
    pub(super) template: Option<Box<str>>,
    #[serde(default)]
    pub(super) content: Option<Object<WireContent>>,
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) category: Option<Box<str>>,
    #[serde(default)]
    pub(super) locale: Option<Box<str>>,
    #[serde(default)]
    pub(super) priority: Option<Named<Priority>>,
    #[serde(default)]
    pub(super) channels: Option<Vec<Named<Channel>>>,
    #[serde(default)]
    pub(super) routing: Option<Named<Routing>>,
    #[serde(default)]
    pub(super) delay_seconds: Option<u64>,
    #[serde(default)]
    pub(super) deliver_at: Option<Named<Timestamp>>,
    #[serde(default)]
    pub(super) local_time: Option<Named<TimeOfDay>>,
    #[serde(default)]
    pub(super) expires_at: Option<Named<Timestamp>>,
    #[serde(default)]
    pub(super) dedup_key: Option<Box<str>>,
    #[serde(default)]
    pub(super) dedup_window_seconds: Option<u64>,
    #[serde(default)]
    pub(super) aggregate: Option<Object<WireAggregate>>,
    #[serde(default)]
    pub(super) attachments: Option<Vec<Object<WireAttachment>>>,
    #[serde(default)]
    pub(super) collapse_key: Option<Box<str>>,
    #[serde(borrow, default)]
    pub(super) metadata: Option<&'a RawValue>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireAggregate {
    pub(super) key: Box<str>,
    #[serde(default)]
    pub(super) actor: Option<Box<str>>,
    #[serde(default)]
    pub(super) window_seconds: Option<u64>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireTo {
    #[serde(default)]
    pub(super) email: Option<Box<str>>,
    #[serde(default)]
    pub(super) phone: Option<Box<str>>,
    #[serde(default)]
    pub(super) push_token: Option<Box<str>>,
    #[serde(default)]
    pub(super) url: Option<Box<str>>,
    #[serde(default)]
    pub(super) chat: Option<Box<str>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireAttachment {
    pub(super) url: Box<str>,
    pub(super) name: Box<str>,
    #[serde(default)]
    pub(super) media_type: Option<Box<str>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireContent {
    pub(super) title: Box<str>,
    pub(super) body: Box<str>,
    #[serde(default)]
    pub(super) html: Option<Box<str>>,
    #[serde(default)]
    pub(super) sms: Option<Box<str>>,
}

impl WireAttachment {
    fn of(reference: AttachmentReference) -> Object<Self> {
        Object(Self { url: reference.url, name: reference.name, media_type: reference.media_type })
    }
}

impl<'a> WireRequest<'a> {
    /// A request that was not written as JSON, to be checked as if it were. Its lane is its topic's to say.
    pub(super) fn of(request: &'a NotificationRequest) -> Result<Self, serde_json::Error> {
        let (template, content) = match request.content.clone() {
            Content::Template { code } => (Some(code), None),
            Content::Inline { title, body, html, sms } => (None, Some(Object(WireContent { title, body, html, sms }))),
        };
        let to = request.to.clone();
        Ok(Self {
            user_id: request.user_id.clone(),
            to: Some(Object(WireTo {
                email: to.email,
                phone: to.phone,
                push_token: to.push_token,
                url: to.url,
                chat: to.chat,
            })),
            template,
            content,
            data: Some(serde_json::from_str(&request.data)?),
            category: request.category.clone(),
            locale: request.locale.clone(),
            channels: Some(request.channels.iter().copied().map(Named).collect()),
            routing: Some(Named(request.routing)),
            deliver_at: request.deliver_at.map(Named),
            local_time: request.local_time.map(Named),
            expires_at: request.expires_at.map(Named),
            dedup_key: request.dedup_key.clone(),
            dedup_window_seconds: request.dedup_window_seconds.map(u64::from),
            aggregate: request.aggregate.as_ref().map(|aggregate| {
                Object(WireAggregate {
                    key: aggregate.key.clone(),
                    actor: aggregate.actor.clone(),
                    window_seconds: aggregate.window_seconds.map(u64::from),
                })
            }),
            attachments: Some(request.attachments.iter().cloned().map(WireAttachment::of).collect()),
            collapse_key: request.collapse_key.clone(),
            metadata: Some(serde_json::from_str(&request.metadata)?),
            ..Self::default()
        })
    }

    /// Every field that is missing here, from `defaults`.
    pub(super) fn or(self, defaults: &WireRequest<'a>) -> WireRequest<'a> {
        let says_what = self.template.is_some() || self.content.is_some();
        let says_when = self.delay_seconds.is_some() || self.deliver_at.is_some() || self.local_time.is_some();
        WireRequest {
            template: if says_what { self.template } else { defaults.template.clone() },
            content: if says_what { self.content } else { defaults.content.clone() },
            delay_seconds: if says_when { self.delay_seconds } else { defaults.delay_seconds },
            deliver_at: if says_when { self.deliver_at } else { defaults.deliver_at },
            user_id: self.user_id.or_else(|| defaults.user_id.clone()),
            to: self.to.or_else(|| defaults.to.clone()),
            data: self.data.or(defaults.data),
            category: self.category.or_else(|| defaults.category.clone()),
            locale: self.locale.or_else(|| defaults.locale.clone()),
            priority: self.priority.or(defaults.priority),
            channels: self.channels.or_else(|| defaults.channels.clone()),
            routing: self.routing.or(defaults.routing),
            local_time: if says_when { self.local_time } else { defaults.local_time },
            expires_at: self.expires_at.or(defaults.expires_at),
            dedup_key: self.dedup_key.or_else(|| defaults.dedup_key.clone()),
            dedup_window_seconds: self.dedup_window_seconds.or(defaults.dedup_window_seconds),
            aggregate: self.aggregate.or_else(|| defaults.aggregate.clone()),
            attachments: self.attachments.or_else(|| defaults.attachments.clone()),
            collapse_key: self.collapse_key.or_else(|| defaults.collapse_key.clone()),
            metadata: self.metadata.or(defaults.metadata),
        }
    }
}

/// A struct that JSON must write as an object: serde's own reading takes a list of the values as well.
#[derive(Debug, Clone, Default)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// A value that JSON writes as a text with a meaning, read without keeping the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<T>(pub(super) T);

/// What can be read from such a text.
pub(super) trait FromName: Sized {
    fn from_name(text: &str) -> Option<Self>;
}

impl FromName for Priority {
    fn from_name(text: &str) -> Option<Self> {
        Priority::parse(text)
    }
}

impl FromName for Channel {
    fn from_name(text: &str) -> Option<Self> {
        Channel::parse(text)
    }
}

impl FromName for Routing {
    fn from_name(text: &str) -> Option<Self> {
        [Routing::All, Routing::Fallback].into_iter().find(|routing| routing.name() == text)
    }
}

impl FromName for TimeOfDay {
    fn from_name(text: &str) -> Option<Self> {
        TimeOfDay::parse(text)
    }
}

impl FromName for Timestamp {
    fn from_name(text: &str) -> Option<Self> {
        Timestamp::parse(text)
    }
}

impl<'de, T: FromName> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names<T>(PhantomData<T>);

        impl<T: FromName> Visitor<'_> for Names<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Named<T>, E> {
                // What exactly is wrong is said by the slower reading that follows.
                T::from_name(text).map(Named).ok_or_else(|| E::custom("not one of the known words"))
            }
        }

        deserializer.deserialize_str(Names(PhantomData))
    }
}
