use std::{io::Read, time::Duration};

use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;

#[test]
fn time_stamps_are_rfc_3339() {
    let stamp = |seconds, nanoseconds| clock::rfc3339(Duration::new(seconds, nanoseconds));
    assert_eq!(stamp(0, 0), "1970-01-01T00:00:00.000000000Z");
    assert_eq!(stamp(951_782_400, 7), "2000-02-29T00:00:00.000000007Z");
    assert_eq!(stamp(1_709_251_199, 0), "2024-02-29T23:59:59.000000000Z");
    assert_eq!(stamp(4_107_542_400, 0), "2100-03-01T00:00:00.000000000Z");
}

#[test]
fn a_value_stays_on_its_line_and_within_its_quotes() {
    let mut line = Line::new("T", "info");
    line.field("id", "pod-1");
    line.field("error", "a \"b\"\n\u{1}c\\");
    line.field("empty", "");
    line.message("hello world");
    let expected = "time=\"T\" level=info msg=\"hello world\" id=pod-1 error=\"a \\\"b\\\"\\n\\u0001c\\\\\" empty=\"\"\n";
    assert_eq!(line.finish(), expected);
}

#[test]
fn a_line_is_never_longer_than_a_pipe_takes_in_one_piece() {
    let mut line = Line::new("T", "info");
    line.message("ä".repeat(10_000));
    let text = line.finish();
    assert!(text.len() <= line::LONGEST && text.ends_with("...\n"), "{}", text.len());
}

#[test]
fn a_full_fifo_drops_and_counts_and_says_so_once_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
    let sink = Sink::new(sink::open_fifo(&path).unwrap().into());
    let line = format!("{}\n", "x".repeat(1000));
    while sink.dropped() == 0 {
        sink.write(line.clone());
    }
    for _ in 0..9 {
        sink.write(line.clone());
    }
    assert_eq!(sink.dropped(), 10);

    let mut reader = sink::open_fifo(&path).unwrap();
    let mut read = vec![0; 1 << 20];
    let count = reader.read(&mut read).unwrap();
    assert_eq!(count % line.len(), 0, "only whole lines");
    sink.write("after\n".to_owned());
    let count = reader.read(&mut read).unwrap();
    let text = String::from_utf8_lossy(&read[..count]).into_owned();
    assert!(text.contains("count=10\nafter\n"), "{text}");
    assert_eq!(sink.dropped(), 0);
}

#[test]
fn a_missing_log_is_told_apart() {
    let error = sink::open_fifo(std::path::Path::new("/nonexistent/log")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn the_bootstrap_scale_maps_to_the_nearest_level() {
    let levels =
        [(-9, Level::Trace), (-8, Level::Trace), (-4, Level::Debug), (-1, Level::Info), (0, Level::Info)];
    for (number, level) in levels.into_iter().chain([(4, Level::Warn), (8, Level::Error), (12, Level::Error)])
    {
        assert_eq!(Level::from_bootstrap(number), level, "{number}");
    }
}
