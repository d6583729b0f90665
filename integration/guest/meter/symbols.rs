//! Names for addresses in the shim's program. Knows the file, not the process.

use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSymbol, SymbolKind};

/// The functions of a program by where they begin.
pub(crate) struct Symbols {
    functions: Vec<(u64, String)>,
}

impl Symbols {
    /// Reads the symbol table.
    pub(crate) fn read(program: &Path) -> Result<Self> {
        let context = || format!("read the symbols of {}", program.display());
        let content = std::fs::read(program).with_context(context)?;
        let file = object::File::parse(&*content).with_context(context)?;
        let mut functions: Vec<_> = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
            .filter_map(|symbol| Some((symbol.address(), name(symbol.name().ok()?))))
            .collect();
        anyhow::ensure!(!functions.is_empty(), "{} has no symbols", program.display());
        functions.sort();
        functions.dedup_by_key(|(address, _)| *address);
        Ok(Self { functions })
    }

    /// The function around `address`, which counts from the program's beginning.
    pub(crate) fn function(&self, address: u64) -> &str {
        match self.functions.partition_point(|(start, _)| *start <= address).checked_sub(1) {
            Some(index) => &self.functions[index].1,
            None => "before the first function",
        }
    }
}

/// As it is written in the source: without the compiler's hash, and without what it adds to copies of a function.
fn name(symbol: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    name.split_once(".llvm.").map_or(name.as_str(), |(name, _)| name).to_owned()
}
