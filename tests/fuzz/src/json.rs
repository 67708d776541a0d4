//! A mutator for JSON: byte mutations alone rarely get past the parser.

use std::mem;

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// Mutates the JSON in the first `size` bytes of `data` and returns its new size. Half of the mutations, and all those
/// of other text, are libFuzzer's.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Rng::with_seed(seed.into());
    if random.bool()
        && let Ok(mut document) = serde_json::from_slice::<Value>(&data[..size])
    {
        for _ in 0..random.usize(1..4) {
            change(&mut document, &mut random);
        }
        let text = document.to_string();
        if text.len() <= max_size {
            data[..text.len()].copy_from_slice(text.as_bytes());
            return text.len();
        }
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max_size)
}

/// Changes a random part of the document.
fn change(document: &mut Value, random: &mut Rng) {
    let parts = count(document);
    let other = nth(document, &mut random.usize(..parts)).clone();
    let part = nth(document, &mut random.usize(..parts));
    match part {
        Value::Object(fields) if random.u8(..) < 192 => change_fields(fields, other, random),
        Value::Array(items) if random.u8(..) < 192 => change_items(items, other, random),
        Value::String(text) if random.bool() => change_text(text, random),
        part if random.bool() => *part = other,
        part => *part = scalar(random),
    }
}

fn change_fields(fields: &mut Map<String, Value>, other: Value, random: &mut Rng) {
    let Some(key) = random.choice(fields.keys().cloned().collect::<Vec<_>>()) else {
        fields.insert("a".to_owned(), other);
        return;
    };
    match random.u8(..3) {
        0 => drop(fields.remove(&key)),
        1 => drop(fields.insert(key, other)),
        _ => {
            // Moves a value to another key.
            let mut renamed = key.clone();
            change_text(&mut renamed, random);
            if let Some(value) = fields.remove(&key) {
                fields.insert(renamed, value);
            }
        }
    }
}

fn change_items(items: &mut Vec<Value>, other: Value, random: &mut Rng) {
    let at = random.usize(..=items.len());
    match random.u8(..4) {
        0 if at < items.len() => drop(items.remove(at)),
        1 => items.insert(at, other),
        // Reaches the limits of lists.
        2 => items.extend(vec![other; random.usize(..400)]),
        _ => random.shuffle(items),
    }
}

fn change_text(text: &mut String, random: &mut Rng) {
    const PARTS: [&str; 12] = [
        "",
        "a",
        "0",
        "-",
        "/",
        ".",
        "~1",
        "é",
        "\u{1}",
        "\"",
        "pushscale",
        "torchserve",
    ];
    let mut characters: Vec<char> = mem::take(text).chars().collect();
    let start = random.usize(..=characters.len());
    let end = random.usize(start..=characters.len().min(start + 4));
    let part = PARTS[random.usize(..PARTS.len())];
    characters.splice(start..end, part.chars());
    if random.u8(..) < 8 {
        characters = characters.repeat(random.usize(1..100));
    }
    text.extend(characters);
}

fn scalar(random: &mut Rng) -> Value {
    match random.u8(..10) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!(random.i64(-2..300)),
        3 => json!(random.u64(..)),
        4 => json!(f64::from_bits(random.u64(..))),
        5 => json!(1e308),
        6 => json!(0.1 + random.f64()),
        7 => json!({}),
        8 => json!([]),
        _ => json!(""),
    }
}

/// Returns the number of values in a document.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Returns a value of a document by its number, and counts `index` down to it.
fn nth<'v>(value: &'v mut Value, index: &mut usize) -> &'v mut Value {
    if *index == 0 {
        return value;
    }
    *index -= 1;
    let inner: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    };
    for inner in inner {
        let size = count(inner);
        if *index < size {
            return nth(inner, index);
        }
        *index -= size;
    }
    unreachable!("the index is less than the number of values")
}
