//! What the client's stdio strings name. Must not open anything.
//!
//! An empty string is no stream. Without a scheme it is a path, taken as it is. A scheme that Ballast does not serve is
//! refused by its name.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::IoError;

/// Where a process's output goes, from the URI of its standard output (containerd `core/runtime/v2/README.md`, "IO").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Each stream has a path of its own, `None` being `/dev/null`.
    Paths { stdout: Option<PathBuf>, stderr: Option<PathBuf> },
    /// `file://`: both streams are appended to one file.
    File(PathBuf),
    /// `binary://` and `binary-v2://`: both streams go to a logging program.
    Logger(LoggerCommand),
}

/// A logging program as its URI names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoggerCommand {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) readiness: Readiness,
}

/// How a logging program says that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// `binary`: by a byte or by closing its ready pipe, which its end does, too.
    ByteOrClose,
    /// `binary-v2`: by a byte, so that a program that fell over is not taken for ready.
    Byte,
}

/// Reads the strings of a request. The scheme of `stdout` speaks for both streams.
pub(super) fn output(stdout: &str, stderr: &str) -> Result<Output, IoError> {
    let Some(uri) = Uri::parse(stdout) else {
        return Ok(Output::Paths { stdout: path("stdout", stdout)?, stderr: path("stderr", stderr)? });
    };
    match uri.scheme {
        "fifo" => Ok(Output::Paths { stdout: path("stdout", stdout)?, stderr: path("stderr", stderr)? }),
        "file" => Ok(Output::File(uri.path()?)),
        "binary" => logger(&uri, Readiness::ByteOrClose),
        "binary-v2" => logger(&uri, Readiness::Byte),
        _ => Err(uri.unsupported("stdout", "fifo, file, binary, binary-v2")),
    }
}

/// Reads a string that can only name a path: standard input, and standard error of its own.
pub(super) fn path(stream: &'static str, text: &str) -> Result<Option<PathBuf>, IoError> {
    match Uri::parse(text) {
        None if text.is_empty() => Ok(None),
        None => Ok(Some(PathBuf::from(text))),
        Some(uri) if uri.scheme == "fifo" => uri.path().map(Some),
        Some(uri) => Err(uri.unsupported(stream, "fifo")),
    }
}

fn logger(uri: &Uri<'_>, readiness: Readiness) -> Result<Output, IoError> {
    Ok(Output::Logger(LoggerCommand { program: uri.path()?, arguments: uri.arguments(), readiness }))
}

struct Uri<'a> {
    text: &'a str,
    scheme: &'a str,
    /// Decoded only on use: the part between the scheme and the query.
    location: &'a str,
    query: &'a str,
}

impl<'a> Uri<'a> {
    /// `None` for what has no scheme (RFC 3986, section 3.1).
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let mut letters = scheme.bytes();
        let is_scheme = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || b"+-.".contains(&letter));
        if !is_scheme {
            return None;
        }
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
        Some(Self { text, scheme, location, query })
    }

    /// The path, which has to be absolute and without a host: `file://var/log` is a mistake for `file:///var/log`.
    fn path(&self) -> Result<PathBuf, IoError> {
        let path = self.location.strip_prefix("//").unwrap_or(self.location);
        let decoded =
            percent_decode_str(path).decode_utf8().map_err(|_| self.invalid("its path is not UTF-8"))?;
        if !Path::new(decoded.as_ref()).is_absolute() {
            return Err(self.invalid("it has no absolute path after its scheme (scheme:///path)"));
        }
        Ok(PathBuf::from(decoded.into_owned()))
    }

    /// Each key with its first value, in the order of the URI.
    fn arguments(&self) -> Vec<String> {
        let mut seen = Vec::new();
        let mut arguments = Vec::new();
        for (key, value) in form_urlencoded::parse(self.query.as_bytes()) {
            if !seen.contains(&key) {
                arguments.extend([key.clone().into_owned(), value.into_owned()]);
                seen.push(key);
            }
        }
        arguments
    }

    fn unsupported(&self, stream: &'static str, supported: &'static str) -> IoError {
        IoError::UnsupportedScheme { stream, scheme: self.scheme.to_owned(), supported }
    }

    fn invalid(&self, reason: &'static str) -> IoError {
        IoError::InvalidUri { uri: self.text.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_scheme_is_taken_literally() {
        let expected =
            Output::Paths { stdout: Some("/run/a b?c%20#d".into()), stderr: Some("/run/err".into()) };
        assert_eq!(output("/run/a b?c%20#d", "/run/err").unwrap(), expected);
        assert_eq!(output("", "").unwrap(), Output::Paths { stdout: None, stderr: None });
        assert_eq!(output("", "/e").unwrap(), Output::Paths { stdout: None, stderr: Some("/e".into()) });
    }

    #[test]
    fn the_fifo_scheme_is_a_path_too() {
        let expected = Output::Paths { stdout: Some("/run/out".into()), stderr: Some("/run/err".into()) };
        assert_eq!(output("fifo:///run/out", "fifo:///run/err").unwrap(), expected);
        assert_eq!(path("stdin", "fifo:///run/in").unwrap(), Some("/run/in".into()));
    }

    #[test]
    fn a_file_takes_both_streams() {
        assert_eq!(output("file:///var/log/a%20b.log", "").unwrap(), Output::File("/var/log/a b.log".into()));
    }

    #[test]
    fn a_logger_gets_each_key_with_its_first_value_in_order() {
        let uri = "binary:///usr/bin/logger?_MODE=/var/lib/n%C3%A9&tag=a+b&flag&tag=second";
        let Output::Logger(command) = output(uri, uri).unwrap() else { panic!("no logger") };
        assert_eq!(command.program, Path::new("/usr/bin/logger"));
        assert_eq!(command.arguments, ["_MODE", "/var/lib/né", "tag", "a b", "flag", ""]);
        assert_eq!(command.readiness, Readiness::ByteOrClose);
        let Output::Logger(command) = output("binary-v2:///usr/bin/logger", "").unwrap() else {
            panic!("no logger")
        };
        assert_eq!((command.arguments.len(), command.readiness), (0, Readiness::Byte));
    }

    #[test]
    fn a_scheme_that_is_not_served_is_refused_by_name() {
        let error = output("ttrpc+unix:///run/c.sock?streaming_id=x", "").unwrap_err();
        assert!(error.to_string().contains("ttrpc+unix"), "{error}");
        let error = path("stdin", "binary:///bin/cat").unwrap_err();
        assert!(error.to_string().contains("stdin") && error.to_string().contains("binary"), "{error}");
    }

    #[test]
    fn a_host_in_a_file_uri_is_a_mistake() {
        let error = output("file://var/log/x", "").unwrap_err();
        assert!(error.to_string().contains("file://var/log/x"), "{error}");
        assert!(output("file://", "").is_err());
    }
}
