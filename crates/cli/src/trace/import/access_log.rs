//! Access logs: each line is a request and has a time.

use std::io::BufRead;

use pushscale_simulator::InputError;

use super::input::{for_each_line, quoted, wrong_line};
use super::requests::Requests;
use super::time;

/// Counts the lines of a log that contain `pattern`, and returns the number of the others.
pub(super) fn read(
    name: &str,
    log: impl BufRead,
    pattern: Option<&str>,
    requests: &mut Requests,
) -> Result<u64, InputError> {
    let mut left_out = 0;
    for_each_line(name, log, |number, line| {
        if pattern.is_some_and(|pattern| !line.contains(pattern)) {
            left_out += 1;
            return Ok(());
        }
        let second = time::find(line).ok_or_else(|| {
            let problem = format!(
                "no time in {}: each line must have one ({}); --match TEXT leaves out the lines without TEXT",
                quoted(line),
                time::FORMS
            );
            wrong_line(name, number, problem)
        })?;
        let added = requests.add(second);
        added.map_err(|problem| wrong_line(name, number, problem))
    })?;
    Ok(left_out)
}
