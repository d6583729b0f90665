//! The shim's log: one line per record to containerd's log FIFO, never blocking on it.
//!
//! containerd reads the FIFO only while it runs. A record that finds it full is dropped and counted; the count is
//! written as soon as there is room again. Must not know what is logged.

mod clock;
mod line;
mod sink;

use std::sync::{
    OnceLock,
    atomic::{AtomicU8, Ordering},
};

use tracing::{
    Event, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};

use self::line::Line;
pub use self::sink::{Sink, open_fifo};

/// How much is logged. The numbers order the levels; they are not containerd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Only what was lost or failed.
    Error = 1,
    /// What an operator should look at.
    Warn = 2,
    /// The default.
    Info = 3,
    /// What `-debug` asks for.
    Debug = 4,
    /// Every step.
    Trace = 5,
}

impl Level {
    /// All of them, the least talkative first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The level of containerd's bootstrap parameters: an open scale on which smaller is more verbose
    /// (`-8` trace, `-4` debug, `0` info, `4` warn, `8` error and beyond).
    pub fn from_bootstrap(level: i32) -> Self {
        match level {
            ..=-8 => Self::Trace,
            -7..=-4 => Self::Debug,
            -3..=0 => Self::Info,
            1..=4 => Self::Warn,
            5.. => Self::Error,
        }
    }

    /// The level that `name` names, as it is written in the log.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Error,
            2 => Self::Warn,
            4 => Self::Debug,
            5 => Self::Trace,
            _ => Self::Info,
        }
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static SINK: OnceLock<Sink> = OnceLock::new();

/// The present level.
pub fn level() -> Level {
    Level::from_number(LEVEL.load(Ordering::Relaxed))
}

/// Changes the level of the running process, and says so in the log, whatever the level.
pub fn change_level(level: Level) {
    set_level(level);
    tracing::error!(level = level.name(), "log level changed");
}

fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Sends every record of this process, also those of libraries that use the `log` crate, to `sink` from now on.
/// Only the first call has an effect: a process has one log.
pub fn install(sink: Sink, level: Level) {
    if SINK.set(sink).is_err() {
        return;
    }
    set_level(level);
    if tracing::subscriber::set_global_default(LogSubscriber).is_ok() && log::set_logger(&LibraryLog).is_ok()
    {
        // ttrpc formats every message it receives at lower levels.
        log::set_max_level(log::LevelFilter::Warn);
    }
}

/// Turns tracing's records into lines. Spans carry no context here: every record names what it is about.
#[derive(Debug)]
struct LogSubscriber;

impl Subscriber for LogSubscriber {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= level().filter()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level().filter())
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if let Some(sink) = SINK.get() {
            let mut line = Line::new(&clock::now(), level_word(*event.metadata().level()));
            event.record(&mut line);
            sink.write(line.finish());
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// Passes on what libraries report through the `log` crate.
struct LibraryLog;

impl log::Log for LibraryLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if let Some(sink) = SINK.get().filter(|_| self.enabled(record.metadata())) {
            let word = if record.level() == log::Level::Error { "error" } else { "warning" };
            let mut line = Line::new(&clock::now(), word);
            line.message(record.args());
            line.field("target", record.target());
            sink.write(line.finish());
        }
    }

    fn flush(&self) {}
}

/// containerd's own spelling, so that its log can be filtered by one set of words.
fn level_word(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warning",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG => "debug",
        tracing::Level::TRACE => "trace",
    }
}

#[cfg(test)]
mod tests;
