//! Generates the message types of `protos/`, and the bindings of the services among them.

use std::{error::Error, fs, path::PathBuf};

use ttrpc_codegen::{Codegen, Customize, ProtobufCustomize};

const INPUTS: [&str; 3] =
    ["protos/ballast_options.proto", "protos/ballast_pod.proto", "protos/runtimeoptions.proto"];

/// The modules of those with a service.
const SERVICES: [&str; 1] = ["ballast_pod_ttrpc"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=protos");
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    Codegen::new()
        .inputs(INPUTS)
        .include("protos")
        .rust_protobuf()
        .rust_protobuf_customize(ProtobufCustomize::default().gen_mod_rs(true))
        .customize(Customize { async_all: true, ..Customize::default() })
        .out_dir(&out_dir)
        .run()?;
    // The generator of messages lists its modules only, and that of services writes a list that cannot be included.
    let list = out_dir.join("mod.rs");
    let mut modules = fs::read_to_string(&list)?;
    for service in SERVICES {
        modules.push_str(&format!("pub mod {service};\n"));
        // It has no unsafe code, and the crate forbids even the permission.
        let path = out_dir.join(service).with_extension("rs");
        fs::write(&path, fs::read_to_string(&path)?.replace("#![allow(unsafe_code)]\n", ""))?;
    }
    Ok(fs::write(list, modules)?)
}
