//! Compiled programs against an interpreter, a reference that evaluates profiles directly, and the kernel.

mod cases;
mod default_profile;
mod interpreter;
mod kernel;
mod random_profiles;
mod reference;
mod refusals;

use oci_spec::runtime::LinuxSeccomp;

use super::architecture::Architecture;
use super::table::Table;
use super::{Filter, Machine, compile_for};

const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const ALLOW: u32 = 0x7fff_0000;
const ENOSYS: u32 = ERRNO | 38;

/// A syscall as a filter sees it.
#[derive(Clone, Copy, Debug)]
struct Call {
    audit: u32,
    number: u32,
    arguments: [u64; 6],
}

impl Call {
    fn number(architecture: Architecture, number: u32, arguments: &[u64]) -> Self {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        Self { audit: architecture.audit(), number, arguments: all }
    }

    fn named(architecture: Architecture, name: &str, arguments: &[u64]) -> Self {
        let numbers = Table::new().numbers(name).unwrap_or_else(|| panic!("no syscall {name}"));
        let number = numbers.on(architecture).unwrap_or_else(|| panic!("no {name} on {architecture:?}"));
        Self::number(architecture, number, arguments)
    }
}

fn profile(value: serde_json::Value) -> LinuxSeccomp {
    serde_json::from_value(value).unwrap()
}

/// A filter for x86_64 and what it returns.
struct Compiled(Filter);

impl Compiled {
    fn new(value: serde_json::Value) -> Self {
        Self(compile_for(&profile(value), Machine::X86_64).unwrap())
    }

    fn result(&self, call: Call) -> u32 {
        interpreter::run(&self.0.program, call).value
    }

    fn native(&self, name: &str, arguments: &[u64]) -> u32 {
        self.result(Call::named(Architecture::X86_64, name, arguments))
    }
}
