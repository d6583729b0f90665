//! The forms of the report: a table for the terminal, Markdown, JUnit XML and a page of HTML. Each knows how to show a
//! report, not how it came about.

pub(super) mod html;
pub(super) mod junit;
pub(super) mod markdown;
pub(super) mod terminal;
