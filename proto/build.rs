//! Compiles the .proto files with protox, which needs no system `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["tally/v1/cluster.proto", "tally/v1/jobs.proto", "tally/v1/tables.proto"];
    for file in files.iter().chain(&["tally/v1/spec.proto"]) {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    // The reflection service answers from these.
    let out = PathBuf::from(env::var("OUT_DIR")?).join("tally.v1.bin");
    fs::write(out, descriptors.encode_to_vec())?;
    // Frames hold `Bytes`, so that decoding one shares the connection's buffer and copies nothing.
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
