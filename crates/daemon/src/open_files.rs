//! The limit of open files, which every connection counts against.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard limit.
///
/// Container runtimes start programs with a soft limit of 1024, for programs that use `select(2)`. At the limit, no
/// connection is accepted, and none can be opened to the API server.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::debug!(
            before = limit.current,
            limit = limit.maximum,
            "limit of open files raised"
        ),
        Err(error) => tracing::warn!(
            %error,
            limit = limit.current,
            "failed to raise the limit of open files"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_limit() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let low = Rlimit {
            current: Some(512),
            maximum,
        };
        setrlimit(Resource::Nofile, low).unwrap();
        raise_limit();
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }
}
