//! `gossip-replica generate`, for those who make packages: man pages and completions, from the command line itself.

use std::{fs, io, path::Path};

use clap::Command;
use clap_complete::{Generator as _, Shell};

use crate::failure::Failure;

/// The configuration in full is a file of the package, and no text for a man page.
const CONFIGURATION: &str = "\
/usr/share/doc/gossip-replica/examples/replica.toml is a configuration with every setting, its range and default; \
`gossip-replica run --help` prints the same. SIGHUP reads the configuration anew. SIGTERM and SIGINT end the replica.";

/// Writes a page for each command, and completions for bash, fish and zsh, into the folder.
pub(super) fn generate(mut command: Command, folder: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::runtime(format_args!("cannot write to {}: {error}", folder.display()))
    };
    command = command.mut_subcommand("run", |run| run.after_long_help(CONFIGURATION));
    let name = command.get_name().to_owned();
    fs::create_dir_all(folder).map_err(failed)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), &name, &mut script);
        // It takes the dash of the name for the end of a command, and finds no option of any: clap's issue 6386.
        let taken = (name.replace('-', "__subcmd__"), name.replace('-', "__"));
        let script = String::from_utf8_lossy(&script).replace(&taken.0, &taken.1);
        fs::write(folder.join(shell.file_name(&name)), script).map_err(failed)?;
    }
    clap_mangen::generate_to(command, folder).map_err(failed)
}
