//! `hooks`: which run where, checked before the first of them runs.

use super::PlanError;
use crate::hooks::Hook;
use oci_spec::runtime::Spec;
use std::time::Duration;

/// Hooks that run in the runtime's namespaces, that is in the shim.
#[derive(Debug, Default)]
pub(crate) struct RuntimeHooks {
    pub(crate) prestart: Vec<Hook>,
    pub(crate) create_runtime: Vec<Hook>,
    pub(crate) poststart: Vec<Hook>,
    pub(crate) poststop: Vec<Hook>,
}

/// The runtime's hooks, then those that run in the container: `createContainer` and `startContainer`.
pub(crate) fn plan_hooks(spec: &Spec) -> Result<(RuntimeHooks, Vec<Hook>, Vec<Hook>), PlanError> {
    let Some(hooks) = spec.hooks() else { return Ok(Default::default()) };
    let runtime = RuntimeHooks {
        prestart: plan("hooks.prestart", hooks_of(hooks.prestart()))?,
        create_runtime: plan("hooks.createRuntime", hooks_of(hooks.create_runtime()))?,
        poststart: plan("hooks.poststart", hooks_of(hooks.poststart()))?,
        poststop: plan("hooks.poststop", hooks_of(hooks.poststop()))?,
    };
    let create_container = plan("hooks.createContainer", hooks_of(hooks.create_container()))?;
    let start_container = plan("hooks.startContainer", hooks_of(hooks.start_container()))?;
    Ok((runtime, create_container, start_container))
}

fn hooks_of(list: &Option<Vec<oci_spec::runtime::Hook>>) -> &[oci_spec::runtime::Hook] {
    list.as_deref().unwrap_or_default()
}

fn plan(field: &str, hooks: &[oci_spec::runtime::Hook]) -> Result<Vec<Hook>, PlanError> {
    hooks.iter().enumerate().map(|(index, hook)| plan_one(&format!("{field}[{index}]"), hook)).collect()
}

fn plan_one(field: &str, hook: &oci_spec::runtime::Hook) -> Result<Hook, PlanError> {
    let path = hook.path();
    if !path.is_absolute() {
        return Err(PlanError::invalid(
            format!("{field}.path"),
            path.display().to_string(),
            "must be absolute",
        ));
    }
    let timeout = match hook.timeout() {
        None => None,
        Some(seconds) if seconds > 0 => Some(Duration::from_secs(seconds.unsigned_abs())),
        Some(seconds) => {
            return Err(PlanError::invalid(
                format!("{field}.timeout"),
                seconds.to_string(),
                "must be greater than zero",
            ));
        }
    };
    let environment = hook.env().iter().flatten().map(|entry| {
        let pair = entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| PlanError::invalid(format!("{field}.env"), entry, "has no `=`"))
    });
    let arguments = match hook.args() {
        Some(arguments) if !arguments.is_empty() => arguments.clone(),
        _ => vec![path.display().to_string()],
    };
    Ok(Hook { path: path.clone(), arguments, environment: environment.collect::<Result<_, _>>()?, timeout })
}
