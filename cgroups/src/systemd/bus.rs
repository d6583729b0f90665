//! systemd on the system bus. A connection lives for one request: requests are few, and an idle connection would cost
//! every pod memory and a thread.

use std::future::Future;
use std::time::Duration;

use zbus::message::Type;
use zbus::runtime::AsyncDrop;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, Variant};
use zruntime::SharedRuntime;

use crate::error::Kind;
use crate::systemd::SystemdError;
use crate::systemd::property::{OLDEST, Property, Value};

const DESTINATION: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// For a request with its job. A busy systemd takes seconds; longer means that it hangs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection for the requests that concern one unit.
pub(super) struct Bus<'a> {
    connection: Connection,
    unit: &'a str,
}

/// Runs a request to its end or to the timeout, on this thread.
pub(super) fn run<T>(
    step: &'static str,
    unit: &str,
    request: impl Future<Output = Result<T, SystemdError>>,
) -> Result<T, SystemdError> {
    zbus::block_on(async {
        let runtime = SharedRuntime::current().map_err(|error| SystemdError::Bus {
            step: "set up a connection",
            unit: unit.to_owned(),
            source: error.into(),
        })?;
        match runtime.timeout(TIMEOUT, request).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SystemdError::TimedOut { step, unit: unit.to_owned(), seconds: TIMEOUT.as_secs() }),
        }
    })
}

impl<'a> Bus<'a> {
    pub(super) async fn connect(unit: &'a str) -> Result<Self, SystemdError> {
        let connection = Connection::system().await.map_err(|source| SystemdError::Bus {
            step: "connect to the bus",
            unit: unit.to_owned(),
            source,
        })?;
        Ok(Self { connection, unit })
    }

    /// Starts a transient unit and waits until it is there.
    pub(super) async fn start(&self, properties: &[Property]) -> Result<(), SystemdError> {
        let properties = self.known(properties).await?;
        let no_others: [(&str, Vec<(&str, Variant<'_>)>); 0] = [];
        let arguments = (self.unit, "replace", properties, &no_others[..]);
        self.run_job("StartTransientUnit", &arguments).await
    }

    /// Stops the unit and waits until it is gone.
    pub(super) async fn stop(&self) -> Result<(), SystemdError> {
        self.run_job("StopUnit", &(self.unit, "replace")).await
    }

    /// Changes properties of a running unit, until the next boot.
    pub(super) async fn set(&self, properties: &[Property]) -> Result<(), SystemdError> {
        let properties = self.known(properties).await?;
        if properties.is_empty() {
            return Ok(());
        }
        self.call("SetUnitProperties", &(self.unit, true, properties)).await.map(drop)
    }

    /// Forgets a failed unit of that name, so that it can be started anew.
    pub(super) async fn reset_failed(&self) -> Result<(), SystemdError> {
        self.call("ResetFailedUnit", &(self.unit,)).await.map(drop)
    }

    async fn run_job<B>(&self, method: &'static str, arguments: &B) -> Result<(), SystemdError>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        // Before the call, so that the end of a quick job is not missed. systemd sends it to whoever asked for the
        // job, so there is no need to subscribe to the signals of all units.
        let mut ends = self.job_ends().await.map_err(|source| self.failed("watch for jobs", source))?;
        let outcome = async {
            let reply = self.call(method, arguments).await?;
            let job: OwnedObjectPath =
                reply.body().deserialize().map_err(|source| self.failed(method, source))?;
            loop {
                let message =
                    next(&mut ends).await.map_err(|source| self.failed("wait for a job", source))?;
                let body = message.body();
                let (_, ended, _, result): (u32, OwnedObjectPath, String, String) =
                    body.deserialize().map_err(|source| self.failed("wait for a job", source))?;
                if ended == job {
                    return match result.as_str() {
                        "done" => Ok(()),
                        _ => Err(SystemdError::Job { unit: self.unit.to_owned(), result }),
                    };
                }
            }
        }
        .await;
        ends.async_drop().await;
        outcome
    }

    async fn job_ends(&self) -> zbus::Result<MessageStream> {
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .path(PATH)
            .interface(MANAGER)
            .member("JobRemoved")
            .build()?;
        MessageStream::for_match_rule(rule, &self.connection, None).await
    }

    async fn call<B>(&self, method: &'static str, arguments: &B) -> Result<zbus::Message, SystemdError>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        self.connection
            .call_method(Some(DESTINATION), PATH, Some(MANAGER), method, arguments)
            .await
            .map_err(|source| self.failed(method, source))
    }

    /// The properties that the running systemd knows. It is asked for its version only if that matters.
    async fn known<'p>(
        &self,
        properties: &'p [Property],
    ) -> Result<Vec<(&'p str, Variant<'p>)>, SystemdError> {
        let version = if properties.iter().any(|property| property.since > OLDEST) {
            self.version().await?
        } else {
            OLDEST
        };
        Ok(properties
            .iter()
            .filter(|property| property.since <= version)
            .map(|property| (property.name.as_str(), variant(&property.value)))
            .collect())
    }

    async fn version(&self) -> Result<u32, SystemdError> {
        let failed = |source| self.failed("read the version", source);
        let reply = self
            .connection
            .call_method(Some(DESTINATION), PATH, Some(PROPERTIES), "Get", &(MANAGER, "Version"))
            .await
            .map_err(failed)?;
        let body = reply.body();
        let version: Variant<'_> = body.deserialize().map_err(failed)?;
        match version {
            Variant::Str(text) => Ok(parse_version(&text)),
            _ => Err(failed(zbus::Error::IncorrectType)),
        }
    }

    fn failed(&self, step: &'static str, source: zbus::Error) -> SystemdError {
        SystemdError::Bus { step, unit: self.unit.to_owned(), source }
    }
}

/// What the caller can do about an error of the bus or of systemd.
pub(super) fn kind_of(error: &zbus::Error) -> Kind {
    match error_name(error) {
        Some("org.freedesktop.systemd1.UnitExists") => Kind::AlreadyExists,
        Some("org.freedesktop.systemd1.NoSuchUnit") => Kind::NotFound,
        Some("org.freedesktop.DBus.Error.InvalidArgs" | "org.freedesktop.DBus.Error.PropertyReadOnly") => {
            Kind::InvalidArgument
        }
        Some(_) => Kind::Internal,
        None => Kind::FailedPrecondition,
    }
}

fn error_name(error: &zbus::Error) -> Option<&str> {
    match error {
        zbus::Error::MethodError(name, _, _) => Some(name.as_str()),
        zbus::Error::FDO(error) => match **error {
            zbus::fdo::Error::InvalidArgs(_) => Some("org.freedesktop.DBus.Error.InvalidArgs"),
            zbus::fdo::Error::PropertyReadOnly(_) => Some("org.freedesktop.DBus.Error.PropertyReadOnly"),
            _ => None,
        },
        _ => None,
    }
}

/// The number in `252.39-1~deb12u1`, `v255` and the like; 0 when there is none.
fn parse_version(text: &str) -> u32 {
    let digits = text.trim_start_matches('v');
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn variant(value: &Value) -> Variant<'_> {
    match value {
        Value::Bool(value) => Variant::Bool(*value),
        Value::I32(value) => Variant::I32(*value),
        Value::I64(value) => Variant::I64(*value),
        Value::U32(value) => Variant::U32(*value),
        Value::U64(value) => Variant::U64(*value),
        Value::F64(value) => Variant::F64(*value),
        Value::Text(value) => Variant::from(value.as_str()),
        Value::Texts(value) => Variant::from(value),
        Value::Bytes(value) => Variant::from(value),
        Value::U32s(value) => Variant::from(value),
    }
}

async fn next(stream: &mut MessageStream) -> zbus::Result<zbus::Message> {
    use futures_core::Stream;
    let message = std::future::poll_fn(|context| std::pin::Pin::new(&mut *stream).poll_next(context)).await;
    message.unwrap_or(Err(zbus::Error::InvalidReply))
}

#[cfg(test)]
mod tests;
