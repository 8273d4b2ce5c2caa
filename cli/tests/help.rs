//! The binary starts and explains itself.

use std::process::Command;

#[test]
fn help_lists_subcommands_and_exit_codes() {
    let output = Command::new(env!("CARGO_BIN_EXE_tally")).arg("--help").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    for word in ["master", "slave", "count", "submit", "generate", "Exit codes", "no such job"] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
    let wrong = Command::new(env!("CARGO_BIN_EXE_tally")).arg("counts").output().expect("it runs");
    assert_eq!(wrong.status.code(), Some(2));
}
