//! Deserializes untrusted JSON in bounded memory.
//!
//! A review of 3 MiB can hold a million lists, or one string of 3 MiB. So strings and lists have a maximum size, unused
//! fields are skipped without being stored, and errors do not quote the input. Null counts as absent.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess,
    Unexpected, Visitor,
};

/// The maximum length of a string. The longest valid one is a path.
pub(crate) const MAX_TEXT_BYTES: usize = 1024;

/// The maximum number of stored items of a list or a map.
pub(crate) const MAX_ITEMS: usize = 256;

/// An item of a [`list`].
pub(crate) trait Item: Default {
    /// Returns whether the item is stored.
    fn is_needed(&self) -> bool {
        true
    }
}

/// Parses a whole document, which must be an object.
pub(crate) fn parse<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let object = optional_object(&mut deserializer)?
        .ok_or_else(|| serde_json::Error::invalid_type(Unexpected::Unit, &"an object"))?;
    deserializer.end()?;
    Ok(object)
}

/// Reads an object.
pub(crate) fn optional_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Object(PhantomData).deserialize(deserializer)
}

/// Reads a list of objects, without those that are not needed.
pub(crate) fn list<'de, T: Deserialize<'de> + Item, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    optional_list(deserializer).map(Option::unwrap_or_default)
}

/// Like [`list`].
pub(crate) fn optional_list<'de, T: Deserialize<'de> + Item, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    deserializer.deserialize_any(List(PhantomData))
}

/// Reads the entries of a map of strings whose keys are needed.
pub(crate) fn text_map<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_needed: fn(&str) -> bool,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    deserializer.deserialize_any(TextMap(is_needed))
}

/// Reads a string.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    optional_text(deserializer).map(Option::unwrap_or_default)
}

/// Like [`text`].
pub(crate) fn optional_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    deserializer.deserialize_any(Text)
}

/// Reads the text of a string or an integer. A value that is of another type or too long counts as an empty text.
pub(crate) fn lenient_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    deserializer.deserialize_any(LenientText)
}

/// Reads a boolean.
pub(crate) fn boolean<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<bool>, D::Error> {
    match deserializer.deserialize_any(Scalar)? {
        Value::Null => Ok(None),
        Value::Boolean(value) => Ok(Some(value)),
        Value::Integer(value) => Err(Error::invalid_type(Unexpected::Signed(value), &"a boolean")),
    }
}

/// Reads an integer.
pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    match deserializer.deserialize_any(Scalar)? {
        Value::Null => Ok(None),
        Value::Integer(value) => Ok(Some(value)),
        Value::Boolean(value) => Err(Error::invalid_type(Unexpected::Bool(value), &"an integer")),
    }
}

/// The presence of a field whose content is not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Present;

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// Serde's own error would quote the string.
fn unexpected_string<E: Error>(expected: &dyn serde::de::Expected) -> E {
    E::invalid_type(Unexpected::Other("string"), expected)
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Object<T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Option<T>, E> {
        Err(unexpected_string(&self))
    }
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Item> Visitor<'de> for List<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Vec<T>>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<Vec<T>>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Object(PhantomData))? {
            let item: T = item.unwrap_or_default();
            if !item.is_needed() {
                continue;
            }
            if items.len() == MAX_ITEMS {
                return Err(too_many_items());
            }
            items.push(item);
        }
        Ok(Some(items))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Option<Vec<T>>, E> {
        Err(unexpected_string(&self))
    }
}

fn too_many_items<E: Error>() -> E {
    E::custom(format_args!("more than {MAX_ITEMS} items"))
}

struct TextMap(fn(&str) -> bool);

impl<'de> Visitor<'de> for TextMap {
    type Value = Option<BTreeMap<String, String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key_seed(NeededKey(self.0))? {
            let Some(key) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value_seed(Text)?.unwrap_or_default();
            entries.insert(key, value.into_owned());
            if entries.len() > MAX_ITEMS {
                return Err(too_many_items());
            }
        }
        Ok(Some(entries))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(unexpected_string(&self))
    }
}

/// A key of a map, if it is needed.
struct NeededKey(fn(&str) -> bool);

impl<'de> DeserializeSeed<'de> for NeededKey {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NeededKey {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        if !(self.0)(key) {
            return Ok(None);
        }
        check_length(key).map(|()| Some(key.to_owned()))
    }
}

struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        check_length(text).map(|()| Some(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        check_length(text).map(|()| Some(Cow::Owned(text.to_owned())))
    }
}

struct LenientText;

impl LenientText {
    const OTHER: Option<Cow<'static, str>> = Some(Cow::Borrowed(""));
}

impl<'de> Visitor<'de> for LenientText {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Self::OTHER)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(value.to_string())))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Self::OTHER)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        let short = (text.len() <= MAX_TEXT_BYTES).then_some(Cow::Borrowed(text));
        Ok(short.or(Self::OTHER))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let short = (text.len() <= MAX_TEXT_BYTES).then(|| Cow::Owned(text.to_owned()));
        Ok(short.or(Self::OTHER))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::OTHER)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::OTHER)
    }
}

fn check_length<E: Error>(text: &str) -> Result<(), E> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(E::custom(format_args!(
            "a string is longer than {MAX_TEXT_BYTES} bytes"
        )));
    }
    Ok(())
}

enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
}

struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a boolean or an integer")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        let signed = i64::try_from(value);
        signed
            .map(Value::Integer)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Value, E> {
        Err(unexpected_string(&self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Pod;

    fn error(json: &str) -> String {
        Pod::parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn errors_do_not_quote_the_input() {
        let long = "x".repeat(100_000);
        for json in [
            format!("\"{long}\""),
            format!("{{\"kind\":\"{long}\"}}"),
            format!("{{\"spec\":\"{long}\"}}"),
            format!("{{\"spec\":{{\"containers\":\"{long}\"}}}}"),
            format!("{{\"spec\":{{\"containers\":[\"{long}\"]}}}}"),
            format!("{{\"spec\":{{\"hostNetwork\":\"{long}\"}}}}"),
            format!("{{\"spec\":{{\"terminationGracePeriodSeconds\":\"{long}\"}}}}"),
            format!("{{\"metadata\":{{\"labels\":\"{long}\"}}}}"),
            format!("{{\"metadata\":{{\"annotations\":{{\"pushscale.dev/image\":\"{long}\"}}}}}}"),
            format!("{{\"metadata\":{{\"annotations\":{{\"pushscale.dev/{long}\":\"\"}}}}}}"),
        ] {
            let error = error(&json);
            assert!(error.len() < 200, "{error}");
        }
    }

    #[test]
    fn lists_have_a_maximum_size() {
        let containers = |count| {
            let items = vec!["{}"; count].join(",");
            format!("{{\"spec\":{{\"containers\":[{items}]}}}}")
        };
        assert!(Pod::parse(containers(MAX_ITEMS).as_bytes()).is_ok());
        assert!(error(&containers(MAX_ITEMS + 1)).starts_with("more than 256 items"));
    }

    #[test]
    fn unneeded_fields_and_items_are_not_stored() {
        let json = r#"{"kind":"Pod","status":[1,{"a":[]}],"metadata":{"annotations":{"a":1,"pushscale.dev/image":"i"}},
            "spec":{"containers":[{"ports":[{"containerPort":80},{"containerPort":8492}]}],"volumes":[{"name":"v"}]}}"#;
        let pod = Pod::parse(json.as_bytes()).unwrap();
        let annotations = pod.metadata.unwrap().annotations.unwrap();
        assert_eq!(
            annotations.into_keys().collect::<Vec<_>>(),
            ["pushscale.dev/image"]
        );
        let spec = pod.spec.unwrap();
        assert_eq!(spec.containers[0].ports.len(), 1);
        assert!(spec.volumes.unwrap().is_empty());
    }

    #[test]
    fn a_hook_with_unexpected_values_is_read() {
        let long = format!("\"{}\"", "x".repeat(MAX_TEXT_BYTES + 1));
        for (port, expected) in [
            ("8492", Some("8492")),
            ("\"http\"", Some("http")),
            ("null", None),
            ("-1", Some("-1")),
            ("1.5", Some("")),
            ("true", Some("")),
            ("[1, [2]]", Some("")),
            ("{\"a\": {}}", Some("")),
            (long.as_str(), Some("")),
        ] {
            let hook = format!("{{\"preStop\":{{\"httpGet\":{{\"port\":{port}}}}}}}");
            let json = format!("{{\"spec\":{{\"containers\":[{{\"lifecycle\":{hook}}}]}}}}");
            let pod = Pod::parse(json.as_bytes()).unwrap();
            let lifecycle = pod.spec.unwrap().containers.remove(0).lifecycle.unwrap();
            let found = lifecycle.pre_stop.unwrap().http_get.unwrap().port;
            assert_eq!(found.as_deref(), expected, "{port:.20}");
        }
    }

    #[test]
    fn null_counts_as_absent() {
        let json = r#"{"metadata":null,"spec":{"containers":null,"volumes":null,"hostNetwork":null,"os":null,
            "terminationGracePeriodSeconds":null,"nodeSelector":null,"restartPolicy":null}}"#;
        let pod = Pod::parse(json.as_bytes()).unwrap();
        assert!(pod.metadata.is_none());
        assert!(pod.spec.unwrap().volumes.is_none());
    }

    #[test]
    fn only_pods_are_parsed() {
        assert!(error(r#"{"kind":"Deployment"}"#).contains("kind"));
        assert!(error("null").contains("an object"));
        assert!(error("[]").contains("an object"));
        assert!(error("{} {}").contains("trailing"));
    }
}
