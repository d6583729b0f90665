//! How far a run of critest is, read leniently from what it prints: for a person to watch. Results never come from here.

/// Ginkgo's line between two specs.
const RULE: &str = "------------------------------";

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headway {
    /// How many specs will run, once that was said.
    pub(super) total: Option<u32>,
    pub(super) done: u32,
    pub(super) failed: u32,
    /// The spec whose name was printed last.
    pub(super) current: String,
}

/// What a line changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that is worth showing.
    Nothing,
    /// Another spec, or the number of specs is known.
    Current,
    /// A spec has ended.
    Done,
    /// A spec has failed: its name.
    Failed(String),
}

/// Reads critest's output line by line.
///
/// One process prints a spec's name, what it does, and how it ended. Several print a spec only when it has ended: how, then
/// its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    headway: Headway,
    after_rule: bool,
    /// The line before said how a spec ended whose name is still to come.
    unnamed: Option<Ending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Failed,
    Other,
}

impl Reader {
    pub(super) fn headway(&self) -> &Headway {
        &self.headway
    }

    pub(super) fn line(&mut self, line: &str) -> Change {
        let after_rule = std::mem::replace(&mut self.after_rule, line == RULE);
        let unnamed = self.unnamed.take();
        if let Some(total) = planned(line) {
            self.headway.total = Some(total);
            return Change::Current;
        }
        if let Some(name) = line.strip_prefix("[k8s.io] ").filter(|_| after_rule || unnamed.is_some()) {
            name.trim().replace(" [It] ", " ").clone_into(&mut self.headway.current);
            return match unnamed {
                Some(Ending::Failed) => Change::Failed(self.headway.current.clone()),
                Some(Ending::Other) => Change::Done,
                None => Change::Current,
            };
        }
        let Some(ending) = ended(line) else { return Change::Nothing };
        self.headway.done += 1;
        self.headway.failed += u32::from(ending == Ending::Failed);
        if after_rule {
            self.unnamed = Some(ending);
            return Change::Nothing;
        }
        match ending {
            Ending::Failed => Change::Failed(self.headway.current.clone()),
            Ending::Other => Change::Done,
        }
    }
}

/// `• [1.434 seconds]`, `• [FAILED] [0.034 seconds]`, `•! [PANICKED] [...]`, `S [SKIPPED] [...]`.
fn ended(line: &str) -> Option<Ending> {
    if line.starts_with("S [SKIPPED]") {
        return Some(Ending::Other);
    }
    let word = line.strip_prefix('•')?.trim_start_matches(['!', ' ', '[']);
    let failed = word.starts_with(|first: char| first.is_ascii_uppercase());
    Some(if failed { Ending::Failed } else { Ending::Other })
}

/// `Will run 117 of 122 specs`
fn planned(line: &str) -> Option<u32> {
    let (number, rest) = line.strip_prefix("Will run ")?.split_once(' ')?;
    rest.starts_with("of ").then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
Will run 3 of 122 specs
------------------------------
[BeforeSuite] PASSED [0.001 seconds]
------------------------------
[k8s.io] Streaming runtime should support attach [Conformance]
sigs.k8s.io/cri-tools/pkg/validate/streaming.go:114
E1121 12:01:09.639814     775 remote_runtime.go:1177] \"RuntimeConfig from runtime service failed\"
  STEP: stop PodSandbox @ 11/21/26 12:01:08.891
• [1.434 seconds]
------------------------------
[k8s.io] Networking should support port mapping
  [FAILED] failed to create PodSandbox
• [FAILED] [0.421 seconds]
[k8s.io] Networking [It] should support port mapping
------------------------------
[k8s.io] Security Context should fail with NamespaceMode_TARGET
S [SKIPPED] [0.004 seconds]
";

    fn read(output: &str) -> (Headway, Vec<Change>) {
        let mut reader = Reader::default();
        let changes = output
            .lines()
            .map(|line| reader.line(line))
            .filter(|change| *change != Change::Nothing)
            .collect();
        (reader.headway, changes)
    }

    #[test]
    fn specs_are_counted_as_they_end() {
        let (headway, changes) = read(OUTPUT);
        assert_eq!((headway.total, headway.done, headway.failed), (Some(3), 3, 1));
        assert_eq!(headway.current, "Security Context should fail with NamespaceMode_TARGET");
        let failed = Change::Failed("Networking should support port mapping".into());
        assert_eq!(changes.iter().filter(|change| **change == failed).count(), 1);
    }

    #[test]
    fn in_parallel_the_name_follows_the_ending() {
        let (headway, changes) = read(
            "------------------------------\n• [FAILED] [1.892 seconds]\n[k8s.io] Networking [It] should work\n\
             ------------------------------\n• [0.1 seconds]\n[k8s.io] Streaming should work\n",
        );
        assert_eq!((headway.done, headway.failed, headway.current.as_str()), (2, 1, "Streaming should work"));
        assert_eq!(changes, [Change::Failed("Networking should work".into()), Change::Done]);
    }

    #[test]
    fn a_panic_and_a_timeout_count_as_failures() {
        assert_eq!(read("\n•! [PANICKED] [0.421 seconds]\n• [TIMEDOUT] [9.0 seconds]\n").0.failed, 2);
    }

    #[test]
    fn what_is_not_understood_changes_nothing() {
        let (headway, changes) = read("panic: runtime error\n\nWill run away\n[k8s.io] not after a rule\n");
        assert_eq!((headway, changes), (Headway::default(), vec![]));
    }
}
