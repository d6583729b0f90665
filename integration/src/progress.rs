//! What a person sees while something long runs: one line per step with the elapsed time, and the path of its
//! log when it fails. Knows nothing about what the steps do.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// How much of a failed step's log is repeated in the error.
const LOG_TAIL_BYTES: u64 = 3_000;

/// Runs steps and shows them on standard error.
#[derive(Debug)]
pub struct Progress {
    log_directory: PathBuf,
}

impl Progress {
    /// Steps write their logs to `log_directory`, one file per step, replaced at each run.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn new(log_directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&log_directory)
            .with_context(|| format!("create the log directory {}", log_directory.display()))?;
        Ok(Self { log_directory })
    }

    /// Runs `work` as the step `name`; the log file's name is made from it.
    ///
    /// # Errors
    /// Whatever `work` returns, with the step's name, the path of its log and the log's end.
    pub fn step<T>(&self, name: &str, work: impl FnOnce(&mut StepLog) -> Result<T>) -> Result<T> {
        let path = self.log_directory.join(format!("{}.log", name.replace([' ', '/'], "-")));
        let file = File::create(&path).with_context(|| format!("create the log {}", path.display()))?;
        let line = Line::start(name);
        let mut log = StepLog { file, path };
        match work(&mut log) {
            Ok(value) => {
                line.done();
                Ok(value)
            }
            Err(error) => {
                line.failed();
                let tail = log.tail();
                Err(error.context(format!("step \"{name}\" failed, log: {}{tail}", log.path.display())))
            }
        }
    }
}

/// Where a step's commands write.
#[derive(Debug)]
pub struct StepLog {
    file: File,
    path: PathBuf,
}

/// For output that comes over a channel instead of from a command of this machine.
impl Write for StepLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StepLog {
    /// The log's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds one line of the step's own.
    pub fn note(&mut self, line: &str) {
        // A log that cannot be written must not fail the step that works.
        drop(writeln!(self.file, "{line}"));
    }

    /// Runs `command` with its output in the log.
    ///
    /// # Errors
    /// When it cannot be started or does not exit with 0.
    pub fn run(&mut self, command: &mut Command) -> Result<()> {
        let shown = shown(command);
        self.note(&format!("$ {shown}"));
        let status = command
            .stdin(Stdio::null())
            .stdout(self.file.try_clone()?)
            .stderr(self.file.try_clone()?)
            .status()
            .with_context(|| format!("start `{shown}`"))?;
        if !status.success() {
            bail!("`{shown}`: {status}");
        }
        Ok(())
    }

    /// Runs `command` with its standard error in the log and returns its standard output.
    ///
    /// # Errors
    /// When it cannot be started, does not exit with 0, or does not print UTF-8.
    pub fn capture(&mut self, command: &mut Command) -> Result<String> {
        let shown = shown(command);
        self.note(&format!("$ {shown}"));
        let output = command
            .stdin(Stdio::null())
            .stderr(self.file.try_clone()?)
            .output()
            .with_context(|| format!("start `{shown}`"))?;
        if !output.status.success() {
            bail!("`{shown}`: {}", output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("output of `{shown}`"))
    }

    fn tail(&self) -> String {
        match tail(&self.path, LOG_TAIL_BYTES) {
            Ok(text) if text.trim().is_empty() => String::new(),
            Ok(text) => format!("\n{}", text.trim_end()),
            Err(error) => format!(" (unreadable: {error})"),
        }
    }
}

/// The last `bytes` bytes of a text file, cut at a line's start.
///
/// # Errors
/// When the file cannot be read.
pub fn tail(path: &Path, bytes: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let text = String::from_utf8_lossy(&content).into_owned();
    if length <= bytes {
        return Ok(text);
    }
    Ok(text.split_once('\n').map_or(String::new(), |(_, whole_lines)| whole_lines.to_owned()))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// One step's line: a spinner on a terminal, a single line at the end elsewhere.
struct Line {
    name: String,
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Line {
    fn start(name: &str) -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("  {spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let spinner = ProgressBar::new_spinner().with_style(style).with_message(name.to_owned());
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        Self { name: name.to_owned(), started: Instant::now(), spinner }
    }

    fn done(self) {
        self.end("ok");
    }

    fn failed(self) {
        self.end("FAILED");
    }

    fn end(self, outcome: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        eprintln!("  {:<6} {:<44} {:6.1} s", outcome, self.name, self.started.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(name: &str) -> Progress {
        let directory = std::env::temp_dir().join(format!("ballast-progress-{}-{name}", std::process::id()));
        Progress::new(directory).unwrap()
    }

    #[test]
    fn a_failed_step_names_itself_its_log_and_what_the_command_said() {
        let progress = progress("fail");
        let error = progress
            .step("make it fail", |log| log.run(Command::new("sh").args(["-c", "echo the reason; exit 3"])))
            .unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("make it fail"), "{text}");
        assert!(text.contains("make-it-fail.log"), "{text}");
        assert!(text.contains("the reason"), "{text}");
        assert!(text.contains("exit status: 3"), "{text}");
        fs::remove_dir_all(&progress.log_directory).unwrap();
    }

    #[test]
    fn a_tail_starts_at_a_line_start() {
        let progress = progress("tail");
        let path = progress.log_directory.join("text");
        fs::write(&path, "first line\nsecond\nthird\n").unwrap();
        assert_eq!(tail(&path, 9).unwrap(), "third\n");
        assert_eq!(tail(&path, 900).unwrap(), "first line\nsecond\nthird\n");
        fs::remove_dir_all(&progress.log_directory).unwrap();
    }
}
