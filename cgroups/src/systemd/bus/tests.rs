use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use zbus::message::Header;

use super::*;

/// What the stand-in for systemd was asked.
type Calls = Vec<(String, Vec<(String, String)>)>;

/// How it answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Ends each job with this word, after the end of another one.
    Job(&'static str),
    Error(&'static str),
    /// Takes the job and drops the connection.
    HangUp,
}

/// Serves one connection from a thread of its own until the other end closes it.
fn stand_in(answer: Answer) -> (UnixStream, JoinHandle<Calls>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        zbus::block_on(async {
            let guid = zbus::Guid::generate();
            let connection =
                zbus::connection::Builder::unix_stream(theirs).server(guid).p2p().build().await.unwrap();
            let mut messages = MessageStream::from(&connection);
            let mut calls = Calls::new();
            while let Ok(message) = next(&mut messages).await {
                let header = message.header();
                let body = message.body();
                let method = header.member().unwrap().to_string();
                let properties = match method.as_str() {
                    "StartTransientUnit" => {
                        type Auxiliary<'a> = Vec<(&'a str, Vec<(&'a str, Variant<'a>)>)>;
                        let (_, _, properties, _): (&str, &str, Vec<(&str, Variant<'_>)>, Auxiliary<'_>) =
                            body.deserialize().unwrap();
                        spell(&properties)
                    }
                    "SetUnitProperties" => {
                        let (_, runtime, properties): (&str, bool, Vec<(&str, Variant<'_>)>) =
                            body.deserialize().unwrap();
                        assert!(runtime);
                        spell(&properties)
                    }
                    _ => Vec::new(),
                };
                calls.push((method.clone(), properties));
                if !reply(&connection, &header, &method, answer).await {
                    break;
                }
            }
            calls
        })
    });
    (ours, server)
}

fn spell(properties: &[(&str, Variant<'_>)]) -> Vec<(String, String)> {
    properties.iter().map(|(name, value)| ((*name).to_owned(), format!("{value:?}"))).collect()
}

/// Returns whether the connection is to be kept.
async fn reply(connection: &Connection, header: &Header<'_>, method: &str, answer: Answer) -> bool {
    match (method, answer) {
        ("Get", _) => connection.reply(header, &Variant::from("v252.39-1~deb12u1")).await.unwrap(),
        ("SetUnitProperties" | "ResetFailedUnit", Answer::Job(_)) => {
            connection.reply(header, &()).await.unwrap()
        }
        (_, Answer::Job(result)) => {
            // The end may come before the reply does.
            for (id, result) in [(6_u32, "canceled"), (7, result)] {
                let job = zbus::ObjectPath::try_from(format!("/org/freedesktop/systemd1/job/{id}")).unwrap();
                connection
                    .emit_signal(None::<&str>, PATH, MANAGER, "JobRemoved", &(id, job, "x.scope", result))
                    .await
                    .unwrap();
            }
            let job = zbus::ObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap();
            connection.reply(header, &job).await.unwrap();
        }
        (_, Answer::Error(name)) => connection.reply_error(header, name, &"refused").await.unwrap(),
        (_, Answer::HangUp) => return false,
    }
    true
}

/// Runs a request against a stand-in, and returns its outcome and what the stand-in was asked.
fn against<T>(
    answer: Answer,
    request: impl AsyncFnOnce(&Bus<'_>) -> Result<T, SystemdError>,
) -> (Result<T, SystemdError>, Calls) {
    let (stream, server) = stand_in(answer);
    let outcome = run("test", "x.scope", async {
        let connection = zbus::connection::Builder::unix_stream(stream).p2p().build().await.unwrap();
        let bus = Bus { connection, unit: "x.scope" };
        request(&bus).await
    });
    (outcome, server.join().unwrap())
}

fn properties() -> Vec<Property> {
    vec![
        Property::new("PIDs", Value::U32s(vec![42])),
        Property::new("AllowedCPUs", Value::Bytes(vec![3])),
        Property { since: 252, ..Property::new("CPUWeight", Value::U64(0)) },
        Property { since: 253, ..Property::new("OOMPolicy", Value::Text("kill".into())) },
    ]
}

#[test]
fn a_start_waits_for_its_own_job_and_sends_what_that_systemd_knows() {
    let (outcome, calls) = against(Answer::Job("done"), async |bus| bus.start(&properties()).await);
    outcome.unwrap();
    let names: Vec<&str> = calls.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(names, ["Get", "StartTransientUnit"]);
    let sent: Vec<&str> = calls[1].1.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(sent, ["PIDs", "AllowedCPUs", "CPUWeight"]);
    assert!(calls[1].1[2].1.contains("U64(0)"), "{calls:?}");
}

#[test]
fn the_version_is_only_asked_for_when_it_matters() {
    let (outcome, calls) = against(Answer::Job("done"), async |bus| bus.set(&properties()[..2]).await);
    outcome.unwrap();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0].0, "SetUnitProperties");
}

#[test]
fn a_job_that_fails_is_an_error_with_its_result() {
    let (outcome, _) = against(Answer::Job("failed"), async |bus| bus.stop().await);
    let error = outcome.unwrap_err();
    assert!(matches!(&error, SystemdError::Job { result, .. } if result == "failed"), "{error:?}");
}

#[test]
fn errors_of_systemd_have_kinds() {
    for (name, kind) in [
        ("org.freedesktop.systemd1.UnitExists", Kind::AlreadyExists),
        ("org.freedesktop.systemd1.NoSuchUnit", Kind::NotFound),
        ("org.freedesktop.DBus.Error.InvalidArgs", Kind::InvalidArgument),
        ("org.freedesktop.DBus.Error.PropertyReadOnly", Kind::InvalidArgument),
        ("org.freedesktop.systemd1.LoadFailed", Kind::Internal),
    ] {
        let (outcome, _) = against(Answer::Error(name), async |bus| bus.stop().await);
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(error.to_string(), "StopUnit of systemd unit x.scope");
    }
}

#[test]
fn a_connection_that_ends_is_an_error_and_not_a_wait() {
    let (outcome, _) = against(Answer::HangUp, async |bus| bus.stop().await);
    assert_eq!(outcome.unwrap_err().kind(), Kind::FailedPrecondition);
}

#[test]
fn versions_are_read_from_what_distributions_make_of_them() {
    for (text, version) in [("252.39-1~deb12u1", 252), ("v255", 255), ("255~rc1", 255), ("", 0)] {
        assert_eq!(parse_version(text), version);
    }
}
