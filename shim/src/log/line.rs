//! One record as one line: `time="…" level=info msg="…" key=value`, as containerd writes its own.
//!
//! Must not know where the line goes.

use std::fmt::{self, Debug, Display, Write};

use tracing::field::{Field, Visit};

/// What a pipe takes in one piece or not at all (`PIPE_BUF`, pipe(7)): a longer line could arrive in part.
pub(super) const LONGEST: usize = 4096;
const CUT: &str = "...";

/// A line under construction. The message comes first, whatever order the fields arrive in.
pub(super) struct Line {
    text: String,
    fields: String,
}

impl Line {
    pub(super) fn new(time: &str, level: &str) -> Self {
        Self { text: format!("time=\"{time}\" level={level}"), fields: String::new() }
    }

    pub(super) fn message(&mut self, message: impl Display) {
        push(&mut self.text, "msg", message);
    }

    pub(super) fn field(&mut self, key: &str, value: impl Display) {
        push(&mut self.fields, key, value);
    }

    /// The line with its newline, cut to what a pipe takes in one piece.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str(&self.fields);
        if self.text.len() >= LONGEST {
            self.text.truncate(self.text.floor_char_boundary(LONGEST - CUT.len() - 1));
            self.text.push_str(CUT);
        }
        self.text.push('\n');
        self.text
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record(field, value);
    }
}

impl Line {
    fn record(&mut self, field: &Field, value: impl Display) {
        match field.name() {
            "message" => self.message(value),
            name => self.field(name, value),
        }
    }
}

fn push(text: &mut String, key: &str, value: impl Display) {
    text.push(' ');
    text.push_str(key);
    text.push('=');
    let start = text.len();
    // Writing to a String cannot fail; a Display that fails leaves what it wrote.
    if write!(Escaped(text), "{value}").is_err() {
        text.push_str("(unprintable)");
    }
    let plain = text[start..].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/:@".contains(&byte));
    if !plain || text.len() == start {
        text.insert(start, '"');
        text.push('"');
    }
}

/// Keeps a value on its line: escapes quotes, backslashes and control characters.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            match character {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\t' => self.0.push_str("\\t"),
                control if control.is_control() => write!(self.0, "\\u{:04x}", u32::from(control))?,
                character => self.0.push(character),
            }
        }
        Ok(())
    }
}
