//! Annotations `org.systemd.property.<Name>`: properties for the container's unit, with values in the text form of
//! GVariant (GLib, "GVariant Text Format"), of which the types that scopes use are read.

use crate::error::Result;
use crate::systemd::SystemdError;
use crate::systemd::property::{Property, UnitProperties, Value};

const PREFIX: &str = "org.systemd.property.";

/// What this crate sets by itself, and what would break the scope.
const OWN: [&str; 6] = ["PIDs", "Slice", "Delegate", "DefaultDependencies", "CollectMode", "Description"];

impl UnitProperties {
    /// Reads the annotations that name unit properties; the others are not looked at. `<Name>Sec` is in seconds and
    /// is sent as `<Name>USec`, which is how units spell their times and the bus does not.
    ///
    /// # Errors
    /// [`Error::Systemd`](crate::Error::Systemd) with the annotation that cannot be read.
    pub fn from_annotations<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut properties = Vec::new();
        for (annotation, value) in annotations {
            let Some(name) = annotation.strip_prefix(PREFIX) else { continue };
            let property = parse(name, value).map_err(|reason| {
                let (name, value) = (annotation.to_owned(), value.to_owned());
                Box::new(SystemdError::Annotation { name, value, reason })
            })?;
            properties.push(property);
        }
        properties.sort_by(|a: &Property, b| a.name.cmp(&b.name));
        Ok(Self { properties })
    }
}

fn parse(name: &str, text: &str) -> std::result::Result<Property, &'static str> {
    if !name.starts_with(|c: char| c.is_ascii_uppercase())
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return Err("does not name a unit property");
    }
    if OWN.contains(&name) {
        return Err("names a property that the runtime sets");
    }
    let value =
        parse_value(text.trim()).ok_or("is not a boolean, number, string or array of strings of GVariant")?;
    match name.strip_suffix("Sec") {
        Some(stem) if !stem.ends_with('U') => {
            let usec = seconds_to_usec(&value).ok_or("is not a time in seconds")?;
            Ok(Property::new(format!("{stem}USec"), Value::U64(usec)))
        }
        _ => Ok(Property::new(name, value)),
    }
}

fn parse_value(text: &str) -> Option<Value> {
    match text {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Some((kind, number)) = text.split_once(' ') {
        let number = number.trim();
        match kind {
            "int32" => return number.parse().ok().map(Value::I32),
            "int64" => return number.parse().ok().map(Value::I64),
            "uint32" => return number.parse().ok().map(Value::U32),
            "uint64" => return number.parse().ok().map(Value::U64),
            "double" => return number.parse().ok().map(Value::F64),
            _ => {}
        }
    }
    if let Some(inner) = text.strip_prefix('[') {
        return parse_array(inner);
    }
    if let Some((string, rest)) = parse_string(text) {
        return rest.is_empty().then_some(Value::Text(string));
    }
    if text.contains('.') { text.parse().ok().map(Value::F64) } else { text.parse().ok().map(Value::I32) }
}

fn parse_array(text: &str) -> Option<Value> {
    let mut strings = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let (string, after) = parse_string(rest)?;
        strings.push(string);
        match after.trim_start().split_at_checked(1)? {
            (",", after) => rest = after.trim_start(),
            ("]", "") => return Some(Value::Texts(strings)),
            _ => return None,
        }
    }
}

/// A quoted string and what follows it.
fn parse_string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut string = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            c if c == quote => return Some((string, text.get(index + 1..)?)),
            '\\' => string.push(match characters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                c @ ('\\' | '\'' | '"') => c,
                _ => return None,
            }),
            '\0' => return None,
            c => string.push(c),
        }
    }
    None
}

fn seconds_to_usec(value: &Value) -> Option<u64> {
    let seconds = match value {
        Value::I32(seconds) => u64::try_from(*seconds).ok()?,
        Value::I64(seconds) => u64::try_from(*seconds).ok()?,
        Value::U32(seconds) => u64::from(*seconds),
        Value::U64(seconds) => *seconds,
        Value::F64(seconds) => {
            let duration = std::time::Duration::try_from_secs_f64(*seconds).ok()?;
            return u64::try_from(duration.as_micros()).ok();
        }
        _ => return None,
    };
    seconds.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(name: &str, value: &str) -> Result<UnitProperties> {
        UnitProperties::from_annotations([(format!("{PREFIX}{name}").as_str(), value), ("other", "x")])
    }

    #[test]
    fn values_have_the_types_that_their_text_says() {
        for (text, value) in [
            ("true", Value::Bool(true)),
            ("-5", Value::I32(-5)),
            ("uint64 7", Value::U64(7)),
            ("1.5", Value::F64(1.5)),
            (r#"'it\'s'"#, Value::Text("it's".into())),
            (r#""a b""#, Value::Text("a b".into())),
            ("['a.service', \"b\"]", Value::Texts(vec!["a.service".into(), "b".into()])),
        ] {
            let read = property("Name", text).unwrap().properties;
            assert_eq!(read, [Property::new("Name", value)], "{text}");
        }
    }

    #[test]
    fn seconds_are_sent_as_microseconds() {
        for (text, usec) in [("uint64 5", 5_000_000), ("7", 7_000_000), ("0.5", 500_000)] {
            let read = property("TimeoutStopSec", text).unwrap().properties;
            assert_eq!(read, [Property::new("TimeoutStopUSec", Value::U64(usec))]);
        }
        let read = property("TimeoutStopUSec", "uint64 5").unwrap().properties;
        assert_eq!(read, [Property::new("TimeoutStopUSec", Value::U64(5))]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_name() {
        for (name, value) in [
            ("Name", ""),
            ("Name", "'open"),
            ("Name", "[1, 2]"),
            ("Name", "['a' 'b']"),
            ("Name", "uint64 -1"),
            ("name", "true"),
            ("A B", "true"),
            ("PIDs", "5"),
            ("TimeoutStopSec", "true"),
            ("TimeoutStopSec", "-1"),
        ] {
            let error = property(name, value).unwrap_err();
            assert_eq!(error.kind(), crate::Kind::InvalidArgument, "{name} {value}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
