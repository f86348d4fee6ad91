//! stub
use crate::{cli::RunArgs, failure::Failure};
pub(crate) async fn run(_args: &RunArgs) -> Result<(), Failure> { Ok(()) }
