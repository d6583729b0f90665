//! What the commands print: a table for a person, or JSON for a program.

use std::io::Write;

use comfy_table::{Table, presets};
use serde::Serialize;

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
    let text = if json { serde_json::to_string_pretty(value)? } else { text() };
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
