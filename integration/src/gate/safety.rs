//! The tests that a fast path must still pass: what it could leave out to become faster. Knows their names and where they
//! are, not how they are run.

/// A test by its name, and the file that has it.
struct Guard {
    test: &'static str,
    #[cfg(test)]
    file: &'static str,
}

macro_rules! guards {
    ($($test:literal in $file:literal,)*) => {
        [$(Guard {
            test: $test,
            #[cfg(test)]
            file: include_str!(concat!("../../../", $file)),
        }),*]
    };
}

const GUARDS: [Guard; 6] = guards![
    // Our binary.
    "the_shims_program_cannot_be_written_from_a_container" in "integration/tests/pods/isolation.rs",
    "nobody_can_write_through_the_view_of_a_file_that_is_writable_itself" in "runtime/src/sys/self_binary.rs",
    // Descriptors that leak, of exec too.
    "a_container_has_its_standard_descriptors_and_no_others" in "integration/tests/pods/isolation.rs",
    "nothing_of_the_shims_descriptors_reaches_the_container" in "runtime/tests/containers/basics.rs",
    // Access to our processes.
    "shim_spawner_and_a_process_that_joins_a_container_cannot_be_looked_into_from_there_cve_2016_9962" in "runtime/tests/containers/hostile.rs",
    // Rights that were not given up.
    "user_groups_capabilities_and_home_are_the_specs" in "runtime/tests/containers/basics.rs",
];

/// What to tell whoever reads that a request has become cheaper.
pub(super) fn reminder() -> String {
    let tests: Vec<_> = GUARDS.iter().map(|guard| format!("  {}\n", guard.test)).collect();
    format!(
        "what was counted is worth nothing unless these pass, which `cargo xtask test` runs:\n{}",
        tests.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_is_a_test_that_exists() {
        for Guard { test, file } in GUARDS {
            let listed = file.contains(&format!("\"{test}\","));
            let attributed = file.lines().zip(file.lines().skip(1)).any(|(attribute, function)| {
                attribute.trim() == "#[test]" && function.trim().starts_with(&format!("fn {test}("))
            });
            assert!(listed || attributed, "{test}");
        }
    }
}
