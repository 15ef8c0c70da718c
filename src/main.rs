//! The program `fanfare`: reads the command line and hands it on.

use std::process::ExitCode;

/// Many small allocations from many threads are what this program does all day.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fanfare::cli::main()
}
