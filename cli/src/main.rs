//! `unprompt`: what prompt made this image?

/// `println!` that gives its error back: a reader that has seen enough is no reason to panic.
macro_rules! say {
    ($($argument:tt)*) => {
        std::io::Write::write_fmt(&mut std::io::stdout().lock(), format_args!("{}\n", format_args!($($argument)*)))?
    };
}

mod allocator;
mod args;
mod commands;
mod output;
mod stop;
mod threads;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::output::status::Failure;

fn main() -> ExitCode {
    allocator::keep_memory();
    threads::one_thread_per_worker();
    let cli = Cli::parse();
    output::logging::start(&cli.global);
    stop::watch();
    match commands::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::of(&error).report(),
    }
}
