//! Generates the message types of `protos/`.

use std::{error::Error, path::PathBuf};

use ttrpc_codegen::{Codegen, ProtobufCustomize};

const INPUTS: [&str; 2] = ["protos/ballast_options.proto", "protos/runtimeoptions.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=protos");
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    Codegen::new()
        .inputs(INPUTS)
        .include("protos")
        .rust_protobuf()
        .rust_protobuf_customize(ProtobufCustomize::default().gen_mod_rs(true))
        .out_dir(out_dir)
        .run()?;
    Ok(())
}
