//! What the commands print: a table for a person, or JSON for a program.

use std::io::Write;

use comfy_table::{Table, presets};
use serde::Serialize;

/// As crictl shortens ids.
const ID_LENGTH: usize = 13;

/// Why something could not be printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("write to standard output")]
    Write(#[source] std::io::Error),
    #[error("encode JSON")]
    Json(#[from] serde_json::Error),
}

/// Prints `value` as JSON, or the text.
pub(crate) fn print(
    json: bool,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), OutputError> {
    line(&if json { serde_json::to_string_pretty(value)? } else { text() })
}

/// Prints a text and the end of its line.
pub(crate) fn line(text: &str) -> Result<(), OutputError> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        // The reader has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(OutputError::Write),
    }
}

/// A table without lines; empty titles are no header.
pub(crate) fn plain<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    if header.iter().any(|title| !title.is_empty()) {
        table.set_header(header);
    }
    table
}

/// An id in a table.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(ID_LENGTH).collect()
}

/// A container's name in a table.
pub(crate) fn container_name(name: &str) -> String {
    if name.is_empty() { "(sandbox)" } else { name }.to_owned()
}
