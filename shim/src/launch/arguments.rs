//! The command line that containerd uses, in the style of Go's `flag` package.
//!
//! `-name value`, `-name=value`, and both with two dashes; the first word that is no flag is the action. Flags this
//! build does not know are skipped, for containerd adds some. Must not know what an action does.

use std::{ffi::OsString, iter::Peekable, path::PathBuf};

use crate::log::Level;

/// What a shim process was asked to do, and how verbosely.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The action with what it needs.
    pub action: Action,
    /// The log level that `-debug` or `-log-level` ask for.
    pub level: Level,
}

/// The actions.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// `-v`: print the version.
    Version,
    /// `-info`: describe the runtime.
    Info,
    /// `start`: make sure that the pod has a shim, and tell its address.
    Start(Identity),
    /// `delete`: clean up after a shim that is gone.
    Delete(Identity),
    /// `serve`: be the shim. Used by `start` alone.
    Serve(Identity),
}

/// Which task of which containerd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `-namespace`.
    pub namespace: String,
    /// `-id`.
    pub id: String,
    /// `-address`: containerd's gRPC socket.
    pub grpc_address: String,
    /// `-bundle`, given with `delete`; elsewhere the bundle is the working directory.
    pub bundle: Option<PathBuf>,
}

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// A flag that needs a value is the last word.
    #[error("flag -{0} needs a value")]
    MissingValue(String),
    /// The flag's value is none of those it can have.
    #[error("flag -{flag} cannot be {value:?}")]
    InvalidValue {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
    },
    /// A required flag is absent or empty.
    #[error("flag -{0} is required")]
    Required(&'static str),
    /// An identifier that would lead out of a directory named after it.
    #[error("flag -{flag}: {value:?} is not an identifier")]
    NotAnIdentifier {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
    },
    /// A word is not UTF-8.
    #[error("argument {0:?} is not UTF-8")]
    Encoding(OsString),
    /// The action is not one of the known ones.
    #[error("action {0:?} is unknown: expected start or delete")]
    UnknownAction(String),
    /// There is neither an action nor a flag that stands for one.
    #[error("no action: expected start or delete, -info or -v")]
    NoAction,
}

const ACTIONS: [&str; 3] = ["start", "delete", "serve"];

/// The flags as they come, before they are checked.
#[derive(Default)]
struct Flags {
    version: bool,
    info: bool,
    debug: bool,
    log_level: Option<String>,
    namespace: Option<String>,
    id: Option<String>,
    address: Option<String>,
    bundle: Option<String>,
}

impl Arguments {
    /// Reads a command line without its first word, the program's name.
    ///
    /// # Errors
    /// Flags without a value or with one that they cannot have, an unknown action, missing identity.
    pub fn parse(command_line: impl IntoIterator<Item = OsString>) -> Result<Self, ArgumentsError> {
        let words: Vec<String> = command_line
            .into_iter()
            .map(|word| word.into_string().map_err(ArgumentsError::Encoding))
            .collect::<Result<_, _>>()?;
        let mut flags = Flags::default();
        let action = flags.read(words.into_iter())?;
        let level = flags.level()?;
        let action = match action.as_deref() {
            _ if flags.version => Action::Version,
            _ if flags.info => Action::Info,
            Some("start") => Action::Start(flags.identity()?),
            Some("delete") => Action::Delete(flags.identity()?),
            Some("serve") => Action::Serve(flags.identity()?),
            Some(unknown) => return Err(ArgumentsError::UnknownAction(unknown.to_owned())),
            None => return Err(ArgumentsError::NoAction),
        };
        Ok(Self { action, level })
    }
}

impl Flags {
    /// Reads flags up to the action, which is returned. What follows the action is not ours.
    fn read(&mut self, words: impl Iterator<Item = String>) -> Result<Option<String>, ArgumentsError> {
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-') else { return Ok(Some(word)) };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            if flag.is_empty() {
                return Ok(words.next());
            }
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            self.read_flag(name, value, &mut words)?;
        }
        Ok(None)
    }

    fn read_flag(
        &mut self,
        name: &str,
        value: Option<String>,
        words: &mut Peekable<impl Iterator<Item = String>>,
    ) -> Result<(), ArgumentsError> {
        let text = match name {
            "v" | "version" => return set(&mut self.version, "version", value),
            "info" => return set(&mut self.info, "info", value),
            "debug" => return set(&mut self.debug, "debug", value),
            "namespace" => Some(&mut self.namespace),
            "id" => Some(&mut self.id),
            "address" => Some(&mut self.address),
            "bundle" => Some(&mut self.bundle),
            "log-level" => Some(&mut self.log_level),
            // Known, and of no use here: events go to containerd's socket, and `start` makes the shim's own.
            "publish-binary" | "socket" | "debug-socket" => None,
            // Whether a flag of the future has a value is unknown; an action is never one.
            _ => {
                if value.is_none() {
                    words.next_if(|next| !next.starts_with('-') && !ACTIONS.contains(&next.as_str()));
                }
                return Ok(());
            }
        };
        let value =
            value.or_else(|| words.next()).ok_or_else(|| ArgumentsError::MissingValue(name.to_owned()))?;
        if let Some(text) = text {
            *text = Some(value);
        }
        Ok(())
    }

    fn level(&self) -> Result<Level, ArgumentsError> {
        match &self.log_level {
            Some(name) => Level::from_name(name)
                .ok_or_else(|| ArgumentsError::InvalidValue { flag: "log-level", value: name.clone() }),
            None if self.debug => Ok(Level::Debug),
            None => Ok(Level::Info),
        }
    }

    fn identity(self) -> Result<Identity, ArgumentsError> {
        Ok(Identity {
            namespace: identifier("namespace", self.namespace)?,
            id: identifier("id", self.id)?,
            grpc_address: self.address.unwrap_or_default(),
            bundle: self.bundle.filter(|bundle| !bundle.is_empty()).map(PathBuf::from),
        })
    }
}

/// Namespace and id name directories and cgroups: one path component, not a way out of it.
fn identifier(flag: &'static str, value: Option<String>) -> Result<String, ArgumentsError> {
    let value = value.filter(|value| !value.is_empty()).ok_or(ArgumentsError::Required(flag))?;
    if value.contains(['/', '\0']) || value == "." || value == ".." {
        return Err(ArgumentsError::NotAnIdentifier { flag, value });
    }
    Ok(value)
}

/// The values of a Go boolean flag (`strconv.ParseBool`).
fn set(target: &mut bool, flag: &'static str, value: Option<String>) -> Result<(), ArgumentsError> {
    *target = match value.as_deref() {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
        Some(value) => return Err(ArgumentsError::InvalidValue { flag, value: value.to_owned() }),
    };
    Ok(())
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
