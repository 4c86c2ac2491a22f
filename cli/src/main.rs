//! `unprompt`: what prompt made this image?

/// `println!` that gives its error back: a reader that has seen enough is no reason to panic.
macro_rules! say {
    ($($argument:tt)*) => {
        std::io::Write::write_fmt(&mut std::io::stdout().lock(), format_args!("{}\n", format_args!($($argument)*)))?
    };
}

mod args;
mod commands;
mod output;
mod stop;
mod threads;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::output::status::Failure;

// Tensors come and go in megabytes: with the system's allocator a fifth of a training step goes
// into mapping and clearing pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    threads::one_thread_per_worker();
    let cli = Cli::parse();
    output::logging::start(&cli.global);
    stop::watch();
    match commands::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::of(&error).report(),
    }
}
