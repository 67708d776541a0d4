//! Parts of a page that are replaced when they change.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;

/// An element of a page with an id, and the event that replaces it.
#[derive(Clone, Debug)]
pub(super) struct Fragment {
    /// The id of the element.
    pub(super) id: String,
    /// The element.
    pub(super) html: String,
    /// The server-sent event with the element.
    pub(super) event: Bytes,
    /// Differs if the element does.
    pub(super) hash: u64,
}

impl Fragment {
    pub(super) fn new(id: String, html: String) -> Self {
        let mut hasher = DefaultHasher::new();
        html.hash(&mut hasher);
        Self {
            id,
            event: event("fragment", &html),
            hash: hasher.finish(),
            html,
        }
    }
}

/// Encodes a server-sent event. Both line endings begin a new line of data.
pub(super) fn event(name: &str, data: &str) -> Bytes {
    let mut event = format!("event: {name}\n");
    event.reserve(data.len() + 16);
    for line in data.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_end_an_event() {
        let event = event("fragment", "<p>\n\r\r\n\nevent: other\rdata: x</p>\n");
        let expected = "event: fragment\ndata: <p>\ndata: event: other\ndata: data: x</p>\n\n";
        assert_eq!(event, expected.as_bytes());
    }
}
